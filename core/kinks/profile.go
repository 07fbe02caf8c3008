package kinks

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// profile is f across a hyperplane, along its normal: alpha + beta s + w g(norm s + center) of the unit behind it, since all
// other units are linear there.
type profile struct {
	at    []float64 // a point of the hyperplane, s = 0
	s, f  []float64
	width float64 // the distance within which f is not yet one of its asymptotes; 0 where none was seen
	sharp bool    // f is one of its asymptotes as near to the hyperplane as was looked: a kink
	level float64 // standard deviation of the answers' error
}

// Profiles are taken so many zones from the origin, nearer than lines run, since what is uncertain of a normal counts with the
// distance; places at which another kink is too near, or at which no unit behind is alive, are left for others.
const (
	placeRadius = 100
	places      = 12
)

// profiles asks for the profiles of all hyperplanes given, in a few rounds; place gives a random point of a hyperplane. Where
// no good place is found the profile has no width.
func (f *field) profiles(ctx context.Context, planes []*hyperplane, place func(h *hyperplane) []float64) ([]*profile, error) {
	result := make([]*profile, len(planes))
	outer := f.zone / 4
	left, right := make([]germ, len(planes)), make([]germ, len(planes))
	ask := func(which []int, steps func(k int) []float64) error {
		var points [][]float64
		for _, k := range which {
			for _, s := range steps(k) {
				points = append(points, along(result[k].at, s, planes[k].normal))
			}
		}
		values, err := f.ask(ctx, points)
		if err != nil {
			return err
		}
		for _, k := range which {
			s := steps(k)
			result[k].s = append(result[k].s, s...)
			result[k].f = append(result[k].f, values[:len(s)]...)
			values = values[len(s):]
		}
		return nil
	}
	var open, missing []int
	for k := range planes {
		missing = append(missing, k)
	}
	for range places {
		for _, k := range missing {
			result[k] = &profile{at: place(planes[k])}
			if result[k].at == nil {
				return nil, fault.New(fault.Internal, "a hyperplane that was met far out is not met nearer to the origin")
			}
		}
		if err := ask(missing, func(int) []float64 { return []float64{-2 * outer, -outer, outer, 2 * outer} }); err != nil {
			return nil, err
		}
		var again []int
		for _, k := range missing {
			p := result[k]
			left[k] = germ{-outer, p.f[1], (p.f[1] - p.f[0]) / outer}
			right[k] = germ{outer, p.f[2], (p.f[3] - p.f[2]) / outer}
			for _, v := range p.f {
				p.level = math.Max(p.level, f.noise*math.Abs(v))
			}
			jump := math.Abs(right[k].slope - left[k].slope)
			away := math.Abs(crossing(left[k], right[k]))
			if jump > 0.1*math.Abs(planes[k].jump) && away <= 1e-7*f.zone+4*p.level/jump+10*planes[k].bound*(floats.Norm(p.at, 2)+floats.Norm(planes[k].at, 2)) {
				open = append(open, k)
			} else {
				again = append(again, k)
			}
		}
		missing = again
	}
	// Closer and closer, until f leaves its asymptotes by a good part of what their corner would allow.
	for s := outer / 3; len(open) > 0 && s > 1e-9*outer; s /= 3 {
		step := s
		if err := ask(open, func(int) []float64 { return []float64{-step, step} }); err != nil {
			return nil, err
		}
		var still []int
		for _, k := range open {
			p := result[k]
			n := len(p.f)
			away := math.Max(math.Abs(p.f[n-2]-left[k].predict(-s)), math.Abs(p.f[n-1]-right[k].predict(s)))
			if away > 0.1*math.Abs(right[k].slope-left[k].slope)*s {
				p.width = s
			} else {
				still = append(still, k)
			}
		}
		open = still
	}
	for _, k := range open {
		result[k].sharp = true
	}
	var wide []int
	for k, p := range result {
		if p.width > 0 {
			wide = append(wide, k)
		}
	}
	err := ask(wide, func(k int) []float64 {
		var s []float64
		for _, m := range []float64{0.15, 0.4, 0.8, 1.3, 2, 4} {
			s = append(s, -m*result[k].width, m*result[k].width)
		}
		return append(s, 0)
	})
	return result, err
}

// shape is a profile explained by an activation.
type shape struct {
	norm   float64 // negative when the unit's argument falls along the normal
	center float64 // the unit's argument at s = 0
	weight float64
	misfit float64 // root mean square residual over the answers' error
	part   float64 // root mean square residual over the size of the bend
}

// Bend is a bend of one unit of the first layer explained by an activation: along a way across it, the function is a linear one and a
// multiple of g(Norm s + Center).
type Bend struct {
	Norm, Center float64
	Weight       float64 // the multiple
	Part         float64 // root mean square residual over the range of the values
}

