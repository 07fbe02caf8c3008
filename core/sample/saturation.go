package sample

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
)

// Unit is a first-layer unit as saturation sampling sees it: its hyperplane and how fast its tails decay.
type Unit struct {
	Direction []float64 // +-a_i / |a_i|, d entries
	Offset    float64   // the steep part of the step lies on Direction . x + Offset = 0: theta_i / |a_i| up to O(1/|a_i|)
	// Decay is the rate k |a_i| at which the step's tails decay along Direction, where k is the activation's own rate.
	Decay float64
	// Misfit is what the tails leave unexplained at that rate: the sum of the squared relative residuals. It is 1e-12 and less where the tails are clean.
	Misfit      float64
	Error       float64 // estimated error of Direction (radians), from noise and from the grid of x
	OffsetError float64 // estimated error of Offset: what that of Direction makes of the distance at which the step was met
	Width       float64 // distance along Direction over which f is nearly straight at the step
	// Profile is the step across the hyperplane, for activations to be compared with; nil where Explain was not set.
	Profile *Profile
}

// SaturationSettings are the knobs of [Saturate]; the zero value is the default.
type SaturationSettings struct {
	Units int    // stop when this many units are found; 0 when not known
	Quiet int    // lines in a row that bring nothing new before the search ends; default 2
	Lines int    // most lines; default 60
	Known []Unit // found earlier; the search goes on from them
	// Explain fits what may explain a step to it and returns the sum of squared relative misfits. With it, steps need not have
	// exponential tails; without, they must.
	Explain func(*Profile) float64
	// Told reports whether what was explained so far leaves no doubt of the activation: then a step is to have clean tails, and no more places of it are asked
	// for an activation to explain it. May be nil.
	Told func() bool
	// Doubt is called where the first steps that were looked into cannot be those of a unit, or run along the axes: they cost hundreds of queries each, and may
	// be due to something else, such as inputs that are clipped. An error ends the search; may be nil.
	Doubt   func(ctx context.Context) error
	Observe func(lines, found int)
}

// firstSteps is how many steps that are no unit's, before any that is one, raise doubts.
const firstSteps = 2

// mostFruitless is how many lines in a row may show steps that cannot be used before the search gives up on them.
const mostFruitless = 6

// saturation is one search.
type saturation struct {
	oracle   query.Asker
	d        int
	scales   Scales
	rng      *rand.Rand
	radius   float64 // distance of the lines from the center
	found    []Unit
	settings SaturationSettings
	useless  int // steps that were no unit's, before any was found
	readings int // of each displacement at a step that noise blurs, at most
	crossed  int // known hyperplanes that lines met, and at how many of them f changed
	seen     int
}

// Saturate finds the hyperplanes of the first-layer units, and how fast their steps decay, from far out.
func Saturate(ctx context.Context, oracle query.Asker, d int, scales Scales, rng *rand.Rand, settings SaturationSettings) ([]Unit, error) {
	if settings.Quiet == 0 {
		settings.Quiet = 2
		if scales.noisy() {
			settings.Quiet = 10
		}
	}
	if settings.Lines == 0 {
		settings.Lines = 60
	}
	s := &saturation{oracle: oracle, d: d, scales: scales, rng: rng, radius: distance(&scales) * scales.Saturation, settings: settings, found: slices.Clone(settings.Known), readings: 1}
	if scales.Algebraic {
		if settings.Explain == nil {
			return nil, fault.New(fault.Unsupported, "f approaches its limits far out like a power of 1/|x|: no activation with exponential tails does")
		}
		s.radius = AlgebraicRadius * scales.Saturation
	}
	quiet, fruitless, sloping, crawling := 0, 0, 0, 0
	for lines := 1; lines <= settings.Lines && quiet < s.quiet(); lines++ {
		near := s.radius
		if quiet > 0 && !s.scales.noisy() && !s.scales.Algebraic {
			s.radius *= farther
		}
		fresh, impure, slow, err := s.line(ctx, s.random())
		s.radius = near
		if err == nil && fresh+impure+slow == 0 && s.scales.noisy() {
			fresh, err = s.across(ctx)
		}
		if fault.Is(err, fault.Unsupported) && sloping+1 < mostSloping {
			sloping++
			continue
		}
		if err != nil {
			return s.found, err
		}
		sloping = 0
		if settings.Observe != nil {
			settings.Observe(lines, len(s.found))
		}
		if fresh == 0 && s.scales.noisy() && s.readings < mostReadings { // what is left is faint
			s.readings *= 2
		}
		if settings.Units > 0 && len(s.found) >= settings.Units {
			break
		}
		switch {
		case fresh > 0:
			quiet = 0
			fruitless = 0
		case impure > 0 && fruitless < mostFruitless: // steps too close to each other: look from further away
			s.radius *= 2
			fruitless++
		case slow > 0 && crawling < mostCrawling: // says nothing of what else there is
			crawling++
		default:
			quiet++
		}
	}
	return unmixed(s.found), nil
}

