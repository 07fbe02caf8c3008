package fastblas

import (
	"runtime"
	"sync"

	"gonum.org/v1/gonum/blas"
)

// A tile of C is tall x wide. Panels of a and b are depth long, so that a panel of b (24 KiB) stays in the first level
// cache; rows x depth of a (192 KiB) stay in the second, depth x columns of b (1.5 MiB) in the third.
const (
	tall    = 4
	wide    = 12
	depth   = 256
	rows    = 96
	columns = 768
)

const (
	// small is the number of multiplications below which packing costs more than it saves.
	small = 1000
	// parallel is the number of multiplications that a goroutine is worth: about 50 microseconds.
	parallel = 1 << 20
)

// operand is a matrix as it lies in memory, transposed or not.
type operand struct {
	data       []float64
	stride     int
	transposed bool
}

func (o operand) from(row, column int) operand {
	if o.transposed {
		row, column = column, row
	}
	o.data = o.data[row*o.stride+column:]
	return o
}

// Dgemm computes C = beta C + alpha op(A) op(B).
func (i Implementation) Dgemm(tA, tB blas.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	if m < 2 || n < 2 || k < 2 || m*n*k < small || alpha == 0 {
		i.thin(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	left, right := operand{a, lda, tA != blas.NoTrans}, operand{b, ldb, tB != blas.NoTrans}
	checkOperand(tA, m, k, len(a), lda, shortA, badLdA)
	checkOperand(tB, k, n, len(b), ldb, shortB, badLdB)
	checkOperand(blas.NoTrans, m, n, len(c), ldc, shortC, badLdC)
	scale(beta, m, n, c, ldc)

	workers := min(runtime.GOMAXPROCS(0), m*n*k/parallel)
	if workers < 2 {
		multiply(alpha, left, right, c, ldc, m, n, k)
		return
	}
	// Strips of C, each whole tiles long. An entry is the same sum in the same order, whichever strip it is in.
	across := n > m
	length, unit := m, tall
	if across {
		length, unit = n, wide
	}
	strip := ((length+workers-1)/workers + unit - 1) / unit * unit
	var group sync.WaitGroup
	for at := 0; at < length; at += strip {
		group.Go(func() {
			size := min(strip, length-at)
			if across {
				multiply(alpha, left, right.from(0, at), c[at:], ldc, m, size, k)
			} else {
				multiply(alpha, left.from(at, 0), right, c[at*ldc:], ldc, size, n, k)
			}
		})
	}
	group.Wait()
}

// thin is Dgemm for what has no tiles.
func (i Implementation) thin(tA, tB blas.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	if m*n*k >= small && alpha != 0 {
		switch {
		case n == 1 && k > 1:
			incX := 1
			if tB == blas.NoTrans {
				incX = ldb
			}
			if tA == blas.NoTrans {
				i.Dgemv(blas.NoTrans, m, k, alpha, a, lda, b, incX, beta, c, ldc)
			} else {
				i.Dgemv(blas.Trans, k, m, alpha, a, lda, b, incX, beta, c, ldc)
			}
			return
		case m == 1 && k > 1:
			incX := 1
			if tA != blas.NoTrans {
				incX = lda
			}
			if tB == blas.NoTrans {
				i.Dgemv(blas.Trans, k, n, alpha, b, ldb, a, incX, beta, c, 1)
			} else {
				i.Dgemv(blas.NoTrans, n, k, alpha, b, ldb, a, incX, beta, c, 1)
			}
			return
		}
	}
	i.Implementation.Dgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// scale multiplies C by beta; zero erases even what is not finite.
func scale(beta float64, m, n int, c []float64, ldc int) {
	if beta == 1 {
		return
	}
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if beta == 0 {
			clear(row)
			continue
		}
		for j := range row {
			row[j] *= beta
		}
	}
}

// workspace holds the packed parts of a and b.
type workspace struct {
	a [rows * depth]float64
	b [columns * depth]float64
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// multiply adds alpha A B to C on one core.
func multiply(alpha float64, a, b operand, c []float64, ldc, m, n, k int) {
	space := workspaces.Get().(*workspace)
	defer workspaces.Put(space)
	for j := 0; j < n; j += columns {
		nj := min(columns, n-j)
		for l := 0; l < k; l += depth {
			kl := min(depth, k-l)
			packRight(b.from(l, j), kl, nj, space.b[:])
			for i := 0; i < m; i += rows {
				mi := min(rows, m-i)
				packLeft(alpha, a.from(i, l), mi, kl, space.a[:])
				block(space, c[i*ldc+j:], ldc, mi, nj, kl)
			}
		}
	}
}

// block adds the product of what is packed to an m x n part of C.
func block(space *workspace, c []float64, ldc, m, n, k int) {
	var edge [tall * wide]float64
	for j := 0; j < n; j += wide {
		panel := &space.b[j*k]
		for i := 0; i < m; i += tall {
			if m-i >= tall && n-j >= wide {
				tileAVX2(k, &space.a[i*k], panel, &c[i*ldc+j], ldc)
				continue
			}
			// As in a whole tile: the sum first, then the addition to C, so that edges do not round otherwise.
			clear(edge[:])
			tileAVX2(k, &space.a[i*k], panel, &edge[0], wide)
			for r := range min(tall, m-i) {
				row := c[(i+r)*ldc+j:]
				for s := range min(wide, n-j) {
					row[s] += edge[r*wide+s]
				}
			}
		}
	}
}

// packLeft stores alpha A (m x k) in panels of tall rows, column by column, the last filled up with zeros.
func packLeft(alpha float64, a operand, m, k int, into []float64) {
	for i := 0; i < m; i += tall {
		panel := into[i*k : (i+tall)*k]
		if m-i < tall {
			clear(panel)
			for r := range m - i {
				for l := range k {
					panel[l*tall+r] = alpha * a.at(i+r, l)
				}
			}
			continue
		}
		if a.transposed {
			for l := range k {
				row, out := a.data[l*a.stride+i:][:tall], panel[l*tall:][:tall]
				out[0], out[1], out[2], out[3] = alpha*row[0], alpha*row[1], alpha*row[2], alpha*row[3]
			}
			continue
		}
		first, second := a.data[i*a.stride:][:k], a.data[(i+1)*a.stride:][:k]
		third, fourth := a.data[(i+2)*a.stride:][:k], a.data[(i+3)*a.stride:][:k]
		for l := range k {
			out := panel[l*tall:][:tall]
			out[0], out[1], out[2], out[3] = alpha*first[l], alpha*second[l], alpha*third[l], alpha*fourth[l]
		}
	}
}

// packRight stores B (k x n) in panels of wide columns, row by row, the last filled up with zeros.
func packRight(b operand, k, n int, into []float64) {
	for j := 0; j < n; j += wide {
		panel := into[j*k : (j+wide)*k]
		count := min(wide, n-j)
		switch {
		case !b.transposed && count == wide:
			packAVX2(k, &b.data[j], b.stride, &panel[0])
		case !b.transposed:
			for l := range k {
				out := panel[l*wide:][:wide]
				clear(out[copy(out, b.data[l*b.stride+j:][:count]):])
			}
		default:
			if count < wide {
				clear(panel)
			}
			for c := range count {
				for l, v := range b.data[(j+c)*b.stride:][:k] {
					panel[l*wide+c] = v
				}
			}
		}
	}
}

func (o operand) at(row, column int) float64 {
	if o.transposed {
		row, column = column, row
	}
	return o.data[row*o.stride+column]
}

// Messages as gonum's.
const (
	badTranspose = "blas: illegal transpose"
	badLdA       = "blas: bad leading dimension of A"
	badLdB       = "blas: bad leading dimension of B"
	badLdC       = "blas: bad leading dimension of C"
	shortA       = "blas: insufficient length of a"
	shortB       = "blas: insufficient length of b"
	shortC       = "blas: insufficient length of c"
)

// checkOperand panics where a matrix, r x c or its transpose, does not fit its memory, as BLAS does on a programmer's error.
func checkOperand(t blas.Transpose, r, c, length, stride int, short, bad string) {
	switch t {
	case blas.NoTrans:
	case blas.Trans, blas.ConjTrans:
		r, c = c, r
	default:
		panic(badTranspose)
	}
	if stride < max(1, c) {
		panic(bad)
	}
	if length < stride*(r-1)+c {
		panic(short)
	}
}
