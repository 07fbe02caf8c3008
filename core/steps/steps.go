// Package steps compares activations with the step that f makes across the hyperplane of a first-layer unit while all others are at
// their limits. There f is F(g(|a| s + u)) with an analytic F that the second layer makes and nobody knows. What tells g is that F is
// smooth: near a limit of g, f is a short power series in what g lacks of it, and where g approaches its limits too slowly for
// that, all of f is a polynomial in g.
package steps

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

// Shape is a step explained by an activation: the unit's argument is Norm s + Shift.
type Shape struct {
	Norm   float64 // negative when the argument falls along the direction
	Shift  float64
	Misfit float64 // sum of squared residuals, each relative to what there is to explain
}

const (
	terms  = 3 // of the power series at a limit, or half of the points where there are more
	degree = 8 // of the polynomial
	// What is expected of the polynomial's coefficients, relative to the step's height: that of the power j is some smooth^j. Without that,
	// polynomials are so flexible that norms could be off by a few percent; accuracy is what a step is known to.
	smooth   = 0.25
	accuracy = 1e-7
	// faith in F being linear, next to which tails that are explained well leave nothing.
	faith = 3e-9
)

// Fit explains the profile by g, which must have two different limits; ok is false when it has not, or when nothing near fits.
func Fit(g core.Function, p *sample.Profile) (best Shape, ok bool) {
	facts := g.Facts()
	if !facts.Saturates() || facts.Left.Intercept == facts.Right.Intercept {
		return Shape{}, false
	}
	signs := []float64{1, -1}
	if facts.Symmetry == core.SymmetryPoint {
		signs = signs[:1]
	}
	f := &fit{g: g, facts: facts, width: width(g, facts)}
	best.Misfit = math.Inf(1)
	for _, sign := range signs {
		for _, start := range f.starts(p, sign) {
			if s := f.improve(p, start); s.Misfit < best.Misfit {
				best = s
			}
		}
	}
	// The same norm may go with other shifts.
	for _, at := range f.moved(p, start{best.Norm, best.Shift}) {
		if s := f.improve(p, at); s.Misfit < best.Misfit {
			best = s
		}
	}
	best.Misfit -= f.bias(p, best.Norm, best.Shift)
	return best, !math.IsInf(best.Misfit, 1)
}

// bias is what a shift loses at which F would have to be far from linear. It decides only between shifts that explain the tails alike: those of
// Gompertz's function moved by log 2 are its square roots, and a power series in them has those in it.
func (f *fit) bias(p *sample.Profile, norm, shift float64) float64 {
	if len(p.Tails) == 0 {
		return 0
	}
	part := p.Part
	if norm < 0 {
		part = 1 - part
	}
	at := []float64{shift}
	f.g.Apply(0, at, at)
	height := f.facts.Right.Intercept - f.facts.Left.Intercept
	away := (at[0]-f.facts.Left.Intercept)/height - part
	loss := faith * away * away
	// Where g has all but ended F would have to be steeper than any is, for f to be steep there.
	slope := []float64{shift}
	f.g.Apply(1, slope, slope)
	if flat := math.Log10(math.Abs(height / f.width / slope[0])); flat > flattest && part > 0.01 && part < 0.99 {
		loss += 100 * faith * math.Pow(math.Min(flat, 20)-flattest, 2)
	}
	return loss
}

// flattest is how many powers of ten g's slope at the middle of a step may be less than in g's middle.
const flattest = 2

// fit is one activation.
type fit struct {
	g     core.Function
	facts core.Facts
	width float64 // g's height over its largest slope
}

// width returns g's height over its slope in the middle.
func width(g core.Function, facts core.Facts) float64 {
	slope := []float64{network.Inverse(g, 0.5)}
	g.Apply(1, slope, slope)
	w := math.Abs((facts.Right.Intercept - facts.Left.Intercept) / slope[0])
	if !(w > 0) || math.IsInf(w, 1) {
		return 1
	}
	return w
}

type start struct{ norm, shift float64 }