// FitBend explains values at places s of a way by g; sign is that of the norm, corner is about where the asymptotes meet. It reports false
// where they cannot be explained at all.
func FitBend(g core.Function, s, values []float64, corner, sign float64) (Bend, bool) {
	if len(s) < 6 {
		return Bend{}, false
	}
	moved := append([]float64(nil), s...)
	floats.AddConst(-corner, moved)
	near := make([]float64, len(s))
	for k, at := range moved {
		near[k] = math.Abs(at)
	}
	slices.Sort(near)
	size := floats.Max(values) - floats.Min(values)
	best := Bend{Part: math.Inf(1)}
	for _, k := range []int{1, len(near) / 4, len(near) / 2, len(near) - 1} { // starts are within a factor of 30 of the inverse of a width
		p := &profile{s: moved, f: values, width: math.Max(near[k], math.SmallestNonzeroFloat64), level: 1}
		if fit, ok := p.fit(g, sign); ok && fit.misfit/size < best.Part {
			best = Bend{fit.norm, fit.center - fit.norm*corner, fit.weight, fit.misfit / size}
		}
	}
	return best, !math.IsInf(best.Part, 1)
}

// corner is where the asymptotes of an activation meet.
func corner(f core.Facts) float64 {
	return (f.Left.Intercept - f.Right.Intercept) / (f.Right.Slope - f.Left.Slope)
}

// fit explains the profile by g; sign is that of the norm.
func (p *profile) fit(g core.Function, sign float64) (shape, bool) {
	n := len(p.s)
	if p.width == 0 {
		return shape{}, false
	}
	u := make([]float64, n)
	design := mat.NewDense(n, 5, nil)
	// linear fits alpha, beta and w for a norm and a center.
	linear := func(norm, center float64) (coefficients []float64, residual []float64) {
		for k, s := range p.s {
			u[k] = norm*s + center
		}
		g.Apply(0, u, u)
		m := mat.NewDense(n, 3, nil)
		for k, s := range p.s {
			m.SetRow(k, []float64{1, s / p.width, u[k]})
		}
		c, ok := leastSquares(m, p.f)
		if !ok {
			return nil, nil
		}
		r := mat.NewVecDense(n, nil)
		r.MulVec(m, mat.NewVecDense(3, c))
		return c, floats.SubTo(make([]float64, n), r.RawVector().Data, p.f)
	}
	size := func(r []float64) float64 { return floats.Norm(r, 2) / math.Sqrt(float64(n)) }
	best := shape{misfit: math.Inf(1), center: corner(g.Facts())}
	var c, r []float64
	for k := range 49 {
		norm := sign / p.width * math.Pow(10, float64(k-24)/16)
		if cn, rn := linear(norm, best.center); rn != nil && size(rn) < best.misfit {
			best.norm, best.misfit, c, r = norm, size(rn), cn, rn
		}
	}
	if c == nil {
		return shape{}, false
	}
	slope := make([]float64, n)
	for range 30 { // Gauss-Newton on all five, alpha, beta and w projected out again after each step
		for k, s := range p.s {
			u[k] = best.norm*s + best.center
		}
		g.Apply(1, slope, u)
		g.Apply(0, u, u)
		for k, s := range p.s {
			design.SetRow(k, []float64{1, s / p.width, u[k], c[2] * slope[k] * s * best.norm, c[2] * slope[k]})
		}
		step, ok := leastSquares(design, r)
		if !ok {
			break
		}
		improved := false
		for scale := 1.0; scale > 1e-3; scale /= 4 {
			norm, center := best.norm*math.Exp(-scale*step[3]), best.center-scale*step[4]
			if cn, rn := linear(norm, center); rn != nil && size(rn) < best.misfit {
				improved = size(rn) < 0.9*best.misfit
				best.norm, best.center, best.misfit, c, r = norm, center, size(rn), cn, rn
				break
			}
		}
		if !improved {
			break
		}
	}
	best.weight = c[2]
	best.part = best.misfit / math.Abs(best.weight)
	best.misfit /= p.level
	return best, true
}

// leastSquares reports false where the columns are dependent to rounding.
func leastSquares(m *mat.Dense, b []float64) ([]float64, bool) {
	var qr mat.QR
	qr.Factorize(m)
	var x mat.VecDense
	if err := qr.SolveVecTo(&x, false, mat.NewVecDense(len(b), b)); err != nil {
		if _, ill := err.(mat.Condition); !ill || x.Len() == 0 {
			return nil, false
		}
	}
	v := x.RawVector().Data
	for _, c := range v {
		if math.IsNaN(c) || math.IsInf(c, 0) {
			return nil, false
		}
	}
	return v, true
}
