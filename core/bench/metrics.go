package bench

import (
	"fmt"
	"io"
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/nnid/nnid/core/identify"
)

// header returns the table's header.
func (s *Summary) header() []string {
	if s.Suite.Columns == nil {
		return header
	}
	row := []string{"setting", "runs"}
	if s.goal() != "" {
		row = append(row, "success", "95 %")
	}
	return append(row, s.Suite.Columns...)
}

// goal is what the cells call a success, empty where none has a goal of its own.
func (s *Summary) goal() string {
	for _, c := range s.Cells {
		if c.Cell.Goal.Metric != "" {
			return c.Cell.Goal.String()
		}
	}
	return ""
}

// explainMetrics says what the columns are.
func (s *Summary) explainMetrics(w io.Writer) {
	if goal := s.goal(); goal != "" {
		fmt.Fprintf(w, "A run is a success when `%s`; *95 %%* is Wilson's confidence interval of the success rate. ", goal)
	}
	fmt.Fprint(w, "Every other column is the mean over the runs and half of its 95 % confidence interval (Student's t); what the metrics are is said in "+
		"[core/bench/paper.go](https://github.com/nnid/nnid/blob/main/core/bench/paper.go)")
	for _, c := range s.Cells {
		if c.Cell.Spec.Recipe == identify.RecipeExact {
			fmt.Fprint(w, " and [core/bench/cost.go](https://github.com/nnid/nnid/blob/main/core/bench/cost.go)")
			break
		}
	}
	fmt.Fprint(w, ".\n\n")
}

// metricRow is the row of a suite with columns.
func (c *CellSummary) metricRow() []string {
	n := len(c.Records)
	row := []string{c.Cell.Name, fmt.Sprint(n)}
	if c.Cell.Goal.Metric != "" {
		low, high := Wilson(c.Successes(), n)
		row = append(row, fmt.Sprintf("%d/%d", c.Successes(), n), fmt.Sprintf("%.0f-%.0f %%", 100*low, 100*high))
	}
	for _, name := range c.columns {
		mean, half := Mean(c.values(func(r *Record) float64 { return r.Metric(name) }))
		row = append(row, meanText(mean, half))
	}
	return row
}

func meanText(mean, half float64) string {
	switch {
	case math.IsNaN(mean):
		return "-"
	case math.IsNaN(half) || half == 0:
		return short(mean)
	}
	return short(mean) + " ± " + short(half)
}

func short(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 1e5 || a < 1e-2:
		return fmt.Sprintf("%.1e", v)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Mean returns the mean of the values and half the width of its 95 % confidence interval by Student's t; NaN values,
// which there was nothing to measure of, are passed over. Half is NaN for fewer than two.
func Mean(values []float64) (mean, half float64) {
	var kept []float64
	for _, v := range values {
		if !math.IsNaN(v) {
			kept = append(kept, v)
		}
	}
	if len(kept) == 0 {
		return math.NaN(), math.NaN()
	}
	mean, deviation := stat.MeanStdDev(kept, nil)
	if len(kept) == 1 {
		return mean, math.NaN()
	}
	n := float64(len(kept))
	return mean, distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975) * deviation / math.Sqrt(n)
}
