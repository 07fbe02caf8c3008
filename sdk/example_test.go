package sdk_test

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// A whole plugin: the main function of nnid-plugin-bump, which adds the bell curve as an activation.
func Example() {
	facts := core.Facts{
		Left:     core.Tail{Asymptotic: true, Rate: math.Inf(1)},
		Right:    core.Tail{Asymptotic: true, Rate: math.Inf(1)},
		Symmetry: core.SymmetryEven,
	}
	bump := sdk.ScalarFactory("bump", "exp(-t^2)", facts,
		func(t float64) float64 { return math.Exp(-t * t) },
		func(t float64) float64 { return -2 * t * math.Exp(-t*t) },
		func(t float64) float64 { return (4*t*t - 2) * math.Exp(-t*t) },
		func(t float64) float64 { return (12*t - 8*t*t*t) * math.Exp(-t*t) },
	)
	sdk.Serve(sdk.Plugin{Name: "bump", Version: "1.0.0", Activations: []core.ActivationFactory{bump}})
}
