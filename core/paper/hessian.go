package paper

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// stencil says which points around x, in units of the step, a Hessian of order r is made of, and how. Every point is
// there once, however many entries of the Hessian it serves.
type stencil struct {
	order  int
	points [][]float64 // offsets from x, in steps
	build  func(values []float64, h float64, to *mat.SymDense)
}

// stencilPoints returns how many queries a Hessian of order r costs.
func stencilPoints(kind string, r int) int {
	switch kind {
	case wordForward:
		return r*(r+3)/2 + 1
	case wordCentral:
		return r*r + r + 1
	}
	return 2*r*r + 1
}

// newStencil returns the forward stencil of the paper,
//
//	H_ij = (f(x + h e_i + h e_j) - f(x + h e_i) - f(x + h e_j) + f(x)) / h^2,
//
// of first order in h, or one of two of second order: central, the mean of the forward ones with h and -h, and cross, the
// four corners (+-h, +-h).
func newStencil(kind string, r int) *stencil {
	s := &stencil{order: r}
	add := func(i int, a float64, j int, b float64) int {
		p := make([]float64, r)
		if i >= 0 {
			p[i] += a
		}
		if j >= 0 {
			p[j] += b
		}
		s.points = append(s.points, p)
		return len(s.points) - 1
	}
	add(-1, 0, -1, 0)
	single := func(sign float64) []int {
		at := make([]int, r)
		for i := range r {
			at[i] = add(i, sign, -1, 0)
		}
		return at
	}
	pairs := func(a, b float64, diagonal bool) map[[2]int]int {
		at := map[[2]int]int{}
		for i := range r {
			for j := i; j < r; j++ {
				if i != j || diagonal {
					at[[2]int{i, j}] = add(i, a, j, b)
				}
			}
		}
		return at
	}
	switch kind {
	case wordForward:
		one, two := single(1), pairs(1, 1, true)
		s.build = func(f []float64, h float64, to *mat.SymDense) {
			for i := range r {
				for j := i; j < r; j++ {
					to.SetSym(i, j, ((f[two[[2]int{i, j}]]-f[one[i]])-(f[one[j]]-f[0]))/(h*h))
				}
			}
		}
	case wordCentral:
		plus, minus := single(1), single(-1)
		up, down := pairs(1, 1, false), pairs(-1, -1, false)
		s.build = func(f []float64, h float64, to *mat.SymDense) {
			for i := range r {
				to.SetSym(i, i, ((f[plus[i]]-f[0])+(f[minus[i]]-f[0]))/(h*h))
				for j := i + 1; j < r; j++ {
					k := [2]int{i, j}
					to.SetSym(i, j, ((f[up[k]]-f[plus[i]])-(f[plus[j]]-f[0])+(f[down[k]]-f[minus[i]])-(f[minus[j]]-f[0]))/(2*h*h))
				}
			}
		}
	default:
		plus, minus := single(1), single(-1)
		pp, pm, mp, mm := pairs(1, 1, false), pairs(1, -1, false), pairs(-1, 1, false), pairs(-1, -1, false)
		s.build = func(f []float64, h float64, to *mat.SymDense) {
			for i := range r {
				to.SetSym(i, i, ((f[plus[i]]-f[0])+(f[minus[i]]-f[0]))/(h*h))
				for j := i + 1; j < r; j++ {
					k := [2]int{i, j}
					to.SetSym(i, j, ((f[pp[k]]-f[pm[k]])-(f[mp[k]]-f[mm[k]]))/(4*h*h))
				}
			}
		}
	}
	return s
}

// autoStep balances truncation, of first or second order in h, against the noise of the answers, which the second difference divides
// by h^2. third is the size of the function's third derivatives along a line, which forward differences are off by, times h; those of
// fourth order, along which central ones are, are taken to be of order one.
func autoStep(kind string, noise, third float64) float64 {
	if kind == wordForward {
		return math.Cbrt(4 * noise / third)
	}
	return math.Sqrt(math.Sqrt(12 * noise))
}

// The third derivative is measured along thirdLines lines at points of the default radius, by thirdPoints points thirdSpacing apart.
const (
	thirdLines, thirdPoints = 5, 4
	thirdSpacing            = 0.1
)

// thirdDerivative is the root mean square of third differences along random lines near the origin. In sigmoid networks it is some
// 64 times smaller than in tanh ones, and so must the noise be that the step lets in. As with the noise its choices are no stage's. It is never
// below what would make the step as long as the spacing.
func (r *run) thirdDerivative(ctx context.Context) (float64, error) {
	rng := rand.New(rand.NewPCG(r.settings.Seed, 0x7468697264))
	n, spacing := r.order(), thirdSpacing
	if r.problem.Domain > 0 {
		spacing = math.Min(spacing, r.problem.Domain/10)
	}
	centres := draw(rng, wordSphere, thirdLines, n, 1/math.Sqrt(float64(n)))
	if err := within(centres, r.state.Reduction, r.problem.Domain, 2*spacing); err != nil {
		return 0, err
	}
	rows := mat.NewDense(thirdLines*thirdPoints, n, nil)
	for k := range thirdLines {
		line := sample.Direction(rng, n)
		for q := range thirdPoints {
			floats.AddScaledTo(rows.RawRowView(k*thirdPoints+q), centres.RawRowView(k), (float64(q)-1.5)*spacing, line)
		}
	}
	f, err := ask(ctx, r.problem.Oracle, r.state.Reduction, rows)
	if err != nil {
		return 0, err
	}
	squares := 0.0
	for k := range thirdLines {
		y := f[k*thirdPoints:]
		third := ((y[3] - y[0]) - 3*(y[2]-y[1])) / (spacing * spacing * spacing)
		squares += third * third / thirdLines
	}
	return math.Max(math.Sqrt(squares), 4*r.noise/(spacing*spacing*spacing)), nil
}

