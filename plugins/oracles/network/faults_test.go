package network

import (
	"math"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// Every fault does what its option says, and shows in the model's name where it changes answers.
func TestFaults(t *testing.T) {
	x := mat.NewDense(4, 2, []float64{0.3, -0.2, 5, 1, 0.3, -0.2, 0.5, 0.5})
	answers := func(options ...string) []float64 {
		t.Helper()
		o := must(t, options...)
		info, err := o.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, option := range options {
			if name, _, _ := strings.Cut(option, "="); name != "fail" && name != "latency-row" && !strings.Contains(info.Model, option) {
				t.Errorf("the model %q does not tell of %s", info.Model, option)
			}
		}
		y, err := o.Query(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		return mat.Col(nil, 0, y)
	}
	honest := answers()
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }
	if y := answers("jitter=0.01"); y[0] == y[2] || math.Abs(y[0]-honest[0]) > 0.1 {
		t.Errorf("jitter: %v", y)
	}
	if y := answers("drift=10"); !near(y[0], honest[0]) || !near(y[2], honest[2]+0.02) {
		t.Errorf("drift: %v", y)
	}
	if y := answers("order=0.5"); !near(y[3], honest[3]+1.5) {
		t.Errorf("order: %v", y)
	}
	if y := answers("stale=1"); y[3] != y[0] || !near(y[0], honest[0]) {
		t.Errorf("stale: %v", y)
	}
	if y := answers("clip=1"); !near(y[1], value(1, 1)) || !near(y[0], honest[0]) {
		t.Errorf("clip: %v", y)
	}
	if y := answers("step=0.25"); y[0] != 0.25*math.Round(honest[0]/0.25) {
		t.Errorf("step: %v", y)
	}
	started := time.Now()
	if answers("latency-row=5ms"); time.Since(started) < 20*time.Millisecond {
		t.Error("latency-row: no time was taken")
	}
	o := must(t, "fail=0.5")
	failed := 0
	for range 100 {
		if _, err := o.Query(t.Context(), x); err != nil {
			failed++
			if !fault.Is(err, fault.Oracle) {
				t.Fatal(err)
			}
		}
	}
	if failed < 25 || failed > 75 {
		t.Errorf("%d of 100 queries failed", failed)
	}
	for _, wrong := range []string{"fail=2", "stale=-1", "clip=x", "step=-1", "drift=nan", "latency-row=-1s"} {
		if _, err := with(t, content, wrong); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
