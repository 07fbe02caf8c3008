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

// unflip removes pairs of opposite units of the second layer. Where h(t) - h(-t) = k t such a pair is a linear function,
// and with it units may come out turned round: sum_S c_l h(p_l) = sum_S c_l h(-p_l) + k sum_S c_l p_l, of which the
// pair gives the last term. No single removal undoes that.
func (s *search) unflip(ctx context.Context, n *network.Network, loss float64, data refine.Data) (*network.Network, float64, error) {
	k, ok := oddPart(s.h)
	if !ok {
		return n, loss, nil
	}
	for {
		m0, m1 := n.Sizes()
		i, j := opposite(n)
		if i < 0 {
			return n, loss, nil
		}
		// What is left of the pair: (c_i + c_j) h(p_i) - c_j k p_i.
		rest := n.Clone()
		rest.Output[i] += rest.Output[j]
		gone := math.Abs(rest.Output[i]) < 1e-3*math.Abs(n.Output[j])
		var others []int
		for l := range m1 {
			if l != j && (l != i || !gone) {
				others = append(others, l)
			}
		}
		if len(others) == 0 || len(others) > m0 {
			return n, loss, nil
		}
		b := mat.NewDense(m0, len(others), nil)
		for q, l := range others {
			for r := range m0 {
				b.Set(r, q, rest.Output[l]*n.Second.Weight.At(l, r))
			}
		}
		want := mat.NewVecDense(m0, nil)
		want.ScaleVec(n.Output[j], n.Second.Weight.RowView(i))
		var share mat.VecDense
		if err := share.SolveVec(b, want); err != nil {
			return n, loss, nil
		}
		trial := network.New(n.Inputs(), m0, len(others), n.First.Activation, n.Second.Activation)
		trial.First, trial.OutputBias = rest.First, rest.OutputBias-n.Output[j]*k*n.Second.Bias[i]
		for q, l := range others {
			sign := 1.0
			if share.AtVec(q) > 0.5 {
				sign = -1
				trial.OutputBias += rest.Output[l] * k * n.Second.Bias[l]
			}
			trial.Second.Weight.SetRow(q, floats.ScaleTo(make([]float64, m0), sign, n.Second.Weight.RawRowView(l)))
			trial.Second.Bias[q] = sign * n.Second.Bias[l]
			trial.Output[q] = rest.Output[l]
		}
		trial, l, err := s.fit(ctx, trial, data, fitSettings{iterations: 60, target: s.target, patience: 4, gain: 0.05, damping: 1e-4})
		if err != nil {
			return n, loss, err
		}
		s.trace("    opposite units %d, %d of layer 2: loss %.1e -> %.1e", i, j, loss, l)
		if l > s.exact {
			return n, loss, nil
		}
		n, loss = trial, l
	}
}

// opposite returns two units of the second layer with weights in opposite directions, or -1.
func opposite(n *network.Network) (i, j int) {
	_, m1 := n.Sizes()
	for i := range m1 {
		for j := range i {
			a, b := n.Second.Weight.RawRowView(i), n.Second.Weight.RawRowView(j)
			if -floats.Dot(a, b) > (1-1e-5)*floats.Norm(a, 2)*floats.Norm(b, 2) {
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
