package files

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/npy"
	"github.com/nnid/nnid/core/onnx"
)

// function is an activation by its values alone.
type function func(float64) float64

func (function) Facts() core.Facts { return core.Facts{} }

func (f function) Apply(order int, dst, t []float64) {
	for i, v := range t {
		dst[i] = f(v)
	}
}

func sigmoid(t float64) float64 { return 1 / (1 + math.Exp(-t)) }

func softplus(t float64) float64 { return math.Max(t, 0) + math.Log1p(math.Exp(-math.Abs(t))) }

var known = []Activation{
	{"tanh", function(math.Tanh)}, {"sigmoid", function(sigmoid)}, {"arctan", function(math.Atan)}, {"erf", function(math.Erf)},
	{"sine", function(math.Sin)}, {"silu", function(func(t float64) float64 { return t * sigmoid(t) })},
	{"gelu", function(func(t float64) float64 { return t / 2 * math.Erfc(-t/math.Sqrt2) })},
	{"softplus", function(softplus)}, {"leaky", function(func(t float64) float64 { return 0.1*t + 0.9*softplus(t) })},
	{"gompertz", function(func(t float64) float64 { return math.Exp(-math.Exp(-t)) })},
	{"elu", function(func(t float64) float64 { return math.Max(t, 0) + math.Expm1(math.Min(t, 0)) })},
	{"softplus(beta=3)", function(func(t float64) float64 { return softplus(3*t) / 3 })},
	{"leaky(slope=0.25)", function(func(t float64) float64 { return 0.25*t + 0.75*softplus(t) })},
	{"elu(alpha=2)", function(func(t float64) float64 { return math.Max(t, 0) + 2*math.Expm1(math.Min(t, 0)) })},
	{"gelu-tanh", function(func(t float64) float64 { return t / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(t+0.044715*t*t*t))) })},
	{"softsign", function(func(t float64) float64 { return t / (1 + math.Abs(t)) })},
}

// example is a network of 3 inputs and 4 + 2 neurons.
func example(g, h string) *network.Network {
	n := network.New(3, 4, 2, g, h)
	for k, values := range [][]float64{n.First.Weight.RawMatrix().Data, n.First.Bias, n.Second.Weight.RawMatrix().Data, n.Second.Bias, n.Output, {0}} {
		for i := range values {
			values[i] = math.Sin(float64(7*k + 3*i + 1))
		}
	}
	n.OutputBias = 0.25
	return n
}

