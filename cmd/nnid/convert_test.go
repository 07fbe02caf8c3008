package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// Networks in files by PyTorch's exporters are identified by queries alone, neither sizes nor activation given, and are those
// that the files themselves say: with weights in a second file, behind a normalisation, and in single precision.
func TestIdentifyONNX(t *testing.T) {
	if testing.Short() {
		t.Skip("it identifies networks")
	}
	for name, sizes := range map[string]string{
		"sigmoid-external":   "20 inputs, 14 + 4 neurons, sigmoid",
		"tanh-normalised":    "6 inputs, 5 + 3 neurons, tanh",
		"tanh-dynamo-single": "6 inputs, 5 + 3 neurons, tanh",
	} {
		file, err := filepath.Abs("../../plugins/oracles/onnx/testdata/torch/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		folder := t.TempDir()
		run, teacher := filepath.Join(folder, "run"), filepath.Join(folder, "teacher.json")
		for _, c := range []struct {
			want string
			args []string
		}{
			{"identified   yes", []string{"identify", "--oracle", "onnx", "--oracle-option", "file=" + file, "--run-dir", run, "-q"}},
			{sizes, []string{"import", file, teacher}},
		} {
			status, stdout, stderr := nnid(t, c.args...)
			if status != 0 || !strings.Contains(stdout, c.want) {
				t.Fatalf("nnid %v: status %d\n%s%s", c.args, status, stdout, stderr)
			}
		}
		_, stdout, stderr := nnid(t, "compare", "--json", teacher, filepath.Join(run, "network.json"))
		var c struct {
			MaxError *float64 `json:"max_error"`
		}
		if err := json.Unmarshal([]byte(stdout), &c); err != nil || c.MaxError == nil {
			t.Fatalf("%s: %v\n%s%s", name, err, stdout, stderr)
		}
		t.Logf("%s: largest parameter error %.1e", name, *c.MaxError)
		if !(*c.MaxError < 1e-9) {
			t.Errorf("%s: the network found is %g from the file's", name, *c.MaxError)
		}
	}
}
