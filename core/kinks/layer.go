package kinks

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/sample"
)

// hyperplane is where a unit bends f: normal . y = offset.
type hyperplane struct {
	normal []float64 // unit vector
	offset float64
	at     []float64 // a point of it with no other kink near
	jump   float64   // of f's slope along the normal, when going across at that point
	bound  float64   // what is uncertain of the normal
	// Gradients of f before and behind, in the direction of the normal.
	before, behind []float64
}

// candidate makes a hyperplane of a kink with known gradients on both sides; nil when the jump is within what is uncertain.
func (f *field) candidate(l line, k kink, level float64) *hyperplane {
	if k.left.gradient == nil || k.right.gradient == nil {
		return nil
	}
	normal := floats.SubTo(make([]float64, f.n), k.right.gradient, k.left.gradient)
	jump := floats.Norm(normal, 2)
	bound := level * math.Sqrt(float64(f.n)) * (1/k.left.delta + 1/k.right.delta) / jump
	if !(bound < 1e-4) || math.IsNaN(k.t) || k.t <= l.from || k.t >= l.to {
		return nil
	}
	floats.Scale(1/jump, normal)
	h := &hyperplane{normal: normal, at: l.at(k.t), jump: jump, bound: bound, before: k.left.gradient, behind: k.right.gradient}
	if floats.Dot(normal, l.direction) < 0 { // across along the normal means from before to behind
		floats.Scale(-1, normal)
		h.jump = -jump
	}
	h.offset = floats.Dot(normal, h.at)
	return h
}

// parallel is how far the cosine of two normals may be from one for them to count as the same: more than their bounds at times allow, and
// much less than units that a network needs both of.
const parallel = 1e-9

// same reports whether the two describe one hyperplane.
func (f *field) same(a, b *hyperplane) bool {
	c := floats.Dot(a.normal, b.normal)
	bound := math.Hypot(a.bound, b.bound) + 1e-12
	if f.n > 1 && 1-math.Abs(c) > 10*bound*bound+parallel {
		return false
	}
	return math.Abs(a.offset-math.Copysign(b.offset, c*b.offset)) <= 0.1*f.zone+10*bound*f.radius
}

// meets returns where the line crosses the hyperplane.
func (h *hyperplane) meets(l line) float64 {
	return (h.offset - floats.Dot(h.normal, l.origin)) / floats.Dot(h.normal, l.direction)
}

// anywhere gives random points of a hyperplane of the whole space.
func (f *field) anywhere(rng *rand.Rand) func(h *hyperplane, radius float64) []float64 {
	return func(h *hyperplane, radius float64) []float64 {
		y := sphere(rng, f.n, radius)
		return along(y, h.offset-floats.Dot(y, h.normal), h.normal)
	}
}

// search is what has been found of a layer.
type search struct {
	*field
	rng   *rand.Rand
	found []*hyperplane
	lines int
	line  func() line
	place func(h *hyperplane, radius float64) []float64 // a random point of a hyperplane; nil when there is none
}

// step follows one line and takes up the hyperplanes on it that are new.
func (s *search) step(ctx context.Context) (added int, err error) {
	s.lines++
	l := s.line()
	kinks, level, err := s.trace(ctx, s.rng, l)
	if err != nil {
		return 0, err
	}
	var wanted []*piece
	var fresh []kink
	for _, k := range kinks {
		if !s.explained(l, k) {
			fresh = append(fresh, k)
			for _, p := range []*piece{k.left, k.right} {
				if len(wanted) == 0 || wanted[len(wanted)-1] != p {
					wanted = append(wanted, p)
				}
			}
		}
	}
	if err := s.gradients(ctx, l, wanted, level); err != nil {
		return 0, err
	}
	var candidates []*hyperplane
	for _, k := range fresh {
		if h := s.candidate(l, k, level); h != nil {
			candidates = append(candidates, h)
		}
	}
	if candidates, err = s.recurring(ctx, candidates); err != nil {
		return 0, err
	}
next:
	for _, h := range candidates {
		for _, other := range s.found {
			if s.same(h, other) {
				continue next
			}
		}
		s.found = append(s.found, h)
		added++
	}
	return added, nil
}

// explained reports whether a known hyperplane is where the kink is.
func (s *search) explained(l line, k kink) bool {
	for _, h := range s.found {
		slant := math.Abs(floats.Dot(h.normal, l.direction))
		if math.Abs(h.meets(l)-k.t)*slant <= 1e-2*s.zone*slant+1e-3*s.zone+10*h.bound*s.radius {
			return true
		}
	}
	return false
}

