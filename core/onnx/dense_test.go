package onnx

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nnid/nnid/core/fault"
)

// Layers recognised in files by both of PyTorch's exporters compute what the nodes do.
func TestDenseOfTorch(t *testing.T) {
	paths, err := filepath.Glob("../../plugins/oracles/onnx/testdata/torch/*.onnx")
	if err != nil || len(paths) < 20 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		m, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewProgram(t.Context(), m, "", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		layers, err := p.Dense(t.Context(), 0)
		if name == "tanh-four-rows" {
			if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "a batch of fixed size") {
				t.Error(name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(layers) != 3 || layers[2].Activation != nil {
			t.Errorf("%s: %d layers", name, len(layers))
			continue
		}
		// The activation as sampled is that of the layer's nodes: compare at inputs that bring one neuron to the probes.
		x := make([]float64, len(layers[0].Weight[0]))
		for k := range x {
			x[k] = math.Sin(float64(3 * k))
		}
		got, err := p.Run(t.Context(), NewFloats(x, slices.Concat(ones(len(p.Inputs[0].Shape)-1), []int{len(x)})...))
		if err != nil {
			t.Fatal(err)
		}
		activation := map[string]func(float64) float64{
			"tanh": math.Tanh, "sigmoid": sigmoid, "softplus": softplus, "arctan": math.Atan, "erf": math.Erf, "sine": math.Sin,
			"gelu": func(t float64) float64 { return t / 2 * (1 + math.Erf(t/math.Sqrt2)) }, "silu": func(t float64) float64 { return t * sigmoid(t) },
			"softsign": func(t float64) float64 { return t / (1 + math.Abs(t)) },
		}[strings.Split(name, "-")[0]]
		v := x
		for k, l := range layers {
			next := slices.Clone(l.Bias)
			for i, row := range l.Weight {
				for j, w := range row {
					next[i] += w * v[j]
				}
				if k < 2 {
					next[i] = activation(next[i])
				}
			}
			v = next
			for i, at := range Probes() {
				if k < 2 && math.Abs(l.Activation[i]-activation(at)) > 1e-14*(1+math.Abs(at)) {
					t.Errorf("%s: the activation of layer %d at %g is %g, want %g", name, k, at, l.Activation[i], activation(at))
				}
			}
		}
		if math.Abs(v[0]-got.Floats[0]) > 1e-14 {
			t.Errorf("%s: the layers give %.17g, the nodes %.17g", name, v[0], got.Floats[0])
		}
	}
}

func ones(n int) []int { return slices.Repeat([]int{1}, max(n, 0)) }

// What is no sequence of dense layers is refused, with the node that is to blame.
func TestNotDense(t *testing.T) {
	end := Node{Name: "end", Op: "MatMul", Inputs: []string{"w", "U"}, Outputs: []string{"y"}}
	for want, nodes := range map[string][]Node{
		`node "skip" (Add): it joins values of different layers`: {
			{Op: "MatMul", Inputs: []string{"x", "S"}, Outputs: []string{"u"}}, {Op: "Tanh", Inputs: []string{"u"}, Outputs: []string{"v"}},
			{Name: "skip", Op: "Add", Inputs: []string{"v", "x"}, Outputs: []string{"w"}}, end,
		},
		`node "n" (Softmax): it is no part of dense layers`: {{Name: "n", Op: "Softmax", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		`node "n" (MatMul): it is no part of dense layers`: {
			{Op: "Reshape", Inputs: []string{"x", "column"}, Outputs: []string{"u"}}, {Name: "n", Op: "MatMul", Inputs: []string{"x", "u"}, Outputs: []string{"y"}},
		},
		`is not linear in the last hidden layer: it goes through Exp, Mul`: {
			{Op: "Exp", Inputs: []string{"x"}, Outputs: []string{"u"}}, {Op: "Mul", Inputs: []string{"u", "x"}, Outputs: []string{"y"}},
		},
		`node "n" (MatMul): it takes an activation that stands beside another`: {
			{Op: "Tanh", Inputs: []string{"x"}, Outputs: []string{"u"}}, {Op: "Sin", Inputs: []string{"x"}, Outputs: []string{"v"}},
			{Op: "MatMul", Inputs: []string{"u", "S"}, Outputs: []string{"w"}}, {Name: "n", Op: "MatMul", Inputs: []string{"v", "S"}, Outputs: []string{"a"}},
			{Op: "Add", Inputs: []string{"w", "a"}, Outputs: []string{"y"}},
		},
		`does not depend on the input`: {{Op: "Shape", Inputs: []string{"x"}, Outputs: []string{"s"}}, {Op: "Cast", Inputs: []string{"s"}, Outputs: []string{"y"}, Attributes: []Attribute{{Name: "to", Type: AttributeInt, Int: 1}}}},
	} {
		m := model(nodes...)
		m.Graph.Initializers = append(m.Graph.Initializers, NewConstant("S", NewFloats(make([]float64, 9), 3, 3), false),
			NewConstant("U", NewFloats(make([]float64, 3), 3, 1), false), NewConstant("column", NewInts([]int64{3, 1}, 2), false))
		p, err := NewProgram(t.Context(), m, "", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Dense(t.Context(), 0); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// FuzzDense interprets anything that can be read, beginning with what exporters write.
func FuzzDense(f *testing.F) {
	paths, err := filepath.Glob("../../plugins/oracles/onnx/testdata/torch/*.onnx")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	limits := Limits{Work: 1 << 18, Elements: 1 << 16}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(data)
		if err != nil {
			return
		}
		for _, output := range m.Graph.Outputs {
			p, err := NewProgram(t.Context(), m, output.Name, limits)
			if err != nil {
				continue
			}
			layers, err := p.Dense(t.Context(), 2)
			if err != nil {
				continue
			}
			for _, l := range layers {
				if len(l.Weight) != len(l.Bias) {
					t.Errorf("%d rows of weights and %d biases", len(l.Weight), len(l.Bias))
				}
			}
		}
	})
}
