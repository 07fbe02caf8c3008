//go:build unix

package main

import (
	"context"
	"math"
	"os"
	"sync/atomic"
	"syscall"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/solvers"
	"github.com/nnid/nnid/sdk"
)

// die is what kill -9 does to the process, at a moment that does not depend on the machine.
func die(kind string) {
	if os.Getenv("NNID_TEST_KILL") == kind {
		os.Stderr.WriteString("the " + kind + " was here\n")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func mortalActivation(facts core.Facts, f, f1, f2, f3 func(float64) float64) core.ActivationFactory {
	return sdk.ScalarFactory("mortal", "tanh by another name", facts, f, f1, func(t float64) float64 {
		die("activation")
		return f2(t)
	}, f3)
}

// mortalSolver is nnid's own.
func mortalSolver() core.SolverFactory {
	for _, factory := range solvers.All() {
		if factory.Name == "auto" {
			return core.SolverFactory{
				Component: core.Component{Name: "mortal", Summary: "auto by another name"},
				Open: func(core.Options) (core.Solver, error) {
					options, err := factory.Resolve(core.KindSolver, nil)
					if err != nil {
						return nil, err
					}
					solver, err := factory.Open(options)
					return mortal{solver}, err
				},
			}
		}
	}
	panic("there is no solver auto")
}

type mortal struct{ core.Solver }

func (m mortal) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	die("solver")
	return m.Solver.Solve(ctx, problem, progress)
}

// mortalOracle hides a network of 4 inputs, 4 + 2 neurons, tanh.
func mortalOracle() core.OracleFactory {
	return core.OracleFactory{
		Component: core.Component{Name: "mortal", Summary: "a small network"},
		Open:      func(core.Options) (core.Oracle, error) { return &small{}, nil },
	}
}

type small struct{ rows atomic.Int64 }

func (*small) Info(context.Context) (core.OracleInfo, error) {
	return core.OracleInfo{Inputs: 4, Outputs: 1, DType: core.FP64, Model: "small"}, nil
}

func (s *small) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if x.IsEmpty() || ctx.Err() != nil {
		return &mat.Dense{}, ctx.Err()
	}
	rows, columns := x.Dims()
	if columns != 4 {
		return nil, fault.New(fault.Usage, "there are 4 inputs, not %d", columns)
	}
	if s.rows.Add(int64(rows)) > 200 {
		die("oracle")
	}
	y := mat.NewDense(rows, 1, nil)
	for i := range rows {
		a, b, c, d := x.At(i, 0), x.At(i, 1), x.At(i, 2), x.At(i, 3)
		g := math.Tanh
		y1, y2, y3, y4 := g(0.8*a-0.5*b+0.3*c+0.1*d+0.4), g(-0.2*a+0.9*b+0.6*c-0.3*d-0.7), g(0.4*a+0.2*b-0.7*c+0.5*d+0.1), g(-0.5*a+0.1*b+0.2*c+0.9*d-0.2)
		y.Set(i, 0, 1.5*g(0.9*y1-0.4*y2+0.5*y3-0.3*y4+0.3)-0.8*g(0.5*y1+0.7*y2-0.3*y3+0.8*y4-0.6)+0.25)
	}
	return y, nil
}

func (*small) Close() error { return nil }
