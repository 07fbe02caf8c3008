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

// How the units that sleep, the others, and further tails are fitted in turn.
const (
	tailNew    = 0.3  // what is left at that row, over what the units that sleep contribute there, from which on it is not one of them that is known badly
	tailKnown  = 1e-4 // the same, up to which all of them are known well enough for a fit of all parameters
	tailCycles = 12   // of fitting those that sleep and the others in turn
	mostTails  = 4    // so many units are added to a student's
	tailFits   = 40   // iterations of a fit of all parameters: from near by it takes a few
	tailTries  = 3    // so often all parameters are fitted though a row stands out, as the first layer's directions may be wrong by that
	asleepFrom = 3    // in terms of 1/k, how far from its transition a unit sleeps
)

// fitTails finds the units of the second layer that a student lacks, or has but roughly, as they sleep at nearly all rows. The others are fitted to what the sleepers
// leave, robustly, with the first layer's directions as they are, and the sleepers, one by one, to what all others leave where they are most alive: each of the two makes what
// the other one has to reckon with smaller. All parameters are fitted once nothing stands out any more.
func (e *exact) fitTails(ctx context.Context, n *network.Network, f family, middle *recover.Middle) (*network.Network, float64, error) {
	g := f.Function
	best, least := n, math.Inf(1)
	try := func() (bool, error) {
		data := e.trusted(n, f.Candidate, e.roundingError(), e.spreadFrom)
		if len(data.Y) <= n.Parameters() { // too few would be explained by anything
			return false, nil
		}
		fitted, stats, err := fitWhole(ctx, n, g, data, refine.Settings{
			Damping: 1e-9, Iterations: tailFits, Tolerance: 1e-3,
			Observe: func(iteration int, loss float64) { e.report.progress(iteration, 0, loss, "iteration %d", iteration) },
		})
		if err == nil && stats.Loss < least {
			best, least = fitted, stats.Loss
		}
		return least <= goodLoss, err
	}
	tails, tries, lastMost := 0, 0, math.Inf(1)
	for range tailCycles {
		n = merged(n, f) // two that were known badly may turn out to be one
		var err error
		if n, err = e.fitOthers(ctx, n, f); err != nil {
			return nil, 0, err
		}
		known := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
		left := residuals(n, g, known)
		most := floats.MaxIdx(left)
		// What is left of most rows may be due to the first layer's directions.
		straight := false
		straighten := func() error {
			fitted, err := e.fitWholeRobustly(ctx, n, f)
			if err != nil {
				return err
			}
			if off := residuals(fitted, g, known); middleOf(off) < middleOf(left)/10 {
				n, left, most, lastMost, straight = fitted, off, floats.MaxIdx(off), math.Inf(1), true
			}
			return nil
		}
		quiet := max(standsOut*middleOf(left), standsOut*e.noise*e.scales.Spread, tailKnown*sleeping(n, g, known.X)[most])
		if left[most] <= quiet || left[most] <= nearly*e.scales.Spread && tries < tailTries {
			tries++
			if done, err := try(); done || err != nil {
				return best, least, err
			}
			if err := straighten(); err != nil {
				return nil, 0, err
			}
		}
		stalled := left[most] > lastMost/3
		lastMost = left[most]
		if tails < mostTails && (stalled || left[most] > tailNew*sleeping(n, g, known.X)[most]) {
			larger, err := e.tail(ctx, n, g, middle, stalled)
			if err != nil {
				return nil, 0, err
			}
			if larger != nil {
				n = larger
				tails++
				lastMost = math.Inf(1)
				e.report.progress(0, 0, 0, "what is left is the tail of a further unit: %d units", len(n.Output))
			} else if stalled {
				if err := straighten(); err != nil {
					return nil, 0, err
				}
				if !straight {
					break
				}
			}
		}
		for l := range n.Output {
			if _, err := e.wake(ctx, n, g, l, middle); err != nil {
				return nil, 0, err
			}
			data := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
			n = e.alone(n, g, l, data, math.Max(middleOf(residuals(n, g, data)), e.noise*e.scales.Spread), true)
		}
		if n, err = e.fitSleepers(ctx, n, f); err != nil {
			return nil, 0, err
		}
		if n, err = e.fitTogether(ctx, n, f); err != nil {
			return nil, 0, err
		}
	}
	return best, least, nil
}

