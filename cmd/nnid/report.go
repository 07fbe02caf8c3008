package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"time"

	"github.com/nnid/nnid/core/identify"
)

//go:embed report.html.tmpl
var reportText string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"small":    func(v float64) string { return fmt.Sprintf("%.2e", v) },
	"duration": func(d time.Duration) string { return d.Round(time.Millisecond).String() },
	"time":     func(t time.Time) string { return t.Format("2006-01-02 15:04:05 UTC") },
}).Parse(reportText))

type reportStage struct {
	identify.StageBill
	Share   float64 // of all queries, in percent
	Seconds float64
	Bar     float64 // width, in percent of the longest
}

// renderReport makes report.html: one page that needs nothing else.
func renderReport(record runRecord, result *identify.Result) ([]byte, error) {
	certificate, err := marshal(result.Certificate)
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be written as JSON: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, certificate, "", "  "); err != nil {
		return nil, fmt.Errorf("the certificate cannot be written as JSON: %w", err)
	}
	var all, most int64
	for _, stage := range result.Stages {
		all, most = all+stage.Queries, max(most, stage.Queries)
	}
	stages := []reportStage{}
	for _, stage := range result.Stages {
		row := reportStage{StageBill: stage, Seconds: stage.Time.Seconds()}
		if most > 0 {
			row.Share, row.Bar = 100*float64(stage.Queries)/float64(all), 100*float64(stage.Queries)/float64(most)
		}
		stages = append(stages, row)
	}
	var page bytes.Buffer
	err = reportTemplate.Execute(&page, map[string]any{
		"Run": record, "Result": result, "Stages": stages, "Certificate": indented.String(), "Inputs": record.Oracle.Inputs,
	})
	if err != nil {
		return nil, fmt.Errorf("the report cannot be made: %w", err)
	}
	return page.Bytes(), nil
}