// Of a unit of the layer that is looked for every point of the hyperplane is a kink, unless f is constant there because no unit behind
// is alive. Of a unit of the second layer the kinks bend at every hyperplane of the first, and two kinks that could not be told apart
// are one nowhere else. So a candidate is tried at random points: it needs so many passes, more where it failed (which another kink
// nearby can cause), and goes after so many failures or trials.
const (
	passes   = 3
	failures = 3
	trials   = 20
	// Farther out than lines run, other kinks are seldom near: one trial in forty fails because of one, at the radius one in four.
	probeRadius = 5
)

// recurring returns the candidates whose kinks are met wherever their hyperplanes are.
func (s *search) recurring(ctx context.Context, candidates []*hyperplane) ([]*hyperplane, error) {
	passed, failed, tries := make([]int, len(candidates)), make([]int, len(candidates)), make([]int, len(candidates))
	accepted := func(k int) bool { return passed[k] >= passes+3*failed[k] }
	reach := s.zone
	for {
		var tried []int
		var points [][]float64
		for k, h := range candidates {
			if accepted(k) || failed[k] >= failures || tries[k] >= trials {
				continue
			}
			y := s.place(h, probeRadius*s.radius)
			if y == nil {
				failed[k] = failures
				continue
			}
			for _, t := range []float64{-2, -1, 1, 2} {
				points = append(points, along(y, t*reach, h.normal))
			}
			tried = append(tried, k)
		}
		if len(tried) == 0 {
			break
		}
		values, err := s.ask(ctx, points)
		if err != nil {
			return nil, err
		}
		for i, k := range tried {
			tries[k]++
			v := values[4*i : 4*i+4]
			level := s.noise * math.Max(math.Max(math.Abs(v[0]), math.Abs(v[3])), math.Max(math.Abs(v[1]), math.Abs(v[2])))
			a, b := germ{-reach, v[1], (v[1] - v[0]) / reach}, germ{reach, v[2], (v[3] - v[2]) / reach}
			uncertain := 4*level/math.Abs(a.slope-b.slope) + 4*candidates[k].bound*probeRadius*s.radius
			switch small := 100 * level / reach; {
			case math.Abs(a.slope-b.slope) > small && math.Abs(crossing(a, b)) <= 1e-3*s.zone+uncertain && uncertain < s.zone/10:
				passed[k]++
			case math.Abs(a.slope) > small || math.Abs(b.slope) > small:
				failed[k]++
			}
		}
	}
	var kept []*hyperplane
	for k, h := range candidates {
		if accepted(k) {
			kept = append(kept, h)
		}
	}
	return kept, nil
}

// blind reports whether f changes nowhere in a direction that none of the normals found sees: false means that a
// unit is missing. With as many normals as inputs there is no such direction.
func (s *search) blind(ctx context.Context) (bool, error) {
	if len(s.found) >= s.n {
		return true, nil
	}
	if len(s.found) == 0 {
		return false, nil
	}
	normals := mat.NewDense(s.n, len(s.found), nil)
	for k, h := range s.found {
		normals.SetCol(k, h.normal)
	}
	var points [][]float64
	const pairs = 5
	step := s.radius / 30
	for range pairs {
		v := sample.Direction(s.rng, s.n)
		var fit mat.VecDense
		if err := fit.SolveVec(normals, mat.NewVecDense(s.n, v)); err != nil && fit.Len() == 0 {
			return false, nil
		}
		across := mat.NewVecDense(s.n, nil)
		across.MulVec(normals, &fit)
		floats.Sub(v, across.RawVector().Data)
		floats.Scale(1/floats.Norm(v, 2), v)
		// On one of the two sides a unit that is silent on the other is alive.
		y := sphere(s.rng, s.n, s.radius)
		opposite := floats.ScaleTo(make([]float64, s.n), -1, y)
		points = append(points, y, along(y, step, v), opposite, along(opposite, step, v))
	}
	values, err := s.ask(ctx, points)
	if err != nil {
		return false, err
	}
	for k := range len(values) / 2 {
		a, b := values[2*k], values[2*k+1]
		if math.Abs(a-b) > (100*s.noise+1e-10)*math.Max(math.Abs(a), math.Abs(b)) {
			return false, nil
		}
	}
	return true, nil
}

// shares writes a gradient as a sum over the normals: the least squares coefficients, and what remains.
func shares(found []*hyperplane, gradient []float64) (coefficients []float64, rest float64, err error) {
	n := len(gradient)
	normals := mat.NewDense(n, len(found), nil)
	for k, h := range found {
		normals.SetCol(k, h.normal)
	}
	var fit mat.VecDense
	if err := fit.SolveVec(normals, mat.NewVecDense(n, gradient)); err != nil && fit.Len() == 0 {
		return nil, 0, fault.New(fault.Unsupported, "the directions found are dependent: %w", err)
	}
	across := mat.NewVecDense(n, nil)
	across.MulVec(normals, &fit)
	return fit.RawVector().Data, floats.Distance(gradient, across.RawVector().Data, 2), nil
}
