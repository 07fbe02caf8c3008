package teachers

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

// Case is a way in which a network is degenerate, or nearly so.
type Case struct {
	Name    string
	Summary string
	spoil   func(*spoiler)
}

// spoiler is a planted network being spoilt, and the smallest network that computes the same.
type spoiler struct {
	n       *network.Network
	minimal *network.Network // nil: the same as n
	g       core.Function
	rng     *rand.Rand
}

// Cases returns the degenerate cases. Units 0 and 1 of a layer are the spoilt ones. In the first seven a unit is
// superfluous, and no query can tell that it is there.
func Cases() []Case {
	return []Case{
		{"dead-output", "a second-layer unit with output weight 0", func(s *spoiler) {
			s.n.Output[0] = 0
			s.minimal = s.n.WithoutSecond(0)
		}},
		{"dead-row", "a first-layer unit that no second-layer unit listens to", func(s *spoiler) {
			scaleColumn(s.n.Second.Weight, 0, 0)
			s.minimal = s.n.WithoutFirst(0)
		}},
		{"constant-first", "a first-layer unit with weight 0, so constant", func(s *spoiler) {
			s.n.First.Weight.SetRow(0, make([]float64, s.n.Inputs()))
			fold := s.n.Clone()
			for l := range fold.Second.Bias {
				fold.Second.Bias[l] += fold.Second.Weight.At(l, 0) * s.value(fold.First.Bias[0])
			}
			s.minimal = fold.WithoutFirst(0)
		}},
		{"constant-second", "a second-layer unit with weight 0, so constant", func(s *spoiler) {
			m0, _ := s.n.Sizes()
			s.n.Second.Weight.SetRow(0, make([]float64, m0))
			fold := s.n.Clone()
			fold.OutputBias += fold.Output[0] * s.value(fold.Second.Bias[0])
			s.minimal = fold.WithoutSecond(0)
		}},
		{"duplicate-first", "two first-layer units alike", func(s *spoiler) {
			copyUnit(s.n.First, 1, 0)
			s.minimal = mergedFirst(s.n)
		}},
		{"mirrored-first", "two first-layer units alike but for the sign", func(s *spoiler) {
			copyUnit(s.n.First, 1, 0)
			if s.g.Facts().Symmetry == core.SymmetryNone {
				s.minimal = mergedFirst(s.n) // there is no mirror: a plain duplicate
				return
			}
			s.minimal = mergedFirst(s.n)
			s.n.FlipFirst(1, s.g.Facts())
		}},
		{"duplicate-second", "two second-layer units alike", func(s *spoiler) {
			copyUnit(s.n.Second, 1, 0)
			fold := s.n.Clone()
			fold.Output[0] += fold.Output[1]
			s.minimal = fold.WithoutSecond(1)
		}},
		{"close-first", "two first-layer units at an angle of 1e-2", func(s *spoiler) { s.rotate(s.n.First, 1e-2) }},
		{"closer-first", "two first-layer units at an angle of 1e-4", func(s *spoiler) { s.rotate(s.n.First, 1e-4) }},
		{"parallel-first", "two first-layer units with the same weights and different shifts", func(s *spoiler) {
			s.n.First.Weight.SetRow(1, slices.Clone(s.n.First.Weight.RawRowView(0)))
			s.n.First.Bias[1] = s.n.First.Bias[0] + 1
		}},
		{"nested-first", "two first-layer units on the same hyperplane, one twice as steep", func(s *spoiler) {
			copyUnit(s.n.First, 1, 0)
			floats.Scale(2, s.n.First.Weight.RawRowView(1))
			s.n.First.Bias[1] *= 2
		}},
		{"close-second", "two second-layer units at an angle of 1e-2", func(s *spoiler) { s.rotate(s.n.Second, 1e-2) }},
		{"light-first", "a first-layer unit with a thousandth of the others' weight", func(s *spoiler) { scaleColumn(s.n.Second.Weight, 0, 1e-3) }},
		{"light-second", "a second-layer unit with a thousandth of the others' weight", func(s *spoiler) { s.n.Output[0] *= 1e-3 }},
		{"sparse-second", "half of the entries of B zero", func(s *spoiler) {
			m0, m1 := s.n.Sizes()
			for l := range m1 {
				row := s.n.Second.Weight.RawRowView(l)
				for i := range m0 {
					// Every first-layer unit keeps a listener, every second-layer unit something to listen to.
					if i%m1 != l && i%2 == l%2 {
						row[i] = 0
					}
				}
			}
		}},
		{"short-first", "a first-layer unit of norm 1e-2", func(s *spoiler) { scaleUnit(s.n.First, 0, 1e-2) }},
		{"long-first", "a first-layer unit of norm 1e2", func(s *spoiler) { scaleUnit(s.n.First, 0, 1e2) }},
		{"short-second", "a second-layer unit of norm 1e-2, so nearly linear", func(s *spoiler) { scaleUnit(s.n.Second, 0, 1e-2) }},
		{"long-second", "a second-layer unit of norm 20, so nearly a step", func(s *spoiler) { scaleUnit(s.n.Second, 0, 20) }},
		{"far-first", "a first-layer unit with shift 30, alive only far from the origin", func(s *spoiler) { s.n.First.Bias[0] = 30 }},
		{"offset", "output bias 1e3, before which all else is small", func(s *spoiler) { s.n.OutputBias = 1e3 }},
		{"low-rank", "first-layer weights that span half of the input space", func(s *spoiler) {
			d := s.n.Inputs()
			m0, _ := s.n.Sizes()
			basis := make([][]float64, max(2, d/2))
			for k := range basis {
				basis[k] = sample.Direction(s.rng, d)
			}
			for i := range m0 {
				row := make([]float64, d)
				for _, b := range basis {
					floats.AddScaled(row, s.rng.NormFloat64(), b)
				}
				floats.Scale(1/floats.Norm(row, 2), row)
				s.n.First.Weight.SetRow(i, row)
			}
		}},
	}
}

