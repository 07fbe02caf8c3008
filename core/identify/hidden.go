package identify

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/refine"
)

// How a unit is looked for that noise hides.
const (
	hiddenStarts = 3   // rows from which to climb
	hiddenRounds = 2   // of trying all coordinates
	hiddenReach  = 5.0 // where a coordinate is tried: units of the first layer are saturated there
	hiddenFrom   = 6.0 // what is left at the end, over what noise and the parameters' errors explain, from which on a unit is missing
)

// hidden returns by how much more than is allowed, squared, the answers differ from those of n where they differ most, and the coordinates of that place; 1 where they do not. A unit of the second layer that sleeps nearly
// everywhere contributes less than the noise at random points, and as much as others in a corner of the first layer's outputs: from the rows where most is left, coordinates are moved to
// either side as long as that leaves more. fitted are the answers that n was fitted to.
func (e *exact) hidden(ctx context.Context, n *network.Network, f family, middle *recover.Middle, fitted refine.Data) (float64, []float64, error) {
	g := f.Function
	known := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	left := floats.SubTo(make([]float64, len(known.Y)), known.Y, n.Evaluate(g, g, known.X))
	order := make([]int, len(left))
	size := make([]float64, len(left))
	for r, v := range left {
		size[r] = -math.Abs(v) / e.scales.Sigma(known.Y[r])
	}
	floats.Argsort(size, order)
	worst, place := 1.0, []float64(nil)
	judge := func(answer refine.Data, at []float64) {
		if ratio := e.standOut(n, f, fitted, answer); ratio > worst {
			worst, place = ratio, slices.Clone(at)
		}
	}
	for _, row := range order[:min(hiddenStarts, len(order))] {
		at := middle.Coordinates(known.X.RawRowView(row))
		side, most := math.Copysign(1, left[row]), math.Abs(left[row])
		judge(refine.Data{X: mat.NewDense(1, n.Inputs(), known.X.RawRowView(row)), Y: known.Y[row : row+1]}, at)
		for range hiddenRounds {
			points := mat.NewDense(2*len(at), len(at), nil)
			for k := range 2 * len(at) {
				v := slices.Clone(at)
				v[k/2] = hiddenReach * float64(1-2*(k%2))
				points.SetRow(k, v)
			}
			from := len(e.log.Y)
			if _, err := middle.Ask(ctx, points); err != nil {
				return 0, nil, err
			}
			asked := e.rows(from, len(e.log.Y))
			off := floats.SubTo(make([]float64, len(asked.Y)), asked.Y, n.Evaluate(g, g, asked.X))
			moved := false
			for i := range at {
				for k := range 2 {
					if side*off[2*i+k] > most+e.scales.Sigma(asked.Y[2*i+k]) {
						at[i], moved = points.At(2*i+k, i), true
					}
				}
			}
			if !moved {
				break
			}
			from = len(e.log.Y)
			if _, err := middle.Ask(ctx, mat.NewDense(1, len(at), slices.Clone(at))); err != nil {
				return 0, nil, err
			}
			end := e.rows(from, len(e.log.Y))
			off = floats.SubTo(off[:1], end.Y, n.Evaluate(g, g, end.X))
			most = math.Abs(off[0])
			judge(end, at)
			if side*off[0] < 0 {
				break
			}
		}
	}
	return worst * worst, place, nil
}

// uncover looks for a unit that noise hides, and, unless it is only to be told, adds it to n; where n, fitted to all answers, explains those that it differs from, that is all that
// it does. fitted are the answers that n was fitted to. It returns by how much more than is allowed, squared, the answers differ from those of the given network, as hidden has it.
func (e *exact) uncover(ctx context.Context, n *network.Network, f family, middle *recover.Middle, fitted refine.Data, only bool) (*network.Network, float64, error) {
	from := e.spreadFrom + e.spreaded // the first answer that n was not fitted to
	e.spreaded = len(e.log.Y) - e.spreadFrom
	hidden, place, err := e.hidden(ctx, n, f, middle, fitted)
	if err != nil {
		return nil, 0, err
	}
	e.spreaded = len(e.log.Y) - e.spreadFrom
	if only || from == len(e.log.Y) {
		return n, hidden, nil
	}
	g := f.Function
	data := e.trusted(n, f.Candidate, e.roundingError(), e.spreadFrom)
	better, stats, err := refine.Levenberg(ctx, n, g, g, data, refine.Settings{Iterations: 60, Tolerance: 0.01, Damping: 1e-6})
	if err != nil {
		return nil, 0, err
	}
	if stats.Loss <= goodLoss && e.standOut(better, f, data, e.rows(from, len(e.log.Y))) <= 1 {
		return better, hidden, nil
	}
	if hidden > 1 {
		n, err = e.awaken(ctx, n, f, middle, place)
	}
	return n, hidden, err
}

