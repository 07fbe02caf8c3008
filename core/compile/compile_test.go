package compile

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

type functions = [core.MaxDerivative + 1]func(float64) float64

// pointwise is an activation made of functions of one number.
type pointwise struct {
	facts core.Facts
	g     functions
}

func elementwise(facts core.Facts, g functions) core.Activation { return pointwise{facts, g} }

func (p pointwise) Facts() core.Facts { return p.facts }

func (p pointwise) Derivative(ctx context.Context, order int, t []float64) ([]float64, error) {
	values := make([]float64, len(t))
	for i, v := range t {
		values[i] = p.g[order](v)
	}
	return values, ctx.Err()
}

func constant(v float64) func(float64) float64 { return func(float64) float64 { return v } }

// The functions below are written for these tests alone; the built-in activations have tests of their own.
var (
	tanhFacts = core.Facts{Left: core.Tail{Asymptotic: true, Intercept: -1, Rate: 2}, Right: core.Tail{Asymptotic: true, Intercept: 1, Rate: 2}, Symmetry: core.SymmetryPoint}
	tanh      = functions{math.Tanh,
		func(t float64) float64 { c := 1 / math.Cosh(t); return c * c },
		func(t float64) float64 { c := 1 / math.Cosh(t); return -2 * math.Tanh(t) * c * c },
		func(t float64) float64 { c := 1 / math.Cosh(t); h := math.Tanh(t); return c * c * (4*h*h - 2*c*c) },
	}
	arctanFacts = core.Facts{Left: core.Tail{Asymptotic: true, Intercept: -math.Pi / 2}, Right: core.Tail{Asymptotic: true, Intercept: math.Pi / 2}}
	arctan      = functions{math.Atan,
		func(t float64) float64 { return 1 / (1 + t*t) },
		func(t float64) float64 { w := 1 / (1 + t*t); return -2 * t * w * w },
		func(t float64) float64 { w := 1 / (1 + t*t); return (6 - 8*w) * w * w },
	}
	sine = functions{math.Sin, math.Cos, func(t float64) float64 { return -math.Sin(t) }, func(t float64) float64 { return -math.Cos(t) }}
	// softplus has an asymptote with a slope, and g(0) is not 0.
	softplusFacts = core.Facts{Left: core.Tail{Asymptotic: true, Rate: 1}, Right: core.Tail{Asymptotic: true, Slope: 1, Rate: 1}}
	softplus      = functions{
		func(t float64) float64 { return math.Max(t, 0) + math.Log1p(math.Exp(-math.Abs(t))) },
		func(t float64) float64 { return 1 / (1 + math.Exp(-t)) },
		func(t float64) float64 { e := math.Exp(-math.Abs(t)); return e / (1 + e) / (1 + e) },
		func(t float64) float64 {
			e := math.Exp(-math.Abs(t))
			return -math.Tanh(t/2) * e / (1 + e) / (1 + e)
		},
	}
	// leaky has a kink at 0.7, inside a panel.
	leakyFacts = core.Facts{Left: core.Tail{Asymptotic: true, Slope: 0.5, Intercept: 0.35}, Right: core.Tail{Asymptotic: true, Slope: 1}}
	leaky      = functions{
		func(t float64) float64 { return math.Max(t, t/2+0.35) },
		func(t float64) float64 {
			if t > 0.7 {
				return 1
			}
			return 0.5
		},
		constant(0), constant(0),
	}
	reluFacts = core.Facts{Left: core.Tail{Asymptotic: true}, Right: core.Tail{Asymptotic: true, Slope: 1}}
	relu      = functions{
		func(t float64) float64 { return math.Max(t, 0) },
		func(t float64) float64 {
			if t > 0 {
				return 1
			}
			return 0
		},
		constant(0), constant(0),
	}
)

