package fastlapack

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack"
)

// Dsyev computes the eigenvalues w, ascending, of the symmetric n x n matrix whose triangle uplo is in a, and with
// lapack.EVCompute puts the eigenvectors into the columns of a. The matrix is reduced to tridiagonal form, that is solved by
// divide and conquer, and the vectors are carried back. It returns false where the matrix is not finite.
func (i Implementation) Dsyev(jobz lapack.EVJob, uplo blas.Uplo, n int, a []float64, lda int, w, work []float64, lwork int) bool {
	if n < 2 || lwork == -1 || (jobz != lapack.EVCompute && jobz != lapack.EVNone) || (uplo != blas.Upper && uplo != blas.Lower) ||
		lda < n || len(a) < (n-1)*lda+n || len(w) < n {
		return i.Implementation.Dsyev(jobz, uplo, n, a, lda, w, work, lwork) // the size of the workspace, and panics
	}
	// The row's part in the triangle.
	part := func(r int) []float64 {
		if uplo == blas.Upper {
			return a[r*lda+r : r*lda+n]
		}
		return a[r*lda : r*lda+r+1]
	}
	largest := 0.0
	for r := range n {
		for _, v := range part(r) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
			largest = math.Max(largest, math.Abs(v))
		}
	}
	moderate := largest > 1e-100 && largest < 1e100 // no square is too large or too small
	if moderate && (n < 14 || (jobz == lapack.EVNone && n < 64)) {
		// Not worth the trouble.
		return i.Implementation.Dsyev(jobz, uplo, n, a, lda, w, work, lwork)
	}
	scale := 1.0
	if !moderate && largest > 0 {
		_, exponent := math.Frexp(largest)
		scale = math.Ldexp(1, max(-1000, min(1000, exponent)))
	}
	full := make([]float64, n*n)
	for r := range n {
		for k, v := range part(r) {
			c := k
			if uplo == blas.Upper {
				c += r
			}
			full[r*n+c], full[c*n+r] = v/scale, v/scale
		}
	}
	off := make([]float64, n)
	reflections := tridiagonalize(n, full, w, off)
	if jobz == lapack.EVNone {
		if !i.Dsterf(n, w, off) {
			return false
		}
	} else {
		// Rows, not columns, are eigenvectors while they are worked on: they lie together in memory.
		vectors := full
		clear(vectors)
		if !divide(n, w, off, blas64.General{Rows: n, Cols: n, Stride: n, Data: vectors}) {
			return false
		}
		reflections.apply(vectors)
		order := make([]int, n)
		for k := range order {
			order[k] = k
		}
		slices.SortStableFunc(order, func(x, y int) int {
			switch {
			case w[x] < w[y]:
				return -1
			case w[x] > w[y]:
				return 1
			}
			return 0
		})
		copy(off, w)
		for column, k := range order {
			w[column] = off[k]
			for r, v := range vectors[k*n : (k+1)*n] {
				a[r*lda+column] = v
			}
		}
	}
	for k := range n {
		w[k] *= scale
	}
	return true
}

// panel is the number of reflections that are applied together: as products of matrices.
const panel = 24

// reflections are Householder's I - tau v v^T, v in the rows of vectors: row j has a one at j+1, zeros before.
type reflections struct {
	n       int
	vectors []float64
	tau     []float64
}

