package paper

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/subspace"
)

// displacement measures the stability of each vector: how far it moves when the subspace loses the singular vectors that are not to be
// relied on. To first order in x the Hessians span H(0) and d directions more, so that without a gap behind all of W the singular
// vectors beyond the first d+1 are of the order of the drift of the v_l. From w w^T the paper's ascent goes on in the span of the first
// d+1; the distance to where it ends, up to sign, is an estimate of the error of w: a false maximum lives on the last singular vectors
// and moves, a right one hardly does. It is nil where nothing is left out: for d+1 singular vectors or fewer, with a gap of at least
// gapMin behind the last one, and where the singular values, and so the order of the basis, are not known.
func displacement(s *subspace.Subspace, vectors *mat.Dense, gapMin float64) []float64 {
	leading, m := s.Dim+1, s.Dimension()
	if vectors == nil || m <= leading || len(s.Spectrum) <= m || s.Gap() >= gapMin {
		return nil
	}
	elements := make([]*mat.SymDense, leading)
	for k := range elements {
		elements[k] = s.Element(k)
	}
	_, count := vectors.Dims()
	out := make([]float64, count)
	for j := range out {
		w := mat.Col(nil, j, vectors)
		out[j] = distance(w, ascend(elements, w))
	}
	return out
}

// ascend is the ascent of the spectral norm over the unit Frobenius sphere of the span of the orthonormal elements, with the step of
// the authors' code, from P(w w^T). It returns the top eigenvector of where it ends, to about 1e-4.
func ascend(elements []*mat.SymDense, w []float64) []float64 {
	const gamma, tolerance, iterations = 2, 1e-5, 300
	u := w
	y := quadratic(elements, w)
	matrix := mat.NewSymDense(len(w), nil)
	for range iterations {
		norm := floats.Norm(y, 2)
		if norm < 1e-8 { // nothing of it is in the span
			return u
		}
		floats.Scale(1/norm, y)
		matrix.Zero()
		for k, e := range elements {
			addScaled(matrix, y[k], e)
		}
		var eigen mat.EigenSym
		if !eigen.Factorize(matrix, true) {
			return u
		}
		var vectors mat.Dense
		eigen.VectorsTo(&vectors)
		next := mat.Col(nil, len(w)-1, &vectors)
		moved := distance(u, next)
		u = next
		if moved < tolerance*math.Sqrt2 {
			break
		}
		floats.AddScaled(y, gamma, quadratic(elements, u))
	}
	return u
}
