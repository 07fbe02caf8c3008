//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// examples are the pages of docs whose examples run: blocks marked python that begin with a file's name in a comment are written to
// that file, and blocks marked sh are run, in the order of the page.
var examples = []string{"files.md", "onnx.md"}

var (
	block    = regexp.MustCompile("(?s)```(sh|python)\n(.*?)```")
	distance = regexp.MustCompile(`(?m)^distance +(\S+)$`)
)

func TestDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("it identifies networks")
	}
	python, _ := needPython(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range examples {
		t.Run(page, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "nnid")
			copyTree(t, root, folder)
			files := map[string]string{} // their text by name
			compared := 0
			for _, b := range block.FindAllStringSubmatch(readFile(t, filepath.Join(folder, "docs", page)), -1) {
				text := b[2]
				if b[1] == "python" {
					name, ok := strings.CutPrefix(strings.SplitN(text, "\n", 2)[0], "# ")
					if !ok {
						t.Fatalf("a block of Python does not begin with its file's name:\n%s", text)
					}
					files[name] = text
					if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					continue
				}
				command := exec.CommandContext(t.Context(), "sh", "-e", "-c", text)
				command.Dir = folder
				command.Env = append(os.Environ(), pythonOf(t, python, text, files)...)
				command.Env = append(command.Env, "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder, "NNID_PLUGIN_PATH=")
				output, err := command.CombinedOutput()
				t.Logf("%s\n%s", text, output)
				if err != nil {
					t.Fatalf("%v of\n%s\n%s", err, text, output)
				}
				for _, found := range distance.FindAllStringSubmatch(string(output), -1) {
					compared++
					if d, err := strconv.ParseFloat(found[1], 64); err != nil || !(d < 1e-8) {
						t.Errorf("the network found is %s from the one hidden", found[1])
					}
				}
			}
			if compared == 0 {
				t.Error("no example compares what was found with what was hidden")
			}
		})
	}
}

// pythonOf returns the variables with which a block finds nnid and the Python that its scripts need. PyTorch may be in another one than
// the rest: what a package index has of it is of several GB, what Debian has is of 150 MB. Of the packages in the examples that one
// lacks safetensors alone, which is the same for every version of Python.
func pythonOf(t *testing.T, python, text string, files map[string]string) []string {
	t.Helper()
	path := func(python string) string {
		return "PATH=" + strings.Join([]string{filepath.Dir(binary), filepath.Dir(python), os.Getenv("PATH")}, string(os.PathListSeparator))
	}
	torch := false
	for name, content := range files {
		torch = torch || strings.Contains(text, "python3 "+name) && strings.Contains(content, "import torch\n")
	}
	if !torch || exec.CommandContext(t.Context(), python, "-c", "import torch").Run() == nil {
		return []string{path(python)}
	}
	library, err := exec.CommandContext(t.Context(), python, "-c", "import os, safetensors; print(os.path.dirname(safetensors.__file__), end='')").Output()
	if err != nil {
		t.Fatal("NNID_TEST_PYTHON has no safetensors: ", err)
	}
	packages := t.TempDir()
	if err := os.Symlink(string(library), filepath.Join(packages, "safetensors")); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	for _, other := range []string{os.Getenv("NNID_TEST_TORCH_PYTHON"), "/usr/bin/python3"} {
		if other != "" && exec.CommandContext(t.Context(), other, "-c", "import torch").Run() == nil {
			return []string{path(other), "PYTHONPATH=" + packages}
		}
	}
	t.Fatal("no Python with PyTorch, which CONTRIBUTING.md names the places for")
	return nil
}
