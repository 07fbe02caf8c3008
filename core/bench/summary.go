package bench

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Summary is what is known of a suite.
type Summary struct {
	Suite *Suite
	Cells []CellSummary
}

// CellSummary is what is known of a cell: the finished runs, by seed.
type CellSummary struct {
	Cell    Cell
	Records []*Record

	columns []string // metrics instead of the usual columns
}

// Summarise gathers the runs of the suite that the store has, up to the given number of seeds.
func Summarise(suite *Suite, seeds int, store *Store) (*Summary, error) {
	s := &Summary{Suite: suite}
	for _, cell := range suite.Cells {
		c := CellSummary{Cell: cell, columns: suite.Columns}
		for seed := range uint64(seeds) {
			spec := cell.Spec
			spec.Seed = suite.First + seed
			record, err := store.Get(spec.Hash())
			if err != nil {
				return nil, err
			}
			if record != nil {
				c.Records = append(c.Records, record)
			}
		}
		s.Cells = append(s.Cells, c)
	}
	return s, nil
}

// Successes returns how many runs succeeded.
func (c *CellSummary) Successes() int {
	return c.count(func(r *Record) bool { return c.Cell.Success(r) })
}

// ClaimedWrongly returns how many runs claimed a wrong network.
func (c *CellSummary) ClaimedWrongly() int {
	return c.count(func(r *Record) bool { return r.ClaimedWrongly(c.Cell.Bound) })
}

// Short reports whether fewer runs succeeded than the suite requires.
func (c *CellSummary) Short() bool {
	return float64(c.Successes()) < c.Cell.Require*float64(len(c.Records))
}

func (c *CellSummary) count(is func(*Record) bool) int {
	n := 0
	for _, r := range c.Records {
		if is(r) {
			n++
		}
	}
	return n
}

func (c *CellSummary) values(of func(*Record) float64) []float64 {
	v := make([]float64, 0, len(c.Records))
	for _, r := range c.Records {
		v = append(v, of(r))
	}
	return v
}

// Short returns the cells in which fewer runs succeeded than the suite requires.
func (s *Summary) Short() []CellSummary {
	var short []CellSummary
	for _, c := range s.Cells {
		if c.Short() {
			short = append(short, c)
		}
	}
	return short
}

var header = []string{"setting", "success", "95 %", "wrong claims", "error median", "max", "bound", "error / bar", "queries / P", "max", "seconds", "max"}

func (c *CellSummary) row() []string {
	if c.columns != nil {
		return c.metricRow()
	}
	n := len(c.Records)
	low, high := Wilson(c.Successes(), n)
	maxError := c.values(func(r *Record) float64 { return r.MaxError })
	overBar := c.values(func(r *Record) float64 { return r.MaxError / r.ErrorBar })
	perP := c.values((*Record).PerParameter)
	seconds := c.values(func(r *Record) float64 { return r.Seconds })
	return []string{
		c.Cell.Name, fmt.Sprintf("%d/%d", c.Successes(), n), fmt.Sprintf("%.0f-%.0f %%", 100*low, 100*high), fmt.Sprint(c.ClaimedWrongly()),
		number("%.0e", median(maxError)), number("%.0e", largest(maxError)), number("%.0e", c.Cell.Bound), number("%.2g", median(overBar)),
		number("%.1f", median(perP)), number("%.1f", largest(perP)), number("%.1f", median(seconds)), number("%.1f", largest(seconds)),
	}
}

