package fronts

import (
	"context"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
	"github.com/nnid/nnid/core/teachers"
	"github.com/nnid/nnid/plugins/activations"
)

func candidate(t *testing.T, name string) Candidate {
	t.Helper()
	for _, factory := range activations.All() {
		if factory.Name == name {
			a, err := factory.Open(nil)
			if err != nil {
				t.Fatal(err)
			}
			f, err := compile.Compile(context.Background(), a)
			if err != nil {
				t.Fatal(err)
			}
			return Candidate{Name: name, Function: f}
		}
	}
	t.Fatalf("no activation %q", name)
	return Candidate{}
}

type hidden struct {
	n       *network.Network
	g, h    core.Function
	queries int64
}

func (o *hidden) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	rows, _ := x.Dims()
	o.queries += int64(rows)
	return o.n.Evaluate(o.g, o.h, x), nil
}

func (o *hidden) Queries() int64 { return o.queries }

// find looks for the network hidden among the candidates.
func find(t *testing.T, truth *network.Network, first, second []Candidate) (*network.Network, [2]string, error) {
	t.Helper()
	o := &hidden{n: truth, g: candidate(t, truth.First.Activation).Function, h: candidate(t, truth.Second.Activation).Function}
	rng := rand.New(rand.NewPCG(1, 1))
	scales, err := sample.Measure(t.Context(), o, truth.Inputs(), false, rng)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Find(t.Context(), o, truth.Inputs(), *scales, first, second, rng, Settings{})
	t.Logf("%d queries, %.1f a parameter", o.queries, float64(o.queries)/float64(truth.Parameters()))
	if err != nil {
		return nil, [2]string{}, err
	}
	return r.Network, [2]string{r.G.Name, r.H.Name}, nil
}

// TestFind finds networks of pairs of activations, which it tells from others, with fewer units than inputs too.
func TestFind(t *testing.T) {
	var first, second []Candidate
	for _, name := range []string{"softplus", "silu", "gelu", "elu", "leaky"} {
		first = append(first, candidate(t, name))
	}
	for _, name := range []string{"tanh", "erf", "gompertz"} {
		second = append(second, candidate(t, name))
	}
	for _, c := range []struct {
		pair string
		size teachers.Size
	}{
		{"softplus,tanh", teachers.Size{Inputs: 10, M0: 10, M1: 3}},
		{"silu,erf", teachers.Size{Inputs: 9, M0: 7, M1: 3}},
		{"elu,gompertz", teachers.Size{Inputs: 9, M0: 9, M1: 2}},
	} {
		t.Run(c.pair, func(t *testing.T) {
			truth := teachers.Planted(c.size, 0.5, c.pair, 1).Network
			found, names, err := find(t, truth, first, second)
			if err != nil {
				t.Fatal(err)
			}
			if names[0]+","+names[1] != c.pair {
				t.Errorf("found %s, %s", names[0], names[1])
			}
			comparison, err := network.Compare(truth, found, candidate(t, names[0]).Function.Facts(), candidate(t, names[1]).Function.Facts())
			if err != nil {
				t.Fatal(err)
			}
			// c0 is left to the fit of all parameters.
			for _, errors := range [][]float64{comparison.First, comparison.Second, comparison.Output} {
				for _, e := range errors {
					if e > 0.1 {
						t.Errorf("errors of the first layer %.1e, of the second %.1e, of its weights %.1e", comparison.First, comparison.Second, comparison.Output)
						return
					}
				}
			}
		})
	}
}

// TestRefuses: steps that are not those of a second layer alone, and fronts that do not bend, are told, at little cost.
func TestRefuses(t *testing.T) {
	first, second := []Candidate{candidate(t, "softplus")}, []Candidate{candidate(t, "tanh")}
	for _, pair := range []string{"tanh", "tanh,softplus"} {
		truth := teachers.Planted(teachers.Size{Inputs: 6, M0: 6, M1: 3}, 0.5, pair, 1).Network
		if _, _, err := find(t, truth, first, second); !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v", pair, err)
		}
	}
}
