// Package kernel finds the rank-one matrices of a subspace algebraically.
//
// A matrix has rank one exactly when its 2 x 2 minors vanish. Polarised, the minors are a bilinear map
//
//	Phi(A, B)_ijkl = a_ij b_kl + b_ij a_kl - a_il b_kj - b_il a_kj,
//
// linear in symmetric m x m matrices C by Phi(C) = sum_kl C_kl Phi(E_k, E_l). If M = sum_k alpha_k E_k has rank one, then
// C = alpha alpha^T is in its kernel. For rank-one matrices in general position that span W, the kernel is spanned by
// exactly these, one for each, and their alpha are linearly independent: it is the same problem again, with m vectors of
// length m, which generalised eigenvectors solve without any search. See De Lathauwer, SIAM J. Matrix Anal. Appl. 28
// (2006), "A link between the canonical decomposition in multilinear algebra and simultaneous matrix diagonalization",
// and Johnston, Lovitz, Vijayaraghavan, arXiv 2212.03851, whose first level this is.
package kernel

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
)

// most is the largest m: the Gram matrix of the minors, of order m(m+1)/2, then takes 0.2 GB.
const most = 100

// Factory returns the solver "kernel".
func Factory() core.SolverFactory {
	return core.SolverFactory{
		Component: core.Component{
			Name:      "kernel",
			Summary:   "kernel of the 2x2 minors and generalised eigenvectors, polished by Newton's method; no restarts; m up to about 0.4 d^2 and 100",
			Reference: "De Lathauwer, SIAM J. Matrix Anal. Appl. 28 (2006) 642-666; Johnston, Lovitz, Vijayaraghavan: Computing linear sections of varieties, arXiv 2212.03851",
			Options:   []core.Option{rankone.AcceptOption},
		},
		Open: func(options core.Options) (core.Solver, error) {
			acceptance, err := rankone.ParseAcceptance(options)
			if err != nil {
				return nil, err
			}
			return solver{acceptance}, nil
		},
	}
}

type solver struct{ acceptance rankone.Acceptance }

func (s solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	space, err := rankone.NewSpace(problem)
	if err != nil {
		return nil, err
	}
	if !Suits(space) {
		return nil, fault.New(fault.Unsupported, "the solver kernel handles subspaces of dimension up to %d here (matrices of order %d), not %d; use the solver spm or auto", largest(space.D), space.D, space.M)
	}
	collector := rankone.NewCollector(space, problem.Count, s.acceptance)
	if err := Search(ctx, space, collector, rankone.Random(problem.Seed, 3), progress); err != nil {
		return nil, err
	}
	return collector.Solution(), nil
}

// Suits reports whether the method can work: the minors of m matrices, of which there are m(m+1)/2 pairs, must leave a
// kernel of dimension m only.
func Suits(space *rankone.Space) bool { return space.M <= largest(space.D) }

func largest(d int) int {
	// The independent minors number d^2 (d^2-1) / 12, the dimension of the tensors with the symmetries of Phi, and
	// m (m+1) / 2 - m of them are needed at least.
	minors := d * d * (d*d - 1) / 12
	m := 1
	for m < most && m*(m+1)/2 <= minors {
		m++
	}
	return m
}

// Search adds to the collector the rank-one matrices that the kernel gives.
func Search(ctx context.Context, space *rankone.Space, collector *rankone.Collector, random *rand.Rand, progress func(core.SolverProgress)) error {
	gram, err := minors(ctx, space)
	if err != nil {
		return err
	}
	null, err := nullSpace(ctx, gram, space.M, random)
	if err != nil || null == nil {
		return err
	}
	collector.Statistics["kernel_dimension"] = float64(null.M)
	polisher := rankone.NewPolisher(space)
	fruitless := 0
	for pair := 0; pair < 4 && fruitless < 2 && !collector.Done(); pair++ {
		fruitless++
		alphas := rankone.Eigenvectors(null, random)
		if _, err := rankone.NewPolisher(null).Polish(ctx, alphas, 4); err != nil {
			return err
		}
		var candidates [][]float64
		for _, alpha := range alphas {
			if err := ctx.Err(); err != nil {
				return err
			}
			if x, _ := rankone.Top(space.Element(alpha)); x != nil {
				candidates = append(candidates, x)
			}
		}
		polished, err := polisher.Polish(ctx, candidates, 60)
		if err != nil {
			return err
		}
		for k, p := range polished {
			if p.Converged && collector.Add(candidates[k], p.Deficit) {
				fruitless = 0
			}
		}
		collector.Statistics["pairs"]++
		progress(core.SolverProgress{Found: collector.Accepted(), Wanted: collector.Wanted(), Starts: pair + 1})
	}
	collector.Statistics["newton_steps"] += float64(polisher.Steps)
	// Products and traces of the minors, the Cholesky factor of their Gram matrix, six iterations for its null space.
	m, d := float64(space.M), float64(space.D)
	n := m * (m + 1) / 2
	collector.Statistics["flops"] += polisher.Flops + 2*m*m*d*d*d + 2*m*m*m*m*d*d + n*n*n/3 + 6*4*n*n*m
	return nil
}

