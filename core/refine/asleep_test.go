package refine

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestLevenbergAsleep: a unit of the second layer that sleeps at all rows shows its tail only, and a start that has the tail but neither its shift nor
// its output weight converges in a few iterations all the same.
func TestLevenbergAsleep(t *testing.T) {
	for _, name := range []string{"tanh", "sigmoid"} {
		for _, side := range []float64{1, -1} {
			f := function(t, name)
			rate := f.Facts().Right.Rate
			rng := rand.New(rand.NewPCG(5, 6))
			n, data := random(rng, 4, 4, 3, 300, f, f)
			n.Second.Bias[1] = side * 10 / rate
			data.Y = n.Evaluate(f, f, data.X)
			if list := sleepers(n, f, f, data.X); len(list) != 1 || list[0].unit != 1 || list[0].rate*side <= 0 {
				t.Fatalf("%s: found asleep: %v", name, list)
			}
			start := n.Clone()
			start.Second.Bias[1] += 0.7 / rate
			start.Output[1] *= math.Exp(side * 0.7)
			start.OutputBias -= (start.Output[1] - n.Output[1]) * sleepers(n, f, f, data.X)[0].limit
			fitted, stats, err := Levenberg(t.Context(), start, f, f, data, Settings{Iterations: 10, Damping: 1e-9})
			if err != nil {
				t.Fatal(err)
			}
			if off := math.Abs(fitted.Output[1]/n.Output[1] - 1); off > 1e-3 {
				t.Errorf("%s: the output weight of the unit that sleeps is off by %.1e after %d iterations, loss %.1e", name, off, stats.Iterations, stats.Loss)
			}
		}
	}
}
