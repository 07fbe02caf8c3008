//go:build unix

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A new plugin passes its own test and the conformance suite, and a network is identified with it, before a line of it is
// changed.
func TestPluginsNew(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	in := func(t *testing.T, folder, name string, args ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = folder
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, output)
		}
	}
	use := func(t *testing.T, plugin string) {
		t.Helper()
		for _, args := range [][]string{
			{"plugins", "check", plugin},
			{"identify", "--plugin-path", plugin, "--activation", "mine-2", "--run-dir", t.TempDir()},
		} {
			if status, stdout, stderr := nnid(t, args...); status != 0 {
				t.Errorf("nnid %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
			}
		}
	}
	t.Run("go", func(t *testing.T) {
		folder := t.TempDir()
		if status, stdout, stderr := nnid(t, "plugins", "new", "activation", "mine-2", "--dir", folder, "--checkout", root); status != 0 || !strings.Contains(stdout, "go test .") {
			t.Fatalf("status %d\n%s%s", status, stdout, stderr)
		}
		folder = filepath.Join(folder, "nnid-plugin-mine-2")
		in(t, folder, "go", "vet", ".")
		in(t, folder, "go", "test", ".")
		in(t, folder, "go", "build", ".")
		use(t, filepath.Join(folder, "nnid-plugin-mine-2"))
	})
	t.Run("python", func(t *testing.T) {
		python, path := needPython(t)
		t.Setenv("PATH", path)
		folder := t.TempDir()
		if status, stdout, stderr := nnid(t, "plugins", "new", "activation", "mine-2", "--lang", "python", "--dir", folder); status != 0 {
			t.Fatalf("status %d\n%s%s", status, stdout, stderr)
		}
		folder = filepath.Join(folder, "nnid-plugin-mine-2")
		in(t, folder, python, "-m", "unittest")
		use(t, filepath.Join(folder, "nnid-plugin-mine-2"))
	})
}

func TestPluginsNewRefuses(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		says string
		args []string
	}{
		{"no skeleton of a solver", []string{"solver", "mine"}},
		{"may hold lower case letters", []string{"activation", "Mine"}},
		{"neither go nor python", []string{"activation", "mine", "--lang", "rust"}},
		{"is no checkout of nnid", []string{"activation", "mine", "--checkout", folder}},
		{"is there already", []string{"activation", "mine"}}, // the case before wrote it
	} {
		status, _, stderr := nnid(t, append([]string{"plugins", "new", "--dir", folder}, c.args...)...)
		if status != statusUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: status %d, %s", c.args, status, stderr)
		}
	}
}
