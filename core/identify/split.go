package identify

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Far out two units of the first layer that nearly coincide are one step: they are found as one unit. What is left of the answers then is
//
//	sum_l s_l(x) D_l g'(a . x + theta) (delta . x + delta_0),   s_l = c_l h'(p_l),
//
// to first order in their half difference delta, D_l being the difference of what l hears of them: linear in the products D_l delta, which is all that it
// tells. How long delta is follows from the second order, along a valley.
const (
	splitFrom = 1e-2 // largest residual, relative to the spread of f, at which that is looked for
	splitGain = 0.1  // what is left of the squared residual where it is found
)

// lengths of delta to start from, relative to the unit's weights.
var splitLengths = []float64{1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4}

// split looks for a unit of the first layer that is two. It reports whether with two the answers are explained.
func (e *exact) split(ctx context.Context) (bool, error) {
	n, g := e.found, e.family.Function
	m0, m1 := n.Sizes()
	d := n.Inputs()
	data := e.trusted(n, e.family.Candidate, e.roundingError(), e.local)
	if data.Sigma == nil || network.Parameters(d, m0+1, m1) > valleyParameters || math.Sqrt(e.loss)*e.relativeNoise() > splitFrom {
		return false, nil
	}
	least := splitGain * e.loss * float64(len(data.Y))
	var best *mat.Dense
	unit := -1
	for i := range m0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if products, left := differences(n, g, data, i); left < least {
			best, unit, least = products, i, left
		}
	}
	if unit < 0 {
		return false, nil
	}
	var svd mat.SVD
	if !svd.Factorize(best, mat.SVDThin) {
		return false, nil
	}
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	size := svd.Values(nil)[0]
	var fitted *network.Network
	loss := math.Inf(1)
	try := func(start *network.Network, iterations int) error {
		found, stats, err := refine.Valley(ctx, start, g, g, data, refine.Settings{Iterations: iterations})
		if err == nil && stats.Loss < loss {
			fitted, loss = found, stats.Loss
		}
		return err
	}
	for _, length := range splitLengths {
		length *= floats.Norm(n.First.Weight.RawRowView(unit), 2)
		two := network.New(d, m0+1, m1, n.First.Activation, n.Second.Activation)
		for i := range m0 + 1 {
			from := i
			if i == m0 {
				from = unit
			}
			two.First.Weight.SetRow(i, n.First.Weight.RawRowView(from))
			two.First.Bias[i] = n.First.Bias[from]
			for l := range m1 {
				two.Second.Weight.Set(l, i, n.Second.Weight.At(l, from))
			}
		}
		copy(two.Second.Bias, n.Second.Bias)
		copy(two.Output, n.Output)
		two.OutputBias = n.OutputBias
		for _, half := range []struct {
			unit int
			sign float64
		}{{unit, 1}, {m0, -1}} {
			for k := range d {
				two.First.Weight.Set(half.unit, k, two.First.Weight.At(half.unit, k)+half.sign*length*v.At(k, 0))
			}
			two.First.Bias[half.unit] += half.sign * length * v.At(d, 0)
			for l := range m1 {
				two.Second.Weight.Set(l, half.unit, n.Second.Weight.At(l, unit)/2+half.sign*size/length*u.At(l, 0)/2)
			}
		}
		if err := try(two, 10); err != nil {
			return false, err
		}
	}
	if fitted == nil {
		return false, nil
	}
	if err := try(fitted, 0); err != nil {
		return false, err
	}
	if loss > goodLoss {
		return false, nil
	}
	return true, e.fitAll(ctx, fitted, 30)
}

// differences fits the products D_l delta (m1 x d+1) of a split of the unit to what n leaves of the answers; it returns them, less what moving the unit
// as a whole does as well, and the sum of squares that is left.
func differences(n *network.Network, g core.Function, data refine.Data, unit int) (*mat.Dense, float64) {
	m0, m1 := n.Sizes()
	d := n.Inputs()
	p := n.Parameters()
	rows := len(data.Y)
	jacobian := mat.NewDense(rows, p, nil)
	residual := refine.Jacobian(n, g, g, data, jacobian)
	slope := pre(n, data.X, unit)
	g.Apply(1, slope, slope)
	design := mat.NewDense(rows, p+m1*(d+1), nil)
	tau := m0*d + m0 + m0*m1
	for r := range rows {
		row := design.RawRowView(r)
		copy(row, jacobian.RawRowView(r))
		x := data.X.RawRowView(r)
		for l := range m1 {
			weight := jacobian.At(r, tau+l) * slope[r] // s_l g' over sigma
			to := row[p+l*(d+1):][:d+1]
			floats.ScaleTo(to[:d], weight, x)
			to[d] = weight
		}
	}
	_, columns := design.Dims()
	scale := make([]float64, columns)
	for k := range scale {
		column := mat.Col(nil, k, design)
		scale[k] = math.Max(floats.Norm(column, 2), math.SmallestNonzeroFloat64)
		floats.Scale(1/scale[k], column)
		design.SetCol(k, column)
	}
	var svd mat.SVD
	if !svd.Factorize(design, mat.SVDThin) {
		return nil, math.Inf(1) // not finite
	}
	rank := svd.Rank(1e-9)
	var fit mat.VecDense
	svd.SolveVecTo(&fit, mat.NewVecDense(rows, residual), rank)
	var explained mat.VecDense
	explained.MulVec(design, &fit)
	floats.Sub(residual, explained.RawVector().Data)
	products := mat.NewDense(m1, d+1, nil)
	for l := range m1 {
		for k := range d + 1 {
			at := p + l*(d+1) + k
			products.Set(l, k, -fit.AtVec(at)/scale[at])
		}
	}
	// The unit moved by eta is the products b eta: that part is the unit's own.
	b := mat.Col(nil, unit, n.Second.Weight)
	if norm := floats.Norm(b, 2); norm > 0 {
		floats.Scale(1/norm, b)
	}
	for k := range d + 1 {
		column := mat.Col(nil, k, products)
		floats.AddScaled(column, -floats.Dot(b, column), b)
		products.SetCol(k, column)
	}
	return products, floats.Dot(residual, residual)
}

// pre returns the pre-activations of a unit of the first layer at the rows of x.
func pre(n *network.Network, x *mat.Dense, unit int) []float64 {
	rows, _ := x.Dims()
	u := make([]float64, rows)
	for r := range u {
		u[r] = floats.Dot(n.First.Weight.RawRowView(unit), x.RawRowView(r)) + n.First.Bias[unit]
	}
	return u
}
