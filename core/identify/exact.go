package identify

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
)

// exact is one run of the exact recipe.
type exact struct {
	problem  Problem
	settings Settings
	log      *sample.Log
	rng      *rand.Rand
	report   *reporter
	scales   *sample.Scales
	spreaded int // queries of spread so far
	local    int // first query in log that was asked near the transitions, not far out
}

// attempts at the second layer, each from another base point.
const attempts = 4

// run finds the network; what it returns may be unfinished when err is not nil.
func (e *exact) run(ctx context.Context) (*network.Network, Candidate, *certify.Certificate, error) {
	d := e.problem.Info.Inputs
	none := Candidate{}
	e.report.start("scales")
	scales, err := sample.Measure(ctx, e.log, d, e.rng)
	if err != nil {
		return nil, none, nil, err
	}
	e.scales = scales
	e.report.finish("f saturates at |x| = %.3g; it varies by %.3g, its answers are noisy by %.1e", scales.Saturation, scales.Spread, scales.Noise)

	e.report.start("first layer")
	units, err := sample.Saturate(ctx, e.log, d, *scales, e.rng, sample.SaturationSettings{
		Units: e.problem.M0,
		Observe: func(lines, found int) {
			e.report.progress(found, e.problem.M0, 0, "%d units after %d lines", found, lines)
		},
	})
	if err != nil {
		return nil, none, nil, err
	}
	if len(units) == 0 {
		return nil, none, nil, fault.New(fault.Unsupported, "no unit of the first layer was found")
	}
	e.report.finish("%d units", len(units))

	e.local = len(e.log.Y)
	var best *network.Network
	var bestCandidate Candidate
	least := math.Inf(1)
	var last error
	for range attempts {
		n, candidate, loss, err := e.second(ctx, units)
		if err != nil {
			if ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
				return best, bestCandidate, nil, err
			}
			last = err
			continue
		}
		if loss < least {
			best, bestCandidate, least = n, candidate, loss
		}
		if least < 10 {
			last = nil
			break
		}
		last = fault.New(fault.Unsupported, "the best fit leaves residuals %.1e times what the answers' noise explains", math.Sqrt(least))
	}
	if best == nil || (last != nil && math.IsInf(least, 1)) {
		return best, bestCandidate, nil, last
	}
	n, certificate, err := e.polish(ctx, best, bestCandidate)
	return n, bestCandidate, certificate, err
}

func (e *exact) relativeNoise() float64 { return math.Max(e.scales.Noise/e.scales.Spread, 1e-14) }

// second recovers the second layer and the shifts from a fresh base point and fits them, for every candidate
// activation; it returns the best and its relative residual.
func (e *exact) second(ctx context.Context, units []sample.Unit) (*network.Network, Candidate, float64, error) {
	e.report.start("second layer")
	var best *network.Network
	var bestCandidate Candidate
	least := math.Inf(1)
	from := len(e.log.Y)
	latent, err := recover.NewLatent(units, e.problem.Candidates[0].Function.Facts().Right.Rate)
	if err != nil {
		return nil, bestCandidate, least, err
	}
	second, err := recover.SecondLayer(ctx, e.log, latent, e.rng, recover.Settings{
		Noise: e.relativeNoise(), M1: e.problem.M1, Solver: e.problem.Solver, Seed: e.settings.Seed,
	})
	if err != nil {
		return nil, bestCandidate, least, err
	}
	m1, _ := second.Slopes.Dims()
	e.report.finish("%d units", m1)
	e.report.start("fit")
	if err := e.spread(ctx, latent, m1); err != nil {
		return nil, bestCandidate, least, err
	}
	data := e.rows(from, len(e.log.Y))
	for _, c := range e.problem.Candidates {
		n := second.Network(c.Function, c.Function, c.Name, c.Name)
		n.OutputBias = meanResidual(n, c, data)
		fitted, _, err := refine.FixedDirections(ctx, n, c.Function, c.Function, data, refine.Settings{
			Observe: func(iteration int, loss float64) {
				e.report.progress(iteration, 0, loss/(e.scales.Spread*e.scales.Spread), "iteration %d", iteration)
			},
		})
		if err != nil {
			return best, bestCandidate, least, err
		}
		fitted, stats, err := refine.FixedDirections(ctx, fitted, c.Function, c.Function, e.trusted(fitted, c, 1e-8, 0), refine.Settings{})
		if err != nil {
			return best, bestCandidate, least, err
		}
		if stats.Loss < least {
			best, bestCandidate, least = fitted, c, stats.Loss
		}
	}
	e.report.finish("loss %.1e", least)
	return best, bestCandidate, least, nil
}

