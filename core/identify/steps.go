package identify

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
	"github.com/nnid/nnid/core/steps"
)

// Networks whose first layer saturates, in whatever way, and whose second layer has any activation: units and norms from the steps that
// f makes far out, which also tell the activation; then the second layer by students on the known first layer.

// stepsNoise is the largest noise, over |f|, at which steps tell one activation from another.
const stepsNoise = 1e-12

// stepping returns the candidates that have two different limits.
func stepping(candidates []Candidate) []Candidate {
	var all []Candidate
	for _, c := range candidates {
		if f := c.Function.Facts(); f.Saturates() && f.Left.Intercept != f.Right.Intercept {
			all = append(all, c)
		}
	}
	return all
}

// exponential reports whether an activation's tails decay at one exponential rate.
func exponential(f core.Facts) bool {
	return f.Saturates() && f.Left.Rate > 0 && !math.IsInf(f.Left.Rate, 1) && f.Left.Rate == f.Right.Rate
}

// saturates measures the scales of f, unless that was done, and reports whether it has limits far out. Where it has none, candidates that
// have are dropped, if there are others.
func (e *bends) saturates(ctx context.Context) (bool, error) {
	if e.scales != nil || e.open {
		return !e.open, nil
	}
	err := e.measure(ctx)
	if err == nil || ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
		return err == nil, err
	}
	e.report.finish("%v", err)
	e.scales, e.open = nil, true
	if others := slices.DeleteFunc(slices.Clone(e.problem.Candidates), func(c Candidate) bool { return c.Function.Facts().Saturates() }); len(others) > 0 {
		e.problem.Candidates = others
	}
	return false, nil
}

// stepped identifies the network from its steps far out; done is false, and the error nil, where that is not the way. What was found of
// scales and units stays.
func (e *bends) stepped(ctx context.Context) (done bool, err error) {
	first := stepping(e.problem.Candidates)
	if e.problem.Domain > 0 || len(first) == 0 {
		return false, nil
	}
	if e.problem.Second == nil && !slices.ContainsFunc(first, func(c Candidate) bool { return !exponential(c.Function.Facts()) }) {
		return false, nil // Run does it all
	}
	if saturates, err := e.saturates(ctx); !saturates || err != nil {
		return err != nil, err
	}
	if e.scales.Noise > stepsNoise*e.scales.Value {
		return false, nil
	}
	rivals := slices.DeleteFunc(slices.Clone(first), func(c Candidate) bool { return algebraic(c.Function.Facts()) != e.scales.Algebraic })
	if len(rivals) == 0 {
		return false, nil
	}
	for _, c := range first {
		if algebraic(c.Function.Facts()) != e.scales.Algebraic {
			e.evidence = append(e.evidence, Evidence{1, c.Name, 1}) // its tails are of another kind
		}
	}
	evidence := e.evidence
	for range stepAttempts {
		e.evidence, e.units = slices.Clone(evidence), nil
		done, again, err := e.attemptSteps(ctx, rivals)
		if !again {
			return done, err
		}
	}
	// What explained the steps best is likely all the same.
	e.problem.Candidates, e.scales, e.units = []Candidate{e.family.Candidate}, nil, nil
	return false, nil
}

// stepAttempts is how often steps are tried, along other lines and at other points each time.
const stepAttempts = 2

