package local

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/sample"
)

// Bounds of how curved f is along chords of the box: at most so much of its variance along a chord is left by straight
// lines and by parabolas. Beyond, students run into local minima (sine oscillates, units turn to steps); far below,
// units cannot be told from polynomials. Measured in docs/local.md.
const (
	beyondLine     = 0.2
	beyondParabola = 0.05
	// Where parabolas leave less, a radius is not too large, whatever lines leave: by chance f may rise little along most
	// chords.
	nearParabola = 0.015
)

// measure finds the radius of the points.
func (s *search) measure(ctx context.Context) error {
	const grow = 1.4
	largest := s.settings.Domain
	if largest == 0 {
		largest = 1e4
	}
	// The same chords at every radius, so that radii compare.
	const chords = 12
	s.radius = 1
	ends := make([][]float64, chords)
	for k := range ends {
		ends[k] = s.box()
	}
	first := math.Min(largest, 2)
	curved := func(radius float64) (bool, error) {
		line, parabola, err := s.chords(ctx, radius, ends)
		s.trace("  radius %.3g: beyond lines %.1e, beyond parabolas %.1e", radius, line, parabola)
		return parabola > beyondParabola || line > beyondLine && (radius > first || parabola > nearParabola), err
	}
	radius := first
	over, err := curved(radius)
	if err != nil {
		return err
	}
	for range 40 {
		if !over && radius == largest {
			break
		}
		next := math.Min(radius*grow, largest)
		if over {
			next = radius / grow
		}
		nextOver, err := curved(next)
		if err != nil {
			return err
		}
		if over != nextOver {
			if over {
				radius = next
			}
			break
		}
		radius = next
	}
	s.radius = radius
	// Students whose units are about as curved there as those of the network, which are seldom far from norm one.
	s.norm = 1
	switch {
	case radius < 0.7 && radius < largest:
		s.norm = 1.4 / radius
	case radius > 10:
		s.norm = 10 / radius
	}
	return nil
}

// chords returns which fractions of f's variance along chords through the origin lines and parabolas leave.
func (s *search) chords(ctx context.Context, radius float64, ends [][]float64) (line, parabola float64, err error) {
	places := [5]float64{-1, -0.5, 0, 0.5, 1}
	// Orthogonal polynomials on these places, of degrees 0, 1 and 2.
	bases := [3][5]float64{{1, 1, 1, 1, 1}, {-2, -1, 0, 1, 2}, {2, -1, -2, -1, 2}}
	points := [][]float64{make([]float64, s.d)}
	for _, end := range ends {
		for _, t := range places {
			if t != 0 {
				points = append(points, floats.ScaleTo(make([]float64, s.d), t*radius, end))
			}
		}
	}
	y, err := sample.Points(ctx, s.oracle, points)
	if err != nil {
		return 0, 0, err
	}
	var parts [3]float64
	total := 0.0
	for c := range ends {
		values := []float64{y[4*c+1], y[4*c+2], y[0], y[4*c+3], y[4*c+4]}
		for k, b := range bases {
			dot := floats.Dot(b[:], values)
			parts[k] += dot * dot / floats.Dot(b[:], b[:])
		}
		total += floats.Dot(values, values)
	}
	total -= parts[0]
	if !(total > 0) {
		return 0, 0, nil
	}
	return math.Max(0, 1-parts[1]/total), math.Max(0, 1-(parts[1]+parts[2])/total), nil
}

// reduce finds the span of the a_i from gradients, which all lie in it.
func (s *search) reduce(ctx context.Context) error {
	if s.d < 3 || s.settings.M0 >= s.d {
		return nil
	}
	y0, err := sample.Points(ctx, s.oracle, [][]float64{make([]float64, s.d), s.box(), s.box(), s.box()})
	if err != nil {
		return err
	}
	spread := floats.Max(y0) - floats.Min(y0)
	if spread == 0 {
		return nil
	}
	noise := math.Max(s.settings.Noise/spread, 2e-16*math.Max(1, math.Abs(y0[0])/spread))
	step := s.radius * math.Sqrt(noise)
	floor := 100 * math.Sqrt(noise) // relative size of singular values that may be error
	if floor > 1e-3 {
		return nil // too noisy to tell a span
	}
	gradients := mat.NewDense(s.d, 0+1, nil)
	count := 0
	for count < s.d {
		batch := min(max(4, s.d/4), s.d-count)
		if s.settings.M0 > 0 && count == 0 {
			batch = min(s.d, s.settings.M0+2)
		}
		grown := mat.NewDense(s.d, count+batch, nil)
		if count > 0 {
			grown.Slice(0, s.d, 0, count).(*mat.Dense).Copy(gradients)
		}
		var points [][]float64
		for range batch {
			x := s.box()
			points = append(points, x)
			for i := range s.d {
				moved := append([]float64(nil), x...)
				moved[i] -= math.Copysign(step, x[i]) // inwards
				points = append(points, moved)
			}
		}
		y, err := sample.Points(ctx, s.oracle, points)
		if err != nil {
			return err
		}
		for k := range batch {
			at := k * (s.d + 1)
			for i := range s.d {
				grown.Set(i, count+k, (y[at]-y[at+1+i])/math.Copysign(step, points[at][i]))
			}
		}
		gradients, count = grown, count+batch
		var svd mat.SVD
		if !svd.Factorize(gradients, mat.SVDThin) {
			return fault.New(fault.Unsupported, "a singular value decomposition did not converge: numbers in it are too far apart, or none")
		}
		values := svd.Values(nil)
		rank := 0
		for rank < len(values) && values[rank] > floor*values[0] {
			rank++
		}
		if floor < 0.01 && rank > 0 && rank < count-1 && rank < s.d { // noisier gradients show no rank
			var u mat.Dense
			svd.UTo(&u)
			s.basis, s.r = mat.DenseCopyOf(u.Slice(0, s.d, 0, rank)), rank
			s.trace("  the gradients span %d dimensions of %d", rank, s.d)
			return nil
		}
	}
	return nil
}
