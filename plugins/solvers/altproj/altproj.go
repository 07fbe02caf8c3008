// Package altproj alternates between a subspace and the matrices of rank one.
package altproj

import (
	"context"
	"strconv"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
)

// Factory returns the solver "altproj".
func Factory() core.SolverFactory {
	return core.SolverFactory{
		Component: core.Component{
			Name:      "altproj",
			Summary:   "alternating projections between W and the matrices of rank one, from many starts; any m up to about d(d-1)/2",
			Reference: "Nakatsukasa, Soma, Uschmajew: Finding a low-rank basis in a matrix subspace, Math. Program. 162 (2017), arXiv 1503.08601",
			Options: []core.Option{
				{Name: "starts", Usage: "most starts; 0 means twice the coupon collector's m (ln m + 5), and 20", Default: "0"},
				{Name: "iterations", Usage: "most projections a start, at least 1", Default: "1000"},
				{Name: "tolerance", Usage: "movement at which a start has converged, between 1e-15 and 1e-3", Default: "1e-14"},
				{Name: "polish", Usage: "end with Newton's method: true or false", Default: "false"},
				rankone.AcceptOption,
			},
		},
		Open: open,
	}
}

func open(options core.Options) (core.Solver, error) {
	var s solver
	var err error
	if s.starts, err = options.Int("starts", 0); err != nil {
		return nil, err
	}
	if s.iterations, err = options.Int("iterations", 1); err != nil {
		return nil, err
	}
	if s.tolerance, err = options.Float("tolerance", 1e-15, 1e-3); err != nil {
		return nil, err
	}
	if s.polish, err = strconv.ParseBool(options["polish"]); err != nil {
		return nil, fault.New(fault.Usage, "option polish=%q must be true or false", options["polish"])
	}
	if s.acceptance, err = rankone.ParseAcceptance(options); err != nil {
		return nil, err
	}
	return s, nil
}

type solver struct {
	starts, iterations int
	tolerance          float64
	polish             bool
	acceptance         rankone.Acceptance
}

// low is F below which a start that has come to rest is at no rank-one matrix, or at one hidden in more noise than any
// solver here sees through.
const low = 0.5

func (s solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	space, err := rankone.NewSpace(problem)
	if err != nil {
		return nil, err
	}
	collector := rankone.NewCollector(space, problem.Count, s.acceptance)
	polisher := rankone.NewPolisher(space)
	err = collector.Search(ctx, rankone.Random(problem.Seed, 5), s.starts, progress, func(batch *rankone.Batch) error {
		return s.ascend(ctx, collector, polisher, batch)
	})
	if err != nil {
		return nil, err
	}
	if s.polish {
		collector.Statistics["newton_steps"] = float64(polisher.Steps)
		collector.Statistics["flops"] += polisher.Flops
	}
	return collector.Solution(), nil
}

func (s solver) ascend(ctx context.Context, collector *rankone.Collector, polisher *rankone.Polisher, batch *rankone.Batch) error {
	const apart = 4 // projections away from what was found, before those on all of W
	for iteration := 0; iteration < s.iterations && len(batch.X) > 0; iteration++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if iteration == apart {
			batch.Widen()
		}
		// The eigenvector need not be known much better than the next projection will move it.
		batch.Alternate(1e-3 * maximal(batch.Movement, s.tolerance))
		collector.Statistics["iterations"] += float64(len(batch.X))
		if iteration < apart {
			continue
		}
		if iteration%4 == 0 {
			collector.Statistics["merged"] += float64(batch.Merge())
		}
		keep := make([]bool, len(batch.X))
		for i, x := range batch.X {
			switch {
			case batch.Movement[i] < s.tolerance: // at rest
				if s.polish {
					if _, err := collector.Take(ctx, polisher, [][]float64{x}, 8); err != nil {
						return err
					}
				} else {
					collector.Add(x, 1-batch.Value[i])
				}
			case iteration > 100 && batch.Value[i] < low:
			default:
				keep[i] = true
			}
		}
		batch.Keep(keep)
	}
	return nil
}

func maximal(values []float64, least float64) float64 {
	for _, v := range values {
		least = max(least, v)
	}
	return least
}
