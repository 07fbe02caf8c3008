package identify

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/steps"
)

// The second layer behind a first layer that steps have shown, whatever the activations of both.

// field is where f is asked when the first layer is known: its points are random.
type field interface {
	query.Asker
	Point() []float64
}

// pool hands out the points of a field and remembers the answers, so that every candidate for the second layer is compared with the same
// ones.
type pool struct {
	field
	points [][]float64
	known  map[float64]float64 // answers by the first coordinate
	next   int
}

func newPool(f field) *pool { return &pool{field: f, known: map[float64]float64{}} }

// Point returns the next point.
func (p *pool) Point() []float64 {
	if p.next == len(p.points) {
		p.points = append(p.points, p.field.Point())
	}
	p.next++
	return p.points[p.next-1]
}

// Ask asks what is not known yet.
func (p *pool) Ask(ctx context.Context, v *mat.Dense) ([]float64, error) {
	rows, columns := v.Dims()
	y := make([]float64, rows)
	var fresh []int
	for r := range rows {
		if _, ok := p.known[v.At(r, 0)]; !ok {
			fresh = append(fresh, r)
		}
	}
	if len(fresh) > 0 {
		asked := mat.NewDense(len(fresh), columns, nil)
		for k, r := range fresh {
			asked.SetRow(k, v.RawRowView(r))
		}
		answers, err := p.field.Ask(ctx, asked)
		if err != nil {
			return nil, err
		}
		for k, r := range fresh {
			p.known[v.At(r, 0)] = answers[k]
		}
	}
	for r := range rows {
		y[r] = p.known[v.At(r, 0)]
	}
	return y, nil
}

// normal returns f with limits -1 and 1 where it has limits, in which students arrive most often, and what it takes to get back.
func normal(f core.Function) (core.Function, network.Affine) {
	if n, a, ok := network.Normal(f); ok {
		return n, a
	}
	return f, network.Affine{Rate: 1, Scale: 1}
}

// behind finds the second layer when the first is known, among all candidates for it, and fits all parameters.
func (e *bends) behind(ctx context.Context, g Candidate, shapes []steps.Shape, candidates []Candidate) error {
	e.report.start("second layer")
	first, affine := normal(g.Function)
	units := slices.Clone(e.units)
	for i, s := range shapes {
		norm := math.Abs(s.Norm)
		shift := s.Shift / norm
		if facts := g.Function.Facts(); exponential(facts) { // the tails' rate is known better, and says nothing of the shift
			norm, shift = units[i].Decay/facts.Right.Rate, 0
		}
		units[i].Direction = floats.ScaleTo(make([]float64, len(units[i].Direction)), math.Copysign(1, s.Norm), units[i].Direction)
		units[i].Offset = math.Copysign(1, s.Norm)*units[i].Offset + shift
		units[i].Decay = norm * affine.Rate
	}
	middle, err := recover.NewMiddle(e.log, units, 1, rand.New(rand.NewPCG(e.rng.Uint64(), 0x6d6964646c65)))
	if err != nil {
		return err
	}
	e.local = len(e.log.Y)
	if k := slices.IndexFunc(candidates, func(c Candidate) bool { return c.Name == g.Name }); k > 0 { // the same as of the first is likeliest
		candidates = slices.Insert(slices.Delete(slices.Clone(candidates), k, k+1), 0, candidates[k])
	}
	tries := rounds(candidates)
	layer := known{first: first, middle: middle, shifted: !e.scales.Algebraic && !exponential(g.Function.Facts())}
	back := func(n *network.Network, h Candidate) error {
		n.RewriteFirst(affine.Inverse(), g.Name)
		_, secondAffine := normal(h.Function)
		n.RewriteSecond(secondAffine.Inverse(), h.Name)
		e.report.finish("%s, %d and %s, %d units", g.Name, n.First.Neurons(), h.Name, n.Second.Neurons())
		e.found, e.family, e.h = n, family{Candidate: g}, h
		return e.spreadAndFit(ctx, middle)
	}
	if len(candidates) == 0 || candidates[0].Name != g.Name && e.problem.Second == nil { // the first layer's has been tried
		tries = tries[:1]
	}
	if layer.shifted {
		err := e.inSpan(ctx, layer, candidates, tries, back)
		if err == nil || ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
			return err
		}
		e.report.progress(0, 0, 0, "%v", err)
	}
	return e.studentsOf(ctx, layer, candidates, tries, back)
}

