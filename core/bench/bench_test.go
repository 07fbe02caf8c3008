package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/plugins/oracles"
	"github.com/nnid/nnid/plugins/solvers"
	"github.com/nnid/nnid/sdk"
	"github.com/nnid/nnid/testdata/tables"
)

func newRunner() *Runner {
	r := &Runner{
		Components: host.InProcess{Plugin: sdk.Plugin{Activations: activations.All(), Solvers: solvers.All(), Oracles: oracles.All()}},
		Tables:     tables.Files, Version: "test",
	}
	for _, a := range activations.All() {
		r.Activations = append(r.Activations, a.Name)
	}
	return r
}

func newStore(t *testing.T) *Store {
	t.Helper()
	store, err := OpenStore(filepath.Join(t.TempDir(), "results.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func parse(t *testing.T, content string) *Suite {
	t.Helper()
	suite, err := parseSuite([]byte(content), "../../suites", tables.Files)
	if err != nil {
		t.Fatal(err)
	}
	return suite
}

const head = "format: nnid/suite/v1\nname: small\nseeds: 2\n"

const small = head + `
defaults: {bound: 1e-7, timeout: 30s}
cells:
  - name: planted
    network: {family: planted, sizes: [4-4-2, 6-4-2], shift: 0.5, activation: tanh}
  - name: dead
    network: {family: degenerate, case: dead-output, sizes: 4-4-2, shift: 0.5, activation: tanh}
    bound: 1e-5
    require: 0.5
`

func TestSuite(t *testing.T) {
	suite := parse(t, small)
	if len(suite.Cells) != 3 || suite.Seeds != 2 {
		t.Fatalf("the suite is %+v", suite)
	}
	first, last := suite.Cells[0], suite.Cells[2]
	if first.Name != "planted 4-4-2 tanh shift 0.5" || first.Bound != 1e-7 || first.Timeout != 30*time.Second || first.Require != 0 {
		t.Errorf("the first cell is %+v", first)
	}
	if last.Name != "dead dead-output 4-4-2 tanh shift 0.5" || last.Bound != 1e-5 || last.Require != 0.5 {
		t.Errorf("the last cell is %+v", last)
	}
	hashes := map[string]bool{}
	for _, cell := range suite.Cells {
		hashes[cell.Spec.Hash()] = true
		cell.Spec.Seed = 1
		hashes[cell.Spec.Hash()] = true
	}
	if len(hashes) != 6 {
		t.Errorf("6 runs have %d hashes", len(hashes))
	}
	if err := suite.Only([]string{"6-4-2"}); err != nil || len(suite.Cells) != 1 {
		t.Errorf("--only leaves %d cells (%v)", len(suite.Cells), err)
	}
	if err := suite.Only([]string{"sigmoid"}); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "planted 6-4-2 tanh shift 0.5") {
		t.Errorf("--only without a match gives %v", err)
	}
}

// Errors show the place or name the field, and say what would be right.
func TestSuiteErrors(t *testing.T) {
	cell := func(text string) string { return head + "cells:\n  - " + text + "\n" }
	planted := "network: {family: planted, sizes: 4-4-2, activation: tanh}"
	for content, want := range map[string][]string{
		"format: nnid/suite/v2\nname: x\nseeds: 1\n": {`"nnid/suite/v2"`, `"nnid/suite/v1"`},
		"name: [": {"[1:7]"},
		strings.Replace(head, "seeds: 2", "seeds: 0", 1): {"seeds is 0"},
		strings.Replace(head, "small", "Small One", 1):   {"Small One", "lower case"},
		head:                {"no cells"},
		head + "sedes: 3\n": {"[4:1]", `unknown field "sedes"`},
		strings.Replace(head, "seeds: 2", "seeds: many", 1):                   {"[3:8]", "many"},
		cell("{name: a, netwrok: {}}"):                                        {"[5:15]", `unknown field "netwrok"`},
		cell("{" + planted + "}"):                                             {"needs a name"},
		cell("{name: a, network: {family: randm}}"):                           {`"randm"`, "planted, trained, degenerate, file"},
		cell("{name: a, network: {family: planted}}"):                         {"needs sizes and activation"},
		cell("{name: a, network: {family: planted, sizes: 4-4}}"):             {`"4-4"`, "20-20-5"},
		cell("{name: a, network: {family: planted, sizes: 4-0-2}}"):           {`"4-0-2"`},
		cell("{name: a, network: {family: planted, data: iris}}"):             {"the family planted has no data"},
		cell("{name: a, network: {family: planted, case: all}}"):              {"the family planted has no case"},
		cell("{name: a, network: {family: trained, data: irys}}"):             {`"irys"`, "iris", "wine"},
		cell("{name: a, network: {family: trained, data: iris, sizes: 1}}"):   {`"1"`, "8-4"},
		cell("{name: a, network: {family: trained, shift: 1}}"):               {"the family trained has no shift"},
		cell("{name: a, network: {family: degenerate, case: dead}}"):          {`"dead"`, "dead-output"},
		cell("{name: a, network: {family: file, file: none.json}}"):           {`"none.json"`, "relative to the folder"},
		cell("{name: a, " + planted + ", oracle: {dtype: FP16}}"):             {`"FP16"`, "FP32"},
		cell("{name: a, " + planted + ", oracle: {digits: [6, 18]}}"):         {"digits is 18"},
		cell("{name: a, " + planted + ", oracle: {noise: -1}}"):               {"noise is -1"},
		cell("{name: a, " + planted + ", run: {sizes: some}}"):                {`"some"`, "given or unknown"},
		cell("{name: a, " + planted + ", run: {recipe: cake}}"):               {`"cake"`, "there are: exact, paper"},
		cell("{name: a, " + planted + ", run: {domain: .inf}}"):               {"domain is +Inf"},
		cell("{name: a, " + planted + ", run: {max-queries: -1}}"):            {"max-queries is -1"},
		cell("{name: a, " + planted + ", run: {solver: {}}}"):                 {"[5:"},
		cell("{name: a, " + planted + ", timeout: soon}"):                     {`"soon"`, "90s"},
		cell("{name: a, " + planted + ", bound: -1}"):                         {"bound is -1"},
		cell("{name: a, " + planted + ", require: 95}"):                       {"require is 95"},
		cell("{name: a, " + planted + "}\n  - {name: a, " + planted + "}"):    {"is there twice"},
		strings.Replace(head, "name: small", "name: small\nname: other", 1):   {"name"},
		cell("{name: a, network: {family: planted, sizes: 4-4-2, shift: x}}"): {"[5:", "x"},
	} {
		_, err := parseSuite([]byte(content), "../../suites", tables.Files)
		if err == nil {
			t.Errorf("no error for\n%s", content)
			continue
		}
		for _, words := range want {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("the error\n%v\ndoes not say %s; the suite is\n%s", err, words, content)
			}
		}
	}
	if _, err := ReadSuite("none.yaml", tables.Files); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "suite file none.yaml") {
		t.Errorf("a missing file gives %v", err)
	}
}

