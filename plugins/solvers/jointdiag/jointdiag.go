// Package jointdiag finds rank-one matrices with linearly independent vectors by generalised eigenvectors.
package jointdiag

import (
	"context"
	"math/rand/v2"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
)

// Factory returns the solver "jointdiag".
func Factory() core.SolverFactory {
	return core.SolverFactory{
		Component: core.Component{
			Name:      "jointdiag",
			Summary:   "generalised eigenvectors of pairs of random elements, polished by Newton's method; linearly independent vectors (m <= d)",
			Reference: "Leurgans, Ross, Abel: A decomposition for three-way arrays, SIAM J. Matrix Anal. Appl. 14 (1993)",
			Options: []core.Option{
				{Name: "pairs", Usage: "most pairs of random elements tried, at least 1", Default: "8"},
				rankone.AcceptOption,
			},
		},
		Open: func(options core.Options) (core.Solver, error) {
			var s solver
			var err error
			if s.pairs, err = options.Int("pairs", 1); err != nil {
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
	pairs      int
	acceptance rankone.Acceptance
}

func (s solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	space, err := rankone.NewSpace(problem)
	if err != nil {
		return nil, err
	}
	if space.M > space.D {
		return nil, fault.New(fault.Unsupported, "the solver jointdiag needs linearly independent vectors, but %d vectors of length %d are not; use the solver spm, kernel or auto", space.M, space.D)
	}
	collector := rankone.NewCollector(space, problem.Count, s.acceptance)
	if err := Search(ctx, space, collector, rankone.Random(problem.Seed, 2), Config{Pairs: s.pairs}, progress); err != nil {
		return nil, err
	}
	return collector.Solution(), nil
}

const (
	// noisy is a deficit of the eigenvectors of two elements that says that two are not enough. Every other pair does without
	// all the others: joint diagonalisation may end beside a vector, and then does so from most starts.
	noisy = 1e-6
	// patience is the number of pairs in a row that may bring nothing.
	patience = 4
)

// Config bounds a search.
type Config struct {
	Pairs int     // most pairs of elements
	Noise float64 // give up where half the eigenvectors of two elements have a larger deficit; 0: never
}

// Search adds to the collector what pairs of random elements lead to; it stops early when the collector is done, or when
// four pairs in a row bring nothing new that is accepted.
func Search(ctx context.Context, space *rankone.Space, collector *rankone.Collector, random *rand.Rand, config Config, progress func(core.SolverProgress)) error {
	polisher := rankone.NewPolisher(space)
	fruitless := 0
	for pair := 0; pair < config.Pairs && fruitless < patience && !collector.Done(); pair++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		candidates := rankone.Eigenvectors(space, random)
		collector.Statistics["pairs"]++
		if deficits := space.Deficits(candidates); pair%2 == 0 && len(deficits) > 0 && deficits[len(deficits)-1] > noisy {
			if config.Noise > 0 && deficits[len(deficits)/2] > config.Noise {
				break
			}
			iterations, flops, err := rankone.Diagonalize(ctx, space, candidates)
			if err != nil {
				return err
			}
			collector.Statistics["iterations"] += float64(iterations)
			collector.Statistics["flops"] += flops
		}
		before := collector.Accepted()
		polished, err := polisher.PolishSlow(ctx, candidates)
		if err != nil {
			return err
		}
		for k, p := range polished {
			if p.Converged {
				collector.Add(candidates[k], p.Deficit)
			}
		}
		if fruitless++; collector.Accepted() > before {
			fruitless = 0
		}
		progress(core.SolverProgress{Found: collector.Accepted(), Wanted: collector.Wanted(), Starts: pair + 1})
	}
	collector.Statistics["newton_steps"] += float64(polisher.Steps)
	// Of a pair: 2 m d^2 an element, seven of them with their LU decompositions, and about 25 d^3 for the eigenvectors of one
	// that is not symmetric (Golub and Van Loan, Matrix Computations, 7.5).
	m, d := float64(space.M), float64(space.D)
	collector.Statistics["flops"] += polisher.Flops + collector.Statistics["pairs"]*(14*m*d*d+30*d*d*d)
	return nil
}
