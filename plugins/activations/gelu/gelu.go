// Package gelu is t Phi(t), Phi the normal distribution function: the exact form, not the one with tanh.
package gelu

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "gelu".
var Factory = core.ActivationFactory{
	Component: core.Component{
		Name: "gelu", Summary: "t Phi(t) with the normal distribution function; 0 on the left, t on the right",
		Reference: "Hendrycks, Gimpel: Gaussian error linear units, arXiv 1606.08415",
	},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:  core.Tail{Asymptotic: true, Rate: math.Inf(1)},
			Right: core.Tail{Asymptotic: true, Slope: 1, Rate: math.Inf(1)},
		}, value, first, second, third), nil
	},
}

// far is where the density is less than the smallest number.
const far = 40

// density is exp(-t^2/2) / sqrt(2 pi); the square is taken apart as rounding it would cost digits far out.
func density(t float64) float64 {
	h := float64(float32(t))
	return 1 / (math.Sqrt2 * math.SqrtPi) * math.Exp(-h*h/2) * math.Exp(-(t-h)*(t+h)/2)
}

// distribution is Phi. The argument of erfc is x = t/sqrt(2) rounded; erfc' times the rounding error is added, because
// far to the left erfc magnifies it.
func distribution(t float64) float64 {
	x := -t / math.Sqrt2
	// t = -sqrt(2) x exactly would be wanted; sqrt(2) = Sqrt2 + low.
	const low = -9.667293313452913e-17
	residual := math.FMA(-x, math.Sqrt2, -t) - x*low // sqrt(2) times the error of x
	return math.Erfc(x)/2 - residual*density(t)
}

func value(t float64) float64 {
	if t < -far {
		return 0
	}
	if t > far {
		return t
	}
	return t * distribution(t)
}

func first(t float64) float64 {
	switch {
	case t < -far:
		return 0
	case t > far:
		return 1
	}
	return distribution(t) + t*density(t)
}

func second(t float64) float64 {
	if math.Abs(t) > far {
		return 0
	}
	return (2 - t*t) * density(t)
}

func third(t float64) float64 {
	if math.Abs(t) > far {
		return 0
	}
	return t * (t*t - 4) * density(t)
}