// attemptSteps is one attempt of stepped; again says that it failed where another may not.
func (e *bends) attemptSteps(ctx context.Context, rivals []Candidate) (done, again bool, err error) {
	e.report.start("first layer")
	clear := clarity{rivals: rivals}
	for missed, quiet := true, 2; missed && quiet <= 8; quiet *= 2 {
		e.units, err = sample.Saturate(ctx, e.log, e.problem.Info.Inputs, *e.scales, e.rng, sample.SaturationSettings{
			Units:   e.problem.M0,
			Quiet:   quiet,
			Known:   e.units,
			Doubt:   e.doubt,
			Explain: clear.explain,
			Told:    clear.told,
			Observe: func(lines, found int) {
				e.report.progress(found, e.problem.M0, 0, "%d units after %d lines", found, lines)
			},
		})
		if err == nil {
			missed, err = e.missed(ctx)
		}
		if err != nil {
			return !fault.Is(err, fault.Unsupported) || ctx.Err() != nil, false, keep(ctx, err)
		}
	}
	if e.scales.Algebraic {
		e.units = distinct(e.units, sample.AlgebraicRadius*e.scales.Saturation)
	}
	if len(e.units) == 0 {
		e.report.finish("no unit of the first layer was found")
		return false, false, nil
	}
	e.report.finish("%d units", len(e.units))
	g, shapes := e.explainSteps(rivals)
	e.settleNorms(g.Function.Facts(), shapes)
	e.remark = e.decided(rivals, g)
	if e.problem.Second == nil && exponential(g.Function.Facts()) {
		// Run has more ways to a second layer of the same activation, and goes on from here; others are tried in between.
		same := e.unrefuted(rivals, g)
		among := func(c Candidate) bool {
			return slices.ContainsFunc(same, func(s Candidate) bool { return s.Name == c.Name })
		}
		if others := slices.DeleteFunc(slices.Clone(e.problem.Candidates), among); len(others) > 0 && e.problem.M1 <= len(e.units) {
			e.other = func(ctx context.Context) (bool, error) { return e.different(ctx, g, shapes, others) }
		}
		e.problem.Candidates = same
		return false, false, nil
	}
	if err = e.behind(ctx, g, shapes, e.problem.second()); err == nil {
		err = e.agrees(ctx)
	}
	if err == nil {
		return true, false, nil
	}
	if ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
		return true, false, err
	}
	e.report.finish("%v", err)
	e.found, e.certificate, e.h = nil, nil, Candidate{}
	e.family = family{Candidate: g}
	return false, true, nil
}

// different looks for a second layer whose activation is one of the candidates, behind a first layer with another one.
func (e *bends) different(ctx context.Context, g Candidate, shapes []steps.Shape, candidates []Candidate) (bool, error) {
	err := e.behind(ctx, g, shapes, candidates)
	if err == nil {
		err = e.agrees(ctx)
	}
	if err == nil || ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
		e.remark = strings.Join(slices.DeleteFunc([]string{e.remark, twins(e.problem.Candidates, g)}, func(s string) bool { return s == "" }), "; ")
		return err == nil, err
	}
	e.report.finish("%v", err)
	e.found, e.certificate, e.h = nil, nil, Candidate{}
	return false, nil
}

// agrees compares the network found with answers where its units are alive and where most are saturated: what was misjudged of a
// unit in one place shows in another.
func (e *bends) agrees(ctx context.Context) error {
	const (
		count = 12
		most  = 1e-6 // of the spread of f
	)
	x := mat.NewDense(count, e.problem.Info.Inputs, nil)
	for k := range count {
		e.place(x.RawRowView(k))
	}
	y, err := e.problem.Oracle.Ask(ctx, x)
	if err != nil {
		return err
	}
	g, h := e.layers()
	floats.Sub(y, e.found.Evaluate(g.Function, h.Function, x))
	if away := floats.Norm(y, 2) / math.Sqrt(count); away > most*e.scales.Spread {
		return fault.New(fault.Unsupported, "the network found explains the answers it was fitted to, and leaves %.1e of the spread at others", away/e.scales.Spread)
	}
	return nil
}

// A unit's norm is taken from what explains its whole step where that of its tails differs and the tails are not clean. Both ways are right to 1e-6
// mostly; but tails that are cut short by a neighbour can end at another rate, half of it for instance (misfits of 1e-7 and more), and then no second layer
// fits; and a step of which one tail was seen can be explained with any norm.
const (
	normsDiffer = 1e-5
	cleanTails  = 1e-9
)

// settleNorms takes the decay of units from what explains their whole step, where that of the tails is another.
func (e *bends) settleNorms(facts core.Facts, shapes []steps.Shape) {
	if !exponential(facts) {
		return
	}
	for i, s := range shapes {
		decay := math.Abs(s.Norm) * facts.Right.Rate
		if e.units[i].Misfit > cleanTails && s.Misfit < wellExplainedStep && math.Abs(e.units[i].Decay/decay-1) > normsDiffer {
			e.units[i].Decay = decay
		}
	}
}

// wellExplainedStep is the misfit of a step up to which its norm is believed: 1e-4 of it is left unexplained.
const wellExplainedStep = 1e-8

// nearlyParallel is the angle from which units are never taken for one.
const nearlyParallel = 1e-3

