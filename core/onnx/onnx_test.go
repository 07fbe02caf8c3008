package onnx

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nnid/nnid/core/fault"
)

// model is y = W tanh(x V + b) with everything else that a file may have.
func model(nodes ...Node) *Model {
	return &Model{
		IRVersion: 8, Producer: "nnid test", Opsets: map[string]int64{"": 17, "ai.onnx.ml": 3},
		Graph: Graph{
			Name: "g", Nodes: nodes,
			Initializers: []Constant{
				NewConstant("V", NewFloats([]float64{1, 2, 3, 4, 5, 6}, 3, 2), false),
				NewConstant("b", NewFloats([]float64{0.5, -0.5}, 2), true),
				NewConstant("W", NewFloats([]float64{2, -1}, 1, 2), false),
				NewConstant("shape", NewInts([]int64{-1}, 1), false),
			},
			Inputs:  []Value{{Name: "x", Element: Float64, Shape: []int{-1, 3}, Ranked: true}},
			Outputs: []Value{{Name: "y", Element: Float64}},
		},
	}
}

var dense = []Node{
	{Name: "first", Op: "MatMul", Inputs: []string{"x", "V"}, Outputs: []string{"u"}},
	{Op: "Add", Inputs: []string{"u", "b"}, Outputs: []string{"v"}},
	{Op: "Tanh", Inputs: []string{"v"}, Outputs: []string{"w"}},
	{Op: "Gemm", Inputs: []string{"w", "W"}, Outputs: []string{"z"}, Attributes: []Attribute{
		{Name: "transB", Type: AttributeInt, Int: 1}, {Name: "alpha", Type: AttributeFloat, Float: 0.5},
	}},
	{Op: "Reshape", Inputs: []string{"z", "shape"}, Outputs: []string{"y"}},
}

func run(t *testing.T, m *Model, x ...float64) (*Tensor, error) {
	t.Helper()
	p, err := NewProgram(t.Context(), m, "", Limits{})
	if err != nil {
		return nil, err
	}
	return p.Run(t.Context(), NewFloats(x, len(x)/3, 3))
}

