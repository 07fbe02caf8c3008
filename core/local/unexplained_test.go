package local

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// What students leave of another function is told from the local minima that those of a network meet: the sequences are of networks of three layers
// trained on diabetes and wine data, and of planted ones of two layers whose students arrived with more units.
func TestEven(t *testing.T) {
	for _, c := range []struct {
		name   string
		stages [][]float64
		even   bool
	}{
		{"three layers", [][]float64{{0.33, 0.27, 0.33, 0.30, 0.36, 0.31}, {0.29, 0.28, 0.30}}, true},
		{"three layers, one size yet", [][]float64{{0.33, 0.27, 0.33, 0.30, 0.36, 0.31}}, false},
		{"nearly two layers", [][]float64{{2.9e-2, 4.8e-3, 2.4e-3, 8.4e-3, 3.0e-3, 2.1e-3}, {6.6e-3, 1.6e-3, 3.0e-3, 3.4e-3, 3.1e-3, 2.5e-3}, {1.2e-3, 1.6e-3, 1.0e-3, 1.1e-3, 2.2e-3, 1.2e-3}}, true},
		{"local minima", [][]float64{{5.9e-3, 1.1e-3, 1.2e-3}, {5.8e-3, 1.2e-3, 1.2e-3}}, false},
		{"larger students come closer", [][]float64{{7.2e-2, 1.4e-2, 1.8e-2}, {6e-3, 5e-3, 7e-3}}, false},
		{"details are missing", [][]float64{{3e-6, 3e-6, 3e-6}, {3e-6, 3e-6, 3e-6}, {3e-6, 3e-6, 3e-6}}, false},
	} {
		u := &Unexplained{Units: 8}
		for k, stage := range c.stages {
			for _, left := range stage {
				u.add(10+k, left)
			}
		}
		if u.even() != c.even {
			t.Errorf("%s: even is %v: %v", c.name, u.even(), u)
		}
	}
}

// threeLayers answers tanh(C tanh(B tanh(v))), with random weights.
type threeLayers struct {
	weights []*mat.Dense
	queries int64
}

func newThreeLayers(random *rand.Rand, sizes ...int) *threeLayers {
	o := &threeLayers{}
	for k := range len(sizes) - 1 {
		w := mat.NewDense(sizes[k+1], sizes[k], nil)
		w.Apply(func(_, _ int, _ float64) float64 { return 2 * random.NormFloat64() / math.Sqrt(float64(sizes[k])) }, w)
		o.weights = append(o.weights, w)
	}
	return o
}

func (o *threeLayers) Queries() int64 { return o.queries }

func (o *threeLayers) Ask(_ context.Context, v *mat.Dense) ([]float64, error) {
	rows, _ := v.Dims()
	o.queries += int64(rows)
	at := mat.DenseCopyOf(v)
	for _, w := range o.weights {
		at.Apply(func(_, _ int, t float64) float64 { return math.Tanh(t) }, at)
		var next mat.Dense
		next.Mul(at, w.T())
		at = &next
	}
	return mat.Col(nil, 0, at), nil
}

// Behind three hidden layers students end early, with what they left as evidence.
func TestSecondOfThreeLayers(t *testing.T) {
	f := function(t, "tanh")
	random := rand.New(rand.NewPCG(3, 3))
	oracle := newThreeLayers(random, 5, 4, 3, 1)
	_, _, err := Second(t.Context(), oracle, 5, f, f, Settings{Seed: 1, Point: func() []float64 {
		v := make([]float64, 5)
		for i := range v {
			v[i] = 8*random.Float64() - 4
		}
		return v
	}})
	t.Logf("%d answers: %v", oracle.queries, err)
	missed, ok := errors.AsType[*Unexplained](err)
	if !ok || !fault.Is(err, fault.Unsupported) || !missed.Even || len(missed.Stages) == secondStages {
		t.Errorf("another function should leave students even, early: %v", err)
	}
}
