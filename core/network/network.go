// Package network is the model: f(x) = c0 + sum_l c_l h(b_l . g(A^T x + theta) + tau_l), its file format
// (nnid/network/v1), its symmetries and the distance between two networks modulo them.
package network

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// Layer is a hidden layer; rows are neurons, as in PyTorch's Linear.
type Layer struct {
	Weight     *mat.Dense // neurons x inputs of the layer
	Bias       []float64  // one a neuron
	Activation string     // name of the activation
}

// Neurons returns the number of neurons.
func (l Layer) Neurons() int { return len(l.Bias) }

// Network is a network of two hidden layers and one linear output.
type Network struct {
	First, Second Layer     // (A^T, theta, g) and (B^T, tau, h)
	Output        []float64 // c, one entry a neuron of the second layer
	OutputBias    float64   // c0
}

// New returns a network of the given sizes with all parameters zero.
func New(inputs, m0, m1 int, g, h string) *Network {
	return &Network{
		First:  Layer{Weight: mat.NewDense(m0, inputs, nil), Bias: make([]float64, m0), Activation: g},
		Second: Layer{Weight: mat.NewDense(m1, m0, nil), Bias: make([]float64, m1), Activation: h},
		Output: make([]float64, m1),
	}
}

// Inputs returns d.
func (n *Network) Inputs() int { _, d := n.First.Weight.Dims(); return d }

// Sizes returns the numbers of neurons of the hidden layers.
func (n *Network) Sizes() (m0, m1 int) { return n.First.Neurons(), n.Second.Neurons() }

// Activations returns the name of the hidden layers' activation, or "G,H" where they differ.
func (n *Network) Activations() string {
	if n.First.Activation == n.Second.Activation {
		return n.First.Activation
	}
	return n.First.Activation + "," + n.Second.Activation
}

// Parameters returns P = m0 (d+1) + m1 (m0+1) + m1 + 1.
func (n *Network) Parameters() int {
	m0, m1 := n.Sizes()
	return Parameters(n.Inputs(), m0, m1)
}

// Parameters returns the number of parameters of a network with the given sizes.
func Parameters(d, m0, m1 int) int { return m0*(d+1) + m1*(m0+1) + m1 + 1 }

// Clone returns a deep copy.
func (n *Network) Clone() *Network {
	layer := func(l Layer) Layer {
		return Layer{Weight: mat.DenseCopyOf(l.Weight), Bias: append([]float64(nil), l.Bias...), Activation: l.Activation}
	}
	return &Network{First: layer(n.First), Second: layer(n.Second), Output: append([]float64(nil), n.Output...), OutputBias: n.OutputBias}
}

// Check reports the first parameter that is not finite or shape that does not fit.
func (n *Network) Check() error {
	if n.First.Weight == nil || n.Second.Weight == nil {
		return fault.New(fault.Usage, "the network has no weights")
	}
	m0, d := n.First.Weight.Dims()
	m1, width := n.Second.Weight.Dims()
	switch {
	case d == 0 || m0 == 0 || m1 == 0:
		return fault.New(fault.Usage, "the network has an empty layer")
	case len(n.First.Bias) != m0:
		return fault.New(fault.Usage, "layer 1 has %d rows of weights but %d biases", m0, len(n.First.Bias))
	case width != m0:
		return fault.New(fault.Usage, "layer 2 has %d weights a row but layer 1 has %d neurons", width, m0)
	case len(n.Second.Bias) != m1:
		return fault.New(fault.Usage, "layer 2 has %d rows of weights but %d biases", m1, len(n.Second.Bias))
	case len(n.Output) != m1:
		return fault.New(fault.Usage, "layer 3 has %d weights but layer 2 has %d neurons", len(n.Output), m1)
	}
	for _, part := range []struct {
		name   string
		values []float64
	}{
		{"a weight of layer 1", n.First.Weight.RawMatrix().Data}, {"a bias of layer 1", n.First.Bias},
		{"a weight of layer 2", n.Second.Weight.RawMatrix().Data}, {"a bias of layer 2", n.Second.Bias},
		{"a weight of layer 3", n.Output}, {"the bias of layer 3", []float64{n.OutputBias}},
	} {
		for _, v := range part.values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fault.New(fault.Usage, "%s is not a finite number", part.name)
			}
		}
	}
	return nil
}

// Evaluate returns f at the rows of x (rows x d), with g and h as the activations of the two layers.
func (n *Network) Evaluate(g, h core.Function, x mat.Matrix) []float64 {
	rows, _ := x.Dims()
	if rows == 0 {
		return nil
	}
	var u, p mat.Dense
	u.Mul(x, n.First.Weight.T())
	addRow(&u, n.First.Bias)
	apply(g, 0, &u)
	p.Mul(&u, n.Second.Weight.T())
	addRow(&p, n.Second.Bias)
	apply(h, 0, &p)
	y := mat.NewVecDense(rows, nil)
	y.MulVec(&p, mat.NewVecDense(len(n.Output), n.Output))
	values := y.RawVector().Data
	for i := range values {
		values[i] += n.OutputBias
	}
	return values
}

func addRow(m *mat.Dense, row []float64) {
	rows, _ := m.Dims()
	for i := range rows {
		r := m.RawRowView(i)
		for j, v := range row {
			r[j] += v
		}
	}
}

func apply(f core.Function, order int, m *mat.Dense) {
	data := m.RawMatrix().Data // a fresh product: no padding between rows
	f.Apply(order, data, data)
}
