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

// between is the number of power iterations before the first look at a batch; it doubles from look to look.
const between = 8

// enough is the number of power iterations after which a start that is still below [rankone.Collector.Floor] is given up.
const enough = 120

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
	floor := collector.Floor()
	used, fruitless := 0, 0
	for used < starts && fruitless < patience && !collector.Done() {
		before := collector.Accepted()
		if before == 0 && fruitless >= 16+space.M/2 {
			break
		}
		missing := max(1, collector.Wanted()-collector.Accepted())
		n := min(rankone.BatchSize(space), max(4, missing), starts-used)
		batch, err := start(ctx, space, collector, random, used, n)
		if err != nil {
			return err
		}
		used += n
		fruitless += len(batch.X)
		for iteration := 0; len(batch.X) > 0 && iteration < config.Iterations; {
			for range min(max(between, iteration), config.Iterations-iteration) {
				if err := ctx.Err(); err != nil {
					return err
				}
				batch.Step()
				iteration++
				statistics["iterations"] += float64(len(batch.X))
			}
			keep := make([]bool, len(batch.X))
			for i, x := range batch.X {
				if batch.Value[i] < floor {
					// A saddle point to leave yet, or a maximum too low to be accepted in any noise.
					keep[i] = iteration < enough
					continue
				}
				// Newton's method takes over early: a few steps of it replace dozens of the power method.
				if keep[i] = batch.Movement[i] > 0.03; keep[i] {
					continue
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				trial := append([]float64(nil), x...)
				deficit, converged := polisher.Polish(trial, 8)
				if !converged && deficit < 1e-3 { // vectors close to each other make it slow, but worth while
					deficit, converged = polisher.Polish(trial, 40)
				}
				if converged {
					collector.Add(trial, deficit)
				} else { // stuck near a saddle point, say: the power method goes on from where it was
					keep[i] = true
				}
			}
			batch.Keep(keep)
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

// start makes a batch of starting vectors: extreme eigenvectors of random elements of W, which are much closer to its
// rank-one elements than random vectors. Three in four elements are orthogonal to what is known already, the fourth is
// not, lest false or badly known maxima hide a true one.
func start(ctx context.Context, space *rankone.Space, collector *rankone.Collector, random *rand.Rand, used, n int) (*rankone.Batch, error) {
	var vectors [][]float64
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var y []float64
		if (used+i)%4 == 3 {
			y = rankone.Gaussian(random, space.M)
			rankone.Normalize(y)
		} else {
			y = collector.Element(random)
		}
		if x, _ := rankone.Top(space.Element(y)); x != nil {
			vectors = append(vectors, x)
		}
	}
	return rankone.NewBatch(space, vectors), nil
}
