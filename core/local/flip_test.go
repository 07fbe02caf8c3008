package local

import (
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core/network"
)

// TestUnflip: units that were turned round come back, and the linear function that made up for it goes, be it a pair of opposite units or one that is linear where the answers are.
func TestUnflip(t *testing.T) {
	s, truth, data := behind(t, 6, 3, func(*network.Network) {})
	s.h = function(t, "softplus")
	data.Y = truth.Evaluate(s.g, s.h, data.X)
	// softplus(p) = softplus(-p) + p: what units 0 and 1 lack once they are turned round.
	lacks, constant := make([]float64, 6), 0.0
	turned := withUnits(truth, 0)
	for l := range 2 {
		b, tau, c := truth.Second.Weight.RawRowView(l), truth.Second.Bias[l], truth.Output[l]
		floats.AddScaled(lacks, c, b)
		constant += c * tau
		turned.Second.Weight.SetRow(l, floats.ScaleTo(make([]float64, 6), -1, b))
		turned.Second.Bias[l] = -tau
	}
	for name, add := range map[string]func() *network.Network{
		"a linear unit": func() *network.Network {
			const far, part = 500, 0.1
			n := withUnits(turned, 1)
			n.Second.Weight.SetRow(3, floats.ScaleTo(make([]float64, 6), part, lacks))
			n.Second.Bias[3], n.Output[3] = far, 1/part
			n.OutputBias += constant - far/part
			return n
		},
		"a pair": func() *network.Network {
			n := withUnits(turned, 2)
			for k, sign := range []float64{1, -1} {
				n.Second.Weight.SetRow(3+k, floats.ScaleTo(make([]float64, 6), sign, lacks))
				n.Second.Bias[3+k], n.Output[3+k] = sign*constant, sign
			}
			return n
		},
	} {
		n := add()
		before := lossOf(s, n, data)
		rest, loss, err := s.unflip(t.Context(), n, before, data)
		if err != nil {
			t.Fatal(err)
		}
		if len(rest.Output) != 3 || loss > 1e-20 {
			t.Errorf("%s: %d units, loss %.1e after %.1e", name, len(rest.Output), loss, before)
		}
	}
	// Nothing would be left of one unit, or of two that are opposite.
	for _, units := range []int{1, 2} {
		few := network.New(6, 6, units, "tanh", "softplus")
		few.First = truth.Clone().First
		for l := range units {
			few.Second.Weight.Set(l, 0, float64(1-2*l))
			few.Second.Bias[l], few.Output[l] = float64(500*(2-units)), float64(1-2*l)
		}
		if rest, _, err := s.unflip(t.Context(), few, 0, data); err != nil || len(rest.Output) != units {
			t.Errorf("%d units are left of %d, error %v", len(rest.Output), units, err)
		}
	}
	// A linear function that is none of the units' stays.
	n := withUnits(truth, 1)
	n.Second.Weight.Set(3, 0, 0.1)
	n.Second.Bias[3], n.Output[3] = 500, 3
	data.Y = n.Evaluate(s.g, s.h, data.X)
	if rest, _, err := s.unflip(t.Context(), n, 0, data); err != nil || len(rest.Output) != 4 {
		t.Errorf("%d units are left of four, error %v", len(rest.Output), err)
	}
}