func mustCompile(t testing.TB, facts core.Facts, g functions) *Function {
	t.Helper()
	f, err := Compile(context.Background(), elementwise(facts, g))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func apply(f core.Function, order int, t ...float64) []float64 {
	f.Apply(order, t, t)
	return t
}

func TestAccuracy(t *testing.T) {
	for _, c := range []struct {
		name     string
		facts    core.Facts
		g        functions
		complete bool
	}{
		{"tanh", tanhFacts, tanh, true},
		{"arctan", arctanFacts, arctan, true},
		{"softplus", softplusFacts, softplus, true},
		{"relu", reluFacts, relu, true},
		{"leaky", leakyFacts, leaky, false},
		{"sine", core.Facts{Symmetry: core.SymmetryPoint}, sine, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustCompile(t, c.facts, c.g)
			t.Logf("%v", f.Report())
			if f.Report().Complete() != c.complete {
				t.Errorf("Complete() = %v", !c.complete)
			}
			random := rand.New(rand.NewPCG(1, 1))
			for order, g := range c.g {
				worst, at := 0.0, 0.0
				for range 5000 {
					x := math.Exp(random.NormFloat64()*2) * math.Copysign(1, random.Float64()-0.5)
					want, scale := g(x), 1e-3
					for _, y := range []float64{x, x * 1.25, x / 1.25, x + 0.25, x - 0.25} {
						scale = math.Max(scale, math.Abs(g(y)))
					}
					if err := math.Abs(apply(f, order, x)[0]-want) / scale; !(err <= worst) {
						worst, at = err, x
					}
				}
				t.Logf("derivative %d: worst %.2g at %g", order, worst, at)
				// Eight units in the last place: the reference functions here err by a few themselves.
				if !(worst < 16e-16) {
					t.Errorf("derivative %d: error %g at %g", order, worst, at)
				}
			}
			if err := f.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSpecialArguments(t *testing.T) {
	f := mustCompile(t, tanhFacts, tanh)
	inf, nan := math.Inf(1), math.NaN()
	for order, want := range [][]float64{{1, -1, nan, 0, 1, -1}, {0, 0, nan, 1, 0, 0}, {0, 0, nan, 0, 0, 0}, {0, 0, nan, -2, 0, 0}} {
		got := apply(f, order, inf, -inf, nan, 0, 1e300, -math.MaxFloat64)
		for i := range want {
			if got[i] != want[i] && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
				t.Errorf("derivative %d: got %v, want %v", order, got, want)
				break
			}
		}
	}
	if got := apply(mustCompile(t, softplusFacts, softplus), 0, inf, -inf, 1e300); !math.IsInf(got[0], 1) || got[1] != 0 || got[2] != 1e300 {
		t.Errorf("softplus far out: %v", got)
	}
	if f.Calls() != 0 {
		t.Errorf("%d values were asked of the activation", f.Calls())
	}
	if got := apply(f, 4, 1); !math.IsNaN(got[0]) || f.Err() == nil {
		t.Error("order 4 must give NaN and an error")
	}
}

// An odd function keeps its relative accuracy down to the smallest numbers.
func TestRelativeAccuracyAtZero(t *testing.T) {
	for name, f := range map[string]*Function{"tanh": mustCompile(t, tanhFacts, tanh), "arctan": mustCompile(t, arctanFacts, arctan)} {
		for _, x := range []float64{1e-9, -1e-9, 1e-4, -0.003, 1e-300, 5e-324} {
			want := x
			if math.Abs(x) > 1e-9 {
				want = map[string]functions{"tanh": tanh, "arctan": arctan}[name][0](x)
			}
			if got := apply(f, 0, x)[0]; math.Abs(got-want) > 1e-15*math.Abs(want) {
				t.Errorf("%s(%g) = %g, want %g", name, x, got, want)
			}
		}
	}
}

// A kink at 0 costs nothing: the two sides have their own panels and 0 its own value.
func TestKinkAtZero(t *testing.T) {
	f := mustCompile(t, reluFacts, relu)
	got := apply(f, 1, -1e-300, 0, math.Copysign(0, -1), 1e-300)
	if got[0] != 0 || got[1] != 0 || got[2] != 0 || got[3] != 1 || f.Calls() != 0 {
		t.Errorf("derivative around 0: %v with %d calls", got, f.Calls())
	}
}

func TestCallsThrough(t *testing.T) {
	f := mustCompile(t, core.Facts{}, sine)
	x := []float64{1, 1e6, 2, -1e9}
	y := make([]float64, len(x))
	f.Apply(0, y, x)
	for i := range x {
		if math.Abs(y[i]-math.Sin(x[i])) > 1e-15 {
			t.Errorf("sin(%g) = %g", x[i], y[i])
		}
	}
	if f.Calls() != 2 {
		t.Errorf("%d values asked of the activation, want 2", f.Calls())
	}
	// Overflow on one side does not spoil the other.
	e := mustCompile(t, core.Facts{Left: core.Tail{Asymptotic: true, Rate: 1}}, functions{math.Exp, math.Exp, math.Exp, math.Exp})
	for _, x := range []float64{-800, -30, 0, 1, 300, 709, 710, 1e300} {
		if got, want := apply(e, 2, x)[0], math.Exp(x); got != want && !(math.Abs(got-want) <= 1e-15*want+1e-17) {
			t.Errorf("exp(%g) = %g, want %g", x, got, want)
		}
	}
	// Wrong facts are found out, not believed.
	wrong := mustCompile(t, core.Facts{Left: core.Tail{Asymptotic: true, Intercept: -2}, Right: core.Tail{Asymptotic: true, Intercept: 1}}, tanh)
	if got := apply(wrong, 0, -1e6, 1e6); got[0] != -1 || got[1] != 1 {
		t.Errorf("with a wrong asymptote: %v", got)
	}
	// So is arithmetic in single precision: correct, slow, reported.
	single := mustCompile(t, tanhFacts, functions{func(t float64) float64 { return float64(float32(math.Tanh(t))) }, tanh[1], tanh[2], tanh[3]})
	if got := apply(single, 0, 0.7); got[0] != float64(float32(math.Tanh(0.7))) || single.Report().Complete() {
		t.Errorf("single precision: %v, %v", got, single.Report())
	}
}

type failing struct {
	core.Activation
	after int
	how   string
	calls int
}

var errDown = errors.New("the plugin is gone")

func (f *failing) Derivative(ctx context.Context, order int, t []float64) ([]float64, error) {
	v, err := f.Activation.Derivative(ctx, order, t)
	if f.calls++; f.calls <= f.after {
		return v, err
	}
	switch f.how {
	case "error":
		return nil, errDown
	case "short":
		return v[:len(v)-1], nil
	}
	v[0] = math.NaN()
	return v, nil
}

func TestFailures(t *testing.T) {
	for how, want := range map[string]string{"error": "gone", "short": "values for", "nan": "is NaN at"} {
		_, err := Compile(context.Background(), &failing{Activation: elementwise(tanhFacts, tanh), after: 2, how: how})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", how, err)
		}
		if how != "error" && !fault.Is(err, fault.Plugin) {
			t.Errorf("%s: the fault's kind is %v", how, fault.KindOf(err))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Compile(ctx, elementwise(tanhFacts, tanh)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	broken := &failing{Activation: elementwise(core.Facts{}, sine), after: 1 << 30, how: "error"}
	f, err := Compile(context.Background(), broken)
	if err != nil {
		t.Fatal(err)
	}
	broken.after = 0
	if got := apply(f, 0, 1, 1e6); math.IsNaN(got[0]) || !math.IsNaN(got[1]) || !errors.Is(f.Err(), errDown) {
		t.Errorf("after the plugin's end: %v, %v", got, f.Err())
	}
}

func TestNoAllocationAndConcurrency(t *testing.T) {
	f := mustCompile(t, tanhFacts, tanh)
	x, y := arguments(1000), make([]float64, 1000)
	if n := testing.AllocsPerRun(10, func() { f.Apply(0, y, x) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			z := make([]float64, len(x))
			f.Apply(0, z, x)
			for i := range z {
				if z[i] != y[i] {
					t.Errorf("concurrent call: %g, want %g", z[i], y[i])
					return
				}
			}
		})
	}
	wait.Wait()
}

// Compiling twice gives the same bits.
func TestDeterministic(t *testing.T) {
	a, b := mustCompile(t, arctanFacts, arctan), mustCompile(t, arctanFacts, arctan)
	for order := range a.tables {
		for i, p := range a.tables[order].panels {
			if p != b.tables[order].panels[i] {
				t.Fatalf("panel %d of derivative %d differs", i, order)
			}
		}
	}
}

func TestDirect(t *testing.T) {
	f := Direct(tanhFacts, tanh)
	if f.Facts() != tanhFacts || apply(f, 1, 0)[0] != 1 || !math.IsNaN(apply(f, -1, 0)[0]) {
		t.Error("Direct does not do what its functions do")
	}
}

func arguments(n int) []float64 {
	random := rand.New(rand.NewPCG(1, 2))
	x := make([]float64, n)
	for i := range x {
		x[i] = 2 * random.NormFloat64()
	}
	return x
}

func BenchmarkApply(b *testing.B) {
	x := arguments(1000)
	y := make([]float64, len(x))
	for _, c := range []struct {
		name  string
		facts core.Facts
		g     functions
	}{{"tanh", tanhFacts, tanh}, {"arctan", arctanFacts, arctan}, {"softplus", softplusFacts, softplus}} {
		for name, f := range map[string]core.Function{"compiled": mustCompile(b, c.facts, c.g), "plain": Direct(c.facts, c.g)} {
			for _, order := range []int{0, 1} {
				b.Run(c.name+"/"+string(rune('0'+order))+"/"+name, func(b *testing.B) {
					for b.Loop() {
						f.Apply(order, y, x)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(x)), "ns/value")
				})
			}
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		mustCompile(b, tanhFacts, tanh)
	}
}

// TestBound: no value exceeds the bound, the largest come near it, and there is none where there can't be.
func TestBound(t *testing.T) {
	largest := func(f core.Function, order int) float64 {
		most := 0.0
		for u := -40.0; u < 40; u += 0.003 {
			v := []float64{u}
			f.Apply(order, v, v)
			most = math.Max(most, math.Abs(v[0]))
		}
		return most
	}
	for name, a := range map[string]core.Activation{
		"tanh": elementwise(tanhFacts, tanh), "arctan": elementwise(arctanFacts, arctan), "softplus": elementwise(softplusFacts, softplus),
	} {
		f, err := Compile(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		for order := range 4 {
			bound, most := f.Bound(order), largest(f, order)
			if order == 0 && name == "softplus" {
				if !math.IsInf(bound, 1) {
					t.Errorf("softplus is said to be bounded by %g", bound)
				}
				continue
			}
			if !(bound >= most && bound <= 1.1*most) {
				t.Errorf("%s, derivative %d: bound %g, values reach %g", name, order, bound, most)
			}
		}
	}
	relu := functions{func(t float64) float64 { return math.Max(t, 0) }, func(t float64) float64 { return math.Max(0, math.Copysign(1, t)) }, constant(0), constant(0)}
	for name, a := range map[string]core.Activation{
		"the kink of ReLU": elementwise(core.Facts{Left: core.Tail{Asymptotic: true}, Right: core.Tail{Asymptotic: true, Slope: 1}}, relu),
		"a kink elsewhere": elementwise(leakyFacts, leaky), "sine": elementwise(core.Facts{}, sine),
	} {
		f, err := Compile(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if bound := f.Bound(2); !math.IsInf(bound, 1) {
			t.Errorf("%s: the second derivative is said to be bounded by %g", name, bound)
		}
	}
}
