package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/paper"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/teachers"
)

// Components opens activations, solvers and the oracle "network" by name. What opens them decides whether the boundary
// between processes is measured too.
type Components interface {
	Activation(ctx context.Context, name string, options core.Options) (core.Activation, error)
	Solver(ctx context.Context, name string, options core.Options) (core.Solver, error)
	Oracle(ctx context.Context, name string, options core.Options) (core.Oracle, error)
}

// Runner runs suites.
type Runner struct {
	Components  Components
	Activations []string      // what "activation: auto" tries, in this order
	Tables      fs.FS         // data sets of the family "trained"
	Workers     int           // runs at the same time; 0: one a core
	Timeout     time.Duration // of a run, in place of the suite's; 0: the suite's
	Rerun       Rerun         // which kept runs to repeat
	Version     string        // of nnid, for the records: what is kept of another version is told apart by it
	// Observe is called after every run, from one goroutine at a time; done counts the kept ones too. May be nil.
	Observe func(cell Cell, record *Record, done, total int)

	mu        sync.Mutex
	functions map[string]*compiled
}

// Rerun says which kept runs are repeated.
type Rerun string

// The choices; all of them also repeat runs that timed out with less time than there is now.
const (
	RerunNone   Rerun = "none"
	RerunFailed Rerun = "failed" // those that did not succeed
	RerunOther  Rerun = "other"  // those of another version
	RerunAll    Rerun = "all"
)

type compiled struct {
	once     sync.Once
	function core.Function
	err      error
}

// grace is how long a run may take to notice that its time is over, before it is left to itself.
const grace = 20 * time.Second

type job struct {
	cell   Cell
	spec   Spec
	priced bool // costs are metrics of it
}

