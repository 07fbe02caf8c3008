package teachers

import (
	"fmt"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

// Size is the shape of a network: inputs, neurons of the first and of the second hidden layer.
type Size struct{ Inputs, M0, M1 int }

func (s Size) String() string { return fmt.Sprintf("%d-%d-%d", s.Inputs, s.M0, s.M1) }

// Check reports a size that no network has.
func (s Size) Check() error {
	if s.Inputs < 1 || s.M0 < 1 || s.M1 < 1 {
		return fault.New(fault.Usage, "a network cannot have the size %s; inputs and layers need at least one neuron each", s)
	}
	return nil
}

// Planted returns a network after arXiv 1907.00485, section 4: weights a_i and b_l uniform on the unit spheres, all
// c_l = 1 and c0 = 0, and shifts theta_i and tau_l normal with standard deviation shift. The activation is that of both layers, or "G,H".
func Planted(size Size, shift float64, activation string, seed uint64) *Teacher {
	n := planted(size, shift, activation, seed)
	return &Teacher{Network: n, Minimal: n}
}

func planted(size Size, shift float64, activation string, seed uint64) *network.Network {
	rng := generator(seed, 0x706c616e746564)
	g, h, err := core.SplitLayers(activation)
	if err != nil || h == "" {
		g, h = activation, activation
	}
	n := network.New(size.Inputs, size.M0, size.M1, g, h)
	for i := range size.M0 {
		n.First.Weight.SetRow(i, sample.Direction(rng, size.Inputs))
		n.First.Bias[i] = shift * rng.NormFloat64()
	}
	for l := range size.M1 {
		n.Second.Weight.SetRow(l, sample.Direction(rng, size.M0))
		n.Second.Bias[l] = shift * rng.NormFloat64()
		n.Output[l] = 1
	}
	return n
}
