package local

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// oddPart returns k when f(t) - f(-t) = k t for all t, as for softplus, SiLU and GELU.
func oddPart(f core.Function) (k float64, ok bool) {
	t := []float64{0.7, 2.9, 11, -0.7, -2.9, -11}
	y := make([]float64, len(t))
	f.Apply(0, y, t)
	k = (y[0] - y[3]) / t[0]
	for i := range 3 {
		if math.Abs(y[i]-y[i+3]-k*t[i]) > 1e-12*math.Abs(k*t[i]) {
			return 0, false
		}
	}
	return k, k != 0
}

// unflip removes units of the second layer that come to a linear function. Where h(t) - h(-t) = k t, with such a function units may come out turned round:
//
//	sum_S c_l h(p_l) = sum_S c_l h(-p_l) + k sum_S c_l p_l,
//
// and it gives the last term, with the other sign. No single removal undoes that.
func (s *search) unflip(ctx context.Context, n *network.Network, loss float64, data refine.Data) (*network.Network, float64, error) {
	k, ok := oddPart(s.h)
	if !ok {
		return n, loss, nil
	}
	for {
		rest, part, ok := s.linear(n, k, data.X)
		if !ok {
			return n, loss, nil
		}
		m0, m1 := rest.Sizes()
		if m1 > m0 {
			return n, loss, nil
		}
		b := mat.NewDense(m0, m1, nil)
		for l := range m1 {
			for r := range m0 {
				b.Set(r, l, rest.Output[l]*k*rest.Second.Weight.At(l, r))
			}
		}
		var share mat.VecDense // of each unit's term in the linear function: -1 of those that are turned round, 0 of the others
		if err := share.SolveVec(b, mat.NewVecDense(m0, part)); err != nil {
			return n, loss, nil
		}
		for l := range m1 {
			if share.AtVec(l) > 0.5 { // c h(p) + k c p is no unit
				return n, loss, nil
			}
			if share.AtVec(l) > -0.5 {
				continue
			}
			rest.OutputBias += rest.Output[l] * k * rest.Second.Bias[l]
			rest.Second.Bias[l] = -rest.Second.Bias[l]
			row := rest.Second.Weight.RawRowView(l)
			floats.Scale(-1, row)
		}
		rest, left, err := s.fit(ctx, rest, data, fitSettings{iterations: 60, target: s.target, patience: 4, gain: 0.05, damping: 1e-4})
		if err != nil {
			return n, loss, err
		}
		s.trace("    without a linear function in layer 2: %d units, loss %.1e -> %.1e", m1, loss, left)
		if left > s.exact {
			return n, loss, nil
		}
		n, loss = rest, left
	}
}

// linear returns n without units of its second layer that come to a linear function of the first layer's outputs at the rows of x, and the weights of that function, m0 entries: two that
// are opposite, or one that is far out on a side on which h is linear. Its constant goes to the output bias. It reports false where there is none.
func (s *search) linear(n *network.Network, k float64, x *mat.Dense) (rest *network.Network, part []float64, ok bool) {
	if len(n.Output) < 2 { // nothing would be left
		return nil, nil, false
	}
	if i, j := opposite(n); i >= 0 { // c_i h(p) + c_j h(-p) = (c_i + c_j) h(p) - c_j k p
		rest = n.Clone()
		c := n.Output[j]
		rest.Output[i] += c
		rest.OutputBias -= c * k * n.Second.Bias[i]
		part = floats.ScaleTo(make([]float64, len(n.First.Bias)), -c*k, n.Second.Weight.RawRowView(i))
		gone := len(n.Output) > 2 && math.Abs(rest.Output[i]) < 1e-3*math.Abs(c)
		return without(rest, func(l int) bool { return l == j || l == i && gone }), part, true
	}
	facts := s.h.Facts()
	z := layer(x, n.First, s.g)
	rows, _ := z.Dims()
	for l, c := range n.Output {
		argument := mat.NewVecDense(rows, nil)
		argument.MulVec(z, n.Second.Weight.RowView(l))
		p := argument.RawVector().Data
		floats.AddConst(n.Second.Bias[l], p)
		tail := facts.Right
		if floats.Max(p) < 0 {
			tail = facts.Left
		}
		if !tail.Asymptotic || tail.Slope == 0 {
			continue
		}
		value := make([]float64, rows)
		s.h.Apply(0, value, p)
		away := 0.0
		for r := range p {
			away = math.Max(away, math.Abs(value[r]-tail.Slope*p[r]-tail.Intercept))
		}
		if away > stillLinear*floats.Norm(value, math.Inf(1)) {
			continue
		}
		rest = without(n, func(k int) bool { return k == l })
		rest.OutputBias += c * (tail.Slope*n.Second.Bias[l] + tail.Intercept)
		return rest, floats.ScaleTo(make([]float64, len(n.First.Bias)), c*tail.Slope, n.Second.Weight.RawRowView(l)), true
	}
	return nil, nil, false
}

// stillLinear is how far a unit may be from linear, over its largest value, to be taken for linear.
const stillLinear = 1e-12

// without returns n without some units of its second layer.
func without(n *network.Network, gone func(l int) bool) *network.Network {
	var kept []int
	for l := range n.Output {
		if !gone(l) {
			kept = append(kept, l)
		}
	}
	rest := network.New(n.Inputs(), len(n.First.Bias), len(kept), n.First.Activation, n.Second.Activation)
	rest.First, rest.OutputBias = n.Clone().First, n.OutputBias
	for q, l := range kept {
		rest.Second.Weight.SetRow(q, n.Second.Weight.RawRowView(l))
		rest.Second.Bias[q], rest.Output[q] = n.Second.Bias[l], n.Output[l]
	}
	return rest
}

// opposite returns two units of the second layer of which one's argument is the other's with the other sign, or -1.
func opposite(n *network.Network) (i, j int) {
	const alike = 5e-3
	_, m1 := n.Sizes()
	for i := range m1 {
		for j := range i {
			a, b := n.Second.Weight.RawRowView(i), n.Second.Weight.RawRowView(j)
			size := floats.Norm(a, 2) + math.Abs(n.Second.Bias[i])
			if floats.Norm(floats.AddTo(make([]float64, len(a)), a, b), 2)+math.Abs(n.Second.Bias[i]+n.Second.Bias[j]) < alike*size {
				return i, j
			}
		}
	}
	return -1, -1
}

// wrap moves the shifts of activations with g(t + pi) = -g(t), such as sine, into [-pi/2, pi/2], where they are unique.
func wrap(n *network.Network, g, h core.Function) {
	if halfWave(h) {
		for l, tau := range n.Second.Bias {
			turns := math.Round(tau / math.Pi)
			n.Second.Bias[l] -= turns * math.Pi
			if math.Mod(turns, 2) != 0 {
				n.Output[l] = -n.Output[l]
			}
		}
	}
	if halfWave(g) {
		m1 := len(n.Output)
		for i, theta := range n.First.Bias {
			turns := math.Round(theta / math.Pi)
			n.First.Bias[i] -= turns * math.Pi
			if math.Mod(turns, 2) != 0 {
				for l := range m1 {
					n.Second.Weight.Set(l, i, -n.Second.Weight.At(l, i))
				}
			}
		}
	}
}

func halfWave(f core.Function) bool {
	t := []float64{-1.3, 0.4, 2.1, math.Pi - 1.3, math.Pi + 0.4, math.Pi + 2.1}
	f.Apply(0, t, t)
	for i := range 3 {
		if math.Abs(t[i]+t[i+3]) > 1e-12 {
			return false
		}
	}
	return t[0] != 0
}
