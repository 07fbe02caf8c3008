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
	j := mat.NewDense(rows, n.Parameters(), nil)
	refine.Jacobian(n, g, h, refine.Data{X: x, Y: make([]float64, rows)}, j)
	deviations := make([]float64, rows)
	for r := range rows {
		v := j.RawRowView(r)
		floats.Mul(v, t.scale)
		blas64.Trsv(blas.Trans, t.r, blas64.Vector{N: len(v), Inc: 1, Data: v})
		deviations[r] = floats.Norm(v, 2)
	}
	return deviations
}