func encode(t testing.TB, ending string, n *network.Network) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, "n"+ending, n, false); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func save(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// All activations that can be written are among those known here.
func TestWritten(t *testing.T) {
	for name := range operators {
		if !slices.ContainsFunc(known, func(a Activation) bool { return a.Name == name }) {
			t.Errorf("%s is written but not tested", name)
		}
	}
}

// Every format keeps every bit of every parameter, and the activations.
func TestThereAndBack(t *testing.T) {
	for _, ending := range []string{".onnx", ".npz", ".safetensors", ".json"} {
		for _, a := range known {
			n := example(a.Name, "tanh")
			data := encode(t, ending, n)
			if again := encode(t, ending, n); !bytes.Equal(data, again) {
				t.Errorf("%s: the same network gives other bytes", ending)
			}
			back, err := Read(t.Context(), save(t, "n"+ending, data), Settings{Activations: known})
			if err != nil {
				t.Errorf("%s, %s: %v", ending, a.Name, err)
				continue
			}
			if !mat.Equal(n.First.Weight, back.First.Weight) || !mat.Equal(n.Second.Weight, back.Second.Weight) ||
				n.First.Activation != back.First.Activation || n.Second.Activation != back.Second.Activation || n.OutputBias != back.OutputBias {
				t.Errorf("%s, %s: another network", ending, a.Name)
			}
			for k, pair := range [][2][]float64{{n.First.Bias, back.First.Bias}, {n.Second.Bias, back.Second.Bias}, {n.Output, back.Output}} {
				for i, v := range pair[0] {
					if pair[1][i] != v {
						t.Errorf("%s, %s: part %d is %v, not %v", ending, a.Name, k, pair[1], pair[0])
						break
					}
				}
			}
		}
	}
}

// What is in a file and not a network of two hidden layers is said in a sentence.
func TestErrors(t *testing.T) {
	n := example("tanh", "tanh")
	npz := func(change func(map[string]*npy.Array)) []byte {
		arrays := map[string]*npy.Array{
			"A": {Shape: []int{1, 2}, Data: []float64{1, 2}}, "theta": {Shape: []int{2}, Data: []float64{0, 0}},
			"B": {Shape: []int{2, 1}, Data: []float64{1, 2}}, "tau": {Shape: []int{1}, Data: []float64{0}},
			"c": {Shape: []int{1, 2}, Data: []float64{1, 2}}, "c0": {Shape: []int{2}, Data: []float64{0, 0}},
			"activation": {Text: []string{"logistic"}},
		}
		change(arrays)
		var file bytes.Buffer
		var members []npy.Member
		for _, name := range arrayNames {
			if arrays[name] != nil {
				members = append(members, npy.Member{Name: name, Array: arrays[name]})
			}
		}
		if err := npy.WriteArchive(&file, members); err != nil {
			t.Fatal(err)
		}
		return file.Bytes()
	}
	header := func(text string, data int) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), append([]byte(text), make([]byte, data)...)...)
	}
	linear := `{"a.weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]}, "b.weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [8, 16]}, "c.weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [16, 24]}}`
	graph := func(nodes ...onnx.Node) []byte {
		return (&onnx.Model{IRVersion: 8, Opsets: map[string]int64{"": 17}, Graph: onnx.Graph{
			Nodes: nodes, Inputs: []onnx.Value{{Name: "x", Element: onnx.Float64, Ranked: true, Shape: []int{-1, 2}}},
			Outputs: []onnx.Value{{Name: "y", Element: onnx.Float64}},
		}}).Bytes()
	}
	for want, c := range map[string]struct {
		name string
		data []byte
		s    Settings
	}{
		`ends in ".h5"; networks are read from .onnx`:        {"n.h5", nil, Settings{}},
		`may run code when it is read; write the weights as`: {"n.pt", nil, Settings{}},
		`is not a NumPy archive`:                             {"n.npz", []byte("no"), Settings{}},
		`no array "tau"; a network is A, theta, B, tau, c, c0, activation, and this one has: A, B, activation, c, c0, theta`: {"n.npz", npz(func(a map[string]*npy.Array) { delete(a, "tau") }), Settings{}},
		`"B" has shape (1, 2), but the layer before has 2 neurons`:                                                           {"n.npz", npz(func(a map[string]*npy.Array) { a["B"].Shape = []int{1, 2} }), Settings{}},
		`"theta" has shape (1,), but "A" has 2 columns`:                                                                      {"n.npz", npz(func(a map[string]*npy.Array) { a["theta"] = &npy.Array{Shape: []int{1}, Data: []float64{0}} }), Settings{}},
		`does not say the activation of hidden layer 1; name it with`:                                                        {"n.npz", npz(func(a map[string]*npy.Array) { delete(a, "activation") }), Settings{}},
		`there is no output 2; the file has 2, counted from 0`:                                                               {"n.npz", npz(func(map[string]*npy.Array) {}), Settings{Output: 2}},
		`is the identity, so that there is no such layer`:                                                                    {"n.npz", npz(func(a map[string]*npy.Array) { a["activation"].Text = []string{"identity"} }), Settings{}},
		`a weight of layer 1 is not a finite number`:                                                                         {"n.npz", npz(func(a map[string]*npy.Array) { a["A"].Data[1] = math.NaN() }), Settings{}},
		`or it is cut short: its header would have`:                                                                          {"n.safetensors", []byte("no header at all"), Settings{}},
		`its header is no JSON object`:                                                                                       {"n.safetensors", header(`[1, 2]`, 0), Settings{}},
		`"a.weight" is there twice`:                                                                                          {"n.safetensors", header(`{"a.weight": {"data_offsets": [0, 0]}, "a.weight": {}}`, 0), Settings{}},
		`at [0 8] of 7 bytes of data: the file is cut short`:                                                                 {"n.safetensors", header(linear, 7), Settings{}},
		`fit in more than one order; give it with --layers`:                                                                  {"n.safetensors", header(linear, 24), Settings{First: "tanh", Second: "tanh"}},
		`of the layers a, b, d the file has: a (1 to 1), b (1 to 1)`:                                                         {"n.safetensors", header(linear, 24), Settings{First: "tanh", Second: "tanh", Layers: []string{"a", "b", "d"}}},
		`of type I64; F64, F32, F16 and BF16 are read`:                                                                       {"n.safetensors", header(strings.Replace(linear, "F64", "I64", 1), 24), Settings{}},
		`"a.weight" of type F64 has shape [1 1] but 16 bytes`:                                                                {"n.safetensors", header(strings.Replace(linear, "[0, 8]", "[0, 16]", 1), 24), Settings{}},
		`"a.weight" has shape [1000000000000 1000000000000] but`:                                                             {"n.safetensors", header(strings.Replace(linear, "[1, 1]", "[1000000000000, 1000000000000]", 1), 24), Settings{}},
		`has shape [1]; a linear layer's has 2 dimensions`:                                                                   {"n.safetensors", header(strings.Replace(linear, "[1, 1]", "[1]", 1), 24), Settings{}},
		`"b.mean" is neither the weight nor the bias`:                                                                        {"n.safetensors", header(strings.Replace(linear, "b.weight", "b.mean", 1), 24), Settings{}},
		`has 2 linear layers (a (1 to 1), c (1 to 1))`:                                                                       {"n.safetensors", header(`{"a.weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]}, "c.weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [8, 16]}}`, 16), Settings{}},
		`this is no ONNX model`:                                                                                              {"n.onnx", []byte("no"), Settings{}},
		`the model has 0 hidden layers; a network of nnid's has two`:                                                         {"n.onnx", graph(onnx.Node{Op: "Neg", Inputs: []string{"x"}, Outputs: []string{"y"}}), Settings{}},
		`hidden layer 1: its activation, by Tanh, is none of these: sigmoid`:                                                 {"n.onnx", encode(t, ".onnx", n), Settings{Activations: known[1:2]}},
		`its activation, by Tanh, is none of these: sigmoid`:                                                                 {"n.onnx", encode(t, ".onnx", n), Settings{First: "sigmoid", Second: "tanh", Activations: known}},
	} {
		_, err := Read(t.Context(), save(t, c.name, c.data), c.s)
		if kind := fault.KindOf(err); err == nil || !strings.Contains(err.Error(), want) || kind != fault.Usage && kind != fault.Unsupported {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := Read(t.Context(), filepath.Join(t.TempDir(), "none.npz"), Settings{}); !fault.Is(err, fault.Usage) || strings.Count(err.Error(), "none.npz") != 1 {
		t.Error(err)
	}
	if err := Write(&bytes.Buffer{}, "n.onnx", example("powers", "tanh"), false); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "the activation powers of hidden layer 1 has no counterpart") {
		t.Error(err)
	}
	if err := Write(&bytes.Buffer{}, "n.npz", n, true); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

// Factors and summands before an activation, which belong to the layer, and such as are the activation's own.
func TestEntries(t *testing.T) {
	c := func(name string, values ...float64) onnx.Constant {
		return onnx.NewConstant(name, onnx.NewFloats(values, len(values)), false)
	}
	node := func(op, output string, inputs ...string) onnx.Node {
		return onnx.Node{Op: op, Inputs: inputs, Outputs: []string{output}}
	}
	m := &onnx.Model{IRVersion: 8, Opsets: map[string]int64{"": 17}, Graph: onnx.Graph{
		Nodes: []onnx.Node{
			// tanh(3 (2 x0 + x1) - 1), with a bias of one number, which could be the activation's
			node("MatMul", "a", "x", "v"), node("Mul", "b", "a", "three"), node("Sub", "d", "b", "one"), node("Tanh", "e", "d"),
			// gelu(5 e + 0.5), written with erf
			node("MatMul", "f", "e", "five"), node("Add", "g", "f", "half"), node("Div", "h", "g", "root"), node("Erf", "i", "h"),
			node("Add", "j", "i", "one"), node("Mul", "k", "g", "j"), node("Mul", "l", "k", "half"),
			node("MatMul", "n", "l", "two"), node("Add", "y", "n", "one"),
		},
		Initializers: []onnx.Constant{
			onnx.NewConstant("v", onnx.NewFloats([]float64{2, 1}, 2, 1), false), c("three", 3), c("one", 1), onnx.NewConstant("five", onnx.NewFloats([]float64{5}, 1, 1), false), onnx.NewConstant("two", onnx.NewFloats([]float64{2}, 1, 1), false), c("half", 0.5), c("root", math.Sqrt2),
		},
		Inputs:  []onnx.Value{{Name: "x", Element: onnx.Float64, Ranked: true, Shape: []int{-1, 2}}},
		Outputs: []onnx.Value{{Name: "y", Element: onnx.Float64}},
	}}
	n, err := fromONNX(t.Context(), m, Settings{Activations: known})
	if err != nil {
		t.Fatal(err)
	}
	want := network.New(2, 1, 1, "tanh", "gelu")
	want.First.Weight, want.First.Bias = mat.NewDense(1, 2, []float64{6, 3}), []float64{-1}
	want.Second.Weight, want.Second.Bias = mat.NewDense(1, 1, []float64{5}), []float64{0.5}
	want.Output, want.OutputBias = []float64{2}, 1
	if !bytes.Equal(encode(t, ".npz", n), encode(t, ".npz", want)) {
		t.Errorf("%+v", n)
	}
}

// Names of layers that say the order, and such that leave one order only.
func TestOrder(t *testing.T) {
	layer := func(name string, neurons, inputs int) dense {
		return dense{name: name, weight: mat.NewDense(neurons, inputs, nil), bias: make([]float64, neurons)}
	}
	for want, found := range map[string][]dense{
		"net.2 net.10 net.12":                       {layer("net.10", 3, 3), layer("net.12", 3, 3), layer("net.2", 3, 3)},
		"first second head":                         {layer("first", 5, 4), layer("head", 1, 3), layer("second", 3, 5)},
		"hidden1 hidden2 out":                       {layer("hidden1", 4, 4), layer("hidden2", 3, 4), layer("out", 1, 3)},
		"blocks.0.1.fc blocks.1.0.fc blocks.1.1.fc": {layer("blocks.0.1.fc", 2, 2), layer("blocks.1.0.fc", 2, 2), layer("blocks.1.1.fc", 2, 2)},
	} {
		ordered, err := order(found, nil)
		if got := ordered[0].name + " " + ordered[1].name + " " + ordered[2].name; err != nil || got != want {
			t.Errorf("got %s, want %s (%v)", got, want, err)
		}
	}
	ordered, err := order([]dense{layer("a", 3, 3), layer("b", 3, 3), layer("c", 3, 3)}, []string{"c", "a", "b"})
	if err != nil || ordered[0].name != "c" || ordered[2].name != "b" {
		t.Error(ordered, err)
	}
}

// The library of safetensors reads what is written here and the other way round, in every type of floating point.
func TestSafetensorsLibrary(t *testing.T) {
	python := os.Getenv("NNID_TEST_PYTHON")
	if python == "" {
		const remedy = "THIS TEST DID NOT RUN: the variable NNID_TEST_PYTHON names no Python; CONTRIBUTING.md says how to make one"
		if os.Getenv("CI") != "" {
			t.Fatal(remedy)
		}
		t.Skip(remedy)
	}
	path := save(t, "n.safetensors", encode(t, ".safetensors", example("tanh", "sine")))
	command := exec.CommandContext(t.Context(), python, "-c", `
import ml_dtypes, numpy as np, safetensors.numpy as st
n = st.load_file("n.safetensors")
assert {k: v.shape for k, v in n.items()} == {"0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4), "2.bias": (2,), "4.weight": (1, 2), "4.bias": (1,)}
assert n["0.weight"][0, 1] == np.sin(4.0) and n["4.bias"][0] == 0.25
for name, dtype in ("F64", "f8"), ("F32", "f4"), ("F16", "f2"), ("BF16", ml_dtypes.bfloat16):
    # Numbers that every type has.
    st.save_file({"fc1.weight": np.array([[1.5, -2], [0.25, 2**-14 * 3]]).astype(dtype), "fc1.bias": np.array([1, 2]).astype(dtype),
                  "fc2.weight": np.array([[3, -0.5]]).astype(dtype), "head.weight": np.array([[4], [5]]).astype(dtype),
                  "head.bias": np.array([6, 7]).astype(dtype)}, name + ".safetensors", {"format": "np"})
`)
	command.Dir = filepath.Dir(path)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, name := range []string{"F64", "F32", "F16", "BF16"} {
		n, err := Read(t.Context(), filepath.Join(filepath.Dir(path), name+".safetensors"), Settings{
			First: "tanh", Second: "sine", Output: 1, Layers: []string{"fc1", "fc2", "head"},
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := network.New(2, 2, 1, "tanh", "sine")
		want.First.Weight = mat.NewDense(2, 2, []float64{1.5, -2, 0.25, math.Ldexp(3, -14)})
		want.First.Bias, want.Second.Weight, want.Output, want.OutputBias = []float64{1, 2}, mat.NewDense(1, 2, []float64{3, -0.5}), []float64{5}, 7
		if !bytes.Equal(encode(t, ".npz", n), encode(t, ".npz", want)) {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(encode(f, ".safetensors", example("tanh", "tanh")))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseSafetensors(data, Settings{First: "tanh", Second: "tanh"})
		check(t, n, err)
	})
}

func FuzzNPZ(f *testing.F) {
	f.Add(encode(f, ".npz", example("tanh", "tanh")))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseNPZ(bytes.NewReader(data), int64(len(data)), Settings{})
		check(t, n, err)
	})
}

func check(t *testing.T, n *network.Network, err error) {
	t.Helper()
	if kind := fault.KindOf(err); err != nil && kind != fault.Usage && kind != fault.Unsupported {
		t.Errorf("an error of kind %s: %v", kind, err)
	}
	if err == nil && n.Check() != nil {
		t.Errorf("a network that is none: %v", n.Check())
	}
}