// distinct returns the units without those that are others measured again where tails of the rest had turned the direction by more than it
// seemed: hyperplanes that meet within the radius at which lines run, at a small angle. The one with the smaller error stays.
func distinct(units []sample.Unit, radius float64) []sample.Unit {
	sorted := slices.Clone(units)
	slices.SortStableFunc(sorted, func(a, b sample.Unit) int { return cmp.Compare(a.Error, b.Error) })
	var kept []sample.Unit
	for _, u := range sorted {
		again := slices.ContainsFunc(kept, func(v sample.Unit) bool {
			sign := math.Copysign(1, floats.Dot(u.Direction, v.Direction))
			turn := slices.Clone(u.Direction)
			floats.AddScaled(turn, -sign, v.Direction)
			angle := floats.Norm(turn, 2)
			return angle < nearlyParallel && math.Abs(u.Offset-sign*v.Offset) < angle*radius
		})
		if !again {
			kept = append(kept, u)
		}
	}
	return kept
}

// missed reports whether f changes across the origin in a direction that no unit found sees: then there are more.
func (e *bends) missed(ctx context.Context) (bool, error) {
	d := e.problem.Info.Inputs
	if len(e.units) == 0 || len(e.units) >= d || e.problem.M0 > 0 {
		return false, nil
	}
	directions := mat.NewDense(d, len(e.units), nil)
	for i, u := range e.units {
		directions.SetCol(i, u.Direction)
	}
	var points [][]float64
	for range 2 {
		v := mat.NewVecDense(d, sample.Direction(e.rng, d))
		for range 2 { // twice is orthogonal to rounding
			var share, seen mat.VecDense
			if err := share.SolveVec(directions, v); err != nil && share.Len() == 0 {
				return false, nil
			}
			seen.MulVec(directions, &share)
			v.SubVec(v, &seen)
		}
		v.ScaleVec(e.scales.Saturation/mat.Norm(v, 2), v)
		points = append(points, v.RawVector().Data, floats.ScaleTo(make([]float64, d), -1, v.RawVector().Data))
	}
	y, err := sample.Points(ctx, e.log, points)
	if err != nil {
		return false, err
	}
	still := 1e-5               // of the spread of f
	for _, u := range e.units { // what an error of the direction makes of the displacement moves known ones
		still = math.Max(still, 10*u.Decay*u.Error*e.scales.Saturation)
	}
	return math.Abs(y[0]-y[1]) > still*e.scales.Spread || math.Abs(y[2]-y[3]) > still*e.scales.Spread, nil
}

// alike reports whether two candidates describe the same functions.
func alike(a, b Candidate) bool {
	_, ok := network.Equivalent(a.Function, b.Function)
	return ok || a.Name == b.Name
}

// decided says how clear the decision for the first layer's activation was.
func (e *bends) decided(rivals []Candidate, g Candidate) string {
	var best, next Evidence
	next.Misfit = math.Inf(1)
	for _, seen := range e.evidence {
		k := slices.IndexFunc(rivals, func(c Candidate) bool { return c.Name == seen.Activation })
		if k < 0 {
			continue
		}
		rival := rivals[k]
		switch {
		case seen.Activation == g.Name:
			best = seen
		case !alike(rival, g) && seen.Misfit < next.Misfit:
			next = seen
		}
	}
	var texts []string
	switch {
	case math.IsInf(next.Misfit, 1):
	case next.Misfit > math.Max(tie*best.Misfit, refuted):
		texts = append(texts, fmt.Sprintf("%s leaves %.0e of the steps of layer 1, the next best, %s, %.0e", best.Activation, best.Misfit, next.Activation, next.Misfit))
	default:
		texts = append(texts, fmt.Sprintf("%s and %s explain the tails of layer 1's steps equally well, %.0e and %.0e are left: the fit of all parameters tells them apart", best.Activation, next.Activation, best.Misfit, next.Misfit))
	}
	return strings.Join(texts, "; ")
}

// refuted is what a candidate leaves of the steps from which it is out. Below, tails alone may not tell: those of all activations with one exponential
// rate are power series in each other.
const refuted = 1e-5

