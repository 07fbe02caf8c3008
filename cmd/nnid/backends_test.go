//go:build unix

package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pages are the pages of docs whose examples run, with how many blocks of commands they have at least.
var pages = map[string]int{"backends.md": 10, "files.md": 4, "onnx.md": 4}

var (
	fence = regexp.MustCompile("(?ms)^```(\\w+)([^\n]*)\n(.*?)^```$")
	// found is what compare prints, in examples that know what was hidden.
	found = regexp.MustCompile(`(?m)^distance +(\S+)$`)
)

// TestBackends runs pages of docs as written: in a folder of its own for each section, with what it names of the repository, it
// writes the files that the section shows (```lang file=NAME) and runs its blocks of commands (```sh), with the Python of the tests,
// or, where a block says python=torch, one that has PyTorch.
func TestBackends(t *testing.T) {
	if testing.Short() {
		t.Skip("it identifies networks")
	}
	needPython(t)
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		text := readFile(t, filepath.Join("../../docs", page))
		if n := strings.Count(text, "\n```sh"); n < pages[page] {
			t.Errorf("%d blocks of commands are in docs/%s", n, page)
		}
		for _, section := range strings.Split(text, "\n## ")[1:] {
			name, text, _ := strings.Cut(section, "\n")
			if blocks := fence.FindAllStringSubmatch(text, -1); len(blocks) > 0 {
				t.Run(page+"/"+name, func(t *testing.T) { runSection(t, blocks) })
			}
		}
	}
}

func runSection(t *testing.T, blocks [][]string) {
	python, path := needPython(t)
	copied := filepath.Join(t.TempDir(), "nnid")
	for _, folder := range []string{"testdata/networks", "plugins/oracles/onnxruntime"} {
		if err := os.MkdirAll(filepath.Join(copied, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		copyTree(t, filepath.Join("../..", folder), filepath.Join(copied, folder))
	}
	for _, block := range blocks {
		info, body := strings.TrimSpace(block[2]), block[3]
		if file, ok := strings.CutPrefix(info, "file="); ok {
			if err := os.WriteFile(filepath.Join(copied, file), []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if block[1] != "sh" {
			t.Errorf("a block of %s is neither a file nor commands", block[1])
			continue
		}
		env := []string{"XDG_DATA_HOME=" + copied, "XDG_CONFIG_HOME=" + copied, "NNID_PLUGIN_PATH="}
		first := filepath.Dir(binary) + string(os.PathListSeparator) + path
		if info == "python=torch" {
			folder := t.TempDir()
			if err := os.Symlink(needTorch(t, python), filepath.Join(folder, "python3")); err != nil {
				t.Fatal(err)
			}
			first = folder + string(os.PathListSeparator) + first
			env = append(env, "PYTHONPATH="+withSafetensors(t, python))
		}
		for _, d := range found.FindAllStringSubmatch(runBlock(t, copied, append(env, "PATH="+first), body), -1) {
			if v, err := strconv.ParseFloat(d[1], 64); err != nil || !(v < 1e-8) {
				t.Errorf("the network found is %s from the one hidden", d[1])
			}
		}
	}
}

// withSafetensors returns a folder with nothing but the library of that name, which Debian does not have for its Python, and which is
// the same for every version of Python.
func withSafetensors(t *testing.T, python string) string {
	t.Helper()
	library, err := exec.CommandContext(t.Context(), python, "-c", "import os, safetensors; print(os.path.dirname(safetensors.__file__), end='')").Output()
	if err != nil {
		t.Fatalf("%s has no safetensors: %v", pythonVariable, err)
	}
	folder := t.TempDir()
	if err := os.Symlink(string(library), filepath.Join(folder, "safetensors")); err != nil {
		t.Fatal(err)
	}
	return folder
}

// runBlock runs commands as one script, ends what they leave running, and returns what they print.
func runBlock(t *testing.T, folder string, env []string, script string) string {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	command := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
	command.Dir = folder
	command.Env = append(os.Environ(), env...)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	started := time.Now()
	err = command.Start()
	if err == nil {
		defer func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }()
		err = command.Wait()
	}
	text := readFile(t, output.Name())
	t.Logf("%s\n%s(%.1f s)", script, text, time.Since(started).Seconds())
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
	return text
}

// needTorch returns a Python with PyTorch.
func needTorch(t *testing.T, pythons ...string) string {
	t.Helper()
	for _, python := range append(pythons, os.Getenv("NNID_TEST_TORCH_PYTHON"), "/usr/bin/python3") {
		if python != "" && exec.CommandContext(t.Context(), python, "-c", "import torch").Run() == nil {
			return python
		}
	}
	const text = "THIS TEST DID NOT RUN: no Python with PyTorch; see CONTRIBUTING.md"
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}
