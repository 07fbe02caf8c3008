// Package local identifies networks from answers near the origin, where all units are alive: for inputs whose domain
// is bounded so tightly that no unit can be isolated far out, and for activations that do not saturate.
//
// A student with more units of both layers than can be needed is fitted to answers at random points; then units that
// the others can replace are removed one by one until none is left to remove, which also counts m0 and m1. Students
// with spare units nearly always arrive, students of the right size seldom do: spare units turn local minima into
// saddles (Simsek et al., arXiv 2105.12221; Martinelli et al., "Expand-and-Cluster", arXiv 2304.12794).
package local

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/gram"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
)

// Settings say what is known. The zero value is the default.
type Settings struct {
	Domain float64 // no query leaves |x|_inf <= Domain; 0 when unbounded
	M0, M1 int     // sizes of the hidden layers; 0 when not known
	Noise  float64 // standard deviation of an answer's error; 0 means rounding alone
	Starts int     // most students; default 24
	// Parameters is the most that a student of [Start] may have: the time of a fit grows with their cube. Default 4000.
	Parameters int
	// Units is how many units of the second layer the first students of [Second] have, where M1 is not known; 0: as many as networks of that many inputs commonly take.
	Units int
	// FirstLayer says that input i is, but for its shift and up to a few percent of its scale, the pre-activation of unit i of
	// the first layer: students start from there, without spare units in it.
	FirstLayer bool
	// InputError is the root mean square error of the inputs, for [Second]: what the errors of the first layer's weights leave.
	InputError float64
	// Spare says that the inputs of [Second] are known but for their scales, too, and that the units of a student that has come close are to be
	// left as they are, spare ones too: for [Shrink].
	Spare bool
	// Rough says, for [Second], that the inputs' scales are known to some percent only: they are fitted from the start.
	Rough bool
	// Twice says, for [Second], that an input may be that of two units with parallel weights, which are one unit from far out: students have two for each.
	Twice bool
	// Shifted says, for [Second], that the inputs are the pre-activations with their shifts: nothing of the first layer is fitted.
	Shifted bool
	// Awake is told, by [Second], of a student that explains most answers, pruned to the units that these need: what is left may be due to units that sleep at nearly
	// all points. It returns whether that is so, and the search at its end. Nil: not asked.
	Awake func(n *network.Network) (done bool, err error)
	// Close is told, by [Second] with Spare, of a student that has come close. It returns whether that one will do, and the search is at its end. Nil: the first one does.
	Close func(n *network.Network) (done bool, err error)
	// Point draws a random input; nil draws from the box. [Second] needs it.
	Point func() []float64
	Seed  uint64
	// Name of the activation of both layers, for the network that is returned.
	Activation string
	Observe    func(text string) // told of every start and its outcome; may be nil
	Trace      func(format string, args ...any)
}

// search is one identification.
type search struct {
	oracle   *counted
	d        int
	g, h     core.Function
	settings Settings
	rng      *rand.Rand

	basis   *mat.Dense // d x r, orthonormal columns that span the a_i; nil when r = d
	r       int
	radius  float64 // points lie in |x|_inf <= radius
	norm    float64 // of the students' first-layer weights
	widened int     // times that the radius was raised
	frozen  bool    // the weights of the first layer stay as they are
	scales  bool    // but for each unit's only one
	shifted bool    // all of the first layer stays as it is
	twice   bool    // it has two units for each input

	w [][]float64 // the points' coordinates in the basis
	y []float64

	variance      float64 // of y
	target, exact float64 // losses: at which a fit ends; at which a student counts as arrived
	rounding      float64 // the latter, were the inputs without error
	margin        float64 // of the last pruning
}

// counted refuses points outside of the domain: a query there would be a defect of this package.
type counted struct {
	query.Asker
	domain float64
}

func (c *counted) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if c.domain > 0 {
		for _, v := range x.RawMatrix().Data {
			if math.Abs(v) > c.domain {
				return nil, fault.New(fault.Internal, "a query at |x|_inf = %g would leave the domain %g", math.Abs(v), c.domain)
			}
		}
	}
	y, err := c.Asker.Ask(ctx, x)
	if err != nil {
		return nil, err
	}
	for _, v := range y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fault.New(fault.Oracle, "the oracle answered %g", v)
		}
	}
	return y, nil
}

// Statistics of a search.
type Statistics struct {
	// Margin is what the loss of the best network with a unit less was, over the largest loss that noise explains: near
	// one, the sizes are uncertain.
	Margin float64
}

