package sample

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/query"
)

// Unit is a first-layer unit as saturation sampling sees it: its hyperplane and how fast its tails decay.
type Unit struct {
	Direction []float64 // +-a_i / |a_i|, d entries
	Offset    float64   // the steep part of the step lies on Direction . x + Offset = 0: theta_i / |a_i| up to O(1/|a_i|)
	// Decay is the rate k |a_i| at which the step's tails decay along Direction, where k is the activation's own rate.
	Decay float64
	Error float64 // estimated error of Direction (radians), from noise and from the grid of x
	Width float64 // distance along Direction over which f is nearly straight at the step
}

// SaturationSettings are the knobs of [Saturate]; the zero value is the default.
type SaturationSettings struct {
	Units   int    // stop when this many units are found; 0 when not known
	Quiet   int    // lines in a row that bring nothing new before the search ends; default 2
	Lines   int    // most lines; default 60
	Known   []Unit // found earlier; the search goes on from them
	Observe func(lines, found int)
}

// mostFruitless is how many lines in a row may show steps that cannot be used before the search gives up on them.
const mostFruitless = 6

// saturation is one search.
type saturation struct {
	oracle   query.Asker
	d        int
	scales   Scales
	rng      *rand.Rand
	radius   float64 // distance of the lines from the center
	found    []Unit
	settings SaturationSettings
}

// Saturate finds the hyperplanes of the first-layer units, and how fast their steps decay, from far out.
func Saturate(ctx context.Context, oracle query.Asker, d int, scales Scales, rng *rand.Rand, settings SaturationSettings) ([]Unit, error) {
	if settings.Quiet == 0 {
		settings.Quiet = 2
	}
	if settings.Lines == 0 {
		settings.Lines = 60
	}
	s := &saturation{oracle: oracle, d: d, scales: scales, rng: rng, radius: 30 * scales.Saturation, settings: settings, found: slices.Clone(settings.Known)}
	quiet, fruitless := 0, 0
	for lines := 1; lines <= settings.Lines && quiet < settings.Quiet; lines++ {
		fresh, impure, err := s.line(ctx)
		if err != nil {
			return s.found, err
		}
		if settings.Observe != nil {
			settings.Observe(lines, len(s.found))
		}
		if settings.Units > 0 && len(s.found) >= settings.Units {
			break
		}
		switch {
		case fresh > 0:
			quiet = 0
			fruitless = 0
		case impure > 0 && fruitless < mostFruitless: // steps too close to each other: look from further away
			s.radius *= 2
			fruitless++
		default:
			quiet++
		}
	}
	return s.found, nil
}

// tolerance is the change of f that is more than its noise.
func (s *saturation) tolerance() float64 { return 20 * s.scales.Noise }

// line searches one random line; it returns how many units it brought and how many steps could not be used.
func (s *saturation) line(ctx context.Context) (fresh, impure int, err error) {
	l := line{Origin: along(s.scales.Center, s.radius, Direction(s.rng, s.d)), Direction: Direction(s.rng, s.d)}
	pieces, err := s.unexplained(ctx, l)
	if err != nil {
		return 0, 0, err
	}
	groups, err := l.changes(ctx, s.oracle, pieces, s.scales.Saturation/16, s.tolerance())
	if err != nil || len(groups) == 0 {
		return 0, 0, err
	}
	groups, impure = whole(groups, pieces)
	cores, err := l.straighten(ctx, s.oracle, groups, s.tolerance())
	if err != nil {
		return 0, impure, err
	}
	for _, c := range cores {
		if c.half == 0 {
			continue
		}
		unit, ok, err := s.unit(ctx, l, c)
		if err != nil {
			return fresh, impure, err
		}
		switch {
		case !ok:
			impure++
		case !s.known(unit):
			s.found = append(s.found, unit)
			fresh++
		}
	}
	return fresh, impure, nil
}

// whole drops the groups that reach the end of a searched piece: there a known unit's step covers part of another's, and
// what is left of that one is only a tail.
func whole(groups [][]interval, pieces []interval) (kept [][]interval, dropped int) {
	for _, g := range groups {
		cut := false
		for _, p := range pieces {
			cut = cut || g[0].a == p.a || g[len(g)-1].b == p.b
		}
		if cut {
			dropped++
		} else {
			kept = append(kept, g)
		}
	}
	return kept, dropped
}

// unexplained returns the parts of the line where no known hyperplane makes f change, with f at their ends.
func (s *saturation) unexplained(ctx context.Context, l line) ([]interval, error) {
	reach := 4 * s.radius
	var crossings intervals
	for _, u := range s.found {
		slope := floats.Dot(u.Direction, l.Direction)
		t := -(floats.Dot(u.Direction, l.Origin) + u.Offset) / slope
		half := (s.depth()/u.Decay + 10*u.Error*s.radius) / math.Abs(slope)
		crossings = append(crossings, [2]float64{t - half, t + half})
	}
	gaps := crossings.complement(-reach, reach)
	var ts []float64
	for _, g := range gaps {
		ts = append(ts, g[0], g[1])
	}
	y, err := l.ask(ctx, s.oracle, ts)
	if err != nil {
		return nil, err
	}
	pieces := make([]interval, len(gaps))
	for i, g := range gaps {
		pieces[i] = interval{g[0], g[1], y[2*i], y[2*i+1]}
	}
	return pieces, nil
}

// depth is how many times exp(-1) a tail decays before it is lost in the noise.
func (s *saturation) depth() float64 { return math.Log(s.scales.Spread/s.scales.Noise) + 8 }

// known reports whether the unit's hyperplane is one of those found.
func (s *saturation) known(u Unit) bool {
	for _, v := range s.found {
		away := append([]float64(nil), u.Direction...)
		sign := math.Copysign(1, floats.Dot(u.Direction, v.Direction))
		floats.AddScaled(away, -sign, v.Direction)
		uncertain := math.Max(20*(u.Error+v.Error), 1e-5)
		if floats.Norm(away, 2) < uncertain && math.Abs(u.Offset-sign*v.Offset) < 20/v.Decay+uncertain*4*s.radius {
			return true
		}
	}
	return false
}
