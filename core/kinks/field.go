package kinks

import (
	"context"
	"math"
	"math/rand/v2"
	"sort"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// field is f in coordinates y in R^n, far out a piecewise linear function of them.
type field struct {
	oracle query.Asker
	n      int
	x      func(y []float64) []float64
	zone   float64 // along random directions units need so much to pass from one asymptote to the other, to rounding
	radius float64 // how far out lines run
	// noise is the standard deviation of an answer's error over the largest |f| around, with what evaluating f in
	// floating point adds to it.
	noise float64
}

// ask evaluates f at points given by their coordinates.
func (f *field) ask(ctx context.Context, ys [][]float64) ([]float64, error) {
	points := make([][]float64, len(ys))
	for k, y := range ys {
		points[k] = f.x(y)
	}
	values, err := sample.Points(ctx, f.oracle, points)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fault.New(fault.Unsupported, "f is %g far out", v)
		}
	}
	return values, nil
}

// Rays are asked at radii that grow by rayFactor, from rayMin at the least to rayMax at the most.
const (
	rayFactor = 4.0
	rayMin    = 1e-9
	rayMax    = 1e12
)

// linear returns the radius from which f is linear along the ray from origin in direction v: to rounding of its values
// further out.
func (f *field) linear(ctx context.Context, origin, v []float64) (float64, error) {
	low, high := 0.25, 65536.0
	at := map[float64]float64{}
	for {
		var points [][]float64
		var radii []float64
		for r := low; r <= high; r *= rayFactor {
			if _, ok := at[r]; !ok {
				radii = append(radii, r)
				points = append(points, along(origin, r, v))
			}
		}
		values, err := f.ask(ctx, points)
		if err != nil {
			return 0, err
		}
		for k, r := range radii {
			at[r] = values[k]
		}
		end, before := at[high], at[high/rayFactor]
		slope := (end - before) / (high - high/rayFactor)
		tolerance := 30 * f.noise * math.Max(math.Abs(end), math.Abs(before))
		r := high / rayFactor
		for r/rayFactor >= low && math.Abs(end+slope*(r/rayFactor-high)-at[r/rayFactor]) <= tolerance {
			r /= rayFactor
		}
		switch {
		case r >= high/rayFactor/rayFactor: // not straight for long enough yet
			if high >= rayMax {
				return 0, fault.New(fault.Unsupported, "f still bends at |x| = %.0e: it is not piecewise linear far out", high)
			}
			high *= math.Pow(rayFactor, 4)
		case r > low || low <= rayMin:
			return r, nil
		default:
			low /= math.Pow(rayFactor, 5)
		}
	}
}

// measure finds the zone from a few rays in the given directions, and sets the radius.
func (f *field) measure(ctx context.Context, origin []float64, directions [][]float64) error {
	var radii []float64
	var bends error
	for _, v := range directions {
		r, err := f.linear(ctx, origin, v)
		switch {
		case fault.Is(err, fault.Unsupported): // or nearly everything cancels along this ray
			bends = err
		case err != nil:
			return err
		default:
			radii = append(radii, r)
		}
	}
	if 2*len(radii) < len(directions) {
		return bends
	}
	sort.Float64s(radii)
	// The larger ones may be those of directions within a unit's hyperplane.
	f.zone = radii[(len(radii)-1)/2]
	f.radius = separation * f.zone
	return nil
}

// separation is how many zones lines stay away from the origin: with K kinks on a line the nearest two are some
// separation / K^2 zones apart.
const separation = 300

func along(y []float64, t float64, v []float64) []float64 {
	return floats.AddScaledTo(make([]float64, len(y)), y, t, v)
}

// sphere returns a random point at the given distance from the origin.
func sphere(rng *rand.Rand, n int, radius float64) []float64 {
	v := sample.Direction(rng, n)
	floats.Scale(radius, v)
	return v
}