// Start returns a network that agrees with the oracle to rounding, or to its noise, at fresh points of the domain. The
// error is [fault.Unsupported] when none was found.
func Start(ctx context.Context, oracle query.Asker, d int, g, h core.Function, settings Settings) (*network.Network, Statistics, error) {
	if settings.Starts == 0 {
		settings.Starts = 24
	}
	if settings.Parameters == 0 {
		settings.Parameters = mostParameters
	}
	s := &search{
		oracle: &counted{oracle, settings.Domain}, d: d, g: g, h: h, settings: settings,
		rng: rand.New(rand.NewPCG(settings.Seed, 0x6c6f63616c)), r: d,
	}
	if err := s.measure(ctx); err != nil {
		return nil, Statistics{}, err
	}
	if err := s.reduce(ctx); err != nil {
		return nil, Statistics{}, err
	}
	n, err := s.run(ctx)
	return n, Statistics{Margin: s.margin}, err
}

// observe tells of a start and how far its student got.
func (s *search) observe(start int, n *network.Network, loss float64) {
	if s.settings.Observe != nil {
		k0, k1 := n.Sizes()
		s.settings.Observe(fmt.Sprintf("student %d of at most %d: %d + %d units leave %.1e of the spread", start+1, s.settings.Starts, k0, k1, math.Sqrt(loss/s.variance)))
	}
}

func (s *search) trace(format string, args ...any) {
	if s.settings.Trace != nil {
		s.settings.Trace(format, args...)
	}
}

// sizes of the student at the given start: half as many units again as there are, or as there can be without more
// units than inputs. Where the students do not arrive they grow.
func (s *search) sizes(stage int) (k0, k1 int) {
	m0 := s.settings.M0
	if m0 == 0 {
		m0 = s.r
	}
	m1 := s.settings.M1
	if m1 == 0 {
		m1 = max(3, int(math.Ceil(0.26*float64(m0))))
	}
	grown := math.Pow(1.4, float64(stage))
	k0 = int(math.Ceil(1.5 * float64(m0)))
	if s.settings.M0 == 0 && stage > 1 {
		k0 = int(float64(k0) * math.Pow(1.2, float64(stage-1)))
	}
	if s.settings.FirstLayer {
		k0 = s.r
	}
	k1 = max(m1+2, int(math.Ceil(1.5*float64(m1))))
	if s.settings.M1 == 0 {
		k1 = int(float64(k1) * grown)
	}
	return k0, k1
}

// canyon is the loss, as a fraction of the variance, below which a student that has not arrived is held up by its spare
// units rather than by a radius so small that other networks look alike.
const canyon = 1e-9

// rows asked for each parameter of the student. With two, a start in three arrives; with three, nearly all do.
const rows = 3

// mostParameters of a student: the time of a fit grows with their cube, and is minutes there.
const mostParameters = 4000

// starts of a stage: after so many failures the students grow.
const starts = 6

// run fits students until one arrives.
func (s *search) run(ctx context.Context) (*network.Network, error) {
	best, nearest := math.Inf(1), math.Inf(1) // losses, of all students and of this stage's
	var wide *network.Network                 // agrees with the oracle, but has more units than inputs
	wides := 0
	for start := range s.settings.Starts {
		if start > 0 && start%starts == 0 {
			s.adjust(nearest)
			nearest = math.Inf(1)
		}
		k0, k1 := s.sizes(start / starts)
		size := network.Parameters(s.r, k0, k1)
		if size > s.settings.Parameters {
			return nil, fault.New(fault.Unsupported, "a student for %d inputs has %d parameters, more than can be fitted in reasonable time (%d)", s.r, size, s.settings.Parameters)
		}
		if err := s.more(ctx, rows*size-len(s.y)); err != nil {
			return nil, err
		}
		data := s.data()
		student := s.student(k0, k1, data)
		n, loss, err := s.fit(ctx, student, data, fitSettings{iterations: 200, target: math.Max(s.enough(), leapFrom*s.variance), patience: 8, gain: 1e-3, damping: 1e-2})
		if err != nil {
			return nil, err
		}
		if loss <= leapFrom*s.variance && loss > s.exact {
			if n, loss, err = s.leap(ctx, n, loss, data); err != nil {
				return nil, err
			}
		}
		nearest = math.Min(nearest, loss)
		s.observe(start, n, loss)
		s.trace("  start %d: %d, %d units, loss %.1e of the variance", start, k0, k1, loss/s.variance)
		if loss > 1e-6*s.variance && loss > s.exact {
			best = math.Min(best, loss)
			continue
		}
		// What was learnt further out helps this student alone: others would meet local minima there.
		count, radius := len(s.y), s.radius
		if loss > canyon*s.variance {
			n, loss, err = s.widen(ctx, n, loss)
			if err != nil {
				return nil, err
			}
		}
		if n, loss, err = s.sharpen(ctx, n, loss); err != nil {
			return nil, err
		}
		data = s.data()
		if loss <= s.exact {
			for _, layer := range []int{1, 0} {
				if n, loss, err = s.pruneMany(ctx, n, layer, loss, data); err != nil {
					return nil, err
				}
			}
		}
		n, loss, err = s.prune(ctx, n, loss, data)
		if err != nil {
			return nil, err
		}
		if loss > s.exact {
			n, loss, err = s.fit(ctx, n, data, fitSettings{iterations: 200, target: s.target, patience: 8, gain: 1e-2, damping: 1e-5})
			if err != nil {
				return nil, err
			}
			n, loss, err = s.widen(ctx, n, loss)
			if err != nil {
				return nil, err
			}
			data = s.data()
			if loss <= s.exact {
				n, loss, err = s.prune(ctx, n, loss, data)
				if err != nil {
					return nil, err
				}
			}
		}
		if loss <= s.exact {
			n, loss, err = s.unflip(ctx, n, loss, data)
			if err != nil {
				return nil, err
			}
		}
		best = math.Min(best, loss)
		m0, m1 := n.Sizes()
		s.trace("  start %d: pruned to %d, %d units, loss %.1e of the variance", start, m0, m1, loss/s.variance)
		if loss > s.exact {
			s.w, s.y, s.radius = s.w[:count:count], s.y[:count:count], radius
			continue
		}
		full, ok, err := s.finish(ctx, n)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		// More units than inputs are seldom the truth: three units on one line, say, can stand for one and a linear
		// function where g(t) - g(-t) is linear. Another student may do with fewer.
		if m0 <= s.r || m0 <= s.settings.M0 {
			return full, nil
		}
		if wide == nil || m0 < wide.First.Neurons() {
			wide = full
		}
		if wides++; wides == 3 {
			break
		}
	}
	if wide != nil {
		return wide, nil
	}
	return nil, fault.New(fault.Unsupported, "no network could be found that explains the answers: the best of %d students leaves %.1e of their variance", s.settings.Starts, best/s.variance)
}

