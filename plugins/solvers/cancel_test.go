package solvers_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/solvers"
)

// nothing is a random subspace: it holds no rank-one matrix (2 m < d^2 by far), so that every solver searches long.
func nothing(d, m int) core.Problem {
	random := rand.New(rand.NewPCG(1, 2))
	columns := mat.NewDense(d*d, m, nil)
	for k := range m {
		for i := range d {
			for j := range i + 1 {
				value := random.NormFloat64()
				columns.Set(i*d+j, k, value)
				columns.Set(j*d+i, k, value)
			}
		}
	}
	var qr mat.QR
	qr.Factorize(columns)
	var q mat.Dense
	qr.QTo(&q)
	return core.Problem{Dim: d, Basis: mat.DenseCopyOf(q.Slice(0, d*d, 0, m))}
}

// TestNothing: where there is nothing to find, nothing is returned, and soon.
func TestNothing(t *testing.T) {
	for _, factory := range solvers.All() {
		begin := time.Now()
		solution, err := open(t, factory.Name, nil).Solve(context.Background(), nothing(12, 8), quiet)
		if err != nil {
			t.Fatal(err)
		}
		if solution.Vectors != nil {
			t.Errorf("%s: %d vectors in a random subspace, of objective %.3g", factory.Name, len(solution.Objective), solution.Objective)
		}
		t.Logf("%s: %v, %v", factory.Name, time.Since(begin).Round(time.Millisecond), solution.Statistics)
	}
}

// TestCancel: every solver stops soon after its context ends, wherever it is.
func TestCancel(t *testing.T) {
	problems := map[string]core.Problem{
		"auto": nothing(40, 40), "spm": nothing(40, 60), "jointdiag": nothing(40, 40), "kernel": nothing(32, 50), "spectral": nothing(40, 30),
		"newton": nothing(40, 60), "altproj": nothing(40, 60),
	}
	for _, factory := range solvers.All() {
		for _, after := range []time.Duration{30 * time.Millisecond, 400 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(context.Background(), after)
			_, err := open(t, factory.Name, nil).Solve(ctx, problems[factory.Name], quiet)
			ended := time.Now()
			deadline, _ := ctx.Deadline()
			cancel()
			if problems[factory.Name].Dim == 0 || err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", factory.Name, err)
			}
			late := ended.Sub(deadline)
			if late > 500*time.Millisecond { // 100 ms is the aim; the machine may be busy
				t.Errorf("%s: %v late", factory.Name, late)
			}
			t.Logf("%s: stopped after %v: %v late (%v)", factory.Name, after, late.Round(time.Millisecond), err)
		}
	}
}

// TestUnsupported: a problem beyond a solver's reach is an error that says what to do.
func TestUnsupported(t *testing.T) {
	for name, problem := range map[string]core.Problem{"jointdiag": nothing(4, 5), "kernel": nothing(4, 8)} {
		_, err := open(t, name, nil).Solve(context.Background(), problem, quiet)
		if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "auto") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOptions(t *testing.T) {
	wrong := map[string][]core.Options{
		"auto":      {{"accept": "much"}, {"accept": "0"}, {"accept": "2"}, {"accept": "NaN"}},
		"spm":       {{"starts": "-1"}, {"iterations": "0"}, {"accept": ""}},
		"newton":    {{"starts": "-1"}, {"steps": "0"}, {"power": "-1"}, {"accept": "3"}},
		"altproj":   {{"starts": "x"}, {"iterations": "0"}, {"tolerance": "1"}, {"polish": "perhaps"}, {"accept": "3"}},
		"jointdiag": {{"pairs": "0"}, {"accept": "-1"}},
		"kernel":    {{"accept": "x"}},
		"spectral":  {{"gamma": "0"}, {"gamma": "NaN"}, {"starts": "1.5"}, {"iterations": "0"}, {"tolerance": "-1"}, {"threshold": "2"}, {"cluster": "3"}},
	}
	for _, factory := range solvers.All() {
		if factory.Summary == "" || factory.Reference == "" || len(wrong[factory.Name]) == 0 {
			t.Errorf("%s: no summary, no reference, or not tested here", factory.Name)
		}
		for _, options := range wrong[factory.Name] {
			resolved, err := factory.Resolve(core.KindSolver, options)
			if err == nil {
				_, err = factory.Open(resolved)
			}
			if !fault.Is(err, fault.Usage) {
				t.Errorf("%s opened with %v: %v", factory.Name, options, err)
			}
		}
	}
	// A strict threshold refuses what noise has moved; a generous one takes it.
	problem := nothing(8, 1)
	for accept, want := range map[string]int{"1e-6": 0, "1": 1} {
		solution, err := open(t, "auto", core.Options{"accept": accept}).Solve(context.Background(), problem, quiet)
		if err != nil || len(solution.Objective) < want || want == 0 && solution.Vectors != nil {
			t.Errorf("accept=%s: %v, %v", accept, solution, err)
		}
	}
}
