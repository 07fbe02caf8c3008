package identify

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
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

// TestAgreed: units that another student has not are left out, whatever their signs and their order.
func TestAgreed(t *testing.T) {
	a, b := randomNet(4, 4, 3, 0.5, "tanh", 1), randomNet(4, 4, 4, 0.5, "tanh", 2)
	for k, l := range []int{2, 0} { // a's units 2 and 0 are b's 1 and 3, the first turned round
		b.Second.Weight.SetRow(1+2*k, floats.ScaleTo(make([]float64, 4), 2*float64(2*k-1), a.Second.Weight.RawRowView(l)))
	}
	kept := agreed(a, b)
	if kept == nil || len(kept.Output) != 2 {
		t.Fatalf("kept: %v", kept)
	}
	for k, l := range []int{0, 2} {
		if !floats.Equal(kept.Second.Weight.RawRowView(k), a.Second.Weight.RawRowView(l)) {
			t.Errorf("unit %d of those kept is not unit %d", k, l)
		}
	}
	if none := agreed(a, randomNet(4, 4, 3, 0.5, "tanh", 3)); none != nil {
		t.Errorf("%d units are in both of two random networks", len(none.Output))
	}
}

// TestUnited: the function stays the same where units of the same parameters are made one, and those that cancel are gone.
func TestUnited(t *testing.T) {
	n := randomNet(4, 4, 5, 0.5, "tanh", 1)
	same := func(l, k int, side, output float64) { // unit l: unit k's parameters, or minus these
		n.Second.Weight.SetRow(l, floats.ScaleTo(make([]float64, 4), side, n.Second.Weight.RawRowView(k)))
		n.Second.Bias[l], n.Output[l] = side*n.Second.Bias[k], output
	}
	same(3, 0, -1, 0.4)
	same(4, 1, 1, -n.Output[1])
	h := function(t, "tanh")
	x := mat.NewDense(20, 4, nil)
	x.Apply(func(i, j int, _ float64) float64 { return math.Sin(float64(7*i + 3*j)) }, x)
	fewer := united(n, true)
	if len(fewer.Output) != 2 || floats.Distance(fewer.Evaluate(h, h, x), n.Evaluate(h, h, x), math.Inf(1)) > 1e-12 {
		t.Errorf("%d units, off by %g", len(fewer.Output), floats.Distance(fewer.Evaluate(h, h, x), n.Evaluate(h, h, x), math.Inf(1)))
	}
	if kept := united(n, false); len(kept.Output) != 3 {
		t.Errorf("%d units are left where the function is not odd", len(kept.Output))
	}
}

// TestMerged: a sigmoid unit turned round is the same unit, sigmoid(-t) = 1 - sigmoid(t), and the function stays as it is; networks without such units do, too.
func TestMerged(t *testing.T) {
	n := randomNet(4, 4, 3, 0.5, "sigmoid", 1)
	f := family{Candidate: candidates(t, "sigmoid")[0]}
	if merged(n, f) != n {
		t.Error("a network of different units was changed")
	}
	n.Second.Weight.SetRow(2, floats.ScaleTo(make([]float64, 4), -1, n.Second.Weight.RawRowView(0)))
	n.Second.Bias[2], n.Output[2] = -n.Second.Bias[0], -0.3
	x := mat.NewDense(20, 4, nil)
	x.Apply(func(i, j int, _ float64) float64 { return math.Sin(float64(7*i + 3*j)) }, x)
	g := f.Function
	fewer := merged(n, f)
	if off := floats.Distance(fewer.Evaluate(g, g, x), n.Evaluate(g, g, x), math.Inf(1)); len(fewer.Output) != 2 || off > 1e-12 {
		t.Errorf("%d units, off by %g", len(fewer.Output), off)
	}
}

// TestPlausible: a network with a unit that has run away, whose rounding would excuse everything, is none.
func TestPlausible(t *testing.T) {
	e, truth := overlooking(t, 8, 1)
	if !e.plausible(truth, e.family) || !e.plausible(e.found, e.family) {
		t.Error("networks that explain the answers in the middle are not plausible")
	}
	away := truth.Clone()
	away.Output[1] = -4.5e149
	if e.plausible(away, e.family) {
		t.Error("an output weight of -4.5e149 is plausible")
	}
}
