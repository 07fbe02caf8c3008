package identify

import (
	"fmt"
	"math"
	"testing"
)

// TestHiddenUnit: a unit of the second layer that is awake in one corner of the first layer's outputs only, and contributes less than the noise of rounded answers at nearly
// all random points, is found all the same; without the look into the corners the network is missing it.
func TestHiddenUnit(t *testing.T) {
	for _, seed := range []uint64{1, 2, 4} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := randomNet(14, 10, 3, 0.5, "tanh", 60+seed)
			const steep = 2.0
			for i := range 10 {
				n.Second.Weight.Set(0, i, math.Copysign(steep, n.Second.Weight.At(0, i)))
			}
			n.Second.Bias[0] = -steep*10 + 1
			p := problem(t, n)
			p.Oracle.(*netOracle).noise = "5"
			result, err := Run(t.Context(), p, Settings{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			if !result.Identified {
				t.Fatalf("not identified: %s", result.Reason)
			}
			if off := distance(t, n, result.Network); off > 10*result.Certificate.ErrorBar {
				t.Errorf("off by %.1e, error bar %.1e", off, result.Certificate.ErrorBar)
			}
		})
	}
}
