package local

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// TestSplit: where one unit stands for two that are nearly parallel, no fit gets away from there; after the unit is split it does,
// and it is that unit that is split.
func TestSplit(t *testing.T) {
	f := function(t, "tanh")
	const m0, m1 = 6, 3
	rng := rand.New(rand.NewPCG(3, 5))
	truth := random(m0, m0, m1, 0.3, "tanh", 1)
	truth.First.Weight.Zero()
	for i := range m0 {
		truth.First.Weight.Set(i, i, 1)
	}
	// Unit 2 is unit 1, moved a little.
	truth.Second.Weight.Scale(3, truth.Second.Weight)
	copy(truth.Second.Weight.RawRowView(2), truth.Second.Weight.RawRowView(1))
	for i := range m0 {
		truth.Second.Weight.Set(2, i, truth.Second.Weight.At(2, i)+0.15*rng.NormFloat64())
	}
	truth.Second.Bias[2] = truth.Second.Bias[1] + 0.3
	truth.Output = []float64{1, 0.8, 1.1}

	data := refine.Data{X: mat.NewDense(400, m0, nil)}
	for r := range 400 {
		for i := range m0 {
			data.X.Set(r, i, 8*rng.Float64()-4)
		}
	}
	data.Y = truth.Evaluate(f, f, data.X)
	merged := network.New(m0, m0, m1-1, "tanh", "tanh")
	merged.First = truth.Clone().First
	for l := range m1 - 1 {
		merged.Second.Weight.SetRow(l, truth.Second.Weight.RawRowView(l))
		merged.Second.Bias[l] = truth.Second.Bias[l]
		merged.Output[l] = truth.Output[l]
	}
	merged.Output[1] += truth.Output[2]

	s := &search{d: m0, r: m0, g: f, h: f, frozen: true}
	effort := fitSettings{iterations: 300, patience: 20, gain: 1e-3, damping: 1e-4, target: 1e-28}
	merged, stuck, err := s.fit(t.Context(), merged, data, effort)
	if err != nil || stuck < 1e-7 {
		t.Fatalf("with one unit for two, the loss is %.1e (%v)", stuck, err)
	}
	larger, ok := s.split(merged, data)
	if !ok {
		t.Fatal("no unit was split")
	}
	if math.Abs(larger.Output[1]-larger.Output[2]) > 1e-12 || !floats.EqualApprox(larger.Second.Weight.RawRowView(0), merged.Second.Weight.RawRowView(0), 0) {
		t.Error("another unit than the one that stands for two was split")
	}
	if _, loss, err := s.fit(t.Context(), larger, data, effort); err != nil || loss > 1e-20 {
		t.Errorf("after the split the loss is %.1e, %.1e before (%v)", loss, stuck, err)
	}
}
