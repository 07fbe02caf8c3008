package identify

import (
	"strings"
	"testing"

	"github.com/nnid/nnid/core/teachers"
)

// TestNearlyDegenerate: units that nearly coincide or are nearly linear are told apart, those that far out are one unit too, and the
// certificate says which they are; so are units with parallel weights.
func TestNearlyDegenerate(t *testing.T) {
	size := teachers.Size{Inputs: 6, M0: 5, M1: 2}
	f := function(t, "tanh")
	for _, name := range []string{"closer-first", "close-second", "short-second", "low-rank", "parallel-first", "nested-first"} {
		t.Run(name, func(t *testing.T) {
			teacher, err := teachers.Degenerate(name, size, 0.5, "tanh", f, 0)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Identify(t.Context(), problem(t, teacher.Network), Settings{})
			// Of nested units spare ones may stay that the answers leave open: then they are named, and nothing is claimed.
			if name == "nested-first" && err == nil && !r.Identified && strings.Contains(r.Reason, "the answers leave open unit") {
				return
			}
			if err != nil || !r.Identified {
				t.Fatalf("%v %s", err, r.Reason)
			}
			if d := distance(t, teacher.Minimal, r.Network); d > 1e-5 || d > 10*r.Certificate.ErrorBar {
				t.Errorf("distance %g, error bar %g", d, r.Certificate.ErrorBar)
			}
			if len(r.Certificate.Weakest) == 0 {
				t.Fatal("no combination is named")
			}
			what := r.Certificate.Weakest[0].What
			for case_, words := range map[string]string{"closer-first": "of the first layer nearly coincide", "close-second": "of the second layer nearly coincide"} {
				if case_ == name && !strings.Contains(what, words) {
					t.Errorf("the weakest combination is %q", what)
				}
			}
		})
	}
}
