package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
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

type benchSolversFlags struct {
	common
	workers     int
	out         string
	only        []string
	solvers     []string
	seeds       int
	timeout     time.Duration
	rerun       string
	table       string
	list, quiet bool
}

func newBenchSolvers(s *streams) *cobra.Command {
	f := &benchSolversFlags{common: common{streams: s}}
	command := &cobra.Command{
		Use:   "solvers [FILE]",
		Short: "Compare rank-one solvers on planted subspaces",
		Long: `solvers plants rank-one matrices in subspaces, runs every solver that is found on each, third parties' plugins too, and
compares what they return with what was planted. FILE is a suite of subspaces in YAML; without it, a suite of random,
nearly parallel, clustered and orthonormal vectors, exact and perturbed, and of the subspaces that identification meets.

A run counts as solved when every vector was found, within what rounding and perturbation explain, and nothing else
was returned. Built-in solvers run within this process, others in theirs; each is given one thread, and all of them a
subspace one right after the other. With --workers 1 nothing else runs meanwhile: best for times.

The results folder receives results.sqlite (every finished run), results.csv, summary.md and the figure (performance
profiles, success against perturbation and against the number of vectors), summary.svg and summary.png. Finished runs
are kept: repeat the command to go on, with more seeds or with other solvers.

Exit status: 0 done, whatever was solved; 2 the command line or a file is wrong; 1 anything else.`,
		Example: `  nnid bench solvers
  nnid bench solvers --workers 1 --only exact --solver auto --solver spm
  nnid bench solvers suites/rank-one/targets.yaml --plugin-path suites/rank-one/peers/nnid-plugin-peers`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fault.New(fault.Usage, "bench solvers takes one FILE at most, not %d", len(args))
			}
			return nil
		},
		RunE:              func(command *cobra.Command, args []string) error { return f.run(command.Context(), args) },
		ValidArgsFunction: cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt),
	}
	flags := command.Flags()
	flags.IntVar(&f.workers, "workers", 0, "runs at the same time; 0: one a core")
	flags.StringVar(&f.out, "out", "", "folder of the results (default: nnid-bench-NAME here)")
	flags.StringArrayVar(&f.only, "only", nil, "run only cells with this text in their name; may be repeated")
	flags.StringArrayVar(&f.solvers, "solver", nil, "run only this solver; may be repeated")
	flags.IntVar(&f.seeds, "seeds", 0, "seeds of every cell, 0 to N-1; 0: as many as the suite says")
	flags.DurationVar(&f.timeout, "timeout", 0, "most time for one run, such as 90s; 0: as the suite says")
	flags.StringVar(&f.rerun, "rerun", string(bench.RerunNone), "kept runs to repeat: none, failed, other (those of another build of nnid) or all")
	flags.StringVar(&f.table, "table", "", "also write the summary to this Markdown file, with the figure beside it")
	flags.BoolVar(&f.list, "list", false, "print the cells and the solvers and run nothing")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no line for every run")
	f.register(command)
	complete(command, "rerun", cobra.FixedCompletions(reruns, cobra.ShellCompDirectiveNoFileComp))
	complete(command, "solver", completeComponents(&f.common, core.KindSolver))
	return command
}

