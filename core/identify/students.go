package identify

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
)

// students recovers the second layer and the shifts by least squares alone: the second layer is that of a student on the first
// layer's known directions and norms (local.Second). It takes first layers of any size.
func (e *exact) students(ctx context.Context) error {
	e.report.start("second layer")
	var last error
	seed := e.rng.Uint64()
	for _, f := range e.families {
		normal, affine, ok := network.Normal(f.Function)
		if !ok {
			continue
		}
		middle, err := recover.NewMiddle(e.log, e.units, normal.Facts().Right.Rate, rand.New(rand.NewPCG(seed, 0x6d6964646c65)))
		if err != nil {
			return err
		}
		from := len(e.log.Y)
		starts := 0
		if e.other != nil { // another activation may be the right one: then all of them fail
			starts = fewOwn
		}
		if e.noisy() { // a unit of the first layer that noise has hidden spoils them all: few students, and a further look
			starts = noisyStudents
		} else if e.rough {
			starts = roughStudents
		}
		settings := local.Settings{
			Starts: starts, InputError: middle.Error(), Spare: e.noisy(), Rough: e.rough, Twice: e.rough, Point: middle.Point, M1: e.problem.M1, Noise: e.relativeNoise() * e.scales.Spread, Seed: e.settings.Seed, Activation: f.Name,
			Observe: func(text string) { e.report.progress(0, 0, 0, "%s: %s", f.Name, text) },
		}
		fit := func(found *network.Network, how fitting) error {
			e.report.finish("%d units", len(found.Output))
			e.report.start("fit")
			n := inInputs(found.Clone(), middle)
			n.RewriteFirst(affine.Inverse(), f.Name)
			n.RewriteSecond(affine.Inverse(), f.Name)
			// All parameters are fitted next, the directions too: that takes more rows than what lies behind them.
			if missing := int(spreadRows*float64(n.Parameters())) + 10 - (len(e.log.Y) - from); missing > 0 {
				points := mat.NewDense(missing, len(e.units), nil)
				for r := range missing {
					points.SetRow(r, middle.Point())
				}
				if _, err := middle.Ask(ctx, points); err != nil {
					return err
				}
			}
			e.local, e.spreadFrom, e.spreaded = from, from, len(e.log.Y)-from
			e.noise = math.Hypot(e.relativeNoise(), 10*e.scales.Grid)
			if err := e.suspect(ctx, n, f, from); err != nil {
				return err
			}
			n, loss, err := how(ctx, n, f, middle)
			if err != nil {
				return err
			}
			if loss < e.loss && e.plausible(n, f) {
				e.found, e.family, e.loss = n, f, loss
			}
			if math.IsInf(e.loss, 1) {
				e.report.finish("no network explains most answers")
			} else {
				e.report.finish("residuals %.1f times what noise explains", math.Sqrt(e.loss))
			}
			return nil
		}
		settled := false
		if e.noisy() {
			settings.Close = func(n *network.Network) (bool, error) {
				var err error
				settled, err = e.average(ctx, n, f, normal, affine, middle, from)
				return settled, err
			}
		} else {
			settings.Awake = func(n *network.Network) (bool, error) {
				if err := fit(n, e.fitCrowds); err != nil || e.loss <= goodLoss {
					settled = err == nil
					return settled, err
				}
				e.report.start("second layer")
				return false, nil
			}
		}
		found, stats, err := local.Second(ctx, middle, len(e.units), normal, normal, settings)
		if settled {
			return nil
		}
		if err != nil {
			if ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
				return err
			}
			last = err
			e.studentsFrom, e.studied = from, len(e.log.Y)-from
			continue
		}
		e.margin = stats.Margin
		if err := fit(found, e.fitAwake); err != nil || e.loss <= goodLoss || e.loss > hopeless*hopeless {
			return err
		}
		return fit(found, e.fitCrowds)
	}
	return last
}

// plausible reports whether n leaves less of most answers in the middle than a unit contributes: the weights of one that has run away are so large that their rounding explains all that is left.
func (e *exact) plausible(n *network.Network, f family) bool {
	left := residuals(n, f.Function, e.rows(e.spreadFrom, e.spreadFrom+e.spreaded))
	return middleOf(left) <= mostImplausible*e.scales.Spread
}

const mostImplausible = 0.1

// fitting fits a network to the answers in the middle; it returns the loss, too.
type fitting func(ctx context.Context, n *network.Network, f family, middle *recover.Middle) (*network.Network, float64, error)

// fewOwn is how many students are tried before those of other activations.
const fewOwn = 4

// noisyStudents is how many students are tried on noisy answers before another look for units of the first layer.
const noisyStudents = 8

