package onnx

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/onnx"
	"github.com/nnid/nnid/sdk/plugintest"
)

func openFile(t *testing.T, path string, options ...string) (core.Oracle, error) {
	t.Helper()
	given := core.Options{"file": path}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		given[name] = value
	}
	resolved, err := Factory.Resolve(core.KindOracle, given)
	if err != nil {
		t.Fatal(err)
	}
	return Factory.Open(resolved)
}

// Files by both of PyTorch's exporters, single precision among them, have the values that PyTorch computes in float64.
func TestTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/torch/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]struct {
		X [][]float64 `json:"x"`
		Y []float64   `json:"y"`
	}
	if err := json.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("testdata/torch/*.onnx")
	if err != nil || len(paths) != len(values) {
		t.Fatalf("%d files and values for %d (%v)", len(paths), len(values), err)
	}
	models := map[string]string{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		t.Run(name, func(t *testing.T) {
			o, err := openFile(t, path)
			if err != nil {
				t.Fatal(err)
			}
			want := values[name]
			d := len(want.X[0])
			info, err := o.Info(t.Context())
			if err != nil || info.Inputs != d || info.Outputs != 1 || info.DType != core.FP64 {
				t.Errorf("%+v, %v", info, err)
			}
			if same, twice := models[info.Model]; twice {
				t.Errorf("it is the same model as %s", same)
			}
			models[info.Model] = name
			x := mat.NewDense(len(want.X), d, nil)
			for i, row := range want.X {
				x.SetRow(i, row)
			}
			y, err := o.Query(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			tolerance := 1e-14
			if name == "tanh-normalised" {
				tolerance = 1e-13 // its epsilon, an attribute, is in the file as float32
			}
			for i, v := range want.Y {
				if got := y.At(i, 0); !(math.Abs(got-v) <= tolerance) {
					t.Errorf("row %d: got %.17g, want %.17g", i, got, v)
				}
			}
			if err := plugintest.CheckOracle(t.Context(), o, d); err != nil {
				t.Error(err)
			}
		})
	}
}

// write writes a model of the nodes, with an input x and an output y described as given, and W of 2 x 2.
func write(t *testing.T, x, y onnx.Value, nodes ...onnx.Node) string {
	t.Helper()
	x.Name, y.Name = "x", "y"
	m := &onnx.Model{IRVersion: 8, Opsets: map[string]int64{"": 17}, Graph: onnx.Graph{
		Name: "g", Nodes: nodes, Inputs: []onnx.Value{x}, Outputs: []onnx.Value{y},
		Initializers: []onnx.Constant{onnx.NewConstant("W", onnx.NewFloats([]float64{1, 2, 3, 4}, 2, 2), false)},
	}}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	open2  = onnx.Value{Element: onnx.Float64, Ranked: true, Shape: []int{-1, 2}}
	bare   = onnx.Value{Element: onnx.Float64}
	linear = onnx.Node{Op: "MatMul", Inputs: []string{"x", "W"}, Outputs: []string{"y"}}
)

