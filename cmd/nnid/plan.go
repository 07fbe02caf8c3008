package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/query"
)

// planFlags are the flags that say how, how fast and how much the oracle may be asked.
type planFlags struct {
	maxQueries       int64
	maxCost, rowCost float64
	batch            string
	parallel         int
	rate             float64
	timeout          time.Duration
	maxTime          time.Duration
	dryRun           bool
}

func (p *planFlags) register(flags *pflag.FlagSet) {
	flags.Int64Var(&p.maxQueries, "max-queries", 0, "most points the oracle may be asked, those of resumed runs included; 0: no limit")
	flags.Float64Var(&p.rowCost, "cost-per-query", 0, "price of one point, in any unit")
	flags.Float64Var(&p.maxCost, "max-cost", 0, "most that all points may cost, those of resumed runs included; needs --cost-per-query; 0: no limit")
	flags.DurationVar(&p.maxTime, "max-time", 0, "longest time of the run, such as 10m: then it ends with what was found; 0: no limit")
	flags.StringVar(&p.batch, "batch", "", "most points in one call of the oracle, or auto for what proves fastest (default: what the oracle declares, or 4096)")
	flags.IntVar(&p.parallel, "parallel", 1, "most calls of the oracle at the same time, which share the points of a batch")
	flags.Float64Var(&p.rate, "rate", 0, "most points a second; 0: no limit")
	flags.DurationVar(&p.timeout, "timeout", 0, "longest time of one call of the oracle, such as 30s; 0: the oracle's own limit")
	flags.BoolVar(&p.dryRun, "dry-run", false, "ask nothing and write nothing: say what a run would ask and cost, and exit")
}

func (p *planFlags) check() error {
	positive := func(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }
	rows, err := strconv.Atoi(p.batch)
	switch {
	case p.maxQueries < 0:
		return fault.New(fault.Usage, "--max-queries %d must be positive, or 0 for no limit", p.maxQueries)
	case !positive(p.rowCost):
		return fault.New(fault.Usage, "--cost-per-query %v must be a positive number, or 0", p.rowCost)
	case !positive(p.maxCost):
		return fault.New(fault.Usage, "--max-cost %v must be a positive number, or 0 for no limit", p.maxCost)
	case p.maxCost > 0 && p.rowCost == 0:
		return fault.New(fault.Usage, "--max-cost %v needs the price of a point: give --cost-per-query too", p.maxCost)
	case p.batch != "" && p.batch != auto && (err != nil || rows < 1):
		return fault.New(fault.Usage, "--batch %s must be auto or a whole number of at least 1", p.batch)
	case p.parallel < 1 || p.parallel > 1024:
		return fault.New(fault.Usage, "--parallel %d must be between 1 and 1024", p.parallel)
	case !positive(p.rate):
		return fault.New(fault.Usage, "--rate %v must be a positive number, or 0 for no limit", p.rate)
	case p.maxTime < 0:
		return fault.New(fault.Usage, "--max-time %s must be positive, or 0 for no limit", p.maxTime)
	case p.timeout < 0:
		return fault.New(fault.Usage, "--timeout %s must be positive, or 0 for the oracle's own limit", p.timeout)
	}
	return nil
}

// limit is the context of a run that may take so long.
func (p *planFlags) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.maxTime == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, p.maxTime)
}

// settings are those of the session that the flags decide.
func (p *planFlags) settings() query.Settings {
	s := query.Settings{
		MaxQueries: p.maxQueries, RowCost: p.rowCost, MaxCost: p.maxCost, TuneBatch: p.batch == auto, Rate: p.rate, Timeout: p.timeout,
	}
	s.BatchRows, _ = strconv.Atoi(p.batch) // checked; 0 where there is none
	if p.parallel > 1 {
		s.Parallel = p.parallel
	}
	return s
}

// Queries a parameter that identifications of tanh and sigmoid networks took, from the least to the largest median of a setting in
// docs/exact-results.md, or what the shipped network takes. Answers in single precision, or rounded, take more.
var (
	usualDouble = [2]float64{4, 14}
	usualSingle = [2]float64{12, 39}
)

// estimate is what a network of given sizes would take.
type estimate struct {
	M0         int         `json:"m0"`
	M1         int         `json:"m1"`
	Parameters int         `json:"parameters"`
	Queries    [2]int64    `json:"queries"`        // from, to
	Cost       *[2]float64 `json:"cost,omitempty"` // from, to; without what is in the journal already
	Seconds    *[2]float64 `json:"seconds,omitempty"`
}

// planned is what --dry-run says with --json.
type planned struct {
	Kind      string          `json:"event"`
	Oracle    string          `json:"oracle"`
	Info      core.OracleInfo `json:"-"`
	Model     string          `json:"model"`
	Inputs    int             `json:"inputs"`
	DType     string          `json:"dtype,omitempty"`
	Batch     int             `json:"batch"`
	Kept      int64           `json:"answers_in_journal"`
	Allowed   int64           `json:"allowed_queries,omitempty"` // by the budget; 0: no limit
	Estimates []estimate      `json:"estimates"`
	RunDir    string          `json:"run_dir"`
}