// quiet is how many lines in a row are to bring nothing new before the search ends. Where the second layer is saturated on most sides f changes at few of the hyperplanes
// that a line meets: at how few of those that are known tells how many lines it takes for another one to be seen.
func (s *saturation) quiet() int {
	if s.noisy() || s.scales.Algebraic || s.crossed < fewCrossed {
		return s.settings.Quiet
	}
	seen := math.Max(float64(s.seen), 1) / float64(s.crossed)
	return min(max(s.settings.Quiet, int(math.Ceil(math.Log(missed)/math.Log1p(-lineMeets*seen)))), mostQuiet)
}

// A line meets a hyperplane with the probability lineMeets, and a unit is to be missed with that of missed at most.
const (
	lineMeets  = 0.96
	missed     = 1e-2
	fewCrossed = 20 // too few to tell
	mostQuiet  = 20
)

// farther is how many times as far out as others the lines are that follow one that brought nothing: the step of a unit with nearly the same weights as a known one hides behind
// that one's nearer the center, and apart from that such lines cost two answers for each step.
const farther = 16

// mostSloping is how many lines in a row f may change nearly everywhere on: one may run along a unit's hyperplane, so that it takes
// the whole line to cross it.
const mostSloping = 3

// mostCrawling is how many lines that bring nothing do not count as quiet because they cross a step too slowly for it to be looked into.
const mostCrawling = 6

// A step tells of a unit up to that error of the direction, in radians, and that of the offset, in widths of the step: where noise is a large part of a small step, nothing is left of it,
// what is so uncertain would be taken for all that other lines meet, and a unit whose offset is unknown is not found in the middle.
const (
	mostBlurred = 1e-2
	mostOff     = 20
)

// distance is how far out the lines are, in saturation radii: far enough for the steps to be apart, and near enough for a backend that
// rounds x to single precision, of whose grid a step must be many widths.
func distance(scales *Scales) float64 {
	if scales.Single() {
		return 16
	}
	return 30
}

// tolerance is the change of f that is more than its noise.
func (s *saturation) tolerance() float64 {
	if s.loud() { // a larger part of what there is to see
		return 8 * s.scales.Noise
	}
	return 20 * s.scales.Noise
}

// loudNoise is the noise, relative to the spread of f, from which steps may drown in it.
const loudNoise = 1e-6

func (s *saturation) loud() bool { return s.scales.Noise > loudNoise*s.scales.Spread }

// faint is the change of f over a piece of a step from which on it can be followed.
func (s *saturation) faint() float64 {
	switch {
	case s.readings > 1:
		return 1.5 * s.tolerance()
	case s.loud():
		return 5 * s.tolerance()
	}
	return 16 * s.tolerance()
}

// Algebraic tails reach everywhere: a step at the distance D adds a slope of some 1/D^2. So lines run farther out, as far as the grid of x
// allows, and steps count from algebraicLeast of the spread of f on, where the tails of known ones are less than that.
const (
	AlgebraicRadius = 3000 // of the lines, in terms of [Scales.Saturation]
	algebraicLeast  = 1e-3
)

// How finely steps are looked for, in saturation radii. A unit with small weights has a step of many times the finest width: where noise does not blur it, it
// is not divided further than into wideParts pieces of at most widePieces.
const (
	finest     = 1.0 / 16
	slowFrom   = 8 * finest
	widePieces = 64 * finest
	wideParts  = 8
)

// fineness is how far the changes of f along a line are followed.
func (s *saturation) fineness() fineness {
	radius := s.scales.Saturation
	switch {
	case s.scales.Algebraic:
		return fineness{change: algebraicLeast * s.scales.Spread, width: radius / 2, slow: 4 * radius}
	case s.noisy():
		return fineness{change: s.tolerance(), width: finest * radius, slow: slowFrom * radius}
	}
	return fineness{change: s.tolerance(), width: finest * radius, slow: widePieces * radius, parts: wideParts}
}