func TestDense(t *testing.T) {
	m := model(dense...)
	data := m.Bytes()
	again, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Bytes(), data) {
		t.Error("a model that is written, read and written again differs")
	}
	x := []float64{0.1, -0.2, 0.05, 0, 0, 0}
	got, err := run(t, again, x...)
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{}
	for i := 0; i < len(x); i += 3 {
		u := math.Tanh(x[i] + 3*x[i+1] + 5*x[i+2] + 0.5)
		v := math.Tanh(2*x[i] + 4*x[i+1] + 6*x[i+2] - 0.5)
		want = append(want, 0.5*(2*u-v))
	}
	if !slices.Equal(got.Shape, []int{2}) || math.Abs(got.Floats[0]-want[0]) > 1e-15 || math.Abs(got.Floats[1]-want[1]) > 1e-15 {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What a file can have wrong is a sentence that names the node.
func TestErrors(t *testing.T) {
	with := func(change func(*Model)) *Model {
		m := model(slices.Clone(dense)...)
		change(m)
		return m
	}
	for want, c := range map[string]struct {
		kind fault.Kind
		m    *Model
	}{
		`node "c1" (Conv): this operator is none of those of dense networks`: {fault.Unsupported, model(Node{Name: "c1", Op: "Conv", Inputs: []string{"x"}, Outputs: []string{"y"}})},
		`the node of "y" (com.microsoft.Gelu): this operator is none`:        {fault.Unsupported, model(Node{Op: "Gelu", Domain: "com.microsoft", Inputs: []string{"x"}, Outputs: []string{"y"}})},
		`(ArgMax) gives labels of x. A label says too little`:                {fault.Unsupported, model(Node{Op: "ArgMax", Inputs: []string{"x"}, Outputs: []string{"y"}})},
		`no output of floating point, only: "y" of int64`:                    {fault.Unsupported, with(func(m *Model) { m.Graph.Outputs[0].Element = Int64 })},
		`more than one output; say which is meant: "y" of float64; "z" of float32, shape (any, 2)`: {fault.Usage, with(func(m *Model) {
			m.Graph.Outputs = append(m.Graph.Outputs, Value{Name: "z", Element: Float32, Ranked: true, Shape: []int{-1, 2}})
		})},
		"opset 6, older than 7":           {fault.Unsupported, with(func(m *Model) { m.Opsets[""] = 6 })},
		"opset 99, newer than":            {fault.Unsupported, with(func(m *Model) { m.Opsets[""] = 99 })},
		`calls a function that the model`: {fault.Unsupported, with(func(m *Model) { m.Functions = []string{".Tanh"} })},
		`node "first" (MatMul): its inputs, 1 x 3 and 2, do not fit`: {fault.Usage, with(func(m *Model) {
			m.Graph.Nodes[0].Inputs = []string{"x", "b"}
		})},
		`takes "nowhere", which is neither`:    {fault.Usage, with(func(m *Model) { m.Graph.Nodes[0].Inputs = []string{"nowhere", "V"} })},
		`takes "w", which only a later node`:   {fault.Usage, with(func(m *Model) { m.Graph.Nodes[1].Inputs = []string{"u", "w"} })},
		`takes 2 to 2`:                         {fault.Usage, with(func(m *Model) { m.Graph.Nodes[0].Inputs = []string{"x"} })},
		`no node gives the output "y"`:         {fault.Usage, with(func(m *Model) { m.Graph.Nodes = m.Graph.Nodes[:4] })},
		`"u" is the output of two nodes`:       {fault.Usage, with(func(m *Model) { m.Graph.Nodes[1].Outputs = []string{"u"} })},
		`its attribute "transB" is of type 1`:  {fault.Usage, with(func(m *Model) { m.Graph.Nodes[3].Attributes = []Attribute{{Name: "transB", Type: AttributeFloat}} })},
		`is sparse, which is not read`:         {fault.Usage, with(func(m *Model) { m.Graph.Initializers[0].sparse = true })},
		`"V" is of string, which is not read`:  {fault.Usage, with(func(m *Model) { m.Graph.Initializers[0].Element = Text })},
		`3 x 3, has 48 bytes instead of 72`:    {fault.Usage, with(func(m *Model) { m.Graph.Initializers[0].Shape = []int64{3, 3} })},
		`training mode`:                        {fault.Usage, model(Node{Op: "Dropout", Inputs: []string{"x", "", "b"}, Outputs: []string{"y"}})},
		`(Expand): its result, 2000000000 x 2`: {fault.Unsupported, model(Node{Op: "Constant", Outputs: []string{"s"}, Attributes: []Attribute{{Name: "value_ints", Type: AttributeInts, Ints: []int64{2e9, 2e9, 3}}}}, Node{Op: "Expand", Inputs: []string{"x", "s"}, Outputs: []string{"y"}})},
	} {
		if _, err := run(t, c.m, 1, 2, 3); err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, c.kind) {
			t.Errorf("want a fault of kind %s with %q, got %v", c.kind, want, err)
		}
	}
}

// Nodes that the output does not depend on may be anything.
func TestUnusedNodes(t *testing.T) {
	m := model(append(slices.Clone(dense), Node{Op: "ArgMax", Inputs: []string{"w"}, Outputs: []string{"label"}})...)
	m.Graph.Outputs = append(m.Graph.Outputs, Value{Name: "label", Element: Int64})
	if _, err := run(t, m, 1, 2, 3); err != nil {
		t.Error(err)
	}
}

