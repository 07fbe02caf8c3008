package identify

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
)

// exact is one run of the exact recipe (docs/exact.md). What it has found so far stays in it, so that a run cut short
// still has a result.
type exact struct {
	problem  Problem
	settings Settings
	log      *sample.Log
	rng      *rand.Rand
	report   *reporter

	families []family
	noise    float64 // of answers near the transitions, relative to the spread of f

	estimated float64 // noise of an answer, as estimated before anything was fitted
	scales    *sample.Scales
	units     []sample.Unit
	local     int // the first query in log that was asked near the transitions, not far out
	// The queries of spread in log: the first, and how many.
	spreadFrom, spreaded int
	// The same of students that did not arrive: they are at random places in the middle, too.
	studentsFrom, studied int
	fresh                 refine.Data // the answers that what was found was compared with last

	found       *network.Network
	family      family  // that found is written in
	reach       float64 // half of the box that near works in; 0 for a run from far out
	loss        float64 // of found: mean squared residual over the answers' expected error
	certificate *certify.Certificate
	remark      string
	other       func(context.Context) (bool, error) // looks for a second layer with another activation; nil where there is none to try
	handed      bool                                // it was found by other
	doubted     bool                                // the caller was asked whether the oracle is one of a function
	missed      *local.Unexplained                  // what students left behind the first layer where none arrived; nil where one did
	rough       bool                                // students fit the norms of the first layer from the start
	sleepers    bool                                // found had units that slept at the base point
	margin      float64                             // by how much more than noise the residuals are with a unit less; 0 when not known
}

// attempts at the second layer.
const attempts = 4

// quietAgain is how many lines in a row must bring nothing new in a further search for first-layer units: steps of trained networks show only where the
// second layer is not saturated, and a line on which all is known costs two queries for each unit that it meets.
const quietAgain = 6

// quickStudents is the number of a student's parameters from which differences, which take more queries, come first all the same: the time
// of students grows with its cube.
const quickStudents = 800

// farNoise is the noise, relative to the spread of f, from which fits to many answers take the place of differences, which amplify it.
const farNoise = 1e-9

// patience is how many iterations the fit in latent coordinates gets: nearly degenerate networks creep along a valley
// before they converge.
const patience = 200

// goodLoss is the loss up to which residuals are what noise explains: one, and room for the estimate of the noise.
const goodLoss = 10

// run finds the network, stage by stage.
func (e *exact) run(ctx context.Context) error {
	if e.problem.Domain > 0 {
		e.families = allFamilies(e.problem.Candidates)
		return e.near(ctx)
	}
	var err error
	if e.families, err = families(e.problem.Candidates); err != nil { // none saturates
		if e.families = allFamilies(e.problem.Candidates); len(e.families) > 1 { // the search is long, and drifts look like a function that does not saturate
			if err := e.doubt(ctx); err != nil {
				return err
			}
		}
		return e.near(ctx)
	}
	if e.scales == nil {
		if err := e.measure(ctx); fault.Is(err, fault.Unsupported) && len(e.families) < len(allFamilies(e.problem.Candidates)) {
			// f does not saturate: the candidates that do are out.
			e.report.finish("%v", err)
			e.families = notSaturating(e.problem.Candidates)
			if err := e.doubt(ctx); err != nil {
				return err
			}
			return e.near(ctx)
		} else if err != nil {
			return err
		}
	}
	err = e.far(ctx)
	if e.handed {
		return nil
	}
	if err == nil {
		if err = e.polish(ctx); err == nil && e.loss <= goodLoss {
			return e.sharpen(ctx)
		}
	}
	if err != nil && (ctx.Err() != nil || !fault.Is(err, fault.Unsupported) || isOtherForm(err)) {
		return err
	}
	if err := e.doubt(ctx); err != nil {
		return err
	}
	return e.nearInstead(ctx, err)
}

// far finds the network from far out: the first layer unit by unit, then the second.
func (e *exact) far(ctx context.Context) error {
	if len(e.units) == 0 {
		if err := e.firstLayer(ctx); err != nil {
			return err
		}
	}
	return e.attempt(ctx)
}

// measure finds the scales of x and f and the noise.
func (e *exact) measure(ctx context.Context) error {
	e.report.start("scales")
	scales, err := sample.Measure(ctx, e.log, e.problem.Info.Inputs, e.single(), e.rng)
	if err != nil {
		return err
	}
	e.scales = scales
	e.log.Single, e.estimated = scales.Single(), scales.Noise
	e.report.finish("f saturates at |x| = %.3g; it varies by %.3g, its answers are noisy by %.1e", scales.Saturation, scales.Spread, scales.Noise)
	return nil
}

