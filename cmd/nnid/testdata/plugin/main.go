//go:build unix

// Command nnid-plugin-odd is a third party's plugin for tests of the command: one activation that conforms, one that
// does not, and oracles that go wrong in the middle of a run.
package main

import (
	"context"
	"math"
	"os"
	"sync/atomic"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

func main() {
	facts := core.Facts{
		Left:     core.Tail{Asymptotic: true, Intercept: -1, Rate: 2},
		Right:    core.Tail{Asymptotic: true, Intercept: 1, Rate: 2},
		Symmetry: core.SymmetryPoint,
	}
	first := func(t float64) float64 { e := math.Exp(-2 * math.Abs(t)); return 4 * e / ((1 + e) * (1 + e)) }
	second := func(t float64) float64 { return -2 * math.Tanh(t) * first(t) }
	third := func(t float64) float64 { v := math.Tanh(t); return first(t) * (6*v*v - 2) }
	oracle := func(name string, breaks func() (*mat.Dense, error)) core.OracleFactory {
		return core.OracleFactory{
			Component: core.Component{Name: name, Summary: "answers 20 queries, then goes wrong", Options: []core.Option{{Name: "key", Usage: "a secret", Secret: true}}},
			Open:      func(core.Options) (core.Oracle, error) { return &odd{breaks: breaks}, nil },
		}
	}
	sdk.Serve(sdk.Plugin{
		Name: "odd", Version: "1.0.0",
		Activations: []core.ActivationFactory{
			mortalActivation(facts, math.Tanh, first, second, third),
			sdk.ScalarFactory("honest", "tanh by another name", facts, math.Tanh, first, second, third),
			sdk.ScalarFactory("liar", "tanh whose second derivative has the wrong sign", facts, math.Tanh, first, func(t float64) float64 { return -second(t) }, third),
		},
		Solvers: []core.SolverFactory{mortalSolver()},
		Oracles: []core.OracleFactory{
			mortalOracle(),
			oracle("panics", func() (*mat.Dense, error) { panic("out of cheese") }),
			oracle("dies", func() (*mat.Dense, error) {
				os.Stderr.WriteString("the roof is on fire\n")
				os.Exit(9)
				return nil, nil
			}),
			oracle("nonsense", func() (*mat.Dense, error) { return mat.NewDense(1, 1, []float64{math.NaN()}), nil }),
		},
	})
}

type odd struct {
	rows   atomic.Int64
	breaks func() (*mat.Dense, error)
}

func (*odd) Info(context.Context) (core.OracleInfo, error) {
	return core.OracleInfo{Inputs: 3, Outputs: 1, MaxBatch: 1, Model: "odd"}, nil
}

func (o *odd) Query(_ context.Context, x *mat.Dense) (*mat.Dense, error) {
	if o.rows.Add(1) > 20 {
		return o.breaks()
	}
	return mat.NewDense(1, 1, []float64{math.Tanh(x.At(0, 0) + 2*x.At(0, 1) - x.At(0, 2))}), nil
}

func (*odd) Close() error { return nil }
