//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// notIdentified runs the command, which must finish with status 3, files, and a reason that has the evidence.
func notIdentified(t *testing.T, evidence string, args ...string) {
	t.Helper()
	run := filepath.Join(t.TempDir(), "run")
	status, stdout, stderr := nnid(t, append([]string{"identify", "-q", "--activation", "tanh", "--max-queries", "20000", "--run-dir", run}, args...)...)
	if status != statusNotIdentified {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	var result struct {
		Identified bool
		Reason     string
		Queries    int
	}
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(run, fileResult))), &result); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d queries: %s", result.Queries, result.Reason)
	if result.Identified || !regexp.MustCompile(evidence).MatchString(result.Reason) || !strings.Contains(stdout, result.Reason) {
		t.Errorf("the reason is %q; it should match %q", result.Reason, evidence)
	}
}

// What looks like a function and is none, or is one only near the origin, is never identified; the reason says why not.
func TestDishonestBackends(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tiny.json")
	if err := os.WriteFile(file, []byte(tiny), 0o600); err != nil {
		t.Fatal(err)
	}
	for option, evidence := range map[string]string{
		"order=1e-6":  "answers depend on the batch",
		"stale=0.3":   "answers are not repeatable",
		"drift=1e-3":  "answers drift",
		"clip=1":      `stops changing all of a sudden at x_\d = 1 and x_\d = 1,`,
		"clip=100":    `not at a point with \|x_k\| of about 1000, .* inputs are clipped`,
		"drift=1e-10": "answers drift",
		"step=1":      "answers are whole numbers",
		"step=0.3":    "it jumps at x_",
	} {
		t.Run(option, func(t *testing.T) {
			notIdentified(t, evidence, "--oracle", "network", "--oracle-option", "file="+file, "--oracle-option", option)
		})
	}
}

// A cache that is stale for one answer in a hundred or a thousand is seen, and nothing is identified behind it. Noise is no lie, the same for the
// same row or another each time, which is said: the network is found to its error bars.
func TestSeldomStaleAndNoisy(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "tiny.json")
	if err := os.WriteFile(file, []byte(tiny), 0o600); err != nil {
		t.Fatal(err)
	}
	shipped, err := filepath.Abs("../../testdata/networks/diabetes-tanh-8-4.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, options string
		status        int // -1: identified or not
		says          string
	}{
		{file, "stale=0.01 seed=1", statusNotIdentified, "stale at times|not repeatable"},
		{file, "stale=0.002 seed=4", statusNotIdentified, "stale at times|not repeatable"},
		{file, "stale=0.002 seed=7", statusNotIdentified, "stale at times|not repeatable"},
		{file, "jitter=1e-3", -1, "not repeatable"},
		{shipped, "noise=1e-10", statusIdentified, "fresh answers agree"},
		{shipped, "noise=1e-8", statusIdentified, "fresh answers agree"},
		{shipped, "noise=1e-6", statusIdentified, "fresh answers agree"},
		{shipped, "noise=1e-4", statusIdentified, "fresh answers agree"},
		{shipped, "noise=1e-2", statusIdentified, "fresh answers agree"},
		{shipped, "noise=1e-1", statusNotIdentified, `noisy by [0-9.e-]+, and vary by [0-9.e+-]+: it was not identifiable at this noise; (no unit stands out|this much is known: directions of [1-8] units)`},
	} {
		run := filepath.Join(t.TempDir(), "run")
		args := []string{"identify", "-q", "--activation", "tanh", "--run-dir", run, "--oracle", "network", "--oracle-option", "file=" + c.file}
		for _, o := range strings.Fields(c.options) {
			args = append(args, "--oracle-option", o)
		}
		status, stdout, stderr := nnid(t, args...)
		t.Logf("%s: status %d: %s", c.options, status, stdout)
		if status != c.status && (c.status >= 0 || status != statusIdentified && status != statusNotIdentified) || !regexp.MustCompile(c.says).MatchString(stdout) {
			t.Errorf("%s: status %d, and it should say %q\n%s%s", c.options, status, c.says, stdout, stderr)
		}
		if c.file != shipped || status != statusIdentified {
			continue
		}
		// What is claimed is true to ten times what the claim says of its error.
		bar := regexp.MustCompile(`largest relative error bar is ([0-9.e+-]+[0-9])`).FindStringSubmatch(stdout)
		_, compared, _ := nnid(t, "compare", shipped, filepath.Join(run, "network.json"))
		distance := regexp.MustCompile(`(?m)^distance +([0-9.e+-]+)$`).FindStringSubmatch(compared)
		if bar == nil || distance == nil {
			t.Fatalf("%s: no error bar or no distance:\n%s%s", c.options, stdout, compared)
		}
		said, _ := strconv.ParseFloat(bar[1], 64)
		if off, err := strconv.ParseFloat(distance[1], 64); err != nil || off > 10*said {
			t.Errorf("%s: off by %s, error bar %s (%v)", c.options, distance[1], bar[1], err)
		}
	}
}

// Programs of another's making that lie, and functions of another form.
func TestOtherFunctions(t *testing.T) {
	python, path := needPython(t)
	t.Setenv("PATH", path)
	folder, err := filepath.Abs("testdata/dishonest")
	if err != nil {
		t.Fatal(err)
	}
	for kind, evidence := range map[string]string{
		"labels":   "answers are whole numbers",
		"position": "answers drift|answers are not repeatable",
		"cache":    "answers are not repeatable",
	} {
		t.Run("program/"+kind, func(t *testing.T) {
			notIdentified(t, evidence, "--oracle", "exec", "--oracle-option", "inputs=2",
				"--oracle-option", "command='"+python+"' '"+filepath.Join(folder, "program.py")+"' "+kind)
		})
	}
	for _, c := range []struct{ name, activation, evidence string }{
		{"deep", "tanh", "differs from fresh answers|rank-one matrices|residuals|second layer"},
		{"relu", "tanh", "does not saturate"},
		{"skip", "tanh", "does not saturate"},
		{"product", "tanh", "differs from fresh answers|rank-one matrices|residuals|second layer"},
		{"trees", "tanh", "it jumps at x_"},
		{"relu", "auto", "the slope of f jumps across [0-9]+ hyperplanes"},
		{"skip", "auto", "f grows linearly and bends nowhere on 12 lines"},
		{"bumps", "tanh", "f is 0.3 in all of 16 random directions"},
		{"squares", "auto", "f grows faster than linearly far out"},
		{"one", "tanh", "a network of one hidden layer, of 4 units, and no second"},
		{"wrapped", "tanh", "through one combination of them alone"},
		{"linear", "auto", "there is no hidden layer"},
	} {
		t.Run("function/"+c.name+"/"+c.activation, func(t *testing.T) {
			notIdentified(t, c.evidence, "--activation", c.activation, "--oracle", "python", "--oracle-option", "call="+filepath.Join(folder, "functions.py")+":"+c.name, "--oracle-option", "inputs=4")
		})
	}
}
