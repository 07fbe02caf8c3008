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
	"github.com/nnid/nnid/core/kinks"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
)

// kinkNoise is the largest noise, over |f|, at which kinks are followed far out: the slopes of f and what distinguishes them are
// differences of large numbers there.
const kinkNoise = 1e-12

// kinkAttempts is how often kinks are tried, along other lines each time, before answers near the origin are.
const kinkAttempts = 2

// kinkRows is how many answers near the origin all parameters are fitted to, as a multiple of their number.
const kinkRows = 1.6

// bends is a run that also sees where f does not saturate, and where the layers' activations differ.
type bends struct {
	*exact
	h        Candidate        // of the second layer; none: the same as of the first
	open     bool             // f has no limits far out
	around   func() []float64 // a random x for validation
	evidence []Evidence
}

// Identify is [Run], which it leaves everything to but this: where f does not saturate and candidates are asymptotically linear, it
// follows the kinks of f far out; and where Second is given, it looks for a network with different activations in its layers.
func Identify(ctx context.Context, problem Problem, settings Settings) (*Result, error) {
	if settings.Recipe != "" && settings.Recipe != RecipeExact {
		if problem.Second != nil {
			return nil, fault.New(fault.Usage, "the recipe %s is for one activation in both layers", settings.Recipe)
		}
		return Run(ctx, problem, settings)
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	started := time.Now()
	e := &bends{exact: &exact{
		problem: problem, settings: settings, log: problem.log(),
		report: &reporter{observe: settings.Observe, queries: problem.Oracle.Queries}, rng: rand.New(rand.NewPCG(settings.Seed, 0x6b696e6b73)),
	}}
	done, err := e.bent(ctx)
	if !done && err == nil {
		done, err = e.fronted(ctx)
	}
	if !done && err == nil {
		done, err = e.stepped(ctx)
	}
	if !done && err == nil && problem.Second == nil {
		same := &exact{log: e.log, scales: e.scales, estimated: e.estimated, units: e.units, other: e.other, doubted: e.doubted}
		before := len(e.report.bills)
		result, err := runFrom(ctx, e.problem, settings, same)
		if same.handed {
			e.report.bills = slices.Insert(e.report.bills, before, result.Stages...)
			return e.conclude(ctx, started, err)
		}
		if result != nil { // the stages before it were paid for too
			result.Stages = append(e.report.bills, result.Stages...)
			result.Evidence = e.evidence
			result.Remark = strings.Join(slices.DeleteFunc([]string{e.remark, result.Remark}, func(s string) bool { return s == "" }), "; ")
			result.Seconds = time.Since(started).Seconds()
		}
		return result, err
	}
	if !done && err == nil {
		err = e.pairs(ctx)
	}
	return e.conclude(ctx, started, err)
}

// conclude is the result of a run that ended with err.
func (e *bends) conclude(ctx context.Context, started time.Time, err error) (*Result, error) {
	problem := e.problem
	result := &Result{Recipe: RecipeExact, Solver: problem.SolverName, Seed: e.settings.Seed, M0: problem.M0, M1: problem.M1}
	if n := e.found; n != nil {
		result.Network, result.Certificate, result.Evidence, result.Remark = n, e.certificate, e.evidence, e.remark
		result.M0, result.M1 = n.Sizes()
		result.Parameters, result.Activation = n.Parameters(), n.Activations()
		if err == nil {
			err = e.validate(ctx, result)
		}
	}
	result.Queries, result.Stages, result.Seconds = problem.Oracle.Queries(), e.report.bills, time.Since(started).Seconds()
	if err != nil {
		result.Reason = err.Error()
		_, result.Doubted = errors.AsType[dishonestError](err)
		if result.Doubted || fault.Is(err, fault.Unsupported) { // the network resists: a result, not a failure of the run
			err = nil
		}
	}
	return result, err
}

// validate compares what was found with answers at fresh points: around it, where the kinks say where that is.
func (e *bends) validate(ctx context.Context, result *Result) error {
	place := e.place
	if e.around != nil {
		place = func(row []float64) { copy(row, e.around()) }
	}
	g, h := e.layers()
	return e.exact.validate(ctx, e.found, g.Function, h.Function, place, result)
}

// bent identifies the network from its kinks; done is false, and the error nil, where they do not lead to it.
func (e *bends) bent(ctx context.Context) (done bool, err error) {
	first, second := bending(e.problem.Candidates), bending(e.problem.second())
	if e.problem.Domain > 0 || len(first) == 0 || len(second) == 0 {
		return false, nil
	}
	if len(first) < len(e.problem.Candidates) { // then f may saturate
		grows, err := e.grows(ctx)
		if isOtherForm(err) {
			return true, err
		}
		if !grows || err != nil {
			return false, err
		}
	}
	var straight []*kinks.Straight
	for range kinkAttempts {
		if err = e.kinks(ctx, first, second); err == nil || ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
			return true, err
		}
		e.report.finish("%v", err)
		if sharp, ok := errors.AsType[*kinks.Sharp](err); ok && e.growLittle() {
			return true, otherForm("%w", sharp)
		}
		if s, ok := errors.AsType[*kinks.Straight](err); ok {
			straight = append(straight, s)
		}
	}
	if len(straight) == kinkAttempts && e.growLittle() {
		linear, err := e.linear(ctx)
		if err != nil {
			return true, err
		}
		if linear {
			return true, otherForm("f is linear, as far as it was asked: there is no hidden layer")
		}
		return true, otherForm("%w: a linear function beside units that saturate, as where inputs skip the hidden layers", straight[0])
	}
	e.report.progress(0, 0, 0, "the kinks do not tell: %v", err)
	return false, nil
}

