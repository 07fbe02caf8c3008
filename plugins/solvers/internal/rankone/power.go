package rankone

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// Batch is a set of unit vectors that take the power iteration together, one vector a row, so that the work is two
// products of matrices.
type Batch struct {
	space    *Space
	view     view
	X        [][]float64
	Value    []float64 // F at X before the last step
	Movement []float64 // how far the last step moved X
	squares  []float64 // n x d(d+1)/2
	y        []float64 // n x m
	next     []float64 // d
	flops    float64   // of matrix products so far
}

// Flops returns the floating point operations of the products so far.
func (b *Batch) Flops() float64 { return b.flops }

// NewBatch returns a batch of the given unit vectors, which it changes in place.
func NewBatch(space *Space, x [][]float64) *Batch {
	return &Batch{
		space: space, view: space.whole, X: x, Value: make([]float64, len(x)), Movement: make([]float64, len(x)),
		squares: make([]float64, len(x)*packedLength(space.D)), y: make([]float64, len(x)*space.M), next: make([]float64, space.D),
	}
}

// BatchSize returns how many vectors to iterate together: enough for an efficient product, few enough that one
// iteration takes some tens of milliseconds, so that a search can be stopped.
func BatchSize(space *Space) int {
	return min(96, max(4, 100_000_000/(space.M*space.D*space.D+1)))
}

// Starts returns a batch of n unit vectors close to eigenvectors of random elements of the part of W that the collector
// leaves (all of W with whole), and makes the batch ascend there, until [Batch.Widen]: F restricted to that part is zero at
// what was found, so that the batch goes elsewhere. A few products with the element lead from a random vector most of the
// way to an extreme eigenvector, at a fraction of the cost of an eigendecomposition.
func (c *Collector) Starts(random *rand.Rand, n int, whole bool) *Batch {
	s := c.space
	d, p := s.D, packedLength(s.D)
	v := s.whole
	if !whole {
		v = c.rest()
	}
	b := NewBatch(s, make([][]float64, n))
	b.view = v
	y := Gaussian(random, n*v.m)
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, blas64.General{Rows: n, Cols: v.m, Stride: v.m, Data: y}, v.byRow(p), 0, b.packed(n))
	b.flops += 2*float64(n)*float64(v.m)*float64(p) + 24*float64(n*d*d)
	if v.m < s.M { // the view itself
		b.flops += 4 * float64(s.M) * float64(v.m) * float64(p)
	}
	element := blas64.General{Rows: d, Cols: d, Stride: d, Data: make([]float64, d*d)}
	for i := range b.X {
		x := Gaussian(random, d)
		unpack(b.squares[i*p:(i+1)*p], d, element.Data)
		for range 12 {
			blas64.Gemv(blas.NoTrans, 1, element, vector(x), 0, vector(b.next))
			copy(x, b.next)
			Normalize(x)
		}
		if Normalize(x) == 0 {
			x = make([]float64, d)
			x[i%d] = 1
		}
		b.X[i] = x
	}
	return b
}

// Widen makes the batch ascend in all of W.
func (b *Batch) Widen() { b.view = b.space.whole }

// Step does one iteration of the subspace power method for every vector, x <- normalise(P_W(x x^T) x + gamma x)
// (Kileel, Pereira, arXiv 1912.04007, algorithm 1 for matrices), with gamma = sqrt(F (1-F)).
//
// Why this gamma: for a unit y orthogonal to x, with P = P_W(x x^T), |P|^2 = x^T P x = F, so
// F >= F^2 + (y^T P y)^2, hence y^T P y >= -sqrt(F (1-F)). The Hessian of F is 4 (2 sum_k E_k x x^T E_k + P), so the
// shifted function is convex along the sphere at x and the step ascends; near a solution gamma goes to zero, and the
// convergence is faster than with a constant shift.
func (b *Batch) Step() {
	p := packedLength(b.space.D)
	b.project()
	for i, x := range b.X {
		value := b.Value[i]
		packedTimes(b.squares[i*p:(i+1)*p], x, b.next)
		gamma := math.Sqrt(max(0, value*(1-value)))
		blas64.Axpy(gamma, vector(x), vector(b.next))
		if Normalize(b.next) == 0 { // x is orthogonal to all of W: nowhere to go from here
			b.Movement[i] = 0
			continue
		}
		b.Movement[i] = Distance(x, b.next)
		copy(x, b.next)
	}
}

// Alternate does one alternating projection for every vector: x becomes the unit eigenvector of the largest eigenvalue of
// P_W(x x^T), the closest matrix in W, found by products from x on until a product moves it by less than tolerance.
func (b *Batch) Alternate(tolerance float64) {
	d, p := b.space.D, packedLength(b.space.D)
	b.project()
	matrix := blas64.General{Rows: d, Cols: d, Stride: d, Data: make([]float64, d*d)}
	old := make([]float64, d)
	for i, x := range b.X {
		unpack(b.squares[i*p:(i+1)*p], d, matrix.Data)
		copy(old, x)
		for range 50 {
			// With the shift F >= 0 of every eigenvalue the largest one also has the largest magnitude, or nearly so.
			copy(b.next, x)
			blas64.Gemv(blas.NoTrans, 1, matrix, vector(x), b.Value[i]/4, vector(b.next))
			if Normalize(b.next) == 0 {
				break
			}
			b.flops += 2 * float64(d*d)
			moved := Distance(x, b.next)
			copy(x, b.next)
			if moved < tolerance {
				break
			}
		}
		b.Movement[i] = Distance(x, old)
	}
}

// project puts F into Value and the packed P_W(x x^T) into squares.
func (b *Batch) project() {
	n, m, p := len(b.X), b.view.m, packedLength(b.space.D)
	if n == 0 {
		return
	}
	for i, x := range b.X {
		packSquare(x, b.squares[i*p:(i+1)*p])
	}
	b.flops += 4 * float64(n) * float64(p) * float64(m+1) // and one for the products with x
	squares, y := b.packed(n), blas64.General{Rows: n, Cols: m, Stride: m, Data: b.y[:n*m]}
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, squares, b.view.byColumn(p), 0, y)
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, y, b.view.byRow(p), 0, squares)
	for i := range b.X {
		coordinates := vector(b.y[i*m : (i+1)*m])
		b.Value[i] = blas64.Dot(coordinates, coordinates)
	}
}

func (b *Batch) packed(n int) blas64.General {
	p := packedLength(b.space.D)
	return blas64.General{Rows: n, Cols: p, Stride: p, Data: b.squares[:n*p]}
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

// Merge drops every vector that has come close to an earlier one of the batch, and returns how many: they have the same
// maximum before them.
func (b *Batch) Merge() int {
	const close = 0.98 // the cosine
	keep := make([]bool, len(b.X))
	dropped := 0
	for i := range b.X {
		keep[i] = true
		for j := range i {
			if keep[j] && math.Abs(blas64.Dot(vector(b.X[i]), vector(b.X[j]))) > close {
				keep[i] = false
				dropped++
				break
			}
		}
	}
	b.Keep(keep)
	return dropped
}
