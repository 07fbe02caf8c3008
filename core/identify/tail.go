package identify

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/refine"
)

// A unit of the second layer that sleeps at nearly all rows contributes c (h(p) - L) = C exp(k b . z) there, whose logarithm is linear in z. It is the largest
// part of what a network without it leaves at the row where that is largest, and around it, by so many orders of magnitude that what the others are wrong by does not
// count: at a few more points there b and C follow by linear least squares.
const (
	tailRows   = 3    // so many points for each unknown
	tailReach  = 2.0  // units of the first layer that are elsewhere there than at that row are at most so far from their transitions, where they tell
	tailFrom   = 30   // what is left at that row, over what is left at most
	tailSpread = 0.3  // median error of the logarithm up to which what is left counts as one unit's tail
	tailSame   = 0.8  // cosine of its weights with those of a unit that sleeps already from which on it is that
	tailRounds = 30   // of reweighting, as points where something else is left are to be passed over
	tailMost   = 1e3  // output weight, over the spread of f, up to which it is one
	tailSteep  = 10.0 // norm of its weights, over the largest of the others', up to which it is one
	tailAwake  = 1.5  // in terms of 1/k, how far from its transition the unit is put where it comes nearest to it
)

// tail returns n with one more unit in the second layer, whose tail explains what n leaves of the answers where that is most; nil where no tail does.
// One that n has already, about, is replaced, if that is wanted: it may stand for two.
func (e *exact) tail(ctx context.Context, n *network.Network, h core.Function, middle *recover.Middle, replace bool) (*network.Network, error) {
	rate := h.Facts().Left.Rate
	if !(rate > 0) || math.IsInf(rate, 1) {
		return nil, nil
	}
	known := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	left := residuals(n, h, known)
	floor := math.Max(middleOf(left), e.noise*e.scales.Spread)
	most := floats.MaxIdx(left)
	if left[most] < tailFrom*floor {
		return nil, nil
	}
	m0, m1 := n.Sizes()
	centre := middle.Coordinates(known.X.RawRowView(most))
	near, err := e.around(ctx, middle, centre, tailRows*(m0+1), tailReach)
	if err != nil {
		return nil, err
	}
	z := firstLayer(n, h, near.X)
	left = floats.SubTo(make([]float64, len(near.Y)), near.Y, n.Evaluate(h, h, near.X))
	side := 0.0
	for _, v := range left {
		side += math.Copysign(1, v)
	}
	side = math.Copysign(1, side)
	var used []int
	for r, v := range left {
		if v*side > 10*floor {
			used = append(used, r)
		}
	}
	if len(used) < tailRows*(m0+1)*2/3 {
		return nil, nil
	}
	design := mat.NewDense(len(used), m0+1, nil)
	target := mat.NewVecDense(len(used), nil)
	for i, r := range used {
		row := design.RawRowView(i)
		floats.ScaleTo(row[:m0], rate, z.RawRowView(r))
		row[m0] = 1
		target.SetVec(i, math.Log(side*left[r]))
	}
	solution, spread := leastAbsolute(design, target)
	if solution == nil || spread > tailSpread {
		return nil, nil
	}
	for l := range m1 { // one that is there already, but known badly, is not a further one
		if side, _ := sleeps(n, h, l, known.X); side != 0 {
			b := n.Second.Weight.RawRowView(l)
			if -side*floats.Dot(b, solution[:m0]) > tailSame*floats.Norm(b, 2)*floats.Norm(solution[:m0], 2) {
				if !replace || m1 == 1 {
					return nil, nil
				}
				return e.tail(ctx, without(n, h, l, side), h, middle, true)
			}
		}
	}
	larger := network.New(n.Inputs(), m0, m1+1, n.First.Activation, n.Second.Activation)
	larger.First = n.Clone().First
	steepest := 0.0
	for l := range m1 {
		larger.Second.Weight.SetRow(l, n.Second.Weight.RawRowView(l))
		steepest = math.Max(steepest, floats.Norm(n.Second.Weight.RawRowView(l), 2))
	}
	if floats.Norm(solution[:m0], 2) > tailSteep*steepest {
		return nil, nil
	}
	copy(larger.Second.Bias, n.Second.Bias)
	copy(larger.Output, n.Output)
	b := solution[:m0]
	larger.Second.Weight.SetRow(m1, b)
	var p mat.VecDense
	p.MulVec(z, mat.NewVecDense(m0, b))
	nearest := mat.Max(&p)
	larger.Second.Bias[m1] = -tailAwake/rate - nearest
	// C exp(k b . z) at the nearest row, as the activation has it there.
	limit := h.Facts().Left.Intercept
	at := []float64{-tailAwake / rate}
	h.Apply(0, at, at)
	larger.Output[m1] = side * math.Exp(solution[m0]+rate*nearest) / (at[0] - limit)
	larger.OutputBias = n.OutputBias - larger.Output[m1]*limit
	if !(math.Abs(larger.Output[m1]) <= tailMost*e.scales.Spread) {
		return nil, nil
	}
	return larger, nil
}

