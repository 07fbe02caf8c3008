package identify

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/sample"
)

// TestAliveMoreUnitsThanInputs: where no x makes all units of the first layer do what a unit of the second would be most alive for, places are found at which it is as alive as it may be.
func TestAliveMoreUnitsThanInputs(t *testing.T) {
	const d, m0 = 5, 20
	for seed := range uint64(4) {
		n := randomNet(d, m0, 3, 0.5, "tanh", 70+seed)
		n.First.Weight.Scale(2, n.First.Weight)
		n.Second.Weight.Scale(4, n.Second.Weight)
		p := problem(t, n)
		f := family{Candidate: candidates(t, "tanh")[0]}
		rng := rand.New(rand.NewPCG(seed, 5))
		e := &exact{problem: p, rng: rng, log: &sample.Log{Oracle: p.Oracle}}
		middle, err := e.middle(n, f)
		if err != nil {
			t.Fatal(err)
		}
		at := func(x []float64) float64 { return secondLayer(n, f.Function, mat.NewDense(1, d, x)).At(0, 0) }
		most := math.Inf(-1) // of many places, from near to far out
		for range 20000 {
			x := sample.Direction(rng, d)
			floats.Scale(20*rng.Float64(), x)
			most = math.Max(most, at(x))
		}
		n.Second.Bias[0] -= most + 6
		less := 0
		for range 5 {
			v := e.alive(n, f.Function, 0, 1.5, middle)
			if v == nil {
				t.Fatal("no place")
			}
			if at(middle.Input(v)) < -7 {
				less++
			}
		}
		if less > 1 { // at a place from which no small move leads on
			t.Errorf("seed %d: at %d of 5 places the unit's pre-activation is less than -7; it reaches -6", seed, less)
		}
	}
}