// adjust changes the radius after a stage without success whose best student was left with the given loss: inwards where
// all met local minima, outwards where they came close.
func (s *search) adjust(nearest float64) {
	if nearest > 1e-5*s.variance {
		s.radius /= 1.5
	} else {
		s.radius *= 1.5
		if s.settings.Domain > 0 {
			s.radius = math.Min(s.radius, s.settings.Domain)
		}
	}
	s.w, s.y = nil, nil
	s.trace("  radius %.3g", s.radius)
}

// widen asks further out, as long as the student has come close without arriving: there it can be told from its
// neighbours, and having come close it no longer meets local minima.
func (s *search) widen(ctx context.Context, n *network.Network, loss float64) (*network.Network, float64, error) {
	for s.widened < 10 && loss > s.exact && loss < 1e-6*s.variance && (s.settings.Domain == 0 || s.radius < s.settings.Domain) {
		s.widened++
		s.radius *= 1.5
		if s.settings.Domain > 0 {
			s.radius = math.Min(s.radius, s.settings.Domain)
		}
		if err := s.more(ctx, n.Parameters()); err != nil {
			return n, loss, err
		}
		wider, l, err := s.fit(ctx, n, s.data(), fitSettings{iterations: 80, target: s.target, patience: 5, gain: 1e-2, damping: 1e-4})
		if err != nil {
			return n, loss, err
		}
		s.trace("    radius %.3g: loss %.1e of the variance", s.radius, l/s.variance)
		n = wider
		if l > 0.5*loss {
			return n, l, nil
		}
		loss = l
	}
	return n, loss, nil
}

// sharpen asks further out, and more, when the answers are so noisy that near the origin units hide in the noise: a student
// that has arrived keeps to its network there, and then pruning sees which of its units are needed.
func (s *search) sharpen(ctx context.Context, n *network.Network, loss float64) (*network.Network, float64, error) {
	noise := s.settings.Noise / math.Sqrt(s.variance)
	if loss > s.exact || noise < sharpenFrom {
		return n, loss, nil
	}
	times := 2 + int(math.Log10(noise/sharpenFrom)/2)
	for range times {
		if s.settings.Domain == 0 || s.radius < s.settings.Domain {
			s.radius *= 1.5
			if s.settings.Domain > 0 {
				s.radius = math.Min(s.radius, s.settings.Domain)
			}
		}
		if err := s.more(ctx, rows*n.Parameters()); err != nil {
			return n, loss, err
		}
		wider, l, err := s.fit(ctx, n, s.data(), fitSettings{iterations: 80, target: s.target, patience: 5, gain: 1e-2, damping: 1e-4})
		if err != nil {
			return n, loss, err
		}
		s.trace("    sharpened at radius %.3g: loss %.1e of the variance", s.radius, l/s.variance)
		n, loss = wider, l
		if l > s.exact {
			return n, loss, nil
		}
	}
	// A student with spare units leaves what is noise, less what its parameters took up.
	count := float64(len(s.y))
	s.exact = math.Min(s.exact, loss/(1-float64(n.Parameters())/count)*(1+5*math.Sqrt(2/count)))
	s.target = 0.5 * loss // fits are to go to the end
	return n, loss, nil
}

