package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/bench"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/testdata/tables"
)

// Files of the results folder.
const (
	fileStore       = "results.sqlite"
	fileCSV         = "results.csv"
	fileSummary     = "summary.md"
	figureSummary   = "summary.svg"
	figureSummaryPN = "summary.png"
)

type benchFlags struct {
	common
	workers     int
	out         string
	only        []string
	seeds       int
	firstSeed   uint64
	timeout     time.Duration
	rerun       string
	table       string
	list, quiet bool
}

func newBench(s *streams) *cobra.Command {
	f := &benchFlags{common: common{streams: s}}
	command := &cobra.Command{
		Use:   "bench FILE",
		Short: "Measure identification over a suite of hidden networks",
		Long: `bench hides networks whose parameters it knows, identifies every one and measures how far what was found is
from the truth. FILE is a suite in YAML: networks (planted at random, trained on real data, degenerate on purpose, or
files), conditions of the oracle (precision, digits, noise) and settings of the run (what is given, solver, domain,
budget), each one value or a list of values; every combination is a cell of the table and is run with every seed.

Built-in components run within this process, as the boundary between processes is not what is measured; third parties'
plugins run in theirs. Times are those of a machine that does --workers runs at once.

The results folder receives results.sqlite (every finished run), results.csv, summary.md and the figure, summary.svg
and summary.png. Finished runs are kept: repeat the command to go on, or with more seeds. Results of another version of
nnid are kept too: --rerun other measures them anew.

Exit status: 0 done; 3 a cell succeeded less often than the suite requires; 2 the command line or a file is wrong;
1 anything else.`,
		Example: `  nnid bench suites/quick.yaml
  nnid bench suites/exact.yaml --seeds 3 --only "planted 20-20-5" --out results
  nnid bench suites/exact.yaml --table docs/exact-results.md`,
		Args:              arguments("FILE"),
		RunE:              func(command *cobra.Command, args []string) error { return f.run(command.Context(), args[0]) },
		ValidArgsFunction: cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt),
	}
	flags := command.Flags()
	flags.IntVar(&f.workers, "workers", 0, "runs at the same time; 0: one a core")
	flags.StringVar(&f.out, "out", "", "folder of the results (default: nnid-bench-NAME here)")
	flags.StringArrayVar(&f.only, "only", nil, "run only cells with this text in their name; may be repeated")
	flags.IntVar(&f.seeds, "seeds", 0, "how many seeds of every cell, 0 to N-1; 0: as many as the suite says")
	flags.Uint64Var(&f.firstSeed, "first-seed", 0, "the seeds begin here instead of at 0: the same suite on other networks; better with another --out")
	flags.DurationVar(&f.timeout, "timeout", 0, "most time for one run, such as 90s; 0: as the suite says")
	flags.StringVar(&f.rerun, "rerun", string(bench.RerunNone), "kept runs to repeat: none, failed, other (those of another build of nnid) or all")
	flags.StringVar(&f.table, "table", "", "also write the summary to this Markdown file, with the figure beside it")
	flags.BoolVar(&f.list, "list", false, "print the cells and run nothing")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no line for every run")
	f.register(command)
	complete(command, "rerun", cobra.FixedCompletions(reruns, cobra.ShellCompDirectiveNoFileComp))
	command.AddCommand(newBenchSolvers(s))
	return command
}

var reruns = []string{string(bench.RerunNone), string(bench.RerunFailed), string(bench.RerunOther), string(bench.RerunAll)}

