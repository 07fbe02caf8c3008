package local

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// TestShrink: of a student with a spare unit in either layer noise takes those, and no more; what it says of the noise is right.
func TestShrink(t *testing.T) {
	f := function(t, "tanh")
	for _, sigma := range []float64{1e-7, 1e-3} {
		truth := random(5, 5, 2, 0.3, "tanh", 3)
		rng := rand.New(rand.NewPCG(1, 9))
		x := mat.NewDense(400, 5, nil)
		x.Apply(func(_, _ int, _ float64) float64 { return 4 * (2*rng.Float64() - 1) }, x)
		y := truth.Evaluate(f, f, x)
		data := refine.Data{X: x, Y: y, Sigma: make([]float64, len(y))}
		for i := range y { // as of rounded answers, large ones have more
			data.Sigma[i] = sigma * math.Pow(10, float64(i%2))
			y[i] += data.Sigma[i] * rng.NormFloat64()
		}
		student := network.New(5, 6, 3, "tanh", "tanh")
		for i := range 6 {
			row := student.First.Weight.RawRowView(i)
			copy(row, truth.First.Weight.RawRowView(i%5))
			student.First.Bias[i] = truth.First.Bias[i%5]
			for j := range row {
				row[j] += 1e-2 * rng.NormFloat64()
			}
		}
		for l := range 3 {
			copy(student.Second.Weight.RawRowView(l), truth.Second.Weight.RawRowView(l%2))
			student.Second.Bias[l] = truth.Second.Bias[l%2] + 1e-2*rng.NormFloat64()
			student.Output[l] = truth.Output[l%2] / (1 + float64((l+1)%2))
		}
		shrunk, err := Shrink(t.Context(), student, f, f, data, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if m0, m1 := shrunk.Network.Sizes(); m0 != 5 || m1 != 2 {
			t.Fatalf("noise %g: %d and %d units are left of 6 and 3, not 5 and 2", sigma, m0, m1)
		}
		if shrunk.Noise < 0.8 || shrunk.Noise > 1.2 {
			t.Errorf("noise %g is taken for %g times that", sigma, shrunk.Noise)
		}
		if shrunk.Margin < 4 || shrunk.Doubt > 3 {
			t.Errorf("noise %g: margin %.1f, doubt %.1f", sigma, shrunk.Margin, shrunk.Doubt)
		}
		compared, err := network.Compare(truth, shrunk.Network, f.Facts(), f.Facts())
		if err != nil || compared.MaxError > 30*sigma {
			t.Errorf("noise %g: %.1e off (%v)", sigma, compared.MaxError, err)
		}
		if k0, k1 := shrunk.Fitted.Sizes(); k0 != 6 || k1 != 3 {
			t.Errorf("the student has become one of %d and %d units", k0, k1)
		}
		// Units that are known to be there stay, needed or not.
		kept, err := Shrink(t.Context(), student, f, f, data, 6, 3)
		if err != nil {
			t.Fatal(err)
		}
		if k0, k1 := kept.Network.Sizes(); k0 != 6 || k1 != 3 || !math.IsInf(kept.Margin, 1) {
			t.Errorf("%d and %d units are left, margin %g", k0, k1, kept.Margin)
		}
	}
}
