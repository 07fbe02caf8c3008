package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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

type fileLayer struct {
	Weight     [][]float64 `json:"weight"`
	Bias       []float64   `json:"bias"`
	Activation string      `json:"activation"`
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
	weights := make([]*mat.Dense, len(f.Layers))
	for k, layer := range f.Layers {
		w, err := dense(layer, k+1)
		if err != nil {
			return nil, err
		}
		weights[k] = w
		if k == len(f.Layers)-1 {
			continue
		}
		if err := core.CheckName(layer.Activation); err != nil {
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
		First:      Layer{Weight: weights[0], Bias: f.Layers[0].Bias, Activation: f.Layers[0].Activation},
		Second:     Layer{Weight: weights[1], Bias: f.Layers[1].Bias, Activation: f.Layers[1].Activation},
		Output:     output.Weight[0],
		OutputBias: output.Bias[0],
	}
	return n, n.Check()
}

func dense(l fileLayer, number int) (*mat.Dense, error) {
	rows := len(l.Weight)
	if rows == 0 || len(l.Weight[0]) == 0 {
		return nil, fault.New(fault.Usage, "layers[%d].weight is empty", number-1)
	}
	if len(l.Bias) != rows {
		return nil, fault.New(fault.Usage, "layers[%d].bias has %d entries for %d rows of weights", number-1, len(l.Bias), rows)
	}
	columns := len(l.Weight[0])
	w := mat.NewDense(rows, columns, nil)
	for i, row := range l.Weight {
		if len(row) != columns {
			return nil, fault.New(fault.Usage, "layers[%d].weight[%d] has %d entries; row 0 has %d", number-1, i, len(row), columns)
		}
		for _, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fault.New(fault.Usage, "layers[%d].weight[%d] holds a number that is not finite", number-1, i)
			}
		}
		w.SetRow(i, row)
	}
	return w, nil
}

// Write writes the network file.
func (n *Network) Write(w io.Writer) error {
	if err := n.Check(); err != nil {
		return err
	}
	layer := func(l Layer) fileLayer {
		f := fileLayer{Bias: l.Bias, Activation: l.Activation}
		for i := range l.Neurons() {
			f.Weight = append(f.Weight, mat.Row(nil, i, l.Weight))
		}
		return f
	}
	data, err := json.Marshal(fileNetwork{Format: Format, Layers: []fileLayer{
		layer(n.First), layer(n.Second),
		{Weight: [][]float64{n.Output}, Bias: []float64{n.OutputBias}, Activation: Identity},
	}})
	if err != nil {
		return fmt.Errorf("the network cannot be written as JSON: %w", err)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}
