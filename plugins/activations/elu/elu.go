// Package elu is t on the right and alpha (exp(t) - 1) on the left.
package elu

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "elu".
var Factory = core.ActivationFactory{Component: component, Open: open}

var component = core.Component{
	Name: "elu", Summary: "t on the right, alpha (exp(t) - 1) on the left; -alpha on the left, t on the right",
	Reference: "Clevert, Unterthiner, Hochreiter: Exponential linear units, arXiv 1511.07289",
	Options: []core.Option{
		{Name: "alpha", Usage: "minus the limit on the left, 1e-3 to 1e3; the slope is continuous for 1 only", Default: "1"},
	},
}

func open(given core.Options) (core.Activation, error) {
	options, err := component.Resolve(core.KindActivation, given)
	if err != nil {
		return nil, err
	}
	alpha, err := options.Float("alpha", 1e-3, 1e3)
	if err != nil {
		return nil, err
	}
	facts := core.Facts{
		Left:  core.Tail{Asymptotic: true, Intercept: -alpha, Rate: 1},
		Right: core.Tail{Asymptotic: true, Slope: 1, Rate: math.Inf(1)},
	}
	// exponential is a derivative on the left, of any order; right is what the order has on the right.
	exponential := func(right float64) func(float64) float64 {
		return func(t float64) float64 {
			switch {
			case t < 0:
				return alpha * math.Exp(t)
			case t != t:
				return t
			}
			return right
		}
	}
	value := func(t float64) float64 {
		if t < 0 {
			return alpha * math.Expm1(t)
		}
		return t
	}
	return sdk.Scalar(facts, value, exponential(1), exponential(0), exponential(0)), nil
}
