package certify

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/refine"
)

// TestDeviations: networks fitted to noisy answers differ from the truth by as much as they say, where they were asked and elsewhere.
func TestDeviations(t *testing.T) {
	f, truth := function(t), tiny()
	rng := rand.New(rand.NewPCG(5, 6))
	const sigma, fits = 1e-4, 20
	x := places(rng, 30, truth.Inputs())
	x.Scale(2, x)
	want := truth.Evaluate(f, f, x)
	ratio := 0.0
	for range fits {
		data := answers(rng, truth, f, places(rng, 200, truth.Inputs()), sigma)
		n, _, err := refine.Levenberg(t.Context(), truth, f, f, data, refine.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		deviations := Deviations(n, f, f, data, x)
		for r, y := range n.Evaluate(f, f, x) {
			ratio += math.Pow((y-want[r])/deviations[r], 2) / float64(fits*len(want))
		}
	}
	if ratio < 0.6 || ratio > 1.5 {
		t.Errorf("values differ by %.2f times what they should", math.Sqrt(ratio))
	}
	few := answers(rng, truth, f, places(rng, 3, truth.Inputs()), sigma)
	if got := Deviations(truth, f, f, few, mat.NewDense(1, truth.Inputs(), nil)); got != nil {
		t.Errorf("fewer answers than parameters say %v", got)
	}
}
