package identify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestSleepingUnits: units of the second layer that sleep wherever x goes, the tails of which add up at some points, are found one by one.
func TestSleepingUnits(t *testing.T) {
	for _, c := range []struct {
		activation string
		sleepers   int
		seeds      uint64
	}{
		{"sigmoid", 1, 2},
		{"sigmoid", 2, 2},
		{"tanh", 1, 2},
	} {
		for seed := range c.seeds {
			t.Run(fmt.Sprintf("%s, %d asleep, seed %d", c.activation, c.sleepers, seed), func(t *testing.T) {
				n := randomNet(14, 12, 4, 0.5, c.activation, 40+seed)
				steep := 3.0
				if c.activation == "sigmoid" {
					n.First.Weight.Scale(2, n.First.Weight)
					steep = 8
				}
				n.Second.Weight.Scale(steep, n.Second.Weight)
				for l := range c.sleepers {
					b := n.Second.Weight.RawRowView(l)
					most := floats.Norm(b, 1) // what the weights add up to at most
					if c.activation == "sigmoid" {
						most = 0
						for _, v := range b {
							most += math.Max(v, 0)
						}
					}
					n.Second.Bias[l] = -most - 1.5 - float64(l)
					n.Output[l] *= 8
				}
				p := problem(t, n)
				p.Candidates = candidates(t, c.activation)
				result, err := Run(t.Context(), p, Settings{Seed: seed})
				if err != nil {
					t.Fatal(err)
				}
				if !result.Identified {
					t.Fatalf("not identified: %s", result.Reason)
				}
				if off := distance(t, n, result.Network); off > math.Max(1e-8, 10*result.Certificate.ErrorBar) {
					t.Errorf("off by %.1e, error bar %.1e", off, result.Certificate.ErrorBar)
				}
			})
		}
	}
}

// TestLeastAbsolute: one row in four is of something else.
func TestLeastAbsolute(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, columns = 60, 6
	design := mat.NewDense(rows, columns, nil)
	design.Apply(func(_, _ int, _ float64) float64 { return rng.NormFloat64() }, design)
	truth := mat.NewVecDense(columns, []float64{1, -2, 3, 0.5, 0, 4})
	var target mat.VecDense
	target.MulVec(design, truth)
	for r := 0; r < rows; r += 4 {
		target.SetVec(r, target.AtVec(r)+10+rng.Float64())
	}
	solution, spread := leastAbsolute(design, &target)
	for k, v := range solution {
		if math.Abs(v-truth.AtVec(k)) > 1e-6 {
			t.Errorf("unknown %d is %g, not %g", k, v, truth.AtVec(k))
		}
	}
	if spread > 1e-6 {
		t.Errorf("median error %g of rows most of which are exact", spread)
	}
}
