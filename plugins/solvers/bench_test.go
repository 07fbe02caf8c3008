package solvers_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/nnid/nnid/sdk/plugintest"
)

// BenchmarkSolvers measures, over ten seeds, the time and the outcome of every solver: found-% is the share of planted
// vectors found to 1e-3 (or ten times the noise), complete-% the share of runs that found them all and nothing else,
// digits is -log10 of the largest min(|w-x|, |w+x|) among those found. docs/solvers.md keeps the table.
func BenchmarkSolvers(b *testing.B) {
	cases := []struct {
		solver   string
		d, m     int
		smallest float64
		noise    float64
	}{
		{"auto", 20, 20, 1, 0}, {"spm", 20, 20, 1, 0}, {"jointdiag", 20, 20, 1, 0}, {"kernel", 20, 20, 1, 0}, {"spectral", 20, 20, 1, 0},
		{"auto", 20, 30, 1, 0}, {"spm", 20, 30, 1, 0}, {"kernel", 20, 30, 1, 0}, {"spectral", 20, 30, 1, 0},
		{"auto", 20, 60, 1, 0}, {"auto", 20, 100, 1, 0}, {"auto", 64, 16, 1, 0}, {"auto", 64, 64, 1, 0},
		{"auto", 20, 30, 1, 1e-6}, {"auto", 20, 30, 1, 1e-2}, {"auto", 20, 30, 1, 1e-1},
		{"kernel", 20, 30, 1, 1e-2}, {"jointdiag", 20, 20, 1, 1e-2}, {"jointdiag", 20, 20, 1, 1e-1}, {"spectral", 20, 30, 1, 1e-2},
		{"auto", 16, 16, 1e-4, 0}, {"spm", 16, 16, 1e-4, 0}, {"kernel", 16, 16, 1e-4, 0}, {"spectral", 16, 16, 1e-4, 0},
		{"auto", 16, 16, 1e-4, 1e-6}, {"auto", 20, 30, 1e-4, 0},
	}
	const seeds = 10
	for _, c := range cases {
		b.Run(fmt.Sprintf("%s/d=%d/m=%d/smallest=%g/noise=%g", c.solver, c.d, c.m, c.smallest, c.noise), func(b *testing.B) {
			solver := open(b, c.solver, nil)
			var planted []plugintest.SolverPlanted
			for seed := range uint64(seeds) {
				planted = append(planted, plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(c.d, c.m, c.smallest, seed), c.noise, seed))
			}
			found, complete, runs, worst := 0, 0, 0, 0.0
			for b.Loop() {
				p := planted[runs%seeds]
				solution, err := solver.Solve(context.Background(), p.Problem, quiet)
				if err != nil {
					b.Fatal(err)
				}
				runs++
				good := 0
				for _, distance := range p.Errors(solution) {
					if distance <= max(1e-3, 10*c.noise) {
						good++
						worst = max(worst, distance)
					}
				}
				found += good
				if good == c.m && len(solution.Objective) == c.m {
					complete++
				}
			}
			b.ReportMetric(100*float64(found)/float64(runs*c.m), "found-%")
			b.ReportMetric(100*float64(complete)/float64(runs), "complete-%")
			b.ReportMetric(-math.Log10(max(worst, 1e-17)), "digits")
		})
	}
}