// random returns a random line as far out as lines are.
func (s *saturation) random() line {
	return line{Origin: along(s.scales.Center, s.radius, Direction(s.rng, s.d)), Direction: Direction(s.rng, s.d)}
}

// acrossLines is how many lines across all known units follow one that brought nothing, as long as they bring nothing either.
const acrossLines = 8

// across searches lines along which no known unit changes, where there are fewer of them than inputs: a line costs two answers if it meets nothing new, so that many can be tried, each with
// the known units saturated on other sides. A step shows only on those sides on which the second layer is not saturated, and noise hides it elsewhere.
func (s *saturation) across(ctx context.Context) (fresh int, err error) {
	m := len(s.found)
	if m == 0 || m >= s.d || s.scales.Algebraic {
		return 0, nil
	}
	directions := mat.NewDense(m, s.d, nil)
	for i, u := range s.found {
		directions.SetRow(i, u.Direction)
	}
	var svd mat.SVD
	if !svd.Factorize(directions, mat.SVDThin) {
		return 0, nil
	}
	var v mat.Dense
	svd.VTo(&v)
	away := func() []float64 { // a random direction that no known unit sees
		w := mat.NewVecDense(s.d, Direction(s.rng, s.d))
		var seen, back mat.VecDense
		seen.MulVec(v.T(), w)
		back.MulVec(&v, &seen)
		w.SubVec(w, &back)
		floats.Scale(1/mat.Norm(w, 2), w.RawVector().Data)
		return w.RawVector().Data
	}
	for range acrossLines {
		sides := mat.NewVecDense(m, nil)
		for i, u := range s.found {
			sides.SetVec(i, s.radius*float64(1-2*s.rng.IntN(2))-u.Offset)
		}
		var origin mat.VecDense
		if svd.SolveVecTo(&origin, sides, svd.Rank(acrossRank)); !(mat.Norm(&origin, 2) <= s.radius/acrossRank) {
			continue
		}
		got, _, _, err := s.line(ctx, line{Origin: along(origin.RawVector().Data, s.radius, away()), Direction: away()})
		if err != nil && !fault.Is(err, fault.Unsupported) {
			return fresh, err
		}
		if fresh += got; got > 0 {
			break // the others are to cross that one neither
		}
	}
	return fresh, nil
}

// acrossRank is the singular value of the known directions, over the largest, below which they count as dependent: no place is asked that is farther out by more than its inverse.
const acrossRank = 0.03

// line searches a line; it returns how many units it brought, how many steps could not be used, and how many say nothing: it
// crosses them too slowly, or noise blurs them.
func (s *saturation) line(ctx context.Context, l line) (fresh, impure, slow int, err error) {
	pieces, err := s.unexplained(ctx, l)
	if err != nil {
		return 0, 0, 0, err
	}
	groups, slow, err := l.changes(ctx, s.oracle, pieces, s.fineness())
	if err == nil && len(groups) == 0 && len(s.found) == 0 { // an even function is the same at both ends
		if pieces, err = s.divided(ctx, l, pieces); err == nil {
			groups, slow, err = l.changes(ctx, s.oracle, pieces, s.fineness())
		}
	}
	if err != nil || len(groups) == 0 {
		return 0, 0, slow, err
	}
	groups, impure = whole(groups, pieces)
	cores, err := l.straighten(ctx, s.oracle, groups, s.faint())
	if err != nil {
		return 0, impure, slow, err
	}
	for _, c := range cores {
		if c.half == 0 {
			continue
		}
		unit, ok, err := s.unit(ctx, l, c)
		if err != nil {
			return fresh, impure, slow, err
		}
		switch {
		case !ok:
			impure++
			if err := s.doubt(ctx); err != nil {
				return fresh, impure, slow, err
			}
		case unit.Error > mostBlurred || unit.OffsetError > mostOff*unit.Width:
			slow++
		case !s.known(unit):
			s.found = append(s.found, unit)
			fresh++
			if s.settings.Doubt != nil && s.axes() {
				if err := s.settings.Doubt(ctx); err != nil {
					return fresh, impure, slow, err
				}
			}
		}
	}
	return fresh, impure, slow, nil
}

// doubt counts a step that is no unit's, and raises doubts where all were so far.
func (s *saturation) doubt(ctx context.Context) error {
	if s.useless++; s.useless != firstSteps || len(s.found) > 0 || s.settings.Doubt == nil {
		return nil
	}
	return s.settings.Doubt(ctx)
}

