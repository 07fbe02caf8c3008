package recover

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
)

// Shifts is what the first layer's latent coordinates leave open, if its activation is G: u_i = Stretch_i v_i + Delta_i.
type Shifts struct {
	Activation int // the index of G in Settings.Activations
	G          core.Function
	Stretch    []float64
	Delta      []float64
	// Misfit is, for each unit, the mean squared relative difference between gradients seen and explained.
	Misfit []float64
	// Trusted are the units whose shift explains the gradients about as well as most units' do, with the norm that
	// saturation sampling measured.
	Trusted []int
}

// unexplained is the mean squared relative misfit from which a unit's norm is not believed.
const unexplained = 1e-3

// derivative returns g^(order)(u) at v, in terms of v.
func (s *Shifts) derivative(order int, v []float64) []float64 {
	u := make([]float64, len(v))
	for i := range u {
		u[i] = s.Stretch[i]*v[i] + s.Delta[i]
	}
	s.G.Apply(order, u, u)
	for range order {
		for i := range u {
			u[i] *= s.Stretch[i]
		}
	}
	return u
}

// total is the misfit of all units: the median, so that a unit which nothing tells about has no say.
func (s *Shifts) total() float64 { return median(s.Misfit) }

// shifts finds the shifts for the activation that explains the gradients best. basis (m0 x rank) spans D B at the base.
func (s *Second) shifts(basis *mat.Dense) *Shifts {
	var best *Shifts
	for k, g := range s.settings.Activations {
		next := s.shiftsFor(g, basis)
		next.Activation = k
		if best == nil || next.total() < best.total() {
			best = next
		}
	}
	return best
}

func (s *Second) shiftsFor(g core.Function, basis *mat.Dense) *Shifts {
	m0, rank := basis.Dims()
	result := &Shifts{G: g, Stretch: make([]float64, m0), Delta: make([]float64, m0), Misfit: make([]float64, m0)}
	// What each gradient would be, had no coordinate moved: from the rows that did not.
	expected := mat.NewDense(m0, len(s.points), nil)
	for k := range s.points {
		fixed := without(all(m0), s.moved[k])
		omega, err := leastSquares(rows(basis, fixed), column(s.gradients, k, fixed))
		if err != nil {
			omega = make([]float64, rank)
		}
		var e mat.VecDense
		e.MulVec(basis, mat.NewVecDense(rank, omega))
		expected.SetCol(k, e.RawVector().Data)
	}
	given := s.Latent.rate / g.Facts().Right.Rate // tails fix only the product of rate and norm
	for i := range m0 {
		result.Stretch[i], result.Delta[i], result.Misfit[i] = s.shift(g, given, i, expected.RawRowView(i))
	}
	sorted := slices.Clone(result.Misfit)
	slices.Sort(sorted)
	allowed := math.Max(wellFitted, 1e3*sorted[m0/4])
	for i, misfit := range result.Misfit {
		if misfit <= allowed && result.Stretch[i] == given {
			result.Trusted = append(result.Trusted, i)
		}
	}
	if len(result.Trusted) < rank+2 { // too few to judge the others by
		result.Trusted = all(m0)
	}
	return result
}

// wellFitted is the mean squared relative misfit up to which a shift is trusted, whatever the others' is.
const wellFitted = 1e-7

// shift finds delta_i: where v_i moved, row i of the gradient is g'(u_i) / g'(u_i at the base) times what it would be at
// the base, u_i = stretch v_i + delta_i. The stretch is as given, unless no shift explains the rows: then the unit's
// norm was measured wrongly, and is fitted too.
func (s *Second) shift(g core.Function, given float64, i int, expectations []float64) (stretch, delta, least float64) {
	var at, seen, expected, floor []float64
	for k, v := range s.points {
		if v[i] == s.Base[i] {
			continue
		}
		gradient := column(s.gradients, k, all(len(v)))
		at = append(at, v[i])
		seen = append(seen, s.gradients.At(i, k))
		expected = append(expected, expectations[k])
		floor = append(floor, 100*s.stencil.Error(s.settings.Noise, 1)*norm(gradient))
	}
	t := make([]float64, len(at)+1)
	misfit := func(stretch, delta float64) float64 {
		for k, v := range at {
			t[k] = stretch*v + delta
		}
		t[len(at)] = stretch*s.Base[i] + delta
		g.Apply(1, t, t)
		total := 0.0
		for k := range at {
			r := seen[k]*t[len(at)] - expected[k]*t[k]
			w := math.Abs(seen[k]*t[len(at)]) + math.Abs(expected[k]*t[k]) + floor[k]*t[len(at)]
			total += r * r / (w*w + 1e-300)
		}
		return total / float64(len(at))
	}
	best := func(stretch float64) (delta, least float64) {
		delta = minimize(func(d float64) float64 { return misfit(stretch, d) }, -6, 6, 240)
		return delta, misfit(stretch, delta)
	}
	stretch = given
	delta, least = best(stretch)
	if least < unexplained {
		return stretch, delta, least
	}
	const steps = 60
	for k := -steps; k <= steps; k++ {
		try := given * math.Pow(8, float64(k)/steps)
		if d, l := best(try); l < least/4 {
			stretch, delta, least = try, d, l
		}
	}
	return stretch, delta, least
}

