package certify

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Deviations returns how far, in standard deviations, the values of n at the rows of x may be off because its parameters, fitted to data
// (whose Sigma must be set), are: sqrt(j (J^T J)^{-1} j^T), j the gradient there. It is nil where data do not determine the parameters.
func Deviations(n *network.Network, g, h core.Function, data refine.Data, x *mat.Dense) []float64 {
	if len(data.Y) < n.Parameters() {
		return nil
	}
	t, _ := decompose(n, g, h, data)
	if t == nil {
		return nil
	}
	rows, _ := x.Dims()
	v := t.gradients(n, g, h, refine.Data{X: x})
	deviations := make([]float64, rows)
	for r := range rows {
		deviations[r] = floats.Norm(v.RawRowView(r), 2)
	}
	return deviations
}

// gradients returns the gradients of n at the rows of at.X, over at.Sigma where that is set, in coordinates in which the parameters' covariance is the identity.
func (t *triangle) gradients(n *network.Network, g, h core.Function, at refine.Data) *mat.Dense {
	rows, _ := at.X.Dims()
	v := mat.NewDense(rows, n.Parameters(), nil)
	refine.Jacobian(n, g, h, refine.Data{X: at.X, Y: make([]float64, rows), Sigma: at.Sigma}, v)
	for r := range rows {
		floats.Mul(v.RawRowView(r), t.scale)
	}
	blas64.Trsm(blas.Right, blas.NoTrans, 1, t.r, v.RawMatrix())
	return v
}
