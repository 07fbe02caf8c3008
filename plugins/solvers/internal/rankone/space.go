// Package rankone holds what the built-in solvers share: a subspace W of symmetric matrices in the layout their matrix
// products want, the function F(x) = |P_W(x x^T)|_F^2 with its derivatives, Newton's method on it, and the collection
// of what was found.
//
// W has dimension m and lies in the symmetric matrices of order d; E_1..E_m is its orthonormal basis, P_W the
// orthogonal projection. A unit vector w belongs to a rank-one matrix in W exactly when F(w) = 1. We call 1 - F the
// deficit.
package rankone

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
)

// Space is W, read-only once made.
type Space struct {
	D, M int
	// elements is E_1..E_m one after the other, row by row: m x d^2 as coordinates, m*d x d as a stack of matrices.
	elements []float64
	whole    view
	// aside is row j of E_1, row j of E_2, ..., for j = 1..d: d x m*d, so that X times it holds all E_k x.
	aside []float64
}

// view is W or a part of it in packed coordinates, once for each of the two products a step takes: a symmetric matrix is
// its upper triangle row by row, entries off the diagonal times sqrt(2).
type view struct {
	m             int
	rows, columns []float64 // m x d(d+1)/2 and its transpose
}

// NewSpace checks the problem and lays out its basis.
func NewSpace(problem core.Problem) (*Space, error) {
	if err := problem.Check(); err != nil {
		return nil, err
	}
	d := problem.Dim
	_, m := problem.Basis.Dims()
	elements := make([]float64, m*d*d)
	for i := range d {
		for j := range d {
			there, back := problem.Basis.RawRowView(i*d+j), problem.Basis.RawRowView(j*d+i)
			for k := range m {
				elements[k*d*d+i*d+j] = (there[k] + back[k]) / 2
			}
		}
	}
	return FromMatrices(d, elements), nil
}

// FromMatrices returns the space spanned by orthonormal symmetric matrices of order d, given one after the other.
func FromMatrices(d int, elements []float64) *Space {
	m, p := len(elements)/(d*d), packedLength(d)
	s := &Space{
		D: d, M: m, elements: elements, aside: make([]float64, m*d*d),
		whole: view{m: m, rows: make([]float64, m*p), columns: make([]float64, m*p)},
	}
	for k := range m {
		element := elements[k*d*d : (k+1)*d*d]
		row := s.whole.rows[k*p : (k+1)*p]
		at := 0
		for i := range d {
			copy(s.aside[i*m*d+k*d:], element[i*d:(i+1)*d])
			row[at] = element[i*d+i]
			at++
			for _, v := range element[i*d+i+1 : (i+1)*d] {
				row[at] = math.Sqrt2 * v
				at++
			}
		}
		for at, v := range row {
			s.whole.columns[at*m+k] = v
		}
	}
	return s
}

func packedLength(d int) int { return d * (d + 1) / 2 }

// part returns the view of the elements with coordinates in the span of the rows of q (n x m, orthonormal).
func (s *Space) part(q blas64.General) view {
	p := packedLength(s.D)
	v := view{m: q.Rows, rows: make([]float64, q.Rows*p), columns: make([]float64, q.Rows*p)}
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, q, s.whole.byRow(p), 0, v.byRow(p))
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, s.whole.byColumn(p), q, 0, v.byColumn(p))
	return v
}

func (v view) byRow(p int) blas64.General {
	return blas64.General{Rows: v.m, Cols: p, Stride: p, Data: v.rows}
}

func (v view) byColumn(p int) blas64.General {
	return blas64.General{Rows: p, Cols: v.m, Stride: v.m, Data: v.columns}
}

// packSquare stores x x^T in packed coordinates.
func packSquare(x, into []float64) {
	at := 0
	for i, v := range x {
		into[at] = v * v
		at++
		w := math.Sqrt2 * v
		rest := x[i+1:]
		out := into[at : at+len(rest)]
		for j, u := range rest {
			out[j] = w * u
		}
		at += len(rest)
	}
}

// packedTimes stores the packed symmetric matrix a times x.
func packedTimes(a, x, into []float64) {
	clear(into)
	at := 0
	for i, v := range x {
		sum := a[at] * v
		at++
		rest := x[i+1:]
		row, out := a[at:at+len(rest)], into[i+1:][:len(rest)]
		w, half := v*(1/math.Sqrt2), 0.0
		for j, u := range rest {
			half += row[j] * u
			out[j] += row[j] * w
		}
		into[i] += sum + half*(1/math.Sqrt2)
		at += len(rest)
	}
}

// unpack stores the packed symmetric matrix as d x d.
func unpack(a []float64, d int, into []float64) {
	at := 0
	for i := range d {
		into[i*d+i] = a[at]
		at++
		for j := i + 1; j < d; j++ {
			v := a[at] * (1 / math.Sqrt2)
			into[i*d+j], into[j*d+i] = v, v
			at++
		}
	}
}

