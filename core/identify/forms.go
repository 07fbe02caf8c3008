package identify

import (
	"context"
	"errors"
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/sample"
)

// formError ends a run: what was seen of f is evidence that it is no network of two hidden layers with activations among the candidates, so that
// other ways to one, and the longest searches among them, are left out.
type formError struct{ error }

func (e formError) Unwrap() error { return e.error }

// otherForm has the kind of a network that resists: a result, not a failure.
func otherForm(format string, args ...any) error {
	return formError{fault.New(fault.Unsupported, format, args...)}
}

func isOtherForm(err error) bool {
	_, ok := errors.AsType[formError](err)
	return ok
}

// missedBy returns what students have left where err says that none arrived.
func missedBy(err error) *local.Unexplained {
	missed, _ := errors.AsType[*local.Unexplained](err)
	return missed
}

const (
	// flatPoints far out, in random directions, where f has one value: no hyperplane lies between them.
	flatPoints = 16
	// same is how far apart values are that are one, relative to the spread of f.
	sameValue = 1e-9
)

// flat fails where f is the same far out in all directions: a sum of bumps, as of radial basis functions. Across the hyperplane of a unit whose
// activation has two limits it would change. Where a candidate has equal limits, that says nothing.
func (e *exact) flat(ctx context.Context) error {
	if e.noisy() {
		return nil
	}
	for _, c := range e.problem.Candidates {
		if f := c.Function.Facts(); f.Saturates() && f.Left.Intercept == f.Right.Intercept {
			return nil
		}
	}
	var points [][]float64
	for range flatPoints {
		v := sample.Direction(e.rng, e.problem.Info.Inputs)
		floats.Scale(flatRadius*e.scales.Saturation, v)
		points = append(points, v)
	}
	y, err := sample.Points(ctx, e.log, points)
	if err != nil {
		return err
	}
	if apart := floats.Max(y) - floats.Min(y); apart > math.Max(sameValue*e.scales.Spread, 20*e.scales.Noise) {
		return nil
	}
	return otherForm("far out, f is %.6g in all of %d random directions: it varies near the origin alone, as radial basis functions and kernels do, and has no step that a unit of a first layer that saturates would make", y[0], flatPoints)
}

// flatRadius is how far out, in saturation radii.
const flatRadius = 30

const (
	splits = 3 // of the units into two groups, for [exact.sums]
	// additive is the largest mixed difference of a sum, relative to the spread of f: errors of the directions move the units of the other group. Second
	// layers that are nearly linear leave more: with weights of 0.01, 1e-6.
	additive = 3e-9
	// proportional is how far gradients are from one line that are parallel, as differences show them. Second layers whose units nearly coincide leave
	// more: with units 1e-4 apart, 1e-6.
	proportional = 1e-7
)

// simple fails where f depends on the first layer in one of two ways that no second layer of the candidates does, but students approximate well. It is for
// first layers with no more units than inputs, whose arguments can be set at will.
func (e *exact) simple(ctx context.Context) error {
	if e.noisy() || len(e.units) < 3 || len(e.units) > e.problem.Info.Inputs {
		return nil
	}
	latent, err := recover.NewLatent(e.units, e.families[0].Function.Facts().Right.Rate)
	if err != nil {
		return nil // the directions are nearly dependent
	}
	sum, err := e.sums(ctx, latent)
	if err != nil {
		return err
	}
	if sum {
		return otherForm("f is a sum of functions of one unit of the first layer each, to %.0e of what it varies by: a network of one hidden layer, of %d units, and no second", additive, len(e.units))
	}
	if e.found != nil && e.loss > goodLoss { // one unit that has not been found well yet is one combination, too
		if _, m1 := e.found.Sizes(); m1 == 1 {
			return nil
		}
	}
	one, err := e.oneCombination(ctx, latent)
	if err != nil || !one {
		return err
	}
	return otherForm("f depends on the %d units of the first layer through one combination of them alone, to %.0e, but not by a unit of the second layer with the activation %s: its activation is another one (--activation G,H), "+
		"or the answers are what a function makes of a network of one hidden layer", len(e.units), proportional, e.families[0].Name)
}

