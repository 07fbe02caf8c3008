package plugintest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// SolverPlanted is a problem with known solution.
type SolverPlanted struct {
	Problem core.Problem
	Vectors *mat.Dense // d x m, unit columns w; W is spanned by the w w^T, up to the noise
}

// NewSolverPlanted plants d x m vectors with unit columns, whose w w^T must be linearly independent. The basis, random
// within the span, is then moved by a random perturbation of symmetric matrices: noise is the sine of the largest angle
// between the two subspaces, to first order.
func NewSolverPlanted(vectors *mat.Dense, noise float64, seed uint64) SolverPlanted {
	d, m := vectors.Dims()
	random := rand.New(rand.NewPCG(seed, 71))
	span := mat.NewDense(d*d, m, nil)
	for k := range m {
		for i := range d {
			for j := range d {
				span.Set(i*d+j, k, vectors.At(i, k)*vectors.At(j, k))
			}
		}
	}
	var turned mat.Dense
	turned.Mul(solverOrthonormal(span), solverRotation(random, m))
	if noise > 0 {
		moved := mat.NewDense(d*d, m, nil)
		for k := range m {
			for i := range d {
				for j := range i + 1 {
					value := random.NormFloat64()
					moved.Set(i*d+j, k, value)
					moved.Set(j*d+i, k, value)
				}
			}
		}
		var along, within mat.Dense
		along.Mul(turned.T(), moved)
		within.Mul(&turned, &along)
		moved.Sub(moved, &within)
		// A subspace of full dimension has nowhere to move.
		if size := mat.Norm(moved, 2); size > 1e-8 {
			var svd mat.SVD
			if svd.Factorize(moved, mat.SVDNone) {
				moved.Scale(noise/svd.Values(nil)[0], moved)
				turned.Add(&turned, moved)
				turned.Copy(solverOrthonormal(&turned))
			}
		}
	}
	return SolverPlanted{Problem: core.Problem{Dim: d, Basis: &turned, Seed: seed}, Vectors: vectors}
}

// SolverRandomVectors returns m random unit vectors of length d as columns. With smallest = 1 they are uniform on the sphere;
// below, the singular values of the set run down to about smallest times the largest.
func SolverRandomVectors(d, m int, smallest float64, seed uint64) *mat.Dense {
	random := rand.New(rand.NewPCG(seed, 72))
	vectors := mat.NewDense(d, m, nil)
	for i := range d {
		for k := range m {
			vectors.Set(i, k, random.NormFloat64())
		}
	}
	if r := min(d, m); smallest < 1 && r > 1 {
		var svd mat.SVD
		if svd.Factorize(vectors, mat.SVDThin) {
			var u, v, scaled mat.Dense
			svd.UTo(&u)
			svd.VTo(&v)
			values := make([]float64, r)
			for k := range values {
				values[k] = math.Pow(smallest, float64(k)/float64(r-1))
			}
			scaled.Mul(&u, mat.NewDiagDense(r, values))
			vectors.Mul(&scaled, v.T())
		}
	}
	for k := range m {
		column := mat.Col(nil, k, vectors)
		norm := mat.Norm(mat.NewVecDense(d, column), 2)
		for i := range column {
			column[i] /= norm
		}
		vectors.SetCol(k, column)
	}
	return vectors
}

// Errors returns min(|w-x|, |w+x|) over the columns x of the solution, for each planted w; 2 where nothing was found.
func (p SolverPlanted) Errors(solution *core.Solution) []float64 {
	_, m := p.Vectors.Dims()
	errs := make([]float64, m)
	for k := range m {
		errs[k] = solverNearest(mat.Col(nil, k, p.Vectors), solution)
	}
	return errs
}

func solverNearest(w []float64, solution *core.Solution) float64 {
	nearest := 2.0
	if solution == nil || solution.Vectors == nil {
		return nearest
	}
	_, found := solution.Vectors.Dims()
	for k := range found {
		var minus, plus float64
		for i, value := range w {
			x := solution.Vectors.At(i, k)
			minus += (value - x) * (value - x)
			plus += (value + x) * (value + x)
		}
		nearest = min(nearest, math.Sqrt(min(minus, plus)))
	}
	return nearest
}