// fitWholeRobustly fits all parameters with a robust loss.
func (e *exact) fitWholeRobustly(ctx context.Context, n *network.Network, f family) (*network.Network, error) {
	g := f.Function
	data := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	for range reweightings {
		data.Sigma = robustSigma(residuals(n, g, data), e.noise*e.scales.Spread)
		fitted, _, err := fitWhole(ctx, n, g, data, refine.Settings{Damping: 1e-9, Iterations: 20, Tolerance: 1e-2})
		if err != nil {
			return nil, err
		}
		n = fitted
	}
	return n, nil
}

// fitTogether fits all but the first layer's directions, robustly, a row's error being what most rows are wrong by and that part of what the sleepers contribute there by which they are.
func (e *exact) fitTogether(ctx context.Context, n *network.Network, f family) (*network.Network, error) {
	g := f.Function
	data := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	for range reweightings {
		left := residuals(n, g, data)
		tails := sleeping(n, g, data.X)
		floor := math.Max(middleOf(left), e.noise*e.scales.Spread)
		var parts []float64
		for r, v := range left {
			if tails[r] > 10*floor {
				parts = append(parts, v/tails[r])
			}
		}
		part := 0.0
		if len(parts) > 0 {
			part = math.Min(middleOf(parts), 1)
		}
		base := make([]float64, len(left))
		for r, t := range tails {
			base[r] = floor + part*t
			left[r] /= base[r]
		}
		before := math.Max(middleOf(left), math.SmallestNonzeroFloat64)
		data.Sigma = make([]float64, len(left))
		for r, v := range left {
			data.Sigma[r] = toTheEnd * base[r] * math.Hypot(1, v/(robustFrom*before))
		}
		fitted, _, err := refine.FixedDirections(ctx, n, g, g, data, refine.Settings{Damping: 1e-6, Iterations: 20, Tolerance: 1e-2})
		if err != nil {
			return nil, err
		}
		left = residuals(fitted, g, data)
		for r := range left {
			left[r] /= base[r]
		}
		if !(middleOf(left) < before) {
			break
		}
		n = fitted
	}
	return n, nil
}

// fitSleepers fits the units that sleep at nearly all rows to what the others leave, all of them at once: where their tails overlap one by one would take long. Rows count by what the sleepers
// contribute there, at first, then all alike, which arrives at once where no sleeper is missing. What comes of it is taken if it leaves less where that is most.
func (e *exact) fitSleepers(ctx context.Context, n *network.Network, f family) (*network.Network, error) {
	g := f.Function
	data := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	m0, m1 := n.Sizes()
	weights := m0*n.Inputs() + m0 // of the second layer, in refine.Pack's vector
	shifts := weights + m1*m0
	outputs := shifts + m1
	var free, freeShifts, freeOutputs []int
	for l := range m1 {
		if side, _ := sleeps(n, g, l, data.X); side != 0 {
			for i := range m0 {
				free = append(free, weights+l*m0+i)
			}
			freeShifts, freeOutputs = append(freeShifts, shifts+l), append(freeOutputs, outputs+l)
		}
	}
	if len(free) == 0 {
		return n, nil
	}
	free = append(append(append(free, freeShifts...), freeOutputs...), outputs+m1)
	left, tails := residuals(n, g, data), sleeping(n, g, data.X)
	floor := math.Max(middleOf(left), e.noise*e.scales.Spread)
	data.Sigma = make([]float64, len(left))
	for _, part := range sleeperParts {
		for r := range data.Sigma {
			data.Sigma[r] = toTheEnd * (floor + part*tails[r])
		}
		fitted, _, err := refine.Levenberg(ctx, n, g, g, data, refine.Settings{Damping: 1e-6, Iterations: 60, Tolerance: 1e-2, Free: free})
		if err != nil {
			return nil, err
		}
		// Where sleepers were far off, most rows may be explained less well by a little: the next fit of the others mends that.
		if off := residuals(fitted, g, data); floats.Max(off) < floats.Max(left) && middleOf(off) < math.Max(2*middleOf(left), sleeperMedian*floats.Max(left)) {
			n, left = fitted, off
		}
	}
	return n, nil
}

// sleeperMedian is what a fit of the sleepers may leave of most rows, over what was left at most before.
const sleeperMedian = 1e-3

