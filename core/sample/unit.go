package sample

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
)

// nodes is the number of Chebyshev points that a step's profile is interpolated at.
const nodes = 9

// profile is the polynomial through f at Chebyshev points of [-half, half], monotone there.
type profile struct {
	half    float64
	t, f, w []float64 // nodes, values, barycentric weights
}

func newProfile(half float64) *profile {
	p := &profile{half: half}
	for k := range nodes {
		angle := math.Pi * float64(2*k+1) / (2 * nodes)
		p.t = append(p.t, -half*math.Cos(angle))
		p.w = append(p.w, math.Copysign(math.Sin(angle), 1-2*float64(k%2)))
	}
	return p
}

func (p *profile) value(t float64) float64 {
	var above, below float64
	for k, node := range p.t {
		if t == node {
			return p.f[k]
		}
		q := p.w[k] / (t - node)
		above += q * p.f[k]
		below += q
	}
	return above / below
}

func (p *profile) monotone() bool {
	for k := 2; k < nodes; k++ {
		if (p.f[k]-p.f[k-1])*(p.f[1]-p.f[0]) <= 0 {
			return false
		}
	}
	return p.f[1] != p.f[0]
}

// invert returns t with value(t) = y, and false when there is none within the nodes.
func (p *profile) invert(y float64) (float64, bool) {
	a, b := p.t[0], p.t[nodes-1]
	fa, fb := p.f[0], p.f[nodes-1]
	if (y-fa)*(y-fb) > 0 {
		return 0, false
	}
	for range 200 {
		// Regula falsi, Illinois variant by halves: safe and fast on nearly straight profiles.
		m := a + (b-a)*(y-fa)/(fb-fa)
		if !(m > math.Min(a, b) && m < math.Max(a, b)) {
			break
		}
		fm := p.value(m)
		if fm == y || math.Abs(b-a) < 1e-15*p.half {
			return m, true
		}
		if (fm-y)*(fb-y) < 0 {
			a, fa = b, fb
		} else {
			fa = y + (fa-y)/2
		}
		b, fb = m, fm
		if math.Abs(fm-y) <= 1e-16*math.Abs(y) {
			break
		}
	}
	return b, true
}

// noisy reports whether noise, not interpolation, bounds what a step tells.
func (s *saturation) noisy() bool { return s.scales.Noise > 1e-12*s.scales.Value }

// lever sharpens a direction that noise has blurred: displacements within the hyperplane as long as the direction's own
// error allows move f by that error times their length. blur is the error of one such reading, in distance along
// Direction.
func (s *saturation) lever(ctx context.Context, center []float64, l line, p *profile, u *Unit, blur float64) error {
	for range 3 {
		length := math.Min(s.scales.Saturation/4, 0.3*u.Width/u.Error)
		sharper := 1e-9 + blur/length*math.Sqrt(float64(s.d))
		if sharper > u.Error/4 || u.Error < 1e-7 {
			return nil
		}
		basis := frame(s.rng, u.Direction)[1:]
		points := make([][]float64, len(basis))
		for i, q := range basis {
			points[i] = along(center, length, q)
		}
		y, err := Points(ctx, s.oracle, points)
		if err != nil {
			return err
		}
		slant := floats.Dot(u.Direction, l.Direction)
		w := append([]float64(nil), u.Direction...)
		for i, q := range basis {
			t, ok := p.invert(y[i])
			if !ok {
				return nil // another unit is within reach: what is known stays
			}
			floats.AddScaled(w, t*slant/length, q)
		}
		floats.Scale(1/floats.Norm(w, 2), w)
		u.Direction, u.Offset, u.Error = w, -floats.Dot(w, center), sharper
	}
	return nil
}

func (s *saturation) distance(x []float64) float64 { return floats.Norm(x, math.Inf(1)) }

// unit measures the unit whose step has the given core on l: the direction by inverting the step's profile at points
// displaced along an orthonormal frame, a check that nothing else is alive there, and the decay of the tails.
func (s *saturation) unit(ctx context.Context, l line, c steep) (Unit, bool, error) {
	none := Unit{}
	center := l.at(c.center)
	p := newProfile(c.half)
	if !s.noisy() {
		p = newProfile(0.4 * c.half) // the interpolation's error, not noise, is what counts
	}
	here := line{Origin: center, Direction: l.Direction}
	y, err := here.ask(ctx, s.oracle, p.t)
	if err != nil {
		return none, false, err
	}
	p.f = y
	if !p.monotone() {
		return none, false, nil
	}
	basis := frame(s.rng, l.Direction)
	r := append([]float64(nil), l.Direction...)
	step := p.half / 3
	least := step // the smallest displacement used
	todo := basis[1:]
	for try := 0; len(todo) > 0; try++ {
		if try == 12 {
			return none, false, nil // f moves along some direction in a way that its own profile does not know
		}
		points := make([][]float64, len(todo))
		for i, q := range todo {
			points[i] = along(center, step, q)
		}
		y, err := Points(ctx, s.oracle, points)
		if err != nil {
			return none, false, err
		}
		var again [][]float64
		for i, q := range todo {
			if t, ok := p.invert(y[i]); ok {
				floats.AddScaled(r, t/step, q)
			} else {
				again = append(again, q)
			}
		}
		todo = again
		if len(todo) > 0 {
			step /= 4
			least = step
		}
	}
	norm := floats.Norm(r, 2)
	floats.Scale(1/norm, r)
	u := Unit{Direction: r, Offset: -floats.Dot(r, center), Width: c.half / norm}

	// What noise and the grid of x leave of a displacement along the line, and so of the direction.
	swing := math.Abs(p.f[nodes-1] - p.f[0])
	slope := swing / (2 * p.half)
	blur := s.scales.Noise/slope + s.scales.Grid*s.distance(center)
	u.Error = 1e-9 + blur/least*math.Sqrt(float64(s.d))/norm

	// Purity: moving within the hyperplane, far enough to move every other unit that is alive, changes nothing but by the
	// direction's error.
	v := orthogonal(s.rng, r)
	reach := math.Min(s.scales.Saturation/4, 0.02*u.Width/u.Error)
	y, err = Points(ctx, s.oracle, [][]float64{along(center, reach, v), along(center, -reach, v)})
	if err != nil {
		return none, false, err
	}
	allowed := s.tolerance() + 1e-4*swing + slope*norm*(5*u.Error*reach+10*s.scales.Grid*s.distance(center))
	if f0 := p.value(0); math.Abs(y[0]-f0) > allowed || math.Abs(y[1]-f0) > allowed {
		return none, false, nil
	}
	if err := s.lever(ctx, center, l, p, &u, blur/norm); err != nil {
		return none, false, err
	}
	if s.known(u) {
		return u, true, nil
	}
	ok, err := s.decay(ctx, center, &u)
	return u, ok, err
}
