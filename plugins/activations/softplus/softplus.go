// Package softplus is log(1 + exp(t)).
package softplus

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "softplus".
var Factory = core.ActivationFactory{
	Component: core.Component{Name: "softplus", Summary: "log(1 + exp(t)); 0 on the left, t on the right"},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:  core.Tail{Asymptotic: true, Rate: 1},
			Right: core.Tail{Asymptotic: true, Slope: 1, Rate: 1},
		}, value, first, second, third), nil
	},
}

func value(t float64) float64 {
	return math.Max(t, 0) + math.Log1p(math.Exp(-math.Abs(t)))
}

// first is the logistic function; the exponential is never of a positive number.
func first(t float64) float64 {
	e := math.Exp(-math.Abs(t))
	if t < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

func second(t float64) float64 {
	e := math.Exp(-math.Abs(t))
	return e / ((1 + e) * (1 + e))
}

func third(t float64) float64 { return -math.Tanh(t/2) * second(t) }
