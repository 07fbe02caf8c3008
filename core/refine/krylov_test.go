package refine

import (
	"math/rand/v2"
	"testing"
)

func TestGaussNewton(t *testing.T) {
	g := function(t, "tanh")
	rng := rand.New(rand.NewPCG(10, 0))
	truth, data := random(rng, 6, 6, 2, 6*61, g, g)
	found, stats, err := GaussNewton(t.Context(), perturbed(rng, truth, 1e-3), g, g, data, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(t, truth, found, g, g); d > 1e-10 {
		t.Errorf("distance %g, loss %g after %d iterations", d, stats.Loss, stats.Iterations)
	}
}

// TestFactored: two units of the first layer that nearly coincide, which the diagonal blocks do not see.
func TestFactored(t *testing.T) {
	g := function(t, "tanh")
	rng := rand.New(rand.NewPCG(12, 0))
	truth, data := random(rng, 8, 8, 3, 800, g, g)
	first := truth.First.Weight
	for k, v := range first.RawRowView(0) {
		first.Set(1, k, v+1e-3*rng.NormFloat64())
	}
	data.Y = truth.Evaluate(g, g, data.X)
	data.Sigma = make([]float64, len(data.Y))
	for i := range data.Sigma {
		data.Sigma[i] = 1e-14
	}
	start := perturbed(rng, truth, 1e-5)

	products := func(o *Operator) int {
		right, first, count := o.Transpose(o.Residual), -1.0, 0
		if _, err := o.descend(t.Context(), right, 0, 500, func(gamma, _ float64) bool {
			if first < 0 {
				first = gamma
			}
			count++
			return gamma <= 1e-20*first
		}); err != nil {
			t.Fatal(err)
		}
		return count
	}
	whole := factorWhole(start, g, g, data)
	if whole == nil {
		t.Fatal("no factor")
	}
	factored := NewOperator(perturbed(rng, start, 1e-7), g, g, data) // the factor serves nearby, too
	factored.whole = whole
	if blocks, few := products(NewOperator(start, g, g, data)), products(factored); few > 20 || blocks < 5*few {
		t.Errorf("%d products with the factor, %d with the diagonal blocks", few, blocks)
	}

	found, stats, err := GaussNewton(t.Context(), start, g, g, data, Settings{Damping: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(t, truth, found, g, g); d > 1e-9 || stats.Loss > 1 {
		t.Errorf("distance %g, loss %g after %d iterations", d, stats.Loss, stats.Iterations)
	}
}