// roughStudents is how many students have the first layer's norms free from the start where those that trust them were even: one norm may be wrong.
const roughStudents = 6

// inInputs returns the network n of the coordinates v as one of the inputs x.
func inInputs(n *network.Network, m *recover.Middle) *network.Network {
	m0, m1 := n.Sizes()
	_, d := m.Weight.Dims()
	whole := network.New(d, m0, m1, n.First.Activation, n.Second.Activation)
	whole.First.Weight.Mul(n.First.Weight, m.Weight)
	shift := mat.NewVecDense(m0, whole.First.Bias)
	shift.MulVec(n.First.Weight, mat.NewVecDense(len(m.Shift), m.Shift))
	shift.AddVec(shift, mat.NewVecDense(m0, n.First.Bias))
	whole.Second, whole.Output, whole.OutputBias = n.Second, n.Output, n.OutputBias
	return whole
}

// fitAwake fits all parameters to the answers in the middle, and, as long as that leaves more than noise, to more of them from where units
// of the second layer are alive that sleep at nearly all points so far.
func (e *exact) fitAwake(ctx context.Context, n *network.Network, f family, middle *recover.Middle) (*network.Network, float64, error) {
	g := f.Function
	fit := func(settings refine.Settings) (float64, error) {
		settings.Damping = 1e-9
		settings.Observe = func(iteration int, loss float64) { e.report.progress(iteration, 0, loss, "iteration %d", iteration) }
		found, stats, err := fitWhole(ctx, n, g, e.trusted(n, f.Candidate, e.roundingError(), e.spreadFrom), settings)
		n = found
		return stats.Loss, err
	}
	loss := math.Inf(1)
	_, m1 := n.Sizes()
	for round, before := 0, math.Inf(1); round < wakings && loss > goodLoss && (round < 2 || loss < before/2); round++ {
		woken := 0
		before = loss
		// One by one: what is unknown of the others would drown in what is unknown of the one that is woken, but stays where they sleep.
		for l := 0; l < m1 && loss > goodLoss; l++ {
			better, asked, err := e.wakeAlone(ctx, n, g, l, middle)
			if err != nil {
				return nil, 0, err
			}
			if asked == 0 {
				continue
			}
			woken += asked
			n = better
			if loss, err = fit(refine.Settings{Iterations: 60, Tolerance: 0.01}); err != nil {
				return nil, 0, err
			}
			if loss > goodLoss {
				if err := e.suspect(ctx, n, f, e.spreadFrom); err != nil {
					return nil, 0, err
				}
			}
			e.report.progress(0, 0, loss, "unit %d woken with %d queries: residuals %.1f times what noise explains", l, asked, math.Sqrt(loss))
		}
		if woken == 0 {
			break
		}
	}
	if loss > goodLoss {
		var err error
		if loss, err = fit(refine.Settings{Iterations: patience, Tolerance: 1e-5}); err != nil {
			return nil, 0, err
		}
	}
	return n, loss, nil
}

// wakeAlone asks for more answers where unit l is alive, if it sleeps, and fits it alone to them; it returns how many it asked.
func (e *exact) wakeAlone(ctx context.Context, n *network.Network, g core.Function, l int, middle *recover.Middle) (*network.Network, int, error) {
	known := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	asked, err := e.wake(ctx, n, g, l, middle)
	if err != nil || asked == 0 {
		return n, asked, err
	}
	left := math.Sqrt(refine.Loss(n, g, g, known) / float64(len(known.Y))) // what the others are wrong by
	return e.alone(n, g, l, e.rows(e.spreadFrom, e.spreadFrom+e.spreaded), math.Max(left, e.noise*e.scales.Spread), false), asked, nil
}

// wake asks where unit l of the second layer that n has is alive, as far as n tells, if it sleeps at nearly all rows so far: its
// parameters are otherwise known from the tails of its activation alone. It returns how many rows it asked.
func (e *exact) wake(ctx context.Context, n *network.Network, g core.Function, l int, middle *recover.Middle) (int, error) {
	m0, _ := n.Sizes()
	width := 3 / g.Facts().Right.Rate
	rows := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	p := secondLayer(n, g, rows.X)
	alive := 0
	for r := range rows.Y {
		if math.Abs(p.At(r, l)) < width {
			alive++
		}
	}
	var points [][]float64
	for missing := 2*(m0+2) - alive; missing > 0; missing-- {
		if v := e.alive(n, g, l, width, middle); v != nil {
			points = append(points, v)
		}
	}
	if len(points) == 0 {
		return 0, nil
	}
	v := mat.NewDense(len(points), len(points[0]), nil)
	for r, point := range points {
		v.SetRow(r, point)
	}
	_, err := middle.Ask(ctx, v)
	e.spreaded = len(e.log.Y) - e.spreadFrom
	return len(points), err
}

