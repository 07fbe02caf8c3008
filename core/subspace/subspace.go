// Package subspace holds the words of subspaces of symmetric matrices: how a matrix becomes a vector, how samples give a
// subspace and with what confidence, projections, angles, and the files that subspaces and vectors are kept in.
//
// A symmetric matrix of order d is vectorised in one of two ways. [Vec] writes all d^2 entries row by row: the layout of
// [core.Problem] and of files. [Svec] writes the d(d+1)/2 entries of the upper triangle row by row, those off the
// diagonal times sqrt(2). Both are isometries from the Frobenius norm to the Euclidean one.
package subspace

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// Vec returns the d^2 entries of a symmetric matrix, row by row.
func Vec(a mat.Symmetric) []float64 {
	d := a.SymmetricDim()
	v := make([]float64, d*d)
	for i := range d {
		for j := range d {
			v[i*d+j] = a.At(i, j)
		}
	}
	return v
}

// Unvec is the inverse of [Vec] on symmetric matrices; of others it returns the symmetric part. len(v) must be d^2.
func Unvec(v []float64, d int) *mat.SymDense {
	a := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			a.SetSym(i, j, (v[i*d+j]+v[j*d+i])/2)
		}
	}
	return a
}

// Svec returns the d(d+1)/2 isometric coordinates of a symmetric matrix.
func Svec(a mat.Symmetric) []float64 {
	d := a.SymmetricDim()
	v := make([]float64, 0, SvecLen(d))
	for i := range d {
		v = append(v, a.At(i, i))
		for j := i + 1; j < d; j++ {
			v = append(v, math.Sqrt2*a.At(i, j))
		}
	}
	return v
}

// Unsvec is the inverse of [Svec]. len(v) must be d(d+1)/2.
func Unsvec(v []float64, d int) *mat.SymDense {
	a := mat.NewSymDense(d, nil)
	at := 0
	for i := range d {
		a.SetSym(i, i, v[at])
		at++
		for j := i + 1; j < d; j++ {
			a.SetSym(i, j, v[at]/math.Sqrt2)
			at++
		}
	}
	return a
}

// SvecLen returns d(d+1)/2, the dimension of the symmetric matrices of order d.
func SvecLen(d int) int { return d * (d + 1) / 2 }

// Subspace is a subspace of the symmetric matrices of order Dim.
type Subspace struct {
	// Dim is d, the order of the matrices.
	Dim int
	// Basis is d(d+1)/2 x m; its columns are the isometric coordinates ([Svec]) of an orthonormal basis.
	Basis *mat.Dense
	// Spectrum holds all singular values, descending, of the samples the subspace was made from; nil when it was not.
	Spectrum []float64
}

// Dimension returns m.
func (s *Subspace) Dimension() int { _, m := s.Basis.Dims(); return m }

// Gap returns sigma_m / sigma_{m+1} of the spectrum: how clearly the samples have dimension m. It is +Inf where nothing
// follows sigma_m, and NaN when there is no spectrum.
func (s *Subspace) Gap() float64 {
	m := s.Dimension()
	switch {
	case len(s.Spectrum) < m:
		return math.NaN()
	case len(s.Spectrum) == m || s.Spectrum[m] == 0:
		return math.Inf(1)
	}
	return s.Spectrum[m-1] / s.Spectrum[m]
}

// Element returns basis matrix k.
func (s *Subspace) Element(k int) *mat.SymDense { return Unsvec(mat.Col(nil, k, s.Basis), s.Dim) }

// Span returns the m-dimensional subspace closest to the samples in the least-squares sense: the top m left singular
// vectors of the matrix of their isometric coordinates (arXiv 1907.00485, section 2), with the whole spectrum. With
// m = 0 the dimension is where the ratio of consecutive singular values is largest; only ask for this when the samples
// are known to have a gap.
func Span(samples []mat.Symmetric, m int) (*Subspace, error) {
	if len(samples) == 0 {
		return nil, fault.New(fault.Usage, "a subspace needs at least one sample")
	}
	d := samples[0].SymmetricDim()
	columns := mat.NewDense(SvecLen(d), len(samples), nil)
	for k, sample := range samples {
		if sample.SymmetricDim() != d {
			return nil, fault.New(fault.Usage, "sample %d is of order %d, but sample 0 of order %d", k, sample.SymmetricDim(), d)
		}
		for i, value := range Svec(sample) {
			if math.IsNaN(value) || math.IsInf(value, 0) {
				return nil, fault.New(fault.Usage, "sample %d has an entry that is not finite", k)
			}
			columns.Set(i, k, value)
		}
	}
	if most := min(SvecLen(d), len(samples)); m < 0 || m > most {
		return nil, fault.New(fault.Usage, "%d samples of order %d span at most %d dimensions, not %d", len(samples), d, most, m)
	}
	var svd mat.SVD
	if !svd.Factorize(columns, mat.SVDThinU) {
		return nil, fault.New(fault.Internal, "the singular value decomposition of %d samples did not converge", len(samples))
	}
	spectrum := svd.Values(nil)
	if m == 0 {
		m = LargestGap(spectrum)
	}
	if m == 0 || spectrum[m-1] <= spectrum[0]*0x1p-52 {
		return nil, fault.New(fault.Usage, "the samples do not span %d dimensions: singular value %d of them is zero to rounding", max(m, 1), max(m, 1))
	}
	var u mat.Dense
	svd.UTo(&u)
	return &Subspace{Dim: d, Basis: mat.DenseCopyOf(u.Slice(0, SvecLen(d), 0, m)), Spectrum: spectrum}, nil
}

