package kinks

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/teachers"
	"github.com/nnid/nnid/plugins/activations"
)

// oracle answers for any function of one point.
type oracle struct {
	f func(x []float64) float64
	q int64
}

func (o *oracle) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, _ := x.Dims()
	y := make([]float64, rows)
	for i := range y {
		y[i] = o.f(x.RawRowView(i))
	}
	o.q += int64(rows)
	return y, nil
}
func (o *oracle) Queries() int64 { return o.q }

func candidate(t testing.TB, name string) Candidate {
	t.Helper()
	for _, factory := range activations.All() {
		if factory.Name == name {
			a, err := factory.Open(nil)
			if err != nil {
				t.Fatal(err)
			}
			f, err := compile.Compile(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			return Candidate{name, f}
		}
	}
	t.Fatalf("no activation %q", name)
	return Candidate{}
}

func candidates(t testing.TB, names ...string) (all []Candidate) {
	for _, name := range names {
		all = append(all, candidate(t, name))
	}
	return all
}

func behind(n *network.Network, g, h core.Function) *oracle {
	return &oracle{f: func(x []float64) float64 {
		return n.Evaluate(g, h, mat.NewDense(1, len(x), x))[0]
	}}
}

func planted(t testing.TB, d, m0, m1 int, activation string, seed uint64) (*network.Network, *oracle) {
	n := teachers.Planted(teachers.Size{Inputs: d, M0: m0, M1: m1}, 0.5, activation, seed).Network
	g := candidate(t, activation).Function
	return n, behind(n, g, g)
}

func TestSuits(t *testing.T) {
	for name, want := range map[string]bool{"softplus": true, "silu": true, "gelu": true, "tanh": false, "arctan": false, "sine": false} {
		if got := Suits(candidate(t, name).Function.Facts()); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestTrace: the kinks of a function on a line, some of them close to each other.
func TestTrace(t *testing.T) {
	g := candidate(t, "softplus").Function
	at := []float64{-81000, -13000, -12000, 0, 4, 52000}
	jumps := []float64{1, -0.3, 0.7, 2, -1, 1e-3}
	o := &oracle{f: func(x []float64) float64 {
		u := make([]float64, len(at))
		for k := range u {
			u[k] = x[0] - at[k]
		}
		g.Apply(0, u, u)
		y := 3 - 0.2*x[0]
		for k := range u {
			y += jumps[k] * u[k]
		}
		return y
	}}
	f := &field{oracle: o, n: 1, x: func(y []float64) []float64 { return y }, zone: 20, radius: 1e4, noise: rounding}
	kinks, _, err := f.trace(t.Context(), rand.New(rand.NewPCG(1, 1)), line{[]float64{0}, []float64{1}, -1e5, 1e5})
	if err != nil {
		t.Fatal(err)
	}
	// Two kinks nearer than a zone are one, where their asymptotes meet: 2 (t - 0) - (t - 4) = t + 4.
	want := []struct{ at, jump float64 }{{-81000, 1}, {-13000, -0.3}, {-12000, 0.7}, {-4, 1}, {52000, 1e-3}}
	if len(kinks) != len(want) {
		t.Fatalf("%d kinks: %v", len(kinks), kinks)
	}
	for k, w := range want {
		if got := kinks[k]; math.Abs(got.t-w.at) > 1e-3 || math.Abs(got.right.slope-got.left.slope-w.jump) > 1e-9 {
			t.Errorf("kink at %g with a jump of %g; want %v", got.t, got.right.slope-got.left.slope, w)
		}
	}
}

func TestFind(t *testing.T) {
	for _, name := range []string{"softplus", "silu", "gelu"} {
		truth, o := planted(t, 10, 8, 3, name, 3)
		all := candidates(t, "tanh", "softplus", "silu", "gelu", "sine")
		r, err := Find(t.Context(), o, 10, all, all, rand.New(rand.NewPCG(1, 1)), Settings{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.G.Name != name || r.H.Name != name {
			t.Errorf("%s was taken for %s and %s", name, r.G.Name, r.H.Name)
		}
		for k, c := range all {
			if right := c.Name == name; right != (r.First[k] < 1e-6) || right != (r.Second[k] < 1e-6) {
				t.Errorf("%s: %s leaves %.0e and %.0e of the bends", name, c.Name, r.First[k], r.Second[k])
			}
		}
		facts := r.G.Function.Facts()
		r.Network.OutputBias = truth.OutputBias // is the caller's to find
		if c, err := network.Compare(truth, r.Network, facts, facts); err != nil || c.MaxError > 1e-3 {
			t.Errorf("%s: %v, %v", name, c, err)
		}
		if per := float64(o.q) / float64(truth.Parameters()); per > 20 {
			t.Errorf("%s: %.1f queries a parameter", name, per)
		}
		// The same seed asks the same.
		again := &oracle{f: o.f}
		if s, err := Find(t.Context(), again, 10, all, all, rand.New(rand.NewPCG(1, 1)), Settings{}); err != nil || !slices.Equal(s.Network.First.Bias, r.Network.First.Bias) || again.q != o.q {
			t.Errorf("%s: another run differs: %v", name, err)
		}
	}
}

// TestNear: points at which all units of the first layer are alive.
func TestNear(t *testing.T) {
	truth, o := planted(t, 9, 6, 2, "silu", 1)
	c := candidates(t, "silu")
	rng := rand.New(rand.NewPCG(1, 1))
	r, err := Find(t.Context(), o, 9, c, c, rng, Settings{M0: 6, M1: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		x := mat.NewVecDense(9, r.Near(rng, 2))
		u := mat.NewVecDense(6, nil)
		u.MulVec(truth.First.Weight, x)
		for i := range 6 {
			if v := u.AtVec(i) + truth.First.Bias[i]; math.Abs(v) > 2.1 {
				t.Fatalf("unit %d at %g", i, v)
			}
		}
	}
}

func TestFindResists(t *testing.T) {
	softplus := candidates(t, "softplus")
	hidden, _ := planted(t, 6, 6, 2, "softplus", 1)
	for i := range 6 { // alive wherever the first layer's units are on their steep side
		hidden.Second.Weight.Set(0, i, math.Abs(hidden.Second.Weight.At(0, i)))
	}
	_, wide := planted(t, 4, 7, 3, "softplus", 1)
	_, flat := planted(t, 6, 6, 2, "tanh", 1)
	_, waves := planted(t, 6, 6, 2, "sine", 1)
	_, other := planted(t, 6, 6, 2, "silu", 1)
	for _, c := range []struct {
		name   string
		oracle *oracle
		d      int
		says   string
	}{
		{"a unit that never bends", behind(hidden, softplus[0].Function, softplus[0].Function), 6, "never bend"},
		{"more units than inputs", wide, 4, "more units than the 4 inputs"},
		{"saturating", flat, 6, ""},
		{"sine", waves, 6, "piecewise linear"},
		{"another activation", other, 6, "no activation explains"},
		{"linear", &oracle{f: func(x []float64) float64 { return x[0] - 2*x[1] }}, 6, ""},
		{"NaN", &oracle{f: func([]float64) float64 { return math.NaN() }}, 6, "NaN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Find(t.Context(), c.oracle, c.d, softplus, softplus, rand.New(rand.NewPCG(1, 1)), Settings{})
			if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ctx, other, 6, softplus, softplus, rand.New(rand.NewPCG(1, 1)), Settings{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
