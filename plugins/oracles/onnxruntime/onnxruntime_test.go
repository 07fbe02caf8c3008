// Package onnxruntime_test compares the plugin nnid-plugin-onnxruntime, which is in Python, with the oracle onnx, which is in
// Go: they have nothing in common but the files.
package onnxruntime_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/files"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/plugins/oracles"
	"github.com/nnid/nnid/sdk"
	"github.com/nnid/nnid/sdk/plugintest"
)

// needPython returns a Python with ONNX Runtime, and puts it first on the path, where the plugin finds it. Without one the test is
// skipped, but never in CI.
func needPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("NNID_TEST_PYTHON")
	if python == "" {
		const remedy = "THIS TEST DID NOT RUN: the variable NNID_TEST_PYTHON names no Python; CONTRIBUTING.md says how to make one"
		if os.Getenv("CI") != "" {
			t.Fatal(remedy)
		}
		t.Skip(remedy)
	}
	t.Setenv("PATH", filepath.Dir(python)+string(os.PathListSeparator)+os.Getenv("PATH"))
	return python
}

// backends opens oracles of both kinds.
type backends struct {
	runtime *host.Host
	builtin host.InProcess
}

func newBackends(t *testing.T) *backends {
	t.Helper()
	needPython(t)
	plugin, err := filepath.Abs("nnid-plugin-onnxruntime")
	if err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Settings{PluginPath: []string{plugin}})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return &backends{h, host.InProcess{Plugin: sdk.Plugin{Oracles: oracles.All()}}}
}

