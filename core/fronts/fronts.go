// Package fronts identifies networks whose first layer is asymptotically linear (softplus, SiLU, GELU, ELU, leaky ones) and whose second
// saturates exponentially or faster, from far out. There every p_l = b_l . g(A^T x + theta) + tau_l is a piecewise linear function of x, and f
// is constant but for fronts, where one p_l passes through 0. Across a front f is c_l h(p_l) and a constant, so that h and p_l itself are
// seen, exactly.
//
// A front bends where it meets the hyperplane of a unit of the first layer: the gradient of p_l changes by a multiple of a_i there, and
// across the bend p_l is a linear function and a multiple of g(|a_i| s + u), which tells g, norm and shift. So fronts are followed from
// bend to bend. With the first layer known, f is a staircase with straight fronts where all of its units are on their steeper side, and
// each of them shows a unit of the second layer as a whole.
package fronts

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/kinks"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// Candidate is an activation that a layer may have.
type Candidate = kinks.Candidate

// Suits reports whether the two activations are a pair that this package is for.
func Suits(g, h core.Facts) bool { return kinks.Suits(g) && saturates(h) }

// saturates reports whether an activation has two different limits and approaches them exponentially or faster.
func saturates(f core.Facts) bool {
	return f.Saturates() && f.Left.Intercept != f.Right.Intercept && f.Left.Rate > 0 && f.Right.Rate > 0
}

// Settings say what is known. The zero value is the default.
type Settings struct {
	M0, M1      int // sizes of the hidden layers; 0 when not known
	Unexplained int // steps that no candidate explains, before it is certain that none does; 0: 3, as another step may be near
	Observe     func(text string)
}

const (
	first      = 300 // radii of saturation that the first way stays away from the origin
	separation = 1e5 // widths of a front that the others do: what is uncertain of a_i and theta_i grows with its square
	mostWays   = 10  // tried for the first layer
	straightOn = 2   // fronts without a bend, before the first layer counts as one that saturates
	quiet      = 24  // ways on which everything is known, before the second layer counts as complete
)

// Find identifies the network behind the oracle, each layer's activation among its candidates. The error is
// [fault.Unsupported] when it resists, with the reason.
func Find(ctx context.Context, oracle query.Asker, d int, scales sample.Scales, firsts, seconds []Candidate, rng *rand.Rand, settings Settings) (*kinks.Result, error) {
	if settings.Observe == nil {
		settings.Observe = func(string) {}
	}
	if settings.Unexplained == 0 {
		settings.Unexplained = 3
	}
	f := &field{
		oracle: oracle, n: d, x: func(y []float64) []float64 { return y }, radius: first * scales.Saturation,
		change: math.Max(30*scales.Noise, 1e-14*scales.Value),
	}
	s := &search{field: f, rng: rng, settings: settings, saturation: scales.Saturation, first: firsts, second: seconds}
	if err := s.firstLayer(ctx); err != nil {
		return nil, err
	}
	s.planes = s.certain()
	r := &kinks.Result{Zone: scales.Saturation}
	a, theta, err := s.explainFirst(r)
	if err != nil {
		return nil, err
	}
	return r, s.secondLayer(ctx, r, a, theta)
}

// plane is the hyperplane of a unit of the first layer, with the bends of fronts at it.
type plane struct {
	normal []float64
	offset float64 // normal . x = offset
	bends  []bend
}

type search struct {
	*field
	rng        *rand.Rand
	settings   Settings
	saturation float64
	first      []Candidate // candidates for the layers
	second     []Candidate
	misfits    []float64 // the least of each of them
	fronts     []*front
	far        bool // the radius is that of a front's width
	planes     []*plane
	g          core.Function // of the first layer, when it is known, and its slope on its steeper side
	steep      float64
}

// meet takes up a bend; it reports whether the layer is complete as far as that is known.
func (s *search) meet(b bend) bool {
	n := floats.SubTo(make([]float64, s.n), b.behind, b.before)
	size := floats.Norm(n, 2)
	if !(size > 1e-6*floats.Norm(b.before, 2)) {
		return false
	}
	if !s.explicable(b) {
		return false
	}
	floats.Scale(1/size, n)
	if floats.Dot(n, b.direction) < 0 {
		floats.Scale(-1, n)
	}
	offset := floats.Dot(n, b.at)
	for _, p := range s.planes {
		c := math.Copysign(1, floats.Dot(n, p.normal))
		away := floats.AddScaledTo(make([]float64, s.n), n, -c, p.normal)
		if angle := floats.Norm(away, 2); angle < nearlyParallel && math.Abs(offset-c*p.offset) < s.saturation+2*angle*s.radius {
			p.bends = append(p.bends, b)
			return s.complete()
		}
	}
	s.planes = append(s.planes, &plane{n, offset, []bend{b}})
	return s.complete()
}

// complete reports whether there are as many hyperplanes as there can be.
func (s *search) complete() bool {
	count := len(s.certain())
	return s.settings.M0 > 0 && count >= s.settings.M0 || count >= s.n
}

// certain returns the hyperplanes at which fronts were seen to bend more than once, or as much as is usual.
func (s *search) certain() []*plane {
	var all []*plane
	for _, p := range s.planes {
		b := p.bends[0]
		part := floats.Distance(b.before, b.behind, 2) / floats.Norm(b.before, 2)
		if len(p.bends) > 1 || part > slight && part < 1 {
			all = append(all, p)
		}
	}
	return all
}

