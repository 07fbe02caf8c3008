package npy

import (
	"archive/zip"
	"bytes"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nnid/nnid/core/fault"
)

var examples = map[string]*Array{
	"vector": {Shape: []int{3}, Data: []float64{1, -0.5, 1e300}},
	"matrix": {Shape: []int{2, 3}, Data: []float64{1, 2, 3, 4, 5, 6}},
	"number": {Shape: nil, Data: []float64{math.Pi}},
	"none":   {Shape: []int{4, 0}},
	"texts":  {Shape: []int{2}, Text: []string{"tanh", "größer"}},
}

func encode(t testing.TB, a *Array) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, a); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestThereAndBack(t *testing.T) {
	for name, a := range examples {
		data := encode(t, a)
		back, err := Read(bytes.NewReader(data))
		if err != nil || !reflect.DeepEqual(a, back) {
			t.Errorf("%s: %+v became %+v (%v)", name, a, back, err)
		}
		for cut := range data {
			if _, err := Read(bytes.NewReader(data[:cut])); !fault.Is(err, fault.Usage) {
				t.Errorf("%s cut at byte %d: %v", name, cut, err)
			}
		}
	}
}

// needPython returns a Python with NumPy. Without one the test is skipped, but never in CI.
func needPython(t *testing.T) string {
	t.Helper()
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
	return python
}

func runPython(t *testing.T, folder, code string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), needPython(t), "-c", code)
	command.Dir = folder
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// NumPy reads what is written here and the other way round.
func TestNumPy(t *testing.T) {
	folder := t.TempDir()
	var members []Member
	for _, name := range []string{"vector", "matrix", "number", "none", "texts"} {
		members = append(members, Member{name, examples[name]})
	}
	var file bytes.Buffer
	if err := WriteArchive(&file, members); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "a.npz"), file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	runPython(t, folder, `
import numpy as np
a = np.load("a.npz")
assert sorted(a) == ["matrix", "none", "number", "texts", "vector"], sorted(a)
assert (a["vector"] == [1, -0.5, 1e300]).all() and (a["matrix"] == [[1, 2, 3], [4, 5, 6]]).all()
assert a["number"] == np.pi and a["number"].shape == () and a["none"].shape == (4, 0)
assert a["texts"].tolist() == ["tanh", "größer"]
m = np.arange(24.0).reshape(2, 3, 4)
np.savez("plain.npz", c=m, f=np.asfortranarray(m), single=m.astype("f4"), big=m.astype(">f8"), short=(m - 9).astype("i2"),
         unsigned=m.astype("u1"), truth=m > 11, text=np.array("größer"), texts=np.array(["a", "bcd"]), bigtexts=np.array(["a", "bcd"], ">U3"))
np.savez_compressed("small.npz", c=np.zeros((1000, 1000)))
np.savez("objects.npz", o=np.array([None, {}], dtype=object))
np.savez("records.npz", o=np.zeros(2, dtype=[("a", "f8"), ("b", "i4")]))
np.savez("complex.npz", o=np.zeros(2, complex))
`)
	read := func(name string) (map[string]*Array, []string, error) {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return ReadArchive(bytes.NewReader(data), int64(len(data)), func(name string) bool { return name != "unread" })
	}
	arrays, names, err := read("plain.npz")
	if err != nil || len(names) != 10 {
		t.Fatal(names, err)
	}
	for name, want := range map[string]func(i int) float64{
		"c": func(i int) float64 { return float64(i) }, "f": func(i int) float64 { return float64(i) },
		"single": func(i int) float64 { return float64(i) }, "big": func(i int) float64 { return float64(i) },
		"short": func(i int) float64 { return float64(i - 9) }, "unsigned": func(i int) float64 { return float64(i) },
		"truth": func(i int) float64 { return float64(i / 12) },
	} {
		a := arrays[name]
		if !reflect.DeepEqual(a.Shape, []int{2, 3, 4}) || len(a.Data) != 24 {
			t.Errorf("%s: %+v", name, a)
			continue
		}
		for i, v := range a.Data {
			if v != want(i) {
				t.Errorf("%s: entry %d is %g, want %g", name, i, v, want(i))
			}
		}
	}
	if a := arrays["text"]; len(a.Shape) != 0 || !reflect.DeepEqual(a.Text, []string{"größer"}) {
		t.Errorf("%+v", a)
	}
	for _, name := range []string{"texts", "bigtexts"} {
		if a := arrays[name]; !reflect.DeepEqual(a.Text, []string{"a", "bcd"}) {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if arrays, _, err := read("small.npz"); err != nil || len(arrays["c"].Data) != 1e6 {
		t.Error(err)
	}
	for name, want := range map[string]string{"objects.npz": `holds "|O"`, "records.npz": "entries with names", "complex.npz": `holds "<c16"`} {
		if _, _, err := read(name); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A small file can't take much memory.
func TestBombs(t *testing.T) {
	huge := strings.Replace(string(encode(t, &Array{Shape: []int{111111111}})), "(111111111,)", "(268435456,)", 1)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Read(strings.NewReader(huge)); !fault.Is(err, fault.Usage) {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<16 {
		t.Errorf("a file of %d bytes takes %d", len(huge), allocated)
	}
	if _, err := Read(strings.NewReader(strings.Replace(huge, "(268435456,)", "(268435457,)", 1))); err == nil || !strings.Contains(err.Error(), "the largest that is read") {
		t.Error(err)
	}
	var file bytes.Buffer
	archive := zip.NewWriter(&file)
	w, err := archive.Create("a.npy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, strings.NewReader(huge)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readArchive(bytes.NewReader(file.Bytes()), int64(file.Len()), func(string) bool { return true }, 1<<20); err == nil || !strings.Contains(err.Error(), "more bytes than are read") {
		t.Errorf("an archive of %d bytes: %v", file.Len(), err)
	}
}

func FuzzRead(f *testing.F) {
	for _, a := range examples {
		f.Add(encode(f, a))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Read(bytes.NewReader(data))
		if err != nil {
			if !fault.Is(err, fault.Usage) {
				t.Error(err)
			}
			return
		}
		back, err := Read(bytes.NewReader(encode(t, a)))
		if err != nil || !reflect.DeepEqual(a.Shape, back.Shape) || len(a.Data) != len(back.Data) || len(a.Text) != len(back.Text) {
			t.Errorf("%+v became %+v (%v)", a, back, err)
		}
	})
}

func FuzzArchive(f *testing.F) {
	var file bytes.Buffer
	if err := WriteArchive(&file, []Member{{"a", examples["matrix"]}, {"b", examples["texts"]}}); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := ReadArchive(bytes.NewReader(data), int64(len(data)), func(string) bool { return true }); err != nil && !fault.Is(err, fault.Usage) {
			t.Error(err)
		}
	})
}
