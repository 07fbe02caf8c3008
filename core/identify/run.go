package identify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

// Run identifies the network behind problem.Oracle. When the run was cut short (budget spent, context ended) or the
// network resists, the result still holds what was found, with Identified false; it is nil only when err says that
// nothing could be started. An error with a result means: cut short, for the reason given.
func Run(ctx context.Context, problem Problem, settings Settings) (*Result, error) {
	started := time.Now()
	if settings.Recipe == "" {
		settings.Recipe = RecipeExact
	}
	switch settings.Recipe {
	case RecipeExact:
	case RecipePaper:
		return runPaper(ctx, problem, settings)
	default:
		return nil, fault.New(fault.Usage, "there is no recipe %q; there are: %s", settings.Recipe, strings.Join(Recipes, ", "))
	}
	result := &Result{Recipe: settings.Recipe, Solver: problem.SolverName, Seed: settings.Seed}
	report := &reporter{observe: settings.Observe, queries: problem.Oracle.Queries}
	log := &sample.Log{Oracle: problem.Oracle}
	e := &exact{problem: problem, settings: settings, log: log, report: report, rng: rand.New(rand.NewPCG(settings.Seed, 0x6e6e6964))}
	err := e.run(ctx)
	result.M0, result.M1 = len(e.units), problem.M1
	result.Remark = e.remark
	if n := e.found; n != nil {
		result.Network, result.Certificate = n, e.certificate
		result.M0, result.M1 = n.Sizes()
		result.Parameters = n.Parameters()
		result.Activation = e.family.Name
		if err == nil {
			err = e.validate(ctx, n, e.family.Candidate, result)
		}
	}
	result.Queries = problem.Oracle.Queries()
	result.Stages = report.bills
	result.Seconds = time.Since(started).Seconds()
	if err != nil {
		result.Reason = err.Error()
		if fault.Is(err, fault.Unsupported) { // the network resists: a result, not a failure of the run
			err = nil
		}
	}
	return result, err
}

// validate asks fresh rows and compares.
func (e *exact) validate(ctx context.Context, n *network.Network, c Candidate, result *Result) error {
	e.report.start("validation")
	count := max(24, min(200, n.Parameters()/10))
	d := n.Inputs()
	x := mat.NewDense(count, d, nil)
	for i := range count {
		e.place(x.RawRowView(i))
	}
	y, err := e.problem.Oracle.Ask(ctx, x)
	if err != nil {
		return err
	}
	found := n.Evaluate(c.Function, c.Function, x)
	var squares, mean, variance float64
	for i := range y {
		r := math.Abs(y[i] - found[i])
		result.Validation.MaxError = math.Max(result.Validation.MaxError, r)
		squares += r * r
		mean += y[i] / float64(count)
	}
	for i := range y {
		variance += (y[i] - mean) * (y[i] - mean)
	}
	result.Validation.Queries = count
	result.Validation.RelativeError = math.Sqrt(squares / variance)
	e.report.finish("relative error %.1e on %d fresh queries", result.Validation.RelativeError, count)
	result.Identified, result.Reason = e.verdict(result)
	return nil
}

// wideMargin is how many times what noise explains the loss must be without any one of the units, for the number of units
// to be certain: units of comparable weight that are missing would then be seen.
const wideMargin = 4

// verdict decides whether the network is identified: fresh answers agree with it to their noise, and the answers
// determine all of its parameters.
func (e *exact) verdict(r *Result) (bool, string) {
	allowed := math.Max(1e-9, 30*e.noise)
	switch {
	case r.Validation.RelativeError > allowed:
		return false, fmt.Sprintf("the network found differs from fresh answers by %.1e of their standard deviation; %.1e would be noise", r.Validation.RelativeError, allowed)
	case e.noise > farNoise && e.margin > 0 && e.margin < wideMargin:
		return false, fmt.Sprintf("with one unit less the residuals would be only %.1f times as large as noise explains: at this noise the sizes are uncertain", math.Sqrt(e.margin))
	case len(r.Certificate.Undetermined) > 0:
		return false, fmt.Sprintf("the answers leave open %s", strings.Join(r.Certificate.Undetermined, ", "))
	}
	return true, fmt.Sprintf("fresh answers agree to %.1e of their standard deviation and determine every parameter; the largest relative error bar is %.1e", r.Validation.RelativeError, r.Certificate.ErrorBar)
}

// reporter turns stages into events and bills.
type reporter struct {
	observe func(Event)
	queries func() int64
	stage   string
	since   time.Time
	before  int64
	bills   []StageBill
}

func (r *reporter) start(stage string) {
	r.stage, r.since, r.before = stage, time.Now(), r.queries()
	r.emit(Event{Text: "started"})
}

func (r *reporter) progress(done, total int, loss float64, format string, args ...any) {
	r.emit(Event{Text: fmt.Sprintf(format, args...), Done: done, Total: total, Loss: loss})
}

func (r *reporter) finish(format string, args ...any) {
	r.bills = append(r.bills, StageBill{Stage: r.stage, Queries: r.queries() - r.before, Time: time.Since(r.since)})
	r.emit(Event{Text: fmt.Sprintf(format, args...), Final: true})
}

func (r *reporter) emit(e Event) {
	if r.observe == nil {
		return
	}
	e.Stage, e.Queries = r.stage, r.queries()
	r.observe(e)
}
