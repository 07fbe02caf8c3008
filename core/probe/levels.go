package probe

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
)

// Level is how noisy answers are at points of one scale.
type Level struct {
	Radius  float64 `json:"radius"`  // the points have |x| up to this, and from a hundredth of it on
	Answers int     `json:"answers"` // how many
	// Noise is the standard deviation of an answer's error at most, by the median of what the network found leaves unexplained. It grows
	// with |x| where the backend rounds x, and as the network's own errors do.
	Noise float64 `json:"noise"`
}

const (
	// leastAnswers of one scale tell a level.
	leastAnswers = 12
	// scaleFactor is between two scales.
	scaleFactor = 100
	// medianOfNormal is the median of |e| for e standard normal.
	medianOfNormal = 0.6745
)

// Levels returns the noise of the answers to what was asked, scale by scale of x from the smallest on, by their distance from a
// network that was identified. Scales of few answers are left out.
func Levels(found Found, asked Asked) []Level {
	expected := found.values(asked.X)
	away := map[int][]float64{}
	for i, x := range asked.X {
		scale := 0 // the origin goes with the points around 1
		if size := floats.Norm(x, 2); size > 0 {
			scale = int(math.Ceil(math.Log(size) / math.Log(scaleFactor)))
		}
		away[scale] = append(away[scale], math.Abs(asked.Y[i]-expected[i]))
	}
	var levels []Level
	for scale, errors := range away {
		if len(errors) < leastAnswers {
			continue
		}
		slices.Sort(errors)
		levels = append(levels, Level{
			Radius: math.Pow(scaleFactor, float64(scale)), Answers: len(errors),
			Noise: stat.Quantile(0.5, stat.Empirical, errors, nil) / medianOfNormal,
		})
	}
	slices.SortFunc(levels, func(a, b Level) int {
		if a.Radius < b.Radius {
			return -1
		}
		return 1
	})
	return levels
}