// axes reports whether the unit found last is the second that sees one input alone, as the steps of inputs that are clipped do.
func (s *saturation) axes() bool {
	count, last := 0, false
	for _, u := range s.found {
		last = s.d > 1 && math.Max(floats.Max(u.Direction), -floats.Min(u.Direction)) > 1-1e-9
		if last {
			count++
		}
	}
	return last && count == firstSteps
}

// divided returns the pieces in parts.
func (s *saturation) divided(ctx context.Context, l line, pieces []interval) ([]interval, error) {
	const parts = 8
	var ts []float64
	for _, p := range pieces {
		for k := 1; k < parts; k++ {
			ts = append(ts, p.a+(p.b-p.a)*float64(k)/parts)
		}
	}
	y, err := l.ask(ctx, s.oracle, ts)
	if err != nil {
		return nil, err
	}
	var divided []interval
	for i, p := range pieces {
		last := interval{a: p.a, fa: p.fa}
		for k := range parts - 1 {
			at := i*(parts-1) + k
			last.b, last.fb = ts[at], y[at]
			divided = append(divided, last)
			last = interval{a: last.b, fa: last.fb}
		}
		last.b, last.fb = p.b, p.fb
		divided = append(divided, last)
	}
	return divided, nil
}

// whole drops the groups that reach the end of a searched piece: there a known unit's step covers part of another's, and
// what is left of that one is only a tail.
func whole(groups [][]interval, pieces []interval) (kept [][]interval, dropped int) {
	for _, g := range groups {
		cut := false
		for _, p := range pieces {
			cut = cut || g[0].a == p.a || g[len(g)-1].b == p.b
		}
		if cut {
			dropped++
		} else {
			kept = append(kept, g)
		}
	}
	return kept, dropped
}

// parallel is the slope, along a line, of the distance from a hyperplane below which the line does not meet it.
const parallel = 1e-12

// unexplained returns the parts of the line where no known hyperplane makes f change, with f at their ends.
func (s *saturation) unexplained(ctx context.Context, l line) ([]interval, error) {
	reach := s.reach()
	var crossings intervals
	for _, u := range s.found {
		slope := floats.Dot(u.Direction, l.Direction)
		if math.Abs(slope) < parallel {
			continue // a line across it, far from its step
		}
		t := -(floats.Dot(u.Direction, l.Origin) + u.Offset) / slope
		half := (s.depth()/u.Decay + 10*u.Error*s.radius) / math.Abs(slope)
		crossings = append(crossings, [2]float64{t - half, t + half})
	}
	gaps := crossings.complement(-reach, reach)
	var ts []float64
	for _, g := range gaps {
		ts = append(ts, g[0], g[1])
	}
	y, err := l.ask(ctx, s.oracle, ts)
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(gaps); i++ {
		s.crossed++
		if math.Abs(y[2*i]-y[2*i-1]) > s.tolerance() {
			s.seen++
		}
	}
	pieces := make([]interval, len(gaps))
	for i, g := range gaps {
		pieces[i] = interval{g[0], g[1], y[2*i], y[2*i+1]}
	}
	return pieces, nil
}

// reach is how far from its origin a line is searched. It meets a random hyperplane within r radii with a probability of 1 - 2/pi atan(1/r): 84 %
// for 4 and 96 % for 16, at the cost of two more bisections a step; where x is rounded, farther out steps would be blurred.
func (s *saturation) reach() float64 {
	if s.noisy() || s.scales.Algebraic {
		return 4 * s.radius
	}
	return 16 * s.radius
}

// depth is at how many times 1/Decay a tail is lost in the noise, or, where it is algebraic, too small to be looked into.
func (s *saturation) depth() float64 {
	if s.scales.Algebraic {
		return 1 / algebraicLeast
	}
	return math.Log(s.scales.Spread/s.scales.Noise) + 8
}

// known reports whether the unit's hyperplane is one of those found.
func (s *saturation) known(u Unit) bool {
	for _, v := range s.found {
		away := append([]float64(nil), u.Direction...)
		sign := math.Copysign(1, floats.Dot(u.Direction, v.Direction))
		floats.AddScaled(away, -sign, v.Direction)
		uncertain := math.Max(20*(u.Error+v.Error), 1e-5)
		if floats.Norm(away, 2) < uncertain && math.Abs(u.Offset-sign*v.Offset) < 20/v.Decay+uncertain*s.reach() {
			return true
		}
	}
	return false
}
