// Package leaky is a smooth leaky rectifier: slope t + (1 - slope) log(1 + exp(t)).
package leaky

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "leaky".
var Factory = core.ActivationFactory{Component: component, Open: open}

var component = core.Component{
	Name: "leaky", Summary: "slope t + (1 - slope) log(1 + exp(t)); slope t on the left, t on the right",
	Options: []core.Option{{Name: "slope", Usage: "the slope on the left, 0 to 0.99", Default: "0.1"}},
}

func open(given core.Options) (core.Activation, error) {
	options, err := component.Resolve(core.KindActivation, given)
	if err != nil {
		return nil, err
	}
	slope, err := options.Float("slope", 0, 0.99)
	if err != nil {
		return nil, err
	}
	rest := 1 - slope
	facts := core.Facts{
		Left:  core.Tail{Asymptotic: true, Slope: slope, Rate: 1},
		Right: core.Tail{Asymptotic: true, Slope: 1, Rate: 1},
	}
	value := func(t float64) float64 {
		bend := rest * math.Log1p(math.Exp(-math.Abs(t)))
		switch {
		case t >= 0:
			return t + bend
		case slope == 0: // 0 * -Inf is not met
			return bend
		}
		return slope*t + bend
	}
	first := func(t float64) float64 {
		e := math.Exp(-math.Abs(t))
		if t < 0 {
			return slope + rest*e/(1+e)
		}
		return 1 - rest*e/(1+e)
	}
	second := func(t float64) float64 {
		e := math.Exp(-math.Abs(t))
		return rest * e / ((1 + e) * (1 + e))
	}
	third := func(t float64) float64 { return -math.Tanh(t/2) * second(t) }
	return sdk.Scalar(facts, value, first, second, third), nil
}
