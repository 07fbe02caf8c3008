//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBackends runs docs/backends.md as written: in a copy of the repository for each section, it writes the files that
// the section shows (```lang file=NAME) and runs its blocks of commands (```sh), with the Python of the tests, or, where a block
// says python=torch, one that has PyTorch.
func TestBackends(t *testing.T) {
	if testing.Short() {
		t.Skip("it identifies networks")
	}
	python, path := needPython(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```(\\w+)([^\n]*)\n(.*?)^```$")
	if n := strings.Count(readFile(t, filepath.Join(root, "docs", "backends.md")), "\n```sh"); n < 9 {
		t.Errorf("%d blocks of commands are in docs/backends.md", n)
	}
	for _, section := range strings.Split(readFile(t, filepath.Join(root, "docs", "backends.md")), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		blocks := fence.FindAllStringSubmatch(text, -1)
		if len(blocks) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "nnid")
			for _, folder := range []string{"testdata/networks", "plugins/oracles/onnxruntime"} {
				if err := os.MkdirAll(filepath.Join(copied, folder), 0o755); err != nil {
					t.Fatal(err)
				}
				copyTree(t, filepath.Join(root, folder), filepath.Join(copied, folder))
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
				first := filepath.Dir(binary) + string(os.PathListSeparator) + path
				if info == "python=torch" {
					folder := t.TempDir()
					if err := os.Symlink(needTorch(t, python), filepath.Join(folder, "python3")); err != nil {
						t.Fatal(err)
					}
					first = folder + string(os.PathListSeparator) + first
				}
				runBlock(t, copied, first, body)
			}
		})
	}
}

// runBlock runs commands as one script, and ends what they leave running.
func runBlock(t *testing.T, folder, path, script string) {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	command := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
	command.Dir = folder
	command.Env = append(os.Environ(), "PATH="+path, "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder, "NNID_PLUGIN_PATH=")
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	started := time.Now()
	err = command.Start()
	if err == nil {
		defer func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }()
		err = command.Wait()
	}
	t.Logf("%s\n%s(%.1f s)", script, readFile(t, output.Name()), time.Since(started).Seconds())
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
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