func meanResidual(n *network.Network, c Candidate, data refine.Data) float64 {
	y := n.Evaluate(c.Function, c.Function, data.X)
	total := 0.0
	for i := range y {
		total += data.Y[i] - y[i]
	}
	return n.OutputBias + total/float64(len(y))
}

// rows returns the logged queries from..to as data.
func (e *exact) rows(from, to int) refine.Data {
	x := mat.NewDense(to-from, e.problem.Info.Inputs, nil)
	for i := from; i < to; i++ {
		x.SetRow(i-from, e.log.X[i])
	}
	return refine.Data{X: x, Y: e.log.Y[from:to]}
}

// exactDirections is the relative error that rounding of x and of a_i . x leaves.
const exactDirections = 4e-16

// polish fits all parameters to the answers from near the transitions: unlike the far ones they are of one accuracy and
// determine everything well.
func (e *exact) polish(ctx context.Context, n *network.Network, c Candidate) (*network.Network, *certify.Certificate, error) {
	e.report.start("polish")
	n, _, err := refine.Levenberg(ctx, n, c.Function, c.Function, e.trusted(n, c, exactDirections, e.local), refine.Settings{
		Iterations: 30, Tolerance: 0.05, Damping: 1e-9,
		Observe: func(iteration int, loss float64) {
			e.report.progress(iteration, 0, loss, "iteration %d", iteration)
		},
	})
	if err != nil {
		return n, nil, err
	}
	certificate := certify.At(n, c.Function, c.Function, e.trusted(n, c, exactDirections, e.local))
	e.report.finish("relative error bar %.1e, residuals %.1f times the expected", certificate.ErrorBar, certificate.Excess)
	return n, certificate, nil
}

// trusted returns the paid queries that tell something, when the directions of n are known to directionError, with
// the error of each answer that follows: the oracle's noise, and what |x| makes of the directions' error.
func (e *exact) trusted(n *network.Network, c Candidate, directionError float64, from int) refine.Data {
	all := e.rows(from, len(e.log.Y))
	var u mat.Dense
	u.Mul(all.X, n.First.Weight.T())
	sensitivity := refine.Sensitivity(n, c.Function, c.Function, all.X)
	var kept []int
	var sigma []float64
	norms := make([]float64, len(n.First.Bias))
	for i := range norms {
		norms[i] = floats.Norm(n.First.Weight.RawRowView(i), 2)
	}
	saturated := 40 / c.Function.Facts().Right.Rate
	for r := range all.Y {
		size := floats.Norm(all.X.RawRowView(r), 2)
		keep := true
		for i, norm := range norms {
			shift := directionError * size * norm
			if shift > 0.1 && math.Abs(u.At(r, i)+n.First.Bias[i]) < saturated+2*shift {
				keep = false
			}
		}
		if !keep {
			continue
		}
		kept = append(kept, r)
		sigma = append(sigma, math.Hypot(math.Max(e.scales.Noise, 1e-16*e.scales.Value), directionError*size*sensitivity[r]))
	}
	data := refine.Data{X: mat.NewDense(len(kept), e.problem.Info.Inputs, nil), Sigma: sigma}
	for k, r := range kept {
		data.X.SetRow(k, e.log.X[from+r])
		data.Y = append(data.Y, e.log.Y[from+r])
	}
	return data
}

// spreadRows is how many queries at random places near the units' transitions the fit of all parameters gets, as a
// multiple of the number of parameters. The rows of finite differences lie too close to each other to count: with fewer
// than P others the condition number of the Jacobian is 1e10, with 1.3 P of them 1e3 (tanh) to 1e5 (sigmoid).
const spreadRows = 1.3

// spread asks queries where all units of the first layer are alive, at random places of x.
func (e *exact) spread(ctx context.Context, l *recover.Latent, m1 int) error {
	m0, d := l.Rows.Dims()
	count := int(spreadRows*float64(network.Parameters(d, m0, m1))) + 10 - e.spreaded
	if count <= 0 {
		return nil
	}
	e.spreaded += count
	points := make([][]float64, count)
	for k := range points {
		v := make([]float64, len(l.Norms))
		for i := range v {
			v[i] = 6*e.rng.Float64() - 3
		}
		x := l.Point(v)
		floats.AddScaled(x, floats.Norm(x, 2), l.Across(sample.Direction(e.rng, len(x))))
		points[k] = x
	}
	_, err := sample.Points(ctx, e.log, points)
	return err
}
