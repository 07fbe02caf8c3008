package solvers_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/solvers"
	"github.com/nnid/nnid/sdk/plugintest"
)

func open(t testing.TB, name string, options core.Options) core.Solver {
	t.Helper()
	for _, factory := range solvers.All() {
		if factory.Name == name {
			resolved, err := factory.Resolve(core.KindSolver, options)
			if err != nil {
				t.Fatal(err)
			}
			solver, err := factory.Open(resolved)
			if err != nil {
				t.Fatal(err)
			}
			return solver
		}
	}
	t.Fatalf("there is no solver %q", name)
	return nil
}

func quiet(core.SolverProgress) {}

func TestConformance(t *testing.T) {
	for _, factory := range solvers.All() {
		t.Run(factory.Name, func(t *testing.T) {
			if err := core.CheckName(factory.Name); err != nil {
				t.Error(err)
			}
			if err := plugintest.CheckSolver(context.Background(), open(t, factory.Name, nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

// trial solves a planted problem and returns how many vectors are found to within tolerance, the largest error among
// them, and how many vectors of the solution are none of the planted ones.
func trial(t testing.TB, solver core.Solver, planted plugintest.SolverPlanted, tolerance float64) (found int, worst float64, invented int, took time.Duration) {
	t.Helper()
	begin := time.Now()
	solution, err := solver.Solve(context.Background(), planted.Problem, quiet)
	took = time.Since(begin)
	if err != nil {
		t.Fatal(err)
	}
	for _, distance := range planted.Errors(solution) {
		if distance <= tolerance {
			found++
			worst = max(worst, distance)
		}
	}
	return found, worst, len(solution.Objective) - found, took
}

func TestPlanted(t *testing.T) {
	cases := []struct {
		solver    string
		d, m      int
		smallest  float64 // singular value of the set of vectors
		noise     float64
		seeds     int
		tolerance float64
	}{
		{"auto", 20, 20, 1, 0, 20, 1e-11},
		{"auto", 20, 30, 1, 0, 20, 1e-12},
		{"auto", 2, 2, 1, 0, 20, 1e-10},
		{"auto", 3, 2, 1, 0, 20, 1e-10},
		{"auto", 5, 5, 1, 0, 20, 1e-10},
		{"auto", 4, 5, 1, 0, 20, 1e-9},
		{"auto", 6, 9, 1, 0, 20, 1e-9},
		{"auto", 1, 1, 1, 0, 1, 1e-15},
		{"auto", 64, 1, 1, 0, 3, 1e-14},
		{"auto", 64, 32, 1, 0, 2, 1e-12},
		{"auto", 64, 4, 1e-4, 0, 5, 1e-9},
		{"auto", 16, 16, 1e-4, 0, 10, 1e-8},
		{"auto", 24, 6, 1e-4, 0, 10, 1e-9},
		{"auto", 20, 20, 1e-2, 1e-8, 5, 1e-5},
		{"auto", 20, 20, 1, 1e-2, 5, 2e-2},
		{"auto", 20, 30, 1, 1e-8, 5, 1e-7},
		{"auto", 20, 30, 1, 1e-2, 10, 2e-2},
		{"auto", 20, 30, 1, 1e-1, 5, 0.1},
		{"spm", 20, 20, 1, 0, 20, 1e-11},
		{"spm", 20, 30, 1, 0, 20, 1e-12},
		{"spm", 20, 60, 1, 0, 2, 1e-12},
		{"spm", 5, 5, 1, 0, 20, 1e-10},
		{"newton", 20, 30, 1, 0, 20, 1e-12},
		{"newton", 6, 9, 1, 0, 10, 1e-9},
		{"newton", 20, 30, 1, 1e-2, 5, 2e-2},
		{"altproj", 20, 30, 1, 0, 20, 1e-12},
		{"altproj", 20, 30, 1, 1e-2, 5, 2e-2},
		{"jointdiag", 20, 20, 1, 0, 20, 1e-11},
		{"jointdiag", 40, 20, 1, 1e-4, 5, 1e-3},
		{"kernel", 20, 20, 1, 0, 5, 1e-11},
		{"kernel", 20, 30, 1, 0, 5, 1e-12},
		{"kernel", 20, 30, 1, 1e-4, 2, 1e-3},
		{"kernel", 6, 9, 1, 0, 20, 1e-9},
		{"spectral", 20, 20, 1, 0, 1, 1e-3},
		{"spectral", 20, 30, 1, 1e-3, 1, 1e-2},
		{"spectral", 6, 9, 1, 0, 5, 1e-2},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/d=%d,m=%d,smallest=%g,noise=%g", c.solver, c.d, c.m, c.smallest, c.noise), func(t *testing.T) {
			solver := open(t, c.solver, nil)
			worst, complete, total := 0.0, 0, time.Duration(0)
			for seed := range uint64(c.seeds) {
				planted := plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(c.d, c.m, c.smallest, seed), c.noise, seed)
				found, largest, invented, took := trial(t, solver, planted, c.tolerance)
				total += took
				worst = max(worst, largest)
				if found == c.m && invented == 0 {
					complete++
				} else {
					t.Errorf("seed %d: found %d of %d to %g, invented %d", seed, found, c.m, c.tolerance, invented)
				}
			}
			t.Logf("%d of %d complete, worst error %.1e, %v a run", complete, c.seeds, worst, (total / time.Duration(c.seeds)).Round(10*time.Microsecond))
		})
	}
}

// TestCores: the solution does not depend on the number of cores.
func TestCores(t *testing.T) {
	planted := plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(20, 26, 1, 3), 1e-3, 3)
	for _, factory := range solvers.All() {
		if factory.Name == "jointdiag" {
			planted = plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(20, 18, 1, 3), 1e-3, 3)
		}
		solver := open(t, factory.Name, nil)
		many, err := solver.Solve(context.Background(), planted.Problem, quiet)
		if err != nil {
			t.Fatal(err)
		}
		before := runtime.GOMAXPROCS(1)
		one, err := solver.Solve(context.Background(), planted.Problem, quiet)
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		if many.Vectors == nil || !mat.Equal(many.Vectors, one.Vectors) {
			t.Errorf("%s: one core and %d cores give different solutions", factory.Name, before)
		}
	}
}
