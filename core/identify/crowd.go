package identify

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
)

// Where several units of the second layer sleep that have similar weights, the tail at any place mixes two of them, and no fit gets from there to both. But one such tail tells where they are alive; there, students
// are fitted to what the units that are awake elsewhere leave of the answers: to a small network whose units do not sleep.
const (
	crowdStarts = 3    // students
	crowdWidth  = 4.0  // in terms of 1/k, how far from its transition a sleeping unit is at the students' points
	crowdNoise  = 10.0 // over what the others leave at most rows: the students' answers count as that noisy
	mostCrowds  = 3
)

// crowd replaces the units of the second layer that sleep at nearly all rows, all at once, by those of a student that explains what the others leave where one of them is alive; it returns n
// where none does.
func (e *exact) crowd(ctx context.Context, n *network.Network, f family) (*network.Network, error) {
	normal, affine, ok := network.Normal(f.Function)
	if !ok {
		return n, nil
	}
	whole := n.Clone()
	whole.RewriteFirst(affine, f.Name)
	whole.RewriteSecond(affine, f.Name)
	middle, err := e.middle(whole, family{Candidate: Candidate{Name: f.Name, Function: normal}})
	if err != nil {
		return nil, err
	}
	known := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
	floor := math.Max(middleOf(residuals(n, f.Function, known)), e.noise*e.scales.Spread)
	others := whole
	var asleep []int
	for l := len(whole.Output) - 1; l >= 0; l-- {
		if side, _ := sleeps(whole, normal, l, known.X); side != 0 && len(others.Output) > 1 {
			others = without(others, normal, l, side)
			asleep = append(asleep, l)
		}
	}
	if len(asleep) == 0 {
		return n, nil
	}
	turn := 0
	point := func() []float64 {
		turn++
		if v := e.alive(whole, normal, asleep[turn%len(asleep)], crowdWidth/normal.Facts().Right.Rate, middle); v != nil {
			return v
		}
		return middle.Point()
	}
	found, _, err := local.Second(ctx, &leftover{middle, others, normal}, len(n.First.Bias), normal, normal, local.Settings{
		Starts: crowdStarts, Shifted: true, Point: point, Noise: crowdNoise * floor, Seed: e.settings.Seed, Activation: f.Name,
		Observe: func(text string) { e.report.progress(0, 0, 0, "where units sleep elsewhere: %s", text) },
	})
	e.spreaded = len(e.log.Y) - e.spreadFrom
	if err != nil {
		if fault.Is(err, fault.Unsupported) && ctx.Err() == nil {
			return n, nil
		}
		return nil, err
	}
	joined := network.New(n.Inputs(), len(n.First.Bias), len(others.Output)+len(found.Output), f.Name, f.Name)
	joined.First = whole.First
	joined.Second.Weight.Stack(others.Second.Weight, found.Second.Weight)
	joined.Second.Bias = append(append([]float64(nil), others.Second.Bias...), found.Second.Bias...)
	joined.Output = append(append([]float64(nil), others.Output...), found.Output...)
	joined.OutputBias = others.OutputBias + found.OutputBias
	joined.RewriteFirst(affine.Inverse(), f.Name)
	joined.RewriteSecond(affine.Inverse(), f.Name)
	e.report.progress(0, 0, 0, "%d units that sleep elsewhere, found at once: %d units", len(found.Output), len(joined.Output))
	return joined, nil
}

// leftover answers, at coordinates of the middle, with what a network leaves of the oracle's answers.
type leftover struct {
	middle *recover.Middle
	n      *network.Network
	h      core.Function
}

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
