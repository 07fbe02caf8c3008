// Package probe looks for what is wrong with a backend whose function could not be identified: answers that change when a
// point is asked again or in another batch, that are labels or jump, inputs that are clipped. It asks some fifty to a hundred points,
// and so is for runs that have failed: one that has succeeded has fresh answers to show for it.
package probe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
)

// Settings are where and how to look.
type Settings struct {
	Inputs int     // d
	Domain float64 // no query leaves |x|_inf <= Domain; 0: unbounded
	Seed   uint64
	Sure   bool // leave out what honest networks show too, if seldom: few different answers where all units are saturated
}

const (
	// points asked again and again.
	points = 8
	// rounding is how far answers to one point may be apart, of the largest of all answers: sums in another order, as
	// libraries for matrices take them for another number of rows, differ by that.
	rounding = 1e-12
	// farthest coordinate asked for where inputs are clipped.
	farthest = 1 << 20
)

// NotRepeatable begins the finding that answers to one point differ, as noise makes them do.
const NotRepeatable = "its answers are not repeatable"

type prober struct {
	asker    query.Asker
	settings Settings
	random   *rand.Rand
	x        *mat.Dense // points x d
	y        []float64  // answers to x, asked in one batch
	scale    float64    // the largest |y|
	findings []string
}

// Answers returns what it finds, a clause each that can follow a semicolon; none where nothing is wrong. A spent budget ends
// the search early, with what is found by then.
func Answers(ctx context.Context, asker query.Asker, settings Settings) ([]string, error) {
	p := &prober{asker: asker, settings: settings, random: rand.New(rand.NewPCG(settings.Seed, 0x70726f6265))}
	radius := 1.0
	if settings.Domain > 0 {
		radius = min(radius, settings.Domain)
	}
	p.x = mat.NewDense(points, settings.Inputs, nil)
	for i := range points {
		for k := range settings.Inputs {
			p.x.Set(i, k, radius*(2*p.random.Float64()-1))
		}
	}
	var err error
	for _, look := range []func(context.Context) (done bool, err error){p.repeat, p.kinds, p.axis} {
		done := false
		if done, err = look(ctx); done || err != nil {
			break
		}
	}
	if fault.Is(err, fault.Budget) {
		err = nil
	}
	return p.findings, err
}

func (p *prober) found(format string, args ...any) {
	p.findings = append(p.findings, fmt.Sprintf(format, args...))
}

// each asks rows one at a time.
func (p *prober) each(ctx context.Context, rows ...int) ([]float64, error) {
	y := make([]float64, 0, len(rows))
	for _, i := range rows {
		one, err := p.asker.Ask(ctx, p.x.Slice(i, i+1, 0, p.settings.Inputs).(*mat.Dense))
		if err != nil {
			return nil, err
		}
		y = append(y, one...)
	}
	return y, nil
}

// repeat asks the same points in one batch, in another order, alone, and alone again. What differs is told apart by which of
// these agree with each other.
func (p *prober) repeat(ctx context.Context) (done bool, err error) {
	if p.y, err = p.asker.Ask(ctx, p.x); err != nil {
		return false, err
	}
	order := make([]int, points)
	backwards := mat.NewDense(points, p.settings.Inputs, nil)
	for i := range order {
		order[i] = i
		backwards.SetRow(points-1-i, p.x.RawRowView(i))
	}
	reversed, err := p.asker.Ask(ctx, backwards)
	if err != nil {
		return false, err
	}
	slices.Reverse(reversed)
	alone, err := p.each(ctx, order...)
	if err != nil {
		return false, err
	}
	again, err := p.each(ctx, order...)
	if err != nil {
		return false, err
	}
	for _, v := range p.y {
		p.scale = max(p.scale, math.Abs(v))
	}
	tolerance := rounding * p.scale
	inTime, inBatch := difference(again, alone), max(difference(alone, p.y), difference(reversed, p.y))
	switch {
	case inTime > tolerance && steady(again, alone):
		p.found("its answers drift: the same %d points, asked again one by one, had answers that are all %s, by %.1e on average", points, direction(again, alone), math.Abs(mean(again)-mean(alone)))
	case inTime > tolerance:
		p.found(NotRepeatable+": the same point, asked twice in the same way, was answered differently, by up to %.1e (answers are up to %.1e)", inTime, p.scale)
	case inBatch > tolerance:
		p.found("its answers depend on the batch: a point asked among others is answered differently than alone, by up to %.1e (answers are up to %.1e), and the same each time", inBatch, p.scale)
	default:
		return false, nil
	}
	return true, nil // whatever else it seems to be, it isn't a function
}

func difference(a, b []float64) float64 {
	largest := 0.0
	for i := range a {
		largest = max(largest, math.Abs(a[i]-b[i]))
	}
	return largest
}