// Coordinates returns the basis as an m x d^2 matrix that shares the space's memory.
func (s *Space) Coordinates() blas64.General {
	return blas64.General{Rows: s.M, Cols: s.D * s.D, Stride: s.D * s.D, Data: s.elements}
}

// Stack returns the basis as an m*d x d matrix that shares the space's memory.
func (s *Space) Stack() blas64.General {
	return blas64.General{Rows: s.M * s.D, Cols: s.D, Stride: s.D, Data: s.elements}
}

// Element returns sum_k y_k E_k, d x d.
func (s *Space) Element(y []float64) *mat.SymDense {
	data := make([]float64, s.D*s.D)
	blas64.Gemv(blas.Trans, 1, s.Coordinates(), vector(y), 0, vector(data))
	return mat.NewSymDense(s.D, data)
}

// Project returns the coordinates (length m) of P_W(x x^T).
func (s *Space) Project(x []float64) []float64 {
	p := packedLength(s.D)
	square, y := make([]float64, p), make([]float64, s.M)
	packSquare(x, square)
	blas64.Gemv(blas.NoTrans, 1, s.whole.byRow(p), vector(square), 0, vector(y))
	return y
}

// Range returns an orthonormal basis (d x r) of the r = min(m, rank) leading directions of the columns of all matrices
// in W. When W is spanned by m <= d rank-one matrices, they lie in it; directions that only rounding or noise fills
// come last and are cut.
func (s *Space) Range() *mat.Dense {
	square := make([]float64, s.D*s.D)
	blas64.Syrk(blas.Trans, 1, s.Stack(), 0, blas64.Symmetric{N: s.D, Stride: s.D, Data: square, Uplo: blas.Upper})
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(s.D, square), true) {
		return nil
	}
	values := eigen.Values(nil) // ascending
	rank := 0
	for rank < min(s.M, s.D) && values[s.D-1-rank] > 1e-13*values[s.D-1] {
		rank++
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	leading := mat.NewDense(s.D, rank, nil)
	for k := range rank {
		for i := range s.D {
			leading.Set(i, k, vectors.At(i, s.D-1-k))
		}
	}
	return leading
}

// Orthonormalize replaces the columns by an orthonormal basis of their span: Cholesky QR, thrice for what is lost of
// orthogonality before (Fukaya et al., SIAM J. Sci. Comput. 42, 2020). It reports false where they are linearly dependent
// to rounding.
func Orthonormalize(columns *mat.Dense) bool {
	raw := columns.RawMatrix()
	for round := range 3 {
		gram := mat.NewSymDense(raw.Cols, nil)
		blas64.Syrk(blas.Trans, 1, raw, 0, gram.RawSymmetric())
		for i := 0; i < raw.Cols && round == 0; i++ {
			gram.SetSym(i, i, gram.At(i, i)*(1+1e-15*float64(raw.Cols)))
		}
		var cholesky mat.Cholesky
		if !cholesky.Factorize(gram) {
			return false
		}
		var upper mat.TriDense
		cholesky.UTo(&upper)
		blas64.Trsm(blas.Right, blas.NoTrans, 1, upper.RawTriangular(), raw)
	}
	return true
}

// Top returns the unit eigenvector of a symmetric matrix whose eigenvalue has the largest magnitude, and that eigenvalue.
func Top(symmetric *mat.SymDense) ([]float64, float64) {
	var eigen mat.EigenSym
	if !eigen.Factorize(symmetric, true) {
		return nil, 0
	}
	values := eigen.Values(nil)
	at := 0
	if last := len(values) - 1; math.Abs(values[last]) >= math.Abs(values[0]) {
		at = last
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	return mat.Col(nil, at, &vectors), values[at]
}

// Random returns the stream of random numbers that belongs to a seed and to one purpose within a solver.
func Random(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// Gaussian returns n independent standard normal numbers.
func Gaussian(random *rand.Rand, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = random.NormFloat64()
	}
	return values
}

// Normalize scales x to unit length and returns the length it had; a zero or non-finite x stays as it is, and 0 is returned.
func Normalize(x []float64) float64 {
	length := blas64.Nrm2(vector(x))
	if length == 0 || math.IsNaN(length) || math.IsInf(length, 0) {
		return 0
	}
	blas64.Scal(1/length, vector(x))
	return length
}

// Distance returns min(|x-z|, |x+z|), which unlike 1 - |x.z| is accurate for close unit vectors.
func Distance(x, z []float64) float64 {
	var minus, plus float64
	for i := range x {
		minus += (x[i] - z[i]) * (x[i] - z[i])
		plus += (x[i] + z[i]) * (x[i] + z[i])
	}
	return math.Sqrt(min(minus, plus))
}

func vector(x []float64) blas64.Vector { return blas64.Vector{N: len(x), Inc: 1, Data: x} }
