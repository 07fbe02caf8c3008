package identify

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/refine"
)

// denseParameters is up to how many parameters the normal equations are formed; beyond, their time (P^2 rows) and memory
// (P^2) would be more than those of all else.
const denseParameters = 1500

// denseCertificate is the same for the certificate, which takes one decomposition and is worth it.
const denseCertificate = 6000

// valleyParameters is the number of parameters up to which a fit that creeps goes on along the bottom of its valley (refine.Valley).
const valleyParameters = 400

// wellConditioned is the condition number up to which normal equations find the least of the loss.
const wellConditioned = 1e6

// hopeless is the loss, after a valley was followed to its end, from which a unit less does not help: one that was found twice explains the answers as
// well as one, and so what is left so far above the noise is due to another form of f.
const hopeless = 1e10

// nearly is the root mean square residual, relative to the spread of f, from which the fit of all parameters, directions
// too, is worth more than another base point.
const nearly = 1e-5

// nearlyExplains reports whether the network found so far explains the answers near the transitions nearly.
func (e *exact) nearlyExplains() bool { return e.nearly(nearly) }

// nearly reports whether the root mean square residual of the network found so far, relative to the spread of f, is at most that.
func (e *exact) nearly(most float64) bool {
	if e.found == nil || e.spreaded == 0 {
		return false
	}
	data := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	residual := e.found.Evaluate(e.family.Function, e.family.Function, data.X)
	floats.Sub(residual, data.Y)
	return floats.Norm(residual, 2) <= most*e.scales.Spread*math.Sqrt(float64(len(residual)))
}

