//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pythonVariable names a Python that has what the tests need; see CONTRIBUTING.md.
const pythonVariable = "NNID_TEST_PYTHON"

// needPython returns a Python with the SDK and MLServer, and its folder first in PATH for plugins to be found by. Without
// one the test is skipped, but never in CI.
func needPython(t *testing.T) (python, path string) {
	t.Helper()
	python = os.Getenv(pythonVariable)
	if python == "" {
		remedy := fmt.Sprintf(`THIS TEST DID NOT RUN: the variable %s names no Python. To run it, from the root of the repository:
  python3 -m venv /tmp/nnid-venv
  /tmp/nnid-venv/bin/pip install -r .ci/requirements.txt ./sdk/python
  %[1]s=/tmp/nnid-venv/bin/python go test ./cmd/nnid ./core/host`, pythonVariable)
		if os.Getenv("CI") != "" {
			t.Fatal(remedy)
		}
		t.Skip(remedy)
	}
	return python, filepath.Dir(python) + string(os.PathListSeparator) + os.Getenv("PATH")
}

// The examples of plugins in Go and in Python conform, and a network is identified with nothing but them.
func TestExamplePlugins(t *testing.T) {
	examples, err := filepath.Abs("../../plugins/examples")
	if err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, args ...string) string {
		t.Helper()
		status, stdout, stderr := nnid(t, args...)
		if status != 0 {
			t.Fatalf("nnid %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
		}
		return stdout
	}
	t.Run("go", func(t *testing.T) {
		folder := t.TempDir()
		build := exec.CommandContext(t.Context(), "go", "build", "-o", folder, "./go/...")
		build.Dir = examples
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		for _, name := range []string{"lecun", "powers", "formula"} {
			run(t, "plugins", "check", filepath.Join(folder, "nnid-plugin-"+name))
		}
		output := run(t, "identify", "--plugin-path", folder, "--oracle", "formula", "--activation", "lecun-tanh", "--solver", "powers")
		if !strings.Contains(output, "4 inputs, 4 + 2 neurons, lecun-tanh") {
			t.Error(output)
		}
	})
	t.Run("python", func(t *testing.T) {
		_, path := needPython(t)
		t.Setenv("PATH", path)
		folder := filepath.Join(examples, "python")
		hidden := filepath.Join(folder, "hidden.py") + ":predict"
		run(t, "plugins", "check", filepath.Join(folder, "nnid-plugin-gudermann"))
		run(t, "plugins", "check", filepath.Join(folder, "nnid-plugin-numpy-power"))
		run(t, "plugins", "check", filepath.Join(folder, "nnid-plugin-callable"), "--option", "call="+hidden, "--option", "inputs=6")
		output := run(t, "identify", "--plugin-path", folder, "--oracle", "callable", "--oracle-option", "call="+hidden, "--oracle-option", "inputs=6",
			"--activation", "gudermann", "--solver", "numpy-power")
		if !strings.Contains(output, "6 inputs, 5 + 3 neurons, gudermann") {
			t.Error(output)
		}
		// What the user got wrong comes back as a sentence, and no traceback.
		status, _, stderr := nnid(t, "identify", "--plugin-path", folder, "--oracle", "callable", "--oracle-option", "call=nowhere.py:f",
			"--oracle-option", "inputs=6", "--activation", "tanh", "--log-level", "error")
		if status != statusUsage || !strings.Contains(stderr, `there is no file "nowhere.py"`) && !strings.Contains(stderr, `there is no file 'nowhere.py'`) || strings.Contains(stderr, "Traceback") {
			t.Errorf("status %d, %s", status, stderr)
		}
	})
}

// The activation of the examples, in either language, takes no more than a page.
func TestExamplesAreShort(t *testing.T) {
	for _, name := range []string{"go/nnid-plugin-lecun/main.go", "python/nnid-plugin-gudermann"} {
		if lines := strings.Count(readFile(t, filepath.Join("../../plugins/examples", name)), "\n"); lines > 40 {
			t.Errorf("%s has %d lines; 40 must do", name, lines)
		}
	}
}