// firstLayer finds the first layer's units from far out, or, called again, those missed so far.
func (e *exact) firstLayer(ctx context.Context) error {
	e.report.start("first layer")
	quiet := 0 // as the search has it
	if len(e.units) > 0 && !e.noisy() {
		quiet = quietAgain
	}
	units, err := sample.Saturate(ctx, e.log, e.problem.Info.Inputs, *e.scales, e.rng, sample.SaturationSettings{
		Units: e.problem.M0,
		Known: e.units,
		Doubt: e.doubt,
		Quiet: quiet,
		Observe: func(lines, found int) {
			e.report.progress(found, e.problem.M0, 0, "%d units after %d lines", found, lines)
		},
	})
	e.units = units
	if err != nil {
		return err
	}
	if len(units) == 0 {
		if err := e.flat(ctx); err != nil {
			return err
		}
		return fault.New(fault.Unsupported, "no unit of the first layer was found")
	}
	e.report.finish("%d units", len(units))
	return nil
}

// attempt recovers and fits the second layer until the residuals are noise: by least squares first, which takes the fewest
// queries, by differences next, from a base point of its own each time, and, since a unit that was missed spoils every
// fit, after another search for first-layer units.
func (e *exact) attempt(ctx context.Context) error {
	e.local = len(e.log.Y)
	e.loss = math.Inf(1)
	var last error
	for try := range attempts {
		even := e.missed != nil && e.missed.Even
		if (try == attempts/2 || try > 0 && e.noisy()) && (e.problem.M0 == 0 || len(e.units) < e.problem.M0) {
			before := len(e.units)
			if err := e.firstLayer(ctx); err != nil {
				return err
			}
			even = even && len(e.units) == before // with another unit all is to be tried again
		}
		recoverSecond := e.second
		studentsFirst := e.settings.SecondLayer != SecondLayerDifferences && local.SecondParameters(len(e.units), e.problem.M1) <= quickStudents
		if e.noisy() || (try%2 == 0) == studentsFirst || len(e.units) > e.problem.Info.Inputs {
			recoverSecond = e.students
			if e.rough = even; even && try < attempts/2 {
				continue // of no use before the first layer was looked at again
			}
		}
		err := recoverSecond(ctx)
		if err == nil && e.found == nil {
			err = fault.New(fault.Unsupported, "no network explains most of the answers near the transitions of the first layer's %d units", len(e.units))
		}
		if err != nil && (ctx.Err() != nil || !fault.Is(err, fault.Unsupported)) {
			return err
		}
		if try == 0 && e.loss > goodLoss {
			if simple := e.simple(ctx); simple != nil {
				if handed, err := e.tryOther(ctx); handed || err != nil {
					return err
				}
				return simple
			}
		}
		switch {
		case err == nil && (e.loss <= goodLoss || e.nearlyExplains()):
			return nil
		case err == nil:
			if split, err := e.split(ctx); split || err != nil {
				return err
			}
		default:
			last = err
			e.report.finish("%v", err)
			if missed := missedBy(err); missed != nil && !e.rough {
				missed.Axes = e.alongAxes()
				e.missed = missed
			}
		}
		if e.rough {
			e.rough = false
			break
		}
		if handed, err := e.tryOther(ctx); handed || err != nil {
			return err
		}
	}
	if e.missed != nil && e.missed.Even && !e.nearly(evenFound) {
		e.found, e.certificate = nil, nil
		return e.unexplained()
	}
	if e.found == nil {
		return last
	}
	return nil // polish may still mend it, and validation tells
}

// tryOther looks once for a second layer with another activation, where there are candidates; handed says that one was found.
func (e *exact) tryOther(ctx context.Context) (handed bool, err error) {
	if e.other == nil {
		return false, nil
	}
	e.handed, err = e.other(ctx)
	e.other = nil
	return e.handed, err
}

// evenFound is the residual, relative to the spread of f, at which a network is worth more than what students say that only approximate f.
const evenFound = 1e-3

// noisy reports whether the answers are too noisy for differences to be the first choice.
func (e *exact) noisy() bool { return e.relativeNoise() > farNoise }

// single reports whether the backend says that it computes in single precision.
func (e *exact) single() bool { return e.problem.Info.DType == core.FP32 }

func (e *exact) relativeNoise() float64 { return math.Max(e.scales.Noise/e.scales.Spread, 1e-14) }

// localNoise is the noise of answers near the transitions, relative to the spread of f: what rounding of x does to the
// pre-activations comes to that of the answers.
func (e *exact) localNoise(l *recover.Latent) float64 {
	origin := floats.Norm(l.Point(make([]float64, len(l.Norms))), 2)
	return math.Hypot(e.relativeNoise(), 2*e.scales.Grid*(origin*floats.Max(l.Norms)+1))
}

