package identify

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// denseParameters is up to how many parameters the normal equations are formed; beyond, their time (P^2 rows) and memory
// (P^2) would be more than those of all else.
const denseParameters = 3000

// nearly is the root mean square residual, relative to the spread of f, from which the fit of all parameters, directions
// too, is worth more than another base point.
const nearly = 1e-5

// nearlyExplains reports whether the network found so far explains the answers near the transitions nearly.
func (e *exact) nearlyExplains() bool {
	data := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	residual := e.found.Evaluate(e.family.Function, e.family.Function, data.X)
	floats.Sub(residual, data.Y)
	return floats.Norm(residual, 2) <= nearly*e.scales.Spread*math.Sqrt(float64(len(residual)))
}

// polish fits all parameters to the answers from near the transitions: unlike the far ones they are of one accuracy and
// determine everything well. Units that turn out to be superfluous are dropped.
func (e *exact) polish(ctx context.Context) error {
	e.report.start("polish")
	var c Candidate
	c, e.remark = e.family.nameTwin(e.found)
	e.family.Candidate = c
	iterations := 30
	if e.loss > goodLoss {
		iterations = patience
	}
	if err := e.fitAll(ctx, e.found, iterations); err != nil {
		return err
	}
	// Units that were found one by one may be one unit found twice: the fit can hide that in a weak one.
	for (len(e.certificate.Undetermined) > 0 || e.sleepers) && e.loss <= goodLoss {
		dropped, err := e.drop(ctx)
		if err != nil {
			return err
		}
		if !dropped {
			break
		}
	}
	e.report.finish("relative error bar %.1e, residuals %.1f times what noise explains", e.certificate.ErrorBar, e.certificate.Excess)
	return nil
}

// fitAll fits all parameters from the start n and certifies what comes of it.
func (e *exact) fitAll(ctx context.Context, n *network.Network, iterations int) error {
	g := e.family.Function
	fit := refine.Levenberg
	if n.Parameters() > denseParameters {
		fit = refine.GaussNewton
	}
	fitted, stats, err := fit(ctx, n, g, g, e.trusted(n, e.family.Candidate, e.roundingError(), e.local), refine.Settings{
		Iterations: iterations, Tolerance: 0.05, Damping: 1e-9,
		Observe: func(iteration int, loss float64) {
			e.report.progress(iteration, 0, loss, "iteration %d", iteration)
		},
	})
	if err != nil {
		return err
	}
	e.found, e.loss = fitted, stats.Loss
	e.certificate, err = certify.At(ctx, fitted, g, g, e.trusted(fitted, e.family.Candidate, e.roundingError(), e.local), denseParameters)
	return err
}

// drop looks for a unit of the second layer without which the network explains the answers as well, and drops it.
func (e *exact) drop(ctx context.Context) (bool, error) {
	before, certificate, loss := e.found, e.certificate, e.loss
	_, m1 := before.Sizes()
	g := e.family.Function
	for l := range m1 {
		if m1 == 1 {
			break
		}
		n := before.WithoutSecond(l)
		n, stats, err := refine.FixedDirections(ctx, n, g, g, e.trusted(n, e.family.Candidate, e.directionError(), e.local), refine.Settings{Iterations: patience / 2})
		if err != nil {
			return false, err
		}
		if stats.Loss > 1e4*goodLoss {
			continue
		}
		if err := e.fitAll(ctx, n, 30); err != nil {
			return false, err
		}
		if e.loss <= math.Max(goodLoss, 2*loss) {
			return true, nil
		}
	}
	e.found, e.certificate, e.loss = before, certificate, loss
	return false, nil
}
