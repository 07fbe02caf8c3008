package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fastblas"
	"github.com/nnid/nnid/core/subspace"
	"github.com/nnid/nnid/plugins/solvers"
)

// TestExtract plants rank-one matrices, hands their span to every solver through the command, and reads back what it
// found.
func TestExtract(t *testing.T) {
	const d, m = 6, 3
	planted := mat.NewDense(d, m, nil)
	for k := range m { // no special directions: all entries differ, no two columns are orthogonal
		w := mat.NewVecDense(d, nil)
		for i := range d {
			w.SetVec(i, math.Cos(float64(1+i*(2*k+1))))
		}
		w.ScaleVec(1/mat.Norm(w, 2), w)
		planted.SetCol(k, w.RawVector().Data)
	}
	space, err := subspace.FromRankOne(planted)
	if err != nil {
		t.Fatal(err)
	}
	var basis bytes.Buffer
	if err := subspace.WriteBasis(&basis, space); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	in := filepath.Join(folder, "basis.npy")
	if err := os.WriteFile(in, basis.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, factory := range solvers.All() {
		t.Run(factory.Name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "vectors.npy")
			status, stdout, stderr := nnid(t, "extract", "--subspace", in, "--solver", factory.Name, "--count", "3", "--seed", "5", "--out", out, "--json")
			if status != 0 || !strings.Contains(stdout, `"found":3`) {
				t.Fatalf("status %d, stdout %s, stderr %s", status, stdout, stderr)
			}
			found, err := subspace.ReadVectors(strings.NewReader(readFile(t, out)))
			if err != nil {
				t.Fatal(err)
			}
			for k := range m {
				best := 0.0
				for l := range m {
					best = max(best, math.Abs(mat.Dot(planted.ColView(k), found.ColView(l))))
				}
				if best < 1-1e-6 {
					t.Errorf("vector %d was not found: largest |cos| %v", k, best)
				}
			}
		})
	}
	for name, c := range map[string]struct {
		args []string
		text string
	}{
		"no such file": {[]string{"--subspace", "none.npy", "--out", "v.npy"}, "none.npy cannot be read"},
		"no .npy":      {[]string{"--subspace", binary, "--out", "v.npy"}, "subspace file"},
		"no --out":     {[]string{"--subspace", in}, "--out"},
		"no folder":    {[]string{"--subspace", in, "--out", "nowhere/v.npy"}, "no folder nowhere"},
		"count":        {[]string{"--subspace", in, "--out", "v.npy", "--count", "-1"}, "--count -1"},
		"solver":       {[]string{"--subspace", in, "--out", "v.npy", "--solver", "none"}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := nnid(t, append([]string{"extract"}, c.args...)...)
			if status != statusUsage || stdout != "" || !strings.Contains(stderr, c.text) {
				t.Errorf("status %d, stdout %q, stderr %q; want %q", status, stdout, stderr, c.text)
			}
		})
	}
}

// TestExtractMachines: the number of cores changes no bit of what is found, and neither the switch that leaves gonum's
// linear algebra in place nor a processor without AVX2 changes more than the last ones.
func TestExtractMachines(t *testing.T) {
	const d, m = 48, 72 // large enough for products on several cores
	random := rand.New(rand.NewPCG(1, 2))
	planted := mat.NewDense(d, m, nil)
	for k := range m {
		w := mat.NewVecDense(d, nil)
		for i := range d {
			w.SetVec(i, random.NormFloat64())
		}
		w.ScaleVec(1/mat.Norm(w, 2), w)
		planted.SetCol(k, w.RawVector().Data)
	}
	space, err := subspace.FromRankOne(planted)
	if err != nil {
		t.Fatal(err)
	}
	var basis bytes.Buffer
	if err := subspace.WriteBasis(&basis, space); err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(t.TempDir(), "basis.npy")
	if err := os.WriteFile(in, basis.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	extract := func(variable, value string) string {
		t.Setenv(variable, value)
		defer t.Setenv(variable, "")
		out := filepath.Join(t.TempDir(), "vectors.npy")
		if status, _, stderr := nnid(t, "extract", "--subspace", in, "--solver", "spm", "--out", out); status != 0 {
			t.Fatalf("%s=%s: status %d, %s", variable, value, status, stderr)
		}
		return readFile(t, out)
	}
	first := extract("GOMAXPROCS", "1")
	if extract("GOMAXPROCS", "3") != first {
		t.Error("on three cores the vectors differ")
	}
	for variable, value := range map[string]string{fastblas.Switch: "gonum", "GODEBUG": "cpu.avx2=off"} {
		found, err := subspace.ReadVectors(strings.NewReader(extract(variable, value)))
		if err != nil {
			t.Fatal(err)
		}
		var cosines mat.Dense
		cosines.Mul(planted.T(), found)
		for k := range m {
			row := mat.Row(nil, k, &cosines)
			if best := max(slices.Max(row), -slices.Min(row)); best < 1-1e-12 {
				t.Errorf("%s=%s: vector %d was not found: largest |cos| %v", variable, value, k, best)
			}
		}
	}
}