// sharpenFrom is the noise, relative to the spread of the answers, from which students are sharpened.
const sharpenFrom = 1e-7

// steepest is how much steeper the second of two units of one input starts at most.
const steepest = 4.0

// student returns random units, with the output weights that fit best.
func (s *search) student(k0, k1 int, data refine.Data) *network.Network {
	n := network.New(s.r, k0, k1, s.settings.Activation, s.settings.Activation)
	for i := range k0 {
		a := sample.Direction(s.rng, s.r)
		floats.Scale(s.norm, a)
		shift := 0.3 * s.rng.NormFloat64()
		if s.settings.FirstLayer {
			clear(a)
			a[i%s.r] = 1
			if s.twice {
				shift = s.rng.NormFloat64()
			}
			if i >= s.r { // from far out the one with the slower tails shows: the other may be steeper
				a[i%s.r] = math.Pow(steepest, s.rng.Float64())
			}
		}
		n.First.Weight.SetRow(i, a)
		if !s.shifted {
			n.First.Bias[i] = shift
		}
	}
	for l := range k1 {
		n.Second.Weight.SetRow(l, sample.Direction(s.rng, k0))
		n.Second.Bias[l] = 0.3 * s.rng.NormFloat64()
	}
	out := layer(layer(data.X, n.First, s.g), n.Second, s.h)
	count, _ := out.Dims()
	full := mat.NewDense(count, k1+1, nil)
	for r := range count {
		copy(full.RawRowView(r), out.RawRowView(r))
		full.Set(r, k1, 1)
	}
	products := mat.NewSymDense(k1+1, nil)
	products.SymOuterK(1, full.T())
	ridge := 1e-6 * mat.Trace(products) / float64(k1+1)
	for i := range k1 + 1 {
		products.SetSym(i, i, products.At(i, i)+ridge)
	}
	c := make([]float64, k1+1)
	transposed(full, data.Y, c)
	if gram.Cholesky(products.RawSymmetric()) {
		gram.Solve(products.RawSymmetric(), c)
		copy(n.Output, c)
		n.OutputBias = c[k1]
	}
	return n
}

// fit fits n, all but what is frozen.
func (s *search) fit(ctx context.Context, n *network.Network, data refine.Data, effort fitSettings) (*network.Network, float64, error) {
	effort.frozen, effort.scales, effort.shifted = s.frozen, s.scales, s.shifted
	return fit(ctx, n, s.g, s.h, data, effort)
}

// finish lifts a student that arrived to all inputs, polishes it and compares it with the oracle at fresh points.
func (s *search) finish(ctx context.Context, n *network.Network) (*network.Network, bool, error) {
	const fresh = 40
	data := s.data()
	full := n
	if s.basis != nil {
		m0, m1 := n.Sizes()
		full = network.New(s.d, m0, m1, n.First.Activation, n.Second.Activation)
		full.First.Weight.Mul(n.First.Weight, s.basis.T())
		copy(full.First.Bias, n.First.Bias)
		full.Second, full.Output, full.OutputBias = n.Second, n.Output, n.OutputBias
		// The span is known to the accuracy of its finite differences only.
		points := make([][]float64, int(1.3*float64(full.Parameters()))+10)
		for k := range points {
			points[k] = s.box()
		}
		y, err := sample.Points(ctx, s.oracle, points)
		if err != nil {
			return nil, false, err
		}
		x := mat.NewDense(len(points), s.d, nil)
		for k, p := range points {
			x.SetRow(k, p)
		}
		data = refine.Data{X: x, Y: y}
	}
	full, _, err := refine.Levenberg(ctx, full, s.g, s.h, data, refine.Settings{Iterations: 20, Damping: 1e-9, Tolerance: 0.05})
	if err != nil {
		return nil, false, err
	}
	points := make([][]float64, fresh)
	x := mat.NewDense(fresh, s.d, nil)
	for k := range points {
		points[k] = s.box()
		x.SetRow(k, points[k])
	}
	y, err := sample.Points(ctx, s.oracle, points)
	if err != nil {
		return nil, false, err
	}
	wrap(full, s.g, s.h)
	loss := refine.Loss(full, s.g, s.h, refine.Data{X: x, Y: y}) / fresh
	s.trace("  fresh points: loss %.1e of the variance", loss/s.variance)
	return full, loss <= 10*s.exact, nil
}
