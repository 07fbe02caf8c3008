package bench

import (
	"database/sql"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nnid/nnid/testdata/tables"
)

const paperSuite = head + `
columns: [found, recall_a, queries]
charts:
  - {name: one, title: One, x: hessians, y: recall_a, series: cell weights method, log: x}
  - {name: two, title: Two, cells: frozen, x: hessians, y: weights, value: success}
defaults: {timeout: 60s, success: "found >= 1"}
cells:
  - name: frozen
    network: {family: frozen, sizes: 6-6-2, shift: 0.2, activation: tanh, weights: [orthonormal, sphere]}
    run: {recipe: paper, sizes: given, stop-after: verify, options: {joint: never, radius: "1", stencil: central, hessians: ["40", "80"]}}
  - name: shallow
    network: {family: shallow, sizes: 5-6, shift: 0.2, activation: tanh}
    run: {recipe: paper, sizes: given, solver: spm, options: {joint: never, radius: "1", stencil: central, hessians: "60"}}
  - name: whole
    network: {family: planted, sizes: 6-6-2, shift: 0.02, activation: tanh, weights: "0.3"}
    run: {recipe: paper, sizes: given, options: {hessians: "80", method: extended}}
`

// A suite of the recipe paper: grids over its options, metrics in table, CSV and database, charts.
func TestPaperSuite(t *testing.T) {
	suite := parse(t, paperSuite)
	if len(suite.Cells) != 6 {
		t.Fatalf("there are %d cells", len(suite.Cells))
	}
	if name := suite.Cells[0].Name; name != "frozen 6-6-2 tanh weights orthonormal shift 0.2 paper hessians 40 joint never radius 1 stencil central to verify" {
		t.Errorf("the first cell is %q", name)
	}
	store := newStore(t)
	if err := newRunner().Run(t.Context(), suite, 1, store); err != nil {
		t.Fatal(err)
	}
	summary, err := Summarise(suite, 1, store)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range summary.Cells {
		r := c.Records[0]
		switch c.Cell.Group {
		case "frozen":
			// Nothing drifts: everything is found, by the paper's program alone.
			if r.Metric("recall_a") != 1 || r.Metric("recall_v") != 1 || r.Metric("all_found") != 1 || r.Metric("sin_angle") > 1e-3 || r.Metric("wrong_accepted") != 0 {
				t.Errorf("%s: %v", c.Cell.Name, r.Metrics)
			}
		case "shallow":
			if r.Metric("recall_a") != 1 || r.Metric("weight_error") > 1e-2 || !math.IsNaN(r.Metric("recall_v")) {
				t.Errorf("%s: %v (%s)", c.Cell.Name, r.Metrics, r.Reason)
			}
		case "whole":
			if r.Metric("found") < 4 || math.IsNaN(r.Metric("attribution_drift")) || math.IsNaN(r.Metric("uniform_error")) || math.IsNaN(r.Metric("shift_error")) || math.IsNaN(r.Metric("rejects_wrong_2nd_order")) {
				t.Errorf("%s: %v (%s)", c.Cell.Name, r.Metrics, r.Reason)
			}
		}
		if !c.Cell.Success(r) {
			t.Errorf("%s misses its goal %s", c.Cell.Name, c.Cell.Goal)
		}
	}
	others := *suite
	others.First = 1
	if next, err := Summarise(&others, 1, store); err != nil || len(next.Cells[0].Records) != 0 {
		t.Errorf("seed 1 has not been run, but there is %v (%v)", next.Cells[0].Records, err)
	}
	others.Cells = others.Cells[:1]
	if err := newRunner().Run(t.Context(), &others, 1, store); err != nil {
		t.Fatal(err)
	}
	if next, err := Summarise(&others, 1, store); err != nil || len(next.Cells[0].Records) != 1 || next.Cells[0].Records[0].Spec.Seed != 1 {
		t.Errorf("from seed 1 on, one seed, gives %v (%v)", next.Cells[0].Records, err)
	}
	var markdown, csv, svg, png, text strings.Builder
	if err := summary.WriteMarkdown(&markdown, "nnid bench x.yaml", "a.svg", "", "b.svg"); err != nil {
		t.Fatal(err)
	}
	if err := summary.WriteCSV(&csv); err != nil {
		t.Fatal(err)
	}
	if err := summary.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for want, where := range map[string]string{
		"| setting | runs | success | 95 % | found | recall_a | queries |": markdown.String(), "![One](a.svg)": markdown.String(),
		"wrong_accepted": csv.String(), "found >= 1": markdown.String(), "1/1": text.String(),
	} {
		if !strings.Contains(where, want) {
			t.Errorf("%q is missing in\n%s", want, where)
		}
	}
	for _, chart := range suite.Charts {
		for format, out := range map[string]*strings.Builder{"svg": &svg, "png": &png} {
			if some, err := summary.WriteChart(out, chart, format); !some || err != nil {
				t.Errorf("chart %s as %s: %v (%v)", chart.Name, format, some, err)
			}
		}
	}
	if !strings.Contains(svg.String(), ">hessians<") || !strings.HasPrefix(png.String(), "\x89PNG") {
		t.Error("the charts are no figures")
	}
	none := Chart{Name: "none", X: "d", Y: "found", Cells: "nothing"}
	if some, err := summary.WriteChart(&svg, none, "svg"); some || err != nil {
		t.Errorf("a chart of nothing: %v (%v)", some, err)
	}
}

