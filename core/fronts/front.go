package fronts

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// field is f in coordinates y in R^n: far out, a staircase with a step wherever a unit of the second layer is between its limits.
type field struct {
	oracle query.Asker
	n      int
	x      func(y []float64) []float64
	radius float64                   // how far out ways run
	change float64                   // of f that is more than its noise
	known  func(y []float64) float64 // what is known of f; differences to it count
}

// ask returns f less what is known of it.
func (f *field) ask(ctx context.Context, ys ...[]float64) ([]float64, error) {
	points := make([][]float64, len(ys))
	for k, y := range ys {
		points[k] = f.x(y)
	}
	values, err := sample.Points(ctx, f.oracle, points)
	if err != nil {
		return nil, err
	}
	for k, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fault.New(fault.Unsupported, "f is %g far out", v)
		}
		if f.known != nil {
			values[k] = v - f.known(ys[k])
		}
	}
	return values, nil
}

func along(y []float64, t float64, v []float64) []float64 {
	return floats.AddScaledTo(make([]float64, len(y)), y, t, v)
}

// way is y(t) = from + t direction, 0 <= t <= length.
type way struct {
	from, direction []float64
	length          float64
	looks           int // points asked on it to see where anything changes
}

func (w way) at(t float64) []float64 { return along(w.from, t, w.direction) }

// step is a place on a way where f is between two plateaus.
type step struct {
	way
	t, half     float64 // f is flat from half on, to either side of t
	left, right float64 // the plateaus
}

const (
	halvings = 60
	thin     = 1e-3 // of a piece: how far f is asked from its middle to see whether that is on a step
)

// steps calls use with steps on the way, one for each piece between two looks over which f changes at most, until it says that it is enough.
func (f *field) steps(ctx context.Context, w way, use func(step) (bool, error)) error {
	var ys [][]float64
	for k := range w.looks {
		ys = append(ys, w.at(w.length*float64(k)/float64(w.looks-1)))
	}
	values, err := f.ask(ctx, ys...)
	if err != nil {
		return err
	}
	for k := 1; k < w.looks; k++ {
		if math.Abs(values[k]-values[k-1]) <= f.change {
			continue
		}
		from, to := w.length*float64(k-1)/float64(w.looks-1), w.length*float64(k)/float64(w.looks-1)
		s, ok, err := f.step(ctx, w, from, to, values[k-1], values[k])
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if done, err := use(s); done || err != nil {
			return err
		}
	}
	return nil
}

// step looks for the first step between two places of the way.
func (f *field) step(ctx context.Context, w way, from, to, left, right float64) (step, bool, error) {
	for range halvings {
		t := (from + to) / 2
		values, err := f.ask(ctx, w.at(t))
		if err != nil {
			return step{}, false, err
		}
		switch y := values[0]; {
		case math.Abs(y-left) <= f.change:
			from = t
			continue
		case math.Abs(y-right) <= f.change:
			to = t
			continue
		default: // on a step, or on a plateau between two
			beside := thin * (to - from)
			if values, err = f.ask(ctx, w.at(t-beside), w.at(t+beside)); err != nil {
				return step{}, false, err
			}
			if math.Abs(values[0]-y) <= f.change && math.Abs(values[1]-y) <= f.change {
				to, right = t, y
				continue
			}
			return f.plateaus(ctx, step{way: w, t: t, half: beside})
		}
	}
	return step{}, false, nil
}

// plateaus goes out from a place on a step, to either side, until f is flat, and centres it.
func (f *field) plateaus(ctx context.Context, s step) (step, bool, error) {
	values, err := f.ask(ctx, s.at(s.t-s.half), s.at(s.t+s.half))
	if err != nil {
		return s, false, err
	}
	s.left, s.right = values[0], values[1]
	for flat := false; !flat; s.half *= 4 {
		if s.half > f.radius {
			return s, false, nil
		}
		if values, err = f.ask(ctx, s.at(s.t-4*s.half), s.at(s.t+4*s.half)); err != nil {
			return s, false, err
		}
		flat = math.Abs(values[0]-s.left) <= f.change && math.Abs(values[1]-s.right) <= f.change && math.Abs(values[1]-values[0]) > 100*f.change
		s.left, s.right = values[0], values[1]
	}
	// The middle: a limit is flat for long, and the first place may have been anywhere on the step.
	low, high := s.t-s.half, s.t+s.half
	for range 60 {
		s.t = (low + high) / 2
		if values, err = f.ask(ctx, s.at(s.t)); err != nil {
			return s, false, err
		}
		part := (values[0] - s.left) / (s.right - s.left)
		if part > 0.3 && part < 0.7 {
			return s, true, nil
		}
		if part < 0.5 {
			low = s.t
		} else {
			high = s.t
		}
	}
	return s, false, nil
}