// starts are where F is the identity: g turned round gives the argument at each point.
func (f *fit) starts(p *sample.Profile, sign float64) []start {
	var s, t []float64
	add := func(at, part float64) { // part of the way from the side where the argument is least
		if part > 1e-9 && part < 1-1e-9 {
			s, t = append(s, at), append(t, network.Inverse(f.g, part))
		}
	}
	for _, tail := range p.Tails {
		for k, at := range tail.S {
			lacks := math.Abs(tail.E[k] / tail.Height)
			if at*sign > 0 {
				lacks = 1 - lacks
			}
			add(at, lacks)
		}
	}
	if n := len(p.S); n > 0 {
		low, high := floats.MinIdx(p.S), floats.MaxIdx(p.S)
		if sign < 0 {
			low, high = high, low
		}
		for k, at := range p.S {
			part := (p.Y[k] - p.Y[low]) / (p.Y[high] - p.Y[low])
			if part > 0.15 && part < 0.85 {
				add(at, part)
			}
		}
	}
	if len(s) < 2 {
		return nil
	}
	norm, shift, ok := straight(s, t)
	if !ok || norm*sign <= 0 {
		return nil
	}
	// F is not the identity: other norms and shifts too.
	moves, step := scan, scanStep
	if len(p.Tails) == 0 { // a bend of g itself, as softsign's in the middle, must be met closely
		moves, step = 4*scan, scanStep/4
	}
	type scanned struct {
		start
		loss float64
	}
	grid := make([][]scanned, 2*scan+1)
	for a := range grid {
		grid[a] = make([]scanned, 2*moves+1)
		for b := range grid[a] {
			at := start{norm * math.Exp(scanStep*float64(a-scan)), shift + step*float64(b-moves)*f.width}
			grid[a][b] = scanned{at, math.Inf(1)}
			if r, ok := f.residual(p, at.norm, at.shift); ok {
				grid[a][b].loss = floats.Dot(r, r) + f.bias(p, at.norm, at.shift)
			}
		}
	}
	var minima []scanned
	for a := range grid {
		for b := range grid[a] {
			lowest := !math.IsInf(grid[a][b].loss, 1)
			for da := max(0, a-1); da <= min(2*scan, a+1); da++ {
				for db := max(0, b-1); db <= min(2*moves, b+1); db++ {
					lowest = lowest && grid[a][b].loss <= grid[da][db].loss
				}
			}
			if lowest {
				minima = append(minima, grid[a][b])
			}
		}
	}
	slices.SortStableFunc(minima, func(a, b scanned) int { return cmp.Compare(a.loss, b.loss) })
	var best []start
	for _, s := range minima[:min(len(minima), kept)] {
		best = append(best, s.start)
	}
	return best
}

// Starts are scanned in so many steps to each side, in the logarithm of the norm and in the shift over the width; the least few
// minima among them are improved.
const (
	scan     = 5
	scanStep = 0.2
	kept     = 12
)

// moved returns the shifts beside that of a start at which the residual has a minimum along the line.
func (f *fit) moved(p *sample.Profile, from start) (minima []start) {
	const (
		steps = 40
		step  = 0.03 // widths
	)
	if math.IsNaN(from.norm) || from.norm == 0 {
		return nil
	}
	losses := make([]float64, 2*steps+1)
	for k := range losses {
		losses[k] = math.Inf(1)
		shift := from.shift + step*float64(k-steps)*f.width
		if r, ok := f.residual(p, from.norm, shift); ok {
			losses[k] = floats.Dot(r, r) + f.bias(p, from.norm, shift)
		}
	}
	for k := 1; k < 2*steps; k++ {
		if k != steps && losses[k] < losses[k-1] && losses[k] <= losses[k+1] {
			minima = append(minima, start{from.norm, from.shift + step*float64(k-steps)*f.width})
		}
	}
	return minima
}

// straight fits t = norm s + shift.
func straight(s, t []float64) (norm, shift float64, ok bool) {
	n := float64(len(s))
	ms, mt := floats.Sum(s)/n, floats.Sum(t)/n
	var up, down float64
	for k := range s {
		up += (s[k] - ms) * (t[k] - mt)
		down += (s[k] - ms) * (s[k] - ms)
	}
	return up / down, mt - up/down*ms, down > 0
}