// sums reports whether f is a sum of functions of two groups of units, however they are grouped.
func (e *exact) sums(ctx context.Context, latent *recover.Latent) (bool, error) {
	m0 := len(e.units)
	var points [][]float64
	for range splits {
		order := e.rng.Perm(m0)
		p, q := e.latentPoint(), e.latentPoint()
		pq, qp := append([]float64(nil), p...), append([]float64(nil), q...)
		for _, i := range order[:m0/2] {
			pq[i], qp[i] = q[i], p[i]
		}
		for _, v := range [][]float64{p, q, pq, qp} {
			points = append(points, latent.Point(v))
		}
	}
	y, err := sample.Points(ctx, e.log, points)
	if err != nil {
		return false, err
	}
	for k := 0; k < len(y); k += 4 {
		if math.Abs(y[k]+y[k+1]-y[k+2]-y[k+3]) > math.Max(additive*e.scales.Spread, 100*e.scales.Noise) {
			return false, nil
		}
	}
	return true, nil
}

// oneCombination reports whether the gradient in two units that stay where they are keeps its direction, whatever the others do.
func (e *exact) oneCombination(ctx context.Context, latent *recover.Latent) (bool, error) {
	const places, step = 4, 2e-3
	m0 := len(e.units)
	order := e.rng.Perm(m0)
	fixed := e.latentPoint()
	var points [][]float64
	for range places {
		v := e.latentPoint()
		for _, i := range order[:2] {
			v[i] = fixed[i]
		}
		for _, i := range order[:2] {
			for _, by := range []float64{-2, -1, 1, 2} {
				w := append([]float64(nil), v...)
				w[i] += by * step
				points = append(points, latent.Point(w))
			}
		}
	}
	y, err := sample.Points(ctx, e.log, points)
	if err != nil {
		return false, err
	}
	slope := func(y []float64) float64 { return (8*(y[2]-y[1]) - (y[3] - y[0])) / (12 * step) } // of fourth order
	var first [2]float64
	seen := 0
	for k := 0; k < len(y); k += 8 {
		g := [2]float64{slope(y[k:]), slope(y[k+4:])}
		size := math.Hypot(g[0], g[1])
		if size < 1e-4*e.scales.Spread { // f is nearly constant here
			continue
		}
		if seen++; seen == 1 {
			first = [2]float64{g[0] / size, g[1] / size}
			continue
		}
		if math.Abs(g[0]*first[1]-g[1]*first[0])/size > proportional {
			return false, nil
		}
	}
	return seen > 1, nil
}

// latentPoint returns random coordinates at which all units are alive.
func (e *exact) latentPoint() []float64 {
	v := make([]float64, len(e.units))
	for i := range v {
		v[i] = 2 * (2*e.rng.Float64() - 1)
	}
	return v
}

// quickNear is the number of parameters of students near the origin up to which these are tried as well: units of the first layer that nearly coincide spoil all others.
const quickNear = 300

// unexplained is the end of the way from far out whose students all approximate f equally badly, and of the run, unless inputs seem to be clipped: then near
// the origin f may be what it is not far out.
func (e *exact) unexplained() error {
	err := fault.New(fault.Unsupported, "with the activation %s, %w", e.families[0].Name, e.missed)
	d := e.problem.Info.Inputs
	if e.missed.Axes > 1 || network.Parameters(d, 3*d/2, len(e.units)/2) <= quickNear {
		return err
	}
	return formError{err}
}

// alongAxes counts the units that see one input alone.
func (e *exact) alongAxes() int {
	count := 0
	for _, u := range e.units {
		if len(u.Direction) > 1 && math.Max(floats.Max(u.Direction), -floats.Min(u.Direction)) > 1-1e-9 {
			count++
		}
	}
	return count
}
