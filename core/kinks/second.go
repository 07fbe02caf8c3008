package kinks

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
)

// second finds the second layer where every unit of the first is on its steeper asymptote, far from its bend: there f is a network of
// one hidden layer in z.
func (r *Result) second(ctx context.Context, plane *field, a *mat.Dense, rng *rand.Rand, candidates []Candidate, settings Settings) error {
	m0, d := a.Dims()
	facts := r.G.Function.Facts()
	steep, side := facts.Right, 1.0
	if math.Abs(facts.Left.Slope) > math.Abs(facts.Right.Slope) {
		steep, side = facts.Left, -1
	}
	cone := &field{oracle: plane.oracle, n: m0, noise: plane.noise, x: func(u []float64) []float64 { return r.latent.point(u) }}
	margin := 1.5 * Width(r.G.Function)
	// Coordinates of very different size: which of them are large decides which units of the second layer are alive.
	far := func(radius float64) []float64 {
		u := make([]float64, m0)
		uneven := 1 + 3*rng.Float64()
		for i := range u {
			u[i] = math.Exp(uneven * rng.NormFloat64())
		}
		floats.Scale(side*radius/floats.Norm(u, 2), u)
		for i := range u {
			u[i] += side * margin
		}
		return u
	}
	// Where the a_i are nearly dependent x is longer than u, and a_i . x is rounded accordingly.
	norm := 0.0
	for i := range m0 {
		norm = math.Max(norm, floats.Norm(a.RawRowView(i), 2))
	}
	for range 5 {
		u := far(plane.radius)
		cone.noise = math.Max(cone.noise, plane.noise*norm*floats.Norm(cone.x(u), 2)/floats.Norm(u, 2))
	}
	corner := make([]float64, m0)
	var rays [][]float64
	for range 4 {
		v := make([]float64, m0)
		for i := range v {
			v[i] = side * (0.2 + rng.Float64())
		}
		floats.Scale(1/floats.Norm(v, 2), v)
		rays = append(rays, v)
	}
	if err := cone.measure(ctx, corner, rays); err != nil {
		return err
	}
	cone.zone = math.Max(cone.zone, 4*margin)
	cone.radius = 10 * separation * cone.zone
	s := &search{field: cone, rng: rng}
	s.place = func(h *hyperplane, radius float64) []float64 {
		for range 1000 {
			from, to := far(radius), far(radius)
			a, b := floats.Dot(h.normal, from)-h.offset, floats.Dot(h.normal, to)-h.offset
			if a*b < 0 {
				return along(from, a/(a-b), floats.SubTo(make([]float64, m0), to, from))
			}
		}
		return nil
	}
	s.line = func() line {
		from, to := far(cone.radius), far(cone.radius)
		v := floats.SubTo(make([]float64, m0), to, from)
		length := floats.Norm(v, 2)
		floats.Scale(1/length, v)
		return line{from, v, 0, length}
	}
	for idle, explained := 0, false; idle < idleSecond || !explained; {
		added, err := s.step(ctx)
		if err != nil {
			return err
		}
		if idle++; added > 0 {
			idle = 0
		}
		settings.Observe(fmt.Sprintf("second layer: %d units after %d lines", len(s.found), s.lines))
		if settings.M1 > 0 && len(s.found) >= settings.M1 {
			break
		}
		if len(s.found) > m0 {
			return fault.New(fault.Unsupported, "the second layer has more units than the first: kinks do not tell them apart")
		}
		rest := 0.0
		for _, h := range s.found {
			_, r, err := shares(s.found, h.before)
			if err != nil {
				return err
			}
			rest = math.Max(rest, r/(floats.Norm(h.before, 2)+math.Abs(h.jump)))
		}
		explained = rest <= unseenSlopes
		if s.lines >= mostSecond {
			return fault.New(fault.Unsupported, "after %d lines %.1e of the gradient is due to units of the second layer that were not found: they may never bend where the first layer is linear", s.lines, rest)
		}
	}
	if len(s.found) == 0 {
		return fault.New(fault.Unsupported, "no unit of the second layer bends where the first layer is linear")
	}
	var shapes []shape
	var err error
	if r.H, shapes, r.Second, err = explain(ctx, cone, s.found, s.place, candidates); err != nil {
		return err
	}
	m1 := len(s.found)
	n := network.New(d, m0, m1, r.G.Name, r.H.Name)
	n.First.Weight.Copy(a)
	copy(n.First.Bias, r.latent.theta)
	for l, h := range s.found {
		// p = norm normal . u + center - norm offset, and z = steep.Slope u + steep.Intercept.
		n.Second.Bias[l] = shapes[l].center - shapes[l].norm*h.offset
		for i, v := range h.normal {
			w := shapes[l].norm * v / steep.Slope
			n.Second.Weight.Set(l, i, w)
			n.Second.Bias[l] -= w * steep.Intercept
		}
		n.Output[l] = shapes[l].weight
	}
	r.Network = n
	return nil
}

// Width returns the distance from which an activation is its asymptotes to rounding.
func Width(g core.Function) float64 {
	facts := g.Facts()
	for t := 1.0; ; t *= 1.5 {
		v := []float64{-t, t}
		g.Apply(0, v, v)
		left, right := facts.Left.Intercept-facts.Left.Slope*t, facts.Right.Intercept+facts.Right.Slope*t
		if math.Abs(v[0]-left) <= 1e-16 && math.Abs(v[1]-right) <= 1e-16*t || t > 1e6 {
			return t
		}
	}
}

// Near returns a random x at which every unit of the first layer is alive: |u_i| <= reach.
func (r *Result) Near(rng *rand.Rand, reach float64) []float64 {
	d, m0 := r.latent.inverse.Dims()
	u := make([]float64, m0)
	for i := range u {
		u[i] = reach * (2*rng.Float64() - 1)
	}
	x := r.latent.point(u)
	if m0 < d { // what no unit sees must be seen not to matter
		free := sphere(rng, d, floats.Norm(x, 2)+1)
		seen := mat.NewVecDense(m0, nil)
		seen.MulVec(r.Network.First.Weight, mat.NewVecDense(d, free))
		back := mat.NewVecDense(d, nil)
		back.MulVec(r.latent.inverse, seen)
		floats.Add(x, free)
		floats.Sub(x, back.RawVector().Data)
	}
	return x
}

// Points returns count places for a fit of all parameters: at half of them every unit of the first layer is alive, at the others one
// unit of the second, all in turn. At random points some may be on one side of their bend throughout.
func (r *Result) Points(rng *rand.Rand, count int) [][]float64 {
	const (
		reach   = 3 // of the arguments of units that are alive
		farther = 12
		draws   = 60
	)
	m0, m1 := r.Network.Sizes()
	points := make([][]float64, count)
	z := make([]float64, m0)
	for k := range points {
		if k%2 == 0 {
			points[k] = r.Near(rng, reach)
			continue
		}
		l := k / 2 % m1
		wanted := reach * (2*rng.Float64() - 1)
		least := math.Inf(1)
		for range draws {
			x := r.Near(rng, farther*rng.Float64())
			for i := range z {
				z[i] = floats.Dot(r.Network.First.Weight.RawRowView(i), x) + r.Network.First.Bias[i]
			}
			r.G.Function.Apply(0, z, z)
			p := floats.Dot(r.Network.Second.Weight.RawRowView(l), z) + r.Network.Second.Bias[l]
			if away := math.Abs(p - wanted); away < least {
				points[k], least = x, away
			}
		}
	}
	return points
}