// Run runs every cell of the suite with the given number of seeds, except for runs that the store has, and keeps what is
// finished. An error is one that every further run would meet too; a run that fails is a record.
func (r *Runner) Run(ctx context.Context, suite *Suite, seeds int, store *Store) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	folder, err := os.MkdirTemp("", "nnid-bench-")
	if err != nil {
		return fault.New(fault.Usage, "the networks to be hidden cannot be written: %w", err)
	}
	defer os.RemoveAll(folder)

	var jobs []job
	total := 0
	// Seed by seed, so that a suite cut short has tried every cell about as often.
	for seed := range uint64(seeds) {
		for _, cell := range suite.Cells {
			if r.Timeout > 0 {
				cell.Timeout = r.Timeout
			}
			spec := cell.Spec
			spec.Seed = suite.First + seed
			total++
			kept, err := store.Get(spec.Hash())
			if err != nil {
				return err
			}
			if kept == nil || r.again(cell, kept) {
				jobs = append(jobs, job{cell, spec, suite.Columns != nil})
			}
		}
	}
	done := total - len(jobs)
	workers := r.parallel()
	queue := make(chan job)
	var group sync.WaitGroup
	var finish sync.Mutex
	for range min(workers, len(jobs)) {
		group.Go(func() {
			for j := range queue {
				record, err := r.one(ctx, j, folder)
				if err != nil {
					cancel(err)
					continue
				}
				finish.Lock()
				if err := store.Put(record); err != nil {
					cancel(err)
				}
				done++
				if r.Observe != nil {
					r.Observe(j.cell, record, done, total)
				}
				finish.Unlock()
			}
		})
	}
	for _, j := range jobs {
		select {
		case queue <- j:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	group.Wait()
	return context.Cause(ctx)
}

// parallel is how many runs there are at the same time.
func (r *Runner) parallel() int {
	if r.Workers > 0 {
		return r.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// again reports whether a kept run is to be repeated: where more time is given than before, it may end otherwise.
func (r *Runner) again(cell Cell, kept *Record) bool {
	if kept.Outcome == TimedOut && kept.Timeout < cell.Timeout {
		return true
	}
	switch r.Rerun {
	case RerunAll:
		return true
	case RerunOther:
		return kept.Version != r.Version
	case RerunFailed:
		return !cell.Success(kept)
	}
	return false
}

// one does a run. The error is the suite's or the machine's; whatever the run meets is in the record.
func (r *Runner) one(ctx context.Context, j job, folder string) (*Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	record := newRecord(j.spec)
	record.Version, record.Timeout = r.Version, j.cell.Timeout
	teacher, err := r.teacher(ctx, j.spec)
	if err != nil {
		return nil, err
	}
	truth := teacher.Minimal
	var m0, m1 int
	if truth != nil {
		m0, m1 = truth.Sizes()
		record.Size, record.Parameters, record.Activation = teachers.Size{Inputs: truth.Inputs(), M0: m0, M1: m1}, truth.Parameters(), truth.Activations()
	} else {
		m0 = len(teacher.Shallow.Weight)
		record.Size, record.Activation = teachers.Size{Inputs: teacher.Shallow.Inputs(), M0: m0}, teacher.Shallow.Activation
		record.Parameters = m0*(record.Size.Inputs+2) + 1
	}

	oracle, err := r.oracle(ctx, teacher, j.spec, filepath.Join(folder, record.Hash+".json"))
	if err != nil {
		return nil, err
	}
	defer oracle.Close()
	session, err := query.Open(ctx, oracle, query.Settings{MaxQueries: j.spec.MaxQueries, Domain: j.spec.Domain})
	if err != nil {
		return nil, err
	}
	solverName, solverOptions, err := core.ParseNamed(j.spec.Solver)
	if err != nil {
		return nil, err
	}
	if j.spec.Recipe == identify.RecipePaper {
		solverOptions = paper.SolverOptions(solverName, solverOptions)
	}
	solver, err := r.Components.Solver(ctx, solverName, solverOptions)
	if err != nil {
		return nil, err
	}
	candidates, others, err := r.candidates(ctx, j.spec, record.Activation)
	if err != nil {
		return nil, err
	}
	problem := identify.Problem{
		Oracle: session, Info: session.Info(), Candidates: candidates, Second: others, Domain: j.spec.Domain, Solver: solver, SolverName: j.spec.Solver,
	}
	if j.spec.Sizes == given {
		problem.M0, problem.M1 = m0, m1
	}

	price := startCosts(j.priced && r.parallel() == 1)
	started := time.Now()
	limited, stop := context.WithTimeout(ctx, j.cell.Timeout)
	defer stop()
	second := identify.SecondLayerStudents
	if j.spec.Solver != auto { // a suite that names solvers wants them compared
		second = identify.SecondLayerDifferences
	}
	result, stage, err := guarded(limited, problem, identify.Settings{Recipe: j.spec.Recipe, Seed: j.spec.Seed, SecondLayer: second, Paper: identify.PaperSettings{
		Options: j.spec.Options, StopAfter: j.spec.StopAt, Refine: j.spec.Refine, Shallow: truth == nil,
	}})
	record.Seconds, record.Finished = time.Since(started).Seconds(), time.Now().UTC()
	record.Stage, record.Queries = stage, session.Queries()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && limited.Err() != nil:
		record.Outcome, record.Reason = TimedOut, fmt.Sprintf("not done after %s", j.cell.Timeout)
	case fault.Is(err, fault.Usage):
		return nil, fmt.Errorf("cell %s: %w", j.cell.Name, err)
	case fault.Is(err, fault.Budget):
		record.Outcome, record.Reason = NotIdentified, err.Error()
	case err != nil:
		record.Outcome, record.Reason = Failed, err.Error()
	case result.Identified:
		record.Outcome, record.Reason = Identified, result.Reason
	default:
		record.Outcome, record.Reason = NotIdentified, result.Reason
	}
	if result != nil && truth != nil {
		r.judge(ctx, record, truth, result)
	}
	if j.priced && j.spec.Recipe == identify.RecipeExact {
		record.Metrics = price.metrics(record, result)
	}
	if result != nil && result.Paper != nil {
		function, err := r.function(ctx, record.Activation)
		if err != nil {
			return nil, err
		}
		record.Metrics = paperMetrics(teacher.Network, teacher.Shallow, function, result.Paper)
		if j.priced {
			price.process(record.Metrics)
		}
	}
	return record, nil
}

// judge compares what was found with the truth.
func (r *Runner) judge(ctx context.Context, record *Record, truth *network.Network, result *identify.Result) {
	if result.Network == nil {
		return
	}
	record.FoundM0, record.FoundM1 = result.Network.Sizes()
	record.FoundActivation = result.Activation
	if result.Certificate != nil {
		record.ErrorBar = finiteOrNaN(result.Certificate.ErrorBar)
	}
	if result.Validation.Queries > 0 {
		record.ValidationError = finiteOrNaN(result.Validation.RelativeError)
	}
	if !record.SizesRight() {
		return
	}
	found := result.Network.Clone()
	rewritten := func(in, as string, write func(network.Affine, string)) (core.Facts, bool) {
		want, err := r.function(ctx, as)
		if err != nil {
			return core.Facts{}, false
		}
		if in == as {
			return want.Facts(), true
		}
		// tanh and sigmoid describe the same networks: no query tells which of them was meant.
		have, err := r.function(ctx, in)
		if err != nil {
			return core.Facts{}, false
		}
		relation, ok := network.Equivalent(have, want)
		if ok {
			write(relation, as)
		}
		return want.Facts(), ok
	}
	g, ok := rewritten(found.First.Activation, truth.First.Activation, found.RewriteFirst)
	if !ok {
		return
	}
	h, ok := rewritten(found.Second.Activation, truth.Second.Activation, found.RewriteSecond)
	if !ok {
		return
	}
	c, err := network.Compare(truth, found, g, h)
	if err != nil {
		return
	}
	record.MaxError, record.FirstError, record.SecondError = finiteOrNaN(c.MaxError), finiteOrNaN(floats.Max(c.First)), finiteOrNaN(floats.Max(c.Second))
	record.OutputError = finiteOrNaN(math.Max(floats.Max(c.Output), c.OutputBias))
}

func finiteOrNaN(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}

// guarded runs the pipeline; a panic becomes an error, and one that does not notice the end of its time is abandoned.
// stage is the last one it reported.
func guarded(ctx context.Context, problem identify.Problem, settings identify.Settings) (result *identify.Result, stage string, err error) {
	type outcome struct {
		result *identify.Result
		err    error
	}
	var mu sync.Mutex
	settings.Observe = func(e identify.Event) {
		mu.Lock()
		stage = e.Stage
		mu.Unlock()
	}
	last := func() string {
		mu.Lock()
		defer mu.Unlock()
		return stage
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- outcome{nil, fault.New(fault.Internal, "the pipeline panicked: %v", p)}
			}
		}()
		result, err := identify.Identify(ctx, problem, settings)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, last(), o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.result, last(), o.err
	case <-time.After(grace):
		return nil, last(), ctx.Err()
	}
}

