package identify

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/probe"
)

// Single wrong answers, such as those of a cache that is stale at times, leave residuals that stand out, and keep every fit from reaching the
// noise, however long it is tried. So few that stand out so much are asked for again, where they are a relevant part of f's spread.
const (
	suspects      = 8
	standsOut     = 100 // times the median residual
	relevant      = 1e-6
	sameAnswer    = 1e-9 // relative to the spread of f
	leastResidual = 1e-300
)

// dishonestError ends a run: the oracle's answers are not those of a function, or of another one far out.
type dishonestError struct{ error }

func (e dishonestError) Unwrap() error { return e.error }

// dishonest has a kind that no stage takes for a network that resists, and tries something else.
func dishonest(format string, args ...any) error {
	return dishonestError{fault.New(fault.Oracle, format, args...)}
}

// suspect asks again for answers, of those logged since from, that stand out from what n explains.
func (e *exact) suspect(ctx context.Context, n *network.Network, f family, from int) error {
	if e.noisy() {
		return nil
	}
	rows := e.rows(from, len(e.log.Y))
	off := n.Evaluate(f.Function, f.Function, rows.X)
	for r, y := range rows.Y {
		off[r] = math.Abs(off[r] - y)
	}
	order := make([]int, len(off))
	for r := range order {
		order[r] = r
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(off[j], off[i]) })
	least := math.Max(standsOut*math.Max(off[order[len(order)/2]], leastResidual), relevant*e.scales.Spread)
	count := 0
	for count < min(suspects, len(order)) && off[order[count]] > least {
		count++
	}
	if count == 0 {
		return nil
	}
	x := mat.NewDense(count, e.problem.Info.Inputs, nil)
	before := make([]float64, count)
	for k, r := range order[:count] {
		x.SetRow(k, rows.X.RawRowView(r))
		before[k] = rows.Y[r]
	}
	y, err := e.problem.Oracle.Ask(ctx, x)
	if err != nil {
		return err
	}
	floats.Sub(y, before)
	changed := 0
	for _, by := range y {
		if math.Abs(by) > sameAnswer*e.scales.Spread {
			changed++
		}
	}
	if changed == 0 {
		return nil
	}
	return dishonest("its answers are not repeatable: %d of %d that stood out were answered otherwise when they were asked for again, by up to %.1e (f varies by %.1e): the backend's answers are stale at times, as a cache's are, or wrong",
		changed, count, floats.Norm(y, math.Inf(1)), e.scales.Spread)
}

// doubt asks the caller, once, whether the oracle is one of a function at all: before the longest search begins, or where steps far out are no units'.
func (e *exact) doubt(ctx context.Context) error {
	if e.settings.Doubt == nil || e.doubted {
		return nil
	}
	e.doubted = true
	stage := e.report.stage
	defer func() { e.report.start(stage) }()
	e.report.start("doubts")
	evidence, err := e.settings.Doubt(ctx)
	if err != nil {
		return err
	}
	if evidence == "" || e.scales != nil && e.noisy() && strings.HasPrefix(evidence, probe.NotRepeatable) { // noise is no lie
		e.report.finish("nothing is wrong with the answers, as far as that can be seen")
		return nil
	}
	e.report.finish("%s", evidence)
	return dishonest("%s", evidence)
}
