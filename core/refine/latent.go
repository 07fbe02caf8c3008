package refine

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// mostFormed is the number of free parameters up to which normal equations are formed here: beyond, products with the Jacobian take less
// time.
const mostFormed = 1000

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
	data.X = &projected
	var fitted *network.Network
	var stats Statistics
	var err error
	if len(settings.Free) > mostFormed {
		if settings.Damping == 0 {
			settings.Damping = 1e-3
		}
		fitted, stats, err = krylov(ctx, inner, g, h, data, settings, true)
	} else {
		fitted, stats, err = Levenberg(ctx, inner, g, h, data, settings)
	}
	result := fitted.Clone()
	result.First.Weight = directions
	for i := range m0 {
		floats.Scale(fitted.First.Weight.At(i, i), directions.RawRowView(i))
	}
	return result, stats, err
}

// Sensitivity returns sum_i |df/du_i| |a_i| at each row of x: a bound of how fast f changes there.
func Sensitivity(n *network.Network, g, h core.Function, x *mat.Dense) []float64 {
	total, _ := x.Dims()
	du := NewOperator(n, g, h, Data{X: x, Y: make([]float64, total)}).du
	norms := make([]float64, len(n.First.Bias))
	for i := range norms {
		norms[i] = floats.Norm(n.First.Weight.RawRowView(i), 2)
	}
	result := make([]float64, total)
	for r := range result {
		for i, v := range du.RawRowView(r) {
			result[r] += math.Abs(v) * norms[i]
		}
	}
	return result
}

// Rounding returns, at each row of x, the size of what rounding the sums behind the first layer leaves of f, over the unit roundoff: of the pre-activations of the second layer, and of f
// itself. Where the first layer is saturated nothing else does, and a steep second layer makes much of it.
func Rounding(n *network.Network, g, h core.Function, x *mat.Dense) []float64 {
	rows, _ := x.Dims()
	o := NewOperator(n, g, h, Data{X: x, Y: make([]float64, rows)})
	result := make([]float64, rows)
	for r := range result {
		z := o.z.RawRowView(r)
		last := math.Abs(n.OutputBias)
		total := 0.0
		for l, slope := range o.slope.RawRowView(r) {
			terms := math.Abs(n.Second.Bias[l])
			for i, b := range n.Second.Weight.RawRowView(l) {
				terms += math.Abs(b * z[i])
			}
			total += math.Pow(slope*terms, 2)
			last += math.Abs(n.Output[l] * o.out.At(r, l))
		}
		result[r] = math.Sqrt(total + last*last)
	}
	return result
}
