package python

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/plugintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// need returns the first of the given Pythons that has the module. Without one the test is skipped, but never in CI.
func need(t *testing.T, module string, pythons ...string) string {
	t.Helper()
	for _, python := range pythons {
		if python != "" && exec.CommandContext(t.Context(), python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	text := fmt.Sprintf("THIS TEST DID NOT RUN: no Python with %s; see CONTRIBUTING.md", module)
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

func needPython(t *testing.T) string { return need(t, "sklearn", os.Getenv("NNID_TEST_PYTHON")) }

// PyTorch may be in another Python: what a package index has of it is of several GB, what Debian has is of 150 MB.
func needTorch(t *testing.T) string {
	return need(t, "torch", os.Getenv("NNID_TEST_PYTHON"), os.Getenv("NNID_TEST_TORCH_PYTHON"), "/usr/bin/python3")
}

func opened(t *testing.T, python, call string, options ...string) core.Oracle {
	t.Helper()
	given := core.Options{"call": call, "python": python}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		given[key] = value
	}
	resolved, err := Factory.Resolve(core.KindOracle, given)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Factory.Open(resolved)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// ask asks one row of ones.
func ask(t *testing.T, o core.Oracle) *mat.Dense {
	t.Helper()
	y, err := o.Query(t.Context(), mat.NewDense(1, 3, []float64{1, 1, 1}))
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func TestFunctions(t *testing.T) {
	python := needPython(t)
	want := math.Tanh(-1) + 0.5*math.Sin(1)
	for call, columns := range map[string]int{"good": 1, "two": 2, "Holder.Inner.answer": 1} {
		o := opened(t, python, "testdata/functions.py:"+call, "inputs=3")
		if y := ask(t, o); math.Abs(y.At(0, 0)-want) > 1e-15 || y.RawMatrix().Cols != columns {
			t.Errorf("%s: %v", call, mat.Formatted(y))
		}
	}
	if err := plugintest.CheckOracle(t.Context(), opened(t, python, "testdata/functions.py:good", "inputs=3", "processes=2", "max-batch=100"), 0); err != nil {
		t.Error(err)
	}
	t.Chdir("testdata") // a module is looked for here, too
	if y := ask(t, opened(t, python, "functions:good", "inputs=3")); math.Abs(y.At(0, 0)-want) > 1e-15 {
		t.Error(mat.Formatted(y))
	}
}

func TestScikitLearn(t *testing.T) {
	python := needPython(t)
	folder := t.TempDir()
	if output, err := exec.CommandContext(t.Context(), python, "testdata/estimators.py", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	models := map[string]bool{}
	for _, name := range []string{"regressor.joblib", "regressor.pkl"} {
		o := opened(t, python, filepath.Join(folder, name))
		info, err := o.Info(t.Context())
		if err != nil || info.Inputs != 3 || info.DType != core.FP64 || !strings.Contains(info.Model, " sha256=") {
			t.Errorf("%+v, %v", info, err)
		}
		models[info.Model] = true
		if y := ask(t, o); math.Abs(y.At(0, 0)-10) > 1e-12 {
			t.Errorf("%s: %v", name, mat.Formatted(y))
		}
	}
	if len(models) != 2 {
		t.Error(models)
	}
	classifier := filepath.Join(folder, "classifier.joblib")
	_, err := opened(t, python, classifier).Info(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is a classifier, whose predict answers labels") || !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
	y := ask(t, opened(t, python, classifier, "method=predict_proba"))
	if _, columns := y.Dims(); columns != 2 || math.Abs(y.At(0, 0)+y.At(0, 1)-1) > 1e-12 {
		t.Error(mat.Formatted(y))
	}
}

func TestPyTorch(t *testing.T) {
	python := needTorch(t)
	folder := t.TempDir()
	output, err := exec.CommandContext(t.Context(), python, "testdata/modules.py", folder).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	want, err := strconv.ParseFloat(strings.TrimSpace(string(output)), 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{"testdata/modules.py:double", filepath.Join(folder, "scripted.pt"), filepath.Join(folder, "pickled.pth")} {
		o := opened(t, python, call)
		info, err := o.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.DType != core.FP64 || !strings.Contains(info.Model, " weights=") || (info.Inputs != 3 && !strings.HasSuffix(call, "scripted.pt")) {
			t.Errorf("%+v", info)
		}
		if y := ask(t, o); math.Abs(y.At(0, 0)-want) > 1e-15 {
			t.Errorf("%s: %v, not %v", call, mat.Formatted(y), want)
		}
	}
	// Single precision is declared; dropout is off, so that the same row has the same answer.
	o := opened(t, python, "testdata/modules.py:single")
	info, err := o.Info(t.Context())
	if err != nil || info.DType != core.FP32 || info.Inputs != 3 {
		t.Errorf("%+v, %v", info, err)
	}
	if a, b := ask(t, o), ask(t, o); a.At(0, 0) != b.At(0, 0) {
		t.Errorf("%v, then %v", a, b)
	}
	_, err = opened(t, python, filepath.Join(folder, "weights.pt")).Info(t.Context())
	if err == nil || !strings.Contains(err.Error(), "holds weights only") {
		t.Error(err)
	}
}

// What is wrong with a model is a sentence, before it is asked where that can be known.
func TestModelsThatFail(t *testing.T) {
	python := needPython(t)
	for call, want := range map[string]string{
		"nowhere.py:f":                     "there is no file 'nowhere.py'",
		"testdata/functions.py:f.g":        "testdata/functions.py has no 'f.g'",
		"testdata/functions.py:number":     "of type int, can't be called and has no method predict",
		"no_such_module_at_all:f":          "there is no module 'no_such_module_at_all'",
		"model.h5":                         "'model.h5' is no file",
		"testdata/functions.py":            "is of no kind known",
		"testdata/functions.py:good|apply": "has no method 'apply'",
	} {
		call, method, _ := strings.Cut(call, "|")
		_, err := opened(t, python, call, "method="+method).Info(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", call, err)
		}
	}
	for call, want := range map[string]string{
		"scalar": "the model answers an array of shape () to one of shape (2, 3)",
		"labels": "the model answers ['yes'], of type <U3, where numbers are needed",
		"raises": "the model raised RuntimeError: out of memory",
		"exits":  "exited with status 4 after answering 0 of 2 rows; its last words:\n  goodbye",
	} {
		_, err := opened(t, python, "testdata/functions.py:"+call, "inputs=3").Query(t.Context(), mat.NewDense(2, 3, make([]float64, 6)))
		if err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Oracle) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for option, want := range map[string]string{
		"call=":                "option call is empty",
		"inputs=x":             "inputs",
		"python=no-such-pytho": "give its path",
		"timeout=soon":         "option timeout",
		"start-timeout=-1s":    "option start-timeout",
		"processes=1000":       "at most 256",
	} {
		given := core.Options{"call": "a.py:f"}
		key, value, _ := strings.Cut(option, "=")
		given[key] = value
		resolved, err := Factory.Resolve(core.KindOracle, given)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Factory.Open(resolved); err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", option, err)
		}
	}
}
