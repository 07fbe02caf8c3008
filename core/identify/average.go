package identify

import (
	"context"
	"math"

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

// averageRows is how many answers noise is averaged over, as a multiple of the parameters of the student with its spare units.
const averageRows = 2.5

// mostAverage is after how many answers for each parameter sizes that are still uncertain are left so.
const mostAverage = 16

// mostMistaken is by what factor the noise may be larger than it was estimated.
const mostMistaken = 5

// littleDoubt is how many standard deviations more than expected the residuals of a network of the right size may be.
const littleDoubt = 3

// average makes a network of a student with spare units that has arrived behind the known first layer (from its answers in the middle, e.log's from the given one on).
// With noisy answers the first layer is not known well enough for the student to tell spare units from those that are there: so all parameters are fitted, the
// directions too, to more answers, and only then the spare units are removed, as far as noise explains what the others leave. It reports false where that fit does not arrive: another
// student may.
func (e *exact) average(ctx context.Context, student *network.Network, f family, normal core.Function, affine network.Affine, middle *recover.Middle, from int) (bool, error) {
	n := inInputs(student, middle)
	if e.scales.Rounding.Digits == 0 {
		e.scales.Noise = e.estimated
	}
	var err error
	var shrunk *local.Shrunk
	for rows, most := averageRows, mostAverage*float64(n.Parameters()); ; rows *= 2 {
		count := rows * float64(n.Parameters())
		if err := e.askMiddle(ctx, middle, int(count)-(len(e.log.Y)-from)); err != nil {
			return false, err
		}
		if shrunk, err = local.Shrink(ctx, n, normal, normal, e.weighed(from, len(e.log.Y)), e.problem.M0, e.problem.M1); err != nil {
			return false, err
		}
		if shrunk.Network == nil {
			e.report.progress(0, 0, 0, "the student's fit ends at %.0f times the noise", shrunk.Noise)
			return false, nil
		}
		if shrunk.Margin >= wideMargin && shrunk.Doubt < littleDoubt || count > most {
			break
		}
		n = shrunk.Fitted
	}
	n, e.margin = shrunk.Network, shrunk.Margin
	data := e.weighed(from, len(e.log.Y))
	n, stats, err := refine.Levenberg(ctx, n, normal, normal, data, refine.Settings{Iterations: patience, Damping: 1e-6})
	if err != nil {
		return false, err
	}
	left := 1 - float64(n.Parameters())/float64(len(data.Y))
	noise := math.Min(shrunk.Noise, math.Sqrt(stats.Loss/math.Max(left, 0.1)))
	if shrunk.Doubt >= littleDoubt {
		e.margin = 1
	}
	e.report.finish("%d units", len(n.Output))
	e.report.start("fit")
	n.RewriteFirst(affine.Inverse(), f.Name)
	n.RewriteSecond(affine.Inverse(), f.Name)
	e.local, e.spreadFrom, e.spreaded = from, from, len(e.log.Y)-from
	// What the fit leaves is the noise as it is here, unless it is so much more that the student is to blame.
	if noise = math.Min(noise, mostMistaken) * e.estimated; e.scales.Rounding.Digits == 0 {
		e.scales.Noise = noise
	}
	e.noise = math.Max(e.relativeNoise(), noise/e.scales.Spread)
	if middle, err = e.middle(n, f); err != nil {
		return false, err
	}
	n, loss, elsewhere, err := e.settle(ctx, n, f, middle)
	if err != nil {
		return false, err
	}
	if loss *= elsewhere; elsewhere > 1 { // a unit is missing: those that are there are to be found again, and more
		e.units = matching(e.units, n)
	}
	if loss < e.loss {
		e.found, e.family, e.loss = n, f, loss
	}
	if elsewhere > 1 { // however well it explains the middle
		return false, fault.New(fault.Unsupported, "a network of %d + %d units explains the answers in the middle; elsewhere they differ from it by %.0f times what noise and its error bars explain", len(n.First.Bias), len(n.Output), math.Sqrt(elsewhere))
	}
	e.report.finish("residuals %.1f times what noise explains", math.Sqrt(e.loss))
	return true, nil
}

// settlings is how often at most what the answers elsewhere tell is fitted, too, and compared with others.
const settlings = 4

// settle fits n to the answers in the middle and compares it with others: far from there, and in the corners where noise may hide a unit. Where it differs by more than
// noise and the errors of its parameters explain, those answers are fitted, too, with one more unit if that is what they show. It returns the loss, and by how much more, squared, the last ones differ; 1
// where they do not.
func (e *exact) settle(ctx context.Context, n *network.Network, f family, middle *recover.Middle) (*network.Network, float64, float64, error) {
	for round := 1; ; round++ {
		informed, loss, err := e.inform(ctx, n, f, middle)
		if err != nil {
			return nil, 0, 0, err
		}
		n = informed
		fitted := e.trusted(n, f.Candidate, e.roundingError(), e.spreadFrom) // before others are asked
		elsewhere, err := e.elsewhere(ctx, n, f, fitted)
		if err != nil {
			return nil, 0, 0, err
		}
		// What is left there says more of a unit that is missing before the others are fitted to it.
		last := round == settlings
		uncovered, hidden, err := e.uncover(ctx, n, f, middle, fitted, last)
		if err != nil {
			return nil, 0, 0, err
		}
		if worst := math.Max(elsewhere, hidden); worst == 1 || last {
			return n, loss, worst, nil
		}
		n = uncovered
	}
}

// How much more is asked where the network is least certain: in so many rounds at most, in each that part of as many answers as it has parameters, chosen among
// so many times as many places, until no error bar is more than enough.
const (
	informRounds = 12
	informPart   = 4
	informChoice = 8
	barEnough    = 0.01
)

// inform fits n to the answers in the middle, and to more of them from where they tell most: where the errors of the parameters, as the answers so far leave
// them, make the values of n least certain.
func (e *exact) inform(ctx context.Context, n *network.Network, f family, middle *recover.Middle) (*network.Network, float64, error) {
	g := f.Function
	last := math.Inf(1)
	for round := 0; ; round++ {
		for l := range n.Output {
			if _, err := e.wake(ctx, n, g, l, middle); err != nil {
				return nil, 0, err
			}
		}
		fitted, stats, err := refine.Levenberg(ctx, n, g, g, e.trusted(n, f.Candidate, e.roundingError(), e.spreadFrom), refine.Settings{
			Iterations: 60, Tolerance: 0.01, Damping: 1e-6,
			Observe: func(iteration int, loss float64) { e.report.progress(iteration, 0, loss, "iteration %d", iteration) },
		})
		if err != nil {
			return nil, 0, err
		}
		n = fitted
		if e.lingers(stats.Loss) {
			if n, stats, err = e.fitOn(ctx, n, g, e.trusted(n, f.Candidate, e.roundingError(), e.spreadFrom)); err != nil {
				return nil, 0, err
			}
		}
		loss := stats.Loss
		if round == informRounds || n.Parameters() > denseParameters {
			return n, loss, nil
		}
		data := e.trusted(n, f.Candidate, e.roundingError(), e.spreadFrom)
		c, err := certify.At(ctx, n, g, g, data, denseParameters)
		if err != nil || c.ErrorBar <= barEnough || c.ErrorBar > sharpened*last {
			return n, loss, err
		}
		last = c.ErrorBar
		points := e.telling(n, f, data, middle, n.Parameters()/informPart+1)
		if points == nil {
			return n, loss, nil
		}
		if _, err := e.log.Ask(ctx, points); err != nil {
			return nil, 0, err
		}
		e.spreaded = len(e.log.Y) - e.spreadFrom
	}
}

// telling returns so many places in the middle, of informChoice times as many, where the errors that data leave of these make the values of n
// least certain; nil where data leave some open.
func (e *exact) telling(n *network.Network, f family, data refine.Data, middle *recover.Middle, count int) *mat.Dense {
	g := f.Function
	pool := mat.NewDense(informChoice*count, n.Inputs(), nil)
	_, m1 := n.Sizes()
	for r := range pool.RawMatrix().Rows {
		v := middle.Point()
		if r%2 == 0 {
			if at := e.alive(n, g, r/2%m1, 3/g.Facts().Right.Rate, middle); at != nil {
				v = at
			}
		}
		if r%4 < 2 { // the nearer, the less is lost to the rounding of x
			pool.SetRow(r, middle.Input(v))
		} else {
			pool.SetRow(r, middle.Place(v))
		}
	}
	sigma := e.sigma(n, g, pool, n.Evaluate(g, g, pool), e.roundingError())
	chosen := certify.Telling(n, g, g, data, refine.Data{X: pool, Sigma: sigma}, count)
	if chosen == nil {
		return nil
	}
	points := mat.NewDense(len(chosen), n.Inputs(), nil)
	for k, r := range chosen {
		points.SetRow(k, pool.RawRowView(r))
	}
	return points
}

// elsewhere returns by how much more the answers far from the middle, squared, differ from those of n than noise and the errors of its parameters, as fitted leave them,
// explain; 1 where those do.
func (e *exact) elsewhere(ctx context.Context, n *network.Network, f family, fitted refine.Data) (float64, error) {
	const count = 24
	points := make([][]float64, count)
	for k := range points {
		points[k] = make([]float64, n.Inputs())
		e.place(points[k])
	}
	from := len(e.log.Y)
	y, err := sample.Points(ctx, e.log, points)
	if err != nil {
		return 0, err
	}
	g := f.Function
	x := e.rows(from, len(e.log.Y)).X
	away := floats.SubTo(make([]float64, count), y, n.Evaluate(g, g, x))
	deviations := certify.Deviations(n, g, g, fitted, x)
	explained := math.Hypot(e.expected(n, g, g, x), floats.Norm(deviations, 2)/math.Sqrt(count))
	// They are few and of many kinds: only far more than that counts.
	return math.Max(1, math.Pow(floats.Norm(away, 2)/math.Sqrt(count)/(e.mostExpected()*explained), 2)), nil
}

// matching returns the units that the network has, too.
func matching(units []sample.Unit, n *network.Network) []sample.Unit {
	var matched []sample.Unit
	for _, u := range units {
		for i := range n.First.Bias {
			row := n.First.Weight.RawRowView(i)
			if cosine := floats.Dot(u.Direction, row) / floats.Norm(row, 2); math.Sqrt(math.Max(0, 1-cosine*cosine)) < math.Max(1e-3, mostMistaken*u.Error) {
				matched = append(matched, u)
				break
			}
		}
	}
	return matched
}

// weighed returns the logged queries from..to as data, with the errors that their answers have.
func (e *exact) weighed(from, to int) refine.Data {
	data := e.rows(from, to)
	for _, y := range data.Y {
		data.Sigma = append(data.Sigma, e.scales.Sigma(y))
	}
	return data
}

// middle returns where the units of the first layer of n are alive.
func (e *exact) middle(n *network.Network, f family) (*recover.Middle, error) {
	rate := f.Function.Facts().Right.Rate
	units := make([]sample.Unit, len(n.First.Bias))
	for i := range units {
		direction := append([]float64(nil), n.First.Weight.RawRowView(i)...)
		norm := floats.Norm(direction, 2)
		floats.Scale(1/norm, direction)
		units[i] = sample.Unit{Direction: direction, Offset: n.First.Bias[i] / norm, Decay: rate * norm}
	}
	return recover.NewMiddle(e.log, units, rate, e.rng)
}

// askMiddle asks at so many random points in the middle.
func (e *exact) askMiddle(ctx context.Context, middle *recover.Middle, count int) error {
	if count <= 0 {
		return nil
	}
	points := mat.NewDense(count, len(middle.Shift), nil)
	for r := range count {
		points.SetRow(r, middle.Point())
	}
	_, err := middle.Ask(ctx, points)
	return err
}
