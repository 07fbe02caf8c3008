// Package spm is the subspace power method with restarts.
package spm

import (
	"context"
	"math"
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

// Search adds to the collector the local maxima of F that starts from random elements of W lead to. It ends when the
// collector is done, when the starts are used up, or when so many starts in a row brought no new accepted maximum that
// one with a third of the average chance would have been met with probability 0.95. Where nothing at all was accepted,
// fewer starts in a row settle it: on a subspace spanned by rank-one matrices hardly any start fails.
func Search(ctx context.Context, space *rankone.Space, collector *rankone.Collector, random *rand.Rand, config Config, progress func(core.SolverProgress)) error {
	m := float64(space.M)
	starts := config.Starts
	if starts == 0 {
		starts = 20 + int(math.Ceil(2*m*(math.Log(m)+5)))
	}
	patience := 20 + 9*space.M
	polisher := rankone.NewPolisher(space)
	statistics := collector.Statistics
	used, fruitless := 0, 0
	for used < starts && fruitless < patience && !collector.Done() {
		before := collector.Accepted()
		if before == 0 && fruitless >= 16+space.M/2 {
			break
		}
		missing := max(1, collector.Wanted()-collector.Accepted())
		n := min(rankone.BatchSize(space), max(4, missing*2/3), starts-used)
		if err := ctx.Err(); err != nil {
			return err
		}
		// After a batch in vain all of W is searched, lest false or badly known maxima hide a true one.
		batch := collector.Starts(random, n, fruitless > 0)
		used += n
		fruitless += n
		if err := ascend(ctx, collector, polisher, batch, config); err != nil {
			return err
		}
		if collector.Accepted() > before {
			fruitless = 0
		}
		statistics["unconverged"] += float64(len(batch.X))
		statistics["starts"] = float64(used)
		progress(core.SolverProgress{Found: collector.Accepted(), Wanted: collector.Wanted(), Starts: used})
	}
	statistics["newton_steps"] += float64(polisher.Steps)
	return nil
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
		polished, err := polisher.Polish(ctx, trials, 8)
		if err != nil {
			return err
		}
		for k, p := range polished {
			if !p.Converged && p.Deficit < 1e-3 { // vectors close to each other make it slow, but worth while
				again, err := polisher.Polish(ctx, trials[k:k+1], 40)
				if err != nil {
					return err
				}
				p = again[0]
			}
			if p.Converged {
				collector.Add(trials[k], p.Deficit)
			} else { // stuck near a saddle point, say: the power method goes on from where it was
				keep[from[k]] = true
			}
		}
		batch.Keep(keep)
	}
	return nil
}