// improve is Gauss-Newton on the logarithm of the norm and the shift, F projected out.
func (f *fit) improve(p *sample.Profile, at start) Shape {
	residual := func(v start) ([]float64, float64) {
		r, ok := f.residual(p, v.norm, v.shift)
		if !ok {
			return nil, math.Inf(1)
		}
		return r, floats.Dot(r, r) + f.bias(p, v.norm, v.shift)
	}
	r, loss := residual(at)
	if r == nil {
		return Shape{Misfit: math.Inf(1)}
	}
	const step = 1e-5
	damping := 1e-3
	for range 40 {
		a, _ := residual(start{at.norm * (1 + step), at.shift})
		b, _ := residual(start{at.norm, at.shift + step*f.width})
		if a == nil || b == nil {
			break
		}
		floats.Sub(a, r)
		floats.Sub(b, r)
		floats.Scale(1/step, a)
		floats.Scale(1/step, b)
		aa, ab, bb, ar, br := floats.Dot(a, a), floats.Dot(a, b), floats.Dot(b, b), floats.Dot(a, r), floats.Dot(b, r)
		improved := false
		for range 8 {
			da, db := aa*(1+damping)+1e-300, bb*(1+damping)+1e-300
			det := da*db - ab*ab
			x, y := (ab*br-db*ar)/det, (ab*ar-da*br)/det
			x, y = math.Max(-0.5, math.Min(0.5, x)), math.Max(-1, math.Min(1, y))
			next := start{at.norm * math.Exp(x), at.shift + y*f.width}
			if q, l := residual(next); l < loss {
				improved = l < 0.999*loss
				at, r, loss = next, q, l
				damping /= 10
				break
			}
			damping *= 8
		}
		if !improved {
			break
		}
	}
	return Shape{Norm: at.norm, Shift: at.shift, Misfit: loss}
}

// residual is what the best F leaves of the profile when the argument is norm s + shift.
func (f *fit) residual(p *sample.Profile, norm, shift float64) ([]float64, bool) {
	if len(p.Tails) == 0 {
		return f.polynomial(p, norm, shift)
	}
	var all []float64
	for _, tail := range p.Tails {
		limit := f.facts.Left.Intercept
		if (tail.S[0] > 0) == (norm > 0) {
			limit = f.facts.Right.Intercept
		}
		q := f.values(tail.S, norm, shift)
		floats.AddConst(-limit, q)
		terms := max(terms, len(q)/2)
		design := mat.NewDense(len(q), terms, nil)
		b := make([]float64, len(q))
		first := 0.0
		for _, v := range q {
			first = math.Max(first, math.Abs(v))
		}
		if first == 0 {
			return nil, false
		}
		for k, v := range q {
			// Relative weights; powers relative to the largest, so that the columns are of one size.
			e, power := math.Abs(tail.E[k]), 1.0
			for j := range terms {
				power *= v / first
				design.Set(k, j, power*math.Abs(tail.E[0])/e)
			}
			b[k] = tail.E[k] / e
		}
		r, ok := project(design, b)
		if !ok {
			return nil, false
		}
		all = append(all, r...)
	}
	return all, true
}

func (f *fit) polynomial(p *sample.Profile, norm, shift float64) ([]float64, bool) {
	z := f.values(p.S, norm, shift)
	center, half := (f.facts.Left.Intercept+f.facts.Right.Intercept)/2, (f.facts.Right.Intercept-f.facts.Left.Intercept)/2
	height := floats.Max(p.Y) - floats.Min(p.Y)
	design := mat.NewDense(len(z)+degree-1, degree+1, nil)
	b := make([]float64, len(z)+degree-1)
	for k, v := range z {
		x := (v - center) / half
		before, now := 1.0, x // Chebyshev polynomials
		for j := range degree + 1 {
			design.Set(k, j, before)
			before, now = now, 2*x*now-before
		}
		b[k] = p.Y[k] / height
	}
	for j := 2; j <= degree; j++ {
		design.Set(len(z)+j-2, j, accuracy*math.Pow(smooth, -float64(j)))
	}
	return project(design, b)
}

func (f *fit) values(s []float64, norm, shift float64) []float64 {
	t := floats.ScaleTo(make([]float64, len(s)), norm, s)
	floats.AddConst(shift, t)
	f.g.Apply(0, t, t)
	return t
}

// project returns what least squares leave of b.
func project(design *mat.Dense, b []float64) ([]float64, bool) {
	var qr mat.QR
	qr.Factorize(design)
	right := mat.NewVecDense(len(b), b)
	var c mat.VecDense
	if err := qr.SolveVecTo(&c, false, right); err != nil {
		if _, ill := err.(mat.Condition); !ill || c.Len() == 0 {
			return nil, false
		}
	}
	var r mat.VecDense
	r.MulVec(design, &c)
	r.SubVec(&r, right)
	residual := r.RawVector().Data
	for _, v := range residual {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, false
		}
	}
	return residual, true
}
