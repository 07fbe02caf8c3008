package kinks

import (
	"context"
	"math"
	"math/rand/v2"
	"sort"

	"gonum.org/v1/gonum/floats"
)

// line is y(t) = origin + t direction for from <= t <= to, the direction a unit vector.
type line struct {
	origin, direction []float64
	from, to          float64
}

func (l line) at(t float64) []float64 { return along(l.origin, t, l.direction) }

// germ is the linear function that f is around t.
type germ struct{ t, value, slope float64 }

func (g germ) predict(t float64) float64 { return g.value + g.slope*(t-g.t) }

// crossing is where two germs meet.
func crossing(a, b germ) float64 {
	return a.t + (b.value-a.value-b.slope*(b.t-a.t))/(a.slope-b.slope)
}

// segment is a part of a line over which f is linear from a's germ to b's, or has one kink between them.
type segment struct {
	a, b germ
	kink bool
}

// piece is a part of a line over which f is linear. Beyond its ends is a kink, or something that was not resolved.
type piece struct {
	germ
	from, to float64
	gradient []float64 // of f on the piece; nil: not asked
	delta    float64   // step of the differences
}

// kink is where two pieces of a line meet.
type kink struct {
	t           float64
	left, right *piece
}

// unresolved is the width, in zones, below which intervals are not divided further: what is in them is one kink, or is left to other
// lines.
const unresolved = 4

// trace finds the kinks of f along a line. Where two pieces are known that do not belong to one linear function, their lines
// meet where the kink is, if there is one only: two answers close by, on either side, tell. Else they are a third piece. Level is
// the standard deviation of the answers' error along the line.
func (f *field) trace(ctx context.Context, rng *rand.Rand, l line) (kinks []kink, level float64, err error) {
	w := f.zone
	ask := func(ts []float64) ([]float64, error) {
		points := make([][]float64, len(ts))
		for k, t := range ts {
			points[k] = l.at(t)
		}
		return f.ask(ctx, points)
	}
	values, err := ask([]float64{l.from, l.from + w, l.to - w, l.to})
	if err != nil {
		return nil, 0, err
	}
	for _, v := range values {
		level = math.Max(level, math.Abs(v))
	}
	level *= f.noise
	// What extrapolating a germ over a distance leaves uncertain.
	tolerance := func(distance float64) float64 { return 6 * level * (1 + math.Abs(distance)/w) }
	joined := func(a, b germ) bool {
		return math.Abs(a.predict(b.t)-b.value) <= tolerance(b.t-a.t) && math.Abs(b.predict(a.t)-a.value) <= tolerance(b.t-a.t)
	}
	var done []segment
	active := []segment{{
		a: germ{l.from, values[0], (values[1] - values[0]) / w},
		b: germ{l.to, values[3], (values[3] - values[2]) / w},
	}}
	for len(active) > 0 {
		type test struct {
			segment
			star   float64
			middle bool
		}
		var tests []test
		var ts []float64
		for _, s := range active {
			width := s.b.t - s.a.t
			switch {
			case joined(s.a, s.b):
				done = append(done, s)
				continue
			case width < unresolved*w:
				continue
			}
			star := crossing(s.a, s.b)
			middle := !(star > s.a.t+1.5*w && star < s.b.t-1.5*w)
			if middle {
				star = s.a.t + width*(0.4+0.2*rng.Float64())
			}
			tests = append(tests, test{s, star, middle})
			ts = append(ts, star-w, star+w)
		}
		if values, err = ask(ts); err != nil {
			return nil, 0, err
		}
		active = active[:0:0]
		for k, s := range tests {
			left, right := values[2*k], values[2*k+1]
			if !s.middle && math.Abs(s.a.predict(s.star-w)-left) <= tolerance(s.star-w-s.a.t) && math.Abs(s.b.predict(s.star+w)-right) <= tolerance(s.b.t-s.star-w) {
				done = append(done, segment{s.a, s.b, true})
				continue
			}
			slope := (right - left) / (2 * w)
			active = append(active, segment{a: s.a, b: germ{s.star - w, left, slope}}, segment{a: germ{s.star + w, right, slope}, b: s.b})
		}
	}
	sort.Slice(done, func(i, j int) bool { return done[i].a.t < done[j].a.t })
	return f.assemble(done, joined), level, nil
}

// assemble joins segments to pieces, and returns the kinks between them.
func (f *field) assemble(done []segment, joined func(a, b germ) bool) (kinks []kink) {
	var current *piece
	var last germ
	open := func(g germ) {
		current = &piece{germ: g, from: g.t, to: g.t}
	}
	// extend takes the germ into the current piece; slopes over long distances are the exact ones.
	extend := func(g germ) {
		if d := g.t - current.t; d > 4*f.zone {
			current.slope = (g.value - current.value) / d
		}
		current.to = g.t
	}
	meet := func(g germ) {
		left := current
		open(g)
		kinks = append(kinks, kink{left: left, right: current})
	}
	for _, s := range done {
		switch {
		case current == nil:
			open(s.a)
		case joined(last, s.a):
			extend(s.a)
		case s.a.t-last.t < 3*unresolved*f.zone && math.Abs(crossing(last, s.a)-(last.t+s.a.t)/2) < (s.a.t-last.t)/2: // what could not be resolved may be one kink
			meet(s.a)
		default:
			open(s.a)
		}
		if s.kink {
			meet(s.b)
		} else {
			extend(s.b)
		}
		last = s.b
	}
	for k := range kinks {
		kinks[k].t = crossing(kinks[k].left.germ, kinks[k].right.germ)
		kinks[k].left.to, kinks[k].right.from = kinks[k].t, kinks[k].t
	}
	return kinks
}

// gradients asks for the gradient on each of the pieces that lacks it, all at once. Differences are exact where no kink is
// crossed; whether one was, the slope along the line tells. Pieces too short keep none.
func (f *field) gradients(ctx context.Context, l line, pieces []*piece, level float64) error {
	shrink := 10.0
	for range 2 {
		var wanted []*piece
		var points [][]float64
		for _, p := range pieces {
			half := (p.to - p.from) / 2
			if p.gradient != nil || half < 3*f.zone {
				continue
			}
			p.delta = math.Min(half/shrink, f.radius)
			y := l.at((p.from + p.to) / 2)
			points = append(points, y)
			for j := range f.n {
				z := append([]float64(nil), y...)
				z[j] += p.delta
				points = append(points, z)
			}
			wanted = append(wanted, p)
		}
		values, err := f.ask(ctx, points)
		if err != nil {
			return err
		}
		for k, p := range wanted {
			v := values[k*(f.n+1) : (k+1)*(f.n+1)]
			g := make([]float64, f.n)
			for j := range g {
				g[j] = (v[j+1] - v[0]) / p.delta
			}
			if math.Abs(floats.Dot(g, l.direction)-p.slope) <= 20*level*(math.Sqrt(float64(f.n))/p.delta+1/f.zone) {
				p.gradient = g
			}
		}
		shrink *= 10
	}
	return nil
}
