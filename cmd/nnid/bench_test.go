//go:build unix

package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/query"
)

// opener opens components: in this process, or in processes of their own.
type opener interface {
	activationOpener
	Oracle(context.Context, string, core.Options) (core.Oracle, error)
	Solver(context.Context, string, core.Options) (core.Solver, error)
}

// BenchmarkIdentify measures what the process boundary costs: one iteration is two whole identifications from opening the
// components to the result, the journal included, in turns with every plugin in this process and with every plugin in a
// process of its own. The metric "ratio" is the time of the latter over that of the former, starting and ending the
// processes included; "ratio-running" leaves opening the components out of both. Times are the fastest of all iterations:
// whatever else the machine does only adds to them. For the ratio to mean something, take 5 iterations or more. Where the
// machine is never quiet, "ratio-cpu" tells: the processor time of both, that of the plugins' processes included.
func BenchmarkIdentify(b *testing.B) {
	for _, name := range []string{"diabetes-tanh-8-4", "digits-tanh-24-6"} {
		b.Run(name, func(b *testing.B) {
			file, err := filepath.Abs("../../testdata/networks/" + name + ".json")
			if err != nil {
				b.Fatal(err)
			}
			m0, m1 := 8, 4
			if name == "digits-tanh-24-6" {
				m0, m1 = 24, 6
			}
			var hereCPU, thereCPU []float64
			var here, hereRunning, there, thereRunning []float64
			for b.Loop() {
				cpu := processorTime(b)
				took, running := identifyOnce(b, host.InProcess{Plugin: builtins()}, file, m0, m1)
				here, hereRunning = append(here, took.Seconds()), append(hereRunning, running.Seconds())

				hereCPU = append(hereCPU, processorTime(b)-cpu)

				cpu = processorTime(b)
				began := time.Now()
				h := host.New(host.Settings{Self: new(builtins()), SelfPath: binary, SearchPath: []string{}, LockFile: filepath.Join(b.TempDir(), "plugins.lock")})
				_, running = identifyOnce(b, h, file, m0, m1)
				if err := h.Close(); err != nil {
					b.Fatal(err)
				}
				there, thereRunning = append(there, time.Since(began).Seconds()), append(thereRunning, running.Seconds())
				thereCPU = append(thereCPU, processorTime(b)-cpu)
			}
			b.ReportMetric(slices.Min(here)*1e3, "ms-in-process")
			b.ReportMetric(slices.Min(there)*1e3, "ms-out-of-process")
			b.ReportMetric(slices.Min(there)/slices.Min(here), "ratio")
			b.ReportMetric(slices.Min(thereRunning)/slices.Min(hereRunning), "ratio-running")
			b.ReportMetric(slices.Min(thereCPU)/slices.Min(hereCPU), "ratio-cpu")
		})
	}
}

// processorTime is what this process and its children that have ended have used, in seconds.
func processorTime(b *testing.B) float64 {
	b.Helper()
	total := 0.0
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	}
	return total
}

// identifyOnce returns how long it took in all, and how long after everything was open.
func identifyOnce(b *testing.B, from opener, file string, m0, m1 int) (took, running time.Duration) {
	began := time.Now()
	ctx := b.Context()
	check := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	// At the same time, as the command does.
	var oracle core.Oracle
	var info core.OracleInfo
	var solver core.Solver
	var function core.Function
	var opening sync.WaitGroup
	var errs [3]error
	opening.Go(func() {
		if oracle, errs[0] = from.Oracle(ctx, "network", core.Options{"file": file}); errs[0] == nil {
			info, errs[0] = oracle.Info(ctx)
		}
	})
	opening.Go(func() { solver, errs[1] = from.Solver(ctx, "auto", nil) })
	opening.Go(func() {
		var candidate identify.Candidate
		candidate, errs[2] = openActivation(ctx, from, "tanh", nil)
		function = candidate.Function
	})
	opening.Wait()
	check(errors.Join(errs[:]...))
	opened := time.Now()
	journal, err := query.OpenJournal(filepath.Join(b.TempDir(), "journal"), query.Identity{Oracle: "network", Model: info.Model, Seed: 1, Inputs: info.Inputs})
	check(err)
	session, err := query.Open(ctx, oracle, query.Settings{Journal: journal})
	check(err)
	result, err := identify.Identify(ctx, identify.Problem{
		Oracle: session, Info: session.Info(), Candidates: []identify.Candidate{{Name: "tanh", Function: function}}, M0: m0, M1: m1,
		Solver: solver, SolverName: "auto",
	}, identify.Settings{Recipe: identify.RecipeExact, Seed: 1, Observe: func(identify.Event) {}})
	check(err)
	if !result.Identified {
		b.Fatalf("not identified: %s", result.Reason)
	}
	check(journal.Close())
	running = time.Since(opened)
	check(oracle.Close())
	return time.Since(began), running
}
