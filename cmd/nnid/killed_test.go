//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPluginKilled kills -9 the process of one plugin in the middle of a run, whichever it is: one sentence names it, the
// status is 1, every answer is kept, and the same command goes on without asking anything twice.
func TestPluginKilled(t *testing.T) {
	args := func(run string) []string {
		return []string{"identify", "-q", "--plugin-path", oddPlugin, "--oracle", "mortal", "--activation", "mortal", "--solver", "mortal",
			"--run-dir", run, "--log-level", "error"}
	}
	queries := func(run string) int {
		var result struct {
			Identified bool
			Queries    int
		}
		if err := json.Unmarshal([]byte(readFile(t, filepath.Join(run, "result.json"))), &result); err != nil {
			t.Fatal(err)
		}
		if !result.Identified {
			t.Error("not identified")
		}
		return result.Queries
	}
	whole := filepath.Join(t.TempDir(), "run")
	if status, _, stderr := nnid(t, args(whole)...); status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, kind := range []string{"oracle", "activation", "solver"} {
		t.Run(kind, func(t *testing.T) {
			run := filepath.Join(t.TempDir(), "run")
			t.Setenv("NNID_TEST_KILL", kind)
			status, stdout, stderr := nnid(t, args(run)...)
			if status != statusFailed || stdout != "" {
				t.Errorf("status %d, stdout %q", status, stdout)
			}
			t.Log(stderr)
			if !strings.HasPrefix(stderr, `nnid: plugin "odd" (`+oddPlugin+`) crashed: it was killed by the signal SIGKILL; its last words:`) ||
				!strings.Contains(stderr, "the "+kind+" was here") || strings.Count(stderr, "nnid: ") != 1 {
				t.Errorf("stderr %q", stderr)
			}
			kept := 0
			if kind != "activation" { // which is asked everything before the oracle is asked anything
				match := regexp.MustCompile(`(\d+) answers kept in `).FindStringSubmatch(stderr)
				if match == nil {
					t.Fatalf("stderr does not say what is kept: %q", stderr)
				}
				kept, _ = strconv.Atoi(match[1])
				if kept < 100 {
					t.Errorf("%d answers were kept", kept)
				}
			}
			t.Setenv("NNID_TEST_KILL", "")
			resumed := args(run)
			resumed = append(resumed[:1:1], resumed[2:]...) // without -q it says what it has
			status, _, stderr = nnid(t, resumed...)
			if status != 0 {
				t.Fatalf("resumed: status %d, %s", status, stderr)
			}
			if want := fmt.Sprintf("resuming: %d answers in ", kept); kept > 0 && !strings.Contains(stderr, want) {
				t.Errorf("no %q in %q", want, stderr)
			}
			if got, want := queries(run), queries(whole); got != want {
				t.Errorf("%d queries in all, and %d without interruption", got, want)
			}
		})
	}
}