func number(format string, v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// rows returns the header and a row a cell that has been run.
func (s *Summary) rows() [][]string {
	rows := [][]string{s.header()}
	for i := range s.Cells {
		if len(s.Cells[i].Records) > 0 {
			rows = append(rows, s.Cells[i].row())
		}
	}
	return rows
}

// WriteText writes the table for a terminal, and the failures.
func (s *Summary) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	rows := s.rows()
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for k, text := range row {
			widths[k] = max(widths[k], len([]rune(text)))
		}
	}
	for _, row := range rows {
		line := ""
		for k, text := range row {
			pad := strings.Repeat(" ", widths[k]-len([]rune(text)))
			if k == 0 {
				line += text + pad
			} else {
				line += "  " + pad + text
			}
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
	for _, f := range s.failures() {
		if s.Suite.Columns != nil { // where metrics are measured, a goal that is not reached is a number like others
			break
		}
		fmt.Fprintf(out, "failed: %s: %s (seed %s)\n", f.cell, f.reason, f.seeds())
	}
	return out.Flush()
}

// WriteMarkdown writes the table and the failures. figures are the paths of the figures, seen from the document; empty
// ones are left out.
func (s *Summary) WriteMarkdown(w io.Writer, command string, figures ...string) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "# %s\n\n", s.Suite.Title)
	fmt.Fprintf(out, "Written by `%s`; do not edit. ", command)
	if s.Suite.Columns != nil {
		s.explainMetrics(out)
	} else {
		fmt.Fprint(out, "A run is a success when it says that it identified the network, sizes and activation are right, and the largest "+
			"relative error of a unit's parameters, modulo the model's symmetries, is within the bound. *95 %* is Wilson's confidence interval of the "+
			"success rate; *wrong claims* are runs that say they identified the network while the error is neither within the bound nor within "+
			fmt.Sprint(barSlack)+" times their own error bar; *error* is that of all runs that found the right sizes; *P* is the number of parameters. "+
			"Medians and maxima are over the seeds; seconds are those of a run among others at the same time.\n\n")
	}
	for k, row := range s.rows() {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
		if k == 0 {
			fmt.Fprintf(out, "|---%s|\n", strings.Repeat("|---:", len(row)-1))
		}
	}
	for k, figure := range figures {
		text := "Parameter error and queries per parameter of every run"
		if k < len(s.Suite.Charts) {
			text = s.Suite.Charts[k].Title
		}
		if figure != "" {
			fmt.Fprintf(out, "\n![%s](%s)\n", text, figure)
		}
	}
	failures := s.failures()
	if s.Suite.Columns != nil {
		failures = slices.DeleteFunc(failures, func(f failure) bool { return f.outcome != string(TimedOut) && f.outcome != string(Failed) })
	}
	fmt.Fprint(out, "\n## Failures\n\n")
	if len(failures) == 0 {
		fmt.Fprintln(out, "None.")
	} else {
		fmt.Fprint(out, "| setting | seeds | outcome | last stage | reason |\n|---|---|---|---|---|\n")
		for _, f := range failures {
			fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", f.cell, f.seeds(), f.outcome, f.stage, strings.NewReplacer("|", "\\|", "\n", " ").Replace(f.reason))
		}
	}
	var missing []string
	for _, c := range s.Cells {
		if len(c.Records) == 0 {
			missing = append(missing, "- "+c.Cell.Name)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(out, "\n## Not run yet\n\n%s\n", strings.Join(missing, "\n"))
	}
	versions := map[string]bool{}
	runs := 0
	for _, c := range s.Cells {
		for _, r := range c.Records {
			versions[r.Version] = true
			runs++
		}
	}
	names := make([]string, 0, len(versions))
	for v := range versions {
		names = append(names, v)
	}
	slices.Sort(names)
	fmt.Fprintf(out, "\n%d runs with nnid %s.\n", runs, strings.Join(names, ", "))
	return out.Flush()
}

// failure is one way in which runs of a cell failed.
type failure struct {
	cell, outcome, stage, reason string
	records                      []*Record
}

func (f failure) seeds() string {
	var text []string
	for _, r := range f.records {
		text = append(text, fmt.Sprint(r.Spec.Seed))
	}
	return strings.Join(text, ", ")
}

// failures lists what did not succeed, with runs of one cell that failed alike together.
func (s *Summary) failures() []failure {
	var list []failure
	for i := range s.Cells {
		c := &s.Cells[i]
		for _, r := range c.Records {
			if c.Cell.Success(r) {
				continue
			}
			f := failure{cell: c.Cell.Name, outcome: string(r.Outcome), stage: r.Stage, reason: r.why(c.Cell.Bound)}
			at := slices.IndexFunc(list, func(other failure) bool {
				return other.cell == f.cell && other.outcome == f.outcome && other.stage == f.stage && other.reason == f.reason
			})
			if at < 0 {
				list = append(list, f)
				at = len(list) - 1
			}
			list[at].records = append(list[at].records, r)
		}
	}
	return list
}

// why says why the run was no success: in its own words where it knows, else by what it got wrong.
func (r *Record) why(bound float64) string {
	var wrong []string
	if r.FoundM0 != 0 && !r.SizesRight() {
		wrong = append(wrong, fmt.Sprintf("found %d + %d neurons instead of %d + %d", r.FoundM0, r.FoundM1, r.Size.M0, r.Size.M1))
	}
	if r.FoundActivation != "" && r.SizesRight() && !r.ActivationRight() {
		wrong = append(wrong, fmt.Sprintf("found %s instead of %s", r.FoundActivation, r.Activation))
	}
	if r.MaxError > bound {
		wrong = append(wrong, fmt.Sprintf("parameter error %.0e above %.0e, its bar is %s", r.MaxError, bound, number("%.0e", r.ErrorBar)))
	}
	if r.Outcome != Identified && r.Reason != "" {
		wrong = append([]string{r.Reason}, wrong...)
	}
	return strings.Join(wrong, "; ")
}
