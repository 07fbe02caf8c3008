package plugintest

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nnid/nnid/core"
)

// tanhActivation conforms; its fields break one rule each.
type tanhActivation struct {
	facts func() core.Facts
	// derivative, where it is set, comes before the right answer; done says that the answer is given.
	derivative func(ctx context.Context, order int, t []float64) (v []float64, err error, done bool)
	ignoreEnd  bool
}

func tanhFacts() core.Facts {
	return core.Facts{
		Left:     core.Tail{Asymptotic: true, Intercept: -1, Rate: 2},
		Right:    core.Tail{Asymptotic: true, Intercept: 1, Rate: 2},
		Symmetry: core.SymmetryPoint,
	}
}

func (a tanhActivation) Facts() core.Facts {
	if a.facts != nil {
		return a.facts()
	}
	return tanhFacts()
}

func tanh(order int, t float64) float64 {
	e := math.Exp(-2 * math.Abs(t))
	g, g1 := math.Tanh(t), 4*e/((1+e)*(1+e))
	return [...]float64{g, g1, -2 * g * g1, g1 * (4*g*g - 2*g1)}[order]
}

func (a tanhActivation) Derivative(ctx context.Context, order int, t []float64) ([]float64, error) {
	if err := ctx.Err(); err != nil && !a.ignoreEnd {
		return nil, err
	}
	if a.derivative != nil {
		if v, err, done := a.derivative(ctx, order, t); done {
			return v, err
		}
	}
	if order < 0 || order > core.MaxDerivative {
		return nil, errors.New("no such order")
	}
	v := make([]float64, len(t))
	for i, x := range t {
		v[i] = tanh(order, x)
	}
	return v, nil
}

// changed alters single values.
func changed(change func(order int, t, v float64) float64) tanhActivation {
	return tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
		if order < 0 || order > core.MaxDerivative {
			return nil, nil, false
		}
		v := make([]float64, len(t))
		for i, x := range t {
			v[i] = change(order, x, tanh(order, x))
		}
		return v, nil, true
	}}
}

func withFacts(change func(*core.Facts)) tanhActivation {
	return tanhActivation{facts: func() core.Facts { f := tanhFacts(); change(&f); return f }}
}

func TestActivationConforms(t *testing.T) {
	if err := CheckActivation(t.Context(), tanhActivation{}); err != nil {
		t.Error(err)
	}
}

