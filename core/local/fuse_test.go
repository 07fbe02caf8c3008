package local

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// behind returns a network whose first layer is the identity and whose second has steep units, and answers of it.
func behind(t *testing.T, m0, m1 int, change func(n *network.Network)) (*search, *network.Network, refine.Data) {
	f := function(t, "tanh")
	truth := random(m0, m0, m1, 0.3, "tanh", 1)
	truth.First.Weight.Zero()
	for i := range m0 {
		truth.First.Weight.Set(i, i, 1)
	}
	truth.Second.Weight.Scale(3, truth.Second.Weight)
	change(truth)
	s := &search{d: m0, r: m0, g: f, h: f, frozen: true, variance: 1, exact: 1e-20, target: 1e-28, rng: rand.New(rand.NewPCG(4, 4))}
	data := refine.Data{X: mat.NewDense(400, m0, nil)}
	for r := range 400 {
		for i := range m0 {
			data.X.Set(r, i, 8*s.rng.Float64()-4)
		}
	}
	data.Y = truth.Evaluate(f, f, data.X)
	return s, truth, data
}

func lossOf(s *search, n *network.Network, data refine.Data) float64 {
	return refine.Loss(n, s.g, s.h, data) / float64(len(data.Y))
}

// TestFuse: units that add up to one become that one again; the others stay.
func TestFuse(t *testing.T) {
	s, truth, data := behind(t, 6, 3, func(*network.Network) {})
	// Unit 1 as three: one turned around, and all of slopes of their own.
	n := withUnits(truth, 2)
	for k, l := range []int{1, 3, 4} {
		by := []float64{0.9, -1.1, 1.25}[k]
		n.Second.Weight.SetRow(l, truth.Second.Weight.RawRowView(1))
		floats.Scale(by, n.Second.Weight.RawRowView(l))
		n.Second.Bias[l] = by * truth.Second.Bias[1]
		n.Output[l] = truth.Output[1] * []float64{1.6, 0.4, -0.2}[k]
	}
	before := lossOf(s, n, data)
	fused, loss, err := s.fuse(t.Context(), n, before, data)
	if err != nil {
		t.Fatal(err)
	}
	if len(fused.Output) != 3 || loss > 1e-20 || before < 1e-6 {
		t.Errorf("%d units, loss %.1e after %.1e", len(fused.Output), loss, before)
	}
}

// TestFuseTwins: units that only look alike stay two, as one does not explain what both do.
func TestFuseTwins(t *testing.T) {
	s, truth, data := behind(t, 6, 3, func(n *network.Network) {
		copy(n.Second.Weight.RawRowView(2), n.Second.Weight.RawRowView(1))
		n.Second.Weight.Set(2, 0, n.Second.Weight.At(2, 0)+0.03)
		n.Second.Bias[2] = n.Second.Bias[1] + 0.5
	})
	if len(parallels(truth)) != 2 {
		t.Fatal("the units are not parallel enough for this test")
	}
	n := truth.Clone()
	n.Output[0] *= 1 + 1e-9
	loss := lossOf(s, n, data)
	fused, after, err := s.fuse(t.Context(), n, loss, data)
	if err != nil || fused != n || after != loss {
		t.Errorf("%d units, loss %.1e after %.1e (%v)", len(fused.Output), after, loss, err)
	}
}

// TestOne: a step is found at whatever place and slope, also where all that is seen of it is its tail.
func TestOne(t *testing.T) {
	for _, c := range []struct{ slope, place float64 }{{1, 0.3}, {4, -0.8}, {0.7, 2.2}} {
		s, n, data := behind(t, 4, 2, func(*network.Network) {})
		z := layer(data.X, n.First, s.g)
		b := n.Second.Weight.RawRowView(0)
		floats.Scale(c.slope/floats.Norm(b, 2), b)
		n.Second.Bias[0], n.Output[0] = -c.slope*c.place, 1.5
		copy(n.Second.Weight.RawRowView(1), b)
		n.Second.Bias[1], n.Output[1] = n.Second.Bias[0], -0.5
		found, tau, height, constant := s.one(n, []int{0, 1}, z)
		if !floats.EqualApprox(found, b, 1e-3) || math.Abs(tau-n.Second.Bias[0]) > 1e-3 || math.Abs(height-1) > 1e-2 || math.Abs(constant) > 1e-2 {
			t.Errorf("slope %g at %g: %v instead of %v, tau %g instead of %g, c %g, constant %g", c.slope, c.place, found, b, tau, n.Second.Bias[0], height, constant)
		}
	}
}
