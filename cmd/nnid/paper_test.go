package main

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/paper"
	"github.com/nnid/nnid/core/teachers"
)

// planted writes a network that has more inputs than units, so that every stage has something to do, and returns how to identify it.
func planted(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "net.json")
	var text strings.Builder
	if err := teachers.Planted(teachers.Size{Inputs: 7, M0: 6, M1: 2}, 0.05, "tanh", 3).Network.Write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"identify", "--recipe", "paper", "--oracle", "network", "--oracle-option", "file=" + file, "--activation", "tanh",
		"--m0", "6", "--m1", "2", "--seed", "5", "--recipe-option", "hessians=60"}
}

// paperRun runs the command in the folder and returns what it printed and what is in result.json.
func paperRun(t *testing.T, command []string, folder string, more ...string) (string, identify.Result) {
	t.Helper()
	status, stdout, stderr := nnid(t, slices.Concat(command, []string{"--run-dir", folder}, more)...)
	if status != statusIdentified && status != statusNotIdentified {
		t.Fatalf("%v: status %d\n%s%s", more, status, stdout, stderr)
	}
	var result identify.Result
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(folder, fileResult))), &result); err != nil {
		t.Fatal(err)
	}
	return stdout, result
}

// Every stage can be the last one, says which file it left, and be entered again with the same outcome.
func TestPaperStages(t *testing.T) {
	command := planted(t)
	_, whole := paperRun(t, command, t.TempDir())
	if whole.Paper.Uniform == nil {
		t.Fatalf("the whole run: %s", whole.Reason)
	}
	for k, stage := range paper.Stages {
		folder := t.TempDir()
		stdout, stopped := paperRun(t, command, folder, "--stop-after", stage)
		if stopped.Paper.Stage != stage {
			t.Errorf("stopped after %s instead of %s", stopped.Paper.Stage, stage)
		}
		for j, other := range paper.Stages {
			file := paper.StageFile(other)
			_, err := os.Stat(filepath.Join(folder, file))
			if there := err == nil; file != "" && (there != (j <= k) || strings.Contains(stdout, file) != there) {
				t.Errorf("stopped after %s: %s is there: %t; in the summary: %t", stage, file, there, strings.Contains(stdout, file))
			}
		}
		if stage == paper.StageAssemble {
			break
		}
		_, again := paperRun(t, command, t.TempDir(), "--from", filepath.Join(folder, paper.StageFile(stage)))
		if again.Paper.Uniform == nil || math.Abs(again.Paper.Uniform.Max-whole.Paper.Uniform.Max) > 1e-6*whole.Paper.Uniform.Max {
			t.Errorf("entered after %s: %+v instead of %+v", stage, again.Paper.Uniform, whole.Paper.Uniform)
		}
	}
}

// What a run of the published method shows: every candidate's conditions below their bounds and its verdict, the layers, the
// uniform error, and a reason that says what was found and what is left to try.
func TestPaperSummary(t *testing.T) {
	stdout, result := paperRun(t, planted(t), t.TempDir())
	lines := strings.Split(stdout, "\n")
	if !slices.Contains(strings.Fields(lines[0]), "lambda_1") || !slices.Contains(strings.Fields(lines[1]), "0.9") {
		t.Errorf("no table of the candidates:\n%s", stdout)
	}
	for j, v := range result.Paper.Candidates {
		verdict := "rejected"
		if v.Accepted {
			verdict = "accepted, layer"
		}
		if !strings.Contains(lines[2+j], verdict) {
			t.Errorf("candidate %d: %q lacks %q", j, lines[2+j], verdict)
		}
	}
	for _, want := range []string{"of the accepted are a_i", "uniform error", "worst accepted: near rank one"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing:\n%s", want, stdout)
		}
	}
	if len(result.Paper.Accepted) < 8 && !strings.Contains(result.Reason, "of the 8 vectors that there are") || !strings.Contains(result.Reason, "--refine goes on from here") {
		t.Error(result.Reason)
	}
	if _, refined := paperRun(t, planted(t), t.TempDir(), "--refine"); !refined.Identified {
		t.Error(refined.Reason)
	}
}

// NumPy reads the file of every stage, with the shapes of docs/paper.md, and what it writes is taken back in place of a stage.
func TestPaperNumPy(t *testing.T) {
	python, _ := needPython(t)
	command, folder := planted(t), t.TempDir()
	_, whole := paperRun(t, command, folder)
	script := `
import numpy as np, sys
from os.path import join
folder, out = sys.argv[1:]
def check(name, **shapes):
    arrays = np.load(join(folder, name))
    for array, shape in shapes.items():
        a = arrays[array]
        assert a.dtype == np.float64 and a.ndim == len(shape) and all(w in (-1, n) for n, w in zip(a.shape, shape)), (name, array, a.shape)
    return arrays
check("reduction.npz", reduction=(7, 6))
check("hessians.npz", points=(60, 6), hessians=(60, 6, 6))
arrays = check("subspace.npz", basis=(8, 6, 6), spectrum=(-1,))
check("vectors.npz", vectors=(6, -1))
check("verified.npz", accepted=(-1,))
check("layers.npz", a=(6, -1), v=(6, -1))
# Another subspace stage: the same one, by NumPy.
h = arrays["hessians"]
i, j = np.triu_indices(6)
w = np.where(i == j, 1, np.sqrt(2))
u, s, _ = np.linalg.svd((h[:, i, j] * w).T, full_matrices=False)
basis = np.zeros((8, 6, 6))
basis[:, i, j] = u[:, :8].T / w
basis[:, j, i] = basis[:, i, j]
np.savez(out, reduction=arrays["reduction"], points=arrays["points"], hessians=h, basis=basis, spectrum=s)
`
	mine := filepath.Join(folder, "mine.npz")
	if output, err := exec.CommandContext(t.Context(), python, "-c", script, folder, mine).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	_, again := paperRun(t, command, t.TempDir(), "--from", mine)
	if again.Paper.Uniform == nil || len(again.Paper.Accepted) != len(whole.Paper.Accepted) {
		t.Errorf("with NumPy's subspace %d candidates are accepted instead of %d: %s", len(again.Paper.Accepted), len(whole.Paper.Accepted), again.Reason)
	}
}
