// Package softplus is log(1 + exp(t)).
package softplus

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "softplus".
var Factory = core.ActivationFactory{Component: component, Open: open}

var component = core.Component{
	Name: "softplus", Summary: "log(1 + exp(beta t)) / beta; 0 on the left, t on the right",
	Options: []core.Option{{Name: "beta", Usage: "how sharp the bend is, 1e-3 to 1e3", Default: "1"}},
}

func open(given core.Options) (core.Activation, error) {
	options, err := component.Resolve(core.KindActivation, given)
	if err != nil {
		return nil, err
	}
	beta, err := options.Float("beta", 1e-3, 1e3)
	if err != nil {
		return nil, err
	}
	// scaled is beta^(order-1) times a derivative of the function with beta 1.
	scaled := func(f func(float64) float64, order float64) func(float64) float64 {
		factor := math.Pow(beta, order-1)
		return func(t float64) float64 {
			return factor * f(beta*t)
		}
	}
	return sdk.Scalar(core.Facts{
		Left:  core.Tail{Asymptotic: true, Rate: beta},
		Right: core.Tail{Asymptotic: true, Slope: 1, Rate: beta},
	}, func(t float64) float64 {
		return math.Max(t, 0) + math.Log1p(math.Exp(-beta*math.Abs(t)))/beta
	}, scaled(first, 1), scaled(second, 2), scaled(third, 3)), nil
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