// unrefuted returns g and those of its rivals that explain the steps about as well, the best first; the fit of all parameters tells them apart.
func (e *bends) unrefuted(rivals []Candidate, g Candidate) []Candidate {
	misfit := map[string]float64{}
	for _, seen := range e.evidence {
		misfit[seen.Activation] = seen.Misfit
	}
	kept := slices.DeleteFunc(slices.Clone(rivals), func(c Candidate) bool {
		return !alike(c, g) && misfit[c.Name] > math.Max(tie*misfit[g.Name], refuted)
	})
	rank := func(c Candidate) float64 {
		if alike(c, g) {
			return -1
		}
		return misfit[c.Name]
	}
	slices.SortStableFunc(kept, func(a, b Candidate) int { return cmp.Compare(rank(a), rank(b)) })
	return kept
}

// twins names the candidates that describe the same functions as g does, for a network in which that is not said otherwise.
func twins(candidates []Candidate, g Candidate) string {
	var names []string
	for _, c := range candidates {
		if alike(c, g) {
			names = append(names, c.Name)
		}
	}
	if len(names) < 2 {
		return ""
	}
	return strings.Join(names, " and ") + " describe the same functions"
}

// algebraic reports whether an activation approaches one of its limits like a power.
func algebraic(f core.Facts) bool { return f.Left.Rate == 0 || f.Right.Rate == 0 }

// keep drops errors after which there is another way.
func keep(ctx context.Context, err error) error {
	if fault.Is(err, fault.Unsupported) && ctx.Err() == nil {
		return nil
	}
	return err
}

// clarity is how clear it is which of the rivals makes the steps of f.
type clarity struct {
	rivals []Candidate
	clear  int // steps that one explains and no other that describes other functions
}

// A step is clear where one candidate leaves so little of it, the others so much, as sums of squared relative misfits; after so many the first layer's activation is known.
const (
	clearlyIs    = 1e-8
	clearlyIsNot = 1e-5
	clearSteps   = 3
)

// explain is the misfit of the candidate that explains the step best.
func (c *clarity) explain(p *sample.Profile) float64 {
	misfits := make([]float64, len(c.rivals))
	best := 0
	for k, r := range c.rivals {
		misfits[k] = math.Inf(1)
		if s, ok := steps.Fit(r.Function, p); ok {
			misfits[k] = s.Misfit
		}
		if misfits[k] < misfits[best] {
			best = k
		}
	}
	next := math.Inf(1)
	for k, m := range misfits {
		if !alike(c.rivals[k], c.rivals[best]) {
			next = math.Min(next, m)
		}
	}
	if misfits[best] < clearlyIs && next > clearlyIsNot {
		c.clear++
	}
	return misfits[best]
}

// told reports whether the activation is known.
func (c *clarity) told() bool { return c.clear >= clearSteps }

// explainSteps chooses the candidate that explains the steps best: the one with the smallest median misfit, since a neighbour's step may
// spoil any. Where enough steps are clear, the others do not count. What all leave is evidence.
func (e *bends) explainSteps(candidates []Candidate) (Candidate, []steps.Shape) {
	all := make([][]steps.Shape, len(candidates))
	misfits := make([][]float64, len(candidates))
	var clear []int
	for i, u := range e.units {
		least, most := math.Inf(1), 0.0
		for k, c := range candidates {
			s, ok := steps.Fit(c.Function, u.Profile)
			if !ok {
				s.Misfit = math.Inf(1)
			}
			all[k] = append(all[k], s)
			misfits[k] = append(misfits[k], s.Misfit)
			least, most = math.Min(least, s.Misfit), math.Max(most, s.Misfit)
		}
		if least < clearlyIs && most > clearlyIsNot {
			clear = append(clear, i)
		}
	}
	best, fewest := 0, math.Inf(1)
	for k, c := range candidates {
		seen := misfits[k]
		if len(clear) >= clearSteps {
			seen = nil
			for _, i := range clear {
				seen = append(seen, misfits[k][i])
			}
		}
		slices.Sort(seen)
		middle := math.Sqrt(seen[len(seen)/2])
		e.evidence = append(e.evidence, Evidence{1, c.Name, math.Min(middle, 1)})
		if middle < fewest {
			best, fewest = k, middle
		}
	}
	// Of several that describe the same functions (tanh and sigmoid) rounding chose: the one that is zero in the middle stands for them.
	for k, c := range candidates {
		if facts := c.Function.Facts(); facts.Left.Intercept+facts.Right.Intercept == 0 && k != best && alike(c, candidates[best]) {
			return c, all[k]
		}
	}
	return candidates[best], all[best]
}
