package rankone

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// Diagonalize moves candidates for linearly independent vectors c, as [Eigenvectors] returns them, to where they
// diagonalise all of W at once: with C the matrix they are the columns of, C^-1 E_k C^-T is to have as little as possible
// off its diagonal, for all k. Eigenvectors of two elements see two of them; noise averages out over m. It is the
// quasi-Newton method of Ziehe, Laskov, Nolte and Müller, "A fast algorithm for joint diagonalization with non-orthogonal
// transformations", J. Mach. Learn. Res. 5 (2004), which asks nothing of the matrices' signs: the Hessian is taken where
// all are diagonal, and falls into 2 x 2 blocks. An iteration is two products with all elements at once.
//
// It returns the number of iterations, and the flops of their products; where the candidates are dependent to rounding they
// stay as they are.
func Diagonalize(ctx context.Context, space *Space, candidates [][]float64) (iterations int, flops float64, err error) {
	const (
		most  = 30   // iterations
		near  = 1e-3 // the largest entry of a step that leaves the rest to the polish
		trust = 0.5  // the largest Frobenius norm of a step: C must stay invertible
	)
	d, m, r := space.D, space.M, len(candidates)
	if r < 2 {
		return 0, 0, nil
	}
	columns := mat.NewDense(d, r, nil)
	for k, x := range candidates {
		columns.SetCol(k, x)
	}
	inverse := mat.NewDense(r, d, nil)
	if err := inverse.Solve(columns, eye(d)); err != nil || !finite(inverse.RawMatrix().Data) {
		return 0, 0, nil
	}
	// Row i of C^-1 E_1 C^-T, row i of C^-1 E_2 C^-T, ..., for i = 1..r; and with a step on the left alone.
	elements, half := make([]float64, m*r*r), make([]float64, m*r*r)
	left := blas64.General{Rows: r, Cols: m * d, Stride: m * d, Data: make([]float64, r*m*d)}
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, inverse.RawMatrix(), blas64.General{Rows: d, Cols: m * d, Stride: m * d, Data: space.aside}, 0, left)
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, blas64.General{Rows: r * m, Cols: d, Stride: d, Data: left.Data}, inverse.RawMatrix(), 0,
		blas64.General{Rows: r * m, Cols: r, Stride: r, Data: elements})
	flops = 2 * float64(r) * float64(m) * float64(d) * float64(d+r)

	diagonals := blas64.General{Rows: m, Cols: r, Stride: r, Data: make([]float64, m*r)}
	inner := blas64.General{Rows: r, Cols: r, Stride: r, Data: make([]float64, r*r)}
	cross, step := make([]float64, r*r), mat.NewDense(r, r, nil)
	for ; iterations < most; iterations++ {
		if err := ctx.Err(); err != nil {
			return iterations, flops, err
		}
		for k := range m {
			for i := range r {
				diagonals.Data[k*r+i] = elements[(i*m+k)*r+i]
			}
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, 1, diagonals, diagonals, 0, inner)
		clear(cross) // sum over k of entry (i, j) times that on the diagonal of j
		for i := range r {
			row := cross[i*r : (i+1)*r]
			for k := range m {
				entries, diagonal := elements[(i*m+k)*r:][:r], diagonals.Data[k*r:][:r]
				for j, v := range entries {
					row[j] += v * diagonal[j]
				}
			}
		}
		largest, norm := 0.0, 0.0
		for i := range r {
			step.Set(i, i, 0)
			for j := range r {
				if i == j {
					continue
				}
				zi, zj, z := inner.Data[i*r+i], inner.Data[j*r+j], inner.Data[i*r+j]
				determinant := zi*zj - z*z
				w := 0.0
				if determinant > 1e-12*zi*zj { // else the two are one to all elements
					w = (z*cross[j*r+i] - zi*cross[i*r+j]) / determinant
				}
				step.Set(i, j, w)
				largest, norm = math.Max(largest, math.Abs(w)), norm+w*w
			}
		}
		if !(norm < math.Inf(1)) || largest < 1e-14 {
			break
		}
		if norm = math.Sqrt(norm); norm > trust {
			step.Scale(trust/norm, step)
		}
		for i := range r {
			step.Set(i, i, 1)
		}
		// C^-1 becomes (1 + W) C^-1, its rows as long as to keep the sums of squares of the diagonals at one.
		for i := range r {
			row := step.RawRowView(i)
			blas64.Scal(1/math.Pow(math.Max(inner.Data[i*r+i], 1e-300), 0.25), vector(row))
		}
		var next mat.Dense
		next.Mul(step, inverse)
		inverse.Copy(&next)
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, step.RawMatrix(), blas64.General{Rows: r, Cols: m * r, Stride: m * r, Data: elements}, 0,
			blas64.General{Rows: r, Cols: m * r, Stride: m * r, Data: half})
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, blas64.General{Rows: r * m, Cols: r, Stride: r, Data: half}, step.RawMatrix(), 0,
			blas64.General{Rows: r * m, Cols: r, Stride: r, Data: elements})
		flops += 4*float64(r*r)*float64(r*m) + 2*float64(r*r)*float64(m+d)
		if largest < near {
			iterations++
			break
		}
	}
	if iterations == 0 || !finite(inverse.RawMatrix().Data) {
		return iterations, flops, nil
	}
	if err := columns.Solve(inverse, eye(r)); err != nil || !finite(columns.RawMatrix().Data) {
		return iterations, flops, nil
	}
	for k, x := range candidates {
		mat.Col(x, k, columns)
		Normalize(x)
	}
	return iterations, flops, nil
}

func eye(n int) *mat.Dense {
	identity := mat.NewDense(n, n, nil)
	for i := range n {
		identity.Set(i, i, 1)
	}
	return identity
}

func finite(values []float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// Deficits returns the deficits of the vectors, ascending.
func (s *Space) Deficits(xs [][]float64) []float64 {
	batch := NewBatch(s, xs)
	batch.project()
	deficits := make([]float64, len(xs))
	for k, value := range batch.Value {
		deficits[k] = 1 - value
	}
	slices.Sort(deficits)
	return deficits
}
