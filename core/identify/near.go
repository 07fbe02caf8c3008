package identify

import (
	"context"
	"math"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

// Where f saturates along random rays from Saturation on, most units turn within a hundredth of it. As a fall-back the
// local method gets a few students only.
const (
	nearFraction   = 100
	fallbackStarts = 6
	noisyStarts    = 3
	// fallbackParameters is the most that its students may have then: with more, each of them takes minutes.
	fallbackParameters = 600
)

// nearInstead is near where the way from far out did not lead to a fit (for the reason given, or because its residuals
// are more than noise); the better of the two networks stays.
func (e *exact) nearInstead(ctx context.Context, reason error) error {
	before := *e
	err := e.near(ctx)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
		return err
	}
	e.found, e.family, e.loss, e.margin, e.certificate = before.found, before.family, before.loss, before.margin, before.certificate
	e.reach, e.local = 0, before.local
	if e.scales, e.noise = before.scales, before.noise; e.found == nil {
		if reason != nil {
			return reason
		}
		return err
	}
	return e.polish(ctx)
}

// near identifies from answers near the origin alone (package local): where the caller bounds the domain, or the
// activation does not saturate. The candidates are tried in order until one explains the answers to their noise.
func (e *exact) near(ctx context.Context) error {
	e.reach = e.problem.Domain
	box, starts, parameters := e.reach, 0, 0
	noisy := e.scales != nil && e.noisy() && e.found == nil
	switch {
	case e.reach > 0:
	case noisy:
		e.reach, starts = e.scales.Saturation/nearFraction, noisyStarts
	case e.scales != nil: // f saturates, yet far out nothing could be made of it: look where the units are alive
		e.reach, starts, parameters = e.scales.Saturation/nearFraction, fallbackStarts, fallbackParameters
		if !e.noisy() { // near the origin units hide in noise: students that come close are to look farther out
			box = e.reach
		}
	default:
		e.reach = 1
	}
	e.report.start("scales")
	scales, err := sample.MeasureNear(ctx, e.log, e.problem.Info.Inputs, e.reach, e.single(), e.rng)
	if err != nil {
		return err
	}
	e.scales = scales
	e.noise = e.relativeNoise()
	e.report.finish("within |x| = %.3g f varies by about %.3g, its answers are noisy by %.1e", e.reach, scales.Spread, scales.Noise)

	e.report.start("fit")
	e.local = len(e.log.Y)
	var last error
	for _, f := range e.families {
		n, stats, err := local.Start(ctx, e.log, e.problem.Info.Inputs, f.Function, f.Function, local.Settings{
			Domain: box, Starts: starts, Parameters: parameters, M0: e.problem.M0, M1: e.problem.M1, Noise: scales.Noise, Seed: e.settings.Seed, Activation: f.Name,
			Observe: func(text string) { e.report.progress(0, 0, 0, "%s: %s", f.Name, text) },
		})
		if n != nil {
			e.found, e.family, e.margin = n, f, stats.Margin
		}
		if err == nil {
			m0, m1 := n.Sizes()
			e.report.finish("%s: %d and %d units", f.Name, m0, m1)
			return e.polish(ctx)
		}
		if ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
			return err
		}
		last = err
	}
	e.report.finish("no candidate explains the answers")
	return last
}

// allFamilies groups candidates that describe the same networks, whatever their tails.
func allFamilies(candidates []Candidate) []family {
	var groups []family
next:
	for _, c := range candidates {
		for k := range groups {
			if _, ok := network.Equivalent(groups[k].Function, c.Function); ok {
				groups[k].twins = append(groups[k].twins, c)
				continue next
			}
		}
		groups = append(groups, family{Candidate: c})
	}
	return groups
}

// notSaturating returns the families without finite limits.
func notSaturating(candidates []Candidate) []family {
	var open []Candidate
	for _, c := range candidates {
		if !c.Function.Facts().Saturates() {
			open = append(open, c)
		}
	}
	return allFamilies(open)
}

// place fills row with a random point at which validation asks: anywhere in the box for a run near the origin, else
// from where all units are alive to where most are saturated.
func (e *exact) place(row []float64) {
	if e.reach > 0 {
		for j := range row {
			row[j] = e.reach * (2*e.rng.Float64() - 1)
		}
		return
	}
	radius := e.scales.Saturation * math.Exp(-6*e.rng.Float64()) / math.Sqrt(float64(len(row))) / 4
	for j := range row {
		row[j] = radius * e.rng.NormFloat64()
	}
}