// front is a step explained: the unit's argument p is known wherever the unit is between its limits and nothing else changes.
type front struct {
	h         core.Function
	at        []float64 // where p is near 0
	low, high float64   // f at the unit's limits for falling and for rising p
	slope     float64   // of p along the way on which the step was met; its size is at most that of the gradient
	gradient  []float64 // of p, by the coordinates
}

// argument returns p where f is y; false where the unit is at a limit, as far as f tells.
func (f *front) argument(y float64) (float64, bool) {
	part := (y - f.low) / (f.high - f.low)
	if !(part > visible && part < 1-visible) {
		return 0, false
	}
	return network.Inverse(f.h, part), true
}

// visible is the part of its way to a limit from which on a unit's argument is lost.
const visible = 1e-8

// weight is the unit's output weight.
func (f *front) weight() float64 {
	facts := f.h.Facts()
	return (f.high - f.low) / (facts.Right.Intercept - facts.Left.Intercept)
}

// Where a step is asked to be explained, in terms of its width.
var places = []float64{-2.4, -1.6, -1, -0.6, -0.3, 0, 0.3, 0.6, 1, 1.6, 2.4}

// explained is what the arguments of a step may be off a straight line, over their range.
const explained = 1e-5

// explain finds the candidate in which the step's argument is a linear function along the way; misfits are how far it is from one in
// each of them.
func (f *field) explain(ctx context.Context, s step, candidates []Candidate) (best *front, chosen int, misfits []float64, err error) {
	// The width, from two places near the middle.
	width := s.half / 64
	for range 40 {
		values, err := f.ask(ctx, s.at(s.t-width), s.at(s.t+width))
		if err != nil {
			return nil, 0, nil, err
		}
		part := math.Abs((values[1] - values[0]) / (s.right - s.left))
		if part > 0.3 && part < 0.8 {
			break
		}
		if part > 0.5 {
			width /= 2
		} else {
			width *= 1.5
		}
	}
	ys := make([][]float64, len(places))
	for k, p := range places {
		ys[k] = s.at(s.t + p*width)
	}
	values, err := f.ask(ctx, ys...)
	if err != nil {
		return nil, 0, nil, err
	}
	least := math.Inf(1)
	for c, candidate := range candidates {
		misfits = append(misfits, 1)
		if !saturates(candidate.Function.Facts()) {
			continue
		}
		for _, sign := range []float64{1, -1} {
			trial := &front{h: candidate.Function, low: s.left, high: s.right}
			if sign < 0 {
				trial.low, trial.high = s.right, s.left
			}
			var ts, ps []float64
			for k, y := range values {
				if p, ok := trial.argument(y); ok {
					ts, ps = append(ts, places[k]*width), append(ps, p)
				}
			}
			if len(ts) < 5 {
				continue
			}
			origin, slope := stat.LinearRegression(ts, ps, nil, false)
			worst := 0.0
			for k, p := range ps {
				worst = math.Max(worst, math.Abs(p-origin-slope*ts[k]))
			}
			if misfit := worst / math.Abs(slope*(ts[len(ts)-1]-ts[0])); misfit < misfits[c] {
				misfits[c] = misfit
				if misfit < least {
					trial.slope = slope
					trial.at = s.at(s.t - origin/slope)
					best, chosen, least = trial, c, misfit
				}
			}
			if candidate.Function.Facts().Symmetry == core.SymmetryPoint {
				break
			}
		}
	}
	if least > explained {
		return nil, 0, misfits, nil
	}
	return best, chosen, misfits, nil
}

// differentiate returns the gradient of p at y, where it is linear; false where it is not seen in all directions.
func (f *field) differentiate(ctx context.Context, r *front, y []float64) ([]float64, bool, error) {
	gradient := make([]float64, f.n)
	values, err := f.ask(ctx, y)
	if err != nil {
		return nil, false, err
	}
	p, ok := r.argument(values[0])
	if !ok {
		return nil, false, nil
	}
	var todo []int
	for j := range f.n {
		todo = append(todo, j)
	}
	for delta := 1 / math.Abs(r.slope); len(todo) > 0; delta /= 4 {
		if delta < 1e-6/math.Abs(r.slope) {
			return nil, false, nil
		}
		var ys [][]float64
		for _, j := range todo {
			moved := append([]float64(nil), y...)
			moved[j] += delta
			ys = append(ys, moved)
		}
		if values, err = f.ask(ctx, ys...); err != nil {
			return nil, false, err
		}
		var again []int
		for k, j := range todo {
			if q, ok := r.argument(values[k]); ok && math.Abs(q) < 6 {
				gradient[j] = (q - p) / (ys[k][j] - y[j])
			} else {
				again = append(again, j)
			}
		}
		todo = again
	}
	return gradient, floats.Norm(gradient, 2) > still*math.Abs(r.slope), nil // where no unit of the first layer is alive, p is constant
}

// still is the part of its size from which a gradient is none.
const still = 1e-6
