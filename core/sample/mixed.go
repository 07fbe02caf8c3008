package sample

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// Two units of the first layer with nearly the same weights are one step near the center and two farther out; the one found first is a mixture of both, whose direction lies between
// theirs: at an angle of at most mostMixed, and off their plane by at most offMixed of it.
const (
	mostMixed = 0.02
	offMixed  = 0.05
)

// unmixed returns the units without those that are mixtures of two others.
func unmixed(units []Unit) []Unit {
	return slices.DeleteFunc(slices.Clone(units), func(u Unit) bool {
		for i, v := range units {
			for _, w := range units[:i] {
				if len(u.Direction) > 2 && between(u.Direction, v.Direction, w.Direction) {
					return true
				}
			}
		}
		return false
	})
}

// between reports whether the unit vector u lies between v and w, up to their signs, and these close to each other.
func between(u, v, w []float64) bool {
	along := func(a []float64) []float64 {
		return floats.ScaleTo(make([]float64, len(a)), math.Copysign(1, floats.Dot(a, u)), a)
	}
	v, w = along(v), along(w)
	arc := floats.SubTo(make([]float64, len(u)), w, v)
	angle := floats.Norm(arc, 2)
	if angle == 0 || angle > mostMixed {
		return false
	}
	off := floats.SubTo(make([]float64, len(u)), u, v)
	part := floats.Dot(off, arc) / (angle * angle)
	floats.AddScaled(off, -part, arc)
	return part > offMixed && part < 1-offMixed && floats.Norm(off, 2) < offMixed*angle
}
