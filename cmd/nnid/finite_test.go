package main

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/identify"
)

// TestFilesOfARunThatWentWrong: JSON has no NaN, and a run that went wrong may have little else to report.
func TestFilesOfARunThatWentWrong(t *testing.T) {
	result := &identify.Result{
		Reason: "nothing fits", Queries: 7,
		Validation:  identify.Validation{Queries: 3, MaxError: math.Inf(1), RelativeError: math.NaN()},
		Certificate: &certify.Certificate{ErrorBar: math.Inf(1), First: []float64{1, math.NaN()}},
		Stages:      []identify.StageBill{{Stage: "first layer", Queries: 7, Time: time.Second}},
	}
	data, err := marshal(eventLine{Kind: "result", Result: result, Event: &identify.Event{Stage: "fit", Loss: math.Inf(1)}})
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(data, &line); err != nil {
		t.Fatal(err)
	}
	got := line["result"].(map[string]any)
	validation := got["validation"].(map[string]any)
	if line["stage"] != "fit" || line["loss"] != nil || got["identified"] != false || got["queries"] != 7.0 || validation["max_error"] != nil || validation["queries"] != 3.0 {
		t.Errorf("%s", data)
	}
	if _, ok := got["Network"]; ok {
		t.Errorf("a field that is left out otherwise: %s", data)
	}
	if first := got["certificate"].(map[string]any)["first"].([]any); len(first) != 2 || first[1] != nil {
		t.Errorf("%s", data)
	}
	page, err := renderReport(runRecord{}, result)
	if err != nil || len(page) == 0 {
		t.Errorf("report: %v", err)
	}
}
