package files

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/onnx"
)

// readONNX reads a network from the nodes of an ONNX model, however they are written. Its activations are found out by comparing
// values with those of the settings.
func readONNX(ctx context.Context, path string, s Settings) (*network.Network, error) {
	m, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return fromONNX(ctx, m, s)
}

func fromONNX(ctx context.Context, m *onnx.Model, s Settings) (*network.Network, error) {
	p, err := onnx.NewProgram(ctx, m, s.OutputName, onnx.Limits{})
	if err != nil {
		return nil, err
	}
	found, err := p.Dense(ctx, s.Inputs)
	if err != nil {
		return nil, err
	}
	if len(found) != 3 {
		return nil, fault.New(fault.Unsupported, "the model has %d hidden layers; a network of nnid's has two", len(found)-1)
	}
	var layers [3]dense
	names := [2]string{s.First, s.Second}
	for k, l := range found {
		layers[k] = dense{weight: mat.NewDense(len(l.Weight), len(l.Weight[0]), slices.Concat(l.Weight...)), bias: l.Bias}
		if k == 2 {
			break
		}
		name, entry, err := matching(l, s.Activations)
		if err != nil && names[k] == "" {
			return nil, fault.New(fault.Unsupported, "hidden layer %d: %w", k+1, err)
		}
		layers[k].enter(entry)
		if names[k] == "" {
			names[k] = name
		} else if name != names[k] {
			return nil, fault.New(fault.Usage, "hidden layer %d, by %s, does not have the values of %s", k+1, strings.Join(l.Operators, ", "), names[k])
		}
	}
	return assemble(layers, names[0], names[1], s.Output)
}

// sameValue is how far an activation's values may be from those of a known one. Constants such as the root of 2 are float32 in
// many files, which makes 1e-7; GELU and its approximation by tanh differ by 5e-4.
const sameValue = 2e-6

// matching returns the name of the activation that has the layer's values, and at which entry.
func matching(l onnx.Layer, known []Activation) (string, onnx.Entry, error) {
	probes := onnx.Probes()
	values := make([]float64, len(probes))
	best, at, least := "", onnx.Entry{Alpha: 1}, math.Inf(1)
	var names []string
	for _, a := range known {
		names = append(names, a.Name)
		for _, e := range append([]onnx.Entry{{Alpha: 1}}, l.Entries...) {
			for i, t := range probes {
				values[i] = e.Alpha*t + e.Beta
			}
			a.Function.Apply(0, values, values)
			worst := 0.0
			for i, v := range values {
				worst = math.Max(worst, math.Abs(v-l.Activation[i])/(1+math.Abs(v)))
			}
			if worst < least { // false where it is NaN
				best, at, least = a.Name, e, worst
			}
		}
	}
	if least > sameValue {
		return "", at, fmt.Errorf("its activation, by %s, is none of those there are: %s", strings.Join(l.Operators, ", "), strings.Join(names, ", "))
	}
	return best, at, nil
}

// enter includes in the layer what is between it and its activation.
func (d dense) enter(e onnx.Entry) {
	d.weight.Scale(e.Alpha, d.weight)
	for i, b := range d.bias {
		d.bias[i] = e.Alpha*b + e.Beta
	}
}

// Missing64 are the activations whose operators ONNX Runtime has for float32 only.
var Missing64 = []string{"arctan", "erf", "gelu"}

