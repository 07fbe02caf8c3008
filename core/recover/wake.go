package recover

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Wake looks for a unit that has been asleep so far: on the path between two of the rows x (latent points) whose
// residuals differ most, where f less what guess explains changes. It reports whether there was one; the directions are
// then found anew.
func (s *Second) Wake(ctx context.Context, x *mat.Dense, residual []float64, guess func(x []float64) float64) (bool, error) {
	low, high := 0, 0
	for k, r := range residual {
		// A little at random, so that another call takes another path.
		if r *= 1 + s.rng.Float64(); r < residual[low] {
			low = k
		}
		if r > residual[high] {
			high = k
		}
	}
	at := func(v []float64) float64 { return guess(s.Latent.Point(v)) }
	p := &path{p: s.Latent.Coordinates(x.RawRowView(low)), q: s.Latent.Coordinates(x.RawRowView(high))}
	for _, v := range [][]float64{p.p, p.q} { // where tails are too faint nothing can be measured
		for i := range v {
			v[i] = math.Max(-reach, math.Min(reach, v[i]))
		}
	}
	p.middle = between(p.p, p.q, 0.5)
	y, err := s.Latent.ask(ctx, s.oracle, [][]float64{p.p, p.q, p.middle})
	if err != nil {
		return false, err
	}
	p.atP, p.atQ, p.atMid = y[0]-at(p.p), y[1]-at(p.q), y[2]-at(p.middle)
	if err := s.follow(ctx, p, at); err != nil {
		return false, err
	}
	if err := s.add(ctx, [][]float64{between(p.p, p.q, s.rng.Float64())}, all(len(s.Base))); err != nil {
		return false, err
	}
	grew := s.widen(len(s.points)-1, all(len(s.Base)))
	if grew {
		return true, s.extract(ctx)
	}
	return false, s.slopes()
}
