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
	Rounding   Rounding  // the grid that the answers lie on
	Grid       float64   // relative spacing of the x that the backend can tell apart: 2^-53, or 2^-24 in single precision
}

// Largest ray that is tried, and the factor between two points of a ray.
const (
	rayFactor = 4.0
	rayMax    = 1e12
	rayMin    = 1e-9
)

// Measure finds the scales of the oracle. It fails with an Unsupported fault when f has no saturation radius, which
// means that the first layer's activation does not saturate (or x is clipped at nothing).
//
// A backend that says so (single), or whose noise looks like it, is taken to round x to single precision.
func Measure(ctx context.Context, oracle query.Asker, d int, single bool, rng *rand.Rand) (*Scales, error) {
	log := &Log{Oracle: oracle}
	oracle = log
	center := make([]float64, d)
	s := &Scales{Center: center}
	var values, radii []float64
	for range 2 {
		v := Direction(rng, d)
		radius, onRay, err := ray(ctx, oracle, center, v)
		if err != nil {
			return nil, err
		}
		values = append(values, onRay...)
		radii = append(radii, radius)
	}
	s.Saturation = floats.Min(radii)
	s.Value = maxAbs(values...)
	s.Spread = floats.Max(values) - floats.Min(values)
	if s.Spread == 0 {
		return nil, fault.New(fault.Unsupported, "the oracle gave the same answer %g at every point asked: there is nothing to identify", values[0])
	}
	var err error
	if s.Noise, err = level(ctx, oracle, s, s.Saturation/300, rng); err != nil {
		return nil, err
	}
	if s.Noise > 1e-12*s.Value { // rounded answers are noisier where f is larger
		for _, radius := range []float64{s.Saturation / 30, s.Saturation / 100} {
			noise, err := level(ctx, oracle, s, radius, rng)
			if err != nil {
				return nil, err
			}
			s.Noise = math.Max(s.Noise, noise)
		}
	}
	s.rounded(log.Y)
	s.grid(single)
	return s, nil
}

// MeasureNear finds the noise and the scales of f within |x|_inf <= reach, asking nothing outside.
func MeasureNear(ctx context.Context, oracle query.Asker, d int, reach float64, single bool, rng *rand.Rand) (*Scales, error) {
	log := &Log{Oracle: oracle}
	oracle = log
	s := &Scales{Center: make([]float64, d), Saturation: reach}
	points := make([][]float64, 12)
	for k := range points {
		points[k] = make([]float64, d)
		for j := range points[k] {
			points[k][j] = reach * (2*rng.Float64() - 1)
		}
	}
	y, err := Points(ctx, oracle, points)
	if err != nil {
		return nil, err
	}
	s.Value, s.Spread = maxAbs(y...), floats.Max(y)-floats.Min(y)
	if s.Spread == 0 {
		return nil, fault.New(fault.Unsupported, "the oracle gave the same answer %g at every point asked: there is nothing to identify", y[0])
	}
	if s.Noise, err = level(ctx, oracle, s, reach/3, rng); err != nil {
		return nil, err
	}
	s.rounded(log.Y)
	s.grid(single)
	return s, nil
}

// rounded looks for a grid among the answers. On a fine grid of x rounded answers are constant where f is nearly
// stationary, and look free of noise: what a decimal grid says of the noise counts, single precision's is a lower bound.
func (s *Scales) rounded(answers []float64) {
	s.Rounding = FindRounding(answers)
	least := s.Rounding.Error(s.Value)
	if s.Rounding.Digits > 0 && s.Noise < 10*least {
		s.Noise = least
	}
	s.Noise = math.Max(s.Noise, least)
}

// Sigma returns the standard deviation of the error of the answer y. Rounded answers are the more exact the smaller they are.
func (s *Scales) Sigma(y float64) float64 {
	if s.Rounding.Digits > 0 && s.Noise <= 1.01*s.Rounding.Error(s.Value) {
		return math.Max(s.Rounding.Error(y), 1e-16*s.Value)
	}
	return math.Max(s.Noise, 1e-16*s.Value)
}

// grid sets the spacing of x: single when the backend says so or its noise looks like it.
func (s *Scales) grid(single bool) {
	s.Grid = doubleGrid
	if single || (s.Noise > 3e-9*s.Value && s.Noise < 3e-7*s.Value) {
		s.Grid = singleGrid
	}
}

// level estimates the noise at a random point at the given distance from the center. It goes from coarse to fine: a
// coarse grid sees rounded answers that a fine one takes for constant, but only where f is smooth on it. Noise is what
// two successive grids agree on; what f itself does changes with the grid. Two fine grids come first: if they see double
// precision, that is all. Rounded answers are constant on fine grids where f is nearly stationary: what the finest saw is
// not forgotten because others see less.
func level(ctx context.Context, oracle query.Asker, s *Scales, radius float64, rng *rand.Rand) (float64, error) {
	x, v := along(s.Center, radius, Direction(rng, len(s.Center))), Direction(rng, len(s.Center))
	previous, noise, most := math.Inf(1), 0.0, 0.0
	for k, step := range []float64{1e-6, 1e-7, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7} {
		if k == 2 {
			previous = math.Inf(1)
		}
		value, agree, err := Noise(ctx, oracle, x, v, s.Saturation*step)
		if err != nil {
			return 0, err
		}
		noise = math.Max(value, 2e-16*s.Value)
		double := noise < 1e-13*s.Value
		if agree && (k >= 2 || double) && previous < 6*noise && noise < 6*previous {
			return math.Max(most, math.Max(noise, previous)), nil
		}
		previous = noise
		if agree && step <= 1e-6 { // coarse ones may see f itself
			most = math.Max(most, noise)
		}
	}
	return math.Max(most, noise), nil
}

// Relative spacings of numbers.
const (
	doubleGrid = 1.0 / (1 << 53)
	singleGrid = 1.0 / (1 << 24)
)

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
// (ECNoise, SIAM J. Sci. Comput. 33, 2011): high differences of a smooth function on a fine grid are noise only. It
// reports whether the levels of differences agree, which those of a function that is not smooth on the grid don't.
func Noise(ctx context.Context, oracle query.Asker, x, v []float64, step float64) (noise float64, agree bool, err error) {
	const n = 8
	points := make([][]float64, n+1)
	for k := range points {
		points[k] = along(x, float64(k-n/2)*step, v)
	}
	difference, err := Points(ctx, oracle, points)
	if err != nil {
		return 0, false, err
	}
	difference = append([]float64(nil), difference...)
	// The k-th differences have variance sigma^2 (2k)!/(k!)^2.
	gamma := 1.0
	low, high := math.Inf(1), 0.0
	for k := 1; k <= 6; k++ {
		for i := 0; i < len(difference)-1; i++ {
			difference[i] = difference[i+1] - difference[i]
		}
		difference = difference[:len(difference)-1]
		gamma *= float64(k) / (2 * float64(2*k-1))
		mean := 0.0
		for _, v := range difference {
			mean += v * v
		}
		if level := math.Sqrt(gamma * mean / float64(len(difference))); k >= 4 {
			low, high = math.Min(low, level), math.Max(high, level)
		}
	}
	return low, high <= 4*low && high > 0, nil
}
