package certify

import (
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/refine"
)

// TestTelling: the rows chosen make the largest error bar smaller than as many random ones do; none is chosen twice, nor one that is too noisy to tell anything.
func TestTelling(t *testing.T) {
	f, n := function(t), tiny()
	n.Second.Bias[1] = -4.5 // asleep at nearly all places
	rng := rand.New(rand.NewPCG(7, 8))
	const sigma, count = 1e-6, 20
	data := answers(rng, n, f, places(rng, 60, n.Inputs()), sigma)
	pool := answers(rng, n, f, places(rng, 400, n.Inputs()), sigma)
	for r := range 200 {
		pool.Sigma[r] = 1 // of no use
	}
	bar := func(chosen []int) float64 {
		x := mat.NewDense(len(chosen), n.Inputs(), nil)
		more := refine.Data{Y: slices.Clone(data.Y), Sigma: slices.Clone(data.Sigma)}
		for k, r := range chosen {
			x.SetRow(k, pool.X.RawRowView(r))
			more.Y, more.Sigma = append(more.Y, pool.Y[r]), append(more.Sigma, pool.Sigma[r])
		}
		more.X = &mat.Dense{}
		more.X.Stack(data.X, x)
		c, err := At(t.Context(), n, f, f, more, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return c.ErrorBar / max(1, c.Excess)
	}
	chosen := Telling(n, f, f, data, pool, count)
	if len(chosen) != count {
		t.Fatalf("%d rows were chosen, not %d", len(chosen), count)
	}
	if slices.Min(chosen) < 200 {
		t.Errorf("row %d tells nothing, and was chosen", slices.Min(chosen))
	}
	if sorted := slices.Sorted(slices.Values(chosen)); len(slices.Compact(sorted)) != count {
		t.Errorf("rows were chosen twice: %v", chosen)
	}
	best := bar(chosen)
	for try := range 10 {
		random := make([]int, count)
		for k := range random {
			random[k] = 200 + rng.IntN(200)
		}
		if b := bar(random); b < 1.5*best {
			t.Errorf("try %d: random rows leave an error bar of %.2e, chosen ones %.2e", try, b, best)
		}
	}
	if few := answers(rng, n, f, places(rng, 3, n.Inputs()), sigma); Telling(n, f, f, few, pool, count) != nil {
		t.Error("rows were chosen for parameters that the answers leave open")
	}
}
