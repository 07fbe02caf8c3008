package network

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core"
)

// Affine is the relation from(t) = Scale to(Rate t) + Shift between two activations. Networks written in the one can
// then be written in the other: tanh and sigmoid describe the same functions.
type Affine struct {
	Rate, Scale, Shift float64
}

// Equivalent finds the affine relation between two activations with the same kind of tails, saturating or asymptotically linear, of which
// one decays exponentially, from their facts, and checks it at points throughout their transitions, to rounding.
func Equivalent(from, to core.Function) (Affine, bool) {
	f, t := from.Facts(), to.Facts()
	for _, tail := range []core.Tail{f.Left, f.Right, t.Left, t.Right} {
		if !tail.Asymptotic || !(tail.Rate > 0) {
			return Affine{}, false
		}
	}
	a := Affine{Rate: f.Right.Rate / t.Right.Rate}
	rate := f.Right.Rate
	if math.IsInf(rate, 1) {
		a.Rate, rate = f.Left.Rate/t.Left.Rate, f.Left.Rate
	}
	if !(a.Rate > 0) || math.IsInf(a.Rate, 1) || math.IsInf(rate, 1) {
		return Affine{}, false
	}
	if bend, other := f.Right.Slope-f.Left.Slope, t.Right.Slope-t.Left.Slope; bend != 0 && other != 0 {
		a.Scale = bend / (a.Rate * other)
	} else if height := t.Right.Intercept - t.Left.Intercept; f.Saturates() && t.Saturates() && height != 0 {
		a.Scale = (f.Right.Intercept - f.Left.Intercept) / height
	} else {
		return Affine{}, false
	}
	a.Shift = f.Right.Intercept - a.Scale*t.Right.Intercept
	const points = 201
	x, y := make([]float64, points), make([]float64, points)
	for k := range x {
		x[k] = 20 / rate * (2*float64(k)/(points-1) - 1)
		y[k] = a.Rate * x[k]
	}
	from.Apply(0, x, x)
	to.Apply(0, y, y)
	size := math.Max(math.Abs(f.Right.Intercept-f.Left.Intercept), math.Abs(x[points-1]-x[0]))
	for k := range x {
		if !(math.Abs(x[k]-a.Scale*y[k]-a.Shift) <= 1e-13*size) {
			return Affine{}, false
		}
	}
	return a, true
}

// RewriteFirst writes the first layer in the activation called name, when first = a.Scale name(a.Rate t) + a.Shift.
func (n *Network) RewriteFirst(a Affine, name string) {
	n.First.Activation = name
	floats.Scale(a.Rate, n.First.Weight.RawMatrix().Data)
	floats.Scale(a.Rate, n.First.Bias)
	for l := range n.Second.Bias {
		row := n.Second.Weight.RawRowView(l)
		n.Second.Bias[l] += a.Shift * floats.Sum(row)
		floats.Scale(a.Scale, row)
	}
}

// RewriteSecond does the same for the second layer.
func (n *Network) RewriteSecond(a Affine, name string) {
	n.Second.Activation = name
	floats.Scale(a.Rate, n.Second.Weight.RawMatrix().Data)
	floats.Scale(a.Rate, n.Second.Bias)
	n.OutputBias += a.Shift * floats.Sum(n.Output)
	floats.Scale(a.Scale, n.Output)
}