func (f *benchFlags) run(ctx context.Context, file string) (err error) {
	switch {
	case f.workers < 0:
		return fault.New(fault.Usage, "--workers %d must be positive, or 0 for one a core", f.workers)
	case f.seeds < 0:
		return fault.New(fault.Usage, "--seeds %d must be positive, or 0 for the suite's", f.seeds)
	case f.timeout < 0:
		return fault.New(fault.Usage, "--timeout %s must be positive, or 0 for the suite's", f.timeout)
	}
	if !slices.Contains(reruns, f.rerun) {
		return fault.New(fault.Usage, "--rerun %s is not known; choose %s", f.rerun, strings.Join(reruns, ", "))
	}
	suite, err := bench.ReadSuite(file, tables.Files)
	if err != nil {
		return err
	}
	if f.firstSeed > 1<<62 {
		return fault.New(fault.Usage, "--first-seed %d is too large", f.firstSeed)
	}
	suite.First = f.firstSeed
	whole := *suite // the summary shows what is kept of other cells too
	if err := suite.Only(f.only); err != nil {
		return err
	}
	if f.list {
		for _, cell := range suite.Cells {
			fmt.Fprintln(f.streams.out, cell.Name)
		}
		return nil
	}
	seeds := f.seeds
	if seeds == 0 {
		seeds = suite.Seeds
	}
	if f.out == "" {
		f.out = "nnid-bench-" + suite.Name
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return fault.New(fault.Usage, "the results folder cannot be made: %w", err)
	}
	h, _, err := f.host()
	if err != nil {
		return err
	}
	defer closing(&err, h.Close)
	store, err := bench.OpenStore(filepath.Join(f.out, fileStore))
	if err != nil {
		return err
	}
	defer closing(&err, store.Close)

	runner := &bench.Runner{
		Components: benchComponents{here: host.InProcess{Plugin: builtins()}, host: h}, Tables: tables.Files,
		Workers: f.workers, Timeout: f.timeout, Rerun: bench.Rerun(f.rerun), Version: buildText(), Observe: f.observe,
	}
	for _, a := range activations.All() {
		runner.Activations = append(runner.Activations, a.Name)
	}
	runErr := runner.Run(ctx, suite, seeds, store)
	// What is finished is shown, whatever ended the rest.
	summary, err := bench.Summarise(&whole, max(seeds, whole.Seeds), store)
	if err != nil {
		return err
	}
	if err := f.write(summary, file); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fault.New(fault.Internal, "interrupted; finished runs are kept in %s: repeat the command to go on", f.out)
	}
	if runErr != nil {
		return runErr
	}
	short := summary.Short()
	for _, c := range short {
		fmt.Fprintf(f.streams.err, "nnid: %s: %d of %d runs succeeded; the suite requires a rate of %g\n", c.Cell.Name, c.Successes(), len(c.Records), c.Cell.Require)
	}
	if len(short) > 0 {
		return errNotIdentified
	}
	return nil
}

// buildText tells builds of one version apart, as those of someone who changes the algorithm and measures.
func buildText() string {
	text := versionText()
	path, err := os.Executable()
	if err != nil {
		return text
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return text
	}
	return fmt.Sprintf("%s (build %x)", text, sha256.Sum256(content))[:len(text)+len(" (build ")+8] + ")"
}

// benchComponents opens built-in components in this process and others in theirs.
type benchComponents struct {
	here host.InProcess
	host *host.Host
}

func (b benchComponents) builtin(kind core.Kind, name string) bool {
	for _, c := range b.here.Plugin.Describe().Components {
		if c.Kind == kind && c.Name == name {
			return true
		}
	}
	return false
}

func (b benchComponents) Activation(ctx context.Context, name string, options core.Options) (core.Activation, error) {
	if b.builtin(core.KindActivation, name) {
		return b.here.Activation(ctx, name, options)
	}
	return b.host.Activation(ctx, name, options)
}

func (b benchComponents) Solver(ctx context.Context, name string, options core.Options) (core.Solver, error) {
	if b.builtin(core.KindSolver, name) {
		return b.here.Solver(ctx, name, options)
	}
	return b.host.Solver(ctx, name, options)
}

func (b benchComponents) Oracle(ctx context.Context, name string, options core.Options) (core.Oracle, error) {
	return b.here.Oracle(ctx, name, options)
}