// grows reports whether f still changes so far out that no unit can be between its limits, which a saturating first layer rules out.
func (e *bends) grows(ctx context.Context) (bool, error) {
	const far = 1e9
	var points [][]float64
	for range 3 {
		v := sample.Direction(e.rng, e.problem.Info.Inputs)
		for _, t := range []float64{-2, -1, 1, 2} {
			points = append(points, floats.ScaleTo(make([]float64, len(v)), t*far, v))
		}
	}
	y, err := sample.Points(ctx, e.log, points)
	if err != nil {
		return false, err
	}
	faster := 0
	for k := 0; k < len(y); k += 4 {
		for _, pair := range [][2]float64{{y[k], y[k+1]}, {y[k+3], y[k+2]}} {
			if math.Abs(pair[0]) > fasterThanLinear*math.Abs(pair[1]) {
				faster++
			}
		}
	}
	if 2*faster == len(y) && e.growLittle() {
		return false, otherForm("f grows faster than linearly far out, between |x| = %.0e and %.0e by a factor of %.1f along a ray: activations that are bounded, or linear far out, add up to no such function", far, 2*far, math.Abs(y[3]/y[2]))
	}
	for k := 0; k < len(y); k += 2 {
		if math.Abs(y[k]-y[k+1]) > 0.1*math.Max(math.Abs(y[k]), math.Abs(y[k+1])) {
			return true, nil
		}
	}
	return false, nil
}

// linear reports whether f is affine near the origin.
func (e *bends) linear(ctx context.Context) (bool, error) {
	points := [][]float64{make([]float64, e.problem.Info.Inputs)}
	for range 4 {
		p, q := sample.Direction(e.rng, e.problem.Info.Inputs), sample.Direction(e.rng, e.problem.Info.Inputs)
		points = append(points, p, q, floats.AddTo(make([]float64, len(p)), p, q))
	}
	y, err := sample.Points(ctx, e.log, points)
	if err != nil {
		return false, err
	}
	for k := 1; k < len(y); k += 3 {
		if math.Abs(y[k]+y[k+1]-y[k+2]-y[0]) > 1e-9*floats.Norm(y, math.Inf(1)) {
			return false, nil
		}
	}
	return true, nil
}

// fasterThanLinear is the growth over a doubling of |x| that no linear function has.
const fasterThanLinear = 2.5

// growLittle reports whether every candidate grows linearly at most: it has asymptotes, or stays bounded as far as it is looked at.
func (e *bends) growLittle() bool {
	for _, c := range slices.Concat(e.problem.Candidates, e.problem.Second) {
		if f := c.Function.Facts(); f.Left.Asymptotic && f.Right.Asymptotic {
			continue
		}
		t := []float64{-1e4, -1e3, -1e2, 1e2, 1e3, 1e4}
		c.Function.Apply(0, t, t)
		for _, v := range t {
			if !(math.Abs(v) < 10) {
				return false
			}
		}
	}
	return true
}

