package certify

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// draws of the parameters, from what data leave of them, with which values are compared.
const draws = 24

// Deviations returns how far, in standard deviations, the values of n at the rows of x may be off because its parameters, fitted to data
// (whose Sigma must be set), are: sqrt(j (J^T J)^{-1} j^T), j the gradient there, or what the values of networks with parameters drawn from that covariance differ by, if that is more: far
// out, where a unit is saturated, the gradient says nothing, and yet it may be saturated on the other side. It is nil where data do not determine the parameters.
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
	rng := rand.New(rand.NewPCG(0x6472617773, uint64(rows)))
	squares := make([]float64, rows)
	center, parameters, other := n.Evaluate(g, h, x), refine.Pack(n), n.Clone()
	for range draws {
		away := floats.SubTo(make([]float64, rows), t.draw(parameters, other, rng).Evaluate(g, h, x), center)
		floats.Mul(away, away)
		floats.Add(squares, away)
	}
	for r, s := range squares {
		if typical := math.Sqrt(s / draws); typical > deviations[r] { // false for NaN
			deviations[r] = typical
		}
	}
	return deviations
}

// draw sets the parameters of other to some drawn at random, with their covariance, around those given; it returns other.
func (t *triangle) draw(parameters []float64, other *network.Network, rng *rand.Rand) *network.Network {
	z := make([]float64, len(parameters))
	for k := range z {
		z[k] = rng.NormFloat64()
	}
	blas64.Trsv(blas.NoTrans, t.r, blas64.Vector{N: len(z), Inc: 1, Data: z})
	floats.Mul(z, t.scale)
	floats.Add(z, parameters)
	refine.Unpack(other, z)
	return other
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
