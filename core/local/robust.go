package local

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// A unit of the second layer that sleeps at nearly all points contributes a billionth of the spread at half of them and a hundredth at a few: its tail is
// that of an exponential. Least squares see the few alone, which are too few to tell its weights, and creep on, all other units bent to them. A robust
// loss sees the many: with Cauchy's weights, 1 / (1 + (r / delta)^2), delta going with the median residual, the units that are awake come out as exactly as the
// sleepers' median contribution is small. What the sleepers are is then in what is left, over all its orders of magnitude.
const (
	robustFrom  = 3.0  // delta over the median of the absolute residuals
	robustGain  = 3.0  // root mean square of the residuals over their median, from which on a robust fit is on its way
	robustStart = 1e-3 // their median, relative to the spread, up to which spare units are removed on the way,
	robustClose = 1e-5 // and up to which most answers count as explained in the end
	robustAwake = 0.05 // of the answers may be left unexplained by more than
	robustLeft  = 1e-2 // that part of the spread: a unit that sleeps is awake at few of them. A steep second layer is saturated at most answers, and they need hardly any of its units
	robustWorse = 3.0  // how many times larger the median may be without a unit that is spare
)

// weigh returns the square roots of Cauchy's weights for the residuals.
func weigh(residual []float64, target float64) []float64 {
	delta := math.Max(robustFrom*median(residual), math.Sqrt(target))
	weights := make([]float64, len(residual))
	for k, r := range residual {
		weights[k] = 1 / math.Hypot(1, r/delta)
	}
	return weights
}

// scaleRows multiplies the rows of the Jacobian and the residuals by the weights.
func scaleRows(jacobian *mat.Dense, residual, weights []float64) {
	for k, w := range weights {
		floats.Scale(w, jacobian.RawRowView(k))
	}
	floats.Mul(residual, weights)
}

// median returns the median of the absolute values.
func median(values []float64) float64 {
	sorted := make([]float64, len(values))
	for k, v := range values {
		sorted[k] = math.Abs(v)
	}
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// robust fits on a student that has stopped with a robust loss, and prunes it to the units that most answers need. It reports whether these are explained: then what is
// left are units that sleep at nearly all points, and perhaps stand-ins for them.
func (s *search) robust(ctx context.Context, n *network.Network, loss float64) (*network.Network, bool, error) {
	data := s.data()
	scales := s.scales
	s.scales = !s.shifted
	defer func() { s.scales = scales }()
	n, typical, err := s.fitTypical(ctx, n, data, 150, 5, 0.03)
	if err != nil {
		return n, false, err
	}
	s.trace("    robust: median residual %.1e, of %.1e, of the spread", typical/math.Sqrt(s.variance), math.Sqrt(loss/s.variance))
	if typical > robustStart*math.Sqrt(s.variance) || typical*robustGain > math.Sqrt(loss) {
		return n, false, nil
	}
	least := max(1, s.settings.M1)
	floor := math.Max(typical, math.Sqrt(s.target))
	for count := len(n.Output) / 2; count > 0; {
		_, m1 := n.Sizes()
		if m1-count < least {
			count /= 2
			continue
		}
		removed := false
		list := s.spareUnits(n, data)
		for try := range min(tries, len(list)) {
			trial := list[try].apply(n)
			for range count - 1 { // several at once are the most superfluous ones
				if spare := s.spareUnits(trial, data); len(spare) > 0 {
					trial = spare[0].apply(trial)
				}
			}
			trial, t, err := s.fitTypical(ctx, trial, data, 60, 3, 0.05)
			if err != nil {
				return n, false, err
			}
			s.trace("    robust: %d units: median residual %.1e of the spread", m1-count, t/math.Sqrt(s.variance))
			if t <= robustWorse*floor {
				n, removed = trial, true
				floor = math.Max(math.Min(floor, t), math.Sqrt(s.target))
				break
			}
			if count > 1 {
				break
			}
		}
		if !removed || count > 1 {
			count /= 2
		}
	}
	if floor > robustClose*math.Sqrt(s.variance) {
		return n, false, nil
	}
	left := n.Evaluate(s.g, s.h, data.X)
	floats.Sub(left, data.Y)
	unexplained := 0
	for _, r := range left {
		if math.Abs(r) > robustLeft*math.Sqrt(s.variance) {
			unexplained++
		}
	}
	s.trace("    robust: %d of %d answers unexplained", unexplained, len(left))
	return n, float64(unexplained) <= robustAwake*float64(len(left)), nil
}

// fitTypical fits with the robust loss; it returns the median of the absolute residuals.
func (s *search) fitTypical(ctx context.Context, n *network.Network, data refine.Data, iterations, patience int, gain float64) (*network.Network, float64, error) {
	n, _, err := s.fit(ctx, n, data, fitSettings{iterations: iterations, target: s.target, patience: patience, gain: gain, damping: 1e-5, robust: true})
	if err != nil {
		return n, 0, err
	}
	residual := n.Evaluate(s.g, s.h, data.X)
	floats.Sub(residual, data.Y)
	return n, median(residual), nil
}

// spareUnits lists the units of the second layer, the most superfluous for those answers that are explained first.
func (s *search) spareUnits(n *network.Network, data refine.Data) []removal {
	residual := n.Evaluate(s.g, s.h, data.X)
	floats.Sub(residual, data.Y)
	most := math.Max(robustFrom*median(residual), math.Sqrt(s.target))
	x := mat.NewDense(len(residual), n.Inputs(), nil)
	count := 0
	for k, r := range residual {
		if math.Abs(r) <= most {
			x.SetRow(count, data.X.RawRowView(k))
			count++
		}
	}
	var list []removal
	for _, r := range removals(n, s.g, s.h, x.Slice(0, count, 0, n.Inputs()).(*mat.Dense)) {
		if r.layer == 1 {
			list = append(list, r)
		}
	}
	return list
}