// CheckSolver runs the conformance suite on a solver and returns all that is wrong, or nil. It asks for what every solver
// must do, not for what distinguishes the good ones: the planted subspaces are small, well conditioned, with m <= d, and
// vectors are to be found to 1e-4. It takes a few seconds with a solver that takes 0.1 s for d = 8, m = 6.
func CheckSolver(ctx context.Context, solver core.Solver) error {
	checks := []struct {
		name  string
		check func(context.Context, core.Solver) error
	}{
		{"planted vectors", solverCheckPlanted},
		{"one matrix", solverCheckOne},
		{"fewer than there are", solverCheckCount},
		{"change of basis", solverCheckBasis},
		{"noise", solverCheckNoise},
		{"no rank-one matrix", solverCheckNothing},
		{"determinism", solverCheckDeterminism},
		{"cancellation", solverCheckCancellation},
		{"unusable problems", solverCheckUnusable},
	}
	var wrong []error
	for _, c := range checks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := solverGuard(func() error { return c.check(ctx, solver) }); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(wrong...)
}

const (
	solverDim       = 8
	solverCount     = 6
	solverTolerance = 1e-4 // what the paper's first-order iteration reaches
)

// solverGuard makes an error of a panic.
func solverGuard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the solver panicked: %v", r)
		}
	}()
	return f()
}

// solverRun solves and checks what holds for any solution of any problem.
func solverRun(ctx context.Context, solver core.Solver, problem core.Problem) (*core.Solution, error) {
	before := mat.DenseCopyOf(problem.Basis)
	inside := false
	var misuse error
	solution, err := solver.Solve(ctx, problem, func(p core.SolverProgress) {
		if inside {
			misuse = errors.New("progress was called while an earlier call had not returned")
		}
		inside = true
		if p.Found < 0 || p.Wanted < 0 || p.Starts < 0 {
			misuse = fmt.Errorf("progress reported a negative number: %+v", p)
		}
		inside = false
	})
	if err != nil {
		return nil, fmt.Errorf("the solver failed on a problem of order %d: %w", problem.Dim, err)
	}
	if misuse != nil {
		return nil, misuse
	}
	if !mat.Equal(before, problem.Basis) {
		return nil, errors.New("the solver changed the basis it was given")
	}
	return solution, solverCheckShape(problem, solution)
}

// solverCheckShape checks a solution against the documentation of core.Solution.
func solverCheckShape(problem core.Problem, solution *core.Solution) error {
	if solution == nil {
		return errors.New("the solver returned neither a solution nor an error")
	}
	if solution.Vectors == nil {
		if len(solution.Objective) != 0 {
			return fmt.Errorf("the solution has no vectors but %d objectives", len(solution.Objective))
		}
		return nil
	}
	rows, found := solution.Vectors.Dims()
	_, m := problem.Basis.Dims()
	wanted := m
	if problem.Count > 0 {
		wanted = problem.Count
	}
	switch {
	case rows != problem.Dim:
		return fmt.Errorf("the vectors have %d entries, but the matrices are of order %d", rows, problem.Dim)
	case len(solution.Objective) != found:
		return fmt.Errorf("there are %d vectors but %d objectives", found, len(solution.Objective))
	case problem.Count > 0 && found > wanted:
		return fmt.Errorf("%d vectors were asked for but %d returned", wanted, found)
	}
	for k := range found {
		x := mat.Col(nil, k, solution.Vectors)
		largest, norm := 0.0, 0.0
		for _, value := range x {
			if math.IsNaN(value) || math.IsInf(value, 0) {
				return fmt.Errorf("vector %d has an entry that is not finite", k)
			}
			norm += value * value
			if math.Abs(value) > math.Abs(largest)*(1+1e-12) {
				largest = value
			}
		}
		if math.Abs(norm-1) > 1e-9 {
			return fmt.Errorf("vector %d has length %g, not 1", k, math.Sqrt(norm))
		}
		if largest < 0 {
			return fmt.Errorf("the largest entry of vector %d is negative: %g", k, largest)
		}
		objective := solverObjective(problem, x)
		if got := solution.Objective[k]; !(math.Abs(got-objective) <= 1e-6) || got > 1 {
			return fmt.Errorf("the objective of vector %d is given as %g, but |P_W(w w^T)|^2 is %g", k, got, objective)
		}
		for other := range k {
			y := mat.Col(nil, other, solution.Vectors)
			if inner := math.Abs(mat.Dot(mat.NewVecDense(rows, x), mat.NewVecDense(rows, y))); inner > 1-1e-12 {
				return fmt.Errorf("vectors %d and %d are the same", other, k)
			}
		}
	}
	return nil
}

func solverObjective(problem core.Problem, x []float64) float64 {
	outer := mat.NewVecDense(len(x)*len(x), nil)
	for i := range x {
		for j := range x {
			outer.SetVec(i*len(x)+j, x[i]*x[j])
		}
	}
	var y mat.VecDense
	y.MulVec(problem.Basis.T(), outer)
	return mat.Dot(&y, &y)
}