// The suites that ship with nnid are legible.
func TestSuites(t *testing.T) {
	files, err := filepath.Glob("../../suites/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		if _, err := ReadSuite(file, tables.Files); err != nil {
			t.Error(err)
		}
	}
}

// Values of R's binom.confint(method = "wilson") and of Agresti and Coull 1998.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		successes, runs int
		low, high       float64
	}{
		{0, 0, 0, 1}, {0, 10, 0, 0.2775328}, {10, 10, 0.7224672, 1}, {5, 10, 0.2365931, 0.7634069},
		{1, 20, 0.0088814, 0.2361309}, {20, 20, 0.8388748, 1}, {81, 263, 0.2552723, 0.3662136},
	} {
		low, high := Wilson(c.successes, c.runs)
		if math.Abs(low-c.low) > 1e-4 || math.Abs(high-c.high) > 1e-4 {
			t.Errorf("%d of %d: %.7f to %.7f, not %.7f to %.7f", c.successes, c.runs, low, high, c.low, c.high)
		}
	}
}

func TestStatistics(t *testing.T) {
	nan := math.NaN()
	if m := median([]float64{3, nan, 1, 2}); m != 2 {
		t.Errorf("median %v", m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("median %v", m)
	}
	if m := largest([]float64{nan, 3, 1}); m != 3 {
		t.Errorf("largest %v", m)
	}
	if !math.IsNaN(median([]float64{nan})) || !math.IsNaN(largest(nil)) {
		t.Error("nothing has a median or a largest value")
	}
}

func TestVerdicts(t *testing.T) {
	r := newRecord(Spec{})
	r.Outcome, r.Size.M0, r.Size.M1, r.FoundM0, r.FoundM1 = Identified, 4, 2, 4, 2
	r.Activation, r.FoundActivation, r.MaxError, r.ErrorBar = "tanh", "tanh", 1e-4, 1e-5
	if !r.Success(1e-3) || r.ClaimedWrongly(1e-3) {
		t.Error("within the bound is a success")
	}
	if r.Success(1e-6) || r.ClaimedWrongly(1e-6) {
		t.Error("beyond the bound but within its bars is neither success nor wrong claim")
	}
	r.ErrorBar = 1e-8
	if !r.ClaimedWrongly(1e-6) {
		t.Error("beyond the bound and its bars is a wrong claim")
	}
	r.FoundM1, r.MaxError = 3, math.NaN()
	if r.Success(1) || !r.ClaimedWrongly(1) {
		t.Error("a wrong size is a wrong claim")
	}
	r.Outcome = NotIdentified
	if r.Success(1) || r.ClaimedWrongly(1) {
		t.Error("who claims nothing claims nothing wrong")
	}
}

// A suite cut short goes on where it was, and gives the same as one that was not, whatever the number of workers.
func TestResume(t *testing.T) {
	suite := parse(t, small)
	whole, cut := newStore(t), newStore(t)
	if err := newRunner().Run(t.Context(), suite, 2, whole); err != nil {
		t.Fatal(err)
	}

	runner := newRunner()
	runner.Workers = 1
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	runner.Observe = func(_ Cell, _ *Record, done, total int) {
		if runs++; runs == 2 {
			cancel()
		}
		if (total != 6 && total != 3) || done > total {
			t.Errorf("%d of %d runs are done", done, total)
		}
	}
	if err := runner.Run(ctx, suite, 2, cut); !errors.Is(err, context.Canceled) {
		t.Fatalf("the run ended with %v", err)
	}
	if runs != 2 {
		t.Fatalf("%d runs before the end", runs)
	}
	if err := runner.Run(t.Context(), suite, 2, cut); err != nil {
		t.Fatal(err)
	}
	if runs != 6 {
		t.Errorf("%d runs in all; finished ones are not repeated", runs)
	}

	a, err := Summarise(suite, 2, whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Summarise(suite, 2, cut)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Cells {
		for j := range a.Cells[i].Records {
			x, y := *a.Cells[i].Records[j], *b.Cells[i].Records[j]
			if x.Outcome != y.Outcome || x.Queries != y.Queries || x.FoundM0 != y.FoundM0 || x.Reason != y.Reason ||
				math.Float64bits(x.MaxError) != math.Float64bits(y.MaxError) || x.Stage == "" || x.Version != "test" {
				t.Errorf("the records differ:\n%+v\n%+v", x, y)
			}
		}
	}

	runner.Rerun = RerunOther
	if err := runner.Run(t.Context(), suite, 1, cut); err != nil || runs != 6 {
		t.Errorf("runs of this version were repeated (%v)", err)
	}
	runner.Version = "next"
	if err := runner.Run(t.Context(), suite, 1, cut); err != nil || runs != 9 {
		t.Errorf("%d runs after a new version (%v)", runs, err)
	}
}

// A run that takes too long is a record, and is tried again when there is more time.
func TestTimeout(t *testing.T) {
	suite := parse(t, head+"cells: [{name: a, network: {family: planted, sizes: 20-20-5, shift: 0.5, activation: tanh}}]\n")
	store := newStore(t)
	runner := newRunner()
	runner.Timeout = time.Millisecond
	runs := 0
	runner.Observe = func(_ Cell, r *Record, _, _ int) {
		runs++
		if r.Outcome != TimedOut || !strings.Contains(r.Reason, "1ms") && !strings.Contains(r.Reason, "2ms") {
			t.Errorf("the record is %+v", r)
		}
	}
	for _, timeout := range []time.Duration{1, 1, 2} {
		runner.Timeout = timeout * time.Millisecond
		if err := runner.Run(t.Context(), suite, 1, store); err != nil {
			t.Fatal(err)
		}
	}
	if runs != 2 {
		t.Errorf("%d runs; only one with more time is repeated", runs)
	}
}

func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.sqlite")
	if err := os.WriteFile(path, []byte("this is no database, whatever its name says; it is long enough to tell"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(path); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is no database gives %v", err)
	}
}

// What is written of the same results is the same, and has what people look for.
func TestSummary(t *testing.T) {
	suite := parse(t, head+"cells: [{name: a, network: {family: planted, sizes: [4-4-2, 5-5-2], activation: tanh}}]\n")
	suite.Title = "A title"
	good, bad := newRecord(suite.Cells[0].Spec), newRecord(suite.Cells[0].Spec)
	good.Outcome, good.Size.M0, good.Size.M1, good.FoundM0, good.FoundM1, good.MaxError, good.ErrorBar = Identified, 4, 2, 4, 2, 1e-12, 1e-12
	good.Parameters, good.Queries, good.Seconds, good.Version = 33, 330, 1.5, "1.0"
	bad.Spec.Seed, bad.Outcome, bad.Stage, bad.Reason, bad.Parameters, bad.Version = 1, NotIdentified, "second layer", "no luck | none", 33, "1.0"
	s := &Summary{Suite: suite, Cells: []CellSummary{{Cell: suite.Cells[0], Records: []*Record{good, bad}}, {Cell: suite.Cells[1]}}}
	var markdown, table, lines, svg, png strings.Builder
	for _, err := range []error{
		s.WriteMarkdown(&markdown, "nnid bench x.yaml", "x.svg"), s.WriteText(&table), s.WriteCSV(&lines), s.WriteFigure(&svg, "svg"), s.WriteFigure(&png, "png"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, words := range []string{
		"# A title", "| a 4-4-2 tanh | 1/2 | 9-91 % | 0 | 1e-12 | 1e-12 | 1e-06 | 1 | 5.0 | 10.0 | 0.8 | 1.5 |", "(x.svg)",
		`| a 4-4-2 tanh | 1 | not identified | second layer | no luck \| none |`, "- a 5-5-2 tanh", "2 runs with nnid 1.0", "`nnid bench x.yaml`",
	} {
		if !strings.Contains(markdown.String(), words) {
			t.Errorf("the Markdown lacks %s:\n%s", words, markdown.String())
		}
	}
	if !strings.Contains(table.String(), "failed: a 4-4-2 tanh: no luck | none (seed 1)") {
		t.Errorf("the table is\n%s", table.String())
	}
	if n := strings.Count(lines.String(), "\n"); n != 3 || !strings.Contains(lines.String(), "a 4-4-2 tanh,1,false,not identified,second layer") {
		t.Errorf("the CSV is\n%s", lines.String())
	}
	if !strings.Contains(svg.String(), "<svg") || !strings.HasPrefix(png.String(), "\x89PNG") {
		t.Error("the figures are none")
	}
	if err := (&Summary{Suite: suite}).WriteFigure(&svg, "svg"); err == nil {
		t.Error("a figure of nothing")
	}
}

// The quick suite holds what it requires.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("takes up to a minute")
	}
	suite, err := ReadSuite("../../suites/quick.yaml", tables.Files)
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(t)
	if err := newRunner().Run(t.Context(), suite, suite.Seeds, store); err != nil {
		t.Fatal(err)
	}
	summary, err := Summarise(suite, suite.Seeds, store)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := summary.WriteText(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
	for _, c := range summary.Short() {
		t.Errorf("%s: %d of %d runs succeeded; the suite requires a rate of %g", c.Cell.Name, c.Successes(), len(c.Records), c.Cell.Require)
	}
	for _, c := range summary.Cells {
		if n := c.ClaimedWrongly(); n > 0 {
			t.Errorf("%s: %d runs claimed a wrong network", c.Cell.Name, n)
		}
	}
}