// writeONNX writes a network as an ONNX model of opset 17 with an input x (rows x d) and an output y (rows), its numbers as float64
// or, where single is set, as float32. Activations without an operator that ONNX Runtime has for float64 are written with others.
func writeONNX(w io.Writer, n *network.Network, single bool) error {
	if err := n.Check(); err != nil {
		return err
	}
	element := onnx.Float64
	if single {
		element = onnx.Float32
	}
	m := &onnx.Model{IRVersion: 8, Producer: "nnid", Opsets: map[string]int64{"": 17}}
	g := &m.Graph
	g.Name = "network"
	g.Inputs = []onnx.Value{{Name: "x", Element: element, Ranked: true, Shape: []int{-1, n.Inputs()}}}
	g.Outputs = []onnx.Value{{Name: "y", Element: element, Ranked: true, Shape: []int{-1}}}
	constant := func(name string, values []float64, shape ...int) {
		g.Initializers = append(g.Initializers, onnx.NewConstant(name, onnx.NewFloats(values, shape...), single))
	}
	node := func(op, output string, inputs ...string) {
		g.Nodes = append(g.Nodes, onnx.Node{Name: output, Op: op, Inputs: inputs, Outputs: []string{output}})
	}
	value := "x"
	for k, l := range []network.Layer{n.First, n.Second} {
		write, ok := operators[l.Activation]
		if !ok {
			return fault.New(fault.Unsupported, "the activation %s of hidden layer %d has no counterpart in ONNX here; there are: %s", l.Activation, k+1, strings.Join(slices.Sorted(maps.Keys(operators)), ", "))
		}
		rows, columns := l.Weight.Dims()
		prefix := fmt.Sprintf("layer%d.", k+1)
		constant(prefix+"weight", mat.DenseCopyOf(l.Weight.T()).RawMatrix().Data, columns, rows)
		constant(prefix+"bias", l.Bias, rows)
		node("MatMul", prefix+"product", value, prefix+"weight")
		node("Add", prefix+"sum", prefix+"product", prefix+"bias")
		value = write(prefix, prefix+"sum", node, func(name string, v float64) string {
			constant(prefix+name, []float64{v})
			return prefix + name
		})
	}
	constant("output.weight", n.Output, len(n.Output))
	constant("output.bias", []float64{n.OutputBias})
	node("MatMul", "output.product", value, "output.weight")
	node("Add", "y", "output.product", "output.bias")
	_, err := w.Write(m.Bytes())
	return err
}

// writer appends the nodes of an activation at the value in, whose names begin with prefix, and returns the name of the result.
type writer func(prefix, in string, node func(op, output string, inputs ...string), constant func(name string, v float64) string) string

// operators are the activations that are written.
var operators = map[string]writer{
	"tanh": plain("Tanh"), "sigmoid": plain("Sigmoid"), "arctan": plain("Atan"), "erf": plain("Erf"), "sine": plain("Sin"),
	"silu": func(prefix, in string, node func(string, string, ...string), _ func(string, float64) string) string {
		node("Sigmoid", prefix+"sigmoid", in)
		node("Mul", prefix+"silu", in, prefix+"sigmoid")
		return prefix + "silu"
	},
	"gelu": func(prefix, in string, node func(string, string, ...string), constant func(string, float64) string) string {
		node("Mul", prefix+"scaled", in, constant("scale", 1/math.Sqrt2))
		node("Erf", prefix+"erf", prefix+"scaled")
		node("Add", prefix+"raised", prefix+"erf", constant("one", 1))
		node("Mul", prefix+"doubled", in, prefix+"raised")
		node("Mul", prefix+"gelu", prefix+"doubled", constant("half", 0.5))
		return prefix + "gelu"
	},
	// max(t, 0) + log(1 + exp(-|t|)), which neither overflows nor, in ONNX Runtime, lacks float64.
	"softplus": func(prefix, in string, node func(string, string, ...string), constant func(string, float64) string) string {
		node("Abs", prefix+"abs", in)
		node("Neg", prefix+"neg", prefix+"abs")
		node("Exp", prefix+"exp", prefix+"neg")
		node("Add", prefix+"raised", prefix+"exp", constant("one", 1))
		node("Log", prefix+"log", prefix+"raised")
		node("Relu", prefix+"relu", in)
		node("Add", prefix+"softplus", prefix+"relu", prefix+"log")
		return prefix + "softplus"
	},
	"softsign": func(prefix, in string, node func(string, string, ...string), constant func(string, float64) string) string {
		node("Abs", prefix+"abs", in)
		node("Add", prefix+"raised", prefix+"abs", constant("one", 1))
		node("Div", prefix+"softsign", in, prefix+"raised")
		return prefix + "softsign"
	},
}

func plain(op string) writer {
	return func(prefix, in string, node func(string, string, ...string), _ func(string, float64) string) string {
		name := prefix + strings.ToLower(op)
		node(op, name, in)
		return name
	}
}
