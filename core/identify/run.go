package identify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
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
			err = e.validate(ctx, n, e.family.Function, e.family.Function, e.place, result)
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

// validate asks for answers at fresh points, which place writes into the rows, compares n with them and decides.
func (e *exact) validate(ctx context.Context, n *network.Network, g, h core.Function, place func(row []float64), result *Result) error {
	e.report.start("validation")
	count := max(24, min(200, n.Parameters()/10))
	x := mat.NewDense(count, n.Inputs(), nil)
	for k := range count {
		place(x.RawRowView(k))
	}
	y, err := e.problem.Oracle.Ask(ctx, x)
	if err != nil {
		return err
	}
	away := floats.SubTo(make([]float64, count), y, n.Evaluate(g, h, x))
	result.Validation = Validation{
		Queries: count, MaxError: floats.Norm(away, math.Inf(1)),
		RelativeError: floats.Norm(away, 2) / math.Sqrt(float64(count)) / stat.PopStdDev(y, nil),
	}
	e.report.finish("relative error %.1e on %d fresh queries", result.Validation.RelativeError, count)
	result.Identified, result.Reason = e.verdict(result)
	return nil
}

// wideMargin is how many times what noise explains the loss must be without any one of the units, for the number of units
// to be certain: units of comparable weight that are missing would then be seen.
const wideMargin = 4

// mostAmplified is the largest ratio of error bar to noise at which error bars are believed. They follow from the Jacobian at the
// network found, and where noise is amplified that much the Jacobian changes within them. Trained and planted networks have 1e2 to 1e5;
// with two units that nearly coincide it was 1e10 and more, and parameters were off by a hundred bars (docs/exact.md).
const mostAmplified = 1e8

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
	case r.Certificate.ErrorBar > mostAmplified*e.noise:
		return false, fmt.Sprintf("parameters hang on the last digits of the answers: noise of %.1e becomes an error bar of %.1e, too much for it to be believed; two units may nearly coincide", e.noise, r.Certificate.ErrorBar)
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
