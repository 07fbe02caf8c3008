package network

import (
	"slices"

	"gonum.org/v1/gonum/mat"
)

// WithoutFirst returns a copy of n that lacks a unit of the first layer.
func (n *Network) WithoutFirst(unit int) *Network {
	m0, m1 := n.Sizes()
	c := n.Clone()
	c.First = c.First.without(unit)
	c.Second.Weight = mat.NewDense(m1, m0-1, nil)
	for l := range m1 {
		copy(c.Second.Weight.RawRowView(l), slices.Delete(slices.Clone(n.Second.Weight.RawRowView(l)), unit, unit+1))
	}
	return c
}

// WithoutSecond returns a copy of n that lacks a unit of the second layer.
func (n *Network) WithoutSecond(unit int) *Network {
	c := n.Clone()
	c.Second = c.Second.without(unit)
	c.Output = slices.Delete(c.Output, unit, unit+1)
	return c
}

func (l Layer) without(unit int) Layer {
	rows, columns := l.Weight.Dims()
	w := mat.NewDense(rows-1, columns, nil)
	for i, to := 0, 0; i < rows; i++ {
		if i != unit {
			w.SetRow(to, l.Weight.RawRowView(i))
			to++
		}
	}
	l.Weight, l.Bias = w, slices.Delete(slices.Clone(l.Bias), unit, unit+1)
	return l
}
