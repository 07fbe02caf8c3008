package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// Format is the value of the "format" field of a network file.
const Format = "nnid/network/v1"

// Identity is the name of the output layer's activation.
const Identity = "identity"

type fileNetwork struct {
	Format string      `json:"format"`
	Layers []fileLayer `json:"layers"`
}

// fileLayer holds pointers because encoding/json reads null as 0 without a word.
type fileLayer struct {
	Weight     [][]*float64 `json:"weight"`
	Bias       []*float64   `json:"bias"`
	Activation string       `json:"activation"`
}

// ReadFile reads a network file. Errors are usage faults that name the file and the field.
func ReadFile(path string) (*Network, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "network file %s cannot be read: %w", path, errors.Unwrap(err))
	}
	defer file.Close()
	n, err := Read(file)
	if err != nil {
		return nil, fault.New(fault.Usage, "network file %s: %w", path, err)
	}
	return n, nil
}

// Read reads a network in the format nnid/network/v1 and checks every field.
func Read(r io.Reader) (*Network, error) {
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	var f fileNetwork
	if err := decoder.Decode(&f); err != nil {
		return nil, fault.New(fault.Usage, "not a network in JSON: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fault.New(fault.Usage, "there is more after the network's closing brace")
	}
	if f.Format != Format {
		return nil, fault.New(fault.Usage, "the field format is %q; this version reads %q", f.Format, Format)
	}
	if len(f.Layers) != 3 {
		return nil, fault.New(fault.Usage, "the field layers has %d layers; a network has 3 (two hidden and the output)", len(f.Layers))
	}
	weights, biases := make([]*mat.Dense, len(f.Layers)), make([][]float64, len(f.Layers))
	for k, layer := range f.Layers {
		var err error
		if weights[k], biases[k], err = dense(layer, k); err != nil {
			return nil, err
		}
		if k == len(f.Layers)-1 {
			continue
		}
		name, _, err := core.ParseNamed(layer.Activation)
		if err == nil {
			err = core.CheckName(name) // a file names no plugin
		}
		if err != nil {
			return nil, fault.New(fault.Usage, "layers[%d].activation: %w", k, err)
		}
	}
	output := f.Layers[2]
	if rows, _ := weights[2].Dims(); rows != 1 {
		return nil, fault.New(fault.Usage, "layers[2].weight has %d rows; the output has one component", rows)
	}
	if output.Activation != Identity {
		return nil, fault.New(fault.Usage, "layers[2].activation is %q; the output layer's is %q", output.Activation, Identity)
	}
	n := &Network{
		First:      Layer{Weight: weights[0], Bias: biases[0], Activation: f.Layers[0].Activation},
		Second:     Layer{Weight: weights[1], Bias: biases[1], Activation: f.Layers[1].Activation},
		Output:     weights[2].RawRowView(0),
		OutputBias: biases[2][0],
	}
	return n, n.Check()
}

// dense returns weights and biases of layers[k].
func dense(l fileLayer, k int) (*mat.Dense, []float64, error) {
	rows := len(l.Weight)
	if rows == 0 || len(l.Weight[0]) == 0 {
		return nil, nil, fault.New(fault.Usage, "layers[%d].weight is empty", k)
	}
	if len(l.Bias) != rows {
		return nil, nil, fault.New(fault.Usage, "layers[%d].bias has %d entries for %d rows of weights", k, len(l.Bias), rows)
	}
	columns := len(l.Weight[0])
	w := mat.NewDense(rows, columns, nil)
	for i, row := range l.Weight {
		if len(row) != columns {
			return nil, nil, fault.New(fault.Usage, "layers[%d].weight[%d] has %d entries; row 0 has %d", k, i, len(row), columns)
		}
		if at := plain(w.RawRowView(i), row); at >= 0 {
			return nil, nil, fault.New(fault.Usage, "layers[%d].weight[%d][%d] is null; it must be a number", k, i, at)
		}
	}
	bias := make([]float64, rows)
	if at := plain(bias, l.Bias); at >= 0 {
		return nil, nil, fault.New(fault.Usage, "layers[%d].bias[%d] is null; it must be a number", k, at)
	}
	return w, bias, nil
}

// plain copies the numbers to dst; it returns the place of the first that is missing, or -1.
func plain(dst []float64, numbers []*float64) int {
	for i, v := range numbers {
		if v == nil {
			return i
		}
		dst[i] = *v
	}
	return -1
}

// pointers is the inverse of plain.
func pointers(values []float64) []*float64 {
	p := make([]*float64, len(values))
	for i := range values {
		p[i] = &values[i]
	}
	return p
}

// Write writes the network file.
func (n *Network) Write(w io.Writer) error {
	if err := n.Check(); err != nil {
		return err
	}
	layer := func(l Layer) fileLayer {
		f := fileLayer{Bias: pointers(l.Bias), Activation: l.Activation}
		for i := range l.Neurons() {
			f.Weight = append(f.Weight, pointers(l.Weight.RawRowView(i)))
		}
		return f
	}
	data, err := json.Marshal(fileNetwork{Format: Format, Layers: []fileLayer{
		layer(n.First), layer(n.Second),
		{Weight: [][]*float64{pointers(n.Output)}, Bias: []*float64{&n.OutputBias}, Activation: Identity},
	}})
	if err != nil {
		return fmt.Errorf("the network cannot be written as JSON: %w", err)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}
