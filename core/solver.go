package core

import (
	"context"

	"gonum.org/v1/gonum/mat"
)

// Solver finds the rank-one matrices w w^T in a subspace of symmetric matrices (arXiv 1907.00485, section 3).
// Implementations are safe for concurrent calls, and deterministic: the same problem, seed included, gives the same
// solution bit for bit, whatever the number of cores.
type Solver interface {
	// Solve calls progress, which is never nil, now and then, from one goroutine at a time. It stops with ctx's error soon after ctx ends.
	Solve(ctx context.Context, problem Problem, progress func(SolverProgress)) (*Solution, error)
}

// Problem is one subspace of symmetric matrices.
type Problem struct {
	// Dim is d, the order of the matrices.
	Dim int
	// Basis has d*d rows and m columns; each column is a symmetric matrix, vectorised row by row, and the columns are
	// orthonormal (Frobenius). Solvers do not change it.
	Basis *mat.Dense
	// Count is the number of rank-one matrices wanted; 0 means as many as there are (m in general position).
	Count int
	Seed  uint64
}

// Solution is what a solver found; what it did not find is missing, never invented.
type Solution struct {
	// Vectors has d rows and one unit column w for each rank-one matrix found; the sign is such that the entry of
	// largest magnitude is positive. nil when nothing was found.
	Vectors *mat.Dense
	// Objective is |P_W(w w^T)|_F^2 for each column, at most 1, and 1 when w w^T lies in the subspace.
	Objective []float64
	// Statistics are counts and times by name ("iterations", "starts", ...), for reports.
	Statistics map[string]float64
}

// SolverProgress is a sign of life.
type SolverProgress struct {
	Found, Wanted int
	Starts        int
}
