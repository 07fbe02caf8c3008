package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/query"
)

// Outcomes of a solver's run, beside TimedOut and Failed.
const (
	Solved      Outcome = "solved"      // everything found, nothing invented
	Incomplete  Outcome = "incomplete"  // something is missing or invented
	Unsupported Outcome = "unsupported" // the solver says that such a problem is beyond it
)

// RankOneRecord is what is kept of a solver's run.
type RankOneRecord struct {
	Hash string
	Spec RankOneSpec

	Outcome  Outcome
	Reason   string
	Dim      int // d
	Subspace int // dimension of the subspace
	Wanted   int // vectors to be found
	Found    int // of them, each within its tolerance
	Returned int // vectors returned
	// Errors of the vectors found; NaN where none was.
	MaxError, MedianError float64
	Seconds               float64
	Statistics            map[string]float64 // the solver's own

	Timeout  time.Duration
	Version  string
	Finished time.Time
}

// RankOneRunner runs solvers on suites of subspaces.
type RankOneRunner struct {
	Runner  *Runner  // opens components, and identifies networks for the family pipeline
	Solvers []string // by name
	// Here says which of them run in this process: their processor time is known where they run alone.
	Here map[string]bool
	// Observe is called after every run, from one goroutine at a time; done counts the kept ones too. May be nil.
	Observe func(cell RankOneCell, record *RankOneRecord, done, total int)
}

// Run runs every solver on every cell of the suite with the seeds 0 .. seeds-1, except for runs that the store has. All
// solvers get a subspace one right after the other, so that a machine's moods meet them alike.
func (r *RankOneRunner) Run(ctx context.Context, suite *RankOneSuite, seeds int, store *RankOneStore) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	folder, err := os.MkdirTemp("", "nnid-bench-")
	if err != nil {
		return fault.New(fault.Usage, "the networks to be hidden cannot be written: %w", err)
	}
	defer os.RemoveAll(folder)
	timeout := suite.Timeout
	if r.Runner.Timeout > 0 {
		timeout = r.Runner.Timeout
	}
	type group struct {
		cell  RankOneCell
		specs []RankOneSpec
	}
	var groups []group
	total, done := 0, 0
	for seed := range uint64(seeds) {
		for _, cell := range suite.Cells {
			g := group{cell: cell}
			for _, name := range r.Solvers {
				spec := cell.Spec
				spec.Seed, spec.Solver = seed, name
				total++
				kept, err := store.Get(spec.Hash())
				if err != nil {
					return err
				}
				if kept != nil && !r.again(kept, timeout) {
					done++
					continue
				}
				g.specs = append(g.specs, spec)
			}
			if len(g.specs) > 0 {
				groups = append(groups, g)
			}
		}
	}
	solvers := map[string]core.Solver{}
	for _, name := range r.Solvers {
		if solvers[name], err = r.Runner.Components.Solver(ctx, name, nil); err != nil {
			return err
		}
	}
	workers := r.Runner.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	queue := make(chan group)
	var wait sync.WaitGroup
	var finish sync.Mutex
	for range min(workers, len(groups)) {
		wait.Go(func() {
			for g := range queue {
				problem, err := r.problem(ctx, g.cell.Spec, g.specs[0].Seed, folder)
				if err != nil {
					cancel(fmt.Errorf("cell %s, seed %d: %w", g.cell.Name, g.specs[0].Seed, err))
					continue
				}
				for _, spec := range g.specs {
					record := r.one(ctx, spec, problem, solvers[spec.Solver], timeout)
					if ctx.Err() != nil {
						break
					}
					finish.Lock()
					if err := store.Put(record); err != nil {
						cancel(err)
					}
					done++
					if r.Observe != nil {
						r.Observe(g.cell, record, done, total)
					}
					finish.Unlock()
				}
			}
		})
	}
	for _, g := range groups {
		select {
		case queue <- g:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	wait.Wait()
	return context.Cause(ctx)
}

func (r *RankOneRunner) again(kept *RankOneRecord, timeout time.Duration) bool {
	switch r.Runner.Rerun {
	case RerunAll:
		return true
	case RerunOther:
		return kept.Version != r.Runner.Version
	case RerunFailed:
		return kept.Outcome != Solved && kept.Outcome != Unsupported
	}
	return kept.Outcome == TimedOut && kept.Timeout < timeout
}

// one runs a solver. Whatever it does is in the record.
func (r *RankOneRunner) one(ctx context.Context, spec RankOneSpec, problem *RankOneProblem, solver core.Solver, timeout time.Duration) *RankOneRecord {
	_, m := problem.Problem.Basis.Dims()
	record := &RankOneRecord{
		Hash: spec.Hash(), Spec: spec, Dim: problem.Problem.Dim, Subspace: m, Wanted: m,
		MaxError: math.NaN(), MedianError: math.NaN(), Timeout: timeout, Version: r.Runner.Version,
	}
	limited, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	runtime.GC() // nobody pays for another's garbage
	cpu, measured := cpuSeconds()
	started := time.Now()
	solution, err := guardedSolve(limited, solver, problem.Problem)
	record.Seconds, record.Finished = time.Since(started).Seconds(), time.Now().UTC()
	after, _ := cpuSeconds()
	switch {
	case err != nil && limited.Err() != nil:
		record.Outcome, record.Reason = TimedOut, fmt.Sprintf("not done after %s", timeout)
	case fault.Is(err, fault.Unsupported):
		record.Outcome, record.Reason = Unsupported, err.Error()
	case err != nil:
		record.Outcome, record.Reason = Failed, err.Error()
	default:
		v := problem.judge(solution)
		record.Found, record.Returned, record.MaxError, record.MedianError = v.found, v.returned, v.worst, v.median
		record.Statistics = maps.Clone(solution.Statistics)
		if _, own := record.Statistics[processorTime]; !own && measured && r.Runner.Workers == 1 && r.Here[spec.Solver] {
			if record.Statistics == nil {
				record.Statistics = map[string]float64{}
			}
			record.Statistics[processorTime] = after - cpu
		}
		record.Outcome = Solved
		if !v.complete(m) {
			record.Outcome = Incomplete
			record.Reason = fmt.Sprintf("%d of %d found, %d more returned", v.found, m, v.returned-v.found)
		}
	}
	return record
}

// guardedSolve solves; a panic becomes an error, and a solver that does not notice the end of its time is left to itself.
func guardedSolve(ctx context.Context, solver core.Solver, problem core.Problem) (*core.Solution, error) {
	type outcome struct {
		solution *core.Solution
		err      error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- outcome{nil, fault.New(fault.Internal, "the solver panicked: %v", p)}
			}
		}()
		solution, err := solver.Solve(ctx, problem, func(core.SolverProgress) {})
		if err == nil && solution == nil {
			err = fault.New(fault.Internal, "the solver returned neither a solution nor an error")
		}
		done <- outcome{solution, err}
	}()
	select {
	case o := <-done:
		return o.solution, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.solution, o.err
	case <-time.After(grace):
		return nil, ctx.Err()
	}
}

