package recover

import (
	"context"
	"math"
	"slices"
)

const (
	reach     = 3.0  // moved coordinates lie within
	straight  = 0.25 // f is nearly linear on a path when its middle is off by so much of the difference of its ends
	tamePaths = 3    // after so many straight paths in a row, points are taken at random
	halvings  = 24   // of a path, at most
	flat      = 1e-3 // of the largest difference seen on a path: on this one nothing happens
	redraws   = 4    // of a flat path
)

// A path is a segment that is halved towards where f changes most.
type path struct {
	p, q, middle    []float64
	atP, atQ, atMid float64
}

func (p *path) bent() bool {
	return math.Abs(p.atMid-(p.atP+p.atQ)/2) > straight*math.Abs(p.atP-p.atQ)
}

func (p *path) change() float64 {
	return math.Max(math.Abs(p.atMid-p.atP), math.Abs(p.atMid-p.atQ))
}

// halve keeps the half in which f changes more; the middle is new, and is yet to be asked for.
func (p *path) halve() {
	if math.Abs(p.atMid-p.atP) > math.Abs(p.atMid-p.atQ) {
		p.q, p.atQ = p.middle, p.atMid
	} else {
		p.p, p.atP = p.middle, p.atMid
	}
	p.middle = between(p.p, p.q, 0.5)
}

// lively returns a point with the given coordinates moved, up to size, at which some second-layer unit is alive: on a
// random path, halved towards where f changes most. Units of long trained weights are nearly steps; at random points
// they all sleep.
func (s *Second) lively(ctx context.Context, moved []int, size float64) ([]float64, error) {
	random := func() []float64 {
		v := slices.Clone(s.Base)
		for _, i := range moved {
			v[i] = size * (2*s.rng.Float64() - 1)
		}
		return v
	}
	var best *path
	for range redraws {
		next := &path{p: random(), q: random()}
		next.middle = between(next.p, next.q, 0.5)
		y, err := s.Latent.ask(ctx, s.oracle, [][]float64{next.p, next.q, next.middle})
		if err != nil {
			return nil, err
		}
		next.atP, next.atQ, next.atMid = y[0], y[1], y[2]
		if best == nil || next.change() > best.change() {
			best = next
		}
		if best.change() > flat*s.mostChange {
			break
		}
	}
	s.mostChange = math.Max(s.mostChange, best.change())
	if err := s.follow(ctx, best, nil); err != nil {
		return nil, err
	}
	return between(best.p, best.q, s.rng.Float64()), nil
}

// near returns a point with the given coordinates moved, up to reach, but not so far that other second-layer units are
// alive there than at the base: on a random path from the base, which is halved until f is nearly linear on it. Where
// paths turn out straight nothing sleeps, and points are taken at random, for free.
func (s *Second) near(ctx context.Context, moved []int) ([]float64, error) {
	q := slices.Clone(s.Base)
	for _, i := range moved {
		q[i] = reach * (2*s.rng.Float64() - 1)
	}
	if s.straight >= tamePaths {
		return q, nil
	}
	if math.IsNaN(s.atBase) {
		y, err := s.Latent.ask(ctx, s.oracle, [][]float64{s.Base})
		if err != nil {
			return nil, err
		}
		s.atBase = y[0]
	}
	p := &path{p: s.Base, q: q, middle: between(s.Base, q, 0.5), atP: s.atBase}
	y, err := s.Latent.ask(ctx, s.oracle, [][]float64{p.q, p.middle})
	if err != nil {
		return nil, err
	}
	p.atQ, p.atMid = y[0], y[1]
	halved := 0
	last := p.q // twice as far as f is nearly linear
	for ; halved < halvings && p.bent(); halved++ {
		last = p.q
		p.q, p.atQ, p.middle = p.middle, p.atMid, between(p.p, p.middle, 0.5)
		y, err := s.Latent.ask(ctx, s.oracle, [][]float64{p.middle})
		if err != nil {
			return nil, err
		}
		p.atMid = y[0]
	}
	if halved <= 1 && s.straight >= 0 {
		s.straight++
	} else {
		s.straight = -1
	}
	return last, nil
}

// follow halves the path until f, less what guess explains (nil: nothing), is nearly linear on it, at most
// halvings times.
func (s *Second) follow(ctx context.Context, p *path, guess func(v []float64) float64) error {
	for range halvings {
		if !p.bent() {
			break
		}
		p.halve()
		y, err := s.Latent.ask(ctx, s.oracle, [][]float64{p.middle})
		if err != nil {
			return err
		}
		if p.atMid = y[0]; guess != nil {
			p.atMid -= guess(p.middle)
		}
	}
	return nil
}

func between(p, q []float64, t float64) []float64 {
	v := make([]float64, len(p))
	for i := range v {
		v[i] = (1-t)*p[i] + t*q[i]
	}
	return v
}
