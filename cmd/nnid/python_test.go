//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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

// A real model server, MLServer, serves a real library's model, scikit-learn's, and is asked by its real protocol.
func TestMLServer(t *testing.T) {
	python, path := needPython(t)
	network, err := filepath.Abs("../../testdata/networks/diabetes-tanh-8-4.json")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if output, err := exec.CommandContext(t.Context(), python, "testdata/mlserver/model.py", network, folder, port).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := exec.Command(filepath.Join(filepath.Dir(python), "mlserver"), "start", folder)
	server.Env = append(os.Environ(), "PATH="+path)
	server.Stdout, server.Stderr = log, log
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL) // it has nothing to lose
		_ = server.Wait()
		if t.Failed() {
			t.Logf("the server's log:\n%s", readFile(t, log.Name()))
		}
	}()
	url := "http://127.0.0.1:" + port
	waitFor(t, time.Minute, "model ready", func() bool {
		response, err := http.Get(url + "/v2/models/diabetes/ready")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	run := filepath.Join(t.TempDir(), "run")
	args := []string{"identify", "--oracle", "oip", "--oracle-option", "url=" + url, "--oracle-option", "model=diabetes",
		"--oracle-option", "inputs=10", "--activation", "tanh", "--run-dir", run}
	status, stdout, stderr := nnid(t, args...)
	if status != 0 || !strings.Contains(stdout, "10 inputs, 8 + 4 neurons, tanh") {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	t.Log(stdout)
	status, stdout, stderr = nnid(t, "compare", network, filepath.Join(run, "network.json"))
	t.Logf("status %d\n%s%s", status, stdout, stderr)
	if status != 0 {
		t.Error("the network found can't be compared with the one served")
	}
	// What a real server says to a wrong name and a wrong size is a sentence too.
	for wrong, words := range map[string]string{"model=diabetic": "diabetic", "inputs=11": "expecting 10 features"} {
		changed := append([]string{}, args...)
		for k := range changed {
			if key, _, ok := strings.Cut(changed[k], "="); ok && strings.HasPrefix(wrong, key+"=") {
				changed[k] = wrong
			}
		}
		changed[len(changed)-1] = filepath.Join(t.TempDir(), "run")
		status, _, stderr := nnid(t, changed...)
		t.Log(stderr)
		if status == 0 || !strings.Contains(stderr, words) {
			t.Errorf("%s: status %d, %s", wrong, status, stderr)
		}
	}
}
