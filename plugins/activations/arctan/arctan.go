// Package arctan is the inverse tangent. Its tails are algebraic: pi/2 - arctan(t) ~ 1/t.
package arctan

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "arctan".
var Factory = core.ActivationFactory{
	Component: core.Component{Name: "arctan", Summary: "inverse tangent, -pi/2 to pi/2; algebraic tails"},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:     core.Tail{Asymptotic: true, Intercept: -math.Pi / 2},
			Right:    core.Tail{Asymptotic: true, Intercept: math.Pi / 2},
			Symmetry: core.SymmetryPoint,
		}, math.Atan, first, second, third), nil
	},
}

// The derivatives are functions of 1/t beyond 1, where t^2 would overflow.

func first(t float64) float64 {
	if math.Abs(t) > 1 {
		r := 1 / t
		return r * r / (1 + r*r)
	}
	return 1 / (1 + t*t)
}

func second(t float64) float64 {
	if math.Abs(t) > 1 {
		r := 1 / t
		q := 1 + r*r
		return -2 * r * r * r / (q * q)
	}
	q := 1 + t*t
	return -2 * t / (q * q)
}

func third(t float64) float64 {
	if math.Abs(t) > 1 {
		r := 1 / t
		q := 1 + r*r
		return (6 - 2*r*r) * (r * r) * (r * r) / (q * q * q)
	}
	q := 1 + t*t
	return (6*t*t - 2) / (q * q * q)
}