// mend finds the shifts, and the norms, of the units that are not trusted, from the gradients at all points: their rows
// are g'(stretch v_i + delta) beta . omega, with omega known from the trusted rows and beta linear. It returns an
// orthonormal basis of the column space of B with all rows. span has the trusted rows only.
func (s *Second) mend(span *mat.Dense) (*mat.Dense, error) {
	m0, points := s.gradients.Dims()
	_, rank := span.Dims()
	omegas := mat.NewDense(points, rank, nil)
	sizes := make([]float64, points)
	for k, v := range s.points {
		sizes[k] = norm(column(s.gradients, k, all(m0)))
		omega, err := leastSquares(scaledRows(pick(s.Shifts.derivative(1, v), s.Shifts.Trusted), span), column(s.gradients, k, s.Shifts.Trusted))
		if err != nil {
			return nil, err
		}
		for c := range omega {
			omegas.Set(k, c, omega[c]/sizes[k])
		}
	}
	given := s.Latent.rate / s.Shifts.G.Facts().Right.Rate
	basis := mat.NewDense(m0, rank, nil)
	for i := range m0 {
		seen := make([]float64, points)
		for k := range seen {
			seen[k] = s.gradients.At(i, k) / sizes[k]
		}
		scaled := mat.NewDense(points, rank, nil)
		g := make([]float64, points)
		fit := func(stretch, delta float64) (beta []float64, misfit float64) {
			for k, v := range s.points {
				g[k] = stretch*v[i] + delta
			}
			s.Shifts.G.Apply(1, g, g)
			for k := range g {
				g[k] *= stretch
			}
			scaled.Copy(scaledRows(g, omegas))
			beta, err := leastSquares(scaled, seen)
			if err != nil {
				return nil, math.Inf(1)
			}
			for k := range seen {
				r := seen[k] - floats.Dot(scaled.RawRowView(k), beta)
				misfit += r * r
			}
			return beta, misfit / floats.Dot(seen, seen)
		}
		if !slices.Contains(s.Shifts.Trusted, i) && points > rank+2 {
			least := math.Inf(1)
			for k := -mendSteps; k <= mendSteps; k++ {
				stretch := given * math.Pow(mendRange, float64(k)/mendSteps)
				delta := minimize(func(d float64) float64 { _, m := fit(stretch, d); return m }, -6, 6, 80)
				// Of norms that explain the gradients equally well, the one that was measured.
				_, m := fit(stretch, delta)
				if m < least {
					s.Shifts.Stretch[i], s.Shifts.Delta[i], s.Shifts.Misfit[i], least = stretch, delta, m, m
				}
			}
			for step := math.Log(mendRange) / mendSteps; step > 1e-6; step /= 2 {
				for _, sign := range []float64{1, -1} {
					stretch := s.Shifts.Stretch[i] * math.Exp(sign*step)
					delta := minimize(func(d float64) float64 { _, m := fit(stretch, d); return m }, s.Shifts.Delta[i]-0.5, s.Shifts.Delta[i]+0.5, 10)
					if _, m := fit(stretch, delta); m < least {
						s.Shifts.Stretch[i], s.Shifts.Delta[i], s.Shifts.Misfit[i], least = stretch, delta, m, m
					}
				}
			}
		}
		beta, _ := fit(s.Shifts.Stretch[i], s.Shifts.Delta[i])
		if beta != nil {
			basis.SetRow(i, beta)
		}
	}
	u, _, err := columnSpace(basis)
	return u, err
}

const (
	mendSteps = 24 // of the norm's logarithm, each way
	mendRange = 20 // the factor by which a norm may have been measured wrongly
)

func pick(v []float64, indices []int) []float64 {
	picked := make([]float64, len(indices))
	for k, i := range indices {
		picked[k] = v[i]
	}
	return picked
}
