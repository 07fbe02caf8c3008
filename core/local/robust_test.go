package local

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/network"
)

// TestAwake: behind a unit that sleeps at nearly all points, and contributes a hundredth of the spread at a few, the units that are awake come out as if it were not there.
func TestAwake(t *testing.T) {
	f := function(t, "tanh")
	const m0, m1 = 10, 3
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			truth := random(m0, m0, m1, 0.3, "tanh", seed)
			truth.First.Weight.Zero()
			for i := range m0 {
				truth.First.Weight.Set(i, i, 1)
			}
			truth.Second.Weight.Scale(3, truth.Second.Weight)
			sleeper := truth.Second.Weight.RawRowView(2)
			truth.Second.Bias[2] = -2 - floats.Norm(sleeper, 1) // at most -2, wherever the inputs are
			truth.Output[2] = 5
			called := false
			var awake *network.Network
			found, _, err := Second(t.Context(), &netOracle{t: t, n: truth, f: f}, m0, f, f, Settings{
				Seed: seed,
				Point: func() []float64 {
					v := make([]float64, m0)
					for i := range v {
						v[i] = 8*rng.Float64() - 4
					}
					return v
				},
				Awake: func(n *network.Network) (bool, error) {
					called, awake = true, n
					return true, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if !called { // least squares have found all of it
				compared, err := network.Compare(truth, found, f.Facts(), f.Facts())
				if err != nil || compared.MaxError > 1e-6 {
					t.Errorf("told of no units awake, and the network found is off by %v (%v)", compared, err)
				}
				return
			}
			for l := range m1 - 1 {
				b := truth.Second.Weight.RawRowView(l)
				nearest := math.Inf(1)
				for k := range awake.Output {
					for _, sign := range []float64{1, -1} {
						off := make([]float64, m0)
						floats.AddScaledTo(off, b, -sign, awake.Second.Weight.RawRowView(k))
						nearest = math.Min(nearest, floats.Norm(off, 2)/floats.Norm(b, 2))
					}
				}
				if nearest > 1e-4 {
					t.Errorf("unit %d is off by %.1e", l, nearest)
				}
			}
		})
	}
}

// TestWeigh: rows that stand out count inversely to what is left there, the others alike.
func TestWeigh(t *testing.T) {
	weights := weigh([]float64{1e-6, -1e-6, 1e-6, -1e-6, 1e-6, 3}, 0)
	if weights[0] < 0.9 || weights[0] != weights[1] {
		t.Errorf("weights %v of ordinary rows", weights[:2])
	}
	if want := 3e-6 / 3; math.Abs(weights[5]-want) > 1e-3*want {
		t.Errorf("weight %g of the row that stands out, not %g", weights[5], want)
	}
	if w := weigh([]float64{0, 0, 0}, 1e-20); w[0] != 1 {
		t.Errorf("weight %g where nothing is left", w[0])
	}
}
