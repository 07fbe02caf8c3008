package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/testdata/networks"
)

// auto stands for every activation there is.
const auto = "auto"

// identifyFlags are the flags of the command, as given.
type identifyFlags struct {
	common
	oracle, activation, solver, recipe              string
	oracleOptions, activationOptions, solverOptions []string

	m0, m1, inputs, output int
	domain                 float64
	maxQueries             int64
	seed                   uint64
	runDir                 string
	json, quiet            bool
}

func newIdentify(s *streams) *cobra.Command {
	f := &identifyFlags{common: common{streams: s}}
	command := &cobra.Command{
		Use:   "identify",
		Short: "Identify the network behind an oracle",
		Long: `identify asks an oracle for f(x) at points of its choice and finds the network of two hidden layers that
computes f, up to the model's symmetries. Without --oracle it identifies a network that was trained on real data
(` + networks.DiabetesName + `) and ships with nnid.

The run directory receives network.json (the network found), result.json, report.html, run.json (versions, flags,
plugins), events.jsonl and the journal. Every answer is in the journal before it is used: after an interruption the
same command goes on where it was and asks nothing twice.

Exit status: 0 identified; 3 finished, files written, but not identified (the budget was spent, for instance); 2 the
command line or a file is wrong; 1 anything else.`,
		Example: `  nnid identify
  nnid identify --oracle network --oracle-option file=net.json --run-dir out
  nnid identify --oracle oip --oracle-option url=http://localhost:8000 --oracle-option model=mine \
      --activation tanh --max-queries 20000
  nnid identify --oracle mine --plugin-path ./nnid-plugin-mine --json | jq .stage`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return f.run(command.Context(), command.Flags())
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.oracle, "oracle", "", "oracle to ask, as shown by: nnid plugins list (default: a network shipped with nnid)")
	flags.StringArrayVar(&f.oracleOptions, "oracle-option", nil, "option of the oracle, K=V; may be repeated")
	flags.StringVar(&f.activation, "activation", auto, "activation of both hidden layers; auto tries every one there is")
	flags.StringArrayVar(&f.activationOptions, "activation-option", nil, "option of the activation, K=V; may be repeated")
	flags.StringVar(&f.solver, "solver", "auto", "solver for the rank-one matrices in a subspace")
	flags.StringArrayVar(&f.solverOptions, "solver-option", nil, "option of the solver, K=V; may be repeated")
	flags.StringVar(&f.recipe, "recipe", identify.RecipeExact, "how to go about it; there is one recipe, exact (docs/exact.md)")
	flags.IntVar(&f.m0, "m0", 0, "neurons of the first hidden layer; 0: find out")
	flags.IntVar(&f.m1, "m1", 0, "neurons of the second hidden layer; 0: find out")
	flags.IntVar(&f.inputs, "inputs", 0, "inputs of the model; needed only where the oracle does not say")
	flags.IntVar(&f.output, "output-index", 0, "which output of the model to identify, counted from 0")
	flags.Float64Var(&f.domain, "domain", 0, "ask only points with all |x_k| <= R; 0: no bound")
	flags.Int64Var(&f.maxQueries, "max-queries", 0, "most points the oracle may be asked, those of resumed runs included; 0: no limit")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of all random choices")
	flags.StringVar(&f.runDir, "run-dir", "", "where the files go (default: nnid-run-ORACLE-HASH here, the same for the same model and seed)")
	flags.BoolVar(&f.json, "json", false, "print progress and result on stdout as JSON, an object a line")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	f.register(command)
	complete(command, "oracle", completeComponents(&f.common, core.KindOracle))
	complete(command, "activation", completeComponents(&f.common, core.KindActivation, auto+"\tevery activation there is"))
	complete(command, "solver", completeComponents(&f.common, core.KindSolver))
	complete(command, "recipe", cobra.FixedCompletions([]string{identify.RecipeExact}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// check refuses what is wrong whatever the plugins say, before any of them is started.
func (f *identifyFlags) check() error {
	switch {
	case f.recipe != identify.RecipeExact:
		return fault.New(fault.Usage, "--recipe %s is not known; there is one recipe, %s", f.recipe, identify.RecipeExact)
	case f.m0 < 0 || f.m1 < 0:
		return fault.New(fault.Usage, "--m0 %d --m1 %d: a layer cannot have fewer than no neurons; 0 means find out", f.m0, f.m1)
	case f.inputs < 0:
		return fault.New(fault.Usage, "--inputs %d: the number of inputs must be positive", f.inputs)
	case f.output < 0:
		return fault.New(fault.Usage, "--output-index %d: outputs are counted from 0", f.output)
	case math.IsNaN(f.domain) || math.IsInf(f.domain, 0) || f.domain < 0:
		return fault.New(fault.Usage, "--domain %v must be a positive number, or 0 for no bound", f.domain)
	case f.maxQueries < 0:
		return fault.New(fault.Usage, "--max-queries %d must be positive, or 0 for no limit", f.maxQueries)
	case f.activation == auto && len(f.activationOptions) > 0:
		return fault.New(fault.Usage, "--activation-option needs one activation: give --activation NAME too")
	case f.oracle == "" && len(f.oracleOptions) > 0:
		return fault.New(fault.Usage, "--oracle-option needs an oracle: give --oracle NAME too")
	case f.activation == "" || f.solver == "":
		return fault.New(fault.Usage, "--activation and --solver need a name; leave them out for auto")
	}
	return nil
}

// opened are the components of a run.
type opened struct {
	oracle     core.Oracle
	info       core.OracleInfo
	candidates []identify.Candidate
	solver     core.Solver
	solverName string
}

func (f *identifyFlags) run(ctx context.Context, flags *pflag.FlagSet) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	oracleOptions, err := parseOptions("oracle-option", f.oracleOptions)
	if err != nil {
		return err
	}
	activationOptions, err := parseOptions("activation-option", f.activationOptions)
	if err != nil {
		return err
	}
	solverOptions, err := parseOptions("solver-option", f.solverOptions)
	if err != nil {
		return err
	}
	oracleName := f.oracle
	if oracleName == "" {
		file, remove, err := shippedNetwork()
		if err != nil {
			return err
		}
		defer remove()
		oracleName, oracleOptions = "network", core.Options{"file": file}
	}
	h, logger, err := f.host()
	if err != nil {
		return err
	}
	defer closing(&err, h.Close)

	// Starting a process takes longer than many a run: all start at the same time.
	var o opened
	restContext, stopRest := context.WithCancel(ctx)
	defer stopRest()
	rest := make(chan error, 1)
	go func() { rest <- f.openRest(restContext, h, logger, &o, activationOptions, solverOptions) }()
	err = func() error {
		if o.oracle, err = h.Oracle(ctx, oracleName, oracleOptions); err != nil {
			return err
		}
		o.info, err = o.oracle.Info(ctx)
		return err
	}()
	if err != nil {
		stopRest()
	}
	restErr := <-rest
	if o.oracle != nil {
		defer closing(&err, o.oracle.Close)
	}
	switch {
	case err != nil:
		return f.cut(ctx, err, "")
	case restErr != nil:
		return f.cut(ctx, restErr, "")
	}

	identity := query.Identity{
		Oracle: oracleName, Model: o.info.Model, Output: f.output, Seed: f.seed, Inputs: o.info.Inputs,
		Options: publicOptions(ctx, h, core.KindOracle, oracleName, oracleOptions),
	}
	if identity.Inputs == 0 {
		identity.Inputs = f.inputs
	}
	if f.oracle == "" {
		// The file's place is of no interest, and changes from run to run.
		identity.Model, identity.Options = networks.DiabetesName, nil
	}
	if identity.Inputs == 0 {
		return fault.New(fault.Usage, "oracle %q does not say how many inputs the model has; give --inputs N", oracleName)
	}
	if f.runDir == "" {
		if f.runDir, err = defaultRunDirectory(identity); err != nil {
			return err
		}
	}
	directory, err := openRunDirectory(f.runDir)
	if err != nil {
		return err
	}
	defer closing(&err, directory.close)
	journal, err := query.OpenJournal(directory.file(fileJournal), identity)
	if err != nil {
		return err
	}
	defer closing(&err, journal.Close)

	shown := f.progress()
	defer shown.close()
	session, err := query.Open(ctx, o.oracle, query.Settings{
		Inputs: f.inputs, Output: f.output, MaxQueries: f.maxQueries, Domain: f.domain, Journal: journal, Observe: shown.queries,
	})
	if err != nil {
		return f.cut(ctx, err, "")
	}
	recovery := journal.Recovery()
	if recovery.Rows > 0 && !f.quiet {
		shown.line(fmt.Sprintf("resuming: %s in %s", plural(recovery.Rows, "answer"), journal.Path()))
	}
	if text := recovery.String(); text != "" {
		shown.line("nnid: journal " + journal.Path() + ": " + text)
	}
	started := time.Now()
	record := f.record(ctx, h, flags, &o, identity, recovery, started, activationOptions, solverOptions)
	if err := directory.writeJSON(fileRun, record); err != nil {
		return err
	}
	f.emit(directory, eventLine{Kind: "start", RunDir: directory.path})

	result, err := runWithGrace(ctx, logger, identify.Problem{
		Oracle: session, Info: session.Info(), Candidates: o.candidates, M0: f.m0, M1: f.m1, Domain: f.domain,
		Solver: o.solver, SolverName: o.solverName,
	}, identify.Settings{
		Recipe: f.recipe, Seed: f.seed,
		Observe: func(e identify.Event) {
			f.emit(directory, eventLine{Kind: "progress", Event: &e})
			shown.event(e)
		},
	})
	shown.close()
	if result == nil && fault.Is(err, fault.Budget) {
		result = &identify.Result{Recipe: f.recipe, Solver: o.solverName, Seed: f.seed, M0: f.m0, M1: f.m1, Activation: f.activation}
	}
	if result != nil {
		// What was paid for, even where the pipeline went another way this time and left some of it unused.
		result.Queries = max(result.Queries, session.Answered())
		if err != nil && result.Reason == "" {
			result.Reason = err.Error()
		}
		if err != nil {
			result.Identified = false
		}
		result.Seconds = time.Since(started).Seconds()
		failed := err != nil && !fault.Is(err, fault.Budget) // then the error says all there is to say
		if writeErr := f.conclude(ctx, h, directory, record, result, !failed); writeErr != nil {
			return errors.Join(err, writeErr)
		}
	}
	switch {
	case interrupted(ctx, err):
		return f.cut(ctx, err, fmt.Sprintf("interrupted after %s; every answer is kept in %s: repeat the command to go on",
			plural(session.Answered(), "answer"), journal.Path()))
	case fault.Is(err, fault.Budget):
		if !f.quiet {
			fmt.Fprintf(f.streams.err, "nnid: %v\n", err)
		}
		return errNotIdentified
	case err != nil:
		f.emit(directory, eventLine{Kind: "error", Error: err.Error()})
		if answered := session.Answered(); answered > 0 && !fault.Is(err, fault.Usage) {
			separator := "; "
			if strings.Contains(err.Error(), "\n") {
				separator = "\n" // after a plugin's last words
			}
			return fault.New(fault.KindOf(err), "%w%s%s kept in %s: repeat the command to go on", err, separator, plural(answered, "answer"), journal.Path())
		}
		return err
	case !result.Identified:
		return errNotIdentified
	}
	return nil
}

// grace is how long a run may take to notice that it was interrupted. Whoever pressed Ctrl-C wants the prompt back, and
// nothing is lost: what was answered is in the journal.
const grace = 5 * time.Second

func runWithGrace(ctx context.Context, logger hclog.Logger, problem identify.Problem, settings identify.Settings) (*identify.Result, error) {
	type outcome struct {
		result *identify.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		// A defect of the pipeline must not take the plugins' shutdown and the word on the journal with it.
		defer func() {
			if p := recover(); p != nil {
				logger.Error("panic", "value", p, "stack", string(debug.Stack()))
				done <- outcome{nil, fault.New(fault.Internal, "the pipeline panicked (%v): a defect of nnid, please report it with the stack above", p)}
			}
		}()
		result, err := identify.Run(ctx, problem, settings)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.result, o.err
	case <-time.After(grace):
		return nil, ctx.Err()
	}
}

// cut turns the error of an interrupted run into one plain sentence, and leaves others as they are.
func (f *identifyFlags) cut(ctx context.Context, err error, sentence string) error {
	if !interrupted(ctx, err) {
		return err
	}
	if sentence == "" {
		sentence = "interrupted before anything was asked"
	}
	return fault.New(fault.Internal, "%s", sentence)
}

// shippedNetwork writes the network shipped with nnid to a file for the oracle to read.
func shippedNetwork() (file string, remove func(), err error) {
	folder, err := os.MkdirTemp("", "nnid-")
	if err != nil {
		return "", nil, fault.New(fault.Usage, "the network shipped with nnid cannot be written: %w", err)
	}
	remove = func() { _ = os.RemoveAll(folder) }
	file = filepath.Join(folder, networks.DiabetesName+".json")
	if err := os.WriteFile(file, networks.Diabetes, 0o600); err != nil {
		remove()
		return "", nil, fault.New(fault.Usage, "the network shipped with nnid cannot be written: %w", err)
	}
	return file, remove, nil
}

// openRest opens the activations and the solver.
func (f *identifyFlags) openRest(ctx context.Context, h *host.Host, logger hclog.Logger, o *opened, activationOptions, solverOptions core.Options) error {
	names := []string{f.activation}
	if f.activation == auto {
		components, err := componentsOf(ctx, h, core.KindActivation)
		if err != nil {
			return err
		}
		names = nil
		for _, c := range components {
			if !slices.ContainsFunc(c.Options, func(o core.Option) bool { return o.Required }) {
				names = append(names, c.Name)
			}
		}
		if len(names) == 0 {
			return fault.New(fault.Usage, "no activation was found; see: nnid plugins list")
		}
	}
	o.solverName = f.solver
	var solverErr error
	solverOpen := make(chan struct{})
	go func() {
		defer close(solverOpen)
		o.solver, solverErr = h.Solver(ctx, o.solverName, solverOptions)
	}()
	err := f.openActivations(ctx, h, logger, o, names, activationOptions)
	<-solverOpen
	if err != nil {
		return err
	}
	return solverErr
}

func (f *identifyFlags) openActivations(ctx context.Context, h *host.Host, logger hclog.Logger, o *opened, names []string, options core.Options) error {
	var last error
	for _, name := range names {
		candidate, err := openActivation(ctx, h, name, options)
		if err != nil {
			if f.activation != auto || ctx.Err() != nil {
				return err
			}
			// One broken plugin of a third party does not keep the others from being tried.
			logger.Warn("activation left out of auto", "activation", name, "error", err)
			last = err
			continue
		}
		o.candidates = append(o.candidates, candidate)
	}
	if len(o.candidates) == 0 {
		return last
	}
	return nil
}

// activationOpener is a *host.Host, or in tests one that needs no process.
type activationOpener interface {
	Activation(context.Context, string, core.Options) (core.Activation, error)
}

func openActivation(ctx context.Context, h activationOpener, name string, options core.Options) (identify.Candidate, error) {
	activation, err := h.Activation(ctx, name, options)
	if err != nil {
		return identify.Candidate{}, err
	}
	function, err := compile.Compile(ctx, activation)
	if err != nil {
		return identify.Candidate{}, err
	}
	if _, plain, qualified := strings.Cut(name, "/"); qualified {
		name = plain // a network file names the activation, not the plugin
	}
	return identify.Candidate{Name: name, Function: function}, nil
}

// publicOptions returns the given options without those that are secret. Where the component's description cannot be
// had, every option might be.
func publicOptions(ctx context.Context, h *host.Host, kind core.Kind, name string, given core.Options) map[string]string {
	public := map[string]string{}
	if listings, err := h.List(ctx); err == nil {
		plugin, plain, qualified := strings.Cut(name, "/")
		if !qualified {
			plain = name
		}
		for _, listing := range listings {
			component, ok := listing.Find(kind, plain)
			if !ok || listing.Shadowed || (qualified && listing.Plugin != plugin) {
				continue
			}
			for _, option := range component.Options {
				if value, ok := given[option.Name]; ok && !option.Secret {
					public[option.Name] = value
				}
			}
			break
		}
	}
	return public
}

func (f *identifyFlags) record(ctx context.Context, h *host.Host, flags *pflag.FlagSet, o *opened, identity query.Identity, recovery query.Recovery,
	started time.Time, activationOptions, solverOptions core.Options) runRecord {
	record := runRecord{
		Format: runFormat, Version: versionText(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Started: started.UTC(), Flags: map[string]any{}, Seed: f.seed,
		Oracle: oracleRecord{
			componentRecord: componentRecord{identity.Oracle, identity.Options},
			Inputs:          identity.Inputs, Outputs: o.info.Outputs, Output: f.output,
			DType: string(o.info.DType), MaxBatch: o.info.MaxBatch, Model: identity.Model,
		},
		Solver: componentRecord{o.solverName, publicOptions(ctx, h, core.KindSolver, o.solverName, solverOptions)},
		Journal: journalRecord{
			Format: strings.TrimSpace(query.JournalFormat), Replayed: recovery.Rows,
			LostRecords: recovery.LostRecords, LostRows: recovery.LostRows, CutBytes: recovery.CutBytes,
		},
	}
	for _, candidate := range o.candidates {
		record.Families = append(record.Families, componentRecord{candidate.Name, publicOptions(ctx, h, core.KindActivation, f.activation, activationOptions)})
	}
	flags.Visit(func(flag *pflag.Flag) {
		if !strings.HasSuffix(flag.Name, "-option") { // options are above, secrets left out
			record.Flags[flag.Name] = flag.Value.String()
		}
	})
	if listings, err := h.List(ctx); err == nil {
		for _, l := range listings {
			if l.Err == nil && !l.Shadowed {
				record.Plugins = append(record.Plugins, pluginRecord{l.Plugin, l.Version, l.SDK, string(l.Origin), l.Path, l.SHA256, l.Verified})
			}
		}
	}
	return record
}

func (f *identifyFlags) progress() progress {
	switch {
	case f.quiet || f.json:
		return noProgress{f.streams.err}
	case isTerminal(f.streams.err):
		return newBarProgress(f.streams.err)
	}
	return &linesProgress{out: f.streams.err, every: 5 * time.Second}
}

// emit puts an event into the run directory and, with --json, on stdout.
func (f *identifyFlags) emit(directory *runDirectory, line eventLine) {
	line.Time = time.Now().UTC()
	directory.event(line)
	if !f.json {
		return
	}
	if data, err := marshal(line); err == nil {
		fmt.Fprintf(f.streams.out, "%s\n", data)
	}
}

// conclude writes the files and, where wanted, prints the summary.
func (f *identifyFlags) conclude(ctx context.Context, h *host.Host, directory *runDirectory, record runRecord, result *identify.Result, summary bool) error {
	var errs []error
	files := []string{fileResult, fileReport}
	if result.Network != nil {
		var text strings.Builder
		err := result.Network.Write(&text)
		if err == nil {
			err = directory.write(fileNetwork, []byte(text.String()))
		}
		errs = append(errs, err)
		files = append([]string{fileNetwork}, files...)
	} else if err := os.Remove(directory.file(fileNetwork)); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err) // one of an earlier run would contradict result.json
	}
	errs = append(errs, directory.writeJSON(fileResult, result))
	report, err := renderReport(record, result)
	if err == nil {
		err = directory.write(fileReport, report)
	}
	errs = append(errs, err)
	f.emit(directory, eventLine{Kind: "result", RunDir: directory.path, Result: result})
	if summary && !f.json {
		f.summarise(ctx, h, directory, files, result)
	}
	return errors.Join(errs...)
}

func (f *identifyFlags) summarise(ctx context.Context, h *host.Host, directory *runDirectory, files []string, result *identify.Result) {
	w := tabwriter.NewWriter(f.streams.out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	answer := "no"
	if result.Identified {
		answer = "yes"
	}
	fmt.Fprintf(w, "identified\t%s: %s\n", answer, result.Reason)
	if result.Network != nil {
		m0, m1 := result.Network.Sizes()
		fmt.Fprintf(w, "network\t%d inputs, %d + %d neurons, %s, %d parameters\n", result.Network.Inputs(), m0, m1, result.Activation, result.Parameters)
	}
	if result.Parameters > 0 {
		fmt.Fprintf(w, "queries\t%d, %.1f a parameter\n", result.Queries, float64(result.Queries)/float64(result.Parameters))
	} else {
		fmt.Fprintf(w, "queries\t%d\n", result.Queries)
	}
	if v := result.Validation; v.Queries > 0 {
		fmt.Fprintf(w, "error\trelative %.1e, largest %.1e, on %s held out\n", v.RelativeError, v.MaxError, plural(int64(v.Queries), "point"))
	}
	if f.oracle == "" && result.Network != nil {
		if text, err := distanceToShipped(ctx, h, result); err == nil {
			fmt.Fprintf(w, "parameters\t%s\n", text)
		}
	}
	fmt.Fprintf(w, "time\t%.1f s\n", result.Seconds)
	fmt.Fprintf(w, "files\t%s: %s\n", directory.path, strings.Join(files, ", "))
}
