package core

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
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

// Check reports the first thing that makes the problem unusable: a shape that does not fit, an entry that is not
// finite, a matrix that is not symmetric or columns that are not orthonormal, these two to 1e-6, far above the rounding
// of any double precision basis and far below what would mislead a solver. Solvers call it first. The error is a
// [fault.Usage].
func (p Problem) Check() error {
	const tolerance = 1e-6
	if p.Dim < 1 {
		return fault.New(fault.Usage, "the order of the matrices must be at least 1, not %d", p.Dim)
	}
	if p.Basis == nil || p.Basis.IsEmpty() {
		return fault.New(fault.Usage, "the subspace has no basis")
	}
	rows, m := p.Basis.Dims()
	if p.Dim > 1<<15 || rows != p.Dim*p.Dim {
		return fault.New(fault.Usage, "the basis has %d rows, but matrices of order %d have %d entries", rows, p.Dim, p.Dim*p.Dim)
	}
	if most := p.Dim * (p.Dim + 1) / 2; m > most {
		return fault.New(fault.Usage, "the basis has %d columns, but symmetric matrices of order %d have %d dimensions only", m, p.Dim, most)
	}
	if p.Count < 0 || p.Count > m {
		return fault.New(fault.Usage, "the number of rank-one matrices wanted must be between 0 and the dimension %d of the subspace, not %d", m, p.Count)
	}
	for i := range p.Dim {
		for j := range p.Dim {
			there, back := p.Basis.RawRowView(i*p.Dim+j), p.Basis.RawRowView(j*p.Dim+i)
			for k, value := range there {
				if math.IsNaN(value) || math.IsInf(value, 0) {
					return fault.New(fault.Usage, "entry (%d, %d) of basis matrix %d is not finite", i, j, k)
				}
				if math.Abs(value-back[k]) > tolerance {
					return fault.New(fault.Usage, "basis matrix %d is not symmetric: entries (%d, %d) and its mirror image differ by %.3g", k, i, j, math.Abs(value-back[k]))
				}
			}
		}
	}
	var gram mat.Dense
	gram.Mul(p.Basis.T(), p.Basis)
	for k := range m {
		for l := range k + 1 {
			want := 0.0
			if k == l {
				want = 1
			}
			if off := math.Abs(gram.At(k, l) - want); !(off <= tolerance) {
				return fault.New(fault.Usage, "the basis is not orthonormal: the inner product of matrices %d and %d is off by %.3g", k, l, off)
			}
		}
	}
	return nil
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
