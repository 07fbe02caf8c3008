package paper

import (
	"context"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/plugins/solvers"
)

// asker answers with any function and remembers what was asked.
type asker struct {
	f     func(x *mat.Dense) []float64
	asked [][]float64
}

func (a *asker) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	r, _ := x.Dims()
	for i := range r {
		a.asked = append(a.asked, mat.Row(nil, i, x))
	}
	return a.f(x), nil
}

func (a *asker) Queries() int64 { return int64(len(a.asked)) }

func hide(n *network.Network, g core.Function) *asker {
	return &asker{f: func(x *mat.Dense) []float64 { return n.Evaluate(g, g, x) }}
}

func function(t *testing.T, name string) core.Function {
	t.Helper()
	for _, f := range activations.All() {
		if f.Name == name {
			a, err := f.Open(nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := compile.Compile(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	t.Fatalf("no activation %s", name)
	return nil
}

func solver(t *testing.T, name string) core.Solver {
	t.Helper()
	for _, f := range solvers.All() {
		if f.Name == name {
			o, err := f.Resolve(core.KindSolver, SolverOptions(name, nil))
			if err != nil {
				t.Fatal(err)
			}
			s, err := f.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatalf("no solver %s", name)
	return nil
}

func parse(t *testing.T, given core.Options) Options {
	t.Helper()
	o, err := Parse(given)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

func directions(seed uint64, d, k int) *mat.Dense {
	rng := random(seed)
	m := mat.NewDense(d, k, nil)
	for j := range k {
		m.SetCol(j, sample.Direction(rng, d))
	}
	return m
}

// within returns how many of the wanted vectors some candidate is closer to than the distance.
func recalled(wanted, candidates [][]float64, within float64) int {
	n := 0
	for _, w := range wanted {
		for _, c := range candidates {
			if distance(w, c) < within {
				n++
				break
			}
		}
	}
	return n
}

// weights returns the a_i and the v_l at 0 of the network, as unit vectors.
func weights(n *network.Network, g core.Function) (a, v [][]float64) {
	m0, m1 := n.Sizes()
	slope := append([]float64(nil), n.First.Bias...)
	g.Apply(1, slope, slope)
	for i := range m0 {
		w := append([]float64(nil), n.First.Weight.RawRowView(i)...)
		floats.Scale(1/floats.Norm(w, 2), w)
		a = append(a, w)
	}
	for l := range m1 {
		w := make([]float64, n.Inputs())
		for i := range m0 {
			floats.AddScaled(w, n.Second.Weight.At(l, i)*slope[i], n.First.Weight.RawRowView(i))
		}
		floats.Scale(1/floats.Norm(w, 2), w)
		v = append(v, w)
	}
	return a, v
}
