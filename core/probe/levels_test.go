package probe

import (
	"math/rand/v2"
	"testing"

	"github.com/nnid/nnid/core/network"
)

// The noise of every scale of x is told, and a scale of few answers is left out.
func TestLevels(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	found := Found{Network: network.New(2, 1, 1, "tanh", "tanh"), G: hyperbolic{}, H: hyperbolic{}} // it is 0 everywhere
	var asked Asked
	noise := []float64{1e-9, 1e-9, 1e-6}
	for scale, radius := range []float64{0.5, 50, 5000} {
		for range 400 {
			asked.X = append(asked.X, []float64{radius, radius / 10})
			asked.Y = append(asked.Y, noise[scale]*random.NormFloat64())
		}
	}
	for range leastAnswers - 1 {
		asked.X, asked.Y = append(asked.X, []float64{1e9, 0}), append(asked.Y, 1)
	}
	levels := Levels(found, asked)
	if len(levels) != 3 {
		t.Fatalf("%+v", levels)
	}
	for k, radius := range []float64{1, 100, 1e4} {
		if l := levels[k]; l.Radius < 0.99*radius || l.Radius > 1.01*radius || l.Answers != 400 || l.Noise < 0.8*noise[k] || l.Noise > 1.2*noise[k] {
			t.Errorf("%+v at %g", l, radius)
		}
	}
	if levels := Levels(found, Asked{}); levels != nil {
		t.Errorf("%+v", levels)
	}
}
