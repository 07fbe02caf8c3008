// Package gelutanh is t (1 + tanh(sqrt(2/pi) (t + 0.044715 t^3))) / 2, which approximates GELU.
package gelutanh

import (
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// Factory makes the activation "gelu-tanh".
var Factory = core.ActivationFactory{
	Component: core.Component{
		Name: "gelu-tanh", Summary: "GELU as most libraries approximate it, with tanh; 0 on the left, t on the right",
		Reference: "Hendrycks, Gimpel: Gaussian error linear units, arXiv 1606.08415, section 2",
	},
	Open: func(core.Options) (core.Activation, error) {
		return sdk.Scalar(core.Facts{
			Left:  core.Tail{Asymptotic: true, Rate: math.Inf(1)},
			Right: core.Tail{Asymptotic: true, Slope: 1, Rate: math.Inf(1)},
		}, value, first, second, third), nil
	},
}

const (
	cubic = 0.044715
	// 2 sqrt(2/pi), and what rounding it leaves out.
	scale    = 1.5957691216057308
	scaleLow = -9.969308809110920e-17
	// Beyond far the logistic function below is 0 or 1 to the smallest number.
	far = 25
)

// parts are s = 1/(1 + exp(-w)), s' = s (1 - s), h = 1 - 2 s and the first three derivatives of w = 2 sqrt(2/pi) (t + 0.044715 t^3), since g = t s(w).
// The exponential magnifies the error of w by w, up to 700 times: w is computed with twice the digits.
func parts(t float64) (s, small, h, w1, w2, w3 float64) {
	square := t * t
	squareLow := math.FMA(t, t, -square)
	a := cubic * square
	aLow := math.FMA(cubic, square, -a) + cubic*squareLow
	sum := 1 + a
	back := sum - a
	sumLow := (1 - back) + (a - (sum - back)) + aLow
	m := t * sum
	mLow := math.FMA(t, sum, -m) + t*sumLow
	w := scale * m
	low := math.FMA(scale, m, -w) + scale*mLow + scaleLow*m
	e := math.Exp(-math.Abs(w)) * (1 - math.Copysign(1, w)*low)
	small = e / ((1 + e) * (1 + e))
	s = 1 / (1 + e)
	if t < 0 {
		s = e / (1 + e)
	}
	return s, small, -math.Tanh(w / 2), scale * (1 + 3*cubic*square), 6 * scale * cubic * t, 6 * scale * cubic
}

func value(t float64) float64 {
	switch {
	case t < -far:
		return 0
	case t > far:
		return t
	}
	s, _, _, _, _, _ := parts(t)
	return t * s
}

func first(t float64) float64 {
	switch {
	case t < -far:
		return 0
	case t > far:
		return 1
	}
	s, s1, _, w1, _, _ := parts(t)
	return s + t*s1*w1
}

// With h = 1 - 2 s = -tanh(w/2): s” = h s', s”' = (h^2 - 2 s') s' in w.
func second(t float64) float64 {
	if math.Abs(t) > far {
		return 0
	}
	_, s1, h, w1, w2, _ := parts(t)
	return s1 * (2*w1 + t*(h*w1*w1+w2))
}

func third(t float64) float64 {
	if math.Abs(t) > far {
		return 0
	}
	_, s1, h, w1, w2, w3 := parts(t)
	return s1 * (3*(h*w1*w1+w2) + t*((h*h-2*s1)*w1*w1*w1+3*h*w1*w2+w3))
}
