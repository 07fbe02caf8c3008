package fastlapack

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack"
)

// triangle is a triangular matrix in a.
type triangle struct {
	uplo blas.Uplo
	diag blas.Diag
	n    int
	a    []float64
	lda  int
}

func (t triangle) solve(transpose blas.Transpose, x []float64) {
	blas64.Implementation().Dtrsv(t.uplo, transpose, t.diag, t.n, t.a, t.lda, x, 1)
}

// inverse estimates the 1-norm of an inverse from its products, and those of its transpose, with a few vectors (Hager,
// SIAM J. Sci. Stat. Comput. 5, 1984; Higham, ACM Trans. Math. Softw. 14, 1988). It reports false where a product overflows.
func (i Implementation) inverse(n int, work []float64, iwork []int, product, transposed func(x []float64)) (norm float64, ok bool) {
	var state [3]int
	kase := 0
	for {
		norm, kase = i.Dlacn2(n, work[n:2*n], work[:n], iwork, norm, kase, &state)
		switch kase {
		case 0:
			return norm, true
		case 1:
			product(work[:n])
		default:
			transposed(work[:n])
		}
		for _, v := range work[:n] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, false
			}
		}
	}
}

// usable reports whether the arguments are those of a triangle, so that nothing is left to complain about.
func usable(n int, a []float64, lda int, work []float64, iwork []int) bool {
	return n > 0 && lda >= n && len(a) >= (n-1)*lda+n && len(work) >= 3*n && len(iwork) >= n
}

// Dpocon estimates the reciprocal condition number of a matrix from its Cholesky factor.
func (i Implementation) Dpocon(uplo blas.Uplo, n int, a []float64, lda int, anorm float64, work []float64, iwork []int) float64 {
	if (uplo == blas.Upper || uplo == blas.Lower) && usable(n, a, lda, work, iwork) && anorm > 0 {
		factor := triangle{uplo, blas.NonUnit, n, a, lda}
		first, second := blas.Trans, blas.NoTrans
		if uplo == blas.Lower {
			first, second = second, first
		}
		product := func(x []float64) {
			factor.solve(first, x)
			factor.solve(second, x)
		}
		if norm, ok := i.inverse(n, work, iwork, product, product); ok && norm > 0 {
			return 1 / norm / anorm
		}
	}
	return i.Implementation.Dpocon(uplo, n, a, lda, anorm, work, iwork)
}

// Dgecon estimates the reciprocal condition number of a matrix from its LU factors.
func (i Implementation) Dgecon(norm lapack.MatrixNorm, n int, a []float64, lda int, anorm float64, work []float64, iwork []int) float64 {
	if (norm == lapack.MaxColumnSum || norm == lapack.MaxRowSum) && usable(n, a, lda, work, iwork) && anorm > 0 && !math.IsInf(anorm, 1) {
		lower, upper := triangle{blas.Lower, blas.Unit, n, a, lda}, triangle{blas.Upper, blas.NonUnit, n, a, lda}
		product := func(x []float64) {
			lower.solve(blas.NoTrans, x)
			upper.solve(blas.NoTrans, x)
		}
		transposed := func(x []float64) {
			upper.solve(blas.Trans, x)
			lower.solve(blas.Trans, x)
		}
		if norm == lapack.MaxRowSum {
			product, transposed = transposed, product
		}
		if norm, ok := i.inverse(n, work, iwork, product, transposed); ok && norm > 0 {
			return 1 / norm / anorm
		}
	}
	return i.Implementation.Dgecon(norm, n, a, lda, anorm, work, iwork)
}

// Dtrcon estimates the reciprocal condition number of a triangular matrix.
func (i Implementation) Dtrcon(norm lapack.MatrixNorm, uplo blas.Uplo, diag blas.Diag, n int, a []float64, lda int, work []float64, iwork []int) float64 {
	if (norm == lapack.MaxColumnSum || norm == lapack.MaxRowSum) && (uplo == blas.Upper || uplo == blas.Lower) &&
		(diag == blas.NonUnit || diag == blas.Unit) && usable(n, a, lda, work, iwork) {
		t := triangle{uplo, diag, n, a, lda}
		product := func(x []float64) { t.solve(blas.NoTrans, x) }
		transposed := func(x []float64) { t.solve(blas.Trans, x) }
		if norm == lapack.MaxRowSum {
			product, transposed = transposed, product
		}
		if anorm := i.Dlantr(norm, uplo, diag, n, n, a, lda, work); anorm > 0 {
			if norm, ok := i.inverse(n, work, iwork, product, transposed); ok && norm > 0 {
				return 1 / anorm / norm
			}
		}
	}
	return i.Implementation.Dtrcon(norm, uplo, diag, n, a, lda, work, iwork)
}