// LargestGap returns the k for which sigma_k / sigma_{k+1} is largest (sigma_1 is the first; values below 1e-15 sigma_1
// count as that), and 0 for an empty or zero spectrum. The values descend.
func LargestGap(spectrum []float64) int {
	if len(spectrum) == 0 || !(spectrum[0] > 0) {
		return 0
	}
	floor := 1e-15 * spectrum[0]
	best, largest := len(spectrum), 1.0
	for k := 1; k < len(spectrum); k++ {
		if ratio := max(spectrum[k-1], floor) / max(spectrum[k], floor); ratio > largest {
			best, largest = k, ratio
		}
	}
	return best
}

// FromRankOne returns the span of the w w^T over the columns w of vectors (d x k); its dimension is the numerical rank.
func FromRankOne(vectors *mat.Dense) (*Subspace, error) {
	d, k := vectors.Dims()
	samples := make([]mat.Symmetric, k)
	for j := range samples {
		w := mat.NewVecDense(d, mat.Col(nil, j, vectors))
		outer := mat.NewSymDense(d, nil)
		outer.SymOuterK(1, w)
		samples[j] = outer
	}
	s, err := Span(samples, min(k, 1))
	if err != nil {
		return nil, err
	}
	rank := 1
	for rank < len(s.Spectrum) && s.Spectrum[rank] > 1e-12*s.Spectrum[0] {
		rank++
	}
	return Span(samples, rank)
}

// Project returns P_W(a).
func (s *Subspace) Project(a mat.Symmetric) (*mat.SymDense, error) {
	if a.SymmetricDim() != s.Dim {
		return nil, fault.New(fault.Usage, "a matrix of order %d can't be projected to matrices of order %d", a.SymmetricDim(), s.Dim)
	}
	var y, p mat.VecDense
	v := Svec(a)
	y.MulVec(s.Basis.T(), mat.NewVecDense(len(v), v))
	p.MulVec(s.Basis, &y)
	return Unsvec(p.RawVector().Data, s.Dim), nil
}

// Residual returns |(I - P_W)(x x^T)|_F / |x|^2, between 0 and 1: the sine of the angle between x x^T and W.
func (s *Subspace) Residual(x []float64) (float64, error) {
	if len(x) != s.Dim {
		return 0, fault.New(fault.Usage, "a vector of length %d does not go with matrices of order %d", len(x), s.Dim)
	}
	outer := mat.NewSymDense(s.Dim, nil)
	outer.SymOuterK(1, mat.NewVecDense(len(x), x))
	norm := mat.Norm(outer, 2)
	if norm == 0 {
		return 0, fault.New(fault.Usage, "the zero vector has no direction")
	}
	inside, err := s.Project(outer)
	if err != nil {
		return 0, err
	}
	var rest mat.Dense
	rest.Sub(outer, inside)
	return mat.Norm(&rest, 2) / norm, nil
}

// Angles returns the principal angles between two subspaces of the same symmetric matrices, ascending, in [0, pi/2],
// one for each dimension of the smaller. Small angles come from sines and large ones from cosines, so that all are
// accurate (Bjorck, Golub, Math. Comp. 27, 1973).
func Angles(v, w *Subspace) ([]float64, error) {
	if v.Dim != w.Dim {
		return nil, fault.New(fault.Usage, "subspaces of matrices of order %d and %d have no angles between them", v.Dim, w.Dim)
	}
	if v.Dimension() < w.Dimension() {
		v, w = w, v
	}
	var cosines, inside, outside mat.Dense
	cosines.Mul(v.Basis.T(), w.Basis)
	inside.Mul(v.Basis, &cosines)
	outside.Sub(w.Basis, &inside)
	var c, s mat.SVD
	if !c.Factorize(&cosines, mat.SVDNone) || !s.Factorize(&outside, mat.SVDNone) {
		return nil, fault.New(fault.Internal, "the singular value decomposition for the principal angles did not converge")
	}
	m := w.Dimension()
	cos, sin := c.Values(nil), s.Values(nil) // both descend: sin[m-1-k] belongs to cos[k]
	angles := make([]float64, m)
	for k := range angles {
		if cos[k] > math.Sqrt2/2 {
			angles[k] = math.Asin(min(1, sin[m-1-k]))
		} else {
			angles[k] = math.Acos(min(1, cos[k]))
		}
	}
	return angles, nil
}

// Problem returns the subspace as a solver takes it, with a basis of d^2 x m.
func (s *Subspace) Problem(count int, seed uint64) core.Problem {
	m := s.Dimension()
	basis := mat.NewDense(s.Dim*s.Dim, m, nil)
	for k := range m {
		basis.SetCol(k, Vec(s.Element(k)))
	}
	return core.Problem{Dim: s.Dim, Basis: basis, Count: count, Seed: seed}
}

// FromProblem is the inverse of [Subspace.Problem]; the problem is checked first.
func FromProblem(problem core.Problem) (*Subspace, error) {
	if err := problem.Check(); err != nil {
		return nil, err
	}
	_, m := problem.Basis.Dims()
	s := &Subspace{Dim: problem.Dim, Basis: mat.NewDense(SvecLen(problem.Dim), m, nil)}
	for k := range m {
		s.Basis.SetCol(k, Svec(Unvec(mat.Col(nil, k, problem.Basis), problem.Dim)))
	}
	return s, nil
}