func (f *benchSolversFlags) run(ctx context.Context, args []string) (err error) {
	switch {
	case f.workers < 0:
		return fault.New(fault.Usage, "--workers %d must be positive, or 0 for one a core", f.workers)
	case f.seeds < 0:
		return fault.New(fault.Usage, "--seeds %d must be positive, or 0 for the suite's", f.seeds)
	case f.timeout < 0:
		return fault.New(fault.Usage, "--timeout %s must be positive, or 0 for the suite's", f.timeout)
	case !slices.Contains(reruns, f.rerun):
		return fault.New(fault.Usage, "--rerun %s is not known; choose %s", f.rerun, strings.Join(reruns, ", "))
	}
	suite, err := bench.StandardRankOneSuite()
	if len(args) > 0 {
		suite, err = bench.ReadRankOneSuite(args[0])
	}
	if err != nil {
		return err
	}
	whole := *suite // the summary shows what is kept of other cells too
	if err := suite.Only(f.only); err != nil {
		return err
	}
	// One thread a run: of the built-in solvers, which share this process, and of plugins with NumPy or OpenMP.
	if f.workers == 0 {
		f.workers = runtime.GOMAXPROCS(0)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(f.workers))
	for _, name := range []string{"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMAXPROCS"} {
		if os.Getenv(name) == "" {
			if err := os.Setenv(name, "1"); err != nil {
				return fault.New(fault.Internal, "the environment variable %s cannot be set: %w", name, err)
			}
		}
	}
	h, _, err := f.host()
	if err != nil {
		return err
	}
	defer closing(&err, h.Close)
	solvers, err := f.found(ctx, h)
	if err != nil {
		return err
	}
	if f.list {
		for _, cell := range suite.Cells {
			fmt.Fprintln(f.streams.out, cell.Name)
		}
		fmt.Fprintf(f.streams.out, "solvers: %s\n", strings.Join(solvers, ", "))
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
	store, err := bench.OpenRankOneStore(filepath.Join(f.out, fileStore))
	if err != nil {
		return err
	}
	defer closing(&err, store.Close)

	runner := &bench.RankOneRunner{
		Runner: &bench.Runner{
			Components: benchComponents{here: host.InProcess{Plugin: builtins()}, host: h}, Tables: tables.Files,
			Workers: f.workers, Timeout: f.timeout, Rerun: bench.Rerun(f.rerun), Version: buildText(),
		},
		Solvers: solvers, Here: map[string]bool{}, Observe: f.observe,
	}
	for _, factory := range builtins().Solvers {
		runner.Here[factory.Name] = true
	}
	for _, a := range activations.All() {
		runner.Runner.Activations = append(runner.Runner.Activations, a.Name)
	}
	runErr := runner.Run(ctx, suite, seeds, store)
	// What is finished is shown, whatever ended the rest.
	summary, err := bench.SummariseRankOne(&whole, solvers, max(seeds, whole.Seeds), store)
	if err != nil {
		return err
	}
	if ctx.Err() == nil {
		cores := runtime.GOMAXPROCS(1)
		summary.Peak = bench.PeakRate()
		runtime.GOMAXPROCS(cores)
	}
	if err := f.write(summary, args); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fault.New(fault.Internal, "interrupted; finished runs are kept in %s: repeat the command to go on", f.out)
	}
	return runErr
}

// found returns the names of the solvers to run: those asked for, or all there are.
func (f *benchSolversFlags) found(ctx context.Context, h *host.Host) ([]string, error) {
	listings, err := h.List(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range listings {
		if l.Err != nil {
			fmt.Fprintf(f.streams.err, "nnid: left out: %v\n", l.Err)
		}
		if l.Err != nil || l.Shadowed {
			continue
		}
		for _, c := range l.Components {
			if c.Kind == core.KindSolver && !slices.Contains(names, c.Name) {
				names = append(names, c.Name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range f.solvers {
		if !slices.Contains(names, name) {
			return nil, fault.New(fault.Usage, "there is no solver %s; there are: %s", name, strings.Join(names, ", "))
		}
	}
	if len(f.solvers) > 0 {
		names = slices.Compact(slices.Sorted(slices.Values(f.solvers)))
	}
	return names, nil
}

// observe prints a line for a run.
func (f *benchSolversFlags) observe(cell bench.RankOneCell, r *bench.RankOneRecord, done, total int) {
	if f.quiet {
		return
	}
	fmt.Fprintf(f.streams.err, "%d/%d %s, seed %d, %s: %s, %d of %d, error %.1e, %.3g ms\n",
		done, total, cell.Name, r.Spec.Seed, r.Spec.Solver, r.Outcome, r.Found, r.Wanted, r.MaxError, 1e3*r.Seconds)
}

// write writes the files and prints the table.
func (f *benchSolversFlags) write(summary *bench.RankOneSummary, args []string) error {
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
	drawn := slices.ContainsFunc(summary.Cells, func(c bench.RankOneCellSummary) bool { return len(c.Records) > 0 })
	command := strings.Join(append([]string{"nnid bench solvers"}, args...), " ")
	markdown := func(path, figure string) error {
		if !drawn {
			return into(path, func(w io.Writer) error { return summary.WriteMarkdown(w, command, "") })
		}
		if err := into(path, func(w io.Writer) error { return summary.WriteMarkdown(w, command, filepath.Base(figure)) }); err != nil {
			return err
		}
		return into(figure, func(w io.Writer) error { return summary.WriteFigure(w, "svg") })
	}
	if err := into(filepath.Join(f.out, fileCSV), summary.WriteCSV); err != nil {
		return err
	}
	if err := markdown(filepath.Join(f.out, fileSummary), filepath.Join(f.out, figureSummary)); err != nil {
		return err
	}
	if drawn {
		if err := into(filepath.Join(f.out, figureSummaryPN), func(w io.Writer) error { return summary.WriteFigure(w, "png") }); err != nil {
			return err
		}
	}
	if f.table != "" {
		if err := markdown(f.table, strings.TrimSuffix(f.table, filepath.Ext(f.table))+".svg"); err != nil {
			return err
		}
	}
	if err := summary.WriteText(f.streams.out); err != nil {
		return err
	}
	fmt.Fprintf(f.streams.out, "files: %s: %s, %s, %s, %s\n", f.out, fileStore, fileCSV, fileSummary, figureSummary)
	return nil
}