// A point of a chart is one cell.
func TestChartCells(t *testing.T) {
	suite := parse(t, paperSuite)
	if name := suite.Charts[0].curve(suite.Cells[0]); name != "frozen, weights orthonormal, method published" {
		t.Errorf("the first curve is %q", name)
	}
	for series, want := range map[string]string{"cell": "one point", "cell weights": ""} {
		err := Chart{Name: "c", X: "hessians", Y: "found", Series: series, Cells: "frozen"}.checkCells(suite.Cells)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("series %s: %v", series, err)
		}
	}
	if err := (Chart{Name: "c", X: "d", Y: "found", Cells: "nothing"}).checkCells(suite.Cells); err == nil {
		t.Error("a chart of no cells is taken")
	}
}

func TestPaperSuiteErrors(t *testing.T) {
	for text, cell := range map[string]string{
		"belong to the recipe":  "network: {family: planted, sizes: 4-4-2, activation: tanh}\n    run: {options: {joint: never}}",
		"is for the recipe":     "network: {family: shallow, sizes: 4-6, activation: tanh}",
		`stencil="up"`:          "network: {family: planted, sizes: 4-4-2, activation: tanh}\n    run: {recipe: paper, options: {stencil: up}}",
		"no stage":              "network: {family: planted, sizes: 4-4-2, activation: tanh}\n    run: {recipe: paper, stop-after: lunch}",
		"weights is":            "network: {family: planted, sizes: 4-4-2, activation: tanh, weights: crooked}",
		"answers exactly":       "network: {family: frozen, sizes: 4-4-2, activation: tanh}\n    oracle: {noise: 1}\n    run: {recipe: paper}",
		"refine is for":         "network: {family: shallow, sizes: 4-6, activation: tanh}\n    run: {recipe: paper, refine: true}",
		"must be like 20-30":    "network: {family: shallow, sizes: 4, activation: tanh}\n    run: {recipe: paper}",
		`must be like "all_fou`: "network: {family: planted, sizes: 4-4-2, activation: tanh}\n    success: lots",
	} {
		content := head + "cells:\n  - name: a\n    " + cell + "\n"
		if _, err := parseSuite([]byte(content), ".", tables.Files); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s\ngives %v; wanted %q", content, err, text)
		}
	}
}

// Two runs that differ widely have an interval far beyond the axis.
func TestWideIntervals(t *testing.T) {
	suite := parse(t, paperSuite)
	cell := suite.Cells[0]
	one, two := newRecord(cell.Spec), newRecord(cell.Spec)
	one.Metrics, two.Metrics = map[string]float64{"found": 1}, map[string]float64{"found": 25}
	s := &Summary{Suite: suite, Cells: []CellSummary{{Cell: cell, Records: []*Record{one, two}}}}
	for _, log := range []string{"", "y"} {
		for _, format := range []string{"svg", "png"} {
			var out strings.Builder
			if some, err := s.WriteChart(&out, Chart{Name: "wide", X: "hessians", Y: "found", Log: log}, format); !some || err != nil {
				t.Errorf("%s, log %q: %v (%v)", format, log, some, err)
			}
		}
	}
}

func TestMean(t *testing.T) {
	// Student's t with 3 degrees of freedom: 3.1824.
	mean, half := Mean([]float64{1, 2, math.NaN(), 3, 4})
	if want := 3.182446 * math.Sqrt(5.0/3) / 2; mean != 2.5 || math.Abs(half-want) > 1e-5 {
		t.Errorf("mean %g, half %g; wanted 2.5, %g", mean, half, want)
	}
	if mean, half := Mean(nil); !math.IsNaN(mean) || !math.IsNaN(half) {
		t.Error("there is a mean of nothing")
	}
}

// Results of before there were metrics are read, and added to.
func TestOldStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.sqlite")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(strings.Replace(schema, ", metrics TEXT", "", 1)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r := newRecord(Spec{Family: FamilyPlanted})
	r.Metrics = map[string]float64{"found": 3}
	if err := store.Put(r); err != nil {
		t.Fatal(err)
	}
	if back, err := store.Get(r.Hash); err != nil || back.Metric("found") != 3 {
		t.Errorf("there and back gives %+v (%v)", back, err)
	}
}