// problem makes the subspace.
func (r *RankOneRunner) problem(ctx context.Context, spec RankOneSpec, seed uint64, folder string) (*RankOneProblem, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	spec.Seed, spec.Solver = seed, ""
	if spec.Family != SubspacePipeline {
		return plantSubspace(spec)
	}
	return r.pipeline(ctx, spec, filepath.Join(folder, spec.Hash()+".json"))
}

// pipeline identifies a planted network, and returns the subspace that its solver met.
func (r *RankOneRunner) pipeline(ctx context.Context, spec RankOneSpec, path string) (*RankOneProblem, error) {
	hidden := Spec{
		Family: FamilyPlanted, Size: spec.Network, Shift: spec.Shift, Activation: spec.Activation, DType: string(core.FP64),
		Candidates: given, Sizes: unknown, Recipe: identify.RecipeExact, Seed: spec.Seed,
	}
	teacher, err := r.Runner.teacher(ctx, hidden)
	if err != nil {
		return nil, err
	}
	oracle, err := r.Runner.oracle(ctx, teacher, hidden, path)
	if err != nil {
		return nil, err
	}
	defer oracle.Close()
	session, err := query.Open(ctx, oracle, query.Settings{})
	if err != nil {
		return nil, err
	}
	candidates, _, err := r.Runner.candidates(ctx, hidden, teacher.Minimal.First.Activation)
	if err != nil {
		return nil, err
	}
	eavesdropper := &eavesdropper{}
	_, err = identify.Identify(ctx, identify.Problem{
		Oracle: session, Info: session.Info(), Candidates: candidates, Solver: eavesdropper, SolverName: "none",
	}, identify.Settings{Seed: spec.Seed, SecondLayer: identify.SecondLayerDifferences})
	if eavesdropper.problem.Basis == nil {
		if err == nil {
			err = errors.New("no solver was needed")
		}
		return nil, fault.New(fault.Usage, "the pipeline came to no subspace: %w", err)
	}
	return &RankOneProblem{Problem: eavesdropper.problem}, nil
}

// eavesdropper is a solver that keeps the first problem it is given and ends the run.
type eavesdropper struct{ problem core.Problem }

func (e *eavesdropper) Solve(_ context.Context, problem core.Problem, _ func(core.SolverProgress)) (*core.Solution, error) {
	if e.problem.Basis == nil {
		e.problem = problem
	}
	return nil, fault.New(fault.Usage, "the subspace is all that was wanted")
}

// processorTime is the statistic of the processor time of a run: by the solver's own account where it runs in a process of
// its own, measured from outside where it runs alone in this one. On a busy machine it tells more than the time that passed.
const processorTime = "cpu_seconds"

// ownSeconds is that time, NaN where there is none.
func (r *RankOneRecord) ownSeconds() float64 {
	if v, ok := r.Statistics[processorTime]; ok {
		return v
	}
	return math.NaN()
}

func statisticsText(s map[string]float64) (string, error) {
	finite := map[string]float64{}
	for k, v := range s {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			finite[k] = v
		}
	}
	text, err := json.Marshal(finite)
	return string(text), err
}
