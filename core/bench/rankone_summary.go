package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// RankOneSummary is what is kept of a suite of subspaces.
type RankOneSummary struct {
	Suite   *RankOneSuite
	Solvers []string
	Cells   []RankOneCellSummary
	Peak    float64 // flops a second of a product of large matrices on one core, for comparison; 0 where not measured
}

// RankOneCellSummary is what is kept of one kind of subspace, all solvers together.
type RankOneCellSummary struct {
	Cell    RankOneCell
	Records []*RankOneRecord
}

// SummariseRankOne reads what the store has of the suite, of the solvers and the seeds 0 .. seeds-1.
func SummariseRankOne(suite *RankOneSuite, solvers []string, seeds int, store *RankOneStore) (*RankOneSummary, error) {
	s := &RankOneSummary{Suite: suite, Solvers: solvers}
	for _, cell := range suite.Cells {
		summary := RankOneCellSummary{Cell: cell}
		for seed := range uint64(seeds) {
			for _, solver := range solvers {
				spec := cell.Spec
				spec.Seed, spec.Solver = seed, solver
				record, err := store.Get(spec.Hash())
				if err != nil {
					return nil, err
				}
				if record != nil {
					summary.Records = append(summary.Records, record)
				}
			}
		}
		s.Cells = append(s.Cells, summary)
	}
	return s, nil
}

// standing is how a solver did on a set of runs.
type standing struct {
	solver                             string
	runs, solved, unsupported, timeout int
	invented                           int // runs that returned what is not there
	seconds                            float64
	times, own, errors                 []float64 // of runs that solved; own is processor time
	relative                           []float64 // error over perturbation, where there is one
	ratios                             []float64 // time over that of the fastest solver, of runs that solved
}

func (s standing) failures() int { return s.runs - s.solved }

// typical is the median processor time of the runs that solved, or of the time that passed where that was not measured.
func (s standing) typical() float64 {
	if own := median(s.own); !math.IsNaN(own) {
		return own
	}
	return median(s.times)
}

// standings returns how every solver did, best first: by failures, then by time.
func standings(solvers []string, records []*RankOneRecord) []standing {
	fastest := map[string]float64{}
	problem := func(r *RankOneRecord) string { spec := r.Spec; spec.Solver = ""; return spec.Hash() }
	for _, r := range records {
		if best, ok := fastest[problem(r)]; r.Outcome == Solved && (!ok || r.Seconds < best) {
			fastest[problem(r)] = r.Seconds
		}
	}
	var all []standing
	for _, solver := range solvers {
		s := standing{solver: solver}
		for _, r := range records {
			if r.Spec.Solver != solver {
				continue
			}
			s.runs++
			s.seconds += r.Seconds
			switch r.Outcome {
			case Solved:
				s.solved++
				s.times = append(s.times, r.Seconds)
				s.own = append(s.own, r.ownSeconds())
				s.errors = append(s.errors, r.MaxError)
				s.ratios = append(s.ratios, r.Seconds/fastest[problem(r)])
				if r.Spec.Perturbation > 0 {
					s.relative = append(s.relative, r.MaxError/r.Spec.Perturbation)
				}
			case Unsupported:
				s.unsupported++
			case TimedOut:
				s.timeout++
			}
			if r.Returned > r.Found {
				s.invented++
			}
		}
		if s.runs > 0 {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b standing) int {
		return cmp.Or(cmp.Compare(a.failures(), b.failures()), cmp.Compare(a.seconds, b.seconds))
	})
	return all
}

func (s *RankOneSummary) records() []*RankOneRecord {
	var all []*RankOneRecord
	for _, c := range s.Cells {
		all = append(all, c.Records...)
	}
	return all
}

var overallHead = []string{"solver", "runs", "solved", "failures", "of these unsupported", "timed out", "runs with inventions", "time / fastest", "seconds in all"}

func (s *RankOneSummary) overall() [][]string {
	var rows [][]string
	for _, t := range standings(s.Solvers, s.records()) {
		rows = append(rows, []string{
			t.solver, fmt.Sprint(t.runs), fmt.Sprint(t.solved), fmt.Sprint(t.failures()), fmt.Sprint(t.unsupported), fmt.Sprint(t.timeout), fmt.Sprint(t.invented),
			number("%.1f", geometricMean(t.ratios)), number("%.2f", t.seconds),
		})
	}
	return rows
}

var cellHead = []string{"subspaces", "solver", "solved", "ms", "CPU ms", "largest error", "error / perturbation"}

