package identify

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/sample"
)

// TestRouse: a unit of which answers show the tail alone may be any unit with that tail; answers from where it is most alive tell.
func TestRouse(t *testing.T) {
	for _, d := range []int{12, 6} { // as many inputs as units, and fewer
		n := randomNet(d, 12, 3, 0.5, "sigmoid", 81)
		n.First.Weight.Scale(4, n.First.Weight)
		n.Second.Weight.Scale(6, n.Second.Weight)
		most := 0.0
		for _, v := range n.Second.Weight.RawRowView(1) {
			most += math.Max(v, 0)
		}
		n.Second.Bias[1], n.Output[1] = -most-6, 5
		p := problem(t, n)
		f := family{Candidate: candidates(t, "sigmoid")[0]}
		rng := rand.New(rand.NewPCG(6, 5))
		log := &sample.Log{Oracle: p.Oracle}
		e := &exact{problem: p, rng: rng, log: log, family: f, noise: 1e-14, report: &reporter{queries: log.Queries}}
		var err error
		if e.scales, err = sample.Measure(t.Context(), log, d, false, rng); err != nil {
			t.Fatal(err)
		}
		// The same tail, ten times as far from its transition.
		e.found = n.Clone()
		e.found.Second.Bias[1] -= math.Log(10)
		e.found.Output[1] *= 10
		middle, err := e.middle(e.found, f)
		if err != nil {
			t.Fatal(err)
		}
		e.local, e.spreadFrom = len(log.Y), len(log.Y)
		if err := e.askMiddle(t.Context(), middle, 2*n.Parameters()); err != nil {
			t.Fatal(err)
		}
		e.spreaded = len(log.Y) - e.spreadFrom
		if err := e.certify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e.certificate.Output[1] < rouseFrom {
			t.Fatalf("the answers determine the output weight to %.1e: this test needs ones that do not", e.certificate.Output[1])
		}
		if err := e.sharpen(t.Context()); err != nil {
			t.Fatal(err)
		}
		if off := math.Abs(e.found.Output[1]/n.Output[1] - 1); off > 1e-4 || off > 10*e.certificate.Output[1] {
			t.Errorf("%d inputs: output weight %g instead of %g, error bar %.1e", d, e.found.Output[1], n.Output[1], e.certificate.Output[1])
		}
		if !floats.EqualApprox(e.found.Second.Weight.RawRowView(1), n.Second.Weight.RawRowView(1), 1e-4) {
			t.Errorf("%d inputs: weights %v instead of %v", d, e.found.Second.Weight.RawRowView(1), n.Second.Weight.RawRowView(1))
		}
	}
}
