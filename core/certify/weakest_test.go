package certify

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// TestWeakest: the combination that is named is the right singular vector of the smallest singular value, and the words say why it is.
func TestWeakest(t *testing.T) {
	f := function(t)
	rng := rand.New(rand.NewPCG(8, 0))
	near := func(spoil func(n *network.Network)) *Certificate {
		t.Helper()
		n := tiny()
		spoil(n)
		return at(t, n, f, answers(rng, n, f, places(rng, 300, 3), 1e-12), 1000)
	}
	for words, spoil := range map[string]func(n *network.Network){
		"units 0 and 2 of the first layer nearly coincide (angle 0.001)": func(n *network.Network) {
			row := n.First.Weight.RawRowView(2)
			copy(row, n.First.Weight.RawRowView(0))
			row[1] += 1e-3 * floats.Norm(row, 2)
			n.First.Bias[2] = n.First.Bias[0]
		},
		"units 0 and 1 of the second layer nearly coincide": func(n *network.Network) { // but for the sign
			row := n.Second.Weight.RawRowView(1)
			floats.ScaleTo(row, -1, n.Second.Weight.RawRowView(0))
			row[2] += 1e-3
			n.Second.Bias[1] = -n.Second.Bias[0]
		},
		"unit 1 of the second layer is nearly linear": func(n *network.Network) { floats.Scale(1e-3, n.Second.Weight.RawRowView(1)) },
	} {
		c := near(spoil)
		if len(c.Weakest) == 0 || !c.Weakest[0].Degenerate || !strings.Contains(c.Weakest[0].What, words) {
			t.Errorf("%s: %+v", words, c.Weakest)
		}
	}
	c := near(func(*network.Network) {})
	if len(c.Weakest) == 0 || c.Weakest[0].Degenerate || c.Weakest[0].ErrorBar > 1e-9 || c.Weakest[0].ErrorBar < 1e-13 {
		t.Errorf("a network that nothing is wrong with: %+v", c.Weakest)
	}
	// Two units that are one: nothing of the error bars is left, but the names are.
	c = near(func(n *network.Network) {
		copy(n.Second.Weight.RawRowView(1), n.Second.Weight.RawRowView(0))
		n.Second.Bias[1] = n.Second.Bias[0]
	})
	if c.Condition != -1 || !strings.Contains(strings.Join(c.Undetermined, "; "), "units 0 and 1 of the second layer nearly coincide") {
		t.Errorf("two units that are one: condition %g, %q", c.Condition, c.Undetermined)
	}
}

// TestIllConditioned: where the square of the condition number is beyond double precision, error bars and condition are still right.
func TestIllConditioned(t *testing.T) {
	f, n := function(t), tiny()
	rng := rand.New(rand.NewPCG(9, 0))
	row := n.Second.Weight.RawRowView(1)
	copy(row, n.Second.Weight.RawRowView(0))
	row[0] += 1e-4
	n.Second.Bias[1] = n.Second.Bias[0]
	data := answers(rng, n, f, places(rng, 300, 3), 1e-12)
	tri, _ := decompose(n, f, f, data)
	p := n.Parameters()
	j := mat.NewDense(300, p, nil)
	refine.Jacobian(n, f, f, data, j)
	for r := range 300 {
		floats.Mul(j.RawRowView(r), tri.scale)
	}
	var svd mat.SVD
	svd.Factorize(j, mat.SVDThin)
	values := svd.Values(nil)
	if want := values[0] / values[p-1]; want < 1e8 || tri.condition < 0.9*want || tri.condition > 1.1*want {
		t.Errorf("condition number %g, from singular values %g", tri.condition, want)
	}
	var v mat.Dense
	svd.VTo(&v)
	for i, got := range tri.variances() {
		want := 0.0
		for k, s := range values {
			want += math.Pow(v.At(i, k)*tri.scale[i]/s, 2)
		}
		if got < 0.9*want || got > 1.1*want {
			t.Errorf("parameter %d: variance %g, from singular values %g", i, got, want)
		}
	}
}
