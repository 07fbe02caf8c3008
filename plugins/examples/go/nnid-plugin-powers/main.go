// Command nnid-plugin-powers is a solver in Go: the subspace power method, one random start after another.
package main

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

const (
	starts      = 40   // for each vector wanted
	iterations  = 3000 // from one start; a few hundred do in subspaces in general position
	nearRankOne = 0.9  // of the objective: vectors of noisy subspaces have it, other maxima seldom
)

type solver struct{}

func (solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	if err := problem.Check(); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(problem.Seed, 0))
	d, wanted := problem.Dim, problem.Count
	if _, m := problem.Basis.Dims(); wanted == 0 {
		wanted = m
	}
	var found []*mat.VecDense
	var objectives []float64
	start := 0
	for ; start < starts*wanted && len(found) < wanted; start++ {
		progress(core.SolverProgress{Found: len(found), Wanted: wanted, Starts: start})
		w := mat.NewVecDense(d, nil)
		for i := range d {
			w.SetVec(i, random.NormFloat64())
		}
		objective, err := climb(ctx, problem, w)
		if err != nil {
			return nil, err
		}
		if objective > nearRankOne && isNew(found, w) {
			found, objectives = append(found, w), append(objectives, min(objective, 1))
		}
	}
	solution := &core.Solution{Objective: objectives, Statistics: map[string]float64{"starts": float64(start)}}
	if len(found) > 0 {
		solution.Vectors = mat.NewDense(d, len(found), nil)
		for k, w := range found {
			solution.Vectors.SetCol(k, w.RawVector().Data)
		}
	}
	return solution, nil
}

// climb moves w to a local maximum of the objective |P_W(w w^T)|^2, which it returns, and gives it the sign that solutions have.
func climb(ctx context.Context, problem core.Problem, w *mat.VecDense) (objective float64, err error) {
	var outer mat.Dense
	var coefficients, projected, next mat.VecDense
	d := problem.Dim
	w.ScaleVec(1/mat.Norm(w, 2), w)
	for range iterations {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		outer.Outer(1, w, w)
		coefficients.MulVec(problem.Basis.T(), mat.NewVecDense(d*d, outer.RawMatrix().Data))
		objective = mat.Dot(&coefficients, &coefficients)
		projected.MulVec(problem.Basis, &coefficients)
		next.MulVec(mat.NewDense(d, d, projected.RawVector().Data), w)
		next.AddScaledVec(&next, 0.2, w) // the shift makes every step an ascent
		next.ScaleVec(1/mat.Norm(&next, 2), &next)
		var step mat.VecDense
		step.SubVec(&next, w)
		w.CopyVec(&next)
		if mat.Norm(&step, 2) < 1e-14 {
			break
		}
	}
	largest := 0.0
	for i := range d {
		if value := w.AtVec(i); math.Abs(value) > math.Abs(largest) {
			largest = value
		}
	}
	w.ScaleVec(math.Copysign(1, largest), w)
	return objective, nil
}

func isNew(found []*mat.VecDense, w *mat.VecDense) bool {
	for _, other := range found {
		if math.Abs(mat.Dot(other, w)) > 1-1e-6 {
			return false
		}
	}
	return true
}

func main() {
	sdk.Serve(sdk.Plugin{Name: "powers", Version: "1.0.0", Solvers: []core.SolverFactory{{
		Component: core.Component{Name: "powers", Summary: "subspace power method, plainly written"},
		Open:      func(core.Options) (core.Solver, error) { return solver{}, nil },
	}}})
}