func TestShapes(t *testing.T) {
	for name, c := range map[string]struct {
		x    onnx.Value
		node onnx.Node
		want []float64 // at (1, 10)
	}{
		"rows":                                   {open2, linear, []float64{31, 42}},
		"not said":                               {bare, linear, []float64{31, 42}},
		"not fixed":                              {onnx.Value{Element: onnx.Float32, Ranked: true, Shape: []int{-1, -1}}, linear, []float64{31, 42}},
		"a vector":                               {onnx.Value{Element: onnx.Float32, Ranked: true, Shape: []int{2}}, linear, []float64{31, 42}},
		"pictures":                               {onnx.Value{Element: onnx.Float32, Ranked: true, Shape: []int{-1, 2, 1}}, onnx.Node{Op: "Flatten", Inputs: []string{"x"}, Outputs: []string{"y"}}, []float64{1, 10}},
		"a sum of all, which is that of one row": {open2, onnx.Node{Op: "ReduceSum", Inputs: []string{"x"}, Outputs: []string{"y"}}, []float64{11}},
		"three rows":                             {onnx.Value{Element: onnx.Float32, Ranked: true, Shape: []int{3, 2}}, linear, []float64{31, 42}},
	} {
		o, err := openFile(t, write(t, c.x, bare, c.node))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		y, err := o.Query(t.Context(), mat.NewDense(2, 2, []float64{0, 0, 1, 10}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !mat.Equal(y.Slice(1, 2, 0, len(c.want)), mat.NewDense(1, len(c.want), c.want)) {
			t.Errorf("%s: %v", name, mat.Formatted(y))
		}
		if err := plugintest.CheckOracle(t.Context(), o, 2); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	folder := t.TempDir()
	garbage := filepath.Join(folder, "garbage.onnx")
	if err := os.WriteFile(garbage, []byte("PK\x03\x04 not this"), 0o600); err != nil {
		t.Fatal(err)
	}
	node := func(op string, inputs ...string) onnx.Node {
		return onnx.Node{Name: "n", Op: op, Inputs: inputs, Outputs: []string{"y"}}
	}
	shaped := func(shape ...int) onnx.Value { return onnx.Value{Element: onnx.Float32, Ranked: true, Shape: shape} }
	for want, path := range map[string]string{
		"cannot be read: no such file":                      filepath.Join(folder, "nowhere.onnx"),
		"cannot be read: it is no regular file":             folder,
		"garbage.onnx: this is no ONNX model":               garbage,
		`node "n" (Conv): this operator is none`:            write(t, open2, bare, node("Conv", "x")),
		`node "n" (ArgMax) gives labels of x`:               write(t, open2, bare, node("ArgMax", "x")),
		`node "n" (MatMul): its inputs, 1 x 3 and 2 x 2`:    write(t, shaped(-1, 3), bare, node("MatMul", "x", "W")),
		`of int64, shape (any, 2) is not of floating point`: write(t, onnx.Value{Element: onnx.Int64, Ranked: true, Shape: []int{-1, 2}}, bare, node("Identity", "x")),
		`is a single number`:                                write(t, shaped(), bare, node("Identity", "x")),
		`does not say how many numbers make a row`:          write(t, shaped(-1, 2, -1), bare, node("Identity", "x")),
		`shape (any, 1000000, 1000000) is too large`:        write(t, shaped(-1, 1e6, 1e6), bare, node("Identity", "x")),
		`shape (1000000000, 2) is too large`:                write(t, shaped(1e9, 2), bare, node("Identity", "x")),
		`depends on 0 inputs instead of one`:                write(t, open2, bare, node("Identity", "W")),
		`does not hold something for each row`:              write(t, shaped(3, 2), bare, node("ReduceSum", "x")),
		`the output "y" holds integers`:                     write(t, open2, bare, node("Shape", "x")),
	} {
		if _, err := openFile(t, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		} else if kind := fault.KindOf(err); kind != fault.Usage && kind != fault.Unsupported {
			t.Errorf("of kind %v: %v", kind, err)
		}
	}
	if _, err := openFile(t, write(t, open2, bare, linear), "output=z"); err == nil || !strings.Contains(err.Error(), `no output "z"; it has: "y" of float64`) {
		t.Error(err)
	}
}

// BenchmarkQuery measures a row of a network of 6 inputs and 5 + 3 neurons.
func BenchmarkQuery(b *testing.B) {
	m, err := onnx.ReadFile("testdata/torch/tanh-dynamo.onnx")
	if err != nil {
		b.Fatal(err)
	}
	o, err := newOracle(m, "")
	if err != nil {
		b.Fatal(err)
	}
	x := mat.NewDense(1000, 6, nil)
	for b.Loop() {
		if _, err := o.Query(b.Context(), x); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
}