// TestActivationChecksCanFail shows of every check that it finds what it is there for.
func TestActivationChecksCanFail(t *testing.T) {
	var calls, running atomic.Int64
	cases := []struct {
		rule, says string
		activation core.Activation
	}{
		{"facts", "differently", tanhActivation{facts: func() core.Facts { f := tanhFacts(); f.Left.Rate = float64(calls.Add(1)); return f }}},
		{"facts", "finite", withFacts(func(f *core.Facts) { f.Right.Slope = math.Inf(1) })},
		{"facts", "rate", withFacts(func(f *core.Facts) { f.Right.Rate = math.NaN() })},
		{"facts", "not asymptotic", withFacts(func(f *core.Facts) { f.Right.Asymptotic = false })},
		{"facts", "symmetry is 7", withFacts(func(f *core.Facts) { f.Symmetry = 7 })},
		{"order", "order 4 answers", tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
			return make([]float64, len(t)), nil, order == 4
		}}},
		{"shape", "answers 1 values for 0", tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
			return make([]float64, 1), nil, len(t) == 0
		}}},
		{"shape", "fails", tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
			return nil, errors.New("empty"), len(t) == 0
		}}},
		{"special values", "at NaN is 0", changed(func(_ int, x, v float64) float64 {
			if math.IsNaN(x) {
				return 0
			}
			return v
		})},
		{"special values", "at +Inf is NaN", changed(func(order int, x, v float64) float64 {
			if order == 2 && math.IsInf(x, 1) {
				return math.NaN()
			}
			return v
		})},
		{"special values", "touch each other", tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
			v := make([]float64, len(t))
			for i := range v {
				v[i] = math.NaN()
			}
			return v, nil, len(t) > 1 && math.IsNaN(t[1]) && order >= 0 && order < 4
		}}},
		// The naive formula overflows: sinh/cosh.
		{"finite", "overflow", changed(func(order int, x, v float64) float64 {
			if order == 0 && !math.IsInf(x, 0) {
				return math.Sinh(x) / math.Cosh(x)
			}
			return v
		})},
		{"derivatives", "derivative of order 2", changed(func(order int, x, v float64) float64 {
			if order == 2 {
				return v * 1.0001
			}
			return v
		})},
		{"derivatives", "derivative of order 3", changed(func(order int, x, v float64) float64 {
			if order == 3 {
				return -v
			}
			return v
		})},
		{"tails", "intercept 2", withFacts(func(f *core.Facts) { f.Right.Intercept = 2 })},
		{"tails", "left tail decays at the rate 2; 1 was declared", withFacts(func(f *core.Facts) { f.Left.Rate = 1 })},
		{"tails", "faster than every exponential", withFacts(func(f *core.Facts) { f.Left.Rate = math.Inf(1) })},
		// A bump in the right tail, and its mirror image in the left one.
		{"monotone tails", "right asymptote", tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
			if order != 0 {
				return nil, nil, false
			}
			v := make([]float64, len(t))
			for i, x := range t {
				v[i] = tanh(0, x) + math.Copysign(1e-3*math.Exp(-math.Pow(math.Abs(x)-60, 2)), x)
			}
			return v, nil, true
		}}},
		{"symmetry", "even symmetry declared", withFacts(func(f *core.Facts) { f.Symmetry = core.SymmetryEven })},
		{"input unchanged", "must not be changed", tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
			if order < 0 || order > 3 {
				return nil, nil, false
			}
			for i, x := range t {
				t[i] = tanh(order, x)
			}
			return t, nil, true
		}}},
		// Normalising over the batch, as if it were a layer.
		{"batches", "neighbours", tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
			if order != 0 {
				return nil, nil, false
			}
			v, mean := make([]float64, len(t)), 0.0
			for i, x := range t {
				v[i] = tanh(0, x)
				mean += v[i] / float64(len(t))
			}
			for i := range v {
				v[i] -= mean
			}
			return v, nil, true
		}}},
		{"batches", "fails", tanhActivation{derivative: func(_ context.Context, _ int, t []float64) ([]float64, error, bool) {
			return nil, errors.New("message larger than 2 MiB"), len(t) > 1<<18
		}}},
		{"concurrency", "", tanhActivation{derivative: func(_ context.Context, order int, t []float64) ([]float64, error, bool) {
			defer running.Add(-1)
			if running.Add(1) > 1 {
				return nil, errors.New("busy"), true
			}
			for i := 0; len(t) == 2000 && i < 1000000; i++ { // long enough to be met
				running.Load()
			}
			return nil, nil, false
		}}},
		{"cancellation", "has ended", tanhActivation{ignoreEnd: true}},
	}
	found := map[string]bool{}
	for _, c := range cases {
		t.Run(c.rule+" "+c.says, func(t *testing.T) {
			err := CheckActivation(t.Context(), c.activation)
			if err == nil {
				t.Fatal("the suite passes it")
			}
			for line := range strings.Lines(err.Error()) {
				if strings.HasPrefix(line, c.rule+": ") && strings.Contains(line, c.says) {
					found[c.rule] = true
					return
				}
			}
			t.Errorf("no line with %q and %q in:\n%v", c.rule, c.says, err)
		})
	}
	for _, rule := range ActivationChecks() {
		if !found[rule] {
			t.Errorf("no broken activation shows that the check %q can fail", rule)
		}
	}
}

func TestActivationChecksStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := CheckActivation(ctx, tanhActivation{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
