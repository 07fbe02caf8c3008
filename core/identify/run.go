package identify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
)

// Run identifies the network behind problem.Oracle. When the run was cut short (budget spent, context ended) or the
// network resists, the result still holds what was found, with Identified false; it is nil only when err says that
// nothing could be started. An error with a result means: cut short, for the reason given.
func Run(ctx context.Context, problem Problem, settings Settings) (*Result, error) {
	if settings.Recipe == "" {
		settings.Recipe = RecipeExact
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	switch settings.Recipe {
	case RecipeExact:
	case RecipePaper:
		return runPaper(ctx, problem, settings)
	default:
		return nil, fault.New(fault.Usage, "there is no recipe %q; there are: %s", settings.Recipe, strings.Join(Recipes, ", "))
	}
	return runFrom(ctx, problem, settings, &exact{log: problem.log()})
}

// check refuses settings that there are not.
func (s Settings) check() error {
	if s.SecondLayer != "" && !slices.Contains(SecondLayers, s.SecondLayer) {
		return fault.New(fault.Usage, "the second layer cannot be recovered by %q; there are: %s", s.SecondLayer, strings.Join(SecondLayers, ", "))
	}
	return nil
}

// log returns a log of what is asked of the oracle.
func (p Problem) log() *sample.Log {
	return &sample.Log{Oracle: p.Oracle, Single: p.Info.DType == core.FP32}
}

// runFrom is Run with the recipe exact, given what e has found before.
func runFrom(ctx context.Context, problem Problem, settings Settings, e *exact) (*Result, error) {
	started := time.Now()
	result := &Result{Recipe: RecipeExact, Solver: problem.SolverName, Seed: settings.Seed}
	report := &reporter{observe: settings.Observe, queries: problem.Oracle.Queries}
	e.problem, e.settings, e.report, e.rng = problem, settings, report, rand.New(rand.NewPCG(settings.Seed, 0x6e6e6964))
	err := e.run(ctx)
	if e.handed { // by other stages, which go on from here
		result.Stages = report.bills
		return result, err
	}
	result.M0, result.M1 = len(e.units), problem.M1
	result.Remark = e.remark
	if e.found != nil {
		e.describe(result)
		if err == nil {
			err = e.conclude(ctx, result)
		}
	}
	result.Queries = problem.Oracle.Queries()
	result.Asked = e.log
	if e.scales != nil {
		result.Noise = e.scales.Noise
	}
	if !result.Identified {
		result.Unexplained = e.missed
	}
	result.Stages = report.bills
	result.Seconds = time.Since(started).Seconds()
	if err != nil {
		result.Reason = err.Error()
		if _, ok := errors.AsType[dishonestError](err); ok {
			result.Doubted = true
			return result, nil
		}
		if fault.Is(err, fault.Unsupported) { // the network resists: a result, not a failure of the run
			err = nil
		}
	}
	return result, err
}

// describe writes what was found into result.
func (e *exact) describe(result *Result) {
	n := e.found
	result.Network, result.Certificate = n, e.certificate
	result.M0, result.M1 = n.Sizes()
	result.Parameters = n.Parameters()
	result.Activation = e.family.Name
}

// lessons is how often fresh answers from which a network differs are fitted, too, and others compared.
const lessons = 3

// conclude compares what was found with fresh answers. Where noise may have hidden what they show they are fitted, too.
func (e *exact) conclude(ctx context.Context, result *Result) error {
	for lesson := 0; ; lesson++ {
		g := e.family.Function
		against := refine.Data{}
		if e.explains() {
			if against = e.contradictions(e.found, e.family); len(against.Y) > 0 && lesson < lessons {
				revised, err := e.revise(ctx, against)
				if err != nil {
					return err
				}
				e.describe(result)
				if revised {
					continue
				}
			}
		}
		if err := e.validate(ctx, e.found, g, g, e.place, result); err != nil {
			return err
		}
		if result.Identified && len(against.Y) > 0 {
			result.Identified, result.Reason = false, e.contradicted(e.found, against)
		}
		// One unit far from its transition is an exponential, which may explain the answers in the middle and no others.
		if !result.Identified && e.explains() && len(e.found.Output) == 1 {
			return e.simple(ctx)
		}
		if result.Identified || !e.noisy() || e.reach > 0 || e.spreaded == 0 || e.loss > goodLoss || lesson == lessons {
			return nil
		}
		if learnt, err := e.learn(ctx); err != nil || !learnt {
			return err
		}
		e.describe(result)
	}
}

// explains reports whether the network found explains exact answers in the middle, once those far out were asked.
func (e *exact) explains() bool { return !e.noisy() && e.reach == 0 && e.loss <= goodLoss }

// learn fits what was found to the answers that it was compared with, too; it reports whether it explains them then.
func (e *exact) learn(ctx context.Context) (bool, error) {
	e.report.start("fit")
	fitted := e.trusted(e.found, e.family.Candidate, e.roundingError(), e.spreadFrom)
	rows, _ := e.fresh.X.Dims()
	for r := range rows {
		e.log.X = append(e.log.X, e.fresh.X.RawRowView(r))
	}
	e.log.Y = append(e.log.Y, e.fresh.Y...)
	middle, err := e.middle(e.found, e.family)
	if err != nil {
		return false, err
	}
	n, _, err := e.uncover(ctx, e.found, e.family, middle, fitted, false)
	if err != nil {
		return false, err
	}
	n, loss, elsewhere, err := e.settle(ctx, n, e.family, middle)
	if err != nil {
		return false, err
	}
	e.report.finish("residuals %.1f times what noise explains", math.Sqrt(loss*elsewhere))
	if loss*elsewhere > goodLoss {
		return false, nil
	}
	found, certificate, before := e.found, e.certificate, e.loss
	e.found, e.loss = n, loss
	if err := e.certify(ctx); err != nil {
		return false, err
	}
	// Among many answers that are explained a few that are not hardly count: those it differed from are to be.
	g := e.family.Function
	away := floats.SubTo(make([]float64, rows), e.fresh.Y, n.Evaluate(g, g, e.fresh.X))
	if spread := stat.PopStdDev(e.fresh.Y, nil); floats.Norm(away, 2)/math.Sqrt(float64(rows))/spread > e.allowed(e.expected(n, g, g, e.fresh.X)/spread, e.propagated(n, g, g, e.fresh.X)/spread) {
		e.found, e.certificate, e.loss = found, certificate, before
		return false, nil
	}
	return true, nil
}

// validate asks for answers at fresh points, which place writes into the rows, compares n with them and decides.
func (e *exact) validate(ctx context.Context, n *network.Network, g, h core.Function, place func(row []float64), result *Result) error {
	e.report.start("validation")
	count := max(24, min(200, n.Parameters()/10))
	x, y, err := e.askPlaces(ctx, n.Inputs(), count, place)
	if err != nil {
		return err
	}
	if e.reach == 0 && e.scales != nil && stat.PopStdDev(y, nil) < flatValidation*e.scales.Spread {
		// All of them lie where the second layer is saturated on one side: that says little.
		farther, more, err := e.askPlaces(ctx, n.Inputs(), count, func(row []float64) {
			place(row)
			floats.Scale(fartherPlaces, row)
		})
		if err != nil {
			return err
		}
		all := stack(refine.Data{X: x, Y: y}, refine.Data{X: farther, Y: more})
		x, y, count = all.X, all.Y, 2*count
	}
	result.Fresh = nil
	for k := range count {
		result.Fresh = append(result.Fresh, x.RawRowView(k))
	}
	e.fresh = refine.Data{X: x, Y: y}
	away := floats.SubTo(make([]float64, count), y, n.Evaluate(g, h, x))
	spread := stat.PopStdDev(y, nil)
	if spread == 0 { // of a constant, the size is as good
		spread = math.Max(math.Abs(y[0]), math.SmallestNonzeroFloat64)
	}
	result.Validation = Validation{
		Queries: count, MaxError: floats.Norm(away, math.Inf(1)),
		RelativeError: floats.Norm(away, 2) / math.Sqrt(float64(count)) / spread,
	}
	e.report.finish("relative error %.1e on %d fresh queries", result.Validation.RelativeError, count)
	result.Identified, result.Reason = e.verdict(result, e.expected(n, g, h, x)/spread, e.propagated(n, g, h, x)/spread)
	if result.Identified {
		if open := oneSided(n, g, h, e.rows(e.local, len(e.log.Y)).X); open != "" {
			result.Identified, result.Reason = false, open
		}
	}
	return nil
}

// Fresh answers that vary by less than flatValidation of the spread of f are followed by as many from places so many times as far out.
const (
	flatValidation = 1e-3
	fartherPlaces  = 16
)

// askPlaces asks at so many places of d inputs, which place writes into the rows.
func (e *exact) askPlaces(ctx context.Context, d, count int, place func(row []float64)) (*mat.Dense, []float64, error) {
	x := mat.NewDense(count, d, nil)
	for k := range count {
		place(x.RawRowView(k))
	}
	if e.log.Single {
		x = sample.Single(x)
	}
	y, err := e.problem.Oracle.Ask(ctx, x)
	return x, y, err
}

// expected is the root mean square of the answers' errors at the rows of x.
func (e *exact) expected(n *network.Network, g, h core.Function, x *mat.Dense) float64 {
	if !e.noisy() {
		return 0
	}
	values, total := n.Evaluate(g, h, x), 0.0
	for r, s := range refine.Sensitivity(n, g, h, x) {
		sigma := math.Max(e.noise*e.scales.Spread, e.scales.Sigma(values[r])) // rounding leaves more of large answers
		total += sigma*sigma + math.Pow(e.scales.Grid*floats.Norm(x.RawRowView(r), 2)*s, 2)
	}
	return math.Sqrt(total / float64(max(1, x.RawMatrix().Rows)))
}

// propagated is the root mean square of what the error bars of the parameters do to the network's values at the rows of x: far
// out it is more than the noise. Residuals larger than the noise explains, which widen the bars, do not count: they are no excuse.
func (e *exact) propagated(n *network.Network, g, h core.Function, x *mat.Dense) float64 {
	if e.certificate == nil || e.certificate.Condition < 0 {
		return 0
	}
	if e.noisy() && n.Parameters() <= denseParameters {
		deviations := certify.Deviations(n, g, h, e.trusted(n, e.family.Candidate, e.roundingError(), e.local), x)
		return floats.Norm(deviations, 2) / math.Sqrt(float64(max(1, len(deviations))))
	}
	bar := floats.Max(e.certificate.First) / math.Max(1, e.certificate.Excess)
	total := 0.0
	for r, s := range refine.Sensitivity(n, g, h, x) {
		total += math.Pow(bar*s*math.Hypot(1, floats.Norm(x.RawRowView(r), 2)), 2)
	}
	return math.Sqrt(total / float64(max(1, x.RawMatrix().Rows)))
}

// mostPropagated is what the error bars may make of the noise at fresh points, relative to the spread of f: beyond, a claim would say
// little.
const mostPropagated = 0.05

// mostExpected is how many times what noise explains the residuals at fresh points may be: they are few, and the errors of single precision
// are not the same everywhere.
func (e *exact) mostExpected() float64 {
	if e.log != nil && e.log.Single {
		return 4
	}
	return 2
}

// wideMargin is how many times what noise explains the loss must be without any one of the units, for the number of units
// to be certain: units of comparable weight that are missing would then be seen.
const wideMargin = 4

// mostAmplified is the largest ratio of error bar to noise at which error bars are believed. They follow from the Jacobian at the
// network found, and where noise is amplified that much the Jacobian changes within them. Trained and planted networks have 1e2 to 1e5;
// with two units that nearly coincide it was 1e10 and more, and parameters were off by a hundred bars (docs/exact.md).
const mostAmplified = 1e8

// allowed is the root mean square, relative to their standard deviation, by which fresh answers may differ from a network that is right.
func (e *exact) allowed(expected, propagated float64) float64 {
	if e.noise > farNoise {
		return e.mostExpected() * math.Hypot(expected, math.Min(propagated, mostPropagated))
	}
	return math.Max(1e-9, 30*e.noise+math.Min(3*propagated, mostPropagated))
}

// verdict decides whether the network is identified: fresh answers agree with it to their noise, and the answers
// determine all of its parameters.
func (e *exact) verdict(r *Result, expected, propagated float64) (bool, string) {
	allowed := e.allowed(expected, propagated)
	switch {
	case r.Validation.RelativeError > allowed:
		reason := fmt.Sprintf("the network found differs from fresh answers by %.1e of their standard deviation; %.1e would be noise", r.Validation.RelativeError, allowed)
		for _, w := range r.Certificate.Weakest {
			if w.Degenerate {
				reason += "; in it the answers determine poorly " + w.What
			}
		}
		return false, reason
	case e.lingers(1 + (e.loss-1)/2): // twice as far off as what fits go on from
		return false, fmt.Sprintf("the answers that the network found was fitted to differ from it by %.2f times what their noise explains: the fit has not arrived, or noise hides a unit", math.Sqrt(e.loss))
	case e.noise > farNoise && e.margin > 0 && e.margin < wideMargin:
		return false, fmt.Sprintf("with one unit less the residuals would be only %.1f times as large as noise explains: at this noise the sizes are uncertain", math.Sqrt(e.margin))
	case len(r.Certificate.Undetermined) > 0:
		return false, fmt.Sprintf("the answers leave open %s", strings.Join(r.Certificate.Undetermined, ", "))
	case r.Certificate.ErrorBar > mostAmplified*e.noise:
		return false, fmt.Sprintf("parameters hang on the last digits of the answers: noise of %.1e becomes an error bar of %.1e, too much for it to be believed; %s", e.noise, r.Certificate.ErrorBar, weakest(r.Certificate))
	}
	return true, fmt.Sprintf("fresh answers agree to %.1e of their standard deviation and determine every parameter; the largest relative error bar is %.1e", r.Validation.RelativeError, r.Certificate.ErrorBar)
}

// weakest names what the answers determine least.
func weakest(c *certify.Certificate) string {
	if len(c.Weakest) == 0 {
		return "two units may nearly coincide"
	}
	var what []string
	for _, w := range c.Weakest {
		what = append(what, w.What)
	}
	return "they determine poorly " + strings.Join(what, "; and ")
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