// observe prints a line for a run.
func (f *benchFlags) observe(cell bench.Cell, r *bench.Record, done, total int) {
	if f.quiet {
		return
	}
	if _, ok := r.Metrics["dimension"]; ok {
		goal := ""
		if cell.Goal.Metric != "" {
			goal = fmt.Sprintf("%s = %.3g, ", cell.Goal.Metric, r.Metric(cell.Goal.Metric))
		}
		fmt.Fprintf(f.streams.err, "%d/%d %s, seed %d: %s%g of %g accepted, %d queries, %.1f s\n", done, total, cell.Name, r.Spec.Seed, goal,
			r.Metric("accepted"), r.Metric("dimension"), r.Queries, r.Seconds)
		return
	}
	verdict := "success"
	if !cell.Success(r) {
		verdict = string(r.Outcome)
		if r.Outcome == bench.Identified {
			verdict = "wrong"
		}
	}
	fmt.Fprintf(f.streams.err, "%d/%d %s, seed %d: %s, error %.1e, %.1f queries a parameter, %.1f s\n",
		done, total, cell.Name, r.Spec.Seed, verdict, r.MaxError, r.PerParameter(), r.Seconds)
}

// write writes the files and prints the table.
func (f *benchFlags) write(summary *bench.Summary, file string) error {
	into := func(path string, render func(io.Writer) error) error {
		var text bytes.Buffer
		if err := render(&text); err != nil {
			return err
		}
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			return fault.New(fault.Usage, "results cannot be written: %w", err)
		}
		return nil
	}
	drawn := slices.ContainsFunc(summary.Cells, func(c bench.CellSummary) bool { return len(c.Records) > 0 })
	command := "nnid bench " + filepath.ToSlash(file)
	if first := summary.Suite.First; first > 0 {
		command += fmt.Sprintf(" --first-seed %d", first)
	}
	// The figures of a summary are beside it: the suite's charts, or else the one of all runs.
	markdown := func(path, base string) error {
		var figures []string
		if len(summary.Suite.Charts) == 0 && drawn {
			figures = []string{filepath.Base(base) + ".svg"}
			if err := into(base+".svg", func(w io.Writer) error { return summary.WriteFigure(w, "svg") }); err != nil {
				return err
			}
		}
		for _, chart := range summary.Suite.Charts {
			name, some := base+"-"+chart.Name+".svg", false
			err := into(name, func(w io.Writer) (err error) { some, err = summary.WriteChart(w, chart, "svg"); return err })
			if err != nil {
				return err
			}
			if !some {
				_ = os.Remove(name)
				name = ""
			}
			figures = append(figures, strings.TrimPrefix(filepath.Base(name), "."))
		}
		return into(path, func(w io.Writer) error { return summary.WriteMarkdown(w, command, figures...) })
	}
	if err := into(filepath.Join(f.out, fileCSV), summary.WriteCSV); err != nil {
		return err
	}
	if err := markdown(filepath.Join(f.out, fileSummary), filepath.Join(f.out, strings.TrimSuffix(figureSummary, ".svg"))); err != nil {
		return err
	}
	for _, chart := range summary.Suite.Charts {
		name, some := filepath.Join(f.out, "summary-"+chart.Name+".png"), false
		if err := into(name, func(w io.Writer) (err error) { some, err = summary.WriteChart(w, chart, "png"); return err }); err != nil {
			return err
		}
		if !some {
			_ = os.Remove(name)
		}
	}
	if drawn && len(summary.Suite.Charts) == 0 {
		if err := into(filepath.Join(f.out, figureSummaryPN), func(w io.Writer) error { return summary.WriteFigure(w, "png") }); err != nil {
			return err
		}
	}
	if f.table != "" {
		command += " --table " + filepath.ToSlash(f.table)
		if err := markdown(f.table, strings.TrimSuffix(f.table, filepath.Ext(f.table))); err != nil {
			return err
		}
	}
	if err := summary.WriteText(f.streams.out); err != nil {
		return err
	}
	fmt.Fprintf(f.streams.out, "files: %s: %s, %s, %s, %s\n", f.out, fileStore, fileCSV, fileSummary, figureSummary)
	return nil
}