// sleeperParts are by what part of what the sleepers contribute a row may be wrong, in the steps of a fit of them all.
var sleeperParts = []float64{1e-2, 1e-4, 0}

// fitOthers fits all units of the second layer that do not sleep at nearly all rows, and the norms and shifts of the first, with a robust loss.
func (e *exact) fitOthers(ctx context.Context, n *network.Network, f family) (*network.Network, error) {
	g := f.Function
	data := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	awake := n.Clone()
	var asleep []int
	for l := len(n.Output) - 1; l >= 0; l-- {
		if side, _ := sleeps(n, g, l, data.X); side != 0 && len(awake.Output) > 1 {
			awake = awake.WithoutSecond(l)
			asleep = append(asleep, l)
		}
	}
	whole := n.Evaluate(g, g, data.X)
	target := slices.Clone(data.Y)
	rest := awake.Evaluate(g, g, data.X)
	for r := range target {
		target[r] -= whole[r] - rest[r]
	}
	for range reweightings {
		sigma := robustSigma(residuals(awake, g, refine.Data{X: data.X, Y: target}), e.noise*e.scales.Spread)
		fitted, _, err := refine.FixedDirections(ctx, awake, g, g, refine.Data{X: data.X, Y: target, Sigma: sigma}, refine.Settings{Damping: 1e-9, Iterations: 20, Tolerance: 1e-2})
		if err != nil {
			return nil, err
		}
		awake = fitted
	}
	// The sleepers go back to their places.
	result := n.Clone()
	result.First = awake.First
	result.OutputBias = awake.OutputBias
	k := 0
	for l := range n.Output {
		if slices.Contains(asleep, l) {
			continue
		}
		result.Second.Weight.SetRow(l, awake.Second.Weight.RawRowView(k))
		result.Second.Bias[l], result.Output[l] = awake.Second.Bias[k], awake.Output[k]
		k++
	}
	return result, nil
}

// sleeps reports on which side of its transition unit l of the second layer sleeps at nearly all rows, 0 if it does not, and what it contributes there beyond its limit.
func sleeps(n *network.Network, h core.Function, l int, x *mat.Dense) (side float64, tail []float64) {
	facts := h.Facts()
	own := mat.Col(nil, l, secondLayer(n, h, x))
	below, above := 0, 0
	for _, v := range own {
		if v < -asleepFrom/facts.Left.Rate {
			below++
		} else if v > asleepFrom/facts.Right.Rate {
			above++
		}
	}
	limit := facts.Left.Intercept
	side = -1
	if above > below {
		side, below, limit = 1, above, facts.Right.Intercept
	}
	if below < len(own)*9/10 {
		return 0, nil
	}
	h.Apply(0, own, own)
	for r, v := range own {
		own[r] = math.Abs(n.Output[l] * (v - limit))
	}
	return side, own
}

// sleeping returns, for each row, the sum of what those units of the second layer contribute that sleep at nearly all rows.
func sleeping(n *network.Network, h core.Function, x *mat.Dense) []float64 {
	rows, _ := x.Dims()
	total := make([]float64, rows)
	for l := range n.Output {
		if side, tail := sleeps(n, h, l, x); side != 0 {
			floats.Add(total, tail)
		}
	}
	return total
}

// residuals returns what n leaves of the answers, without signs.
func residuals(n *network.Network, h core.Function, data refine.Data) []float64 {
	left := floats.SubTo(make([]float64, len(data.Y)), data.Y, n.Evaluate(h, h, data.X))
	for r, v := range left {
		left[r] = math.Abs(v)
	}
	return left
}

// robustSigma returns Cauchy's weights for what is left of the answers, as errors: that of most rows, no less than noise, raised where a row stands out.
func robustSigma(left []float64, noise float64) []float64 {
	delta := math.Max(robustFrom*middleOf(left), noise)
	sigma := make([]float64, len(left))
	for r, v := range left {
		sigma[r] = toTheEnd * delta * math.Hypot(1, v/delta)
	}
	return sigma
}

// toTheEnd scales errors that are those of other units, not noise, so that fits do not end at them.
const toTheEnd = 1e-6

// A robust fit goes by the residuals before it: so many in a row.
const reweightings = 4

// robustFrom is the scale of Cauchy's weights over the median of the residuals.
const robustFrom = 3.0

// middleOf returns the median.
func middleOf(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
