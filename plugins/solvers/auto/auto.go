// Package auto chooses among the other solvers and lets one make up for what another missed.
package auto

import (
	"context"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
	"github.com/nnid/nnid/plugins/solvers/jointdiag"
	"github.com/nnid/nnid/plugins/solvers/kernel"
	"github.com/nnid/nnid/plugins/solvers/spm"
)

// Factory returns the solver "auto".
func Factory() core.SolverFactory {
	return core.SolverFactory{
		Component: core.Component{
			Name:      "auto",
			Summary:   "jointdiag where m <= d and noise is small, then spm for what is missing, then kernel where it is affordable",
			Reference: "see the solvers it uses",
			Options:   []core.Option{rankone.AcceptOption},
		},
		Open: func(options core.Options) (core.Solver, error) {
			acceptance, err := rankone.ParseAcceptance(options)
			if err != nil {
				return nil, err
			}
			return solver{acceptance}, nil
		},
	}
}

type solver struct{ acceptance rankone.Acceptance }

// algebra is one pair of elements: where it does not find everything at once, spm is faster than another. Where noise leaves
// little of the eigenvectors of two elements, spm alone is faster still (docs/solvers.md, "What auto chooses").
var algebra = jointdiag.Config{Pairs: 1, Noise: 0.01}

// affordable is the largest dimension for which the kernel, whose cost grows like m^6, is tried as a last resort.
const affordable = 40

func (s solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	space, err := rankone.NewSpace(problem)
	if err != nil {
		return nil, err
	}
	collector := rankone.NewCollector(space, problem.Count, s.acceptance)
	if space.M <= space.D {
		if err := jointdiag.Search(ctx, space, collector, rankone.Random(problem.Seed, 2), algebra, progress); err != nil {
			return nil, err
		}
	}
	if err := spm.Search(ctx, space, collector, rankone.Random(problem.Seed, 1), spm.DefaultConfig, progress); err != nil {
		return nil, err
	}
	if !collector.Done() && space.M <= affordable && kernel.Suits(space) {
		if err := kernel.Search(ctx, space, collector, rankone.Random(problem.Seed, 3), progress); err != nil {
			return nil, err
		}
	}
	return collector.Solution(), nil
}
