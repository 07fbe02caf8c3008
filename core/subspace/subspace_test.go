package subspace_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/npy"
	"github.com/nnid/nnid/core/subspace"
)

func symmetric(random *rand.Rand, d int) *mat.SymDense {
	a := mat.NewSymDense(d, nil)
	for i := range d {
		for j := range i + 1 {
			a.SetSym(i, j, random.NormFloat64())
		}
	}
	return a
}

func random(t *testing.T, d, m int, seed uint64) *subspace.Subspace {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	var samples []mat.Symmetric
	for range m {
		samples = append(samples, symmetric(r, d))
	}
	s, err := subspace.Span(samples, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVectorisation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	for _, d := range []int{1, 2, 7} {
		a := symmetric(r, d)
		norm := mat.Norm(a, 2)
		for name, v := range map[string][]float64{"vec": subspace.Vec(a), "svec": subspace.Svec(a)} {
			if got := mat.Norm(mat.NewVecDense(len(v), v), 2); math.Abs(got-norm) > 1e-14*norm {
				t.Errorf("d=%d: |%s(A)| = %g, |A| = %g", d, name, got, norm)
			}
		}
		if !mat.EqualApprox(subspace.Unvec(subspace.Vec(a), d), a, 0) || !mat.EqualApprox(subspace.Unsvec(subspace.Svec(a), d), a, 1e-15) {
			t.Errorf("d=%d: the inverse of a vectorisation is not the matrix", d)
		}
	}
}

func TestSpan(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	const d, m = 6, 4
	truth := random(t, d, m, 3)
	var samples []mat.Symmetric
	for range 12 {
		sample := mat.NewSymDense(d, nil)
		for k := range m {
			var scaled mat.SymDense
			scaled.ScaleSym(r.NormFloat64(), truth.Element(k))
			sample.AddSym(sample, &scaled)
		}
		var noise mat.SymDense
		noise.ScaleSym(1e-7, symmetric(r, d))
		sample.AddSym(sample, &noise)
		samples = append(samples, sample)
	}
	s, err := subspace.Span(samples, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.Dimension() != m || s.Gap() < 1e4 || len(s.Spectrum) != 12 {
		t.Fatalf("dimension %d, gap %g, %d singular values", s.Dimension(), s.Gap(), len(s.Spectrum))
	}
	angles, err := subspace.Angles(s, truth)
	if err != nil {
		t.Fatal(err)
	}
	if angles[m-1] > 1e-6 || angles[m-1] < 1e-9 {
		t.Errorf("the largest angle to the true subspace is %g, with noise of 1e-7", angles[m-1])
	}
	for name, bad := range map[string]func() (*subspace.Subspace, error){
		"no samples": func() (*subspace.Subspace, error) { return subspace.Span(nil, 1) },
		"too many":   func() (*subspace.Subspace, error) { return subspace.Span(samples, 13) },
		"negative":   func() (*subspace.Subspace, error) { return subspace.Span(samples, -1) },
		"zero":       func() (*subspace.Subspace, error) { return subspace.Span([]mat.Symmetric{mat.NewSymDense(2, nil)}, 1) },
		"different order": func() (*subspace.Subspace, error) {
			return subspace.Span([]mat.Symmetric{mat.NewSymDense(2, nil), mat.NewSymDense(3, nil)}, 1)
		},
		"not finite": func() (*subspace.Subspace, error) {
			return subspace.Span([]mat.Symmetric{mat.NewSymDense(1, []float64{math.NaN()})}, 1)
		},
	} {
		if _, err := bad(); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProjectionAndAngles(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	s := random(t, 5, 6, 5)
	a := symmetric(r, 5)
	p, err := s.Project(a)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := s.Project(p)
	if !mat.EqualApprox(p, again, 1e-14) {
		t.Error("projecting twice differs from projecting once")
	}
	vectors := mat.NewDense(5, 3, nil)
	vectors.Apply(func(_, _ int, _ float64) float64 { return r.NormFloat64() }, vectors)
	w, err := subspace.FromRankOne(vectors)
	if err != nil || w.Dimension() != 3 {
		t.Fatal(err, w)
	}
	for k := range 3 {
		if residual, err := w.Residual(mat.Col(nil, k, vectors)); err != nil || residual > 1e-14 {
			t.Errorf("w w^T is %g off the span of w w^T (%v)", residual, err)
		}
	}
	// A plane turned by a known small and a known large angle.
	e := func(i, j int) *mat.SymDense {
		m := mat.NewSymDense(3, nil)
		m.SetSym(i, j, 1)
		return m
	}
	turned := func(angle float64, to *mat.SymDense, from *mat.SymDense) mat.Symmetric {
		var x, y mat.SymDense
		x.ScaleSym(math.Cos(angle), from)
		y.ScaleSym(math.Sin(angle), to)
		x.AddSym(&x, &y)
		return &x
	}
	v, _ := subspace.Span([]mat.Symmetric{e(0, 0), e(1, 1)}, 2)
	u, _ := subspace.Span([]mat.Symmetric{turned(1e-9, e(2, 2), e(0, 0)), turned(1.2, e(0, 1), e(1, 1))}, 2)
	angles, err := subspace.Angles(v, u)
	if err != nil || math.Abs(angles[0]-1e-9) > 1e-15 {
		t.Errorf("angles %v, want 1e-9 first (%v)", angles, err)
	}
	if _, err := s.Project(mat.NewSymDense(2, nil)); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
	if _, err := subspace.Angles(s, v); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

func TestProblem(t *testing.T) {
	s := random(t, 5, 6, 6)
	problem := s.Problem(3, 9)
	if err := problem.Check(); err != nil {
		t.Fatal(err)
	}
	back, err := subspace.FromProblem(problem)
	if err != nil || !mat.EqualApprox(s.Basis, back.Basis, 1e-15) {
		t.Errorf("there and back gives another basis (%v)", err)
	}
	if _, err := subspace.FromProblem(core.Problem{Dim: 2}); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	s := random(t, 4, 3, 7)
	var file bytes.Buffer
	if err := subspace.WriteBasis(&file, s); err != nil {
		t.Fatal(err)
	}
	if (file.Len()-3*16*8)%64 != 0 {
		t.Errorf("the entries start at byte %d, no multiple of 64", file.Len()-3*16*8)
	}
	whole := append([]byte(nil), file.Bytes()...)
	back, err := subspace.ReadBasis(&file)
	if err != nil || !mat.EqualApprox(s.Basis, back.Basis, 1e-15) {
		t.Fatalf("there and back gives another basis (%v)", err)
	}
	for cut := range len(whole) {
		if _, err := subspace.ReadBasis(bytes.NewReader(whole[:cut])); !fault.Is(err, fault.Usage) {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
	}
	for i := range 128 { // a damaged header is an error or another array, never a panic
		damaged := append([]byte(nil), whole...)
		damaged[i] ^= 0x15
		subspace.ReadBasis(bytes.NewReader(damaged))
	}

	vectors := mat.NewDense(2, 3, []float64{1, 2, 3, 4, 5, 6})
	file.Reset()
	if err := subspace.WriteVectors(&file, 2, vectors); err != nil {
		t.Fatal(err)
	}
	read, err := subspace.ReadVectors(&file)
	if err != nil || !mat.Equal(vectors, read) {
		t.Errorf("there and back gives %v (%v)", read, err)
	}
	file.Reset()
	npy.Write(&file, &npy.Array{Shape: []int{2}, Text: []string{"a", "b"}})
	if _, err := subspace.ReadVectors(&file); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
	file.Reset()
	npy.Write(&file, &npy.Array{Shape: []int{2}, Data: []float64{1, 2}})
	if _, err := subspace.ReadBasis(&file); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

// TestNumPy exchanges files with NumPy itself, where there is one.
func TestNumPy(t *testing.T) {
	python := os.Getenv("NNID_TEST_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import numpy").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("NNID_TEST_PYTHON must name a Python with NumPy: %v", err)
		}
		t.Skip("THIS TEST DID NOT RUN: NNID_TEST_PYTHON may name a Python with NumPy")
	}
	s := random(t, 4, 3, 8)
	dir := t.TempDir()
	var file bytes.Buffer
	if err := subspace.WriteBasis(&file, s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.npy"), file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var empty bytes.Buffer
	if err := subspace.WriteVectors(&empty, 4, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "empty.npy"), empty.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `import numpy as np
a = np.load("c.npy")
assert a.shape == (3, 4, 4) and np.allclose(np.einsum("kij,lij->kl", a, a), np.eye(3), atol=1e-14)
assert np.load("empty.npy").shape == (4, 0)
np.save("f.npy", np.asfortranarray(a))
np.save("single.npy", a.astype(np.float32))
np.save("big.npy", a.astype(">f8"))
`
	command := exec.Command(python, "-c", script)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, tolerance := range map[string]float64{"f.npy": 1e-15, "single.npy": 1e-7, "big.npy": 1e-15} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		back, err := subspace.ReadBasis(f)
		f.Close()
		if err != nil || !mat.EqualApprox(s.Basis, back.Basis, tolerance) {
			t.Errorf("%s: another basis (%v)", name, err)
		}
	}
}

// The null space of the minors counts the rank-ones of a subspace, also where they do not span it, and a curve of them has
// more; at a distance of rho from the subspace they have eigenvalues of 4 rho^2.
func TestMinors(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const d = 7
	vectors := func(k int) *mat.Dense {
		w := mat.NewDense(d, k, nil)
		for j := range k {
			x := make([]float64, d)
			for i := range x {
				x[i] = rng.NormFloat64()
			}
			floats.Scale(1/floats.Norm(x, 2), x)
			w.SetCol(j, x)
		}
		return w
	}
	count := func(name string, samples []mat.Symmetric, want int) []float64 {
		t.Helper()
		s, err := subspace.Span(samples, len(samples))
		if err != nil {
			t.Fatal(err)
		}
		values, err := subspace.Minors(s)
		if err != nil {
			t.Fatal(err)
		}
		if m := len(samples); len(values) != m*(m+1)/2 {
			t.Errorf("%s: %d eigenvalues", name, len(values))
		}
		n := 0
		for n < len(values) && values[n] < 1e-10 {
			n++
		}
		if n != want || values[0] < -1e-10 {
			t.Errorf("%s: the null space has dimension %d instead of %d: %.1e", name, n, want, values[:len(samples)+2])
		}
		return values
	}
	outer := func(w *mat.Dense) []mat.Symmetric {
		_, k := w.Dims()
		list := make([]mat.Symmetric, k)
		for j := range list {
			h := mat.NewSymDense(d, nil)
			h.SymRankOne(h, 1, w.ColView(j))
			list[j] = h
		}
		return list
	}
	count("nine rank-ones", outer(vectors(9)), 9)
	count("nine rank-ones and three other matrices", append(outer(vectors(9)), symmetric(rng, d), symmetric(rng, d), symmetric(rng, d)), 9)
	count("no rank-one", []mat.Symmetric{symmetric(rng, d), symmetric(rng, d), symmetric(rng, d)}, 0)
	curve := mat.NewDense(d, 3, nil)
	for j, x := range [][2]float64{{1, 0}, {0, 1}, {math.Sqrt(0.5), math.Sqrt(0.5)}} {
		curve.Set(0, j, x[0])
		curve.Set(1, j, x[1])
	}
	count("a curve of rank-ones", outer(curve), 5) // the squares of binary quadratic forms span 5 dimensions
	// One of two: e_1 e_1^T is off by rho.
	const rho = 1e-2
	off := mat.NewSymDense(d, nil)
	off.SetSym(0, 0, math.Sqrt(1-rho*rho))
	off.SetSym(1, 2, rho/math.Sqrt2)
	if v := count("nearly rank one", []mat.Symmetric{off}, 0)[0]; math.Abs(v/(4*rho*rho)-1) > 0.1 {
		t.Errorf("at a distance of %g the eigenvalue is %.3e", rho, v)
	}
	if _, err := subspace.Minors(&subspace.Subspace{Dim: 20, Basis: mat.NewDense(subspace.SvecLen(20), subspace.MostMinors+1, nil)}); err == nil {
		t.Error("minors of any number are taken")
	}
}
