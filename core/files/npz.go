package files

import (
	"io"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/npy"
)

// The names of a network's arrays in a NumPy archive, those of the model: f(x) = c0 + c . h(B^T g(A^T x + theta) + tau), so
// that A is d x m0 and B m0 x m1. They are scikit-learn's coefs_ and intercepts_ as they are.
var arrayNames = []string{"A", "theta", "B", "tau", "c", "c0", "activation"}

// synonyms are the names that others have for activations.
var synonyms = map[string]string{"logistic": "sigmoid", "atan": "arctan", "sin": "sine", "swish": "silu"}

// readNPZ reads a NumPy archive of the arrays above; activation is one name for both layers, or two.
func readNPZ(path string, s Settings) (*network.Network, error) {
	file, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseNPZ(file, size, s)
}

func parseNPZ(r io.ReaderAt, size int64, s Settings) (*network.Network, error) {
	arrays, names, err := npy.ReadArchive(r, size, func(name string) bool { return slices.Contains(arrayNames, name) })
	if err != nil {
		return nil, err
	}
	for _, name := range arrayNames[:6] {
		a, ok := arrays[name]
		switch {
		case !ok:
			return nil, fault.New(fault.Usage, "the archive has no array %q; a network is %s, and this one has: %s", name, strings.Join(arrayNames, ", "), strings.Join(names, ", "))
		case a.Text != nil:
			return nil, fault.New(fault.Usage, "the array %q holds texts instead of numbers", name)
		}
	}
	g, h := s.First, s.Second
	if a, ok := arrays["activation"]; ok && g == "" && h == "" {
		if len(a.Text) < 1 || len(a.Text) > 2 {
			return nil, fault.New(fault.Usage, `the array "activation" must hold one name, or one for each hidden layer`)
		}
		g, h = named(a.Text[0]), named(a.Text[len(a.Text)-1])
	}
	var layers [3]dense
	inputs := 0
	for k := range layers {
		weight, bias := arrayNames[2*k], arrayNames[2*k+1]
		if layers[k], err = column(weight, arrays[weight], bias, arrays[bias], inputs); err != nil {
			return nil, err
		}
		inputs = layers[k].neurons()
	}
	return assemble(layers, g, h, s.Output)
}

func named(activation string) string {
	if known, ok := synonyms[activation]; ok {
		return known
	}
	return activation
}

// column reads a layer whose matrix has a column for each neuron, and one of a single output also as a vector.
func column(name string, w *npy.Array, biasName string, b *npy.Array, inputs int) (dense, error) {
	shape := w.Shape
	if name == "c" && len(shape) == 1 {
		shape = []int{shape[0], 1}
	}
	if len(shape) != 2 || len(w.Data) == 0 {
		return dense{}, fault.New(fault.Usage, "the array %q has shape %s instead of one row for each input and one column for each neuron", name, npy.Describe(w.Shape))
	}
	if inputs > 0 && shape[0] != inputs {
		return dense{}, fault.New(fault.Usage, "the array %q has shape %s, but the layer before has %d neurons", name, npy.Describe(w.Shape), inputs)
	}
	if len(b.Shape) > 1 || len(b.Data) != shape[1] {
		return dense{}, fault.New(fault.Usage, "the array %q has shape %s, but %q has %d columns", biasName, npy.Describe(b.Shape), name, shape[1])
	}
	d := dense{name: name, weight: mat.NewDense(shape[1], shape[0], nil), bias: b.Data}
	d.weight.Copy(mat.NewDense(shape[0], shape[1], w.Data).T())
	return d, nil
}

// writeNPZ writes a network as a NumPy archive of the arrays above.
func writeNPZ(w io.Writer, n *network.Network) error {
	return writeArrays(w, n, &npy.Array{Shape: []int{len(n.Output)}, Data: n.Output}, &npy.Array{Data: []float64{n.OutputBias}})
}

// WriteOutputs writes a network with several outputs as a NumPy archive of the arrays above: c has a column for each output, of
// which weights has one slice each. n's own output is not used.
func WriteOutputs(w io.Writer, n *network.Network, weights [][]float64, biases []float64) error {
	_, m1 := n.Sizes()
	c := mat.NewDense(m1, len(biases), nil)
	for k, column := range weights {
		c.SetCol(k, column)
	}
	return writeArrays(w, n, &npy.Array{Shape: []int{m1, len(biases)}, Data: c.RawMatrix().Data}, &npy.Array{Shape: []int{len(biases)}, Data: biases})
}

func writeArrays(w io.Writer, n *network.Network, c, c0 *npy.Array) error {
	if err := n.Check(); err != nil {
		return err
	}
	m0, m1 := n.Sizes()
	transposed := func(m mat.Matrix) []float64 { return mat.DenseCopyOf(m.T()).RawMatrix().Data }
	return npy.WriteArchive(w, []npy.Member{
		{Name: "A", Array: &npy.Array{Shape: []int{n.Inputs(), m0}, Data: transposed(n.First.Weight)}},
		{Name: "theta", Array: &npy.Array{Shape: []int{m0}, Data: n.First.Bias}},
		{Name: "B", Array: &npy.Array{Shape: []int{m0, m1}, Data: transposed(n.Second.Weight)}},
		{Name: "tau", Array: &npy.Array{Shape: []int{m1}, Data: n.Second.Bias}},
		{Name: "c", Array: c},
		{Name: "c0", Array: c0},
		{Name: "activation", Array: &npy.Array{Shape: []int{2}, Text: []string{n.First.Activation, n.Second.Activation}}},
	})
}
