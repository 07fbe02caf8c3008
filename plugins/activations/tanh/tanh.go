// Package tanh is the hyperbolic tangent, the activation of arXiv 1907.00485's experiments.
package tanh

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "tanh".
var Factory = core.ActivationFactory{
	Component: core.Component{Name: "tanh", Summary: "hyperbolic tangent, -1 to 1"},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:     core.Tail{Asymptotic: true, Intercept: -1, Rate: 2},
			Right:    core.Tail{Asymptotic: true, Intercept: 1, Rate: 2},
			Symmetry: core.SymmetryPoint,
		}, math.Tanh, first, second, third), nil
	},
}

// first is 1 - tanh^2, written as 4 e^(-2|t|) / (1 + e^(-2|t|))^2, which does not cancel in the tails.
func first(t float64) float64 {
	e := math.Exp(-2 * math.Abs(t))
	return 4 * e / ((1 + e) * (1 + e))
}

func second(t float64) float64 { return -2 * math.Tanh(t) * first(t) }

func third(t float64) float64 {
	g, g1 := math.Tanh(t), first(t)
	return g1 * (4*g*g - 2*g1)
}
