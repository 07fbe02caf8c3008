package compile

import (
	"math"

	"github.com/nnid/nnid/core"
)

// Bound returns a bound of the magnitude of the derivative of the given order over all t: the largest that a polynomial of its
// table can reach, which is the sum of its terms' largest, or its asymptote. It is +Inf where the derivative is not bounded, or not
// known to be because the table does not give all of it, or is the derivative of a function that jumps at 0.
func (f *Function) Bound(order int) float64 {
	if order < 0 || order > core.MaxDerivative || len(f.report.Orders[order].Through) > 0 {
		return math.Inf(1)
	}
	if order > 0 && (len(f.report.Orders[order-1].Through) > 0 || !f.tables[order-1].continuous()) {
		return math.Inf(1)
	}
	t := &f.tables[order]
	bound := math.Abs(t.zero)
	for side := range 2 {
		line := t.tails[side]
		if !line.known || line.slope != 0 {
			return math.Inf(1)
		}
		bound = math.Max(bound, math.Abs(line.at(0)))
		for e := range t.end[side] {
			o := t.octaves[side][e]
			count := 1 << (mantissa - o.shift)
			half := math.Ldexp(0.5, int(e)) / float64(count)
			for _, p := range t.panels[o.base:][:count] {
				sum := 0.0
				for k := degree; k >= 0; k-- {
					sum = sum*half + math.Abs(p.c[k])
				}
				if math.IsNaN(sum) {
					return math.Inf(1)
				}
				bound = math.Max(bound, sum)
			}
		}
	}
	return bound * (1 + 2*NoiseLimit)
}

// continuous reports whether the polynomials on both sides of 0 meet there, as far as their accuracy tells.
func (t *table) continuous() bool {
	var near [2]float64
	for side := range 2 {
		if t.end[side] == 0 {
			near[side] = t.tails[side].at(0)
			continue
		}
		p := &t.panels[t.octaves[side][0].base]
		for k := degree; k >= 0; k-- {
			near[side] = near[side]*-p.centre + p.c[k]
		}
	}
	return math.Abs(near[0]-near[1]) <= 1e-12*math.Max(math.Abs(near[0]), math.Abs(near[1])) || math.Max(math.Abs(near[0]), math.Abs(near[1])) < 1e-14
}

// Error returns the largest difference from the activation that was found when the derivative of the given order was compiled, over
// the largest magnitude nearby.
func (f *Function) Error(order int) float64 { return f.report.Orders[order].Error }
