package sample

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
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

// smoothDegree is the degree of the polynomials that noisy profiles are taken for.
const smoothDegree = 3

// smooth replaces the values by those of the polynomial of low degree that comes nearest to them.
func (p *profile) smooth() {
	a := mat.NewDense(nodes, smoothDegree+1, nil)
	for k, t := range p.t {
		power := 1.0
		for j := range smoothDegree + 1 {
			a.Set(k, j, power)
			power *= t / p.half
		}
	}
	var c, f mat.VecDense
	if err := c.SolveVec(a, mat.NewVecDense(nodes, p.f)); err != nil {
		return
	}
	f.MulVec(a, &c)
	p.f = f.RawVector().Data
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
func (s *saturation) noisy() bool { return s.scales.noisy() }

// mostCorrected is how many of its standard deviations a direction may be off.
const mostCorrected = 8

// levers is how often a direction is sharpened at most, and mostReadings by how many readings of each displacement.
const (
	levers       = 12
	mostReadings = 16
)

// lever sharpens a direction that noise has blurred: displacements within the hyperplane as long as the direction's own
// error allows move f by that error times their length. blur is the error of one such reading, in distance along
// Direction.
//
// It reports whether all readings agree with one unit alone being alive there: corrections are no larger than the error was thought to be.
func (s *saturation) lever(ctx context.Context, center []float64, l line, p *profile, u *Unit, blur float64) (bool, error) {
	noisy := s.noisy()
	failed := 0
	longest := s.scales.Saturation / 4
	for range levers {
		length := math.Min(longest, 0.3*u.Width/u.Error)
		single := blur / length * math.Sqrt(float64(s.d))
		readings := int(math.Max(math.Min(math.Ceil(math.Pow(single/(u.Error/2), 2)), float64(s.readings)), 1))
		sharper := 1e-9 + single/math.Sqrt(float64(readings))
		if sharper > u.Error/2 || !noisy && u.Error < 1e-7 {
			break
		}
		basis := frame(s.rng, u.Direction)[1:]
		// Of several readings every other one lies on the other side, and no two are as far out: rounded answers are to differ.
		at := make([]float64, readings)
		var points [][]float64
		for k := range at {
			at[k] = length * (1 - 0.3*float64(k)/float64(readings)) * float64(1-2*(k%2))
			for _, q := range basis {
				points = append(points, along(center, at[k], q))
			}
		}
		y, err := Points(ctx, s.oracle, points)
		if err != nil {
			return false, err
		}
		slant := floats.Dot(u.Direction, l.Direction)
		w := append([]float64(nil), u.Direction...)
		outside := false
		for k, displaced := range at {
			for i, q := range basis {
				t, ok := p.invert(y[k*len(basis)+i])
				outside = outside || !ok
				floats.AddScaled(w, t*slant*displaced/floats.Dot(at, at), q)
			}
		}
		if outside { // another unit is within reach, or the direction is not known as well as it seemed
			if failed++; failed > 2 {
				return !noisy, nil // what is known stays
			}
			longest = length / 4
			continue
		}
		floats.Scale(1/floats.Norm(w, 2), w)
		if floats.Distance(w, u.Direction, 2) > mostCorrected*u.Error && noisy {
			return false, nil
		}
		u.Direction, u.Offset, u.Error = w, -floats.Dot(w, center), sharper
	}
	if !noisy {
		return true, nil
	}
	return s.confirm(ctx, center, l, p, u, blur)
}

// confirm reports whether displacements within the hyperplane, as long as the direction's error allows, move f by no more than that error.
func (s *saturation) confirm(ctx context.Context, center []float64, l line, p *profile, u *Unit, blur float64) (bool, error) {
	const directions = 2
	length := math.Min(s.scales.Saturation/4, 0.3*u.Width/u.Error)
	var points [][]float64
	for range directions {
		v := orthogonal(s.rng, u.Direction)
		points = append(points, along(center, length, v), along(center, -length, v))
	}
	y, err := Points(ctx, s.oracle, points)
	if err != nil {
		return false, err
	}
	slant := floats.Dot(u.Direction, l.Direction)
	for _, value := range y {
		if t, ok := p.invert(value); !ok || math.Abs(t*slant) > mostCorrected*(u.Error*length+blur) {
			return false, nil
		}
	}
	return true, nil
}

// How the hyperplane is followed inwards: until the error of its offset is less than that part of the step's width, or it is met within that part of the saturation radius, where
// others may be alive. A place is asked twice, so far apart, in widths, along the unit's direction.
const (
	offsetWanted = 0.25
	nearestMet   = 1.0 / 16
	readApart    = 0.25
	approaches   = 16 // steps at most
)

// approach follows the hyperplane from center inwards, which sharpens Offset: far out the error of Direction makes it wrong by many widths of the step, and the
// unit would be looked for where it is not alive. On the way in the other units of the first layer stay as saturated as they are, so that the step has the same profile; the
// way ends where it has not.
func (s *saturation) approach(ctx context.Context, center []float64, l line, p *profile, u *Unit, blur float64) error {
	origin := s.scales.Center
	u.OffsetError = u.Error * floats.Distance(center, origin, 2)
	slant := floats.Dot(u.Direction, l.Direction)
	tilt := u.Error // of Direction, in the plane of the way
	for travelled, step := 0.0, 0; u.OffsetError > offsetWanted*u.Width && step < approaches; step++ {
		q := floats.SubTo(make([]float64, len(center)), origin, center)
		floats.AddScaled(q, -floats.Dot(q, u.Direction), u.Direction)
		way := floats.Norm(q, 2)
		floats.Scale(1/way, q)
		remaining := way - travelled
		if remaining <= nearestMet*s.scales.Saturation {
			break
		}
		length := travelled + math.Min(remaining/2, math.Max(travelled, 0.3*u.Width/tilt))
		place := along(center, length, q)
		y, err := Points(ctx, s.oracle, [][]float64{along(place, readApart*u.Width, u.Direction), along(place, -readApart*u.Width, u.Direction)})
		if err != nil {
			return err
		}
		above, ok := p.invert(y[0])
		below, also := p.invert(y[1])
		above, below = above*slant-readApart*u.Width, below*slant+readApart*u.Width
		off := (above + below) / 2
		if !ok || !also || math.Abs(above-below) > mostCorrected*2*blur+0.05*u.Width || math.Abs(off) > mostCorrected*(tilt*length+blur) {
			break
		}
		floats.AddScaled(u.Direction, off/length, q)
		floats.Scale(1/floats.Norm(u.Direction, 2), u.Direction)
		u.Offset = -floats.Dot(u.Direction, center)
		travelled, tilt = length, blur/length
		u.OffsetError = blur + u.Error*floats.Distance(place, origin, 2)
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
	if s.scales.Noise > 1e-4*math.Abs(y[nodes-1]-y[0]) {
		p.smooth()
	}
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
	if ok, err := s.lever(ctx, center, l, p, &u, blur/norm); !ok || err != nil {
		return none, false, err
	}
	if s.scales.Algebraic {
		// What is met of other units' tails within the hyperplane turns the direction.
		u.Error = math.Max(u.Error, math.Abs(y[0]-y[1])/(2*reach)/(slope*norm)*math.Sqrt(float64(s.d)))
		u.Decay = 1 / u.Width
		if s.known(u) {
			return u, true, nil
		}
		ok, err := s.profile(ctx, center, &u)
		return u, ok, err
	}
	if s.known(u) {
		return u, true, nil
	}
	if err := s.approach(ctx, center, l, p, &u, blur/norm); err != nil {
		return none, false, err
	}
	ok, err := s.decay(ctx, center, &u)
	return u, ok, err
}
