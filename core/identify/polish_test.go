package identify

import (
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

// TestDropUnitsThatCancel: two units of the second layer that cancel each other, and one that is there twice, are dropped.
func TestDropUnitsThatCancel(t *testing.T) {
	truth := randomNet(8, 6, 3, 0.5, "sigmoid", 3)
	p := problem(t, truth)
	rng := rand.New(rand.NewPCG(1, 2))
	e := &exact{problem: p, log: p.log(), rng: rng, report: &reporter{queries: p.Oracle.Queries}, family: family{Candidate: p.Candidates[0]}}
	var err error
	if e.scales, err = sample.Measure(t.Context(), e.log, 8, false, rng); err != nil {
		t.Fatal(err)
	}
	e.local = len(e.log.Y)
	x := mat.NewDense(4*truth.Parameters(), 8, nil)
	x.Apply(func(_, _ int, _ float64) float64 { return 4 * rng.NormFloat64() }, x)
	if _, err := e.log.Ask(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	larger := network.New(8, 6, 6, "sigmoid", "sigmoid")
	larger.First = truth.Clone().First
	for l := range 3 {
		larger.Second.Weight.SetRow(l, truth.Second.Weight.RawRowView(l))
		larger.Second.Bias[l], larger.Output[l] = truth.Second.Bias[l], truth.Output[l]
	}
	// One that is two halves, and two whose sum is nothing.
	larger.Output[2] /= 2
	larger.Second.Weight.SetRow(3, truth.Second.Weight.RawRowView(2))
	larger.Second.Bias[3], larger.Output[3] = truth.Second.Bias[2], truth.Output[2]/2
	b := sample.Direction(rng, 6)
	floats.Scale(30, b)
	for k, l := range []int{4, 5} {
		larger.Second.Weight.SetRow(l, b)
		larger.Second.Bias[l], larger.Output[l] = -30, []float64{20, -20}[k]
	}
	if err := e.fitAll(t.Context(), larger, 5); err != nil {
		t.Fatal(err)
	}
	for e.undetermined() {
		dropped, err := e.drop(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !dropped {
			break
		}
	}
	if m0, m1 := e.found.Sizes(); m0 != 6 || m1 != 3 {
		t.Fatalf("%d + %d units are left: %v", m0, m1, e.certificate.Undetermined)
	}
	if off := distance(t, truth, e.found); off > 1e-9 {
		t.Errorf("off by %.1e", off)
	}
	if slices.Contains(e.found.Output, 0) {
		t.Error("a unit without weight is left")
	}
}
