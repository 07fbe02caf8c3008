package fronts

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
)

// bend is where a front meets the hyperplane of a unit of the first layer.
type bend struct {
	at             []float64 // a point of the front before the unit bends it
	direction      []float64 // within the front before; the bend is at some small distance along it
	s, p           []float64 // arguments of the front's unit along the direction, across the bend
	before, behind []float64 // gradients
}

// corner is about where the argument's asymptotes meet: that before is zero.
func (b *bend) corner() float64 {
	slope := floats.Dot(b.behind, b.direction)
	last := floats.MaxIdx(b.s)
	return b.s[last] - b.p[last]/slope
}

const (
	straight = 2e-3 // of p, from which a way no longer is within the front
	farthest = 16   // radii that a walk is followed
	turns    = 60   // bends of a walk at most
	well     = 3.0  // of p: a bend is followed until then
)

// walk follows a front from where it was met, straight on in the given direction as far as that is within the front, and calls meet for
// every bend of it that it could resolve, until meet says that it is enough.
func (f *field) walk(ctx context.Context, r *front, direction []float64, meet func(bend) bool) error {
	y, q := r.at, r.gradient
	travelled := 0.0
	now := *r
	w := within(direction, q)
	for range turns {
		if w == nil {
			return nil
		}
		low, high, ok, err := f.leave(ctx, &now, y, w, farthest*f.radius-travelled)
		if err != nil || !ok {
			return err
		}
		b := bend{at: along(y, low, w), direction: w, before: q}
		next, crossed, err := f.across(ctx, &now, &b, high-low)
		switch {
		case err != nil:
			return err
		case next == nil:
			return nil // two bends too near to each other, or something else
		case !crossed && meet(b):
			return nil
		}
		travelled += floats.Distance(next, y, 2)
		y = next
		if !crossed {
			q = b.behind
			w = onward(w, b.before, b.behind)
		}
	}
	return nil
}

// onward returns the direction of a walk within the front behind a bend: straight on as far as possible, and away from the bend, which
// straight on may lead back to.
func onward(w, before, behind []float64) []float64 {
	next := within(w, behind)
	normal := floats.SubTo(make([]float64, len(w)), behind, before)
	side := floats.Dot(normal, w)
	away := within(normal, behind)
	if next == nil || away == nil {
		return next
	}
	if along := floats.Dot(next, away); along*side < 0 {
		floats.AddScaled(next, -2*along, away)
	}
	return next
}

// within returns the direction's part within the front with gradient q, of length one.
func within(direction, q []float64) []float64 {
	w := append([]float64(nil), direction...)
	for range 2 {
		floats.AddScaled(w, -floats.Dot(w, q)/floats.Dot(q, q), q)
	}
	length := floats.Norm(w, 2)
	if length < 1e-3 {
		return nil
	}
	floats.Scale(1/length, w)
	return w
}

// leave brackets the first place at which the way from y leaves the front.
func (f *field) leave(ctx context.Context, r *front, y, w []float64, most float64) (low, high float64, ok bool, err error) {
	drift := 0.0 // of p along the way, from the error of the front's gradient
	on := func(t float64) (p float64, on bool, err error) {
		values, err := f.ask(ctx, along(y, t, w))
		if err != nil {
			return 0, false, err
		}
		p, seen := r.argument(values[0])
		if !seen {
			return math.Inf(1), false, nil
		}
		away := math.Abs(p - drift*t)
		if away < straight {
			drift = p / t
		}
		return away, away < straight, nil
	}
	high = f.radius / 256
	for {
		_, inside, err := on(high)
		if err != nil {
			return 0, 0, false, err
		}
		if !inside {
			break
		}
		if low = high; low > most {
			return 0, 0, false, nil
		}
		high *= 1.5
	}
	for range 80 {
		t := (low + high) / 2
		away, inside, err := on(t)
		if err != nil {
			return 0, 0, false, err
		}
		if inside {
			low = t
			continue
		}
		if high = t; away < 20*straight {
			return low, high, true, nil
		}
	}
	return 0, 0, false, nil
}

// across takes the profile of the bend at b.at and the gradient behind it. It returns a point of the front beyond; nil where it was lost. Crossed
// says that another unit's front was crossed instead, which moves both limits.
func (f *field) across(ctx context.Context, r *front, b *bend, near float64) (next []float64, crossed bool, err error) {
	last, lastP := 0.0, 0.0
	take := func(s float64) (bool, error) {
		values, err := f.ask(ctx, along(b.at, s, b.direction))
		if err != nil {
			return false, err
		}
		p, ok := r.argument(values[0])
		if ok && math.Abs(p) < 2*well {
			b.s, b.p = append(b.s, s), append(b.p, p)
			if s > last {
				last, lastP = s, p
			}
		}
		return ok && math.Abs(p) < well, nil
	}
	for s, k := near, 0; k < 40; s, k = 2*s, k+1 {
		more, err := take(s)
		if err != nil {
			return nil, false, err
		}
		if !more {
			break
		}
	}
	if last == 0 {
		return nil, false, nil
	}
	// Another unit's front moves f from one pair of limits to another.
	size := floats.Norm(b.before, 2)
	normal := floats.ScaleTo(make([]float64, f.n), 1/size, b.before)
	beyond := along(b.at, 200*last, b.direction)
	reach := 1.2 * math.Abs(limit(r)) / size
	values, err := f.ask(ctx, beyond, along(beyond, reach, normal), along(beyond, -reach, normal))
	if err != nil {
		return nil, false, err
	}
	if high, low := values[1], values[2]; math.Abs(high-low-(r.high-r.low)) <= 10*f.change && math.Abs(high-r.high) > 10*f.change {
		r.high, r.low = high, low
		return beyond, true, nil
	}
	for _, m := range places {
		for _, s := range []float64{m * near, (m + 1) / 2 * last} {
			if _, err := take(s); err != nil {
				return nil, false, err
			}
		}
	}
	// A rough gradient just beyond the bend leads on to where the bend has ended.
	y := along(b.at, last, b.direction)
	rough, ok, err := f.differentiate(ctx, r, y)
	if err != nil || !ok {
		return nil, false, err
	}
	for on, k := 10*last, 0; k < 6; on, k = on/3, k+1 {
		w := within(b.direction, rough)
		if w == nil {
			return nil, false, nil
		}
		next = along(along(y, -lastP/floats.Dot(rough, rough), rough), on, w)
		values, err := f.ask(ctx, next)
		if err != nil {
			return nil, false, err
		}
		p, ok := r.argument(values[0])
		if !ok {
			continue
		}
		next = along(next, -p/floats.Dot(rough, rough), rough)
		if b.behind, ok, err = f.differentiate(ctx, r, next); err != nil || !ok {
			return nil, false, err
		}
		return next, false, nil
	}
	return nil, false, nil
}

// limit is an argument at which a unit of the second layer is at its limit to rounding.
func limit(r *front) float64 {
	facts := r.h.Facts()
	rate := math.Min(facts.Left.Rate, facts.Right.Rate)
	if math.IsInf(rate, 1) {
		return 40
	}
	return 40 / rate
}
