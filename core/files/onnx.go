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

	"github.com/nnid/nnid/core"
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
		known := s.Activations
		if names[k] != "" {
			known = slices.DeleteFunc(slices.Clone(known), func(a Activation) bool { return a.Name != names[k] })
		}
		var entry onnx.Entry
		if names[k], entry, err = matching(l, known); err != nil {
			return nil, fault.New(fault.Unsupported, "hidden layer %d: %w", k+1, err)
		}
		layers[k].enter(entry)
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
		return "", at, fmt.Errorf("its activation, by %s, is none of these: %s", strings.Join(l.Operators, ", "), strings.Join(names, ", "))
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
		if slices.ContainsFunc(g.Initializers, func(c onnx.Constant) bool { return c.Name == name }) {
			return // an activation uses it twice
		}
		g.Initializers = append(g.Initializers, onnx.NewConstant(name, onnx.NewFloats(values, shape...), single))
	}
	node := func(op, output string, inputs ...string) {
		g.Nodes = append(g.Nodes, onnx.Node{Name: output, Op: op, Inputs: inputs, Outputs: []string{output}})
	}
	value := "x"
	for k, l := range []network.Layer{n.First, n.Second} {
		name, options, err := core.ParseNamed(l.Activation)
		if err != nil {
			return err
		}
		write, ok := operators[name]
		if !ok {
			return fault.New(fault.Unsupported, "the activation %s of hidden layer %d has no counterpart in ONNX here; there are: %s", l.Activation, k+1, strings.Join(slices.Sorted(maps.Keys(operators)), ", "))
		}
		rows, columns := l.Weight.Dims()
		prefix := fmt.Sprintf("layer%d.", k+1)
		constant(prefix+"weight", mat.DenseCopyOf(l.Weight.T()).RawMatrix().Data, columns, rows)
		constant(prefix+"bias", l.Bias, rows)
		node("MatMul", prefix+"product", value, prefix+"weight")
		node("Add", prefix+"sum", prefix+"product", prefix+"bias")
		b := &build{prefix: prefix, options: options, node: node, constant: func(name string, v float64) string {
			constant(name, []float64{v})
			return name
		}}
		if value = write(b, prefix+"sum"); b.err != nil {
			return b.err
		}
		for option := range b.options {
			return fault.New(fault.Unsupported, "the activation %s of hidden layer %d has an option, %s, that is not known here", l.Activation, k+1, option)
		}
	}
	constant("output.weight", n.Output, len(n.Output))
	constant("output.bias", []float64{n.OutputBias})
	node("MatMul", "output.product", value, "output.weight")
	node("Add", "y", "output.product", "output.bias")
	_, err := w.Write(m.Bytes())
	return err
}

// writer writes the nodes of an activation at the value in, and returns the name of the result. Nodes and constants are named
// by what they are; build puts the layer's name in front.
type writer func(b *build, in string) string

// build appends nodes and constants to a graph.
type build struct {
	prefix   string
	options  core.Options // of the activation, that are not used yet
	err      error
	node     func(op, output string, inputs ...string)
	constant func(name string, v float64) string
}

// do appends a node and returns its output.
func (b *build) do(op, name string, inputs ...string) string {
	b.node(op, b.prefix+name, inputs...)
	return b.prefix + name
}

// option takes an option of the activation.
func (b *build) option(name string, otherwise float64) float64 {
	if _, ok := b.options[name]; !ok {
		return otherwise
	}
	v, err := b.options.Float(name, -math.MaxFloat64, math.MaxFloat64)
	if err != nil {
		b.err = err
	}
	delete(b.options, name)
	return v
}

// number returns a constant.
func (b *build) number(name string, v float64) string { return b.constant(b.prefix+name, v) }

// operators are the activations that are written.
var operators = map[string]writer{
	"tanh": plain("Tanh"), "sigmoid": plain("Sigmoid"), "arctan": plain("Atan"), "erf": plain("Erf"), "sine": plain("Sin"),
	"softplus": func(b *build, in string) string {
		beta := b.option("beta", 1)
		if beta == 1 {
			return writeSoftplus(b, in)
		}
		return b.do("Div", "flattened", writeSoftplus(b, b.do("Mul", "sharpened", in, b.number("beta", beta))), b.number("beta", beta))
	},
	"silu": func(b *build, in string) string {
		return b.do("Mul", "silu", in, b.do("Sigmoid", "sigmoid", in))
	},
	"gelu": func(b *build, in string) string {
		erf := b.do("Erf", "erf", b.do("Mul", "scaled", in, b.number("scale", 1/math.Sqrt2)))
		return b.do("Mul", "gelu", b.do("Mul", "doubled", in, b.do("Add", "raised", erf, b.number("one", 1))), b.number("half", 0.5))
	},
	"gelu-tanh": func(b *build, in string) string {
		cube := b.do("Mul", "cube", b.do("Mul", "square", in, in), in)
		bent := b.do("Add", "bent", in, b.do("Mul", "part", cube, b.number("cubic", 0.044715)))
		tanh := b.do("Tanh", "tanh", b.do("Mul", "scaled", bent, b.number("scale", math.Sqrt(2/math.Pi))))
		return b.do("Mul", "gelu", b.do("Mul", "doubled", in, b.do("Add", "raised", tanh, b.number("one", 1))), b.number("half", 0.5))
	},
	// max(t, 0) + alpha (exp(min(t, 0)) - 1)
	"elu": func(b *build, in string) string {
		negative := b.do("Neg", "below", b.do("Relu", "depth", b.do("Neg", "neg", in)))
		curve := b.do("Sub", "curve", b.do("Exp", "exp", negative), b.number("one", 1))
		if alpha := b.option("alpha", 1); alpha != 1 {
			curve = b.do("Mul", "scaled", curve, b.number("alpha", alpha))
		}
		return b.do("Add", "elu", b.do("Relu", "relu", in), curve)
	},
	"gompertz": func(b *build, in string) string {
		return b.do("Exp", "gompertz", b.do("Neg", "neg2", b.do("Exp", "exp", b.do("Neg", "neg1", in))))
	},
	"leaky": func(b *build, in string) string {
		slope := b.option("slope", 0.1)
		bend := b.do("Mul", "bend", writeSoftplus(b, in), b.number("rest", 1-slope))
		return b.do("Add", "leaky", b.do("Mul", "straight", in, b.number("slope", slope)), bend)
	},
	"softsign": func(b *build, in string) string {
		return b.do("Div", "softsign", in, b.do("Add", "raised", b.do("Abs", "abs", in), b.number("one", 1)))
	},
}

// writeSoftplus writes max(t, 0) + log(1 + exp(-|t|)), which neither overflows nor, in ONNX Runtime, lacks float64.
func writeSoftplus(b *build, in string) string {
	exp := b.do("Exp", "exp", b.do("Neg", "neg", b.do("Abs", "abs", in)))
	log := b.do("Log", "log", b.do("Add", "raised", exp, b.number("one", 1)))
	return b.do("Add", "softplus", b.do("Relu", "relu", in), log)
}

func plain(op string) writer {
	return func(b *build, in string) string { return b.do(op, strings.ToLower(op), in) }
}
