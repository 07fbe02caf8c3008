package identify

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/refine"
)

// Where several units of the second layer sleep that have similar weights, the tail at any place mixes two of them, and no fit gets from there to both. But one such tail tells where they are alive; there, students
// are fitted to what the units that are known leave of the answers: to a small network whose units do not sleep.
const (
	crowdUnits    = 7    // of a student, beyond those that stand for the crowd
	crowdStarts   = 9    // of a student
	crowdNear     = 0.25 // of the way to where a unit is most alive that students' points are at least
	crowdTops     = 8    // such places for each unit
	crowdStudents = 2    // that are to agree on a unit
	crowdAlike    = 1e-4 // 1 - |cosine| of the weights up to which they do
	crowdAwake    = 1.0  // in terms of 1/k, how near to its transition a unit is awake
	crowdSame     = 1e-2 // distance of the parameters, over their size, up to which two units are one
	crowdCancels  = 0.05 // output weight, over that of either, up to which they cancel
	crowdWhole    = 1e-2 // what is left at most, over the spread of f, from which on all parameters are fitted
	mostCrowds    = 8
	crowdNoise    = 10.0 // over what the others leave at most rows: the students' answers count as that noisy
	crowdKnown    = 1e-2 // what is left where a unit contributes most, over that, up to which it is known
)

// fitCrowds finds the units of the second layer that a student lacks, or has but roughly: one by one, by fitTails, if none that the student has is known badly, and otherwise, or where that does not
// arrive, in rounds. A round takes a unit from its tail if that is one unit's, and else all that are alive in one place.
func (e *exact) fitCrowds(ctx context.Context, n *network.Network, f family, middle *recover.Middle) (*network.Network, float64, error) {
	g := f.Function
	n, err := e.fitOthers(ctx, n, f)
	if err != nil {
		return nil, 0, err
	}
	rows := e.spreaded
	best, least := n, math.Inf(1)
	unknown := e.unknown(n, f)
	if len(unknown) == 0 {
		if best, least, err = e.fitTails(ctx, n, f, middle); err != nil || least <= goodLoss {
			return best, least, err
		}
	}
	found := false
	for round := range mostCrowds {
		e.spreaded = rows // at most of the others units are alive that are still missing
		if round > 0 {
			if n, err = e.fitOthers(ctx, n, f); err != nil {
				return nil, 0, err
			}
			if unknown, err = e.unseen(n, f); err != nil {
				return nil, 0, err
			}
		}
		if len(unknown) == 0 {
			left := residuals(n, g, e.rows(e.spreadFrom, e.spreadFrom+e.spreaded))
			if floats.Max(left) <= standsOut*middleOf(left) {
				break
			}
			if data := e.trusted(n, f.Candidate, e.roundingError(), e.spreadFrom); floats.Max(left) <= crowdWhole*e.scales.Spread && len(data.Y) > n.Parameters() {
				fitted, stats, err := fitWhole(ctx, n, g, data, refine.Settings{Damping: 1e-9, Iterations: tailFits, Tolerance: 1e-3})
				if err != nil || stats.Loss <= goodLoss {
					return fitted, stats.Loss, err
				}
			}
			larger, err := e.tail(ctx, n, g, middle, false)
			if err != nil {
				return nil, 0, err
			}
			if larger != nil { // else the tails of several are mixed: where most is left will do
				last := len(larger.Output) - 1
				alone, ok, err := e.fitTail(ctx, larger, f, last, middle)
				if err != nil {
					return nil, 0, err
				}
				if ok {
					n, found = alone, true
					continue
				}
				n, unknown = larger, []int{last}
			}
		}
		larger, err := e.crowd(ctx, n, f, unknown)
		if err != nil {
			return nil, 0, err
		}
		if larger == nil {
			break
		}
		n, found = larger, true
	}
	e.spreaded = len(e.log.Y) - e.spreadFrom
	if !found && !math.IsInf(least, 1) {
		return best, least, nil
	}
	return e.fitTails(ctx, n, f, middle)
}

// fitTail fits unit l of the second layer, of which a tail is known, to what the others leave where it is most alive. It reports whether that explains the answers there: the tail is that of one unit.
func (e *exact) fitTail(ctx context.Context, n *network.Network, f family, l int, middle *recover.Middle) (*network.Network, bool, error) {
	if _, err := e.wake(ctx, n, f.Function, l, middle); err != nil {
		return nil, false, err
	}
	known := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	n = e.alone(n, f.Function, l, known, math.Max(middleOf(residuals(n, f.Function, known)), e.noise*e.scales.Spread), true)
	_, own := contributes(n, f.Function, l, known.X)
	return n, explained(residuals(n, f.Function, known), own) < crowdKnown, nil
}

