package local

import (
	"cmp"
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// removal is one unit that may be superfluous, with what replaces it: its output is about a constant plus a
// combination of those of the other units of its layer.
type removal struct {
	layer, unit int
	effect      float64 // root mean square of what f changes by, to first order
	combination []float64
	constant    float64
}

// removals lists all units, the most superfluous first.
func removals(n *network.Network, g, h core.Function, x *mat.Dense) []removal {
	m0, m1 := n.Sizes()
	rows, _ := x.Dims()
	z := layer(x, n.First, g)
	p := layer(z, n.Second, nil)
	out, slope := mat.NewDense(rows, m1, nil), mat.NewDense(rows, m1, nil)
	h.Apply(0, out.RawMatrix().Data, p.RawMatrix().Data)
	h.Apply(1, slope.RawMatrix().Data, p.RawMatrix().Data)
	for r := range rows {
		row := slope.RawRowView(r)
		for l := range row {
			row[l] *= n.Output[l]
		}
	}
	var list []removal
	var back mat.Dense
	back.Mul(slope, n.Second.Weight) // df/dz
	for _, r := range combinations(z) {
		total := 0.0
		for k := range rows {
			total += back.At(k, r.unit) * back.At(k, r.unit)
		}
		r.effect *= math.Sqrt(total / float64(rows))
		list = append(list, r)
	}
	for _, r := range combinations(out) {
		r.layer = 1
		r.effect *= math.Abs(n.Output[r.unit])
		list = append(list, r)
	}
	if m0 == 1 || m1 == 1 {
		list = slices.DeleteFunc(list, func(r removal) bool { return r.layer == 0 && m0 == 1 || r.layer == 1 && m1 == 1 })
	}
	slices.SortStableFunc(list, func(a, b removal) int { return cmp.Compare(a.effect, b.effect) })
	return list
}

// combinations writes every column as a combination of the others and 1; effect is the root mean square of the rest.
func combinations(z *mat.Dense) []removal {
	rows, m := z.Dims()
	gram := mat.NewSymDense(m+1, nil)
	full := mat.NewDense(rows, m+1, nil)
	for r := range rows {
		copy(full.RawRowView(r), z.RawRowView(r))
		full.Set(r, m, 1)
	}
	gram.SymOuterK(1, full.T())
	// The ridge keeps combinations short where several would do.
	ridge := 1e-11 * mat.Trace(gram) / float64(m+1)
	for i := range m + 1 {
		gram.SetSym(i, i, gram.At(i, i)+ridge)
	}
	var cholesky mat.Cholesky
	inverse := mat.NewSymDense(m+1, nil)
	if !cholesky.Factorize(gram) || cholesky.InverseTo(inverse) != nil {
		if _, ill := cholesky.InverseTo(inverse).(mat.Condition); !ill {
			return nil
		}
	}
	list := make([]removal, m)
	for i := range list {
		pivot := inverse.At(i, i)
		c := make([]float64, m)
		for j := range c {
			if j != i {
				c[j] = -inverse.At(i, j) / pivot
			}
		}
		list[i] = removal{unit: i, combination: c, constant: -inverse.At(i, m) / pivot, effect: math.Sqrt(1 / pivot / float64(rows))}
	}
	return list
}

func layer(x *mat.Dense, l network.Layer, f core.Function) *mat.Dense {
	rows, _ := x.Dims()
	u := mat.NewDense(rows, l.Neurons(), nil)
	u.Mul(x, l.Weight.T())
	for r := range rows {
		row := u.RawRowView(r)
		for i := range row {
			row[i] += l.Bias[i]
		}
	}
	if f != nil {
		f.Apply(0, u.RawMatrix().Data, u.RawMatrix().Data)
	}
	return u
}

// apply returns n without the unit, the others taking over what they can.
func (r removal) apply(n *network.Network) *network.Network {
	m0, m1 := n.Sizes()
	if r.layer == 1 {
		left := network.New(n.Inputs(), m0, m1-1, n.First.Activation, n.Second.Activation)
		left.First = n.Clone().First
		left.OutputBias = n.OutputBias + n.Output[r.unit]*r.constant
		for l, k := 0, 0; l < m1; l++ {
			if l == r.unit {
				continue
			}
			left.Second.Weight.SetRow(k, n.Second.Weight.RawRowView(l))
			left.Second.Bias[k] = n.Second.Bias[l]
			left.Output[k] = n.Output[l] + n.Output[r.unit]*r.combination[l]
			k++
		}
		return left
	}
	left := network.New(n.Inputs(), m0-1, m1, n.First.Activation, n.Second.Activation)
	copy(left.Output, n.Output)
	left.OutputBias = n.OutputBias
	for l := range m1 {
		left.Second.Bias[l] = n.Second.Bias[l] + n.Second.Weight.At(l, r.unit)*r.constant
	}
	for i, k := 0, 0; i < m0; i++ {
		if i == r.unit {
			continue
		}
		left.First.Weight.SetRow(k, n.First.Weight.RawRowView(i))
		left.First.Bias[k] = n.First.Bias[i]
		for l := range m1 {
			left.Second.Weight.Set(l, k, n.Second.Weight.At(l, i)+n.Second.Weight.At(l, r.unit)*r.combination[i])
		}
		k++
	}
	return left
}

// WithoutOne returns what is left of n without each of the units of its second layer, if it has more than one, the others taking over of its output what they can at the
// rows of x. The most superfluous unit's comes first.
func WithoutOne(n *network.Network, g, h core.Function, x *mat.Dense) []*network.Network {
	var without []*network.Network
	for _, r := range removals(n, g, h, x) {
		if r.layer == 1 {
			without = append(without, r.apply(n))
		}
	}
	return without
}

// candidates for removal that are tried before the network counts as without superfluous units.
const tries = 3

// prune removes units as long as what remains fits as well. Where the start had not arrived, fewer units make the
// canyon narrower: the loss may rise a little on the way.
func (s *search) prune(ctx context.Context, n *network.Network, loss float64, data refine.Data) (*network.Network, float64, error) {
	// Spare units in a canyon are worth next to nothing, though more than the student's loss; no real unit is.
	most := math.Max(30*loss, 1e-8*s.variance)
	for {
		m0, m1 := n.Sizes()
		removed := false
		s.margin = math.Inf(1)
		var nearest *network.Network // of those that did not fit as well
		least := math.Inf(1)
		tried := [2]int{}
		for _, r := range removals(n, s.g, s.h, data.X) {
			if r.layer == 0 && m0 <= s.settings.M0 || r.layer == 1 && m1 <= s.settings.M1 {
				continue
			}
			if tried[r.layer]++; tried[r.layer] > tries {
				continue
			}
			effort := fitSettings{iterations: 40, target: s.enough(), patience: 3, gain: 0.05, damping: 1e-5}
			if loss > s.exact {
				effort.iterations, effort.patience, effort.gain = 80, 5, 0.02
			}
			trial, l, err := s.fit(ctx, r.apply(n), data, effort)
			if err != nil {
				return n, loss, err
			}
			s.trace("    prune layer %d effect %.1e: loss %.1e -> %.1e", r.layer, r.effect, loss, l)
			if l <= s.exact || loss > s.exact && (l < 4*loss || r.layer == 0 && m0 > s.r || r.layer == 1) && l < most {
				n, loss, removed = trial, l, true
				break
			}
			s.margin = math.Min(s.margin, l/s.exact)
			if l < least {
				nearest, least = trial, l
			}
		}
		// Where units nearly coincide, the rest takes long to find its place.
		if !removed && loss <= s.exact && least < s.close()*s.variance {
			trial, l, err := s.fit(ctx, nearest, data, fitSettings{iterations: 200, target: s.target, patience: 8, gain: 1e-2, damping: 1e-5})
			if err != nil {
				return n, loss, err
			}
			s.trace("    prune: fitted on, loss %.1e -> %.1e", least, l)
			if l <= s.exact {
				n, loss, removed = trial, l, true
			} else {
				s.margin = math.Min(s.margin, l/s.exact)
			}
		}
		if !removed {
			return n, loss, nil
		}
	}
}

// pruneMany removes units of one layer as [search.prune] does, but with one fit for many of them: half of the units first, then half of that.
// It never leaves fewer units than are known to be there.
func (s *search) pruneMany(ctx context.Context, n *network.Network, layer int, loss float64, data refine.Data) (*network.Network, float64, error) {
	units := func(n *network.Network) int {
		m0, m1 := n.Sizes()
		return [2]int{m0, m1}[layer]
	}
	known := [2]int{s.settings.M0, s.settings.M1}[layer]
	count := units(n) / 2
	if layer == 0 { // there are seldom fewer units than inputs, nor more
		count = units(n) - max(s.r, known)
	}
	for ; count > 1; count /= 2 {
		if units(n)-count < known {
			continue
		}
		trial := n
		for range count {
			for _, r := range removals(trial, s.g, s.h, data.X) {
				if r.layer == layer {
					trial = r.apply(trial)
					break
				}
			}
		}
		fitted, l, err := s.fit(ctx, trial, data, fitSettings{iterations: 40, target: s.enough(), patience: 3, gain: 0.05, damping: 1e-5})
		if err != nil {
			return n, loss, err
		}
		s.trace("    prune %d of layer %d at once: loss %.1e -> %.1e", count, layer, loss, l)
		if l <= s.exact {
			n, loss = fitted, l
		}
	}
	return n, loss, nil
}

// leapFrom is the loss, as a fraction of the variance, from which a student is on its way: what is left is the long canyon that its spare units make.
const leapFrom = 1e-11

// leap goes on with a student that is on its way: without its spare units of the first layer, all at once, where a few iterations arrive that
// cost a third; else as it is.
func (s *search) leap(ctx context.Context, n *network.Network, loss float64, data refine.Data) (*network.Network, float64, error) {
	m0, _ := n.Sizes()
	least := max(s.r, s.settings.M0)
	if m0 > least {
		trial := n
		for range m0 - least {
			for _, r := range removals(trial, s.g, s.h, data.X) {
				if r.layer == 0 {
					trial = r.apply(trial)
					break
				}
			}
		}
		trial, l, err := s.fit(ctx, trial, data, fitSettings{iterations: 60, target: s.enough(), patience: 5, gain: 0.02, damping: 1e-5})
		if err != nil {
			return n, loss, err
		}
		s.trace("    leap to %d units: loss %.1e -> %.1e of the variance", least, loss/s.variance, l/s.variance)
		if l <= s.exact {
			return trial, l, nil
		}
	}
	return s.fit(ctx, n, data, fitSettings{iterations: 150, target: s.enough(), patience: 8, gain: 1e-3, damping: 1e-9})
}

// enough is the loss at which a fit that only has to show that a network has arrived may end.
func (s *search) enough() float64 { return math.Max(s.target, 1e-2*s.exact) }
