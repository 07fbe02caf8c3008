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
}

// NewSpace checks the problem and lays out its basis.
func NewSpace(problem core.Problem) (*Space, error) {
	if err := problem.Check(); err != nil {
		return nil, err
	}
	d := problem.Dim
	_, m := problem.Basis.Dims()
	s := &Space{D: d, M: m, elements: make([]float64, m*d*d)}
	for i := range d {
		for j := range d {
			there, back := problem.Basis.RawRowView(i*d+j), problem.Basis.RawRowView(j*d+i)
			for k := range m {
				s.elements[k*d*d+i*d+j] = (there[k] + back[k]) / 2
			}
		}
	}
	return s, nil
}

// FromMatrices returns the space spanned by orthonormal symmetric matrices of order d, given one after the other.
func FromMatrices(d int, elements []float64) *Space {
	return &Space{D: d, M: len(elements) / (d * d), elements: elements}
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
	stacked := make([]float64, s.M*s.D)
	blas64.Gemv(blas.NoTrans, 1, s.Stack(), vector(x), 0, vector(stacked))
	y := make([]float64, s.M)
	image := blas64.General{Rows: s.M, Cols: s.D, Stride: s.D, Data: stacked}
	blas64.Gemv(blas.NoTrans, 1, image, vector(x), 0, vector(y))
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