// tridiagonalize reduces the full symmetric matrix a, which it destroys, to T = Q^T A Q with the given diagonal d and e
// beside it, and returns Q, the product of n-2 reflections. Half of the work is products of A and a vector, half products of
// matrices (Dongarra, Hammarling, Sorensen, J. Comput. Appl. Math. 27, 1989).
func tridiagonalize(n int, a, d, e []float64) reflections {
	count := max(0, n-2)
	q := reflections{n: n, vectors: make([]float64, count*n), tau: make([]float64, count)}
	updates := make([]float64, panel*n) // w of A - v w^T - w v^T, for the v of this panel
	row, first, second := make([]float64, n), make([]float64, panel), make([]float64, panel)
	for from := 0; from < count; from += panel {
		size := min(panel, count-from)
		for k := range size {
			j := from + k
			length := n - j - 1
			// What the panel's earlier reflections have made of row j.
			x := row[:length+1]
			copy(x, a[j*n+j:(j+1)*n])
			for l := range k {
				v, w := q.vectors[(from+l)*n+j:(from+l+1)*n], updates[l*n+j:(l+1)*n]
				blas64.Axpy(-v[0], vector(w), vector(x))
				blas64.Axpy(-w[0], vector(v), vector(x))
			}
			d[j] = x[0]
			v, w := q.vectors[j*n+j+1:(j+1)*n], updates[k*n+j+1:(k+1)*n]
			copy(v, x[1:])
			e[j], q.tau[j] = reflect(v)
			// w = tau A v - (tau^2 v^T A v / 2) v.
			blas64.Gemv(blas.NoTrans, 1, blas64.General{Rows: length, Cols: length, Stride: n, Data: a[(j+1)*n+j+1:]}, vector(v), 0, vector(w))
			if k > 0 {
				vs := blas64.General{Rows: k, Cols: length, Stride: n, Data: q.vectors[from*n+j+1:]}
				ws := blas64.General{Rows: k, Cols: length, Stride: n, Data: updates[j+1:]}
				blas64.Gemv(blas.NoTrans, 1, ws, vector(v), 0, vector(first[:k]))
				blas64.Gemv(blas.NoTrans, 1, vs, vector(v), 0, vector(second[:k]))
				blas64.Gemv(blas.Trans, -1, vs, vector(first[:k]), 1, vector(w))
				blas64.Gemv(blas.Trans, -1, ws, vector(second[:k]), 1, vector(w))
			}
			blas64.Scal(q.tau[j], vector(w))
			blas64.Axpy(-q.tau[j]/2*blas64.Dot(vector(w), vector(v)), vector(v), vector(w))
		}
		at := from + size
		vs := blas64.General{Rows: size, Cols: n - at, Stride: n, Data: q.vectors[from*n+at:]}
		ws := blas64.General{Rows: size, Cols: n - at, Stride: n, Data: updates[at:]}
		rest := blas64.General{Rows: n - at, Cols: n - at, Stride: n, Data: a[at*n+at:]}
		blas64.Gemm(blas.Trans, blas.NoTrans, -1, vs, ws, 1, rest)
		blas64.Gemm(blas.Trans, blas.NoTrans, -1, ws, vs, 1, rest)
	}
	d[n-2], e[n-2], d[n-1] = a[(n-2)*n+n-2], a[(n-2)*n+n-1], a[n*n-1]
	return q
}

// reflect turns x into the v, v_0 = 1, of the reflection I - tau v v^T that takes x to a multiple of the first unit vector.
func reflect(x []float64) (multiple, tau float64) {
	rest := blas64.Nrm2(vector(x[1:]))
	if rest == 0 {
		multiple, x[0] = x[0], 1
		return multiple, 0
	}
	multiple = -math.Copysign(math.Hypot(x[0], rest), x[0])
	tau = (multiple - x[0]) / multiple
	blas64.Scal(1/(x[0]-multiple), vector(x[1:]))
	x[0] = 1
	return multiple, tau
}

// apply replaces the rows y of the n x n matrix by Q y, a panel of reflections at a time in the form I - V^T T V (Schreiber,
// Van Loan, SIAM J. Sci. Stat. Comput. 10, 1989).
func (q reflections) apply(rows []float64) {
	n, count := q.n, len(q.tau)
	product, turned := make([]float64, n*panel), make([]float64, n*panel)
	for from := (count - 1) / panel * panel; from >= 0 && count > 0; from -= panel {
		size := min(panel, count-from)
		length := n - from - 1
		vs := blas64.General{Rows: size, Cols: length, Stride: n, Data: q.vectors[from*n+from+1:]}
		triangle := blas64.General{Rows: size, Cols: size, Stride: size, Data: make([]float64, size*size)}
		gram := blas64.General{Rows: size, Cols: size, Stride: size, Data: make([]float64, size*size)}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, vs, vs, 0, gram)
		for k := range size {
			tau := q.tau[from+k]
			for r := range k {
				sum := 0.0
				for l := r; l < k; l++ {
					sum += triangle.Data[r*size+l] * gram.Data[l*size+k]
				}
				triangle.Data[r*size+k] = -tau * sum
			}
			triangle.Data[k*size+k] = tau
		}
		part := blas64.General{Rows: n, Cols: length, Stride: n, Data: rows[from+1:]}
		p := blas64.General{Rows: n, Cols: size, Stride: size, Data: product[:n*size]}
		t := blas64.General{Rows: n, Cols: size, Stride: size, Data: turned[:n*size]}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, part, vs, 0, p)
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, p, triangle, 0, t)
		blas64.Gemm(blas.NoTrans, blas.NoTrans, -1, t, vs, 1, part)
	}
}

func vector(x []float64) blas64.Vector { return blas64.Vector{N: len(x), Inc: 1, Data: x} }
