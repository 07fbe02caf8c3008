package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs every command in a block of README.md marked sh, as written, in a copy of the repository. Blocks
// marked console need something that only the reader has.
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("it identifies networks")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme := readFile(t, filepath.Join(root, "README.md"))
	if !strings.HasPrefix(readme, "# nnid\n\n```sh\ngo run ./cmd/nnid identify ") {
		t.Error("README.md must begin with the command for the main job")
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readme, -1)
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of commands in README.md", len(blocks))
	}
	copied := filepath.Join(t.TempDir(), "nnid")
	copyTree(t, root, copied)
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "go test ./...") {
				continue // this is that
			}
			command := exec.CommandContext(t.Context(), "sh", "-c", line)
			command.Dir = copied
			command.Env = append(os.Environ(), "XDG_DATA_HOME="+copied, "XDG_CONFIG_HOME="+copied, "NNID_PLUGIN_PATH=")
			output, err := command.CombinedOutput()
			t.Logf("$ %s\n%s", line, output)
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
}

// copyTree copies what a clone would have: no .git, no run directories.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == ".git" || strings.HasPrefix(name, "nnid-run-") || entry.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}