// Degenerate returns a network of [Planted] that is spoilt in the named way. Its layers need two neurons at least. g is
// the function of the activation.
func Degenerate(name string, size Size, shift float64, activation string, g core.Function, seed uint64) (*Teacher, error) {
	if size.M0 < 2 || size.M1 < 2 {
		return nil, fault.New(fault.Usage, "a degenerate network needs two neurons in each layer, not %s", size)
	}
	var names []string
	for _, c := range Cases() {
		if c.Name != name {
			names = append(names, c.Name)
			continue
		}
		s := &spoiler{n: planted(size, shift, activation, seed), g: g, rng: generator(seed, 0x73706f696c74)}
		c.spoil(s)
		if s.minimal == nil {
			s.minimal = s.n
		}
		return &Teacher{Network: s.n, Minimal: s.minimal}, nil
	}
	return nil, fault.New(fault.Usage, "there is no degenerate case %q; there are: %s", name, strings.Join(names, ", "))
}

func (s *spoiler) value(t float64) float64 {
	v := []float64{t}
	s.g.Apply(0, v, v)
	return v[0]
}

// rotate makes unit 1 the rotation of unit 0 by the angle, with its length and shift.
func (s *spoiler) rotate(l network.Layer, angle float64) {
	first := l.Weight.RawRowView(0)
	norm := floats.Norm(first, 2)
	across := sample.Direction(s.rng, len(first))
	floats.AddScaled(across, -floats.Dot(across, first)/(norm*norm), first)
	floats.Scale(norm/floats.Norm(across, 2), across)
	second := l.Weight.RawRowView(1)
	for k := range second {
		second[k] = math.Cos(angle)*first[k] + math.Sin(angle)*across[k]
	}
	l.Bias[1] = l.Bias[0]
}

func copyUnit(l network.Layer, to, from int) {
	l.Weight.SetRow(to, slices.Clone(l.Weight.RawRowView(from)))
	l.Bias[to] = l.Bias[from]
}

func scaleUnit(l network.Layer, i int, factor float64) { floats.Scale(factor, l.Weight.RawRowView(i)) }

func scaleColumn(w *mat.Dense, j int, factor float64) {
	rows, _ := w.Dims()
	for i := range rows {
		w.Set(i, j, factor*w.At(i, j))
	}
}

// mergedFirst returns n with first-layer unit 1, which is like unit 0, merged into it.
func mergedFirst(n *network.Network) *network.Network {
	fold := n.Clone()
	for l := range fold.Second.Bias {
		fold.Second.Weight.Set(l, 0, fold.Second.Weight.At(l, 0)+fold.Second.Weight.At(l, 1))
	}
	return fold.WithoutFirst(1)
}
