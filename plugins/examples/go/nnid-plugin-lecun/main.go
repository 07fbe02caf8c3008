// Command nnid-plugin-lecun is an activation in Go: LeCun's scaled hyperbolic tangent.
package main

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

const a, b = 1.7159, 2.0 / 3

// slope is tanh', in a form that keeps its digits where tanh is nearly 1.
func slope(t float64) float64 {
	e := math.Exp(-2 * math.Abs(t))
	return 4 * e / ((1 + e) * (1 + e))
}

func value(t float64) float64  { return a * math.Tanh(b*t) }
func first(t float64) float64  { return a * b * slope(b*t) }
func second(t float64) float64 { return -2 * a * b * b * math.Tanh(b*t) * slope(b*t) }
func third(t float64) float64 {
	v := math.Tanh(b * t)
	return a * b * b * b * slope(b*t) * (6*v*v - 2)
}

func main() {
	facts := core.Facts{
		Left:     core.Tail{Asymptotic: true, Intercept: -a, Rate: 2 * b},
		Right:    core.Tail{Asymptotic: true, Intercept: a, Rate: 2 * b},
		Symmetry: core.SymmetryPoint,
	}
	sdk.Serve(sdk.Plugin{Name: "lecun", Version: "1.0.0", Activations: []core.ActivationFactory{
		sdk.ScalarFactory("lecun-tanh", "1.7159 tanh(2t/3)", facts, value, first, second, third),
	}})
}
