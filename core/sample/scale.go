package sample

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
)

// Scales are the lengths and levels found of an oracle before anything else: nothing is assumed of its units.
type Scales struct {
	Saturation float64   // |x| beyond which f no longer changes along random rays
	Center     []float64 // the point that the rays start from
	Value      float64   // typical magnitude of f
	Spread     float64   // typical variation of f
	Noise      float64   // standard deviation of the answers' error, at least rounding
}

// Largest ray that is tried, and the factor between two points of a ray.
const (
	rayFactor = 4.0
	rayMax    = 1e12
	rayMin    = 1e-9
)

// Measure finds the scales of the oracle. It fails with an Unsupported fault when f has no saturation radius, which
// means that the first layer's activation does not saturate (or x is clipped at nothing).
func Measure(ctx context.Context, oracle query.Asker, d int, rng *rand.Rand) (*Scales, error) {
	center := make([]float64, d)
	s := &Scales{Center: center}
	var values, radii []float64
	for range 2 {
		v := Direction(rng, d)
		radius, seen, err := ray(ctx, oracle, center, v)
		if err != nil {
			return nil, err
		}
		values = append(values, seen...)
		radii = append(radii, radius)
	}
	s.Saturation = floats.Min(radii)
	s.Value = maxAbs(values...)
	s.Spread = floats.Max(values) - floats.Min(values)
	if s.Spread == 0 {
		return nil, fault.New(fault.Unsupported, "the oracle gave the same answer %g at every point asked: there is nothing to identify", values[0])
	}
	noise, err := Noise(ctx, oracle, along(center, s.Saturation/300, Direction(rng, d)), Direction(rng, d), s.Saturation*1e-6)
	if err != nil {
		return nil, err
	}
	s.Noise = math.Max(noise, 2e-16*s.Value)
	return s, nil
}

// ray finds the radius beyond which f is constant along v and -v.
func ray(ctx context.Context, oracle query.Asker, center, v []float64) (radius float64, seen []float64, err error) {
	// One batch for the middle of the range; more only if the radius is not in it.
	low, high := 0.25, 65536.0
	at := map[float64][2]float64{}
	for {
		var points [][]float64
		var radii []float64
		for r := low; r <= high; r *= rayFactor {
			if _, ok := at[r]; !ok {
				radii = append(radii, r)
				points = append(points, along(center, r, v), along(center, -r, v))
			}
		}
		y, err := Points(ctx, oracle, points)
		if err != nil {
			return 0, nil, err
		}
		seen = append(seen, y...)
		for i, r := range radii {
			at[r] = [2]float64{y[2*i], y[2*i+1]}
		}
		// The smallest radius from which all larger ones agree.
		tolerance := 1e-12 * maxAbs(seen...)
		r := high
		for r/rayFactor >= low {
			a, b := at[r/rayFactor], at[high]
			if math.Abs(a[0]-b[0]) > tolerance || math.Abs(a[1]-b[1]) > tolerance {
				break
			}
			r /= rayFactor
		}
		switch {
		case r >= high/rayFactor: // not flat for long enough yet
			if high >= rayMax {
				return 0, nil, fault.New(fault.Unsupported, "f still changes at |x| = %.0e: its first layer does not saturate, so saturation sampling cannot be used", high)
			}
			high *= rayFactor * rayFactor * rayFactor * rayFactor
		case r > low || low <= rayMin:
			return r, seen, nil
		default:
			low /= rayFactor * rayFactor * rayFactor * rayFactor * rayFactor
		}
	}
}

// Noise estimates the standard deviation of the error in f from differences along a line, after More and Wild
// (ECNoise, SIAM J. Sci. Comput. 33, 2011): high differences of a smooth function on a fine grid are noise only.
func Noise(ctx context.Context, oracle query.Asker, x, v []float64, step float64) (float64, error) {
	const n = 8
	points := make([][]float64, n+1)
	for k := range points {
		points[k] = along(x, float64(k-n/2)*step, v)
	}
	difference, err := Points(ctx, oracle, points)
	if err != nil {
		return 0, err
	}
	difference = append([]float64(nil), difference...)
	// The k-th differences have variance sigma^2 (2k)!/(k!)^2. Truncation only ever adds, so the smallest of the last
	// levels is the estimate.
	gamma, best := 1.0, math.Inf(1)
	for k := 1; k <= n-2; k++ {
		for i := 0; i < len(difference)-1; i++ {
			difference[i] = difference[i+1] - difference[i]
		}
		difference = difference[:len(difference)-1]
		gamma *= float64(k) / (2 * float64(2*k-1))
		mean := 0.0
		for _, v := range difference {
			mean += v * v
		}
		level := math.Sqrt(gamma * mean / float64(len(difference)))
		if k >= 3 {
			best = math.Min(best, level)
		}
	}
	return best, nil
}
