package fastblas

import (
	"gonum.org/v1/gonum/blas"
)

// Dgemv computes y = beta y + alpha op(A) x, A m x n.
func (i Implementation) Dgemv(tA blas.Transpose, m, n int, alpha float64, a []float64, lda int, x []float64, incX int, beta float64, y []float64, incY int) {
	lengthX, lengthY := n, m
	if tA != blas.NoTrans {
		lengthX, lengthY = m, n
	}
	if m < 4 || n < 8 || incX != 1 || incY != 1 || alpha == 0 || len(x) < lengthX || len(y) < lengthY {
		i.Implementation.Dgemv(tA, m, n, alpha, a, lda, x, incX, beta, y, incY)
		return
	}
	checkOperand(blas.NoTrans, m, n, len(a), lda, shortA, badLdA)
	if tA != blas.NoTrans && tA != blas.Trans && tA != blas.ConjTrans {
		panic(badTranspose)
	}
	scale(beta, 1, lengthY, y, lengthY)
	whole := n &^ 3
	if tA == blas.NoTrans {
		var sums [4]float64
		for r := 0; r < m; r += 4 {
			// The last four rows overlap those before them where m is no multiple of 4.
			first := min(r, m-4)
			dotsAVX2(whole, &a[first*lda], lda, &x[0], &sums[0])
			for q := r - first; q < 4; q++ {
				sum := sums[q]
				for j, v := range a[(first+q)*lda+whole : (first+q)*lda+n] {
					sum += v * x[whole+j]
				}
				y[first+q] += alpha * sum
			}
		}
		return
	}
	for r := 0; r < m; r += 4 {
		var factors [4]float64
		first := min(r, m-4)
		for q := r - first; q < 4; q++ {
			factors[q] = alpha * x[first+q]
		}
		if first != r { // rows already added have the factor zero, which must not turn what is not finite into NaN
			for q := r - first; q < 4; q++ {
				i.Daxpy(n, factors[q], a[(first+q)*lda:], 1, y, 1)
			}
			return
		}
		combineAVX2(whole, &a[r*lda], lda, &factors[0], &y[0])
		for j := whole; j < n; j++ {
			for q := range 4 {
				y[j] += factors[q] * a[(r+q)*lda+j]
			}
		}
	}
}

// Dsyrk computes one triangle of C = beta C + alpha A A^T or, transposed, beta C + alpha A^T A, n x n.
func (i Implementation) Dsyrk(uplo blas.Uplo, t blas.Transpose, n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	const block = 96
	if n < 2 || k < 2 || n*n*k < 2*small || alpha == 0 || (uplo != blas.Upper && uplo != blas.Lower) {
		i.Implementation.Dsyrk(uplo, t, n, k, alpha, a, lda, beta, c, ldc)
		return
	}
	checkOperand(t, n, k, len(a), lda, shortA, badLdA)
	checkOperand(blas.NoTrans, n, n, len(c), ldc, shortC, badLdC)
	other := blas.Trans
	if t != blas.NoTrans {
		other = blas.NoTrans
	}
	part := func(at int) []float64 {
		if t == blas.NoTrans {
			return a[at*lda:]
		}
		return a[at:]
	}
	diagonal := make([]float64, min(n, block)*min(n, block))
	for at := 0; at < n; at += block {
		size := min(block, n-at)
		i.Dgemm(t, other, size, size, k, alpha, part(at), lda, part(at), lda, 0, diagonal, size)
		for r := range size {
			from, to := r, size
			if uplo == blas.Lower {
				from, to = 0, r+1
			}
			row := c[(at+r)*ldc+at+from : (at+r)*ldc+at+to]
			scale(beta, 1, len(row), row, len(row))
			for s, v := range diagonal[r*size+from : r*size+to] {
				row[s] += v
			}
		}
		if uplo == blas.Upper && at+size < n {
			i.Dgemm(t, other, size, n-at-size, k, alpha, part(at), lda, part(at+size), lda, beta, c[at*ldc+at+size:], ldc)
		}
		if uplo == blas.Lower && at > 0 {
			i.Dgemm(t, other, size, at, k, alpha, part(at), lda, part(0), lda, beta, c[at*ldc:], ldc)
		}
	}
}