// polish fits all parameters to the answers from near the transitions: unlike the far ones they are of one accuracy and
// determine everything well. Units that turn out to be superfluous are dropped.
func (e *exact) polish(ctx context.Context) error {
	e.report.start("polish")
	var c Candidate
	c, e.remark = e.family.nameTwin(e.found)
	e.family = e.family.as(c)
	iterations := 30
	if e.loss > goodLoss {
		iterations = patience
	}
	if err := e.fitAll(ctx, e.found, iterations); err != nil {
		return err
	}
	if e.loss > goodLoss {
		if _, err := e.split(ctx); err != nil {
			return err
		}
	}
	// Units that were found one by one may be one unit found twice: the fit can hide that in a weak one.
	for (e.sleepers || e.undetermined()) && (e.loss <= 1e4*goodLoss || e.loss <= hopeless && e.creeps(e.found)) {
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

// Where noise is amplified so much that an error bar is more than barWanted, more is asked where it tells most: so many rounds of half as many answers as there are
// parameters.
const (
	barWanted     = 1e-9
	sharpenRounds = 6
	sharpened     = 0.9 // of the bar is left at most by a round that is worth its answers
)

// sharpen asks for more answers where the network found, which explains those so far, is least certain: a unit of the second layer that sleeps everywhere is known from
// the second power of its tail. Where they leave such a unit open, it is asked where that power is largest.
func (e *exact) sharpen(ctx context.Context) error {
	for range sharpenRounds {
		bar, n := e.certificate.ErrorBar, e.found
		if e.noisy() || e.reach > 0 || bar <= barWanted || n.Parameters() > denseParameters {
			return nil
		}
		e.report.start("polish")
		middle, err := e.middle(n, e.family)
		if err != nil {
			return err
		}
		before, certificate, loss := e.found, e.certificate, e.loss
		if len(certificate.Undetermined) > 0 {
			if n, err = e.rouse(ctx, n, middle); err != nil {
				return err
			}
		}
		if n == before { // no unit sleeps: the answers so far come from where what is open changes little
			points := e.telling(n, e.family, e.trusted(n, e.family.Candidate, e.roundingError(), e.local), middle, n.Parameters()/2)
			if points == nil {
				return nil
			}
			if _, err := e.log.Ask(ctx, points); err != nil {
				return err
			}
		}
		if err := e.fitAll(ctx, n, 30); err != nil {
			return err
		}
		if e.loss > goodLoss { // the fit ran away
			e.found, e.certificate, e.loss = before, certificate, loss
			return nil
		}
		e.report.finish("relative error bar %.1e, residuals %.1f times what noise explains", e.certificate.ErrorBar, e.certificate.Excess)
		if e.certificate.ErrorBar > sharpened*bar {
			return nil
		}
	}
	return nil
}

// rouse asks where those units of the second layer that sleep, and whose output weights the answers leave open, are most alive, and fits each alone to all answers; it returns n where
// there is none.
func (e *exact) rouse(ctx context.Context, n *network.Network, middle *recover.Middle) (*network.Network, error) {
	g := e.family.Function
	for l, bar := range e.certificate.Output {
		asleep, _ := sleeps(n, g, l, e.rows(e.spreadFrom, e.spreadFrom+e.spreaded).X)
		if bar < rouseFrom || asleep == 0 {
			continue
		}
		points := mat.NewDense(len(n.First.Bias)+2, len(middle.Shift), nil)
		for r := range points.RawMatrix().Rows {
			points.SetRow(r, e.summit(n, g, l, -asleep, middle))
		}
		if _, err := middle.Ask(ctx, points); err != nil {
			return nil, err
		}
		e.spreaded = len(e.log.Y) - e.spreadFrom
		n = e.alone(n, g, l, e.rows(e.spreadFrom, e.spreadFrom+e.spreaded), e.noise*e.scales.Spread, false)
	}
	return n, nil
}

// rouseFrom is the relative error bar of an output weight from which it is open.
const rouseFrom = 0.05

// creeps reports whether the fit of n ended near the answers, yet above their noise, and a valley may lead on.
func (e *exact) creeps(n *network.Network) bool {
	return e.loss > goodLoss && n.Parameters() <= valleyParameters && math.Sqrt(e.loss)*e.relativeNoise() <= splitFrom
}

// undetermined reports whether there are parameters that the answers leave open, or so nearly that two units may be one.
func (e *exact) undetermined() bool {
	return len(e.certificate.Undetermined) > 0 || e.certificate.ErrorBar > mostAmplified*e.noise
}

// fitAll fits all parameters from the start n and certifies what comes of it.
func (e *exact) fitAll(ctx context.Context, n *network.Network, iterations int) error {
	g := e.family.Function
	fitted, stats, err := fitWhole(ctx, n, g, e.trusted(n, e.family.Candidate, e.roundingError(), e.local), refine.Settings{
		Iterations: iterations, Tolerance: 0.05, Damping: 1e-9,
		Observe: func(iteration int, loss float64) {
			e.report.progress(iteration, 0, loss, "iteration %d", iteration)
		},
	})
	if err != nil {
		return err
	}
	creeping := stats.Loss > goodLoss && n.Parameters() <= valleyParameters || e.lingers(stats.Loss)
	if !creeping {
		e.found, e.loss = fitted, stats.Loss
		if err := e.certify(ctx); err != nil {
			return err
		}
		// Normal equations end within the noise, but where they lose all digits not at its least: error bars would not hold.
		creeping = e.certificate.Condition > wellConditioned && n.Parameters() <= valleyParameters
	}
	if !creeping {
		return nil
	}
	if e.found, stats, err = e.fitOn(ctx, fitted, g, e.trusted(fitted, e.family.Candidate, e.roundingError(), e.local)); err != nil {
		return err
	}
	e.loss = stats.Loss
	return e.certify(ctx)
}

// fitOn goes on with a fit of all parameters that creeps: along its valley, where that does not take too long.
func (e *exact) fitOn(ctx context.Context, n *network.Network, g core.Function, data refine.Data) (*network.Network, refine.Statistics, error) {
	if n.Parameters() > valleyParameters {
		return fitWhole(ctx, n, g, data, refine.Settings{Iterations: patience, Tolerance: 1e-4, Damping: 1e-6})
	}
	return refine.Valley(ctx, n, g, g, data, refine.Settings{
		Observe: func(iteration int, loss float64) {
			e.report.progress(iteration, 0, loss, "along a valley: iteration %d", iteration)
		},
	})
}

// lingers reports whether a fit to noisy answers that has come within reach of the noise has not arrived: sleeping units creep along a valley, at whose end the loss is
// one, or less by what the parameters take up. What single precision leaves is not the same everywhere, and its estimate too rough for that.
func (e *exact) lingers(loss float64) bool {
	return loss > 1 && loss <= goodLoss && e.noisy() && !e.scales.Single() && loss > 1+lingering*math.Sqrt(2/float64(len(e.log.Y)-e.local))
}

// lingering is how many standard deviations more than one the loss of a fit may be that has arrived.
const lingering = 3

// certify certifies what was found.
func (e *exact) certify(ctx context.Context) error {
	g := e.family.Function
	var err error
	e.certificate, err = certify.At(ctx, e.found, g, g, e.trusted(e.found, e.family.Candidate, e.roundingError(), e.local), denseCertificate)
	return err
}

// fitWhole fits all parameters of n, with normal equations or without as its size says.
func fitWhole(ctx context.Context, n *network.Network, g core.Function, data refine.Data, settings refine.Settings) (*network.Network, refine.Statistics, error) {
	if n.Parameters() <= denseParameters {
		return refine.Levenberg(ctx, n, g, g, data, settings)
	}
	data.Sigma = levelled(data.Sigma)
	return refine.GaussNewton(ctx, n, g, g, data, settings)
}

// levelled returns sigma, no less than its median: where a few rows weigh much more than the rest, conjugate gradients take several times as
// many steps, and there are hardly more rows than parameters.
func levelled(sigma []float64) []float64 {
	if sigma == nil {
		return nil
	}
	level := slices.Clone(sigma)
	slices.Sort(level)
	median := level[len(level)/2]
	for i, s := range sigma {
		level[i] = math.Max(s, median)
	}
	return level
}

// drop looks for a unit of the second layer without which the network explains the answers as well, and drops it. What the others can take over of it they do: two that
// cancel each other would else have a long way to go.
func (e *exact) drop(ctx context.Context) (bool, error) {
	before, certificate, loss := e.found, e.certificate, e.loss
	g := e.family.Function
	near := e.trusted(before, e.family.Candidate, e.directionError(), e.local)
	for _, n := range local.WithoutOne(before, g, g, near.X) {
		n, stats, err := refine.FixedDirections(ctx, n, g, g, near, refine.Settings{Iterations: patience / 2})
		if err != nil {
			return false, err
		}
		if stats.Loss > 1e4*math.Max(goodLoss, loss) {
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