// standOut returns the largest difference of the answers from those of n, over what is allowed: hiddenFrom times what noise and the errors that data leave of its parameters explain.
func (e *exact) standOut(n *network.Network, f family, data, answers refine.Data) float64 {
	g := f.Function
	deviations := certify.Deviations(n, g, g, data, answers.X)
	worst := 0.0
	for r, v := range n.Evaluate(g, g, answers.X) {
		explained := e.scales.Sigma(answers.Y[r])
		if deviations != nil {
			explained = math.Hypot(explained, deviations[r])
		}
		worst = math.Max(worst, math.Abs(answers.Y[r]-v)/(hiddenFrom*e.mostExpected()/2*explained))
	}
	return worst
}

// How a unit that was hidden is fitted to what the others leave around the place where it is most alive.
const (
	awakenRows  = 4    // for each of its parameters
	awakenReach = 3.0  // units of the first layer that are elsewhere there than at that place are at most so far from their transitions
	awakened    = 0.05 // what it leaves at most of the squares that the others leave
)

// Where its fit starts from: norms of its weights, over that of the slope of what is left, and its pre-activations where most is left, in terms of 1/k.
var (
	awakenNorms  = []float64{0.5, 1, 2, 4, 8}
	awakenDepths = []float64{-1, 1, 3}
)

// awaken returns n with one more unit in the second layer, which explains what n leaves around the place; n itself where none does.
func (e *exact) awaken(ctx context.Context, n *network.Network, f family, middle *recover.Middle, place []float64) (*network.Network, error) {
	g := f.Function
	m0, m1 := n.Sizes()
	data, err := e.around(ctx, middle, place, awakenRows*(m0+3), awakenReach)
	if err != nil {
		return nil, err
	}
	for _, y := range data.Y {
		data.Sigma = append(data.Sigma, e.scales.Sigma(y))
	}
	rest := floats.SubTo(make([]float64, len(data.Y)), data.Y, n.Evaluate(g, g, data.X))
	z := firstLayer(n, g, data.X)
	slope := slopeOf(z, rest)
	if slope == nil {
		return n, nil
	}
	before, top := 0.0, 0 // top is the row at which most is left
	for r, s := range data.Sigma {
		before += math.Pow(rest[r]/s, 2)
		if math.Abs(rest[r]) > math.Abs(rest[top]) {
			top = r
		}
	}
	most := math.Copysign(1, rest[top])
	var best *lone
	for _, side := range []float64{-1, 1} {
		tail := g.Facts().Left
		if side > 0 {
			tail = g.Facts().Right
		}
		if !(tail.Rate > 0) || math.IsInf(tail.Rate, 1) {
			continue
		}
		for _, norm := range awakenNorms {
			for _, depth := range awakenDepths {
				u := lone{h: g, z: z, rest: rest, sigma: data.Sigma, side: side, rate: tail.Rate, limit: tail.Intercept}
				u.b = floats.ScaleTo(make([]float64, m0), -side*most*norm/floats.Norm(slope, 2), slope)
				u.tau = -side*depth/tail.Rate - floats.Dot(u.b, z.RawRowView(top))
				if !u.outputs() {
					continue
				}
				if u.fit(true, loneLast); best == nil || u.loss < best.loss {
					best = &u
				}
			}
		}
	}
	if best == nil || !(best.loss <= awakened*before) {
		return n, nil
	}
	larger := network.New(n.Inputs(), m0, m1+1, n.First.Activation, n.Second.Activation)
	larger.First = n.Clone().First
	for l := range m1 {
		larger.Second.Weight.SetRow(l, n.Second.Weight.RawRowView(l))
	}
	larger.Second.Weight.SetRow(m1, best.b)
	copy(larger.Second.Bias, n.Second.Bias)
	copy(larger.Output, n.Output)
	larger.Second.Bias[m1], larger.Output[m1], larger.OutputBias = best.tau, best.c, n.OutputBias+best.constant
	e.report.progress(0, 0, 0, "noise hid a unit: %d units", m1+1)
	// Behind the first layer's directions first: that takes a fraction of the time.
	larger, _, err = refine.FixedDirections(ctx, larger, g, g, e.trusted(larger, f.Candidate, e.roundingError(), e.spreadFrom), refine.Settings{Iterations: patience, Tolerance: 0.01, Damping: 1e-6})
	return larger, err
}

// slopeOf returns the slope of the linear function of z that is nearest to the values; nil where there is none.
func slopeOf(z *mat.Dense, values []float64) []float64 {
	rows, columns := z.Dims()
	design := mat.NewDense(rows, columns+1, nil)
	for r := range rows {
		row := design.RawRowView(r)
		copy(row, z.RawRowView(r))
		row[columns] = 1
	}
	var solution mat.VecDense
	if err := solution.SolveVec(design, mat.NewVecDense(rows, values)); err != nil {
		return nil
	}
	slope := solution.RawVector().Data[:columns]
	if norm := floats.Norm(slope, 2); !(norm > 0) || math.IsInf(norm, 1) {
		return nil
	}
	return slope
}
