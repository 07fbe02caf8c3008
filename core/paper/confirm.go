package paper

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// confirm is the last word on the candidates, after least squares on all parameters. A network that agrees with fresh
// answers to their noise says of every candidate whether it is one of its a_i or v_l(0). Of one that does not nothing
// follows, and the misfit of the joint fit decides again.
func (r *run) confirm() error {
	n := r.result.Network
	if r.state.Vectors == nil || r.state.Subspace == nil || r.result.Candidates == nil {
		return nil // entered after the conditions were checked
	}
	verified := slices.Clone(r.result.Candidates)
	exact := r.result.Exact()
	var truth [][]float64
	if exact {
		truth = weightsAtOrigin(n, r.function)
	}
	for j, v := range verified {
		conditions := slices.Clone(v.Conditions)
		if exact {
			w := mat.NewVecDense(r.order(), mat.Col(nil, j, r.state.Vectors))
			if r.state.Reduction != nil {
				var lifted mat.VecDense
				lifted.MulVec(r.state.Reduction, w)
				w = &lifted
			}
			largest := 0.0
			for _, t := range truth {
				largest = math.Max(largest, math.Abs(floats.Dot(t, w.RawVector().Data)))
			}
			conditions = append(conditions, lower(CondNetwork, largest, boundNetwork))
		}
		accepted := true
		for i, c := range conditions {
			if c.Name == CondMisfit {
				conditions[i].Decides = !exact
			}
			accepted = accepted && (conditions[i].Holds || !conditions[i].Decides)
		}
		verified[j].Conditions, verified[j].Accepted = conditions, accepted
		if !accepted && j < len(r.result.Layers) {
			r.result.Layers[j] = 0
		}
	}
	before := len(r.result.Accepted)
	accepted, err := r.accept(verified)
	switch {
	case err != nil:
		return err
	case exact:
		r.report.finish("the network found confirms %d of the %d accepted candidates", accepted, before)
	case accepted < before:
		r.report.finish("no network confirms the candidates of a joint fit with such a misfit: none is accepted")
	}
	return nil
}

// weightsAtOrigin returns the a_i and the v_l(0) of the network as unit vectors.
func weightsAtOrigin(n *network.Network, g core.Function) [][]float64 {
	m0, m1 := n.Sizes()
	slopes := make([]float64, m0)
	g.Apply(1, slopes, n.First.Bias)
	var list [][]float64
	add := func(w []float64) {
		if norm := floats.Norm(w, 2); norm > 0 {
			floats.Scale(1/norm, w)
			list = append(list, w)
		}
	}
	for i := range m0 {
		add(slices.Clone(n.First.Weight.RawRowView(i)))
	}
	for l := range m1 {
		v := make([]float64, n.Inputs())
		for i := range m0 {
			floats.AddScaled(v, n.Second.Weight.At(l, i)*slopes[i], n.First.Weight.RawRowView(i))
		}
		add(v)
	}
	return list
}
