package local

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/gram"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// split returns n with one unit of the second layer split in two, and whether there is one that helps: a student that has nearly arrived often has one
// unit for two that are nearly parallel. Two copies of a unit (b, tau, c), of c/2 each and moved by t and -t in (b, tau), change f by c/2
// h”(p) (t . (z, 1))^2 to second order; of all units and all t, it is the one that explains most of the residuals as far as no other
// parameter could (Wu, Wang, Liu, "Splitting steepest descent for growing neural architectures", arXiv 1910.02366, who take the
// eigenvectors of the same matrix).
func (s *search) split(n *network.Network, data refine.Data) (*network.Network, bool) {
	m0, m1 := n.Sizes()
	count := len(data.Y)
	effort := fitSettings{frozen: s.frozen, scales: s.scales, shifted: s.shifted}
	size := len(effort.free(n))
	jacobian := mat.NewDense(count, size, nil)
	residual := effort.jacobian(n, s.g, s.h, data, jacobian)
	normal := mat.NewSymDense(size, nil)
	gram.Accumulate(1, jacobian.RawMatrix(), normal.RawSymmetric())
	ridge := 1e-9 * mat.Trace(normal) / float64(size)
	for i := range size {
		normal.SetSym(i, i, normal.At(i, i)+ridge)
	}
	if !gram.Cholesky(normal.RawSymmetric()) {
		return n, false
	}
	z := layer(data.X, n.First, s.g)
	ones := mat.NewDense(count, m0+1, nil)
	ones.Augment(z, constant(count))
	curvature := layer(z, n.Second, nil)
	s.h.Apply(2, curvature.RawMatrix().Data, curvature.RawMatrix().Data)
	best, unit := 0.0, -1
	var move []float64
	for l := range m1 {
		weighted := mat.DenseCopyOf(ones)
		for k := range count {
			floats.Scale(residual[k]*n.Output[l]*curvature.At(k, l), weighted.RawRowView(k))
		}
		var product mat.Dense
		product.Mul(ones.T(), weighted)
		symmetric := mat.NewSymDense(m0+1, nil)
		for i := range m0 + 1 {
			for j := i; j <= m0; j++ {
				symmetric.SetSym(i, j, product.At(i, j))
			}
		}
		var eigen mat.EigenSym
		if !eigen.Factorize(symmetric, true) {
			continue
		}
		var vectors mat.Dense
		eigen.VectorsTo(&vectors)
		// The residual is f less the answer: the change of f is to be against it, so the lowest eigenvalues count.
		for e := range min(3, m0+1) {
			t := mat.Col(nil, e, &vectors)
			change := make([]float64, count)
			blas64.Gemv(blas.NoTrans, 1, ones.RawMatrix(), vector(t), 0, vector(change))
			for k := range change {
				change[k] *= change[k] * n.Output[l] / 2 * curvature.At(k, l)
			}
			along := make([]float64, size)
			transposed(jacobian, change, along)
			gram.Solve(normal.RawSymmetric(), along)
			blas64.Gemv(blas.NoTrans, -1, jacobian.RawMatrix(), vector(along), 1, vector(change))
			length := floats.Norm(change, 2)
			gain := -floats.Dot(change, residual) / length
			if gain > best {
				best, unit = gain, l
				move = t
				floats.Scale(math.Sqrt(gain/length), move)
			}
		}
	}
	if unit < 0 {
		return n, false
	}
	// Beyond the length of b itself second order says nothing.
	if most := floats.Norm(n.Second.Weight.RawRowView(unit), 2); floats.Norm(move, 2) > most {
		floats.Scale(most/floats.Norm(move, 2), move)
	}
	larger := withUnits(n, 1)
	larger.Output[unit] /= 2
	larger.Output[m1] = larger.Output[unit]
	larger.Second.Weight.SetRow(m1, n.Second.Weight.RawRowView(unit))
	larger.Second.Bias[m1] = n.Second.Bias[unit]
	floats.Add(larger.Second.Weight.RawRowView(unit), move[:m0])
	larger.Second.Bias[unit] += move[m0]
	floats.Sub(larger.Second.Weight.RawRowView(m1), move[:m0])
	larger.Second.Bias[m1] -= move[m0]
	return larger, true
}

// withUnits returns n with room for so many more units in the second layer, all zero.
func withUnits(n *network.Network, count int) *network.Network {
	m0, m1 := n.Sizes()
	larger := network.New(n.Inputs(), m0, m1+count, n.First.Activation, n.Second.Activation)
	larger.First = n.Clone().First
	copy(larger.Second.Weight.RawMatrix().Data, n.Second.Weight.RawMatrix().Data)
	copy(larger.Second.Bias, n.Second.Bias)
	copy(larger.Output, n.Output)
	larger.OutputBias = n.OutputBias
	return larger
}

func constant(rows int) *mat.Dense {
	c := mat.NewDense(rows, 1, nil)
	for k := range rows {
		c.Set(k, 0, 1)
	}
	return c
}
