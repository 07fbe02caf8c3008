package local

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
)

// TestSecond finds what lies behind a first layer of which only the shifts, and a little of the norms, are unknown, steep units
// included.
func TestSecond(t *testing.T) {
	f := function(t, "tanh")
	for _, c := range []struct {
		m0, m1 int
		steep  float64 // |b_l|
		off    float64 // relative error of the inputs
		given  bool
		seeds  uint64
	}{
		{8, 3, 1, 0, false, 3},
		{8, 3, 1, 0, true, 2},
		{12, 4, 6, 0, false, 2},
		{12, 4, 2, 1e-6, false, 2},
	} {
		for seed := range c.seeds {
			t.Run(fmt.Sprintf("%d-%d |b| %g off %g seed %d", c.m0, c.m1, c.steep, c.off, seed), func(t *testing.T) {
				truth := random(c.m0, c.m0, c.m1, 0.3, "tanh", seed)
				rng := rand.New(rand.NewPCG(seed, 7))
				truth.First.Weight.Zero()
				for i := range c.m0 {
					truth.First.Weight.Set(i, i, 1+c.off*rng.NormFloat64())
				}
				truth.Second.Weight.Scale(c.steep, truth.Second.Weight)
				o := &netOracle{t: t, n: truth, f: f}
				settings := Settings{Seed: seed, Point: func() []float64 {
					v := make([]float64, c.m0)
					for i := range v {
						v[i] = 8*rng.Float64() - 4
					}
					return v
				}}
				if c.given {
					settings.M1 = c.m1
				}
				found, _, err := Second(t.Context(), o, c.m0, f, f, settings)
				if err != nil {
					t.Fatal(err)
				}
				for i := range c.m0 {
					for j := range c.m0 {
						if i != j && found.First.Weight.At(i, j) != 0 {
							t.Fatalf("weight (%d, %d) of the first layer has moved to %g", i, j, found.First.Weight.At(i, j))
						}
					}
				}
				compared, err := network.Compare(truth, found, f.Facts(), f.Facts())
				if err != nil {
					t.Fatal(err)
				}
				if compared.MaxError > 1e-8 {
					t.Errorf("error %.1e", compared.MaxError)
				}
			})
		}
	}
}

// TestSecondRefuses: no second layer lies behind units that are not there.
func TestSecondRefuses(t *testing.T) {
	f := function(t, "tanh")
	truth := random(6, 6, 2, 0.3, "tanh", 1)
	rng := rand.New(rand.NewPCG(1, 7))
	mixed := mat.NewDense(6, 6, nil)
	mixed.Apply(func(_, _ int, _ float64) float64 { return rng.NormFloat64() }, mixed)
	truth.First.Weight = mixed // its units are not those of the inputs
	_, _, err := Second(t.Context(), &netOracle{t: t, n: truth, f: f}, 6, f, f, Settings{Starts: 2, Point: func() []float64 {
		v := make([]float64, 6)
		for i := range v {
			v[i] = 8*rng.Float64() - 4
		}
		return v
	}})
	if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "no second layer could be found behind the 6 units of the first") {
		t.Errorf("error %v", err)
	}
}
