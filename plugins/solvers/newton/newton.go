// Package newton is a second-order method on the sphere, from many starts at once.
package newton

import (
	"context"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
)

// Factory returns the solver "newton".
func Factory() core.SolverFactory {
	return core.SolverFactory{
		Component: core.Component{
			Name:      "newton",
			Summary:   "Riemannian Newton's method for all starts at once, Levenberg-Marquardt steps where the Hessian is not definite; any m up to about d(d-1)/2",
			Reference: "Absil, Mahony, Sepulchre: Optimization Algorithms on Matrix Manifolds, Princeton 2008, chapters 6 and 8",
			Options: []core.Option{
				{Name: "starts", Usage: "most starts; 0 means twice the coupon collector's m (ln m + 5), and 20", Default: "0"},
				{Name: "steps", Usage: "most Newton steps a start, at least 1", Default: "100"},
				{Name: "power", Usage: "power iterations before the first Newton step", Default: "2"},
				rankone.AcceptOption,
			},
		},
		Open: func(options core.Options) (core.Solver, error) {
			var s solver
			var err error
			if s.starts, err = options.Int("starts", 0); err != nil {
				return nil, err
			}
			if s.steps, err = options.Int("steps", 1); err != nil {
				return nil, err
			}
			if s.power, err = options.Int("power", 0); err != nil {
				return nil, err
			}
			if s.acceptance, err = rankone.ParseAcceptance(options); err != nil {
				return nil, err
			}
			return s, nil
		},
	}
}

type solver struct {
	starts, steps, power int
	acceptance           rankone.Acceptance
}

// Solve minimises |(I - P_W)(x x^T)|^2 over the sphere. The Gauss-Newton step of the whole set of vectors is that of each alone,
// because W is fixed and the residual of one vector does not depend on the others: hence one batch is the whole set.
func (s solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	space, err := rankone.NewSpace(problem)
	if err != nil {
		return nil, err
	}
	collector := rankone.NewCollector(space, problem.Count, s.acceptance)
	polisher := rankone.NewPolisher(space)
	err = collector.Search(ctx, rankone.Random(problem.Seed, 4), s.starts, progress, func(batch *rankone.Batch) error {
		for range s.power {
			if err := ctx.Err(); err != nil {
				return err
			}
			batch.Step()
		}
		collector.Statistics["iterations"] += float64(s.power * len(batch.X))
		collector.Statistics["merged"] += float64(batch.Merge())
		failed, err := collector.Take(ctx, polisher, batch.X, s.steps)
		if err != nil {
			return err
		}
		batch.Keep(failed)
		return nil
	})
	if err != nil {
		return nil, err
	}
	collector.Statistics["newton_steps"] = float64(polisher.Steps)
	collector.Statistics["flops"] += polisher.Flops
	return collector.Solution(), nil
}
