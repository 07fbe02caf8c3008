// Package sine is sin(t), which has neither limits nor asymptotes; at +-Inf it is NaN.
package sine

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "sine".
var Factory = core.ActivationFactory{
	Component: core.Component{
		Name: "sine", Summary: "sin(t); no limits, so it is identified near 0 only",
		Reference: "Sitzmann et al.: Implicit neural representations with periodic activation functions, arXiv 2006.09661",
	},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{Symmetry: core.SymmetryPoint},
			math.Sin,
			math.Cos,
			func(t float64) float64 { return -math.Sin(t) },
			func(t float64) float64 { return -math.Cos(t) },
		), nil
	},
}
