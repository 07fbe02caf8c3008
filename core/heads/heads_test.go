package heads

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// hyperbolic is tanh.
type hyperbolic struct{}

func (hyperbolic) Facts() core.Facts { return core.Facts{} }
func (hyperbolic) Apply(order int, dst, t []float64) {
	for k, v := range t {
		y := math.Tanh(v)
		if order == 1 {
			y = 1 - y*y
		}
		dst[k] = y
	}
}

const d, m0, m1, outputs = 5, 4, 3, 6

// model is a network of several outputs: a network for each, all with the same hidden layers. Output 3 is a constant.
func model(random *rand.Rand) []*network.Network {
	n := network.New(d, m0, m1, "tanh", "tanh")
	for _, values := range [][]float64{n.First.Weight.RawMatrix().Data, n.First.Bias, n.Second.Weight.RawMatrix().Data, n.Second.Bias} {
		for i := range values {
			values[i] = random.NormFloat64()
		}
	}
	all := make([]*network.Network, outputs)
	for k := range all {
		all[k] = n.Clone()
		all[k].OutputBias = random.NormFloat64()
		for l := range all[k].Output {
			if all[k].Output[l] = random.NormFloat64(); k == 3 {
				all[k].Output[l] = 0
			}
		}
	}
	return all
}

func points(random *rand.Rand, n int) [][]float64 {
	rows := make([][]float64, n)
	for i := range rows {
		radius := math.Exp(3 * random.NormFloat64()) // from near the origin to where units are saturated
		for range d {
			rows[i] = append(rows[i], radius*random.NormFloat64())
		}
	}
	return rows
}

// answering answers with all outputs and noise.
func answering(all []*network.Network, noise float64, random *rand.Rand) func([][]float64) ([][]float64, error) {
	return func(points [][]float64) ([][]float64, error) {
		answers := make([][]float64, len(points))
		for i, p := range points {
			for _, n := range all {
				answers[i] = append(answers[i], n.Evaluate(hyperbolic{}, hyperbolic{}, mat.NewDense(1, d, p))[0]+noise*random.NormFloat64())
			}
		}
		return answers, nil
	}
}

func solve(t *testing.T, network *network.Network, asked int, answers func([][]float64) ([][]float64, error), random *rand.Rand, noise, bar float64) []Output {
	t.Helper()
	found, err := Solve(Found{
		Network: network, G: hyperbolic{}, H: hyperbolic{}, Output: 1, Asked: points(random, asked), Fresh: points(random, 24), Noise: noise, Bar: bar,
	}, answers)
	if err != nil || len(found) != outputs {
		t.Fatalf("%d outputs: %v", len(found), err)
	}
	return found
}

// Every output is found, to rounding or to its error bars.
func TestSolve(t *testing.T) {
	for _, noise := range []float64{0, 1e-6, 1e-3} {
		random := rand.New(rand.NewPCG(1, 2))
		all := model(random)
		for k, o := range solve(t, all[1], 5000, answering(all, noise, random), random, noise, 1e-14) {
			if o.Identified != (k != 3 || noise == 0) || o.Index != k || k == 3 && noise > 0 && !strings.Contains(o.Reason, "varies by") {
				t.Errorf("noise %g: output %d: %+v", noise, k, o)
			}
			if k == 3 && noise == 0 && (o.Reason != "it is a constant" || floats.Norm(o.Weights, 2) > 0) {
				t.Errorf("a constant: %+v", o)
			}
			off := floats.Distance(o.Weights, all[k].Output, math.Inf(1))
			norm := floats.Norm(all[k].Output, 2)
			if allowed := math.Max(1e-12, 6*o.ErrorBar*floats.Norm(o.Weights, 2)); off > allowed || math.Abs(o.Bias-all[k].OutputBias) > allowed {
				t.Errorf("noise %g: output %d: weights %.1e off, of a norm of %.1e; the error bar allows %.1e", noise, k, off, norm, allowed)
			}
			if noise > 0 && k != 1 && k != 3 && (o.ErrorBar*norm < noise/1e3 || o.ErrorBar*norm > 10*noise) {
				t.Errorf("noise %g: output %d: an error bar of %.1e", noise, k, o.ErrorBar)
			}
		}
	}
}

// Errors of the first layer count where they show, far out on the flanks of steps, and spoil nothing.
func TestErrorsOfTheLayers(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	all := model(random)
	const bar = 1e-8
	found := all[1].Clone()
	for i, v := range found.First.Weight.RawMatrix().Data {
		found.First.Weight.RawMatrix().Data[i] = v * (1 + bar*random.NormFloat64())
	}
	for k, o := range solve(t, found, 2000, answering(all, 0, random), random, 0, bar) {
		if off := floats.Distance(o.Weights, all[k].Output, math.Inf(1)); off > 30*bar {
			t.Errorf("output %d: weights %.1e off", k, off)
		}
	}
}

// An output with a unit that the others lack is not identified, whatever the size; nor is any from too few answers.
func TestOutputsThatResist(t *testing.T) {
	for _, size := range []float64{1, 1e-6} {
		random := rand.New(rand.NewPCG(5, 6))
		all := model(random)
		extra := network.New(d, m0, 1, "tanh", "tanh")
		extra.First = all[0].First
		copy(extra.Second.Weight.RawMatrix().Data, []float64{0.5, -1, 0.3, 0.8})
		extra.Output[0] = size
		honest := answering(all, 0, random)
		answers := func(points [][]float64) ([][]float64, error) {
			y, err := honest(points)
			for i, p := range points {
				y[i][4] += extra.Evaluate(hyperbolic{}, hyperbolic{}, mat.NewDense(1, d, p))[0]
			}
			return y, err
		}
		for k, o := range solve(t, all[1], 500, answers, random, 0, 1e-14) {
			if o.Identified != (k != 4) || k == 4 && !strings.Contains(o.Reason, "units that output 1 does not show") {
				t.Errorf("size %g: output %d: %+v", size, k, o)
			}
		}
	}
	random := rand.New(rand.NewPCG(7, 8))
	all := model(random)
	for k, o := range solve(t, all[1], m1, answering(all, 0, random), random, 0, 1e-14) {
		if o.Identified != (k == 1 || k == 3) || !o.Identified && o.Reason != "the answers do not determine its weights" {
			t.Errorf("output %d of too few answers: %+v", k, o)
		}
	}
}