func (s *RankOneSummary) perCell() [][]string {
	var rows [][]string
	for _, c := range s.Cells {
		name := c.Cell.Name
		for _, t := range standings(s.Solvers, c.Records) {
			solved := fmt.Sprintf("%d of %d", t.solved, t.runs)
			if t.unsupported == t.runs {
				solved = "unsupported"
			}
			rows = append(rows, []string{
				name, t.solver, solved, milliseconds(median(t.times)), milliseconds(median(t.own)), number("%.1e", largest(t.errors)), number("%.2f", largest(t.relative)),
			})
			name = ""
		}
	}
	return rows
}

func milliseconds(seconds float64) string { return number("%.3g", 1e3*seconds) }

func geometricMean(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range values {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(values)))
}

var choiceHead = []string{"subspaces", "best", "ms", "next", "ms", "auto, ms", "auto / best"}

// choice tells for every cell which solver, auto aside, does best, by failures and then by the median of processor times, and
// what auto takes: the measurements that auto's choices are made from. It is empty without auto and two others.
func (s *RankOneSummary) choice() [][]string {
	const chooser = "auto"
	var rows [][]string
	for _, c := range s.Cells {
		var auto *standing
		var others []standing
		for _, t := range standings(s.Solvers, c.Records) {
			switch {
			case t.solver == chooser:
				auto = &t
			case t.solved > 0:
				others = append(others, t)
			}
		}
		if auto == nil || len(others) < 2 {
			continue
		}
		slices.SortStableFunc(others, func(a, b standing) int {
			return cmp.Or(cmp.Compare(a.failures(), b.failures()), cmp.Compare(a.typical(), b.typical()))
		})
		name := func(t standing) string {
			if t.failures() > 0 {
				return fmt.Sprintf("%s (%d of %d)", t.solver, t.solved, t.runs)
			}
			return t.solver
		}
		ratio := number("%.2f", auto.typical()/others[0].typical())
		if auto.failures() > 0 {
			ratio = fmt.Sprintf("%d of %d", auto.solved, auto.runs)
		}
		rows = append(rows, []string{
			c.Cell.Name, name(others[0]), milliseconds(others[0].typical()), name(others[1]), milliseconds(others[1].typical()), milliseconds(auto.typical()), ratio,
		})
	}
	return rows
}

// WriteText writes the table of all solvers, best first.
func (s *RankOneSummary) WriteText(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(out, strings.Join(overallHead, "\t"))
	for _, row := range s.overall() {
		fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	return out.Flush()
}

// WriteMarkdown writes both tables, with the command that made them and the figure.
func (s *RankOneSummary) WriteMarkdown(w io.Writer, command, figure string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# %s\n\n    %s\n\n", s.Suite.Title, command)
	text.WriteString("Best first, by failures and then by time. A run has solved its problem when every planted vector was found, within what rounding\n" +
		"and perturbation explain, and nothing else was returned. *time / fastest* is the geometric mean, over the problems solved, of the time\n" +
		"over that of the fastest solver of each. *CPU ms* is processor time, where it was measured (--workers 1) or the plugin tells it.\n\n")
	table(&text, overallHead, s.overall())
	if figure != "" {
		fmt.Fprintf(&text, "\n![Performance profiles and success](%s)\n", figure)
	}
	if rows := s.growth(); len(rows) > 0 {
		text.WriteString("\nHow the cost grows: least squares fits of the logarithms, over the exact random subspaces that were solved. *flops* are those of the\n" +
			"solver's products and factorisations by its own count.")
		if s.Peak > 0 {
			fmt.Fprintf(&text, " A product of matrices of order 512 ran at %.1f GFlop/s on one core in the same session.", s.Peak/1e9)
		}
		text.WriteString("\n\n")
		table(&text, growthHead, rows)
	}
	if rows := s.choice(); len(rows) > 0 {
		text.WriteString("\nWhat auto could choose: the best solver of each kind of subspace and the next, by failures and then by the median processor time (--workers 1; else the time that passed).\n\n")
		table(&text, choiceHead, rows)
	}
	text.WriteString("\nMedian times and largest errors of the runs that solved their problem:\n\n")
	table(&text, cellHead, s.perCell())
	_, err := io.WriteString(w, text.String())
	return err
}

func table(text *strings.Builder, head []string, rows [][]string) {
	fmt.Fprintf(text, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Fprintf(text, "| %s |\n", strings.Join(row, " | "))
	}
}