// second recovers the second layer and the shifts by differences from a fresh base point and fits them; it keeps the best so far.
func (e *exact) second(ctx context.Context) error {
	e.report.start("second layer")
	n, f, data, err := e.start(ctx)
	if err != nil {
		return err
	}
	observe := func(iteration int, loss float64) {
		e.report.progress(iteration, 0, loss, "iteration %d", iteration)
	}
	fitted, _, err := refine.FixedDirections(ctx, n, f.Function, f.Function, data, refine.Settings{Observe: observe})
	if err != nil {
		return err
	}
	known := 0 // the first answer that says something of the second layer; all of them, far ones too, are worth their time in small fits
	if fitted.Parameters() > denseParameters {
		known = e.local
	}
	trusted := e.trusted(fitted, f.Candidate, e.directionError(), known)
	fitted, stats, err := refine.FixedDirections(ctx, fitted, f.Function, f.Function, trusted, refine.Settings{Observe: observe, Iterations: patience, Tolerance: 1e-5})
	if err != nil {
		return err
	}
	if stats.Loss < e.loss {
		e.found, e.family, e.loss = fitted, f, stats.Loss
	}
	e.report.finish("residuals %.1f times what noise explains", math.Sqrt(e.loss))
	return nil
}

// wakings is how often a unit that sleeps at all points so far is looked for.
const wakings = 8

// wellExplained is the root mean square residual, relative to the spread of f, from which no unit is missing.
const wellExplained = 1e-2

// start asks what the second layer needs; it returns where the fit starts, its family, and the rows to fit first.
func (e *exact) start(ctx context.Context) (*network.Network, family, refine.Data, error) {
	from := len(e.log.Y)
	none := refine.Data{}
	fail := func(err error) (*network.Network, family, refine.Data, error) { return nil, family{}, none, err }
	latent, err := recover.NewLatent(e.units, e.families[0].Function.Facts().Right.Rate)
	if err != nil {
		return fail(err)
	}
	e.noise = e.localNoise(latent)
	second, err := recover.SecondLayer(ctx, e.log, latent, e.rng, e.secondSettings())
	if err != nil {
		return fail(err)
	}
	f := e.families[second.Shifts.Activation]
	e.report.finish("%d units", second.M1())
	e.report.start("fit")
	swept, sweeps := len(e.log.Y), second.Sweeps(e.rng)
	if _, err := sample.Points(ctx, e.log, sweeps); err != nil {
		return fail(err)
	}
	if err := e.spread(ctx, latent, second.M1(), len(sweeps)); err != nil {
		return fail(err)
	}
	shapes := stack(e.rows(swept, swept+len(sweeps)), e.rows(e.spreadFrom, e.spreadFrom+e.spreaded))
	n := second.Network(f.Function, f.Name, f.Name, shapes.X, shapes.Y, e.rng)
	for range wakings {
		residual := n.Evaluate(f.Function, f.Function, shapes.X)
		floats.SubTo(residual, shapes.Y, residual)
		if floats.Norm(residual, 2) <= wellExplained*e.scales.Spread*math.Sqrt(float64(len(residual))) {
			break
		}
		guess := func(x []float64) float64 {
			return n.Evaluate(f.Function, f.Function, mat.NewDense(1, len(x), x))[0]
		}
		grew, err := second.Wake(ctx, shapes.X, residual, guess)
		if err != nil {
			return fail(err)
		}
		if grew {
			e.report.finish("%d units", second.M1())
			e.report.start("fit")
		}
		n = second.Network(f.Function, f.Name, f.Name, shapes.X, shapes.Y, e.rng)
	}
	e.sleepers = second.Widened()
	if n.Parameters() > denseParameters { // differences are most of the rows, and tell little that those at random places do not
		from, e.local = swept, swept
		return n, f, e.rows(swept, len(e.log.Y)), nil
	}
	return n, f, e.rows(min(from, e.spreadFrom), len(e.log.Y)), nil
}

func (e *exact) secondSettings() recover.Settings {
	return recover.Settings{Noise: e.noise, DirectionError: e.directionError(), M1: e.problem.M1, Activations: functions(e.families), Solver: e.problem.Solver, Seed: e.settings.Seed}
}

// rows returns the logged queries from..to as data.
func (e *exact) rows(from, to int) refine.Data {
	x := mat.NewDense(to-from, e.problem.Info.Inputs, nil)
	for i := from; i < to; i++ {
		x.SetRow(i-from, e.log.X[i])
	}
	return refine.Data{X: x, Y: e.log.Y[from:to]}
}

