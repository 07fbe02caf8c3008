// Package softsign is t / (1 + |t|). Its tails are algebraic, and its second derivative jumps at 0.
package softsign

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "softsign".
var Factory = core.ActivationFactory{
	Component: core.Component{Name: "softsign", Summary: "t / (1 + |t|), -1 to 1; algebraic tails; second derivative jumps at 0"},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:     core.Tail{Asymptotic: true, Intercept: -1},
			Right:    core.Tail{Asymptotic: true, Intercept: 1},
			Symmetry: core.SymmetryPoint,
		}, value, first, second, third), nil
	},
}

func value(t float64) float64 {
	if math.IsInf(t, 0) {
		return math.Copysign(1, t)
	}
	return t / (1 + math.Abs(t))
}

// The powers are taken of the quotient, which underflows where their product would overflow.

func first(t float64) float64 {
	r := 1 / (1 + math.Abs(t))
	return r * r
}

// second has the values -2 and 2 on the two sides of 0; at 0 it is 0, as point symmetry wants.
func second(t float64) float64 {
	if t == 0 {
		return 0
	}
	r := 1 / (1 + math.Abs(t))
	return math.Copysign(2*r*r*r, -t)
}

func third(t float64) float64 {
	r := 1 / (1 + math.Abs(t))
	return 6 * (r * r) * (r * r)
}
