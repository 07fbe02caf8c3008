// Package files reads and writes networks in the files of others: ONNX, NumPy archives (.npz) and safetensors. The network file
// of nnid's own is in core/network.
//
// A file is untrusted: readers bound what it can make them take, and an error is a usage fault or, where the file is of
// something else than a network of two hidden layers, one of kind Unsupported, that names what is in the way.
package files

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
)

// Activation is an activation that a file's is compared with, under the name that a network file gives it, options included.
type Activation struct {
	Name     string
	Function core.Function
}

// Settings say what a file leaves open.
type Settings struct {
	First, Second string       // activations of the hidden layers; "" where the file says them
	Output        int          // component of the output, counted from 0
	OutputName    string       // name of the output; ONNX only, needed where there is more than one
	Inputs        int          // ONNX only, needed where the file does not say
	Layers        []string     // names of the three layers in their order; safetensors only, needed where the names don't say it
	Activations   []Activation // ONNX only: the activations there are
}

// largestFile bounds what is read; a network of nnid's has thousands of parameters, not millions.
const largestFile = 1 << 29

// openFile opens a regular file of a size that is read.
func openFile(path string) (*os.File, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil { // without the path, which is named here already
			err = cause
		}
		return nil, 0, fault.New(fault.Usage, "the file %s cannot be read: %w", path, err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("it is no regular file")
	case info.Size() > largestFile:
		err = fault.New(fault.Usage, "it has %d bytes; %d is the most that is read", info.Size(), largestFile)
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, fault.New(fault.Usage, "the file %s cannot be read: %w", path, err)
	}
	return file, info.Size(), nil
}

// dense is a layer as files have it: a row for each neuron.
type dense struct {
	name   string
	weight *mat.Dense
	bias   []float64
}

func (d dense) neurons() int { n, _ := d.weight.Dims(); return n }
func (d dense) inputs() int  { _, n := d.weight.Dims(); return n }

// assemble makes a network of three layers that have been checked to fit, taking one component of the output.
func assemble(layers [3]dense, g, h string, output int) (*network.Network, error) {
	for k, name := range []string{g, h} {
		switch {
		case name == "":
			return nil, fault.New(fault.Usage, "the file does not say the activation of hidden layer %d; name it with --activation", k+1)
		case name == network.Identity:
			return nil, fault.New(fault.Unsupported, "the activation of hidden layer %d is the identity, so that there is no such layer", k+1)
		}
		if _, _, err := core.ParseNamed(name); err != nil {
			return nil, fault.New(fault.Usage, "the activation of hidden layer %d: %w", k+1, err)
		}
	}
	last := layers[2]
	if output < 0 || output >= last.neurons() {
		return nil, fault.New(fault.Usage, "there is no output %d; the file has %d, counted from 0", output, last.neurons())
	}
	n := &network.Network{
		First:      network.Layer{Weight: layers[0].weight, Bias: layers[0].bias, Activation: g},
		Second:     network.Layer{Weight: layers[1].weight, Bias: layers[1].bias, Activation: h},
		Output:     slices.Clone(last.weight.RawRowView(output)),
		OutputBias: last.bias[output],
	}
	return n, n.Check()
}

// Read reads a network in the format that the file's ending names: .onnx, .npz, .safetensors or .json.
func Read(ctx context.Context, path string, s Settings) (*network.Network, error) {
	var n *network.Network
	var err error
	switch ending := strings.ToLower(filepath.Ext(path)); ending {
	case ".onnx":
		n, err = readONNX(ctx, path, s)
	case ".npz":
		n, err = readNPZ(path, s)
	case ".safetensors":
		n, err = readSafetensors(path, s)
	case ".json":
		return network.ReadFile(path)
	case ".pt", ".pth", ".pkl", ".joblib":
		return nil, fault.New(fault.Usage, "the file %s may run code when it is read; write the weights as .safetensors, .npz or .onnx instead, as docs/files.md shows", path)
	default:
		return nil, fault.New(fault.Usage, "the file %s ends in %q; networks are read from .onnx, .npz, .safetensors and .json (%s)", path, ending, network.Format)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && !strings.Contains(err.Error(), path): // which those of opening and of core/onnx name
		return nil, fault.New(fault.KindOf(err), "the file %s: %w", path, err)
	}
	return n, err
}

// Write writes a network in the format that the ending of path names: .onnx, .npz, .safetensors or .json. single is for ONNX only.
func Write(w io.Writer, path string, n *network.Network, single bool) error {
	ending := strings.ToLower(filepath.Ext(path))
	if single && ending != ".onnx" {
		return fault.New(fault.Usage, "single precision is for .onnx only; the file %s ends in %q", path, ending)
	}
	switch ending {
	case ".onnx":
		return writeONNX(w, n, single)
	case ".npz":
		return writeNPZ(w, n)
	case ".safetensors":
		return writeSafetensors(w, n)
	case ".json":
		return n.Write(w)
	}
	return fault.New(fault.Usage, "the file %s ends in %q; networks are written as .onnx, .npz, .safetensors and .json (%s)", path, ending, network.Format)
}
