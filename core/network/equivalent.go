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

// Normal returns the activation with limits -1 and 1 that f is an affine image of: f(t) = Scale normal(Rate t) + Shift. Its tails are of
// rate 2, as tanh's are, or, where f's are not of one exponential rate, its slope is 1 halfway between the limits. ok is false when f
// does not have two different limits.
func Normal(f core.Function) (normal core.Function, a Affine, ok bool) {
	facts := f.Facts()
	height := facts.Right.Intercept - facts.Left.Intercept
	if !facts.Saturates() || height == 0 {
		return nil, Affine{}, false
	}
	a = Affine{Rate: facts.Right.Rate / 2, Scale: height / 2, Shift: facts.Left.Intercept + height/2}
	if !(a.Rate > 0) || math.IsInf(a.Rate, 1) || facts.Left.Rate != facts.Right.Rate {
		slope := []float64{Inverse(f, 0.5)}
		f.Apply(1, slope, slope)
		if a.Rate = slope[0] / a.Scale; !(a.Rate > 0) || math.IsInf(a.Rate, 1) {
			return nil, Affine{}, false
		}
	}
	if a == (Affine{Rate: 1, Scale: 1}) {
		return f, a, true
	}
	facts.Left.Rate, facts.Right.Rate = facts.Left.Rate/a.Rate, facts.Right.Rate/a.Rate
	facts.Left.Intercept, facts.Right.Intercept = -1, 1
	return &normalForm{f: f, a: a, facts: facts}, a, true
}

// Inverse returns the t at which a function with two different limits, monotone between them, has made the given part (0 to 1) of its
// way from the left one to the right one.
func Inverse(f core.Function, part float64) float64 {
	facts := f.Facts()
	height := facts.Right.Intercept - facts.Left.Intercept
	t := []float64{0}
	passed := func(at float64) bool {
		t[0] = at
		f.Apply(0, t, t)
		return (t[0]-facts.Left.Intercept)/height >= part
	}
	low, high := -1.0, 1.0
	for passed(low) && low > -1e300 {
		low *= 2
	}
	for !passed(high) && high < 1e300 {
		high *= 2
	}
	for range 80 {
		if middle := (low + high) / 2; passed(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return (low + high) / 2
}

// normalForm is (f(t/Rate) - Shift) / Scale.
type normalForm struct {
	f     core.Function
	a     Affine
	facts core.Facts
}

func (n *normalForm) Facts() core.Facts { return n.facts }

func (n *normalForm) Apply(order int, dst, t []float64) {
	floats.ScaleTo(dst, 1/n.a.Rate, t)
	n.f.Apply(order, dst, dst)
	if order == 0 {
		floats.AddConst(-n.a.Shift, dst)
	}
	floats.Scale(math.Pow(n.a.Rate, float64(-order))/n.a.Scale, dst)
}

// Inverse returns the relation the other way round.
func (a Affine) Inverse() Affine {
	return Affine{Rate: 1 / a.Rate, Scale: 1 / a.Scale, Shift: -a.Shift / a.Scale}
}
