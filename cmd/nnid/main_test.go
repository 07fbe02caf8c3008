package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the real command; oddPlugin and powersPlugin are third parties' plugins. All are built once: tests run real processes.
var binary, oddPlugin, powersPlugin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "nnid-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(folder)
		binary = filepath.Join(folder, "nnid")
		if os.PathSeparator == '\\' {
			binary += ".exe"
		}
		args := []string{"build", "-o", binary}
		if raceEnabled {
			args = append(args, "-race")
		}
		oddPlugin, powersPlugin = filepath.Join(folder, "nnid-plugin-odd"), filepath.Join(folder, "nnid-plugin-powers")
		for _, args := range [][]string{append(args, "."), {"build", "-o", oddPlugin, "./testdata/plugin"}, {"build", "-o", powersPlugin, "../../plugins/examples/go/nnid-plugin-powers"}} {
			build := exec.Command("go", args...)
			build.Stderr = os.Stderr
			if err := build.Run(); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", build, err)
				return 1
			}
		}
		return m.Run()
	}())
}

// TestScripts runs testdata/script. Beyond testscript's own commands there is
//
//	status N nnid ARGS...     the command must end with exit status N
//	queries MODEL [MIN MAX]   how many rows the test's model server was asked for since the last call
func TestScripts(t *testing.T) {
	networks, err := filepath.Abs("../../testdata/networks")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			server := startModelServer(t)
			env.Values["server"] = server
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("NETWORKS", networks)
			env.Setenv("SERVER", server.URL)
			env.Setenv("ODD", oddPlugin)
			env.Setenv("POWERS", powersPlugin)
			env.Setenv("NNID_PLUGIN_PATH", "")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":  commandStatus,
			"queries": commandQueries,
		},
	})
}

func commandStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func commandQueries(ts *testscript.TestScript, neg bool, args []string) {
	if neg || (len(args) != 1 && len(args) != 3) {
		ts.Fatalf("usage: queries MODEL [MIN MAX]")
	}
	n := ts.Value("server").(*modelServer).rows(args[0])
	ts.Logf("%d rows", n)
	if len(args) == 1 {
		return
	}
	least, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	most, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	if n < least || n > most {
		ts.Fatalf("model %s was asked for %d rows; expected %d to %d", args[0], n, least, most)
	}
}

// nnid runs the command and returns its exit status and what it printed.
func nnid(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	command := exec.CommandContext(t.Context(), binary, args...)
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), "XDG_DATA_HOME="+command.Dir, "XDG_CONFIG_HOME="+command.Dir, "NNID_PLUGIN_PATH=")
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatal(err)
		}
		status = exit.ExitCode()
	}
	return status, out.String(), errs.String()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