// directionError is how well saturation sampling knows the first layer's directions.
func (e *exact) directionError() float64 {
	worst := 1e-8
	for _, u := range e.units {
		worst = math.Max(worst, u.Error)
	}
	return worst
}

// roundingError is the relative error that rounding of a_i . x leaves; where x is rounded, it is asked as it is answered, and what single
// precision does within the backend is part of the noise that is measured.
func (e *exact) roundingError() float64 {
	if e.log.Single {
		return 0
	}
	return 4 * e.scales.Grid
}

// stack puts the rows of b below those of a.
func stack(a, b refine.Data) refine.Data {
	x := &mat.Dense{}
	x.Stack(a.X, b.X)
	return refine.Data{X: x, Y: append(append([]float64(nil), a.Y...), b.Y...)}
}

// trusted returns the paid queries that tell something, when the directions of n are known to directionError, with
// the error of each answer that follows: the oracle's noise, and what |x| makes of the directions' error.
func (e *exact) trusted(n *network.Network, c Candidate, directionError float64, from int) refine.Data {
	all := e.rows(from, len(e.log.Y))
	var u mat.Dense
	u.Mul(all.X, n.First.Weight.T())
	sigmas := e.sigma(n, c.Function, all.X, all.Y, directionError)
	var kept []int
	var sigma []float64
	norms := make([]float64, len(n.First.Bias))
	for i := range norms {
		norms[i] = floats.Norm(n.First.Weight.RawRowView(i), 2)
	}
	saturated := 40 / c.Function.Facts().Right.Rate
	for r := range all.Y {
		size := floats.Norm(all.X.RawRowView(r), 2)
		keep := true
		for i, norm := range norms {
			shift := directionError * size * norm
			if shift > 0.1 && math.Abs(u.At(r, i)+n.First.Bias[i]) < saturated+2*shift {
				keep = false
			}
		}
		if !keep {
			continue
		}
		kept = append(kept, r)
		sigma = append(sigma, sigmas[r])
	}
	if len(kept) == 0 { // a network so far off that it trusts nothing: fit it to everything
		return all
	}
	data := refine.Data{X: mat.NewDense(len(kept), e.problem.Info.Inputs, nil), Sigma: sigma}
	for k, r := range kept {
		data.X.SetRow(k, e.log.X[from+r])
		data.Y = append(data.Y, e.log.Y[from+r])
	}
	return data
}

// sigma returns the errors that the answers y at the rows of x are expected to have: the oracle's noise, what |x| makes of the directions' error, and what rounding sums leaves.
func (e *exact) sigma(n *network.Network, g core.Function, x *mat.Dense, y []float64, directionError float64) []float64 {
	sensitivity, rounding := refine.Sensitivity(n, g, g, x), refine.Rounding(n, g, g, x)
	sigma := make([]float64, len(y))
	for r, v := range y {
		inInputs := directionError * floats.Norm(x.RawRowView(r), 2) * sensitivity[r]
		sigma[r] = math.Hypot(math.Hypot(e.scales.Sigma(v), inInputs), unitRoundoff*rounding[r])
	}
	return sigma
}

// unitRoundoff of double precision. What single precision does within a backend is part of the noise that is measured.
const unitRoundoff = 1.0 / (1 << 53)

// spreadRows is how many queries at random places near the units' transitions the fit of all parameters gets, as a
// multiple of the number of parameters. The rows of finite differences lie too close to each other to count: with fewer
// than P others the condition number of the Jacobian is 1e10, with 1.3 P of them 1e3 (tanh) to 1e5 (sigmoid).
const spreadRows = 1.3

// spread asks queries where all units of the first layer are alive, at random places of x; so many less as already do.
func (e *exact) spread(ctx context.Context, l *recover.Latent, m1, already int) error {
	m0, d := l.Rows.Dims()
	count := int(spreadRows*float64(network.Parameters(d, m0, m1))) + 10 - already - e.studied
	if count <= 0 {
		if e.spreaded == 0 && e.studied > 0 {
			e.spreadFrom, e.spreaded = e.studentsFrom, e.studied
		}
		return nil
	}
	if e.spreaded > 0 { // a retry found more units: the few rows that this would add are not worth a gap in the log
		return nil
	}
	e.spreadFrom, e.spreaded = len(e.log.Y), count
	points := make([][]float64, count)
	for k := range points {
		v := make([]float64, len(l.Norms))
		for i := range v {
			v[i] = 6*e.rng.Float64() - 3
		}
		x := l.Point(v)
		floats.AddScaled(x, floats.Norm(x, 2), l.Across(sample.Direction(e.rng, len(x))))
		points[k] = x
	}
	_, err := sample.Points(ctx, e.log, points)
	return err
}