// dryRun says what a run would ask and cost. It asks nothing, and leaves no file where there was none.
func (f *identifyFlags) dryRun(info core.OracleInfo, identity query.Identity, settings identify.PaperSettings) error {
	p := planned{
		Kind: "plan", Oracle: identity.Oracle, Info: info, Model: identity.Model, Inputs: identity.Inputs, DType: string(info.DType), RunDir: f.runDir,
	}
	if f.output > 0 && info.Outputs > 0 && f.output >= info.Outputs {
		return fault.New(fault.Usage, "there is no output %d: the model has %d outputs, counted from 0", f.output, info.Outputs)
	}
	path := filepath.Join(f.runDir, fileJournal)
	if _, err := os.Stat(path); err == nil {
		journal, err := query.OpenJournal(path, identity)
		if err != nil {
			return err
		}
		p.Kept = journal.Recovery().Rows
		if err := journal.Close(); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.Usage, "the journal %s cannot be read: %w", path, pathCause(err))
	}
	asking := f.plan.settings()
	asking.Inputs = identity.Inputs
	p.Batch = asking.Batch(info)
	p.Allowed = f.plan.allowed()
	sizes := [][2]int{{f.m0, f.m1}}
	if f.m0 == 0 || f.m1 == 0 && !settings.Shallow {
		sizes = [][2]int{{8, 2}, {16, 4}, {32, 8}}
	}
	for _, size := range sizes {
		e := estimate{M0: size[0], M1: size[1], Parameters: size[0]*(identity.Inputs+1) + size[1]*(size[0]+1) + size[1] + 1}
		if settings.Shallow {
			e.M1, e.Parameters = 0, size[0]*(identity.Inputs+2)+1
		}
		e.Queries = usual(info, e.Parameters)
		if f.recipe == identify.RecipePaper {
			var err error
			if e.Queries, err = settings.Plan(identity.Inputs, size[0], size[1]); err != nil {
				return err
			}
		}
		f.plan.price(&e, p.Kept)
		p.Estimates = append(p.Estimates, e)
	}
	if f.json {
		data, err := marshal(p)
		if err != nil {
			return fault.New(fault.Internal, "the plan cannot be written as JSON: %w", err)
		}
		fmt.Fprintf(f.streams.out, "%s\n", data)
		return nil
	}
	f.printPlan(p)
	return nil
}

// allowed is how many queries the budgets allow; 0 for no limit.
func (p *planFlags) allowed() int64 {
	allowed := p.maxQueries
	if p.maxCost > 0 {
		if byCost := int64(math.Min(math.Floor(p.maxCost/p.rowCost), math.MaxInt64/2)); allowed == 0 || byCost < allowed {
			allowed = max(1, byCost)
		}
	}
	return allowed
}

// usual are the queries that the recipe exact takes for so many parameters.
func usual(info core.OracleInfo, parameters int) [2]int64 {
	factors := usualDouble
	if info.DType == core.FP32 {
		factors = usualSingle
	}
	return [2]int64{int64(factors[0] * float64(parameters)), int64(factors[1] * float64(parameters))}
}

// price says what the queries cost that are not in the journal already.
func (p *planFlags) price(e *estimate, kept int64) {
	var cost, seconds [2]float64
	for i := range e.Queries {
		left := float64(max(0, e.Queries[i]-kept))
		cost[i] = left * p.rowCost
		if p.rate > 0 {
			seconds[i] = left / p.rate
		}
	}
	if p.rowCost > 0 {
		e.Cost = &cost
	}
	if p.rate > 0 {
		e.Seconds = &seconds
	}
}

func (f *identifyFlags) printPlan(p planned) {
	w := tabwriter.NewWriter(f.streams.out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "model\t%s, %d inputs", p.Model, p.Inputs)
	if p.Info.Outputs > 1 {
		fmt.Fprintf(w, ", output %d of %d", f.output, p.Info.Outputs)
	}
	if p.DType != "" {
		fmt.Fprintf(w, ", %s", p.DType)
	}
	fmt.Fprintf(w, "\ncalls\tof up to %s", plural(int64(p.Batch), "point"))
	if f.plan.batch == auto {
		fmt.Fprint(w, ", or fewer where that proves faster")
	}
	if f.plan.parallel > 1 {
		fmt.Fprintf(w, ", %d at the same time", f.plan.parallel)
	}
	fmt.Fprintln(w)
	for _, e := range p.Estimates {
		fmt.Fprintf(w, "%d + %d neurons\t%d parameters: about %d to %d queries", e.M0, e.M1, e.Parameters, e.Queries[0], e.Queries[1])
		if e.Cost != nil {
			fmt.Fprintf(w, ", at a cost of %.6g to %.6g", e.Cost[0], e.Cost[1])
		}
		if e.Seconds != nil {
			fmt.Fprintf(w, ", %s to %s at the rate allowed", roundSeconds(e.Seconds[0]), roundSeconds(e.Seconds[1]))
		}
		switch {
		case p.Allowed == 0:
		case p.Allowed < e.Queries[0]:
			fmt.Fprintf(w, "; the budget of %d does not do", p.Allowed)
		case p.Allowed < e.Queries[1]:
			fmt.Fprintf(w, "; the budget of %d may not do", p.Allowed)
		default:
			fmt.Fprintf(w, "; the budget of %d does", p.Allowed)
		}
		fmt.Fprintln(w)
	}
	if p.Kept > 0 {
		fmt.Fprintf(w, "journal\t%s kept in %s, not to be paid for again\n", plural(p.Kept, "answer"), p.RunDir)
	}
	if f.recipe == identify.RecipePaper {
		fmt.Fprintf(w, "asked\tnothing: this was a dry run\n")
		return
	}
	fmt.Fprintf(w, "asked\tnothing: this was a dry run; noise, rounding and bounds of the domain take more than the usual\n")
}

func roundSeconds(s float64) time.Duration {
	return time.Duration(min(math.Ceil(s), 1e9)) * time.Second
}
