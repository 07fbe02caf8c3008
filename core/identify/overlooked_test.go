package identify

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

// overlooking returns a run that has found all of the network truth but unit 0 of its second layer, which is awake where the units of the first are saturated on certain sides, and nowhere in
// the middle, and a few answers from such places, far out.
func overlooking(t *testing.T, steep float64, seed uint64) (*exact, *network.Network) {
	truth := randomNet(10, 8, 3, 0.5, "tanh", 400+seed)
	truth.Second.Weight.Scale(steep, truth.Second.Weight)
	b := truth.Second.Weight.RawRowView(0)
	truth.Second.Bias[0] = -floats.Norm(b, 1) + 2
	p := problem(t, truth)
	f := p.Candidates[0]
	e := &exact{problem: p, log: p.log(), rng: rand.New(rand.NewPCG(seed, 1)), scales: &sample.Scales{Noise: 1e-15, Spread: 2, Value: 2, Saturation: 40, Grid: 1e-16}, family: family{Candidate: f}, loss: 1, noise: 1e-15}
	e.report = &reporter{queries: p.Oracle.Queries}
	e.families = []family{e.family}
	for k := range 40 {
		x := sample.Direction(e.rng, 10)
		if k%4 == 0 { // on the side where unit 0 is awake: A x = s, as the directions span 8 of the 10 dimensions
			sides := mat.NewVecDense(8, nil)
			for i, v := range b {
				sides.SetVec(i, math.Copysign(1+e.rng.Float64(), v))
			}
			var at mat.VecDense
			if err := at.SolveVec(truth.First.Weight, sides); err != nil {
				t.Fatal(err)
			}
			x = at.RawVector().Data
		}
		floats.Scale(1000/floats.Norm(x, 2), x)
		if _, err := sample.Points(t.Context(), e.log, [][]float64{x}); err != nil {
			t.Fatal(err)
		}
	}
	e.local = len(e.log.Y)
	e.spreadFrom = e.local
	e.found = without(truth, f.Function, 0, -1)
	middle, err := e.middle(e.found, e.family)
	if err != nil {
		t.Fatal(err)
	}
	for len(e.log.Y) < e.local+250 {
		v := middle.Point()
		x := mat.NewDense(1, 10, middle.Input(v))
		if math.Abs(truth.Evaluate(f.Function, f.Function, x)[0]-e.found.Evaluate(f.Function, f.Function, x)[0]) > 1e-12 {
			continue // unit 0 is awake there
		}
		if _, err := middle.Ask(t.Context(), mat.NewDense(1, 8, v)); err != nil {
			t.Fatal(err)
		}
	}
	e.spreaded = len(e.log.Y) - e.spreadFrom
	return e, truth
}

// TestOverlooked: answers from far out that no fit has seen tell of a unit of the second layer that is awake nowhere else, and it is found.
func TestOverlooked(t *testing.T) {
	const seeds = 3
	missed := 0
	for seed := range uint64(seeds) {
		e, truth := overlooking(t, 8, seed)
		if middle := e.rows(e.spreadFrom, len(e.log.Y)); floats.Max(residuals(e.found, e.family.Function, middle)) > 1e-12 {
			t.Fatal("the answers in the middle tell of the unit already")
		}
		if against := e.contradictions(truth, e.family); len(against.Y) > 0 {
			t.Errorf("seed %d: %d answers contradict the truth", seed, len(against.Y))
		}
		against := e.contradictions(e.found, e.family)
		if len(against.Y) < 5 {
			t.Errorf("seed %d: %d answers contradict the network without the unit", seed, len(against.Y))
			continue
		}
		before := e.found
		found, err := e.revise(t.Context(), against)
		if err != nil {
			t.Fatal(err)
		}
		if !found { // then what there was stays, and is not claimed
			missed++
			if e.found != before || e.loss != 1 {
				t.Errorf("seed %d: neither found nor as it was", seed)
			}
		} else if off := distance(t, truth, e.found); off > 1e-8 {
			t.Errorf("seed %d: off by %.1e", seed, off)
		}
	}
	if missed > 1 {
		t.Errorf("missed with %d of %d seeds", missed, seeds)
	}
}