// minors returns the Gram matrix of Phi in the isometric coordinates of symmetric m x m matrices (pairs k <= l row by
// row, sqrt(2) off the diagonal), divided by 4. With an orthonormal basis, writing out the four terms of Phi gives
//
//	<Phi(E_k, E_l), Phi(E_p, E_q)> / 4 = delta_kp delta_lq + delta_kq delta_lp - tr(E_k E_q E_l E_p) - tr(E_k E_p E_l E_q),
//
// and tr(E_k E_q E_l E_p) is the inner product of E_k E_q and E_p E_l, so that the traces are one matrix product.
func minors(ctx context.Context, space *rankone.Space) (blas64.Symmetric, error) {
	d, m := space.D, space.M
	// Row q of block k: E_k E_q.
	products := blas64.General{Rows: m * m, Cols: d * d, Stride: d * d, Data: make([]float64, m*m*d*d)}
	stack := space.Stack()
	for k := range m {
		for q := range m {
			if err := ctx.Err(); err != nil {
				return blas64.Symmetric{}, err
			}
			at := func(i int) blas64.General {
				return blas64.General{Rows: d, Cols: d, Stride: d, Data: stack.Data[i*d*d : (i+1)*d*d]}
			}
			blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, at(k), at(q), 0,
				blas64.General{Rows: d, Cols: d, Stride: d, Data: products.Data[(k*m+q)*d*d : (k*m+q+1)*d*d]})
		}
	}
	n := m * (m + 1) / 2
	index := func(k, l int) int { return k*m - k*(k-1)/2 + l - k } // k <= l
	gram := blas64.Symmetric{N: n, Stride: n, Data: make([]float64, n*n), Uplo: blas.Upper}
	traces := blas64.General{Rows: m, Cols: m * m, Stride: m * m, Data: make([]float64, m*m*m)}
	add := func(k, l, p, q int, value float64) {
		if k > l || p > q {
			return
		}
		row, column := index(k, l), index(p, q)
		if row <= column {
			gram.Data[row*n+column] += value
		}
	}
	for k := range m {
		if err := ctx.Err(); err != nil {
			return blas64.Symmetric{}, err
		}
		block := blas64.General{Rows: m, Cols: d * d, Stride: d * d, Data: products.Data[k*m*d*d : (k+1)*m*d*d]}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, block, products, 0, traces)
		// traces[q][p m + l] = tr(E_k E_q E_l E_p)
		for q := range m {
			for p := range m {
				for l := k; l < m; l++ {
					trace := traces.Data[q*m*m+p*m+l]
					// The trace belongs to both orders of p and q; on the diagonal both terms are this one.
					if p <= q {
						add(k, l, p, q, -trace)
					}
					if q <= p {
						add(k, l, q, p, -trace)
					}
				}
			}
		}
	}
	for k := range m {
		for l := k; l < m; l++ {
			at := index(k, l)
			gram.Data[at*n+at]++
			if k == l {
				gram.Data[at*n+at]++
			}
		}
	}
	for k := range m { // isometric coordinates: C_kl and C_lk share one entry, sqrt(2) C_kl
		for l := k; l < m; l++ {
			row := index(k, l)
			for p := range m {
				for q := p; q < m; q++ {
					if column := index(p, q); row <= column {
						gram.Data[row*n+column] *= weight(k, l) * weight(p, q)
					}
				}
			}
		}
	}
	return gram, nil
}

