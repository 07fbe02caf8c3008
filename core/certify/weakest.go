package certify

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// Direction is a combination of parameters that the answers determine less well than others.
type Direction struct {
	// ErrorBar is the standard deviation along it, relative to the unit that moves most.
	ErrorBar float64 `json:"error_bar"`
	// What names the combination: the units that move, and how they are related where that is why.
	What string `json:"what"`
	// Degenerate is whether it is due to units that nearly coincide, or to one that is nearly linear.
	Degenerate bool `json:"degenerate"`
}

// mostDirections is how many of them are named.
const mostDirections = 4

// weakest returns the directions of largest error bars, the largest first, each over sigma: at least one, and as many as have error bars
// of [open] and more, or a tenth of the largest.
func (t *triangle) weakest(n *network.Network, g, h core.Function, x *mat.Dense, widened float64) []Direction {
	var found [][]float64
	var list []Direction
	describe := newWords(n, g, h, x, t.scale)
	for range min(mostDirections, t.r.N) {
		v := make([]float64, t.r.N)
		for i := range v {
			v[i] = math.Cos(float64((i + 1) * (len(found) + 1)))
		}
		deviation := 0.0
		for range 40 { // inverse iteration, beside what was found
			t.solve(v)
			for _, f := range found {
				floats.AddScaled(v, -floats.Dot(f, v), f)
			}
			size := floats.Norm(v, 2)
			if !(size > 0) || math.IsInf(size, 0) {
				return list
			}
			floats.Scale(1/size, v)
			before := deviation
			if deviation = math.Sqrt(size); math.Abs(deviation-before) < 1e-3*deviation {
				break
			}
		}
		found = append(found, v)
		d := describe.direction(v, deviation*widened)
		if len(list) > 0 && d.ErrorBar < open && d.ErrorBar < 0.1*list[0].ErrorBar {
			break
		}
		if !slices.ContainsFunc(list, func(o Direction) bool { return o.What == d.What }) {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b Direction) int { return cmp.Compare(b.ErrorBar, a.ErrorBar) })
	return list
}

// words says in words what a direction in parameter space is.
type words struct {
	n      *network.Network
	scale  []float64
	facts  [2]core.Facts
	linear []bool // second-layer units that are nearly linear at the answers' places
}

// A pair counts as nearly coinciding below this angle and this difference of shifts, relative to the norms; a unit as nearly linear below
// this change of its slope.
const (
	closeAngle  = 0.1
	closeShift  = 0.1
	closeLinear = 0.1
)

func newWords(n *network.Network, g, h core.Function, x *mat.Dense, scale []float64) *words {
	w := &words{n: n, scale: scale, facts: [2]core.Facts{g.Facts(), h.Facts()}, linear: make([]bool, len(n.Output))}
	z := pre(x, n.First)
	g.Apply(0, z.RawMatrix().Data, z.RawMatrix().Data)
	p := pre(z, n.Second)
	h.Apply(1, p.RawMatrix().Data, p.RawMatrix().Data)
	for l := range w.linear {
		slope := mat.Col(nil, l, p)
		mean := floats.Sum(slope) / float64(len(slope))
		floats.AddConst(-mean, slope)
		w.linear[l] = floats.Norm(slope, 2) < closeLinear*math.Abs(mean)*math.Sqrt(float64(len(slope)))
	}
	return w
}

// direction describes the unit vector v of scaled parameters, along which the standard deviation is as given.
func (w *words) direction(v []float64, deviation float64) Direction {
	n := w.n
	m0, m1 := n.Sizes()
	d := n.Inputs()
	theta := m0 * d
	b := theta + m0
	tau := b + m0*m1
	out := tau + m1
	type part struct {
		name string
		size float64 // relative to the unit
	}
	var parts []part
	total := 0.0
	add := func(name string, norm float64, at ...int) {
		size := 0.0
		for _, k := range at {
			size += math.Pow(v[k]*w.scale[k], 2)
		}
		size = math.Sqrt(size) / math.Max(norm, math.SmallestNonzeroFloat64) * deviation
		parts = append(parts, part{name, size})
		total += size * size
	}
	for i := range m0 {
		add(fmt.Sprintf("unit %d of the first layer", i), floats.Norm(n.First.Weight.RawRowView(i), 2), append(between(i*d, (i+1)*d), theta+i)...)
	}
	for l := range m1 {
		add(fmt.Sprintf("unit %d of the second layer", l), floats.Norm(n.Second.Weight.RawRowView(l), 2), append(between(b+l*m0, b+(l+1)*m0), tau+l)...)
	}
	for l := range m1 {
		add(fmt.Sprintf("output weight %d", l), math.Abs(n.Output[l]), out+l)
	}
	add("the output bias", floats.Norm(n.Output, 2), out+m1)

	// How much of it is due to the units named and what they send on.
	share := func(layer int, units ...int) float64 {
		sum := 0.0
		for _, u := range units {
			if layer == 1 {
				sum += math.Pow(parts[m0+u].size, 2) + math.Pow(parts[m0+m1+u].size, 2)
				continue
			}
			sum += math.Pow(parts[u].size, 2)
			for l := range m1 {
				norm := floats.Norm(n.Second.Weight.RawRowView(l), 2)
				sum += math.Pow(v[b+l*m0+u]*w.scale[b+l*m0+u]/norm*deviation, 2)
			}
		}
		return sum / total
	}
	reason := ""
	for layer, l := range []network.Layer{n.First, n.Second} {
		for i := range l.Neurons() {
			for j := range i {
				if angle, close := w.close(layer, l, j, i); close && share(layer, i, j) > 0.5 {
					reason = fmt.Sprintf("units %d and %d of the %s layer nearly coincide (angle %.1g): what they add up to is determined, their difference and how much each counts is not", j, i, []string{"first", "second"}[layer], angle)
				}
			}
		}
	}
	for l, linear := range w.linear {
		if linear && reason == "" && share(1, l) > 0.5 {
			reason = fmt.Sprintf("unit %d of the second layer is nearly linear where the answers are: its weights times its output weight are determined, either alone is not", l)
		}
	}
	largest := 0.0
	for _, p := range parts {
		largest = math.Max(largest, p.size)
	}
	var names []string
	for _, p := range parts {
		if p.size >= 0.25*largest && len(names) < 5 {
			names = append(names, p.name)
		}
	}
	what := "a combination of " + enumerate(names)
	if len(names) == 1 {
		what = "a combination of the parameters of " + names[0]
	}
	if reason != "" {
		what += ": " + reason
	}
	return Direction{ErrorBar: largest, What: what, Degenerate: reason != ""}
}

// close reports whether two units of a layer nearly coincide, up to their signs where the activation has that symmetry, and their angle.
func (w *words) close(layer int, l network.Layer, i, j int) (float64, bool) {
	a, b := l.Weight.RawRowView(i), l.Weight.RawRowView(j)
	na, nb := floats.Norm(a, 2), floats.Norm(b, 2)
	if na == 0 || nb == 0 {
		return 0, false
	}
	sign := 1.0
	if floats.Dot(a, b) < 0 && w.facts[layer].Symmetry != core.SymmetryNone {
		sign = -1
	}
	// Not from the cosine, which tells no angle below 1e-8.
	between := floats.AddScaledTo(make([]float64, len(a)), a, -sign*na/nb, b)
	angle := floats.Norm(between, 2) / na
	return angle, angle < closeAngle && math.Abs(l.Bias[i]/na-sign*l.Bias[j]/nb) < closeShift
}

// enumerate joins words as English does.
func enumerate(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
