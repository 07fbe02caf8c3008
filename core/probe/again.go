package probe

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
)

// Asked are the points that a run has asked, in their order, and the answers it had.
type Asked struct {
	X [][]float64 // points of d coordinates
	Y []float64
}

const (
	// firstRows of a run are asked again at its end where its answers are noisy: drifts show there, as they had the longest time.
	firstRows = 8
	// suspects is how many answers that look wrong are asked again, and samples how many others of a run that has failed.
	suspects, samples = 32, 512
	// farRounding is the rounding of an answer where |x| = 1, over the spread of all: libraries for matrices sum in another order for another number of rows.
	farRounding = 1e-14
	// manySigmas is how far two answers to one point are apart that noise does not part.
	manySigmas = 8
)

// Doubt is what asking points again has shown.
type Doubt struct {
	Text  string // a clause with the evidence; empty where nothing was shown
	Wrong bool   // no claim can be made; otherwise the doubt does not touch it
}

// Claim looks for evidence against a network that was identified among the answers that led to it. Answers far off the network are
// asked for again: a cache that is sometimes stale, say, gives another one then; one that keeps answers does not, and they are as telling. Where the network does not fit to rounding, so are the first
// points of the run: a backend that drifts answers them otherwise. Where nothing looks wrong it asks nothing; a spent budget ends it early.
func Claim(ctx context.Context, asker query.Asker, found Found, asked Asked) (Doubt, error) {
	if len(asked.Y) == 0 {
		return Doubt{}, nil
	}
	expected := found.values(asked.X)
	spread, noise := deviation(asked.Y), found.Noise
	unit := found.unit()
	allowed := func(i int) float64 {
		radius := 1.0
		for _, v := range asked.X[i] {
			radius = max(radius, math.Abs(v))
		}
		return spread*max(1e-9, manyBars*radius*max(found.ErrorBar, unit)) + 10*found.MaxError + manySigmas*noise
	}
	away := func(i int) float64 { return math.Abs(asked.Y[i] - expected[i]) }
	var off []int
	for i := range asked.Y {
		if away(i) > allowed(i) {
			off = append(off, i)
		}
	}
	slices.SortStableFunc(off, func(i, j int) int { return cmp.Compare(away(j), away(i)) }) // the worst first
	changed, err := again(ctx, asker, asked, off[:min(len(off), suspects)], max(noise, rounding*spread))
	if err != nil {
		return Doubt{}, err
	}
	mended, largest := 0, 0.0
	kept := make([]int, 0, len(off)) // answers that stay far off
	for _, i := range off[:min(len(off), suspects)] {
		if !slices.Contains(changed.rows, i) {
			kept = append(kept, i)
		}
	}
	for k, i := range changed.rows {
		if math.Abs(asked.Y[i]+changed.by[k]-expected[i]) <= allowed(i) {
			mended, largest = mended+1, max(largest, math.Abs(changed.by[k]))
		}
	}
	if mended > 0 {
		return Doubt{Wrong: true, Text: fmt.Sprintf("%d of the %d answers were wrong at first, by up to %.1e, and right (as the network found says) when their points were asked again: the backend's answers are stale at times, as a cache's are, or not repeatable; "+
			"the network found explains all others", mended, len(asked.Y), largest)}, nil
	}
	// Noise of a kind that depends on the point may have tails; without noise nothing else is left.
	if len(kept) > 0 && changed.asked && noise <= clean*spread {
		i := kept[0]
		return Doubt{Wrong: true, Text: fmt.Sprintf("%d of the %d answers are far off the network found, and the same when their points are asked again, such as %.6g instead of %.6g at |x| = %.3g: the network explains only the others; "+
			"the backend answers another function there, or keeps answers of other points, as a cache does", len(kept), len(asked.Y), asked.Y[i], expected[i], floats.Norm(asked.X[i], 2))}, nil
	}
	if noise <= exact*spread && found.MaxError <= exact*spread {
		return Doubt{}, nil
	}
	rows := make([]int, min(firstRows, len(asked.Y)))
	for i := range rows {
		rows[i] = i
	}
	if changed, err = again(ctx, asker, asked, rows, 0); err != nil || len(changed.rows) == 0 {
		return Doubt{}, err
	}
	drift := math.Abs(mean(changed.by))
	explained := max(noise, found.MaxError) / math.Sqrt(float64(len(rows)))
	if steadySign(changed.by) && len(changed.by) == len(rows) && drift > 3*explained {
		return Doubt{Wrong: true, Text: fmt.Sprintf("its answers drift: the first %d points of the run, asked again at its end, had answers that all changed the same way, by %.1e on average, more than noise explains; "+
			"the network found is f as it was last", len(rows), drift)}, nil
	}
	return Doubt{Text: fmt.Sprintf("its answers are not repeatable: the first %d points of the run, asked again at its end, were answered otherwise by up to %.1e; noise of that size is in the error bars", len(rows), changed.largest)}, nil
}

