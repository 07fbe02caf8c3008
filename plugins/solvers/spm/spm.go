// Package spm is the subspace power method with restarts.
package spm

import (
	"context"
	"math/rand/v2"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
)

// Factory returns the solver "spm".
func Factory() core.SolverFactory {
	return core.SolverFactory{
		Component: core.Component{
			Name:      "spm",
			Summary:   "subspace power method with restarts away from what is known, polished by Newton's method; any m up to about d(d-1)/2",
			Reference: "Kileel, Pereira: Subspace power method for symmetric tensor decomposition, arXiv 1912.04007; Kileel, Klock, Pereira: Landscape analysis of an improved power method for tensor decomposition, arXiv 2110.15821",
			Options: []core.Option{
				{Name: "starts", Usage: "most starts; 0 means twice the coupon collector's m (ln m + 5), and 20", Default: "0"},
				{Name: "iterations", Usage: "most power iterations a start, at least 1", Default: "500"},
				rankone.AcceptOption,
			},
		},
		Open: func(options core.Options) (core.Solver, error) {
			var s solver
			var err error
			if s.config.Starts, err = options.Int("starts", 0); err != nil {
				return nil, err
			}
			if s.config.Iterations, err = options.Int("iterations", 1); err != nil {
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
	config     Config
	acceptance rankone.Acceptance
}

func (s solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	space, err := rankone.NewSpace(problem)
	if err != nil {
		return nil, err
	}
	collector := rankone.NewCollector(space, problem.Count, s.acceptance)
	if err := Search(ctx, space, collector, rankone.Random(problem.Seed, 1), s.config, progress); err != nil {
		return nil, err
	}
	return collector.Solution(), nil
}

// Config bounds a search.
type Config struct {
	Starts     int // most starts; 0 chooses
	Iterations int // most power iterations a start
}

// DefaultConfig is what the solver does without options.
var DefaultConfig = Config{Iterations: 500}

const (
	// apart is the number of power iterations away from what was found, before those in all of W.
	apart = 6
	// between is the number of power iterations between two looks at a batch.
	between = 4
	// enough is the number of power iterations after which a start that is still below [rankone.Collector.Floor] is given up.
	enough = 120
	// near is the movement below which Newton's method takes over: a few steps of it replace dozens of the power method.
	near = 0.03
)

// Search adds to the collector the local maxima of F that starts from random elements of W lead to.
func Search(ctx context.Context, space *rankone.Space, collector *rankone.Collector, random *rand.Rand, config Config, progress func(core.SolverProgress)) error {
	polisher := rankone.NewPolisher(space)
	err := collector.Search(ctx, random, config.Starts, progress, func(batch *rankone.Batch) error {
		return ascend(ctx, collector, polisher, batch, config)
	})
	collector.Statistics["newton_steps"] += float64(polisher.Steps)
	collector.Statistics["flops"] += polisher.Flops
	return err
}

// ascend takes a batch to local maxima of F.
func ascend(ctx context.Context, collector *rankone.Collector, polisher *rankone.Polisher, batch *rankone.Batch, config Config) error {
	statistics, floor := collector.Statistics, collector.Floor()
	for iteration, look := 0, apart; len(batch.X) > 0 && iteration < config.Iterations; look = max(between, iteration/2) {
		for range min(look, config.Iterations-iteration) {
			if err := ctx.Err(); err != nil {
				return err
			}
			batch.Step()
			iteration++
			statistics["iterations"] += float64(len(batch.X))
		}
		batch.Widen()
		statistics["merged"] += float64(batch.Merge())
		keep := make([]bool, len(batch.X))
		var trials [][]float64
		var from []int
		for i, x := range batch.X {
			switch {
			case batch.Value[i] < floor:
				// A saddle point to leave yet, or a maximum too low to be accepted in any noise.
				keep[i] = iteration < enough
			case iteration <= apart || batch.Movement[i] > near:
				keep[i] = true
			default:
				trials, from = append(trials, append([]float64(nil), x...)), append(from, i)
			}
		}
		failed, err := collector.Take(ctx, polisher, trials, 8)
		if err != nil {
			return err
		}
		for k, i := range from {
			keep[i] = failed[k] // stuck near a saddle point, say: the power method goes on from where it was
		}
		batch.Keep(keep)
	}
	return nil
}