// unknown lists the units of n's second layer that are not known: where they contribute most, much is left of the answers.
func (e *exact) unknown(n *network.Network, f family) []int {
	known := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	left := residuals(n, f.Function, known)
	var units []int
	for l := range n.Output {
		if _, own := contributes(n, f.Function, l, known.X); explained(left, own) > crowdKnown {
			units = append(units, l)
		}
	}
	return units
}

// unseen lists the units of n's second layer that sleep at all answers so far, and less elsewhere: of them the tail of the activation is known and no more.
func (e *exact) unseen(n *network.Network, f family) ([]int, error) {
	middle, err := e.middle(n, f)
	if err != nil {
		return nil, err
	}
	all := e.rows(e.spreadFrom, len(e.log.Y))
	p := secondLayer(n, f.Function, all.X)
	width := 1 / f.Function.Facts().Right.Rate
	var units []int
	for l := range n.Output {
		side, _ := contributes(n, f.Function, l, all.X)
		nearest := math.Inf(-1)
		for _, v := range mat.Col(nil, l, p) {
			nearest = math.Max(nearest, -side*v)
		}
		if nearest > -crowdAwake*width {
			continue
		}
		x := middle.Input(e.summit(n, f.Function, l, -side, middle))
		if -side*secondLayer(n, f.Function, mat.NewDense(1, len(x), x)).At(0, l) > nearest+width {
			units = append(units, l)
		}
	}
	return units, nil
}

// crowd replaces the given units of the second layer, all at once, by those of a student that explains what the others leave where one of them is alive; it returns nil where none does.
func (e *exact) crowd(ctx context.Context, n *network.Network, f family, asleep []int) (*network.Network, error) {
	normal, affine, ok := network.Normal(f.Function)
	if !ok || len(asleep) == len(n.Output) {
		return nil, nil
	}
	whole := n.Clone()
	whole.RewriteFirst(affine, f.Name)
	whole.RewriteSecond(affine, f.Name)
	middle, err := e.middle(whole, family{Candidate: Candidate{Name: f.Name, Function: normal}})
	if err != nil {
		return nil, err
	}
	known := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	others := whole
	sides := make([]float64, len(asleep))
	for k := len(asleep) - 1; k >= 0; k-- {
		sides[k], _ = contributes(whole, normal, asleep[k], known.X)
		others = without(others, normal, asleep[k], sides[k])
	}
	floor := math.Max(math.Min(middleOf(residuals(n, f.Function, known)), middleOf(residuals(others, normal, known))), e.noise*e.scales.Spread)
	// From random places most of the way to those where one of them is most alive, or where most is left: how far it takes them is not known.
	var tops [][]float64
	for k, l := range asleep {
		for range crowdTops {
			tops = append(tops, e.summit(whole, normal, l, -sides[k], middle))
		}
	}
	if len(tops) == 0 {
		all := e.rows(e.spreadFrom, len(e.log.Y))
		left := residuals(others, normal, all)
		order := make([]int, len(left))
		floats.ArgsortStable(left, order)
		for _, r := range order[max(0, len(order)-crowdTops):] {
			tops = append(tops, middle.Coordinates(all.X.RawRowView(r)))
		}
	}
	point := func() []float64 {
		v := middle.Point()
		part := crowdNear + (1-crowdNear)*e.rng.Float64()
		top := tops[e.rng.IntN(len(tops))]
		for i := range v {
			v[i] += part * (top[i] - v[i])
		}
		return v
	}
	answers := newPool(&leftover{middle, others, normal, point})
	var found *network.Network
	for student := range crowdStudents {
		answers.next = 0
		next, _, err := local.Second(ctx, answers, len(n.First.Bias), normal, normal, local.Settings{
			Units: len(asleep) + crowdUnits, Starts: crowdStarts, Shifted: true, Point: answers.Point, Noise: crowdNoise * floor, Seed: e.settings.Seed + uint64(student), Activation: f.Name,
			Awake:   func(*network.Network) (bool, error) { return true, nil }, // others may sleep there
			Observe: func(text string) { e.report.progress(0, 0, 0, "where units sleep elsewhere: %s", text) },
		})
		e.spreaded = len(e.log.Y) - e.spreadFrom
		if err != nil {
			if fault.Is(err, fault.Unsupported) && ctx.Err() == nil {
				return nil, nil
			}
			return nil, err
		}
		if student == 0 {
			found = next
		} else if found = agreed(found, next); found == nil {
			return nil, nil
		}
	}
	joined := network.New(n.Inputs(), len(n.First.Bias), len(others.Output)+len(found.Output), f.Name, f.Name)
	joined.First = whole.First
	joined.Second.Weight.Stack(others.Second.Weight, found.Second.Weight)
	joined.Second.Bias = append(append([]float64(nil), others.Second.Bias...), found.Second.Bias...)
	joined.Output = append(append([]float64(nil), others.Output...), found.Output...)
	joined.OutputBias = others.OutputBias + found.OutputBias
	joined = united(joined, normal.Facts().Symmetry == core.SymmetryPoint)
	joined.RewriteFirst(affine.Inverse(), f.Name)
	joined.RewriteSecond(affine.Inverse(), f.Name)
	e.report.progress(0, 0, 0, "%d units that sleep elsewhere, found at once: %d units", len(found.Output), len(joined.Output))
	return joined, nil
}

