package identify

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"gonum.org/v1/gonum/floats"
)

// TestCrowds: units that sleep nearly everywhere with nearly the same weights, so that no place shows the tail of one alone.
func TestCrowds(t *testing.T) {
	for _, seed := range []uint64{0, 2} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := randomNet(18, 16, 6, 0.5, "tanh", 90+seed)
			n.Second.Weight.Scale(3.5, n.Second.Weight)
			for l := range 3 {
				b := n.Second.Weight.RawRowView(l)
				if l > 0 {
					floats.Scale(0.25, b)
					floats.Add(b, n.Second.Weight.RawRowView(0))
					floats.Scale(1+0.2*float64(l), b)
				}
				n.Second.Bias[l] = 0.5 + 0.5*float64(l) - floats.Norm(b, 1)
				n.Output[l] = math.Pow(2, float64(l))
			}
			p := problem(t, n)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // without them the search has no end in sight
			defer cancel()
			result, err := Run(ctx, p, Settings{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			if !result.Identified {
				t.Fatalf("not identified: %s", result.Reason)
			}
			if off := distance(t, n, result.Network); off > 1e-8 {
				t.Errorf("off by %.1e, error bar %.1e", off, result.Certificate.ErrorBar)
			}
		})
	}
}
