// Package silu is t times the logistic function of t, also called swish.
package silu

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "silu".
var Factory = core.ActivationFactory{
	Component: core.Component{
		Name: "silu", Summary: "t / (1 + exp(-t)), also called swish; 0 on the left, t on the right",
		Reference: "Elfwing, Uchibe, Doya: Sigmoid-weighted linear units, arXiv 1702.03118",
	},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			// The distance is |t| exp(-|t|): the polynomial factor does not change the rate.
			Left:  core.Tail{Asymptotic: true, Rate: 1},
			Right: core.Tail{Asymptotic: true, Slope: 1, Rate: 1},
		}, value, first, second, third), nil
	},
}

// far is where the logistic function's tail is less than the smallest number: beyond, 0 * Inf is not met.
const far = 800

// logistic returns s(t) and its derivative s'(t) = s(t) s(-t).
func logistic(t float64) (s, s1 float64) {
	e := math.Exp(-math.Abs(t))
	s1 = e / ((1 + e) * (1 + e))
	if t < 0 {
		return e / (1 + e), s1
	}
	return 1 / (1 + e), s1
}

func value(t float64) float64 {
	if t < -far {
		return 0
	}
	s, _ := logistic(t)
	return t * s
}

func first(t float64) float64 {
	switch {
	case t < -far:
		return 0
	case t > far:
		return 1
	}
	s, s1 := logistic(t)
	return s + t*s1
}

func second(t float64) float64 {
	if math.Abs(t) > far {
		return 0
	}
	_, s1 := logistic(t)
	return s1 * (2 - t*math.Tanh(t/2))
}

func third(t float64) float64 {
	if math.Abs(t) > far {
		return 0
	}
	_, s1 := logistic(t)
	h := math.Tanh(t / 2)
	return s1 * (t*(h*h-2*s1) - 3*h) // 1 - 6 s' = h^2 - 2 s', with less to cancel
}