// agreed returns a without the units that b has not: what stands in for units that sleep there too is another in every student. It returns nil where none is left.
func agreed(a, b *network.Network) *network.Network {
	for l := len(a.Output) - 1; l >= 0; l-- {
		own := a.Second.Weight.RawRowView(l)
		found := false
		for k := range b.Output {
			other := b.Second.Weight.RawRowView(k)
			found = found || math.Abs(floats.Dot(own, other)) > (1-crowdAlike)*floats.Norm(own, 2)*floats.Norm(other, 2)
		}
		switch {
		case found:
		case len(a.Output) == 1:
			return nil
		default:
			a = a.WithoutSecond(l)
		}
	}
	return a
}

// merged is united for a network in any form of its activation.
func merged(n *network.Network, f family) *network.Network {
	normal, affine, ok := network.Normal(f.Function)
	if !ok {
		return n
	}
	whole := n.Clone()
	whole.RewriteFirst(affine, f.Name)
	whole.RewriteSecond(affine, f.Name)
	whole = united(whole, normal.Facts().Symmetry == core.SymmetryPoint)
	if len(whole.Output) == len(n.Output) {
		return n
	}
	whole.RewriteFirst(affine.Inverse(), f.Name)
	whole.RewriteSecond(affine.Inverse(), f.Name)
	return whole
}

// united returns n with one unit for two of the second layer that are the same, and none where they cancel: a unit that was known badly is found again, and what undoes it. Odd says
// that h(-t) = -h(t), so that two of opposite parameters are the same, too.
func united(n *network.Network, odd bool) *network.Network {
	sides := []float64{1}
	if odd {
		sides = append(sides, -1)
	}
	for l := len(n.Output) - 1; l > 0; l-- {
		own, tau := n.Second.Weight.RawRowView(l), n.Second.Bias[l]
		size := floats.Norm(own, 2) + math.Abs(tau)
		for k := range l {
			for _, side := range sides {
				other := floats.ScaleTo(make([]float64, len(own)), side, n.Second.Weight.RawRowView(k))
				if floats.Distance(own, other, 2)+math.Abs(tau-side*n.Second.Bias[k]) > crowdSame*size {
					continue
				}
				c := n.Output[k] + side*n.Output[l]
				cancel := math.Abs(c) < crowdCancels*math.Abs(n.Output[l])
				n = n.WithoutSecond(l)
				n.Output[k] = c
				if cancel && len(n.Output) > 1 {
					n = n.WithoutSecond(k)
				}
				return united(n, odd)
			}
		}
	}
	return n
}

// contributes returns on which side of its transition unit l of the second layer is at most rows, and what it contributes beyond its limit there.
func contributes(n *network.Network, h core.Function, l int, x *mat.Dense) (side float64, own []float64) {
	own = mat.Col(nil, l, secondLayer(n, h, x))
	side, limit := 1.0, h.Facts().Right.Intercept
	if middle := slices.Sorted(slices.Values(own))[len(own)/2]; middle < 0 {
		side, limit = -1, h.Facts().Left.Intercept
	}
	h.Apply(0, own, own)
	for r, v := range own {
		own[r] = math.Abs(n.Output[l] * (v - limit))
	}
	return side, own
}

// explained returns what is left, over what a unit contributes, of the rows to which it contributes most: their median.
func explained(left, own []float64) float64 {
	least := floats.Max(own) / 3
	var parts []float64
	for r, v := range own {
		if v >= least {
			parts = append(parts, left[r]/v)
		}
	}
	return middleOf(parts)
}

// leftover answers, at coordinates of the middle, with what a network leaves of the oracle's answers.
type leftover struct {
	middle *recover.Middle
	n      *network.Network
	h      core.Function
	point  func() []float64
}

func (o *leftover) Point() []float64 { return o.point() }

func (o *leftover) Ask(ctx context.Context, v *mat.Dense) ([]float64, error) {
	y, err := o.middle.Ask(ctx, v)
	if err != nil {
		return nil, err
	}
	rows, _ := v.Dims()
	x := mat.NewDense(rows, o.n.Inputs(), nil)
	for r := range rows {
		x.SetRow(r, o.middle.Input(v.RawRowView(r)))
	}
	return floats.SubTo(make([]float64, rows), y, o.n.Evaluate(o.h, o.h, x)), nil
}

func (o *leftover) Queries() int64 { return o.middle.Queries() }
