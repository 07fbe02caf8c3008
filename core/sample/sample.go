// Package sample is how nnid chooses its queries. Its heart is saturation sampling: far out nearly every unit of a
// saturating first layer is saturated, f is constant but for one step a unit, and where a step is met that unit alone
// is alive. There f(x) depends on a_i . x only, so that the direction of a_i follows from d-1 queries and its length
// from the tails of the step. Nothing need be attributed: all of it is layer one.
package sample

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/query"
)

// Log is an asker that keeps every row asked and its answer, so that later fits use what earlier stages paid for.
type Log struct {
	Oracle query.Asker
	X      [][]float64 // rows as asked
	Y      []float64
	// Single says that the backend takes x in single precision: rows are rounded to it before they are asked, so that the ones kept are
	// those that were answered.
	Single bool
}

// Ask implements [query.Asker].
func (l *Log) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if l.Single {
		x = Single(x)
	}
	y, err := l.Oracle.Ask(ctx, x)
	if err != nil {
		return nil, err
	}
	for i := range y {
		l.X = append(l.X, mat.Row(nil, i, x))
		l.Y = append(l.Y, y[i])
	}
	return y, nil
}

// Single returns x rounded to single precision, towards zero: what is within a domain stays there.
func Single(x *mat.Dense) *mat.Dense {
	rounded := mat.DenseCopyOf(x)
	rounded.Apply(func(_, _ int, v float64) float64 {
		r := float32(v)
		if math.Abs(float64(r)) > math.Abs(v) {
			r = math.Nextafter32(r, 0)
		}
		return float64(r)
	}, rounded)
	return rounded
}

// Queries implements [query.Asker].
func (l *Log) Queries() int64 { return l.Oracle.Queries() }

// Points asks f at a list of points.
func Points(ctx context.Context, oracle query.Asker, points [][]float64) ([]float64, error) {
	if len(points) == 0 {
		return nil, nil
	}
	x := mat.NewDense(len(points), len(points[0]), nil)
	for i, p := range points {
		x.SetRow(i, p)
	}
	return oracle.Ask(ctx, x)
}

// along returns x + s v as a new point.
func along(x []float64, s float64, v []float64) []float64 {
	return floats.AddScaledTo(make([]float64, len(x)), x, s, v)
}

// Direction returns a unit vector uniform on the sphere in R^d.
func Direction(rng *rand.Rand, d int) []float64 {
	v := make([]float64, d)
	for {
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		if n := floats.Norm(v, 2); n > 1e-6 {
			floats.Scale(1/n, v)
			return v
		}
	}
}

// frame returns an orthonormal basis of R^d (rows) whose first vector is first (a unit vector); the others are
// uniformly random.
func frame(rng *rand.Rand, first []float64) [][]float64 {
	d := len(first)
	basis := make([][]float64, 0, d)
	basis = append(basis, first)
	for len(basis) < d {
		v := Direction(rng, d)
		for range 2 { // twice is enough (Kahan, Parlett): orthogonal to rounding
			for _, b := range basis {
				floats.AddScaled(v, -floats.Dot(v, b), b)
			}
		}
		n := floats.Norm(v, 2)
		if n < 1e-8 {
			continue
		}
		floats.Scale(1/n, v)
		basis = append(basis, v)
	}
	return basis
}

// orthogonal returns a random unit vector orthogonal to the unit vector w; w itself when d = 1.
func orthogonal(rng *rand.Rand, w []float64) []float64 {
	if len(w) == 1 {
		return []float64{0}
	}
	return frame2(rng, w)
}

func frame2(rng *rand.Rand, w []float64) []float64 {
	for {
		v := Direction(rng, len(w))
		for range 2 {
			floats.AddScaled(v, -floats.Dot(v, w), w)
		}
		if n := floats.Norm(v, 2); n > 1e-8 {
			floats.Scale(1/n, v)
			return v
		}
	}
}

func maxAbs(values ...float64) float64 {
	m := 0.0
	for _, v := range values {
		m = math.Max(m, math.Abs(v))
	}
	return m
}
