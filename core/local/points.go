package local

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
)

// data are the answers so far, at points in coordinates of the span.
func (s *search) data() refine.Data {
	x := mat.NewDense(len(s.w), s.r, nil)
	for k, w := range s.w {
		x.SetRow(k, w)
	}
	return refine.Data{X: x, Y: s.y}
}

// more asks at count further random points of the span of the a_i.
func (s *search) more(ctx context.Context, count int) error {
	if count <= 0 {
		return nil
	}
	xs, ws := make([][]float64, count), make([][]float64, count)
	for k := range xs {
		xs[k] = s.box()
		ws[k] = xs[k]
		if s.basis != nil {
			xs[k], ws[k] = s.project(xs[k])
		}
	}
	y, err := sample.Points(ctx, s.oracle, xs)
	if err != nil {
		return err
	}
	s.w, s.y = append(s.w, ws...), append(s.y, y...)
	mean := floats.Sum(s.y) / float64(len(s.y))
	s.variance = 0
	largest := 0.0
	for _, v := range s.y {
		s.variance += (v - mean) * (v - mean) / float64(len(s.y))
		largest = math.Max(largest, math.Abs(v))
	}
	if s.variance <= math.Pow(1e-13*largest+3*s.settings.Noise, 2) {
		return fault.New(fault.Unsupported, "the answers do not vary by more than their noise within |x|_inf <= %.3g", s.radius)
	}
	noise := math.Max(s.settings.Noise, 2e-16*largest)
	weights := s.settings.InputError * s.settings.InputError * s.variance
	s.target = max(1e-27*s.variance, noise*noise, 1e-2*weights)
	s.rounding = math.Max(1e-18*s.variance, 4*noise*noise)
	s.exact = math.Max(s.rounding, 4*weights)
	return nil
}

// box returns a point uniform in the box, or where the settings want it.
func (s *search) box() []float64 {
	if s.settings.Point != nil {
		return s.settings.Point()
	}
	x := make([]float64, s.d)
	for i := range x {
		x[i] = s.radius * (2*s.rng.Float64() - 1)
	}
	return x
}

// project returns the nearest point of the span that is within the box on the way from the origin, and its
// coordinates.
func (s *search) project(x []float64) (within, w []float64) {
	w = make([]float64, s.r)
	transposed(s.basis, x, w)
	within = make([]float64, s.d)
	lift := func() {
		v := mat.NewVecDense(s.d, within)
		v.MulVec(s.basis, mat.NewVecDense(s.r, w))
	}
	lift()
	if most := floats.Norm(within, math.Inf(1)); most > s.radius {
		floats.Scale(s.radius/most*(1-1e-12), w)
		lift()
	}
	return within, w
}