func ask(t *testing.T, o core.Oracle, x *mat.Dense) *mat.Dense {
	t.Helper()
	y, err := o.Query(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// distance is the largest difference, relative where values are beyond 1.
func distance(a, b *mat.Dense) float64 {
	worst := 0.0
	rows, columns := a.Dims()
	if r, c := b.Dims(); r != rows || c != columns {
		return math.Inf(1)
	}
	for i := range rows {
		for j := range columns {
			worst = math.Max(worst, math.Abs(a.At(i, j)-b.At(i, j))/math.Max(1, math.Abs(b.At(i, j))))
		}
	}
	return worst
}

// points are exact in single precision, so that both arithmetics are asked at the same.
func points(rows, columns int) *mat.Dense {
	random := rand.New(rand.NewPCG(2, 7))
	x := mat.NewDense(rows, columns, nil)
	x.Apply(func(_, _ int, _ float64) float64 { return float64(float32(2 * random.NormFloat64())) }, x)
	return x
}

// compare opens a file with both and returns how far their answers are apart; refused says that ONNX Runtime has no such kernels.
func (b *backends) compare(t *testing.T, options core.Options) (difference float64, dtype core.DType, refused bool) {
	t.Helper()
	ours, err := b.builtin.Oracle(t.Context(), "onnx", options)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := b.runtime.Oracle(t.Context(), "onnxruntime", options)
	if fault.Is(err, fault.Unsupported) && strings.Contains(err.Error(), "ONNX Runtime has no implementation of") {
		return 0, "", true
	}
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	info, err := theirs.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known, err := ours.Info(t.Context())
	if err != nil || info.Inputs != known.Inputs || info.Outputs != known.Outputs {
		t.Errorf("ONNX Runtime has %+v, we have %+v (%v)", info, known, err)
	}
	x := points(50, known.Inputs)
	return distance(ask(t, ours, x), ask(t, theirs, x)), info.DType, false
}

// tolerance is the rounding of a small network in an arithmetic.
var tolerance = map[core.DType]float64{core.FP64: 1e-14, core.FP32: 2e-6}

// Files by both of PyTorch's exporters.
func TestTorch(t *testing.T) {
	b := newBackends(t)
	paths, err := filepath.Glob("../onnx/testdata/torch/*.onnx")
	if err != nil || len(paths) < 20 {
		t.Fatal(paths, err)
	}
	var refused []string
	worst := map[core.DType]float64{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		d, dtype, no := b.compare(t, core.Options{"file": path})
		if no {
			refused = append(refused, name)
		} else if limit := tolerance[dtype]; !(d <= limit) {
			t.Errorf("%s, %s: %g apart, more than %g", name, dtype, d, limit)
		} else {
			worst[dtype] = max(worst[dtype], d)
		}
	}
	t.Logf("largest difference of the two: %v", worst)
	// A new version of ONNX Runtime may know more; then this list, docs/onnx.md and files.Missing64 get shorter.
	want := []string{
		"arctan-dynamo", "arctan-script", "erf-dynamo", "erf-script", "gelu-dynamo", "gelu-script", "softplus-dynamo", "softplus-script",
	}
	if !slices.Equal(refused, want) {
		t.Errorf("ONNX Runtime refuses %v, expected %v", refused, want)
	}
}

// Models that scikit-learn trained, written by skl2onnx: both oracles answer what scikit-learn does.
func TestScikitLearn(t *testing.T) {
	b := newBackends(t)
	folder := t.TempDir()
	command := exec.CommandContext(t.Context(), needPython(t), "testdata/sklearn_models.py", folder)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	data, err := os.ReadFile(filepath.Join(folder, "values.json"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]struct {
		X, Y   [][]float64
		Output string
		Single bool
	}
	if err := json.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		options := core.Options{"file": filepath.Join(folder, name+".onnx"), "output": v.Output}
		ours, err := b.builtin.Oracle(t.Context(), "onnx", options)
		theirs, theirError := b.runtime.Oracle(t.Context(), "onnxruntime", options)
		if name == "classifier-labels" || name == "classifier-zipmap" {
			for _, err := range []error{err, theirError} {
				if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "A label says too little of a function to identify it") {
					t.Errorf("%s: %v", name, err)
				}
			}
			continue
		}
		if err != nil || theirError != nil {
			t.Errorf("%s: %v, %v", name, err, theirError)
			continue
		}
		if name == "classifier" { // its scores are between the nodes
			scores, err := b.builtin.Oracle(t.Context(), "onnx", core.Options{"file": options["file"], "output": "add_result2"})
			if err != nil {
				t.Fatal(err)
			}
			x := points(5, 30)
			z, p := ask(t, scores, x), ask(t, ours, x)
			for i := range 5 {
				if want := 1 / (1 + math.Exp(-z.At(i, 0))); math.Abs(p.At(i, 1)-want) > 1e-15 {
					t.Errorf("a score of %g makes a probability of %g, want %g", z.At(i, 0), p.At(i, 1), want)
				}
			}
		}
		x, want := mat.NewDense(len(v.X), len(v.X[0]), slices.Concat(v.X...)), mat.NewDense(len(v.Y), len(v.Y[0]), slices.Concat(v.Y...))
		// A file in single precision has rounded weights, whoever evaluates it.
		limit := 1e-13
		if v.Single {
			limit = 5e-6
		}
		for which, o := range map[string]core.Oracle{"onnx": ours, "onnxruntime": theirs} {
			d := distance(ask(t, o, x), want)
			t.Logf("%s: %s and scikit-learn are %.1e apart", name, which, d)
			if !(d <= limit) {
				t.Errorf("%s: %s and scikit-learn are %g apart, more than %g", name, which, d, limit)
			}
		}
	}
}

// Networks that nnid writes are taken by ONNX Runtime, and have the values of the network file: all activations that ONNX has
// operators for, both arithmetics.
func TestExport(t *testing.T) {
	b := newBackends(t)
	folder := t.TempDir()
	random := rand.New(rand.NewPCG(3, 1))
	written := 0
	for _, factory := range activations.All() {
		n := network.New(4, 6, 3, factory.Name, factory.Name)
		for _, part := range [][]float64{n.First.Weight.RawMatrix().Data, n.First.Bias, n.Second.Weight.RawMatrix().Data, n.Second.Bias, n.Output} {
			for i := range part {
				part[i] = random.NormFloat64()
			}
		}
		n.OutputBias = 0.5
		var content bytes.Buffer
		if err := n.Write(&content); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, factory.Name+".json")
		if err := os.WriteFile(file, content.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		original, err := b.builtin.Oracle(t.Context(), "network", core.Options{"file": file})
		if err != nil {
			t.Fatal(err)
		}
		for _, single := range []bool{false, true} {
			content.Reset()
			if err := files.Write(&content, "n.onnx", n, single); fault.Is(err, fault.Unsupported) {
				t.Log(err)
				break
			} else if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, fmt.Sprintf("%s-%v.onnx", factory.Name, single))
			if err := os.WriteFile(path, content.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			d, dtype, refused := b.compare(t, core.Options{"file": path})
			if missing := !single && slices.Contains(files.Missing64, factory.Name); refused != missing {
				t.Errorf("%s, single %v: refused by ONNX Runtime: %v, expected: %v", factory.Name, single, refused, missing)
			}
			t.Logf("%s, single %v: refused %v, %.1e apart", factory.Name, single, refused, d)
			if !refused && !(d <= 10*tolerance[dtype]) {
				t.Errorf("%s, %s: ONNX Runtime and we are %g apart", factory.Name, dtype, d)
			}
			ours, err := b.builtin.Oracle(t.Context(), "onnx", core.Options{"file": path})
			if err != nil {
				t.Fatal(err)
			}
			limit := 1e-14
			if single {
				limit = 1e-5 // the weights are rounded
			}
			written++
			x := points(50, 4)
			if d := distance(ask(t, ours, x), ask(t, original, x)); !(d <= limit) {
				t.Errorf("%s, single %v: the file and the network are %g apart", factory.Name, single, d)
			}
		}
	}
	if written < 2*9 {
		t.Errorf("%d files were written", written)
	}
}

// The plugin keeps the contract of oracles, whatever the shapes.
func TestConformance(t *testing.T) {
	b := newBackends(t)
	for _, name := range []string{"tanh-dynamo", "tanh-dynamo-single", "tanh-one-row", "tanh-four-rows", "tanh-vector", "sigmoid-external"} {
		o, err := b.runtime.Oracle(t.Context(), "onnxruntime", core.Options{"file": "../onnx/testdata/torch/" + name + ".onnx"})
		if err != nil {
			t.Fatal(err)
		}
		if err := plugintest.CheckOracle(t.Context(), o, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, options := range map[string]core.Options{
		"there is no ONNX file nowhere.onnx":   {"file": "nowhere.onnx"},
		"ONNX Runtime can't load":              {"file": "nnid-plugin-onnxruntime"},
		"threads='0' must be":                  {"file": "../onnx/testdata/torch/tanh-dynamo.onnx", "threads": "0"},
		"has no output 'z'; it has: 'y' of te": {"file": "../onnx/testdata/torch/tanh-dynamo.onnx", "output": "z"},
	} {
		if _, err := b.runtime.Oracle(t.Context(), "onnxruntime", options); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
