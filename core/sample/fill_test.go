package sample

import (
	"context"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// curve is a function of the first coordinate.
type curve func(float64) float64

func (f curve) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	y := make([]float64, x.RawMatrix().Rows)
	for r := range y {
		y[r] = f(x.At(r, 0))
	}
	return y, nil
}

func (curve) Queries() int64 { return 0 }

// TestFill: a step met in its tail is asked where it is steep; a slope is not taken for a step.
func TestFill(t *testing.T) {
	for _, c := range []struct {
		name string
		f    curve
		step bool
	}{
		{"step aside", func(s float64) float64 { s = 2 * (s - 30); return s / (1 + math.Abs(s)) }, true},
		{"slope", func(s float64) float64 { return 1e-5 * s }, false},
	} {
		u := &Unit{Direction: []float64{1, 0}, Width: 1}
		p := &Profile{S: []float64{0}}
		for _, w := range wholePlaces {
			p.S = append(p.S, w, -w)
		}
		for _, s := range p.S {
			p.Y = append(p.Y, c.f(s))
		}
		s := &saturation{oracle: c.f}
		if err := s.fill(t.Context(), []float64{0, 0}, u, p); err != nil {
			t.Fatal(err)
		}
		near := 0
		for k, at := range p.S {
			if p.Y[k] != c.f(at) {
				t.Errorf("%s: %g at %g", c.name, p.Y[k], at)
			}
			if math.Abs(at-30) < 5 {
				near++
			}
		}
		if step := steepness(p) >= leastSteep; step != c.step || c.step && near < 4 {
			t.Errorf("%s: steepness %g, %d points near the middle", c.name, steepness(p), near)
		}
	}
}