// values are those of the network found at the points, in blocks that bound the memory.
func (f Found) values(points [][]float64) []float64 {
	const block = 1024
	values := make([]float64, 0, len(points))
	for rows := range slices.Chunk(points, block) {
		x := mat.NewDense(len(rows), len(rows[0]), nil)
		for i, p := range rows {
			x.SetRow(i, p)
		}
		values = append(values, f.Network.Evaluate(f.G, f.H, x)...)
	}
	return values
}

// exact is the error, relative to the spread of f, up to which answers count as computed in double precision.
const exact = 1e-12

// Failure asks again what a run that has failed has asked: first points whose answer is another one's to the last bit, as that of a stale
// cache is, then those farthest off the network that came closest, which may be nil, then a sample of all of them. It returns a clause
// with the evidence, or "".
func Failure(ctx context.Context, asker query.Asker, closest *Found, asked Asked, seed uint64) (string, error) {
	random := rand.New(rand.NewPCG(seed, 0x616761696e))
	var rows []int
	for i := 1; i < len(asked.Y) && len(rows) < suspects; i++ {
		// On a plateau neighbours agree; elsewhere, and then alone, an answer that is the one before to the last bit is odd.
		if asked.Y[i] == asked.Y[i-1] && (i+1 == len(asked.Y) || asked.Y[i+1] != asked.Y[i]) && (i < 2 || asked.Y[i-2] != asked.Y[i]) && !slices.Equal(asked.X[i], asked.X[i-1]) {
			rows = append(rows, i)
		}
	}
	others := random.Perm(len(asked.Y))
	if closest != nil && len(others) > 0 {
		expected := closest.values(asked.X)
		off := slices.Clone(others)
		slices.SortStableFunc(off, func(i, j int) int {
			return cmp.Compare(math.Abs(asked.Y[j]-expected[j]), math.Abs(asked.Y[i]-expected[i]))
		})
		others = append(off[:min(len(off), suspects)], others...)
	}
	for _, i := range others {
		if len(rows) >= 2*suspects+min(samples, len(asked.Y)/10) {
			break
		}
		if !slices.Contains(rows, i) {
			rows = append(rows, i)
		}
	}
	changed, err := again(ctx, asker, asked, rows, rounding*deviation(asked.Y))
	if err != nil || len(changed.rows) == 0 {
		return "", err
	}
	return fmt.Sprintf("its answers are not repeatable: of %d points asked again %d were answered otherwise than before, by up to %.1e (answers vary by %.1e)%s",
		len(rows), len(changed.rows), changed.largest, deviation(asked.Y), changed.nature(len(rows))), nil
}

// differences are the points that were answered otherwise than before, and by how much.
type differences struct {
	asked   bool // the points were asked: the budget was not spent
	rows    []int
	by      []float64
	largest float64
}

// nature says what few differences among many answers that agree suggest.
func (c differences) nature(of int) string {
	if 4*len(c.rows) < of {
		return "; the others to the last digits as before: a cache that is stale at times, it seems"
	}
	return ""
}

// again asks the rows again, in one call; a spent budget means no differences.
func again(ctx context.Context, asker query.Asker, asked Asked, rows []int, sigma float64) (differences, error) {
	var c differences
	if len(rows) == 0 {
		return c, nil
	}
	x := mat.NewDense(len(rows), len(asked.X[0]), nil)
	for k, i := range rows {
		x.SetRow(k, asked.X[i])
	}
	y, err := asker.Ask(ctx, x)
	spread := deviation(asked.Y)
	if fault.Is(err, fault.Budget) {
		return c, nil
	} else if err != nil {
		return c, err
	}
	c.asked = true
	for k, i := range rows {
		// Far out, what another order of sums does to a unit's argument grows with |x|.
		if by := y[k] - asked.Y[i]; math.Abs(by) > manySigmas*max(sigma, farRounding*spread*floats.Norm(asked.X[i], 2)) {
			c.rows, c.by, c.largest = append(c.rows, i), append(c.by, by), max(c.largest, math.Abs(by))
		}
	}
	return c, nil
}

// steadySign reports whether all are of one sign.
func steadySign(v []float64) bool {
	return slices.Min(v) > 0 || slices.Max(v) < 0
}