// A value between the nodes can be asked too.
func TestBetween(t *testing.T) {
	p, err := NewProgram(t.Context(), model(dense...), "u", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Run(t.Context(), NewFloats([]float64{1, 0, 0}, 1, 3))
	if err != nil || !slices.Equal(got.Floats, []float64{1, 2}) {
		t.Error(got, err)
	}
	if _, err := NewProgram(t.Context(), model(dense...), "nowhere", Limits{}); err == nil || !strings.Contains(err.Error(), `no output "nowhere"`) {
		t.Error(err)
	}
}

func TestCancelled(t *testing.T) {
	p, err := NewProgram(t.Context(), model(dense...), "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ctx, NewFloats([]float64{1, 2, 3}, 1, 3)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A file can't make an evaluation take more than it is granted.
func TestLimits(t *testing.T) {
	square := NewFloats(make([]float64, 300*300), 300, 300)
	m := model(Node{Op: "MatMul", Inputs: []string{"S", "S"}, Outputs: []string{"y"}})
	m.Graph.Initializers = append(m.Graph.Initializers, NewConstant("S", square, false))
	if _, err := NewProgram(t.Context(), m, "", Limits{Work: 300 * 300 * 300}); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "more arithmetic") {
		t.Error(err)
	}
	if _, err := NewProgram(t.Context(), m, "", Limits{Elements: 300*300 - 1}); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "more memory") {
		t.Error(err)
	}
	if _, err := NewProgram(t.Context(), m, "", Limits{Work: 300*300*300 + 300*300, Elements: 300 * 300}); err != nil {
		t.Error(err)
	}
}

// Data beside the model is read from its folder and from nowhere else.
func TestExternalData(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "model")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	m := model(dense...)
	v := &m.Graph.Initializers[0]
	raw := v.raw
	for path, data := range map[string][]byte{"model/v.data": append(make([]byte, 7), raw...), "secret": raw} {
		if err := os.WriteFile(filepath.Join(folder, "..", path), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ location, offset, length, want string }{
		{"v.data", "7", "", ""},
		{"v.data", "7", "48", ""},
		{"v.data", "7", "49", "cut short"},
		{"v.data", "56", "", "cut short"},
		{"v.data", "8", "", "has 47 bytes instead of 48"},
		{"v.data", "-1", "", `the offset of its data, "-1"`},
		{"v.data", "0", "many", `the length of its data, "many"`},
		{"../secret", "0", "", `its data, in the file "../secret" beside the model, cannot be read`},
		{"link", "0", "", "cannot be read"},
		{"nowhere", "0", "", "no such file"},
		{".", "0", "", "no regular file"},
	} {
		path := filepath.Join(folder, "m.onnx")
		if err := os.WriteFile(path, withExternal(m, c.location, c.offset, c.length), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(path)
		if err == nil {
			_, err = got.Graph.Initializers[0].Tensor()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// withExternal encodes the model with the data of its first constant elsewhere.
func withExternal(m *Model, location, offset, length string) []byte {
	var tensor message
	tensor.integer(tensorDims, 3)
	tensor.integer(tensorDims, 2)
	tensor.integer(tensorElement, int64(Float64))
	tensor.text(tensorName, "V")
	tensor.integer(tensorLocation, locationExternal)
	for _, pair := range [][2]string{{"location", location}, {"offset", offset}, {"length", length}} {
		var entry message
		entry.text(entryKey, pair[0])
		entry.text(entryValue, pair[1])
		tensor.bytes(tensorExternal, entry)
	}
	rest := *m
	rest.Graph.Initializers = rest.Graph.Initializers[1:]
	var graph, out message
	graph.bytes(graphInitializer, tensor)
	graph = append(graph, rest.Graph.bytes()...)
	out.integer(modelIRVersion, 8)
	out.bytes(modelGraph, graph)
	var opset message
	opset.integer(opsetVersion, 17)
	out.bytes(modelOpset, opset)
	return out
}

// FuzzModel reads anything and evaluates what it can: nothing panics, nothing takes more than it is granted.
func FuzzModel(f *testing.F) {
	f.Add(model(dense...).Bytes())
	f.Add(withExternal(model(dense...), "v.data", "7", "48"))
	for name := range operators {
		n := Node{Op: name, Inputs: []string{"x", "shape"}, Outputs: []string{"y"}, Attributes: []Attribute{
			{Name: "axis", Type: AttributeInt, Int: -1}, {Name: "axes", Type: AttributeInts, Ints: []int64{0, -1}},
			{Name: "value", Type: AttributeTensor, Tensor: NewConstant("", NewInts([]int64{1}, 1), false)},
		}}
		if at := strings.LastIndex(name, "."); at >= 0 {
			n.Domain, n.Op = name[:at], name[at+1:]
		}
		f.Add(model(n).Bytes())
	}
	limits := Limits{Work: 1 << 20, Elements: 1 << 16}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(data)
		if err != nil {
			if !fault.Is(err, fault.Usage) {
				t.Errorf("not a usage fault: %v", err)
			}
			return
		}
		for _, output := range m.Graph.Outputs {
			p, err := NewProgram(t.Context(), m, output.Name, limits)
			if err != nil {
				continue
			}
			var inputs []*Tensor
			for _, v := range p.Inputs {
				shape := []int{}
				for _, n := range v.Shape {
					shape = append(shape, min(max(n, 1), 3))
				}
				shape = shape[:min(len(shape), 4)]
				inputs = append(inputs, NewFloats(make([]float64, volumeOf(shape)), shape...))
			}
			if got, err := p.Run(t.Context(), inputs...); err == nil && got.Len() != volumeOf(got.Shape) {
				t.Errorf("%d elements in the shape %v", got.Len(), got.Shape)
			}
		}
		if again, err := Read(m.Bytes()); err != nil {
			t.Errorf("what was read and written can't be read again: %v", err)
		} else if len(again.Graph.Nodes) != len(m.Graph.Nodes) {
			t.Error("nodes are lost")
		}
	})
}
