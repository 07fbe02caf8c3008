// Package sigmoid is the logistic function 1 / (1 + exp(-t)).
package sigmoid

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "sigmoid".
var Factory = core.ActivationFactory{
	Component: core.Component{Name: "sigmoid", Summary: "logistic function 1 / (1 + exp(-t)), 0 to 1"},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:     core.Tail{Asymptotic: true, Intercept: 0, Rate: 1},
			Right:    core.Tail{Asymptotic: true, Intercept: 1, Rate: 1},
			Symmetry: core.SymmetryPoint,
		}, value, first, second, third), nil
	},
}

// value never takes the exponential of a positive number, so it neither overflows nor cancels.
func value(t float64) float64 {
	e := math.Exp(-math.Abs(t))
	if t < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

func first(t float64) float64 {
	e := math.Exp(-math.Abs(t))
	return e / ((1 + e) * (1 + e))
}

// second uses 1 - 2 g = -tanh(t/2), which keeps its digits where g is near 1/2.
func second(t float64) float64 { return -math.Tanh(t/2) * first(t) }

// third is g' (1 - 6 g') with 1 = tanh(t/2)^2 + 4 g', whose terms are a third as large where they cancel.
func third(t float64) float64 {
	h, g1 := math.Tanh(t/2), first(t)
	return g1 * (h*h - 2*g1)
}
