package local

import (
	"cmp"
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Several units of a student with nearly parallel weights can stand for one: along these weights their sum is a function of one variable, and a few steps of other
// slopes add up to a steeper or a flatter one but for a millionth. Such a student creeps, and removing units one by one leads nowhere, as each of the rest would have to change a lot.
const (
	fuseAlike  = 1e-3 // 1 - |cosine| of weights up to which units are fused
	fuseSlopes = 16   // slopes that are tried, and for each so many places of the step,
	fusePlaces = 40
	flattest   = 0.25 // from so many times the smallest norm of the weights of those that are fused
	fuseSteps  = 200  // evaluations to settle both
)

// fuse returns n with one unit of the second layer for each group of several with nearly parallel weights, fitted, where that explains the answers as well; n itself elsewhere.
func (s *search) fuse(ctx context.Context, n *network.Network, loss float64, data refine.Data) (*network.Network, float64, error) {
	groups := parallels(n)
	if len(groups) == len(n.Output) {
		return n, loss, nil
	}
	z := layer(data.X, n.First, s.g)
	fewer := network.New(n.Inputs(), len(n.First.Bias), len(groups), n.First.Activation, n.Second.Activation)
	fewer.First, fewer.OutputBias = n.Clone().First, n.OutputBias
	for k, group := range groups {
		b, tau, c, constant := n.Second.Weight.RawRowView(group[0]), n.Second.Bias[group[0]], n.Output[group[0]], 0.0
		if len(group) > 1 {
			b, tau, c, constant = s.one(n, group, z)
		}
		fewer.Second.Weight.SetRow(k, b)
		fewer.Second.Bias[k], fewer.Output[k] = tau, c
		fewer.OutputBias += constant
	}
	fewer, l, err := s.fit(ctx, fewer, data, fitSettings{iterations: 200, target: s.target, patience: 8, gain: 1e-2, damping: 1e-5})
	if err != nil {
		return n, loss, err
	}
	s.trace("    fused to %d units: loss %.1e -> %.1e of the variance", len(groups), loss/s.variance, l/s.variance)
	if l > math.Max(s.exact, 4*loss) {
		return n, loss, nil
	}
	return fewer, l, nil
}

// parallels groups the units of n's second layer by the direction of their weights, those with the largest output weights first.
func parallels(n *network.Network) [][]int {
	order := make([]int, len(n.Output))
	for l := range order {
		order[l] = l
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(n.Output[b]), math.Abs(n.Output[a])) })
	var groups [][]int
	for _, l := range order {
		b := n.Second.Weight.RawRowView(l)
		at := slices.IndexFunc(groups, func(group []int) bool {
			first := n.Second.Weight.RawRowView(group[0])
			return math.Abs(floats.Dot(b, first)) > (1-fuseAlike)*floats.Norm(b, 2)*floats.Norm(first, 2)
		})
		if at < 0 {
			groups = append(groups, []int{l})
		} else {
			groups[at] = append(groups[at], l)
		}
	}
	return groups
}

// one returns the unit c h(b . z + tau) + constant, b along the first one's weights, that comes nearest to the sum of the given units at the rows of z.
func (s *search) one(n *network.Network, units []int, z *mat.Dense) (b []float64, tau, c, constant float64) {
	b = slices.Clone(n.Second.Weight.RawRowView(units[0]))
	rows, _ := z.Dims()
	along, sum := make([]float64, rows), make([]float64, rows)
	slopes := []float64{math.Inf(1), 0}
	for _, l := range units {
		norm := floats.Norm(n.Second.Weight.RawRowView(l), 2)
		slopes[0], slopes[1] = math.Min(slopes[0], flattest*norm), math.Max(slopes[1], norm/flattest)
		p := mat.NewVecDense(rows, nil)
		p.MulVec(z, n.Second.Weight.RowView(l))
		out := p.RawVector().Data
		floats.AddConst(n.Second.Bias[l], out)
		s.h.Apply(0, out, out)
		floats.AddScaled(sum, n.Output[l], out)
	}
	floats.Scale(1/floats.Norm(b, 2), b)
	mat.NewVecDense(rows, along).MulVec(z, mat.NewVecDense(len(b), b))
	low, high := floats.Min(along), floats.Max(along)
	out := make([]float64, rows)
	left := func(slope, place float64) float64 {
		constant, c = nearestStep(s.h, slope, place, along, sum, out)
		return floats.Distance(out, sum, 2)
	}
	var start [2]float64
	least := math.Inf(1)
	for i := range fuseSlopes {
		slope := slopes[0] * math.Pow(slopes[1]/slopes[0], float64(i)/(fuseSlopes-1))
		for k := range fusePlaces { // the step may lie beyond all rows: then its tail is all there is
			place := low + (high-low)*(2*float64(k)/(fusePlaces-1)-0.5)
			if v := left(slope, place); v < least {
				least, start = v, [2]float64{slope, place}
			}
		}
	}
	scale := (high - low) / fusePlaces
	at := func(v []float64) (float64, float64) { return start[0] * math.Exp(v[0]), start[1] + scale*v[1] }
	problem := optimize.Problem{Func: func(v []float64) float64 { return left(at(v)) }}
	best := []float64{0, 0}
	if result, err := optimize.Minimize(problem, best, &optimize.Settings{FuncEvaluations: fuseSteps}, &optimize.NelderMead{SimplexSize: 0.1}); err == nil || result != nil && result.F < least {
		best = result.X
	}
	slope, place := at(best)
	left(slope, place)
	floats.Scale(slope, b)
	return b, -slope * place, c, constant
}

// nearestStep writes c h(slope (t - place)) + constant into out, with c and the constant that come nearest to the values at t.
func nearestStep(h core.Function, slope, place float64, t, values, out []float64) (constant, c float64) {
	for r, v := range t {
		out[r] = slope * (v - place)
	}
	h.Apply(0, out, out)
	constant, c = stat.LinearRegression(out, values, nil, false)
	if math.IsNaN(c) || math.IsInf(c, 0) { // the same at all rows
		constant, c = stat.Mean(values, nil), 0
	}
	for r, v := range out {
		out[r] = c*v + constant
	}
	return constant, c
}
