// Package gompertz is exp(-exp(-t)), a bounded function that approaches its two limits in different ways.
package gompertz

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "gompertz".
var Factory = core.ActivationFactory{
	Component: core.Component{
		Name: "gompertz", Summary: "exp(-exp(-t)), 0 to 1, steeper on the left",
		Reference: "Gompertz, Phil. Trans. R. Soc. 115 (1825); the distribution function of Gumbel",
	},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:  core.Tail{Asymptotic: true, Rate: math.Inf(1)},
			Right: core.Tail{Asymptotic: true, Intercept: 1, Rate: 1},
		}, value, first, second, third), nil
	},
}

// far to the left all derivatives are less than the smallest number, and the inner exponential overflows later.
const far = 8

func value(t float64) float64 { return math.Exp(-math.Exp(-t)) }

// first is e exp(-e), e = exp(-t): one exponential, so that products of large and small numbers are not met.
func first(t float64) float64 {
	switch {
	case t < -far:
		return 0
	case math.IsInf(t, 1):
		return 0
	}
	return math.Exp(-t - math.Exp(-t))
}

// second is (e - 1) g'.
func second(t float64) float64 {
	if t < -far {
		return 0
	}
	return math.Expm1(-t) * first(t)
}

// third is (e^2 - 3 e + 1) g'.
func third(t float64) float64 {
	if t < -far {
		return 0
	}
	e := math.Exp(-t)
	return ((e-3)*e + 1) * first(t)
}