// pairs identifies a network with different activations in its layers from answers near the origin.
func (e *bends) pairs(ctx context.Context) error {
	d, box := e.problem.Info.Inputs, e.problem.Domain
	e.reach = box
	if e.reach == 0 {
		e.reach = 1
	}
	e.report.start("scales")
	scales, err := sample.MeasureNear(ctx, e.log, d, e.reach, e.single(), e.rng)
	if err != nil {
		return err
	}
	e.scales = scales
	e.noise = e.relativeNoise()
	e.report.finish("within |x| = %.3g f varies by about %.3g, its answers are noisy by %.1e", e.reach, scales.Spread, scales.Noise)
	e.report.start("fit")
	e.local = len(e.log.Y)
	var last error
	for _, g := range e.problem.Candidates {
		for _, h := range e.problem.Second {
			n, stats, err := local.Start(ctx, e.log, d, g.Function, h.Function, local.Settings{
				Domain: box, M0: e.problem.M0, M1: e.problem.M1, Noise: scales.Noise, Seed: e.settings.Seed,
				Observe: func(text string) { e.report.progress(0, 0, 0, "%s, %s: %s", g.Name, h.Name, text) },
			})
			if n != nil {
				n.First.Activation, n.Second.Activation = g.Name, h.Name
				e.found, e.family, e.h, e.margin = n, family{Candidate: g}, h, stats.Margin
			}
			if err == nil {
				m0, m1 := n.Sizes()
				e.report.finish("%s, %d and %s, %d units", g.Name, m0, h.Name, m1)
				return e.fit(ctx)
			}
			if ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
				return err
			}
			last = err
		}
	}
	e.report.finish("no pair of candidates explains the answers")
	return last
}

// fit fits all parameters of the network found, which is nearly right, to the answers from near the origin, and certifies it.
func (e *bends) fit(ctx context.Context) error {
	return e.fitFrom(ctx, nearlyRight)
}

// nearlyRight is how a network is fitted that is right to some digits.
var nearlyRight = refine.Settings{Iterations: 30, Tolerance: 0.05, Damping: 1e-6}

func (e *bends) fitFrom(ctx context.Context, settings refine.Settings) error {
	e.report.start("polish")
	g, h := e.layers()
	data := e.rows(e.local, len(e.log.Y))
	weigh := func() {
		sensitivity := refine.Sensitivity(e.found, g.Function, h.Function, data.X)
		data.Sigma = make([]float64, len(data.Y))
		for k, s := range sensitivity {
			size := mat.Norm(data.X.RowView(k), 2)
			data.Sigma[k] = math.Hypot(math.Max(e.scales.Noise, 1e-16*e.scales.Value), e.roundingError()*size*s)
		}
	}
	weigh()
	polish := refine.Levenberg
	if e.found.Parameters() > denseParameters {
		polish = refine.GaussNewton
	}
	settings.Observe = func(iteration int, loss float64) { e.report.progress(iteration, 0, loss, "iteration %d", iteration) }
	fitted, _, err := polish(ctx, e.found, g.Function, h.Function, data, settings)
	if err != nil {
		return err
	}
	e.found = fitted
	weigh()
	if e.loss = refine.Loss(e.found, g.Function, h.Function, data) / float64(len(data.Y)); e.loss > goodLoss*goodLoss {
		e.found, e.h = nil, Candidate{}
		return fault.New(fault.Unsupported, "the network found leaves %.1e times what noise explains", math.Sqrt(e.loss))
	}
	if e.certificate, err = certify.At(ctx, e.found, g.Function, h.Function, data, denseCertificate); err != nil {
		return err
	}
	e.report.finish("relative error bar %.1e, residuals %.1f times what noise explains", e.certificate.ErrorBar, e.certificate.Excess)
	return nil
}

// bending returns the candidates that kinks can be found with.
func bending(candidates []Candidate) []kinks.Candidate {
	var all []kinks.Candidate
	for _, c := range candidates {
		if kinks.Suits(c.Function.Facts()) {
			all = append(all, kinks.Candidate(c))
		}
	}
	return all
}

// kinks finds both layers from far out and fits them to answers near the origin.
func (e *bends) kinks(ctx context.Context, first, second []kinks.Candidate) error {
	d := e.problem.Info.Inputs
	e.report.start("scales")
	scales, err := sample.MeasureNear(ctx, e.log, d, 1, e.single(), e.rng)
	if err != nil {
		return err
	}
	e.scales = scales
	if noise := scales.Noise / scales.Value; noise > kinkNoise || scales.Grid > 0x1p-50 {
		return fault.New(fault.Unsupported, "answers noisy by %.1e of their size are too noisy to follow the kinks of f far out", noise)
	}
	e.report.finish("f varies by about %.3g, its answers are noisy by %.1e", scales.Spread, scales.Noise)

	e.report.start("kinks")
	found, err := kinks.Find(ctx, e.log, d, first, second, e.rng, kinks.Settings{
		M0: e.problem.M0, M1: e.problem.M1,
		Observe: func(text string) { e.report.progress(0, 0, 0, "%s", text) },
	})
	if err != nil {
		return err
	}
	e.scales.Saturation = found.Zone
	return e.adopt(ctx, found, first, second, nearlyRight)
}

