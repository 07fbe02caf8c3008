package solvers_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk/plugintest"
)

// TestClosePairs: two vectors at an angle e are told apart, and known to about 1e-16/e.
func TestClosePairs(t *testing.T) {
	solver := open(t, "auto", nil)
	for _, angle := range []float64{1e-2, 1e-3, 1e-4, 1e-5} {
		for _, m := range []int{2, 10, 14} {
			for seed := range uint64(3) {
				vectors := plugintest.SolverRandomVectors(10, m, 1, seed)
				random := rand.New(rand.NewPCG(seed, 9))
				x := mat.NewVecDense(10, mat.Col(nil, 0, vectors))
				for i := range 10 {
					x.SetVec(i, x.AtVec(i)+angle*random.NormFloat64())
				}
				x.ScaleVec(1/mat.Norm(x, 2), x)
				vectors.SetCol(1, x.RawVector().Data)
				found, worst, invented, _ := trial(t, solver, plugintest.NewSolverPlanted(vectors, 0, seed), 1e-15/angle)
				if found != m || invented != 0 {
					t.Errorf("angle %g, m=%d, seed %d: %d found, %d invented, worst error of those found %.1e", angle, m, seed, found, invented, worst)
				}
			}
		}
	}
}

// TestDependent: more vectors than the space that holds them has dimensions, within a larger one.
func TestDependent(t *testing.T) {
	solver := open(t, "auto", nil)
	for seed := range uint64(3) {
		var qr mat.QR
		qr.Factorize(plugintest.SolverRandomVectors(20, 6, 1, seed+50))
		var q, vectors mat.Dense
		qr.QTo(&q)
		vectors.Mul(q.Slice(0, 20, 0, 6), plugintest.SolverRandomVectors(6, 12, 1, seed))
		if found, _, invented, _ := trial(t, solver, plugintest.NewSolverPlanted(&vectors, 0, seed), 1e-12); found != 12 || invented != 0 {
			t.Errorf("seed %d: %d of 12 found, %d invented", seed, found, invented)
		}
	}
}

// TestFewerThanDimensions: a subspace with less rank-one matrices than dimensions gives those, whatever number is wanted.
func TestFewerThanDimensions(t *testing.T) {
	const d, planted, others = 10, 6, 3
	for _, name := range []string{"auto", "spm", "newton", "kernel", "altproj", "spectral"} {
		for _, count := range []int{0, planted, planted + others, 2} {
			for seed := range uint64(3) {
				vectors := plugintest.SolverRandomVectors(d, planted, 1, seed)
				good := plugintest.NewSolverPlanted(vectors, 0, seed)
				span := mat.NewDense(d*d, planted+others, nil)
				span.Slice(0, d*d, 0, planted).(*mat.Dense).Copy(good.Problem.Basis)
				span.Slice(0, d*d, planted, planted+others).(*mat.Dense).Copy(nothing(d, others).Basis)
				var qr mat.QR
				qr.Factorize(span)
				var q mat.Dense
				qr.QTo(&q)
				good.Problem.Basis = mat.DenseCopyOf(q.Slice(0, d*d, 0, planted+others))
				good.Problem.Count = count
				want := planted
				if count == 2 {
					want = 2
				}
				if found, worst, invented, _ := trial(t, open(t, name, nil), good, 1e-4); found != want || invented != 0 {
					t.Errorf("%s, count %d, seed %d: %d of %d found to %.1e, %d invented", name, count, seed, found, want, worst, invented)
				}
			}
		}
	}
}

// TestCrowded: m is close to the codimension of the rank-one matrices, beyond which every subspace holds some. False maxima
// come close to 1 there.
func TestCrowded(t *testing.T) {
	for _, size := range [][2]int{{6, 12}, {6, 15}, {8, 24}} {
		for seed := range uint64(5) {
			planted := plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(size[0], size[1], 1, seed), 0, seed)
			if found, _, invented, _ := trial(t, open(t, "auto", nil), planted, 1e-9); found != size[1] || invented != 0 {
				t.Errorf("d=%d, m=%d, seed %d: %d found, %d invented", size[0], size[1], seed, found, invented)
			}
		}
	}
}

// TestStatistics: what is reported is consistent, and progress comes while it runs.
func TestStatistics(t *testing.T) {
	planted := plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(12, 10, 1, 4), 0, 4)
	for _, name := range []string{"auto", "spm", "newton", "jointdiag", "kernel", "altproj", "spectral"} {
		calls, last := 0, core.SolverProgress{}
		solution, err := open(t, name, nil).Solve(context.Background(), planted.Problem, func(p core.SolverProgress) { calls++; last = p })
		if err != nil {
			t.Fatal(err)
		}
		if calls == 0 || last.Wanted != 10 || last.Found != 10 {
			t.Errorf("%s: %d calls of progress, the last %+v", name, calls, last)
		}
		if solution.Statistics["found"] != float64(len(solution.Objective)) {
			t.Errorf("%s: statistics %v with %d vectors", name, solution.Statistics, len(solution.Objective))
		}
		for _, value := range solution.Objective {
			if math.Abs(value-1) > 1e-6 {
				t.Errorf("%s: objective %g", name, value)
			}
		}
	}
}
