package sample

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
)

// Scales are the lengths and levels found of an oracle before anything else: nothing is assumed of its units.
type Scales struct {
	Saturation float64   // |x| beyond which f no longer changes along random rays; where Algebraic, by more than a hundredth
	Algebraic  bool      // f approaches its limits along rays like a power of 1/|x|, not exponentially or faster
	Center     []float64 // the point that the rays start from
	Value      float64   // typical magnitude of f
	Spread     float64   // typical variation of f
	Noise      float64   // standard deviation of the answers' error, at least rounding
	Rounding   Rounding  // the grid that the answers lie on
	Grid       float64   // relative spacing of the x that the backend can tell apart: 2^-53, or 2^-24 in single precision
}

// noisy reports whether noise, not double precision, bounds what answers tell.
func (s *Scales) noisy() bool { return s.Noise > 1e-12*s.Value }

// noisyRays is how many more rays are followed where the answers are noisy.
const noisyRays = 3

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
	s.Algebraic = true
	for range 2 {
		v := Direction(rng, d)
		radius, algebraic, onRay, err := ray(ctx, oracle, center, v)
		if err != nil {
			return nil, err
		}
		s.Algebraic = s.Algebraic && algebraic
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
	if distinct(log.Y) < enoughAnswers { // rounded answers may be the same nearly everywhere
		var points [][]float64
		for range 4 * enoughAnswers {
			points = append(points, along(center, s.Saturation*math.Exp(-6*rng.Float64()), Direction(rng, d)))
		}
		if _, err := Points(ctx, oracle, points); err != nil {
			return nil, err
		}
	}
	s.rounded(log.Y)
	s.grid(single)
	if s.noisy() {
		for range noisyRays { // noise may hide where a ray saturates, and a second layer that is saturated that the first is not
			radius, _, _, err := ray(ctx, oracle, center, Direction(rng, d))
			if err != nil {
				return nil, err
			}
			radii = append(radii, radius)
		}
		slices.Sort(radii)
		s.Saturation = radii[len(radii)-2] // the largest may be that of a ray that runs along a hyperplane, any number of times as large
		if s.Single() {                    // far out the steps are lost between the numbers that there are
			s.Saturation = radii[len(radii)/2]
		}
		// Rounded answers are noisier where f is larger.
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

// Single reports whether the backend is taken to round x to single precision.
func (s *Scales) Single() bool { return s.Grid >= singleGrid }

// grid sets the spacing of x: single when the backend says so or its noise looks like it.
func (s *Scales) grid(single bool) {
	s.Grid = doubleGrid
	if single || (s.Noise > 3e-9*s.Value && s.Noise < 3e-7*s.Value) {
		s.Grid = singleGrid
	}
}

// level estimates the noise at a random point at the given distance from the center. It goes from coarse to fine: a
// coarse grid sees rounded answers that a fine one takes for constant, but only where f is smooth on it. Noise is what
// two successive grids agree on; what f itself does changes with the grid, unless that is so coarse that it sees steps: those are as large as f varies. Fine grids
// come first: if two see double precision, that is all. Rounded answers are constant on fine grids where f is nearly stationary: what the finest saw is
// not forgotten because others see less.
func level(ctx context.Context, oracle query.Asker, s *Scales, radius float64, rng *rand.Rand) (float64, error) {
	x, v := along(s.Center, radius, Direction(rng, len(s.Center))), Direction(rng, len(s.Center))
	previous, noise, most := math.Inf(1), 0.0, 0.0
	const fine = 3
	for k, step := range []float64{1e-6, 1e-7, 1e-8, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7} {
		if k == fine {
			previous = math.Inf(1)
		}
		value, agree, err := Noise(ctx, oracle, x, v, s.Saturation*step)
		if err != nil {
			return 0, err
		}
		noise = math.Max(value, 2e-16*s.Value)
		double := noise < 1e-13*s.Value
		if agree && (k >= fine && noise < stepsFrom*s.Spread || double) && previous < 6*noise && noise < 6*previous {
			return math.Max(most, math.Max(noise, previous)), nil
		}
		previous = noise
		if agree && step <= 1e-6 { // coarse ones may see f itself
			most = math.Max(most, noise)
		}
	}
	return math.Max(most, noise), nil
}

// stepsFrom is the part of f's spread that differences on a coarse grid may come to as noise.
const stepsFrom = 0.05

// Relative spacings of numbers.
const (
	doubleGrid = 1.0 / (1 << 53)
	singleGrid = 1.0 / (1 << 24)
)

// Answers that differ by less than stillFactor times their noise are taken for equal: of the some twenty pairs along two rays,
// Gaussian noise parts one so far once in 1e6 times.
const stillFactor = 8

// apart is how far two pairs of answers are apart.
func apart(a, b [2]float64) float64 { return math.Max(math.Abs(a[0]-b[0]), math.Abs(a[1]-b[1])) }

// farNoise estimates the noise of the answers at the end of a ray from two grids that must agree; 0 where they do not.
func farNoise(ctx context.Context, oracle query.Asker, center, v []float64, radius float64) (float64, error) {
	x := along(center, radius, v)
	var levels [2]float64
	for k, step := range []float64{1e-6, 1e-5} {
		level, agree, err := Noise(ctx, oracle, x, v, radius*step)
		if err != nil || !agree {
			return 0, err
		}
		levels[k] = level
	}
	if low, high := floats.Min(levels[:]), floats.Max(levels[:]); high > 6*low {
		return 0, nil
	}
	return floats.Max(levels[:]), nil
}

// ray finds the radius beyond which f is constant along v and -v, but for noise; or, where f approaches its limits like a power of
// 1/|x|, beyond which it changes little.
func ray(ctx context.Context, oracle query.Asker, center, v []float64) (radius float64, algebraic bool, seen []float64, err error) {
	// One batch for the middle of the range; more only if the radius is not in it.
	low, high := 0.25, 65536.0
	at := map[float64][2]float64{}
	noise := 0.0
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
			return 0, false, nil, err
		}
		seen = append(seen, y...)
		for i, r := range radii {
			at[r] = [2]float64{y[2*i], y[2*i+1]}
		}
		// The smallest radius from which all larger ones agree.
		tolerance := math.Max(1e-12*maxAbs(seen...), stillFactor*noise)
		left, spread := apart(at[high], at[high/rayFactor]), floats.Max(seen)-floats.Min(seen)
		if left > tolerance {
			if r, ok := algebraicTail(at, low, high, 100*tolerance, spread); ok {
				return r, true, seen, nil
			}
		}
		if noise == 0 && left > tolerance && left < 0.1*spread {
			// What is left of f's changes out there may be noise.
			if noise, err = farNoise(ctx, oracle, center, v, high); err != nil {
				return 0, false, nil, err
			}
			tolerance = math.Max(tolerance, stillFactor*noise)
		}
		r := high
		for r/rayFactor >= low {
			a, b := at[r/rayFactor], at[high]
			if apart(a, b) > tolerance {
				break
			}
			r /= rayFactor
		}
		switch {
		case r >= high/rayFactor: // not flat for long enough yet
			if high >= rayMax {
				return 0, false, nil, fault.New(fault.Unsupported, "f still changes at |x| = %.0e: its first layer does not saturate, so saturation sampling cannot be used", high)
			}
			high *= rayFactor * rayFactor * rayFactor * rayFactor
		case r > low || low <= rayMin:
			return r, false, seen, nil
		default:
			low /= rayFactor * rayFactor * rayFactor * rayFactor * rayFactor
		}
	}
}

// algebraicTail reports whether f, known at radii that grow by rayFactor, approaches limits like a power of 1/|x| both ways: three changes in
// a row, all larger than least, fall by the same factor. It returns the radius beyond which f is within a hundredth of its spread of the limits.
func algebraicTail(at map[float64][2]float64, low, high, least, spread float64) (float64, bool) {
	const (
		steady = 0.1  // of the factor
		near   = 1e-2 // the limits
	)
	far := 0.0
	for side := range 2 {
		value := func(r float64) float64 { return at[r][side] }
		last := value(high) - value(high/rayFactor)
		before := value(high/rayFactor) - value(high/rayFactor/rayFactor)
		first := value(high/rayFactor/rayFactor) - value(high/rayFactor/rayFactor/rayFactor)
		factor := last / before
		if !(math.Abs(last) > least && factor > 0 && factor < 0.6 && math.Abs(before/first-factor) < steady*factor) {
			return 0, false
		}
		limit := value(high) + last*factor/(1-factor)
		r := high
		for r/rayFactor >= low && math.Abs(value(r/rayFactor)-limit) <= near*spread {
			r /= rayFactor
		}
		if r == high {
			return 0, false // not near the limits yet
		}
		far = math.Max(far, r)
	}
	return far, true
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
