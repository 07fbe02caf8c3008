package rankone

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// Batch is a set of unit vectors that take the power iteration together, one vector a row, so that the work is one
// matrix product.
type Batch struct {
	space    *Space
	X        [][]float64
	Value    []float64 // F at X before the last step
	Movement []float64 // how far the last step moved X
	points   []float64 // n x d
	images   []float64 // n x m*d
}

// NewBatch returns a batch of the given unit vectors, which it changes in place.
func NewBatch(space *Space, x [][]float64) *Batch {
	return &Batch{
		space: space, X: x, Value: make([]float64, len(x)), Movement: make([]float64, len(x)),
		points: make([]float64, len(x)*space.D), images: make([]float64, len(x)*space.D*space.M),
	}
}

// BatchSize returns how many vectors to iterate together: enough for an efficient product, few enough that one
// iteration takes some tens of milliseconds, so that a search can be stopped.
func BatchSize(space *Space) int {
	return min(48, max(4, 50_000_000/(space.M*space.D*space.D+1)))
}

// Step does one iteration of the subspace power method for every vector, x <- normalise(P_W(x x^T) x + gamma x)
// (Kileel, Pereira, arXiv 1912.04007, algorithm 1 for matrices), with gamma = sqrt(F (1-F)).
//
// Why this gamma: for a unit y orthogonal to x, with P = P_W(x x^T), |P|^2 = x^T P x = F, so
// F >= F^2 + (y^T P y)^2, hence y^T P y >= -sqrt(F (1-F)). The Hessian of F is 4 (2 sum_k E_k x x^T E_k + P), so the
// shifted function is convex along the sphere at x and the step ascends; near a solution gamma goes to zero, and the
// convergence is faster than with a constant shift.
func (b *Batch) Step() {
	n, d, m := len(b.X), b.space.D, b.space.M
	if n == 0 {
		return
	}
	for i, x := range b.X {
		copy(b.points[i*d:], x)
	}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, blas64.General{Rows: n, Cols: d, Stride: d, Data: b.points},
		b.space.Stack(), 0, blas64.General{Rows: n, Cols: m * d, Stride: m * d, Data: b.images[:n*m*d]})
	y := make([]float64, m)
	for i, x := range b.X {
		image := blas64.General{Rows: m, Cols: d, Stride: d, Data: b.images[i*m*d : (i+1)*m*d]}
		blas64.Gemv(blas.NoTrans, 1, image, vector(x), 0, vector(y))
		value := blas64.Dot(vector(y), vector(y))
		b.Value[i] = value
		gamma := math.Sqrt(max(0, value*(1-value)))
		old := b.points[i*d : (i+1)*d]
		blas64.Gemv(blas.Trans, 1, image, vector(y), gamma, vector(x))
		if Normalize(x) == 0 { // x is orthogonal to all of W: nowhere to go from here
			copy(x, old)
		}
		b.Movement[i] = Distance(x, old)
	}
}

// Keep drops every vector for which keep is false.
func (b *Batch) Keep(keep []bool) {
	n := 0
	for i := range b.X {
		if keep[i] {
			b.X[n], b.Value[n], b.Movement[n] = b.X[i], b.Value[i], b.Movement[i]
			n++
		}
	}
	b.X = b.X[:n]
}