// solverExpect solves a planted problem and requires every planted vector, and no other, to within tolerance.
func solverExpect(ctx context.Context, solver core.Solver, planted SolverPlanted, tolerance float64) error {
	solution, err := solverRun(ctx, solver, planted.Problem)
	if err != nil {
		return err
	}
	for k, distance := range planted.Errors(solution) {
		if !(distance <= tolerance) {
			return fmt.Errorf("planted vector %d of %d (length %d) is off by %.3g, more than %.3g", k, len(planted.Errors(nil)), planted.Problem.Dim, distance, tolerance)
		}
	}
	return solverOnlyPlanted(planted, solution, tolerance)
}

// solverOnlyPlanted requires every vector returned to be a planted one.
func solverOnlyPlanted(planted SolverPlanted, solution *core.Solution, tolerance float64) error {
	if solution.Vectors == nil {
		return nil
	}
	_, found := solution.Vectors.Dims()
	truth := &core.Solution{Vectors: planted.Vectors}
	for k := range found {
		if distance := solverNearest(mat.Col(nil, k, solution.Vectors), truth); !(distance <= tolerance) {
			return fmt.Errorf("vector %d of the solution is none of the planted ones: the nearest is off by %.3g", k, distance)
		}
	}
	return nil
}

func solverCheckPlanted(ctx context.Context, solver core.Solver) error {
	for seed := range uint64(3) {
		if err := solverExpect(ctx, solver, NewSolverPlanted(SolverRandomVectors(solverDim, solverCount, 1, seed), 0, seed), solverTolerance); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

func solverCheckOne(ctx context.Context, solver core.Solver) error {
	for _, d := range []int{1, 2, 5} {
		if err := solverExpect(ctx, solver, NewSolverPlanted(SolverRandomVectors(d, 1, 1, 5), 0, 5), solverTolerance); err != nil {
			return err
		}
	}
	return nil
}

func solverCheckCount(ctx context.Context, solver core.Solver) error {
	planted := NewSolverPlanted(SolverRandomVectors(solverDim, solverCount, 1, 6), 0, 6)
	planted.Problem.Count = 2
	solution, err := solverRun(ctx, solver, planted.Problem)
	if err != nil {
		return err
	}
	if solution.Vectors == nil || len(solution.Objective) != 2 {
		return fmt.Errorf("2 of %d vectors were asked for, but %d returned", solverCount, len(solution.Objective))
	}
	return solverOnlyPlanted(planted, solution, solverTolerance)
}

func solverCheckBasis(ctx context.Context, solver core.Solver) error {
	planted := NewSolverPlanted(SolverRandomVectors(solverDim, solverCount, 1, 7), 0, 7)
	var turned mat.Dense
	turned.Mul(planted.Problem.Basis, solverRotation(rand.New(rand.NewPCG(7, 73)), solverCount))
	if err := solverExpect(ctx, solver, planted, solverTolerance); err != nil {
		return err
	}
	planted.Problem.Basis = &turned
	if err := solverExpect(ctx, solver, planted, solverTolerance); err != nil {
		return fmt.Errorf("in another orthonormal basis of the same subspace: %w", err)
	}
	return nil
}

func solverCheckNoise(ctx context.Context, solver core.Solver) error {
	for _, noise := range []float64{1e-6, 1e-2} {
		planted := NewSolverPlanted(SolverRandomVectors(solverDim, solverCount, 0.3, 8), noise, 8)
		// The error of a vector is of the order of the noise, more where vectors are close to each other.
		if err := solverExpect(ctx, solver, planted, solverTolerance+10*noise); err != nil {
			return fmt.Errorf("subspace perturbed by %g: %w", noise, err)
		}
	}
	return nil
}

// solverCheckNothing gives the span of the identity: its spectral norm on the unit sphere is d^-1/2, far from 1. Whatever
// is returned must at least carry its true objective, which solverRun checks, and not pretend.
func solverCheckNothing(ctx context.Context, solver core.Solver) error {
	const d = 9
	basis := mat.NewDense(d*d, 1, nil)
	for i := range d {
		basis.Set(i*d+i, 0, 1/math.Sqrt(d))
	}
	solution, err := solverRun(ctx, solver, core.Problem{Dim: d, Basis: basis, Seed: 1})
	if err != nil {
		return err
	}
	if solution.Vectors != nil {
		return fmt.Errorf("the span of the identity of order %d has no matrix near rank one, but one was returned, of objective %g", d, solution.Objective[0])
	}
	return nil
}

func solverCheckDeterminism(ctx context.Context, solver core.Solver) error {
	problem := NewSolverPlanted(SolverRandomVectors(solverDim, solverCount, 1, 9), 1e-3, 9).Problem
	first, err := solverRun(ctx, solver, problem)
	if err != nil {
		return err
	}
	// The second run shares the machine with a third.
	third := make(chan error, 1)
	go func() {
		third <- solverGuard(func() error {
			_, err := solverRun(ctx, solver, core.Problem{Dim: problem.Dim, Basis: mat.DenseCopyOf(problem.Basis), Seed: 10})
			return err
		})
	}()
	second, err := solverRun(ctx, solver, problem)
	if other := <-third; err == nil && other != nil {
		err = fmt.Errorf("two calls at once: %w", other)
	}
	if err != nil {
		return err
	}
	if (first.Vectors == nil) != (second.Vectors == nil) || first.Vectors != nil && !mat.Equal(first.Vectors, second.Vectors) {
		return errors.New("the same problem with the same seed gave two different solutions")
	}
	return nil
}

func solverCheckCancellation(ctx context.Context, solver core.Solver) error {
	problem := NewSolverPlanted(SolverRandomVectors(24, 22, 1, 11), 1e-2, 11).Problem
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := solver.Solve(done, problem, func(core.SolverProgress) {}); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("called with a context that was cancelled before, the solver returned %w, not the context's error", solverNoError(err))
	}
	done, cancel = context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	_, err := solver.Solve(done, problem, func(core.SolverProgress) {})
	ended := time.Now()
	deadline, _ := done.Deadline()
	if late := ended.Sub(deadline); late > time.Second { // 0.1 s is asked for; a loaded machine gets more
		return fmt.Errorf("the solver went on for %v after its context had ended", late.Round(time.Millisecond))
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stopped by its context, the solver returned %w, not the context's error", err)
	}
	return nil
}

func solverNoError(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

func solverCheckUnusable(ctx context.Context, solver core.Solver) error {
	good := NewSolverPlanted(SolverRandomVectors(4, 2, 1, 12), 0, 12).Problem
	change := func(edit func(*mat.Dense)) *mat.Dense {
		basis := mat.DenseCopyOf(good.Basis)
		edit(basis)
		return basis
	}
	unusable := []struct {
		what    string
		problem core.Problem
	}{
		{"without a basis", core.Problem{Dim: 4}},
		{"with an empty basis", core.Problem{Dim: 4, Basis: &mat.Dense{}}},
		{"of order 0", core.Problem{Dim: 0, Basis: good.Basis}},
		{"of negative order", core.Problem{Dim: -4, Basis: good.Basis}},
		{"of order 5 with a basis of order 4", core.Problem{Dim: 5, Basis: good.Basis}},
		{"with more columns than symmetric matrices have dimensions", core.Problem{Dim: 1, Basis: mat.NewDense(1, 2, []float64{1, 1})}},
		{"with a negative count", core.Problem{Dim: 4, Basis: good.Basis, Count: -1}},
		{"with a count above the dimension", core.Problem{Dim: 4, Basis: good.Basis, Count: 3}},
		{"with NaN", core.Problem{Dim: 4, Basis: change(func(b *mat.Dense) { b.Set(3, 1, math.NaN()) })}},
		{"with an infinite entry", core.Problem{Dim: 4, Basis: change(func(b *mat.Dense) { b.Set(0, 0, math.Inf(1)) })}},
		{"with a matrix that is not symmetric", core.Problem{Dim: 4, Basis: change(func(b *mat.Dense) { b.Set(1, 0, b.At(1, 0)+0.5) })}},
		{"with a basis that is not orthonormal", core.Problem{Dim: 4, Basis: change(func(b *mat.Dense) { b.Scale(2, b) })}},
	}
	for _, u := range unusable {
		err := solverGuard(func() error {
			solution, err := solver.Solve(ctx, u.problem, func(core.SolverProgress) {})
			if err == nil {
				return fmt.Errorf("a problem %s was solved (%v) instead of refused", u.what, solution != nil)
			}
			if !fault.Is(err, fault.Usage) {
				return fmt.Errorf("a problem %s was refused, but not as a fault of usage: %w", u.what, err)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("a problem %s: %w", u.what, err)
		}
	}
	return nil
}

// solverOrthonormal returns an orthonormal basis of the range of a matrix of full column rank.
func solverOrthonormal(columns *mat.Dense) *mat.Dense {
	rows, m := columns.Dims()
	var qr mat.QR
	qr.Factorize(columns)
	var q mat.Dense
	qr.QTo(&q)
	return mat.DenseCopyOf(q.Slice(0, rows, 0, m))
}

// solverRotation returns a random orthogonal matrix.
func solverRotation(random *rand.Rand, m int) *mat.Dense {
	data := make([]float64, m*m)
	for i := range data {
		data[i] = random.NormFloat64()
	}
	return solverOrthonormal(mat.NewDense(m, m, data))
}
