package rankone

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// Eigenvectors returns candidates for the vectors c of a space spanned by rank-one matrices c c^T with linearly
// independent c (so m <= d). Any element is C D C^T, D diagonal, hence M1 M2^{-1} = C (D1/D2) C^{-1} within the range of
// W, and its eigenvectors are the c (Jennrich's algorithm; Leurgans, Ross, Abel, SIAM J. Matrix Anal. Appl. 14, 1993).
// M1 and M2 are random elements, M2 the best conditioned of a few, because its condition bounds the error. Noise may
// make eigenvectors complex; the two parts then stand for the pair, whose plane they span. The rows returned are r unit
// vectors of length d, not polished; nil when the space has no such structure.
func Eigenvectors(space *Space, random *rand.Rand) [][]float64 {
	basis := space.Range()
	if basis == nil {
		return nil
	}
	_, r := basis.Dims()
	reduced := func() *mat.Dense {
		y := Gaussian(random, space.M)
		Normalize(y)
		var left, both mat.Dense
		left.Mul(basis.T(), space.Element(y))
		both.Mul(&left, basis)
		return &both
	}
	first := reduced()
	var best mat.LU
	condition := math.Inf(1)
	for range 6 {
		var lu mat.LU
		lu.Factorize(reduced())
		if c := lu.Cond(); c < condition {
			best, condition = lu, c
		}
	}
	if math.IsInf(condition, 1) {
		return nil
	}
	// M1 M2^{-1} is the transpose of M2^{-1} M1, both being symmetric.
	var quotient mat.Dense
	if err := best.SolveTo(&quotient, false, first); err != nil && quotient.IsEmpty() {
		return nil
	}
	for _, value := range quotient.RawMatrix().Data {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil
		}
	}
	var eigen mat.Eigen
	if !eigen.Factorize(quotient.T(), mat.EigenRight) {
		return nil
	}
	var vectors mat.CDense
	eigen.VectorsTo(&vectors)
	values := eigen.Values(nil)
	var candidates [][]float64
	for k := range r {
		part := mat.NewVecDense(r, nil)
		for i := range r {
			if imag(values[k]) < 0 { // the conjugate of the one before
				part.SetVec(i, imag(vectors.At(i, k)))
			} else {
				part.SetVec(i, real(vectors.At(i, k)))
			}
		}
		x := mat.NewVecDense(space.D, nil)
		x.MulVec(basis, part)
		if candidate := x.RawVector().Data; Normalize(candidate) > 0 {
			candidates = append(candidates, candidate)
		}
	}
	return candidates
}
