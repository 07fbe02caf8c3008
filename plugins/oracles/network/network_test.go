package network

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/plugintest"
)

// f(x) = 0.25 + 2 tanh(0.5 sigmoid(x1 - 2 x2 + 0.1) - 0.3 sigmoid(3 x2) + 0.2)
const content = `{"format": "nnid/network/v1", "layers": [
	{"weight": [[1, -2], [0, 3]], "bias": [0.1, 0], "activation": "sigmoid"},
	{"weight": [[0.5, -0.3]], "bias": [0.2], "activation": "tanh"},
	{"weight": [[2]], "bias": [0.25], "activation": "identity"}]}`

func value(x1, x2 float64) float64 {
	s := func(t float64) float64 { return 1 / (1 + math.Exp(-t)) }
	return 0.25 + 2*math.Tanh(0.5*s(x1-2*x2+0.1)-0.3*s(3*x2)+0.2)
}

func with(t *testing.T, text string, options ...string) (core.Oracle, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	given := core.Options{"file": path}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		given[name] = value
	}
	resolved, err := Factory.Resolve(core.KindOracle, given)
	if err != nil {
		return nil, err
	}
	return Factory.Open(resolved)
}

func must(t *testing.T, options ...string) core.Oracle {
	t.Helper()
	o, err := with(t, content, options...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func ask(t *testing.T, o core.Oracle, x ...float64) float64 {
	t.Helper()
	y, err := o.Query(t.Context(), mat.NewDense(1, len(x), x))
	if err != nil {
		t.Fatal(err)
	}
	return y.At(0, 0)
}

func TestConformance(t *testing.T) {
	for _, options := range [][]string{nil, {"dtype=FP32"}, {"digits=5"}, {"noise=1e-3", "seed=7"}, {"max-batch=3"}, {"latency=1ms"}} {
		if err := plugintest.CheckOracle(t.Context(), must(t, options...), 2); err != nil {
			t.Errorf("%v: %v", options, err)
		}
	}
}

func TestValues(t *testing.T) {
	want := value(0.3, -0.7)
	if got := ask(t, must(t), 0.3, -0.7); math.Abs(got-want) > 4e-16 {
		t.Errorf("got %.17g, want %.17g", got, want)
	}
	single := ask(t, must(t, "dtype=FP32"), 0.3, -0.7)
	if single != float64(float32(single)) || single == want || math.Abs(single-want) > 1e-6 {
		t.Errorf("FP32: got %.17g", single)
	}
	// FP32 rounds the inputs: two that are the same in single precision have the same answer.
	if o := must(t, "dtype=FP32"); ask(t, o, 1e4, 0) != ask(t, o, 1e4+1e-5, 0) {
		t.Error("FP32 does not round the inputs")
	}
	if got := ask(t, must(t, "digits=3"), 0.3, -0.7); got != math.Round(want*100)/100 {
		t.Errorf("digits=3: got %.17g, want %.17g rounded", got, want)
	}
}

func TestNoise(t *testing.T) {
	const n, sigma = 2000, 0.01
	a, b, clean := must(t, "noise=0.01", "seed=1"), must(t, "noise=0.01", "seed=2"), must(t)
	sum, squares, mixed := 0.0, 0.0, 0.0
	for i := range n {
		x := float64(i) / n
		ea, eb := ask(t, a, x, 1)-ask(t, clean, x, 1), ask(t, b, x, 1)-ask(t, clean, x, 1)
		sum, squares, mixed = sum+ea, squares+ea*ea, mixed+ea*eb
	}
	// Five standard errors of the mean, the variance and the correlation of n samples.
	if math.Abs(sum/n) > 5*sigma/math.Sqrt(n) || math.Abs(squares/n/sigma/sigma-1) > 5*math.Sqrt(2.0/n) || math.Abs(mixed/n/sigma/sigma) > 5/math.Sqrt(n) {
		t.Errorf("mean %g, variance %g, correlation of seeds %g", sum/n, squares/n, mixed/n)
	}
}

func TestLatencyEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := must(t, "latency=1h").Query(ctx, mat.NewDense(1, 2, nil))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

func TestModel(t *testing.T) {
	names := map[string]bool{}
	for _, options := range [][]string{nil, {"dtype=FP32"}, {"digits=5"}, {"noise=1e-3"}, {"noise=1e-3", "seed=7"}} {
		info, err := must(t, options...).Info(t.Context())
		if err != nil || info.Inputs != 2 || info.Outputs != 1 || names[info.Model] {
			t.Errorf("%v: %+v, %v", options, info, err)
		}
		names[info.Model] = true
	}
}

func TestErrors(t *testing.T) {
	for want, c := range map[string]struct {
		content string
		options []string
	}{
		`"relu7", which is not built in; there are: tanh, sigmoid`: {strings.Replace(content, "sigmoid", "relu7", 1), nil},
		"net.json: not a network":                                  {"{", nil},
		"cannot be read: no such":                                  {content, []string{"file=/nowhere/net.json"}},
		"dtype=":                                                   {content, []string{"dtype=FP16"}},
		"digits=18":                                                {content, []string{"digits=18"}},
		"noise=":                                                   {content, []string{"noise=-1"}},
		"seed=":                                                    {content, []string{"seed=-1"}},
		"latency=":                                                 {content, []string{"latency=soon"}},
		"max-batch=":                                               {content, []string{"max-batch=many"}},
		`has no option "bogus"`:                                    {content, []string{"bogus=1"}},
		"does not fit into FP32":                                   {strings.Replace(content, "-2", "1e300", 1), []string{"dtype=FP32"}},
	} {
		if _, err := with(t, c.content, c.options...); err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Usage) {
			t.Errorf("want a usage fault with %q, got %v", want, err)
		}
	}
	if _, err := must(t).Query(t.Context(), mat.NewDense(1, 2, []float64{math.NaN(), 0})); !fault.Is(err, fault.Oracle) {
		t.Errorf("a query of NaN: %v", err)
	}
	if _, err := must(t, "max-batch=1").Query(t.Context(), mat.NewDense(2, 2, nil)); err == nil {
		t.Error("a query beyond max-batch is answered")
	}
}