// secondLayer returns the pre-activations of the second layer at the rows of x.
func secondLayer(n *network.Network, g core.Function, x mat.Matrix) *mat.Dense {
	var p mat.Dense
	p.Mul(firstLayer(n, g, x), n.Second.Weight.T())
	rows, _ := p.Dims()
	for r := range rows {
		floats.Add(p.RawRowView(r), n.Second.Bias)
	}
	return &p
}

// alive returns a random point at which the pre-activation of unit l of the second layer is within width of zero, or as near
// to that as was found: on the way between a random point and one where the unit is as active, or as inactive, as may be.
func (e *exact) alive(n *network.Network, g core.Function, l int, width float64, middle *recover.Middle) []float64 {
	at := func(v []float64) float64 {
		x := middle.Input(v)
		return secondLayer(n, g, mat.NewDense(1, len(x), x)).At(0, l)
	}
	want := width * (2*e.rng.Float64() - 1)
	towards := pulls(n, l, middle)
	var best []float64
	least := math.Inf(1)
	for try := range wakeTries {
		near := middle.Point()
		from := at(near) - want
		end := make([]float64, len(near))
		for i := range end {
			end[i] = 6 * e.rng.Float64()
			if try > wakeTries/2 { // it may never get there: all units of the first layer are where it gets nearest
				end[i] = 4 + end[i]/3
			}
			end[i] *= math.Copysign(1, -from*towards[i])
		}
		far := middle.Near(end)
		if past := at(far) - want; past*from > 0 {
			if math.Abs(past) < least {
				best, least = far, math.Abs(past)
			}
			continue
		}
		low, high := 0.0, 1.0
		v := make([]float64, len(near))
		for range 30 {
			t := (low + high) / 2
			for i := range v {
				v[i] = (1-t)*near[i] + t*far[i]
			}
			if (at(v)-want)*from > 0 {
				low = t
			} else {
				high = t
			}
		}
		return v
	}
	if m0, d := n.First.Weight.Dims(); m0 > d && best != nil {
		return e.climb(func(v []float64) float64 { return -math.Abs(at(v) - want) }, best, middle)
	}
	return best
}

// summit returns a place where the pre-activation of unit l of the second layer is as large, or for side -1 as small, as was found from a random one on.
func (e *exact) summit(n *network.Network, g core.Function, l int, side float64, middle *recover.Middle) []float64 {
	value := func(v []float64) float64 {
		x := middle.Input(v)
		return side * secondLayer(n, g, mat.NewDense(1, len(x), x)).At(0, l)
	}
	end := make([]float64, len(middle.Shift))
	for i, pull := range pulls(n, l, middle) {
		end[i] = math.Copysign(4+2*e.rng.Float64(), side*pull)
	}
	best := middle.Near(end)
	if m0, d := n.First.Weight.Dims(); m0 > d {
		return e.climb(value, best, middle)
	}
	return best
}

// climbs is how many moves are tried.
const climbs = 400

// climb returns a place from the given one on, by random moves that raise the value. Where there are more units of the first layer than inputs, they
// cannot all be where a unit of the second would be most alive, and which of them matter only trying tells.
func (e *exact) climb(value func(v []float64) float64, from []float64, middle *recover.Middle) []float64 {
	x := middle.Input(from)
	step := floats.Distance(x, middle.Input(middle.Point()), 2)
	best := value(from)
	for range climbs {
		next := slices.Clone(x)
		floats.AddScaled(next, step, sample.Direction(e.rng, len(x)))
		if v := value(middle.Coordinates(next)); v > best {
			x, best = next, v
			step *= 1.5
		} else {
			step *= 0.95
		}
	}
	return middle.Coordinates(x)
}

// pulls returns, for each coordinate of the middle, the weights of unit l of the second layer for the units of the first whose coordinate it is: one, or two with parallel
// weights.
func pulls(n *network.Network, l int, middle *recover.Middle) []float64 {
	m0, _ := n.Sizes()
	count, _ := middle.Weight.Dims()
	if m0 == count {
		return n.Second.Weight.RawRowView(l)
	}
	total := make([]float64, count)
	for i := range m0 {
		at, most := 0, 0.0
		row := n.First.Weight.RawRowView(i)
		for k := range count {
			own := middle.Weight.RawRowView(k)
			if along := floats.Dot(row, own) / floats.Norm(own, 2); math.Abs(along) > math.Abs(most) {
				at, most = k, along
			}
		}
		total[at] += math.Copysign(1, most) * n.Second.Weight.At(l, i)
	}
	return total
}

// wakeTries is how many ways are tried to a point where a unit is alive.
const wakeTries = 20
