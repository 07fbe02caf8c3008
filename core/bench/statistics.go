package bench

import (
	"math"
	"slices"
)

// Wilson returns the score interval (E. B. Wilson 1927) of a proportion at 95 % confidence. Unlike the textbook
// interval it stays honest near 0 and 1, where success rates are.
func Wilson(successes, runs int) (low, high float64) {
	if runs == 0 {
		return 0, 1
	}
	const z = 1.959963984540054 // the normal distribution's 97.5 % quantile
	n, p := float64(runs), float64(successes)/float64(runs)
	centre := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	// The ends are exact: rounding must not leave 1e-17 below 0 or above 1.
	low, high = math.Max(0, centre-half), math.Min(1, centre+half)
	if successes == 0 {
		low = 0
	}
	if successes == runs {
		high = 1
	}
	return low, high
}

// median and largest pass over NaN; they are NaN where nothing else is left.
func median(values []float64) float64 {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func largest(values []float64) float64 {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Max(v)
}
