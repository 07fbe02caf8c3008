package identify

import (
	"strings"
	"testing"
)

// TestSteps: networks whose first layer saturates in whatever way, with whatever second layer, sizes unknown.
func TestSteps(t *testing.T) {
	for _, c := range []struct {
		g, h string
		most float64 // queries for each parameter
	}{
		{"erf", "erf", 9},
		{"gompertz", "gompertz", 11},
		{"arctan", "arctan", 10},
		{"softsign", "softsign", 18},
		{"tanh", "softplus", 10},
		{"erf", "tanh", 9},
		{"softplus", "tanh", 40},
		{"silu", "gompertz", 40},
	} {
		t.Run(c.g+" "+c.h, func(t *testing.T) {
			got := identifyCell(t, c.g, c.h, 10, 10, 3, 0.5, 1)
			if got.err != nil || !got.result.Identified || got.error > 1e-10 || got.queries > c.most {
				t.Errorf("parameters off by %.1e after %.1f P queries, error %v, %+v", got.error, got.queries, got.err, got.result)
			}
		})
	}
}

// TestStepsEvidence: all candidates compete for the first layer at hardly a further query (a second tail of each step, and a look at whether fronts tell), and what they leave is in the result.
func TestStepsEvidence(t *testing.T) {
	names := []string{"tanh", "sigmoid", "erf", "gompertz", "arctan", "softsign", "softplus", "sine"}
	for _, name := range []string{"tanh", "erf", "arctan"} {
		alone, among := identifyCell(t, name, name, 8, 8, 3, 0.5, 2, name), identifyCell(t, name, name, 8, 8, 3, 0.5, 2, names...)
		if among.err != nil || !among.result.Identified || among.queries > alone.queries+1.5 {
			t.Errorf("%s: %v, %.1f P queries, %.1f alone, %+v", name, among.err, among.queries, alone.queries, among.result)
			continue
		}
		right, seen := false, 0
		for _, e := range among.result.Evidence {
			seen++
			if good := e.Misfit < 1e-4; good && e.Activation != name && !(name == "tanh" && e.Activation == "sigmoid") {
				t.Errorf("%s: %+v", name, e)
			} else if good {
				right = true
			}
		}
		if !right || seen < 6 || !strings.Contains(among.result.Remark, "of the steps of layer 1, the next best") {
			t.Errorf("%s: evidence %v, remark %q", name, among.result.Evidence, among.result.Remark)
		}
	}
}

// TestDifferent: the layers' activations are told from all candidates when they differ, too.
func TestDifferent(t *testing.T) {
	got := identifyCell(t, "tanh", "arctan", 6, 6, 2, 0.5, 1, "tanh", "sigmoid", "erf", "arctan", "softplus")
	if got.err != nil || !got.result.Identified || got.result.Activation != "tanh,arctan" || got.error > 1e-10 || !strings.Contains(got.result.Remark, "tanh and sigmoid describe the same functions") {
		t.Errorf("parameters off by %.1e after %.1f P queries, error %v, %+v", got.error, got.queries, got.err, got.result)
	}
}