// aroundMoves is up to how many units of the first layer are elsewhere around a place than there: few at a time, as each takes a unit of the second layer down by some orders of magnitude.
const aroundMoves = 4

// around asks at so many places that differ from the given one in a few coordinates, which are drawn from [-reach, reach], and counts them among those in the middle.
func (e *exact) around(ctx context.Context, middle *recover.Middle, place []float64, count int, reach float64) (refine.Data, error) {
	points := mat.NewDense(count, len(place), nil)
	for r := range count {
		v := slices.Clone(place)
		for range 1 + e.rng.IntN(aroundMoves) {
			v[e.rng.IntN(len(v))] = reach * (2*e.rng.Float64() - 1)
		}
		points.SetRow(r, middle.Near(v))
	}
	from := len(e.log.Y)
	if _, err := middle.Ask(ctx, points); err != nil {
		return refine.Data{}, err
	}
	e.spreaded = len(e.log.Y) - e.spreadFrom
	return e.rows(from, len(e.log.Y)), nil
}

// without returns n without unit l of the second layer, which sleeps on the given side at nearly all rows.
func without(n *network.Network, h core.Function, l int, side float64) *network.Network {
	limit := h.Facts().Left.Intercept
	if side > 0 {
		limit = h.Facts().Right.Intercept
	}
	less := n.WithoutSecond(l)
	less.OutputBias += n.Output[l] * limit
	return less
}

// leastAbsolute solves least squares with Cauchy's weights on the scale of the median error, which it returns too; nil where the rows determine no solution.
func leastAbsolute(design *mat.Dense, target *mat.VecDense) ([]float64, float64) {
	count, columns := design.Dims()
	weights := make([]float64, count)
	for i := range weights {
		weights[i] = 1
	}
	var solution, predicted mat.VecDense
	spread := math.Inf(1)
	for range tailRounds {
		weighted, right := mat.DenseCopyOf(design), mat.VecDenseCopyOf(target)
		for i, w := range weights {
			floats.Scale(w, weighted.RawRowView(i))
			right.SetVec(i, w*right.AtVec(i))
		}
		var qr mat.QR
		qr.Factorize(weighted)
		if err := qr.SolveVecTo(&solution, false, right); err != nil {
			return nil, spread
		}
		predicted.MulVec(design, &solution)
		errors := make([]float64, count)
		for i := range errors {
			errors[i] = math.Abs(predicted.AtVec(i) - target.AtVec(i))
		}
		spread = math.Max(middleOf(errors), 1e-12)
		for i, v := range errors {
			weights[i] = 1 / math.Hypot(1, v/(robustFrom*spread))
		}
	}
	return solution.RawVector().Data[:columns], spread
}
