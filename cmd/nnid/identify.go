package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/heads"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/paper"
	"github.com/nnid/nnid/core/probe"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/testdata/networks"
)

// auto stands for every activation there is.
const auto = "auto"

// identifyFlags are the flags of the command, as given.
type identifyFlags struct {
	common
	oracle, activation, solver, recipe, second      string
	oracleOptions, activationOptions, solverOptions []string

	m0, m1, inputs, output int
	outputs                string // "", "all" or a number
	domain                 float64
	plan                   planFlags
	seed                   uint64
	runDir                 string
	json, quiet            bool
	paper                  paperFlags
}

func newIdentify(s *streams) *cobra.Command {
	f := &identifyFlags{common: common{streams: s}}
	command := &cobra.Command{
		Use:   "identify",
		Short: "Identify the network behind an oracle",
		Long: `identify asks an oracle for f(x) at points of its choice and finds the network of two hidden layers that
computes f, up to the model's symmetries. Without --oracle it identifies a network that was trained on real data
(` + networks.DiabetesName + `) and ships with nnid.

With --dry-run it asks nothing, and says what a run would ask and cost.

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
	flags.StringVar(&f.activation, "activation", auto, "activation of both hidden layers, NAME or NAME(OPTION=VALUE), or G,H; auto tries every one there is")
	flags.StringArrayVar(&f.activationOptions, "activation-option", nil, "option of the activation, K=V; may be repeated")
	flags.StringVar(&f.solver, "solver", "auto", "solver for the rank-one matrices in a subspace (recipe paper: spectral unless given)")
	flags.StringArrayVar(&f.solverOptions, "solver-option", nil, "option of the solver, K=V; may be repeated")
	flags.StringVar(&f.second, "second-layer", "", "what recovers the second layer first: students (least squares, the default) or differences (whose rank-one matrices the solver extracts, the default where --solver is given)")
	flags.StringVar(&f.recipe, "recipe", identify.RecipeExact, "how to go about it: exact (docs/exact.md) or paper, the published method (docs/paper.md)")
	f.paper.register(flags)
	flags.IntVar(&f.m0, "m0", 0, "neurons of the first hidden layer; 0: find out")
	flags.IntVar(&f.m1, "m1", 0, "neurons of the second hidden layer; 0: find out")
	flags.IntVar(&f.inputs, "inputs", 0, "inputs of the model; needed only where the oracle does not say")
	flags.IntVar(&f.output, "output-index", 0, "which output of the model to identify, counted from 0")
	flags.StringVar(&f.outputs, "outputs", "", "find all outputs of the model from the queries for the one of --output-index: all, or their number where the oracle does not say it")
	flags.Float64Var(&f.domain, "domain", 0, "ask only points with all |x_k| <= R; 0: no bound")
	f.plan.register(flags)
	flags.Uint64Var(&f.seed, "seed", 1, "seed of all random choices")
	flags.StringVar(&f.runDir, "run-dir", "", "where the files go (default: nnid-run-ORACLE-HASH here, the same for the same model and seed)")
	flags.BoolVar(&f.json, "json", false, "print progress and result on stdout as JSON, an object a line")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	f.register(command)
	complete(command, "oracle", completeComponents(&f.common, core.KindOracle))
	complete(command, "activation", completeComponents(&f.common, core.KindActivation, auto+"\tevery activation there is"))
	complete(command, "solver", completeComponents(&f.common, core.KindSolver))
	complete(command, "second-layer", cobra.FixedCompletions(identify.SecondLayers, cobra.ShellCompDirectiveNoFileComp))
	complete(command, "recipe", cobra.FixedCompletions(identify.Recipes, cobra.ShellCompDirectiveNoFileComp))
	f.paper.complete(command)
	return command
}

// check refuses what is wrong whatever the plugins say, before any of them is started.
func (f *identifyFlags) check() error {
	switch {
	case !slices.Contains(identify.Recipes, f.recipe):
		return fault.New(fault.Usage, "--recipe %s is not known; there are: %s", f.recipe, strings.Join(identify.Recipes, ", "))
	case f.second != "" && !slices.Contains(identify.SecondLayers, f.second):
		return fault.New(fault.Usage, "--second-layer %s is not known; there are: %s", f.second, strings.Join(identify.SecondLayers, ", "))
	case f.m0 < 0 || f.m1 < 0:
		return fault.New(fault.Usage, "--m0 %d --m1 %d: a layer cannot have fewer than no neurons; 0 means find out", f.m0, f.m1)
	case f.inputs < 0:
		return fault.New(fault.Usage, "--inputs %d: the number of inputs must be positive", f.inputs)
	case f.output < 0:
		return fault.New(fault.Usage, "--output-index %d: outputs are counted from 0", f.output)
	case f.outputs != "" && f.outputs != allOutputs && f.wantedOutputs(0) < 1:
		return fault.New(fault.Usage, "--outputs %s must be %s, or the number of outputs that the model has", f.outputs, allOutputs)
	case f.outputs != "" && f.recipe != identify.RecipeExact:
		return fault.New(fault.Usage, "--outputs needs the recipe %s; with %s, identify each of them with --output-index", identify.RecipeExact, f.recipe)
	case math.IsNaN(f.domain) || math.IsInf(f.domain, 0) || f.domain < 0:
		return fault.New(fault.Usage, "--domain %v must be a positive number, or 0 for no bound", f.domain)
	case f.activation == auto && len(f.activationOptions) > 0:
		return fault.New(fault.Usage, "--activation-option needs one activation: give --activation NAME too")
	case f.oracle == "" && len(f.oracleOptions) > 0:
		return fault.New(fault.Usage, "--oracle-option needs an oracle: give --oracle NAME too")
	case f.activation == "" || f.solver == "":
		return fault.New(fault.Usage, "--activation and --solver need a name; leave them out for auto")
	}
	return f.plan.check()
}

// allOutputs is the value of --outputs for as many as the oracle says there are.
const allOutputs = "all"

// wantedOutputs is how many outputs the answers have, all of which are kept and found; 0 where that is not wanted or not known.
func (f *identifyFlags) wantedOutputs(declared int) int {
	switch f.outputs {
	case "":
		return 0
	case allOutputs:
		return declared
	}
	n, err := strconv.Atoi(f.outputs)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

func (f *identifyFlags) run(ctx context.Context, flags *pflag.FlagSet) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	paperSettings, err := f.paper.settings(f.recipe)
	if err != nil {
		return err
	}
	if f.second == "" && flags.Changed("solver") {
		f.second = identify.SecondLayerDifferences
	}
	if f.recipe == identify.RecipePaper && !flags.Changed("solver") {
		f.solver = paper.DefaultSolver
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
	if f.recipe == identify.RecipePaper {
		solverOptions = paper.SolverOptions(f.solver, solverOptions)
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
		if o.oracle, err = h.Oracle(ctx, oracleName, f.withInputs(ctx, h, oracleName, oracleOptions)); err != nil {
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
		Oracle: oracleName, Model: o.info.Model, Output: f.output, Outputs: f.wantedOutputs(o.info.Outputs), Seed: f.seed, Inputs: o.info.Inputs,
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
	if f.outputs != "" && identity.Outputs == 0 {
		return fault.New(fault.Usage, "oracle %q does not say how many outputs the model has; give --outputs N", oracleName)
	}
	if f.runDir == "" {
		if f.runDir, err = defaultRunDirectory(identity); err != nil {
			return err
		}
	}
	if f.plan.dryRun {
		return f.dryRun(o.info, identity, paperSettings)
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
	settings := f.plan.settings()
	settings.Inputs, settings.Output, settings.Outputs, settings.Domain, settings.Journal, settings.Observe = f.inputs, f.output, identity.Outputs, f.domain, journal, shown.queries
	session, err := query.Open(ctx, o.oracle, settings)
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

	paperSettings.Save = directory.saveStage
	limited, stop := f.plan.limit(ctx)
	defer stop()
	result, err := runWithGrace(limited, logger, identify.Problem{
		Oracle: session, Info: session.Info(), Candidates: o.candidates, Second: o.second, M0: f.m0, M1: f.m1, Domain: f.domain,
		Solver: o.solver, SolverName: o.solverName,
	}, identify.Settings{
		Recipe: f.recipe, Seed: f.seed, SecondLayer: f.second, Paper: paperSettings,
		Doubt: func(ctx context.Context) (string, error) {
			findings, err := probe.Answers(ctx, session, probe.Settings{Inputs: identity.Inputs, Domain: f.domain, Seed: f.seed, Sure: true})
			return strings.Join(findings, "; "), err
		},
		Observe: func(e identify.Event) {
			f.emit(directory, eventLine{Kind: "progress", Event: &e})
			shown.event(e)
		},
	})
	shown.close()
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = fault.New(fault.Budget, "the time of %s is spent; raise --max-time to go on, no answer is asked for again", f.plan.maxTime)
		if result == nil {
			result = f.nothing(&o)
		}
		result.Identified, result.Reason = false, err.Error()
		if result.Unexplained != nil {
			result.Reason += "; so far, " + result.Unexplained.Error()
		}
		short, stop := context.WithTimeout(ctx, timeForDoubts)
		if doubtErr := f.doubt(short, session, &o, identity, result); doubtErr != nil {
			logger.Debug("the answers could not be looked into", "error", doubtErr)
		}
		stop()
	}
	if result == nil && fault.Is(err, fault.Budget) {
		result = f.nothing(&o)
	}
	if result != nil {
		if err != nil && result.Reason == "" {
			result.Reason = err.Error()
		}
		if err != nil {
			result.Identified = false
		}
		if err == nil && !result.Doubted {
			err = f.doubt(ctx, session, &o, identity, result)
		}
		if err == nil && result.Identified && identity.Outputs > 0 {
			err = f.solveOutputs(session, &o, result)
		}
		// What was paid for, even where the pipeline went another way this time and left some of it unused.
		result.Queries = max(result.Queries, session.Answered())
		result.Unanswered = journal.Unanswered()
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

// functions returns the activations of a network that was found.
func (o *opened) functions(n *network.Network) (g, h core.Function, ok bool) {
	for _, c := range slices.Concat(o.candidates, o.second) {
		if g == nil && c.Name == n.First.Activation {
			g = c.Function
		}
		if h == nil && c.Name == n.Second.Activation {
			h = c.Function
		}
	}
	return g, h, g != nil && h != nil
}

// solveOutputs finds the other outputs from the answers there are. All were asked for: one that resists takes the claim back.
func (f *identifyFlags) solveOutputs(session *query.Session, o *opened, result *identify.Result) error {
	g, h, ok := o.functions(result.Network)
	if !ok || result.Asked == nil {
		return fault.New(fault.Internal, "the other outputs cannot be found: the run has kept no points")
	}
	found := heads.Found{
		Network: result.Network, G: g, H: h, Output: f.output, Asked: result.Asked.X, Fresh: result.Fresh, Noise: result.Noise,
	}
	if c := result.Certificate; c != nil {
		found.Bar = slices.Max(c.First)
	}
	var err error
	if result.Outputs, err = heads.Solve(found, session.Answers); err != nil {
		return err
	}
	var others []string
	for _, output := range result.Outputs {
		if output.Identified {
			continue
		}
		if result.Identified {
			result.Identified = false
			result.Reason += fmt.Sprintf("; but output %d is not identified: %s", output.Index, output.Reason)
			continue
		}
		others = append(others, strconv.Itoa(output.Index))
	}
	if len(others) > 0 {
		result.Reason += fmt.Sprintf("; nor are %s (%s)", strings.Join(others, ", "), fileResult)
	}
	return nil
}

// nothing is the result of a run that was cut off before it had found anything.
func (f *identifyFlags) nothing(o *opened) *identify.Result {
	return &identify.Result{Recipe: f.recipe, Solver: o.solverName, Seed: f.seed, M0: f.m0, M1: f.m1, Activation: f.activation}
}

// timeForDoubts is how long a run whose time is spent may look for what is wrong with the answers.
const timeForDoubts = 10 * time.Second

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
		result, err := identify.Identify(ctx, problem, settings)
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