// Dtrsm solves op(A) X = alpha B or X op(A) = alpha B, A triangular, into B (m x n): by halves, so that nearly all of it
// is products.
func (i Implementation) Dtrsm(side blas.Side, uplo blas.Uplo, t blas.Transpose, diag blas.Diag, m, n int, alpha float64, a []float64, lda int, b []float64, ldb int) {
	const least = 24
	order := m
	if side == blas.Right {
		order = n
	}
	if order <= least || min(m, n) < 4 || alpha == 0 || (side != blas.Left && side != blas.Right) || (uplo != blas.Upper && uplo != blas.Lower) {
		i.Implementation.Dtrsm(side, uplo, t, diag, m, n, alpha, a, lda, b, ldb)
		return
	}
	checkOperand(blas.NoTrans, order, order, len(a), lda, shortA, badLdA)
	checkOperand(blas.NoTrans, m, n, len(b), ldb, shortB, badLdB)
	half := order / 2
	rest := order - half
	// The block off the diagonal: above it for an upper triangle, below it for a lower one.
	off := a[half:]
	if uplo == blas.Lower {
		off = a[half*lda:]
	}
	last := a[half*lda+half:]
	lower := (uplo == blas.Lower) == (t == blas.NoTrans) // of op(A)
	if side == blas.Left {
		second := b[half*ldb:]
		if lower {
			i.Dtrsm(side, uplo, t, diag, half, n, alpha, a, lda, b, ldb)
			i.Dgemm(t, blas.NoTrans, rest, n, half, -1, off, lda, b, ldb, alpha, second, ldb)
			i.Dtrsm(side, uplo, t, diag, rest, n, 1, last, lda, second, ldb)
			return
		}
		i.Dtrsm(side, uplo, t, diag, rest, n, alpha, last, lda, second, ldb)
		i.Dgemm(t, blas.NoTrans, half, n, rest, -1, off, lda, second, ldb, alpha, b, ldb)
		i.Dtrsm(side, uplo, t, diag, half, n, 1, a, lda, b, ldb)
		return
	}
	second := b[half:]
	if lower {
		i.Dtrsm(side, uplo, t, diag, m, rest, alpha, last, lda, second, ldb)
		i.Dgemm(blas.NoTrans, t, m, half, rest, -1, second, ldb, off, lda, alpha, b, ldb)
		i.Dtrsm(side, uplo, t, diag, m, half, 1, a, lda, b, ldb)
		return
	}
	i.Dtrsm(side, uplo, t, diag, m, half, alpha, a, lda, b, ldb)
	i.Dgemm(blas.NoTrans, t, m, rest, half, -1, b, ldb, off, lda, alpha, second, ldb)
	i.Dtrsm(side, uplo, t, diag, m, rest, 1, last, lda, second, ldb)
}

// Dtrmm computes B = alpha op(A) B or alpha B op(A), A triangular, B m x n: by halves, as [Implementation.Dtrsm].
func (i Implementation) Dtrmm(side blas.Side, uplo blas.Uplo, t blas.Transpose, diag blas.Diag, m, n int, alpha float64, a []float64, lda int, b []float64, ldb int) {
	const least = 24
	order := m
	if side == blas.Right {
		order = n
	}
	if order <= least || min(m, n) < 4 || alpha == 0 || (side != blas.Left && side != blas.Right) || (uplo != blas.Upper && uplo != blas.Lower) {
		i.Implementation.Dtrmm(side, uplo, t, diag, m, n, alpha, a, lda, b, ldb)
		return
	}
	checkOperand(blas.NoTrans, order, order, len(a), lda, shortA, badLdA)
	checkOperand(blas.NoTrans, m, n, len(b), ldb, shortB, badLdB)
	half := order / 2
	rest := order - half
	off, last := a[half:], a[half*lda+half:]
	if uplo == blas.Lower {
		off = a[half*lda:]
	}
	lower := (uplo == blas.Lower) == (t == blas.NoTrans) // of op(A)
	if side == blas.Left {
		second := b[half*ldb:]
		if lower {
			i.Dtrmm(side, uplo, t, diag, rest, n, alpha, last, lda, second, ldb)
			i.Dgemm(t, blas.NoTrans, rest, n, half, alpha, off, lda, b, ldb, 1, second, ldb)
			i.Dtrmm(side, uplo, t, diag, half, n, alpha, a, lda, b, ldb)
			return
		}
		i.Dtrmm(side, uplo, t, diag, half, n, alpha, a, lda, b, ldb)
		i.Dgemm(t, blas.NoTrans, half, n, rest, alpha, off, lda, second, ldb, 1, b, ldb)
		i.Dtrmm(side, uplo, t, diag, rest, n, alpha, last, lda, second, ldb)
		return
	}
	second := b[half:]
	if lower {
		i.Dtrmm(side, uplo, t, diag, m, half, alpha, a, lda, b, ldb)
		i.Dgemm(blas.NoTrans, t, m, half, rest, alpha, second, ldb, off, lda, 1, b, ldb)
		i.Dtrmm(side, uplo, t, diag, m, rest, alpha, last, lda, second, ldb)
		return
	}
	i.Dtrmm(side, uplo, t, diag, m, rest, alpha, last, lda, second, ldb)
	i.Dgemm(blas.NoTrans, t, m, rest, half, alpha, b, ldb, off, lda, 1, second, ldb)
	i.Dtrmm(side, uplo, t, diag, m, half, alpha, a, lda, b, ldb)
}

// Dtrsv solves op(A) x = b, A triangular, into b, by halves too.
func (i Implementation) Dtrsv(uplo blas.Uplo, t blas.Transpose, diag blas.Diag, n int, a []float64, lda int, x []float64, incX int) {
	const least = 16
	if n <= least || incX != 1 || len(x) < n || (uplo != blas.Upper && uplo != blas.Lower) {
		i.Implementation.Dtrsv(uplo, t, diag, n, a, lda, x, incX)
		return
	}
	checkOperand(blas.NoTrans, n, n, len(a), lda, shortA, badLdA)
	half := n / 2
	off, last := a[half:], a[half*lda+half:]
	rows, cols := half, n-half
	if uplo == blas.Lower {
		off = a[half*lda:]
		rows, cols = cols, rows
	}
	first, second := x[:half], x[half:n]
	if (uplo == blas.Lower) == (t == blas.NoTrans) {
		i.Dtrsv(uplo, t, diag, half, a, lda, first, 1)
		i.Dgemv(t, rows, cols, -1, off, lda, first, 1, 1, second, 1)
		i.Dtrsv(uplo, t, diag, n-half, last, lda, second, 1)
		return
	}
	i.Dtrsv(uplo, t, diag, n-half, last, lda, second, 1)
	i.Dgemv(t, rows, cols, -1, off, lda, second, 1, 1, first, 1)
	i.Dtrsv(uplo, t, diag, half, a, lda, first, 1)
}
