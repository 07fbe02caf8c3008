package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMalformedNetworkFiles spoils every field of a network file in turn: both the command that reads it itself and the
// oracle that reads it in a plugin must name the file and the field, and end with exit status 2.
func TestMalformedNetworkFiles(t *testing.T) {
	const good = "../../testdata/networks/diabetes-tanh-8-4.json"
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	layer := func(f map[string]any, k int) map[string]any { return f["layers"].([]any)[k].(map[string]any) }
	for name, c := range map[string]struct {
		spoil func(f map[string]any)
		text  string
	}{
		"format missing":     {func(f map[string]any) { delete(f, "format") }, "format"},
		"format of another":  {func(f map[string]any) { f["format"] = "onnx" }, `format is "onnx"`},
		"format no text":     {func(f map[string]any) { f["format"] = 3 }, "format"},
		"unknown field":      {func(f map[string]any) { f["colour"] = "red" }, `"colour"`},
		"layers missing":     {func(f map[string]any) { delete(f, "layers") }, "layers"},
		"layers no list":     {func(f map[string]any) { f["layers"] = "many" }, "layers"},
		"two layers":         {func(f map[string]any) { f["layers"] = f["layers"].([]any)[:2] }, "layers has 2"},
		"layer null":         {func(f map[string]any) { f["layers"].([]any)[1] = nil }, "layers[1]"},
		"weight missing":     {func(f map[string]any) { delete(layer(f, 0), "weight") }, "layers[0].weight"},
		"weight empty":       {func(f map[string]any) { layer(f, 1)["weight"] = []any{} }, "layers[1].weight"},
		"weight row empty":   {func(f map[string]any) { layer(f, 1)["weight"] = []any{[]any{}} }, "layers[1].weight"},
		"weight ragged":      {func(f map[string]any) { w := layer(f, 0)["weight"].([]any); w[2] = w[2].([]any)[:3] }, "layers[0].weight[2]"},
		"weight no number":   {func(f map[string]any) { layer(f, 0)["weight"].([]any)[0].([]any)[0] = "one" }, "weight"},
		"weight null row":    {func(f map[string]any) { layer(f, 0)["weight"].([]any)[1] = nil }, "layers[0].weight[1]"},
		"bias missing":       {func(f map[string]any) { delete(layer(f, 1), "bias") }, "layers[1].bias"},
		"bias short":         {func(f map[string]any) { layer(f, 0)["bias"] = []any{1.0} }, "layers[0].bias"},
		"activation missing": {func(f map[string]any) { delete(layer(f, 0), "activation") }, "layers[0].activation"},
		"activation no name": {func(f map[string]any) { layer(f, 0)["activation"] = "Tan H" }, "layers[0].activation"},
		"layers do not fit":  {func(f map[string]any) { l := f["layers"].([]any); l[1] = l[2] }, "layer"},
		"two outputs": {func(f map[string]any) {
			w := layer(f, 2)["weight"].([]any)
			layer(f, 2)["weight"], layer(f, 2)["bias"] = append(w, w[0]), []any{1.0, 2.0}
		}, "layers[2].weight"},
		"output activation": {func(f map[string]any) { layer(f, 2)["activation"] = "tanh" }, "layers[2].activation"},
	} {
		t.Run(name, func(t *testing.T) {
			var f map[string]any
			if err := json.Unmarshal(data, &f); err != nil {
				t.Fatal(err)
			}
			c.spoil(f)
			spoilt, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			checkSpoilt(t, spoilt, c.text)
		})
	}
	for name, c := range map[string]struct{ data, text string }{
		"empty":         {"", "not a network in JSON"},
		"no JSON":       {"weights: 3", "not a network in JSON"},
		"cut off":       {string(data[:len(data)/2]), "not a network in JSON"},
		"more behind":   {string(data) + "{}", "closing brace"},
		"number range":  {strings.Replace(string(data), "1.6512335671369482", "1e999", 1), "1e999"},
		"a list":        {"[]", "not a network in JSON"},
		"null document": {"null", "format"},
	} {
		t.Run(name, func(t *testing.T) { checkSpoilt(t, []byte(c.data), c.text) })
	}
}

func checkSpoilt(t *testing.T, data []byte, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spoilt.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"compare", path, path},
		{"identify", "--oracle", "network", "--oracle-option", "file=" + path},
	} {
		status, stdout, stderr := nnid(t, args...)
		if status != statusUsage || stdout != "" {
			t.Errorf("%v: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
		if !strings.Contains(stderr, text) || !strings.Contains(stderr, "spoilt.json") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: stderr %q; want one line that names the file and %q", args, stderr, text)
		}
	}
}