// teacher makes the network to be hidden.
func (r *Runner) teacher(ctx context.Context, spec Spec) (*teachers.Teacher, error) {
	special, err := paperTeacher(spec, func() (core.Function, error) { return r.function(ctx, spec.Activation) })
	if special != nil || err != nil {
		return special, err
	}
	switch spec.Family {
	case FamilyFile:
		n, err := network.ReadFile(spec.File)
		if err != nil {
			return nil, err
		}
		return &teachers.Teacher{Network: n, Minimal: n}, nil
	case FamilyPlanted:
		return teachers.Planted(spec.Size, spec.Shift, spec.Activation, spec.Seed), nil
	}
	g, err := r.function(ctx, spec.Activation)
	if err != nil {
		return nil, err
	}
	if spec.Family == FamilyDegenerate {
		return teachers.Degenerate(spec.Case, spec.Size, spec.Shift, spec.Activation, g, spec.Seed)
	}
	file, err := r.Tables.Open(spec.Data + ".csv")
	if err != nil {
		return nil, fault.New(fault.Usage, "table %s: %w", spec.Data, err)
	}
	defer file.Close()
	table, err := teachers.ReadTable(file)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", spec.Data, err)
	}
	return teachers.Trained(ctx, table, spec.Size.M0, spec.Size.M1, spec.Activation, g, spec.Seed, teachers.Training{})
}

// Teacher returns the network that the run of the spec hides, for those who want to look at it.
func (r *Runner) Teacher(ctx context.Context, spec Spec) (*teachers.Teacher, error) {
	return r.teacher(ctx, spec)
}

// oracle hides the network in the oracle "network", which knows the conditions.
func (r *Runner) oracle(ctx context.Context, teacher *teachers.Teacher, spec Spec, path string) (core.Oracle, error) {
	if teacher.Shallow != nil {
		function, err := r.function(ctx, teacher.Shallow.Activation)
		if err != nil {
			return nil, err
		}
		return teachers.ShallowOracle{Network: teacher.Shallow, Function: function}, nil
	}
	n := teacher.Network
	file, err := os.Create(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "the network to be hidden cannot be written: %w", err)
	}
	defer os.Remove(path) // the oracle reads it once, when it is opened
	if err := errors.Join(n.Write(file), file.Close()); err != nil {
		return nil, fault.New(fault.Usage, "the network to be hidden cannot be written: %w", err)
	}
	return r.Components.Oracle(ctx, "network", core.Options{
		"file": path, "dtype": spec.DType, "digits": strconv.Itoa(spec.Digits),
		"noise": strconv.FormatFloat(spec.Noise, 'g', -1, 64), "seed": strconv.FormatUint(spec.Seed, 10),
	})
}

// candidates returns those for the first layer, or for both where second is nil.
func (r *Runner) candidates(ctx context.Context, spec Spec, truth string) (first, second []identify.Candidate, err error) {
	var names, others []string
	switch text := spec.Candidates; text {
	case auto:
		names = r.Activations
	default:
		if text == given {
			text = truth
		}
		g, h, err := core.SplitLayers(text)
		if err != nil {
			return nil, nil, err
		}
		if names = []string{g}; h != "" {
			others = []string{h}
		}
	}
	open := func(names []string) (candidates []identify.Candidate, err error) {
		for _, name := range names {
			function, err := r.function(ctx, name)
			if err != nil {
				return nil, err
			}
			candidates = append(candidates, identify.Candidate{Name: name, Function: function})
		}
		return candidates, nil
	}
	if first, err = open(names); err == nil {
		second, err = open(others)
	}
	return first, second, err
}

// function compiles an activation once.
func (r *Runner) function(ctx context.Context, name string) (core.Function, error) {
	r.mu.Lock()
	if r.functions == nil {
		r.functions = map[string]*compiled{}
	}
	c, ok := r.functions[name]
	if !ok {
		c = &compiled{}
		r.functions[name] = c
	}
	r.mu.Unlock()
	c.once.Do(func() {
		plain, options, err := core.ParseNamed(name)
		if err != nil {
			c.err = err
			return
		}
		activation, err := r.Components.Activation(ctx, plain, options)
		if err != nil {
			c.err = err
			return
		}
		// Values that no table gives are asked for later, by any run: the context of one must not end it for all.
		c.function, c.err = compile.Compile(context.WithoutCancel(ctx), activation)
	})
	return c.function, c.err
}