// slight is the part of a gradient below which a bend that was met only once may be something else.
const slight = 0.02

// explicable reports whether a candidate explains the bend: it is one of one unit only.
func (s *search) explicable(b bend) bool {
	turn := floats.Dot(b.behind, b.direction) - floats.Dot(b.before, b.direction)
	for _, c := range s.first {
		facts := c.Function.Facts()
		for _, sign := range []float64{1, -1} {
			fit, ok := kinks.FitBend(c.Function, b.s, b.p, b.corner(), sign)
			seen := fit.Weight * math.Abs(fit.Norm) * (facts.Right.Slope - facts.Left.Slope)
			if ok && fit.Part < clean && math.Abs(seen-turn) < consistent*math.Abs(turn) {
				return true
			}
		}
	}
	return false
}

// What a bend of one unit leaves at most, and how far the slopes of what explains it may be from those of the gradients on both sides,
// which are taken farther away: another bend may be between.
const (
	clean      = 5e-10
	consistent = 1e-6
)

// nearlyParallel is the angle below which two bends may be those of one unit.
const nearlyParallel = 1e-5

// firstLayer finds the hyperplanes of the first layer.
func (s *search) firstLayer(ctx context.Context) error {
	unexplained := 0
	complete := false
	for range mostWays {
		direction := sample.Direction(s.rng, s.n)
		from := along(along(make([]float64, s.n), s.radius, sample.Direction(s.rng, s.n)), -4*s.radius, direction)
		used := 0
		err := s.steps(ctx, way{from, direction, 8 * s.radius, 17}, func(st step) (bool, error) {
			r, err := s.front(ctx, st)
			if err != nil {
				return true, err
			}
			if r == nil {
				if unexplained++; unexplained >= s.settings.Unexplained && len(s.fronts) == 0 {
					return true, fault.New(fault.Unsupported, "far out no activation of a second layer that saturates explains the steps of f")
				}
				return false, nil
			}
			if !s.far { // now it is known how far out is far
				s.radius, s.far, s.fronts = separation/r.slope, true, nil
				return true, nil
			}
			meet := func(b bend) bool { complete = s.meet(b) || complete; return complete }
			w := sample.Direction(s.rng, s.n)
			for _, sign := range []float64{1, -1} {
				floats.Scale(sign, w)
				if err := s.walk(ctx, r, w, meet); err != nil || complete {
					return true, err
				}
				s.settings.Observe(fmt.Sprintf("first layer: %d units along %d fronts", len(s.planes), len(s.fronts)))
			}
			if len(s.planes) == 0 && len(s.fronts) >= straightOn {
				return true, fault.New(fault.Unsupported, "far out the steps of f do not bend: its first layer saturates")
			}
			complete, err = s.blind(ctx)
			used++
			return complete || used == frontsOfWay, err
		})
		if err != nil || complete {
			return err
		}
	}
	return fault.New(fault.Unsupported, "fronts far out show %d units of the first layer, and f depends on more", len(s.planes))
}

// frontsOfWay is how many fronts of one way are followed: more are those of the same units, mostly.
const frontsOfWay = 2

// front explains a step and asks for its gradient; nil where that is not possible.
func (s *search) front(ctx context.Context, st step) (*front, error) {
	r, _, misfits, err := s.explain(ctx, st, s.second)
	if err != nil {
		return nil, err
	}
	if s.misfits == nil {
		s.misfits = misfits
	}
	for c, m := range misfits { // a neighbour may spoil any
		s.misfits[c] = math.Min(s.misfits[c], m)
	}
	if r == nil {
		return nil, nil
	}
	gradient, ok, err := s.differentiate(ctx, r, r.at)
	if err != nil || !ok {
		return nil, err
	}
	r.gradient, r.slope = gradient, floats.Norm(gradient, 2)
	s.fronts = append(s.fronts, r)
	return r, nil
}

// blind reports whether f does not change in a direction that no hyperplane found sees.
func (s *search) blind(ctx context.Context) (bool, error) {
	certain := s.certain()
	if len(certain) == 0 || len(certain) >= s.n {
		return false, nil
	}
	normals := mat.NewDense(s.n, len(certain), nil)
	for k, p := range certain {
		normals.SetCol(k, p.normal)
	}
	var ys [][]float64
	for range 3 {
		v := mat.NewVecDense(s.n, sample.Direction(s.rng, s.n))
		for range 2 {
			var share, seen mat.VecDense
			if err := share.SolveVec(normals, v); err != nil && share.Len() == 0 {
				return false, nil
			}
			seen.MulVec(normals, &share)
			v.SubVec(v, &seen)
		}
		v.ScaleVec(s.saturation/mat.Norm(v, 2), v)
		at := sample.Direction(s.rng, s.n)
		floats.Scale(s.saturation/30, at)
		ys = append(ys, at, floats.AddTo(make([]float64, s.n), at, v.RawVector().Data))
	}
	values, err := s.ask(ctx, ys...)
	if err != nil {
		return false, err
	}
	for k := 0; k < len(values); k += 2 {
		if math.Abs(values[k]-values[k+1]) > 1e-6*math.Abs(s.fronts[0].high-s.fronts[0].low) {
			return false, nil
		}
	}
	return true, nil
}