// adopt fits all parameters of a network found from far out to answers near the origin.
func (e *bends) adopt(ctx context.Context, found *kinks.Result, first, second []kinks.Candidate, settings refine.Settings) error {
	m0, m1 := found.Network.Sizes()
	e.report.finish("%s, %d and %s, %d units", found.G.Name, m0, found.H.Name, m1)

	e.local = len(e.log.Y)
	points := found.Points(e.rng, int(kinkRows*float64(found.Network.Parameters()))+10)
	if _, err := sample.Points(ctx, e.log, points); err != nil {
		return err
	}
	data := e.rows(e.local, len(e.log.Y))
	e.scales.Spread = stat.PopStdDev(data.Y, nil)
	e.noise = e.relativeNoise()
	n := found.Network
	residual := make([]float64, len(data.Y)) // the output bias alone is not known yet
	for k, y := range n.Evaluate(found.G.Function, found.H.Function, data.X) {
		residual[k] = data.Y[k] - y
	}
	n.OutputBias = stat.Mean(residual, nil)
	e.found, e.family, e.h = n, family{Candidate: Candidate(found.G)}, Candidate(found.H)
	if err := e.fitFrom(ctx, settings); err != nil {
		return err
	}
	e.around = func() []float64 { return found.Near(e.rng, math.Exp(5*e.rng.Float64())) }
	e.weigh(1, first, found.First)
	e.weigh(2, second, found.Second)
	e.remark = e.decision(first, second)
	return nil
}

// layers returns the activations of the network found.
func (e *bends) layers() (g, h Candidate) {
	if e.h.Function != nil {
		return e.family.Candidate, e.h
	}
	return e.family.Candidate, e.family.Candidate
}

// second returns the candidates for the second layer.
func (p Problem) second() []Candidate {
	if p.Second != nil {
		return p.Second
	}
	return p.Candidates
}

func (e *bends) weigh(layer int, candidates []kinks.Candidate, misfits []float64) {
	for k, c := range candidates {
		e.evidence = append(e.evidence, Evidence{layer, c.Name, math.Min(misfits[k], 1)})
	}
}

// tie is how many times as much as the best another candidate may leave to count as well as it: both are at rounding then, or
// neither is.
const tie = 30

// decision says how clear the decision between several candidates was.
func (e *bends) decision(candidates ...[]kinks.Candidate) string {
	var texts []string
	for k, all := range candidates {
		best, next := Evidence{Misfit: math.Inf(1)}, Evidence{Misfit: math.Inf(1)}
		for _, seen := range e.evidence {
			switch {
			case seen.Layer != k+1:
			case seen.Misfit < best.Misfit:
				best, next = seen, best
			case seen.Misfit < next.Misfit:
				next = seen
			}
		}
		switch {
		case math.IsInf(next.Misfit, 1): // one candidate only
		case next.Misfit > tie*best.Misfit:
			texts = append(texts, fmt.Sprintf("%s leaves %.0e of the bends of layer %d, the next best, %s, %.0e", best.Activation, best.Misfit, k+1, next.Activation, next.Misfit))
		case same(all, best.Activation, next.Activation):
			texts = append(texts, fmt.Sprintf("%s and %s describe the same functions", best.Activation, next.Activation))
		default:
			texts = append(texts, fmt.Sprintf("%s and %s explain layer %d equally well: %.0e and %.0e of the bends are left", best.Activation, next.Activation, k+1, best.Misfit, next.Misfit))
		}
	}
	return strings.Join(slices.Compact(texts), "; ")
}

// same reports whether two candidates are one function in different units.
func same(all []kinks.Candidate, a, b string) bool {
	find := func(name string) core.Function {
		return all[slices.IndexFunc(all, func(c kinks.Candidate) bool { return c.Name == name })].Function
	}
	_, ok := network.Equivalent(find(a), find(b))
	return ok
}
