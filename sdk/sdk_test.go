package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"go/build"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

var sine = ScalarFactory("sine", "the sine", core.Facts{Symmetry: core.SymmetryPoint}, math.Sin, math.Cos,
	func(t float64) float64 { return -math.Sin(t) }, func(t float64) float64 { return -math.Cos(t) })

func TestScalar(t *testing.T) {
	ctx := context.Background()
	a, err := sine.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Facts().Symmetry != core.SymmetryPoint {
		t.Errorf("facts %+v", a.Facts())
	}
	arguments := []float64{0, 1, -2}
	for order, f := range []func(float64) float64{math.Sin, math.Cos, func(t float64) float64 { return -math.Sin(t) }, func(t float64) float64 { return -math.Cos(t) }} {
		values, err := a.Derivative(ctx, order, arguments)
		if err != nil || !slices.Equal(values, []float64{f(0), f(1), f(-2)}) {
			t.Errorf("order %d: %v, %v", order, values, err)
		}
	}
	for _, order := range []int{-1, 4} {
		if _, err := a.Derivative(ctx, order, arguments); !fault.Is(err, fault.Unsupported) {
			t.Errorf("order %d: %v", order, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := a.Derivative(ended, 0, arguments); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

func TestCheck(t *testing.T) {
	named := func(name string) core.ActivationFactory { f := sine; f.Name = name; return f }
	option := func(names ...string) core.ActivationFactory {
		f := sine
		for _, name := range names {
			f.Options = append(f.Options, core.Option{Name: name})
		}
		return f
	}
	for _, c := range []struct {
		plugin Plugin
		want   string
	}{
		{Plugin{Name: "x", Version: "1", Activations: []core.ActivationFactory{sine}}, ""},
		{Plugin{Name: "x", Version: "1"}, ""},
		{Plugin{Version: "1"}, "1 to 64 characters"},
		{Plugin{Name: "../x", Version: "1"}, "lower case"},
		{Plugin{Name: "x"}, "no Version"},
		{Plugin{Name: "x", Version: "1", Activations: []core.ActivationFactory{sine, sine}}, "two components"},
		{Plugin{Name: "x", Version: "1", Activations: []core.ActivationFactory{named("Sine")}}, "lower case"},
		{Plugin{Name: "x", Version: "1", Activations: []core.ActivationFactory{{Component: sine.Component}}}, "no Open"},
		{Plugin{Name: "x", Version: "1", Solvers: []core.SolverFactory{{}}}, "no Open"},
		{Plugin{Name: "x", Version: "1", Oracles: []core.OracleFactory{{}}}, "no Open"},
		{Plugin{Name: "x", Version: "1", Activations: []core.ActivationFactory{option("a", "a")}}, "twice"},
		{Plugin{Name: "x", Version: "1", Activations: []core.ActivationFactory{option("")}}, "empty"},
	} {
		if err := c.plugin.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.plugin, err, c.want)
		}
	}
}

// Run by hand, a plugin says what it is, and describes itself when asked.
func TestByHand(t *testing.T) {
	if InPluginProcess() {
		t.Fatal("this is no plugin process")
	}
	p := Plugin{Name: "waves", Version: "2.0.1", Activations: []core.ActivationFactory{sine}}
	var stdout, stderr bytes.Buffer
	if code := byHand(p, "", &stdout, &stderr); code != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "waves 2.0.1, a plugin for nnid") {
		t.Errorf("%d, %q, %q", code, &stdout, &stderr)
	}
	stderr.Reset()
	if code := byHand(p, describeArgument, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("%d, %q", code, &stderr)
	}
	var d Description
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if c, ok := d.Find(core.KindActivation, "sine"); !ok || c.Summary != "the sine" || d.Plugin != "waves" || !slices.Contains(d.Protocols, Protocol) {
		t.Errorf("%+v", d)
	}
	if _, ok := d.Find(core.KindSolver, "sine"); ok {
		t.Error("found a solver")
	}
}

// The core and its stages know no transport, and the SDK no stage.
func TestLayers(t *testing.T) {
	const module = "github.com/nnid/nnid/"
	transport := []string{"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/hashicorp/go-plugin", module + "sdk"}
	for _, c := range []struct {
		folder  string
		forbids []string
	}{
		{"../core", append(transport, module+"plugins")},
		{"../core/fault", append(transport, module+"core")},
		{"../core/network", append(transport, module+"plugins")},
		{"../core/query", append(transport, module+"plugins", module+"core/host")},
		{"../core/identify", append(transport, module+"plugins", module+"core/host")},
		{".", []string{module + "core/identify", module + "core/host", module + "plugins"}},
	} {
		p, err := build.ImportDir(c.folder, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range p.Imports {
			for _, forbidden := range c.forbids {
				if imported == forbidden || strings.HasPrefix(imported, forbidden+"/") {
					t.Errorf("%s imports %s", c.folder, imported)
				}
			}
		}
	}
}