func weight(k, l int) float64 {
	if k == l {
		return 1
	}
	return math.Sqrt2
}

// nullSpace returns the kernel of the Gram matrix as a space of symmetric m x m matrices: the eigenvectors before the
// largest gap among the m+1 smallest eigenvalues, by inverse subspace iteration (the matrix has m eigenvalues close to
// zero and the rest of order one, so that a few iterations do). It is nil when the Gram matrix has no such structure.
func nullSpace(ctx context.Context, gram blas64.Symmetric, m int, random *rand.Rand) (*rankone.Space, error) {
	n := gram.N
	wanted := min(n, m+3)
	trace := 0.0
	for i := range n {
		trace += gram.Data[i*n+i]
	}
	if trace <= 0 { // no minors at all: m = 1, d = 1
		trace = float64(n)
	}
	shift := 1e-13 * (1 + trace/float64(n))
	factor := make([]float64, n*n)
	var triangle blas64.Triangular
	for {
		copy(factor, gram.Data)
		for i := range n {
			factor[i*n+i] += shift
		}
		ok, err := cholesky(ctx, factor, n)
		if err != nil {
			return nil, err
		}
		if ok {
			triangle = blas64.Triangular{N: n, Stride: n, Data: factor, Uplo: blas.Upper, Diag: blas.NonUnit}
			break
		}
		if shift *= 10; shift > 1 {
			return nil, nil
		}
	}
	block := mat.NewDense(n, wanted, rankone.Gaussian(random, n*wanted))
	for i := range n { // both triangles: products are faster so
		for j := range i {
			gram.Data[i*n+j] = gram.Data[j*n+i]
		}
	}
	symmetric := mat.NewDense(n, n, gram.Data)
	var values []float64
	for range 6 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lapack64.Potrs(triangle, block.RawMatrix())
		if !rankone.Orthonormalize(block) {
			return nil, nil
		}
		var image, small mat.Dense
		image.Mul(symmetric, block)
		small.Mul(block.T(), &image)
		ritz := mat.NewSymDense(wanted, nil)
		for i := range wanted {
			for j := i; j < wanted; j++ {
				ritz.SetSym(i, j, (small.At(i, j)+small.At(j, i))/2)
			}
		}
		var eigen mat.EigenSym
		if !eigen.Factorize(ritz, true) {
			return nil, nil
		}
		values = eigen.Values(nil)
		var rotation, rotated mat.Dense
		eigen.VectorsTo(&rotation)
		rotated.Mul(block, &rotation)
		block.Copy(&rotated)
	}
	// Without noise the m smallest are zero to rounding; with noise they are small; when W holds fewer rank-one
	// matrices than it has dimensions, fewer are. The gap tells.
	dimension, gap := min(m, wanted), 0.0
	for k := 1; k <= m && k < wanted; k++ {
		if ratio := max(values[k], 1e-13) / max(values[k-1], 1e-13); ratio > gap {
			dimension, gap = k, ratio
		}
	}
	elements := make([]float64, dimension*m*m)
	for e := range dimension {
		at := 0
		for k := range m {
			for l := k; l < m; l++ {
				value := block.At(at, e) / weight(k, l)
				elements[e*m*m+k*m+l], elements[e*m*m+l*m+k] = value, value
				at++
			}
		}
	}
	return rankone.FromMatrices(m, elements), nil
}

// cholesky factors the upper triangle of the n x n matrix in place, block by block so that ctx is heard meanwhile.
func cholesky(ctx context.Context, data []float64, n int) (bool, error) {
	const size = 96
	for k := 0; k < n; k += size {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		b := min(size, n-k)
		triangle, ok := lapack64.Potrf(blas64.Symmetric{N: b, Stride: n, Data: data[k*n+k:], Uplo: blas.Upper})
		if !ok {
			return false, nil
		}
		rest := n - k - b
		if rest == 0 {
			break
		}
		right := blas64.General{Rows: b, Cols: rest, Stride: n, Data: data[k*n+k+b:]}
		blas64.Trsm(blas.Left, blas.Trans, 1, triangle, right)
		blas64.Syrk(blas.Trans, -1, right, 1, blas64.Symmetric{N: rest, Stride: n, Data: data[(k+b)*n+k+b:], Uplo: blas.Upper})
	}
	return true, nil
}