// steady reports whether all differences are of one sign, which chance makes one time in 2^7, and of about one size.
func steady(a, b []float64) bool {
	least, most := math.Inf(1), math.Inf(-1)
	for i := range a {
		least, most = min(least, a[i]-b[i]), max(most, a[i]-b[i])
	}
	return least*most > 0 && max(math.Abs(least), math.Abs(most)) < 2*min(math.Abs(least), math.Abs(most))
}

func direction(later, before []float64) string {
	if later[0] > before[0] {
		return "higher"
	}
	return "lower"
}

func mean(y []float64) float64 {
	sum := 0.0
	for _, v := range y {
		sum += v
	}
	return sum / float64(len(y))
}

// kinds looks at what the answers are, without asking more.
func (p *prober) kinds(context.Context) (done bool, err error) {
	distinct := map[float64]bool{}
	whole := true
	for _, v := range p.y {
		distinct[v] = true
		whole = whole && v == math.Trunc(v)
	}
	switch {
	case whole:
		p.found("its answers are whole numbers at all of %d random points: labels or counts, it seems, not values", points)
		return true, nil
	case len(distinct) <= points/2 && !p.settings.Sure:
		p.found("it has only %d different answers at %d random points: classes, it seems, or a function of steps", len(distinct), points)
	}
	return false, nil
}

// axis goes along one coordinate until f does not change any more, and looks at the last place where it does: a network's
// layers fade out there, clipped inputs stop in the middle of a slope, and trees jump.
func (p *prober) axis(ctx context.Context) (done bool, err error) {
	far := float64(farthest)
	if p.settings.Domain > 0 {
		far = min(far, p.settings.Domain)
	}
	type kink struct {
		axis int
		at   float64
	}
	var kinks []kink
	for _, k := range p.random.Perm(p.settings.Inputs)[:min(3, p.settings.Inputs)] {
		at := func(t float64) (float64, error) {
			x := mat.DenseCopyOf(p.x.Slice(0, 1, 0, p.settings.Inputs))
			x.Set(0, k, t)
			y, err := p.asker.Ask(ctx, x)
			if err != nil {
				return 0, err
			}
			return y[0], nil
		}
		end, err := at(far)
		if err != nil {
			return false, err
		}
		middle, err := at(far / 2)
		if err != nil {
			return false, err
		}
		if middle != end {
			continue // it has not come to rest, or there are no bounds to be found in the domain
		}
		// f(low) != f(far) = f(high), to the bit; geometrically down to 1, then by halves.
		high := far / 2
		low := 0.0
		for t := high / 4; t >= 1; t /= 4 {
			y, err := at(t)
			if err != nil {
				return false, err
			}
			if y != end {
				low = t
				break
			}
			high = t
		}
		if low == 0 {
			y, err := at(0)
			if err != nil {
				return false, err
			}
			if y == end {
				continue // f does not depend on this coordinate here
			}
		}
		for range 40 {
			t := (low + high) / 2
			if high-low < 1e-6*high {
				break
			}
			y, err := at(t)
			if err != nil {
				return false, err
			}
			if y == end {
				high = t
			} else {
				low = t
			}
		}
		// Two steps before the rest, of 0.1 and 1 % of the way: f changes by as much as the slope, the jump or the tail has it.
		near, err := at(high * (1 - 1e-3))
		if err != nil {
			return false, err
		}
		next, err := at(high * (1 - 1e-2))
		if err != nil {
			return false, err
		}
		last, err := at(low)
		if err != nil {
			return false, err
		}
		a, b := math.Abs(near-end), math.Abs(next-end)
		switch {
		case math.Abs(last-end) > 1e-3*p.scale && math.Abs(last-end) > 0.5*a:
			p.found("it jumps at x_%d = %.6g, by %.1e, and is constant beyond: a function of steps, such as a tree's, or labels", k+1, high, math.Abs(last-end))
			return true, nil
		case a > 1e-6*p.scale && b > 5*a && b < 20*a:
			kinks = append(kinks, kink{k + 1, high})
		}
	}
	switch {
	case len(kinks) > 1 && math.Abs(kinks[0].at/kinks[1].at-1) < 1e-3:
		p.found("it stops changing all of a sudden at x_%d = %.6g and x_%d = %.6g, in the middle of a slope: inputs beyond that are clipped, it seems; ask within it with --domain",
			kinks[0].axis, kinks[0].at, kinks[1].axis, kinks[1].at)
	case len(kinks) > 0:
		p.found("it stops changing all of a sudden at x_%d = %.6g, in the middle of a slope: it has units with a kink, such as ReLU, or inputs beyond that are clipped", kinks[0].axis, kinks[0].at)
	}
	return len(kinks) > 0, nil
}
