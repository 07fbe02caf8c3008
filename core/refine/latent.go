package refine

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// FixedDirections fits all parameters but the directions of the first layer: its norms |a_i| and shifts, and all of
// the second layer. It takes few rows and little time, and needs no answer to see every direction of x.
func FixedDirections(ctx context.Context, start *network.Network, g, h core.Function, data Data, settings Settings) (*network.Network, Statistics, error) {
	m0, m1 := start.Sizes()
	directions := mat.DenseCopyOf(start.First.Weight)
	inner := network.New(m0, m0, m1, start.First.Activation, start.Second.Activation)
	for i := range m0 {
		row := directions.RawRowView(i)
		norm := floats.Norm(row, 2)
		inner.First.Weight.Set(i, i, norm)
		if norm > 0 {
			floats.Scale(1/norm, row)
		}
	}
	copy(inner.First.Bias, start.First.Bias)
	inner.Second = start.Second
	inner.Output, inner.OutputBias = start.Output, start.OutputBias
	var projected mat.Dense
	projected.Mul(data.X, directions.T())
	for i := range m0 {
		settings.Free = append(settings.Free, i*m0+i)
	}
	for k := m0 * m0; k < inner.Parameters(); k++ {
		settings.Free = append(settings.Free, k)
	}
	fitted, stats, err := Levenberg(ctx, inner, g, h, Data{X: &projected, Y: data.Y, Sigma: data.Sigma}, settings)
	result := fitted.Clone()
	result.First.Weight = directions
	for i := range m0 {
		floats.Scale(fitted.First.Weight.At(i, i), directions.RawRowView(i))
	}
	return result, stats, err
}

// Sensitivity returns sum_i |df/du_i| |a_i| at each row of x: a bound of how fast f changes there.
func Sensitivity(n *network.Network, g, h core.Function, x *mat.Dense) []float64 {
	m0, _ := n.Sizes()
	total, _ := x.Dims()
	j := mat.NewDense(total, n.Parameters(), nil)
	Jacobian(n, g, h, Data{X: x, Y: make([]float64, total)}, j)
	norms := make([]float64, m0)
	for i := range norms {
		norms[i] = floats.Norm(n.First.Weight.RawRowView(i), 2)
	}
	at := m0 * n.Inputs() // the columns of theta are df/du
	result := make([]float64, total)
	for r := range result {
		for i, v := range j.RawRowView(r)[at : at+m0] {
			result[r] += math.Abs(v) * norms[i]
		}
	}
	return result
}
