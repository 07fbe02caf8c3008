// Package erf is the error function 2/sqrt(pi) int_0^t exp(-s^2) ds.
package erf

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "erf".
var Factory = core.ActivationFactory{
	Component: core.Component{Name: "erf", Summary: "error function, -1 to 1; tails faster than every exponential"},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:     core.Tail{Asymptotic: true, Intercept: -1, Rate: math.Inf(1)},
			Right:    core.Tail{Asymptotic: true, Intercept: 1, Rate: math.Inf(1)},
			Symmetry: core.SymmetryPoint,
		}, math.Erf, first, second, third), nil
	},
}

// first is 2/sqrt(pi) exp(-t^2). The square of t = h + l is taken apart, because rounding t^2 at t = 26 would cost
// three digits of its exponential. Beyond 28 the value is less than the smallest number.
func first(t float64) float64 {
	if math.Abs(t) > 28 {
		return 0
	}
	h := float64(float32(t))
	return 2 / math.SqrtPi * math.Exp(-h*h) * math.Exp(-(t-h)*(t+h))
}

func second(t float64) float64 {
	if math.Abs(t) > 28 {
		return 0
	}
	return -2 * t * first(t)
}

func third(t float64) float64 {
	if math.Abs(t) > 28 {
		return 0
	}
	return (4*t*t - 2) * first(t)
}
