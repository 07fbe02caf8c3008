package sample

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestDecayOfCleanTail: where the second layer saturates on one side of a step, the other tail tells the rate, and is the one that is asked.
func TestDecayOfCleanTail(t *testing.T) {
	const norm = 5.0
	for _, c := range []struct{ steep, shift float64 }{{6, 6}, {6, -6}, {4, 3}, {1, 0}} {
		o := &function{f: func(x []float64) float64 { return math.Tanh(c.steep*math.Tanh(norm*x[0]) + c.shift) }}
		s := &saturation{oracle: o, d: 2, rng: rand.New(rand.NewPCG(1, 7)), radius: 100, readings: 1,
			scales: Scales{Center: make([]float64, 2), Saturation: 4, Value: 1, Spread: 2, Noise: 2e-16}}
		x := []float64{math.Atanh(-c.shift/c.steep*0.999) / norm, 80} // f is steepest there
		u := Unit{Direction: []float64{1, 0}, Width: 0.05}
		ok, err := s.decay(t.Context(), x, &u)
		if err != nil || !ok || math.Abs(u.Decay/(2*norm)-1) > 1e-5 {
			t.Errorf("tanh(%g tanh(.) %+g): decay %g, misfit %g, %v, error %v", c.steep, c.shift, u.Decay, u.Misfit, ok, err)
		}
		// How far the step reaches, where the tail is of the right size, and the tail: one place.
		if most := int64(9 + 8 + 5); o.queries > most {
			t.Errorf("tanh(%g tanh(.) %+g): %d queries, %d at most", c.steep, c.shift, o.queries, most)
		}
	}
}
