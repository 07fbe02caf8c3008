package onnx

import (
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// needPython returns a Python with the packages of .ci/requirements.txt. Without one the test is skipped, but never in CI.
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
	return python
}

func script(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), needPython(t), args...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return string(output)
}

// The numbers of the fields are those of the onnx package.
func TestFieldNumbers(t *testing.T) {
	official := map[string]bool{}
	for line := range strings.Lines(script(t, "testdata/fields.py")) {
		official[strings.TrimSpace(line)] = true
	}
	for message, fields := range fieldNames {
		for name, number := range fields {
			if line := fmt.Sprint(message, " ", name, " ", number); !official[line] {
				t.Errorf("onnx.proto does not have %s", line)
			}
		}
	}
}

// Tensors of every type are read as the onnx package reads them, as bytes and in the fields of the type.
func TestTensors(t *testing.T) {
	folder := t.TempDir()
	types := 0
	for line := range strings.Lines(script(t, "testdata/tensors.py", folder)) {
		words := strings.Fields(line)
		types++
		for _, ending := range []string{"raw", "fields"} {
			tensor := readTensor(t, filepath.Join(folder, words[0]+"-"+ending+".pb"))
			if !slices.Equal(tensor.Shape, []int{len(words) - 1}) {
				t.Errorf("%s, %s: shape %v", words[0], ending, tensor.Shape)
				continue
			}
			for i, word := range words[1:] {
				if want, err := strconv.ParseFloat(word, 64); err != nil || tensor.at(i) != want {
					t.Errorf("%s, %s: element %d is %v, want %s", words[0], ending, i, tensor.at(i), word)
				}
			}
		}
	}
	if types != 13 {
		t.Errorf("%d types", types)
	}
}

// notCases are official cases of operators evaluated here that are not.
var notCases = map[string]string{
	"test_reduce_max_empty_set_bool": "the largest of no truth values is false, but of no integers it is none, and truth values are integers here",
}

// The official test cases of every operator.
func TestOfficialCases(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds to write the cases")
	}
	folder := t.TempDir()
	script(t, append([]string{"testdata/official.py", folder}, slices.Sorted(maps.Keys(operators))...)...)
	cases, err := filepath.Glob(filepath.Join(folder, "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	tested, ran := map[string]bool{}, 0
	for _, path := range cases {
		name := filepath.Base(filepath.Dir(path))
		if notCases[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m, err := ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// What has not changed since an older version, as Not, has only cases of that.
			m.Opsets[""] = max(m.Opsets[""], OldestOpset)
			for k, output := range m.Graph.Outputs {
				p, err := NewProgram(t.Context(), m, output.Name, Limits{})
				if err != nil {
					t.Fatal(err)
				}
				var inputs []*Tensor
				for _, v := range p.Inputs {
					at := slices.IndexFunc(m.Graph.Inputs, func(w Value) bool { return v.Name == w.Name })
					inputs = append(inputs, readTensor(t, filepath.Join(filepath.Dir(path), fmt.Sprintf("input_%d.pb", at))))
				}
				got, err := p.Run(t.Context(), inputs...)
				if err != nil {
					t.Fatal(err)
				}
				compareTensors(t, got, readTensor(t, filepath.Join(filepath.Dir(path), fmt.Sprintf("output_%d.pb", k))), output.Element)
			}
			for _, n := range m.Graph.Nodes {
				tested[n.Op] = true
			}
			ran++
		})
	}
	t.Logf("%d cases of %d operators", ran, len(tested))
	for name := range operators {
		if !tested[name] && !strings.HasPrefix(name, "ai.onnx.ml.") {
			t.Errorf("no official case of %s passed", name)
		}
	}
}

func readTensor(t *testing.T, path string) *Tensor {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tensor, err := ReadTensor(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return tensor
}

// compareTensors allows for the rounding of what is expected, in the element type of the model.
func compareTensors(t *testing.T, got, want *Tensor, element Element) {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) || got.Integer != want.Integer {
		t.Fatalf("shape %v (integers: %v), want %v (%v)", got.Shape, got.Integer, want.Shape, want.Integer)
	}
	tolerance := map[Element]float64{Float64: 1e-13, Float32: 2e-6, Float16: 2e-3, BFloat16: 2e-2}[element]
	for i := range want.Len() {
		a, b := got.at(i), want.at(i)
		if a == b || math.IsNaN(a) && math.IsNaN(b) {
			continue
		}
		if !(math.Abs(a-b) <= tolerance*max(1, math.Abs(b))) {
			t.Fatalf("element %d is %g, want %g (%s)", i, a, b, element)
		}
	}
}
