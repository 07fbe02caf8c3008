package identify

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// A unit of the second layer may be awake where units of the first are saturated on certain sides and nowhere else: in one of a hundred such places, say. The answers in the middle may have none of them, and fresh
// ones, which are few, too. But the search for the first layer has asked far out in hundreds of such places, answers that no fit has seen.
const (
	contradicts      = 100  // times its error, by which an answer differs from a network
	leastContradicts = 1e-9 // the same, over the spread of f
	mostContradicted = 64   // of them are fitted
)

// contradictions returns the answers from far out that the network n contradicts.
func (e *exact) contradictions(n *network.Network, f family) refine.Data {
	far := e.rows(0, e.local)
	bar := e.roundingError()
	if e.certificate != nil && len(e.certificate.First) > 0 {
		bar = math.Max(bar, floats.Max(e.certificate.First))
	}
	sigma := e.sigma(n, f.Function, far.X, far.Y, bar)
	var kept []int
	for r, off := range residuals(n, f.Function, far) {
		if off > math.Max(contradicts*sigma[r], leastContradicts*e.scales.Spread) && len(kept) < mostContradicted {
			kept = append(kept, r)
		}
	}
	if len(kept) == 0 {
		return refine.Data{}
	}
	data := refine.Data{X: mat.NewDense(len(kept), n.Inputs(), nil)}
	for k, r := range kept {
		data.X.SetRow(k, far.X.RawRowView(r))
		data.Y = append(data.Y, far.Y[r])
	}
	return data
}

// revise fits what was found to the answers that contradict it, too, with the units of the second layer that they are due to. It reports whether it explains them, and all others, then.
func (e *exact) revise(ctx context.Context, against refine.Data) (bool, error) {
	if e.spreaded == 0 {
		return false, nil
	}
	e.report.start("fit")
	e.report.progress(0, 0, 0, "%d answers from elsewhere contradict the network found", len(against.Y))
	middle, err := e.middle(e.found, e.family)
	if err != nil {
		return false, err
	}
	for r := range against.Y {
		e.log.X = append(e.log.X, against.X.RawRowView(r))
	}
	e.log.Y = append(e.log.Y, against.Y...)
	e.spreaded = len(e.log.Y) - e.spreadFrom
	found, certificate, loss := e.found, e.certificate, e.loss
	n, left, err := e.fitCrowds(ctx, found, e.family, middle)
	if err != nil {
		return false, err
	}
	e.report.finish("residuals %.1f times what noise explains", math.Sqrt(left))
	if left <= goodLoss {
		e.report.start("polish")
		if err := e.fitAll(ctx, n, 30); err != nil {
			return false, err
		}
		e.report.finish("relative error bar %.1e, residuals %.1f times what noise explains", e.certificate.ErrorBar, e.certificate.Excess)
		if e.loss <= goodLoss && len(e.contradictions(e.found, e.family).Y) < len(against.Y) {
			return true, e.sharpen(ctx)
		}
	}
	e.found, e.certificate, e.loss = found, certificate, loss
	return false, nil
}

// contradicted says by what.
func (e *exact) contradicted(n *network.Network, against refine.Data) string {
	g := e.family.Function
	return fmt.Sprintf("the network found differs from %d answers far out by up to %.1e of the spread of f: units of the second layer may be awake there that sleep wherever else it was asked",
		len(against.Y), floats.Max(residuals(n, g, against))/e.scales.Spread)
}