// known is a first layer that is known but for its shifts, and those too where shifted says so.
type known struct {
	first   core.Function
	middle  *recover.Middle
	shifted bool
}

// Students of one candidate: at first, where there are others, and at most.
const (
	fewStarts  = 2
	mostStarts = 18
)

// rounds of students: a few of every candidate, then many.
func rounds(candidates []Candidate) []int {
	if len(candidates) == 1 {
		return []int{mostStarts}
	}
	return []int{fewStarts, mostStarts}
}

// studentsOf finds the second layer by students on the first.
func (e *bends) studentsOf(ctx context.Context, layer known, candidates []Candidate, tries []int, done func(*network.Network, Candidate) error) error {
	var last error
	answers := newPool(layer.middle)
	for _, starts := range tries {
		for _, h := range candidates {
			second, _ := normal(h.Function)
			answers.next = 0
			found, stats, err := local.Second(ctx, answers, len(e.units), layer.first, second, local.Settings{
				InputError: layer.middle.Error(), Point: answers.Point, M1: e.problem.M1, Noise: e.relativeNoise() * e.scales.Spread,
				Seed: e.settings.Seed, Starts: starts, Rough: e.scales.Algebraic, Shifted: layer.shifted,
				Observe: func(text string) { e.report.progress(0, 0, 0, "%s: %s", h.Name, text) },
			})
			if err == nil {
				e.margin = stats.Margin
				err = done(inInputs(found, layer.middle), h)
			}
			if err == nil || ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
				return err
			}
			last = err
		}
	}
	return last
}

// inSpan finds the second layer in the span of its weights, where it is all that there is.
func (e *bends) inSpan(ctx context.Context, layer known, candidates []Candidate, tries []int, done func(*network.Network, Candidate) error) error {
	span, err := recover.NewSpan(ctx, layer.middle, layer.first, e.scales.Noise, rand.New(rand.NewPCG(e.rng.Uint64(), 0x7370616e)))
	if err != nil {
		return err
	}
	e.local = len(e.log.Y) // the rows of differences lie too close to each other for the fit of all parameters
	m1 := span.Units()
	e.report.progress(0, 0, 0, "the second layer's weights span %d dimensions", m1)
	answers := newPool(span)
	var last error
	for _, starts := range tries {
		for _, h := range candidates {
			second, _ := normal(h.Function)
			answers.next = 0
			found, stats, err := local.Second(ctx, answers, m1, recover.Straight{}, second, local.Settings{
				InputError: math.Max(1e-9, 3*span.Error), Point: answers.Point, M1: m1, Noise: e.relativeNoise() * e.scales.Spread,
				Seed: e.settings.Seed, Starts: starts, Shifted: true,
				Observe: func(text string) { e.report.progress(0, 0, 0, "%s: %s", h.Name, text) },
			})
			if err == nil {
				e.margin = stats.Margin
				n := inInputs(lift(found, span.Basis), layer.middle)
				err = done(n, h)
			}
			if err == nil || ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
				return err
			}
			last = err
		}
	}
	return last
}

// lift returns the network n of coordinates q as one of the inputs of the second layer.
func lift(n *network.Network, basis *mat.Dense) *network.Network {
	m0, _ := basis.Dims()
	_, m1 := n.Sizes()
	whole := network.New(m0, m0, m1, "", "")
	for i := range m0 {
		whole.First.Weight.Set(i, i, 1)
	}
	whole.Second.Weight.Mul(n.Second.Weight, basis.T())
	whole.Second.Bias, whole.Output, whole.OutputBias = n.Second.Bias, n.Output, n.OutputBias
	return whole
}

// spreadAndFit asks as many answers more as the fit of all parameters takes, and fits them.
func (e *bends) spreadAndFit(ctx context.Context, middle *recover.Middle) error {
	if missing := int(spreadRows*float64(e.found.Parameters())) + 10 - (len(e.log.Y) - e.local); missing > 0 {
		points := mat.NewDense(missing, len(e.units), nil)
		for r := range missing {
			points.SetRow(r, middle.Point())
		}
		if _, err := middle.Ask(ctx, points); err != nil {
			return err
		}
	}
	e.scales.Spread = stat.PopStdDev(e.log.Y[e.local:], nil)
	e.noise = math.Hypot(e.relativeNoise(), 10*e.scales.Grid)
	return e.fitFrom(ctx, refine.Settings{Iterations: patience, Tolerance: 1e-4, Damping: 1e-9})
}