// noiseLevel estimates the standard deviation of the answers' error near the origin, at least rounding. Its choices are no stage's: a
// run entered after the stage that measured it first measures the same.
func (r *run) noiseLevel(ctx context.Context, x []float64) (float64, error) {
	v := sample.Direction(rand.New(rand.NewPCG(r.settings.Seed, 0x6e6f697365)), len(x))
	least := 0.0
	for k, step := range []float64{1e-5, 1e-3, 1e-2} {
		if r.problem.Domain > 0 { // the points lie up to four steps away
			step = math.Min(step, r.problem.Domain/5)
		}
		noise, agree, err := sample.Noise(ctx, r.problem.Oracle, x, v, step)
		if err != nil {
			return 0, err
		}
		if k == 0 || noise < least {
			least = noise
		}
		if agree {
			least = noise
			break
		}
	}
	y, err := sample.Points(ctx, r.problem.Oracle, [][]float64{x})
	if err != nil {
		return 0, err
	}
	return math.Max(least, 0x1p-53*math.Max(math.Abs(y[0]), 1e-3)), nil
}

// chunkRows bounds how many queries are asked at once: answers are kept as they come.
const chunkRows = 16384

// hessians returns the finite-difference Hessians, of order r, of y -> f(offset + Q y) at the rows of points (N x r); Q has
// orthonormal columns, nil stands for the identity.
func hessians(ctx context.Context, oracle query.Asker, lift *mat.Dense, points *mat.Dense, kind string, h float64, observe func(done, total int)) ([]*mat.SymDense, error) {
	n, r := points.Dims()
	s := newStencil(kind, r)
	per := len(s.points)
	chunk := max(1, chunkRows/per)
	result := make([]*mat.SymDense, 0, n)
	for from := 0; from < n; from += chunk {
		to := min(from+chunk, n)
		rows := mat.NewDense((to-from)*per, r, nil)
		for k := from; k < to; k++ {
			for q, offset := range s.points {
				row := rows.RawRowView((k-from)*per + q)
				floats.AddScaledTo(row, points.RawRowView(k), h, offset)
			}
		}
		f, err := ask(ctx, oracle, lift, rows)
		if err != nil {
			return nil, err
		}
		for k := from; k < to; k++ {
			hessian := mat.NewSymDense(r, nil)
			s.build(f[(k-from)*per:(k-from+1)*per], h, hessian)
			result = append(result, hessian)
		}
		if observe != nil {
			observe(to, n)
		}
	}
	return result, nil
}

// gradients returns the central-difference gradients (n x r) at the rows of points; 2r queries each.
func gradients(ctx context.Context, oracle query.Asker, lift *mat.Dense, points *mat.Dense, h float64) (*mat.Dense, error) {
	n, r := points.Dims()
	result := mat.NewDense(n, r, nil)
	chunk := max(1, chunkRows/(2*r))
	for from := 0; from < n; from += chunk {
		to := min(from+chunk, n)
		rows := mat.NewDense((to-from)*2*r, r, nil)
		for k := from; k < to; k++ {
			for i := range r {
				for q, sign := range []float64{1, -1} {
					row := rows.RawRowView(((k-from)*r+i)*2 + q)
					copy(row, points.RawRowView(k))
					row[i] += sign * h
				}
			}
		}
		f, err := ask(ctx, oracle, lift, rows)
		if err != nil {
			return nil, err
		}
		for k := from; k < to; k++ {
			for i := range r {
				at := ((k-from)*r + i) * 2
				result.Set(k, i, (f[at]-f[at+1])/(2*h))
			}
		}
	}
	return result, nil
}

func ask(ctx context.Context, oracle query.Asker, lift *mat.Dense, rows *mat.Dense) ([]float64, error) {
	if lift == nil {
		return oracle.Ask(ctx, rows)
	}
	var x mat.Dense
	x.Mul(rows, lift.T())
	return oracle.Ask(ctx, &x)
}

// draw returns n points of R^r from the distribution.
func draw(rng *rand.Rand, distribution string, n, r int, radius float64) *mat.Dense {
	points := mat.NewDense(n, r, nil)
	for k := range n {
		row := points.RawRowView(k)
		if distribution == wordGaussian {
			for i := range row {
				row[i] = rng.NormFloat64() * radius / math.Sqrt(float64(r))
			}
			continue
		}
		length := radius
		if distribution == wordBall {
			length *= math.Pow(rng.Float64(), 1/float64(r))
		}
		floats.ScaleTo(row, length, sample.Direction(rng, r))
	}
	return points
}

// within keeps points, and the stencil around them, in the domain: it draws the far ones in towards the origin.
func within(points *mat.Dense, lift *mat.Dense, domain, margin float64) error {
	if domain <= 0 {
		return nil
	}
	if margin >= domain {
		return fault.New(fault.Usage, "the steps of the differences (%.2g) do not fit into the domain |x_k| <= %g; give a smaller step", margin, domain)
	}
	n, _ := points.Dims()
	for k := range n {
		// A point of norm below the bound is in the box, whatever the basis is.
		row := points.RawRowView(k)
		x := row
		if lift != nil {
			var v mat.VecDense
			v.MulVec(lift, mat.NewVecDense(len(row), row))
			x = v.RawVector().Data
		}
		if largest := floats.Norm(x, math.Inf(1)); largest > (domain-margin)*(1-1e-12) {
			floats.Scale((domain-margin)/largest*(1-1e-12), row) // rounding must not carry it over the edge
		}
	}
	return nil
}
