package local

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// After so many failures students grow: those of few free parameters, whose fit takes a tenth of a second, later, as a larger one
// takes more answers.
const (
	secondStarts = 3
	cheapStarts  = 6
	cheap        = 300 // free parameters
	secondStages = 4
)

// Second identifies what lies behind a first layer that is known but for its shifts: input i is the pre-activation of unit i,
// less its shift. Students keep those m0 weights and have spare units in the second layer alone; on trained networks, also steep
// ones and ones with more units than inputs, about half of them arrive, where hardly any of those with a free first layer do
// (docs/local.md). It returns a network of m0 inputs, and rows of its first layer that are multiples of those of the identity, one for each input, or two for one whose unit
// was two with parallel weights.
//
// Students arrive most often with limits of -1 and 1, so that spare units change little: g and h are best given in their
// [network.Normal] form.
func Second(ctx context.Context, oracle query.Asker, m0 int, g, h core.Function, settings Settings) (*network.Network, Statistics, error) {
	settings.FirstLayer, settings.M0 = true, m0
	s := &search{
		oracle: &counted{oracle, settings.Domain}, d: m0, g: g, h: h, settings: settings,
		rng: rand.New(rand.NewPCG(settings.Seed, 0x7365636f6e64)), r: m0, norm: 1, frozen: true, shifted: settings.Shifted, twice: settings.Twice,
	}
	plan := s.students(settings.Starts)
	s.settings.Starts = len(plan)
	missed := &Unexplained{Units: m0}
	for start, next := range plan {
		k1 := next.units
		if start > 0 && next != plan[start-1] && !settings.Spare && missed.even() {
			missed.Even = true
			break
		}
		s.twice = next.twice
		n, loss, err := s.arrive(ctx, k1)
		if err != nil {
			return nil, Statistics{}, err
		}
		s.observe(start, n, loss)
		s.trace("  start %d: %d units, loss %.1e of the variance, %.1e counts as arrived", start, k1, loss/s.variance, s.exact/s.variance)
		if next.twice && loss > s.exact { // units that are nearly parallel are nearly explained
			if settings.Twice {
				missed.add(k1, math.Sqrt(loss/s.variance))
			}
			continue
		}
		if settings.Awake != nil && loss > s.exact && loss <= splitFrom*s.variance {
			awake, ok, err := s.robust(ctx, n, loss)
			if err != nil {
				return nil, Statistics{}, err
			}
			if ok {
				if done, err := settings.Awake(awake); done || err != nil {
					return awake, Statistics{}, err
				}
			}
		}
		if loss > math.Max(s.close()*s.variance, s.exact) {
			if !next.twice || settings.Twice {
				missed.add(k1, math.Sqrt(loss/s.variance))
			}
			continue
		}
		if settings.Spare {
			done := settings.Close == nil
			if !done {
				if done, err = settings.Close(n); err != nil {
					return nil, Statistics{}, err
				}
			}
			if done {
				return n, Statistics{}, nil
			}
			missed.add(k1, math.Sqrt(loss/s.variance))
			continue
		}
		exact := s.exact
		if loss > s.exact { // either no unit is spare, or what is left is due to the first layer's directions or to units that sleep
			if n, loss, err = s.grow(ctx, n, loss); err != nil {
				return nil, Statistics{}, err
			}
		}
		s.exact = math.Max(s.exact, math.Min(4*loss, plateau*s.variance))
		data := s.data()
		if loss <= s.exact {
			if n, loss, err = s.pruneMany(ctx, n, 1, loss, data); err != nil {
				return nil, Statistics{}, err
			}
		}
		if n, loss, err = s.prune(ctx, n, loss, data); err != nil {
			return nil, Statistics{}, err
		}
		if loss <= s.exact {
			if n, loss, err = s.unflip(ctx, n, loss, data); err != nil {
				return nil, Statistics{}, err
			}
		}
		_, m1 := n.Sizes()
		s.trace("  start %d: pruned to %d units, loss %.1e of the variance", start, m1, loss/s.variance)
		if loss <= s.exact && (settings.M1 == 0 || m1 <= settings.M1) {
			return n, Statistics{Margin: s.margin}, nil
		}
		s.exact = exact
		missed.add(k1, math.Sqrt(loss/s.variance))
	}
	missed.Even = missed.Even || !settings.Spare && missed.even() // with noise, what is left may be that
	return nil, Statistics{}, fault.New(fault.Unsupported, "%w", missed)
}

// plan is one student to be fitted: its units of the second layer, and whether it has two of the first for each input.
type plan struct {
	units int
	twice bool
}

// doubles is how many students of two units for each input follow those of the first size. Where two units of the first layer have parallel weights they are one unit
// from far out, and no other student arrives.
const doubles = 3

// students lists the students to be fitted, at most so many, or, for 0, those of all stages.
func (s *search) students(most int) []plan {
	var all []plan
	for stage := 0; most == 0 && stage < secondStages || len(all) < most; stage++ {
		k1 := s.spareSecond(stage)
		free := s.freeParameters(k1)
		if free > mostParameters {
			break
		}
		count := secondStarts
		if free <= cheap {
			count = cheapStarts
		}
		all = append(all, slices.Repeat([]plan{{k1, s.settings.Twice}}, count)...)
		if s.twice = true; stage == 0 && !s.settings.Twice && !s.settings.Spare && !s.shifted && s.freeParameters(k1) <= 2*cheap {
			all = append(all, slices.Repeat([]plan{{k1, true}}, doubles)...)
		}
		s.twice = s.settings.Twice
	}
	if most > 0 && len(all) > most {
		all = all[:most]
	}
	return all
}

// Losses, as fractions of the variance, from which a student is not in a local minimum: what it misses are details; and from which a fit of all
// parameters usually arrives, the first layer's directions too.
const (
	closeBehind = 1e-6
	closeSpare  = 1e-5
)

// close is the loss, as a fraction of the variance, at which a student counts as close.
func (s *search) close() float64 {
	if s.settings.Spare {
		return closeSpare
	}
	return closeBehind
}

// arrive fits a student of k1 second-layer units, and, if it comes close, with it what is not known well of the first layer: the norms.
func (s *search) arrive(ctx context.Context, k1 int) (*network.Network, float64, error) {
	if err := s.more(ctx, rows*s.freeParameters(k1)-len(s.y)); err != nil {
		return nil, 0, err
	}
	data := s.data()
	s.scales = s.settings.Spare || s.settings.Rough || s.twice // noise leaves norms off by any factor
	n, loss, err := s.fit(ctx, s.student(s.firstUnits(), k1, data), data, s.arriving())
	if err == nil {
		n, loss, err = s.splitMany(ctx, n, loss)
	}
	s.scales = !s.shifted
	if err != nil || loss > math.Max(s.close()*s.variance, s.exact) || loss <= s.target || s.settings.Spare {
		return n, loss, err
	}
	for units := math.MaxInt; len(n.Output) < units && loss > s.target; { // fused units bring others into line
		units = len(n.Output)
		if n, loss, err = s.fuse(ctx, n, loss, s.data()); err != nil {
			return n, loss, err
		}
	}
	if loss <= s.target {
		return n, loss, nil
	}
	return s.fit(ctx, n, s.data(), fitSettings{iterations: 200, target: s.target, patience: 8, gain: 1e-2, damping: 1e-5})
}

// arriving bounds the fit of a student that starts at random. One that arrives comes close within some twenty to sixty iterations, and what is left
// of it then are the norms' errors, at which it would creep for a hundred more. One in a local minimum creeps, too: splitting it is worth more.
func (s *search) arriving() fitSettings {
	settings := fitSettings{iterations: 200, target: s.target, patience: 8, gain: 1e-2, damping: 1e-2}
	if !s.settings.Spare {
		settings.close = s.close() * s.variance
	}
	return settings
}

// Students in a local minimum up to splitFrom, as a fraction of the variance, mostly have one unit for two; up to so many are split.
const (
	splitFrom  = 5e-2
	mostSplits = 8
)

// splitMany splits units of a student in a local minimum, as long as that helps, until it comes close.
func (s *search) splitMany(ctx context.Context, n *network.Network, loss float64) (*network.Network, float64, error) {
	if loss > splitFrom*s.variance {
		return n, loss, nil
	}
	missed := 0
	for range mostSplits {
		if loss <= math.Max(s.close()*s.variance, s.exact) {
			break
		}
		_, k1 := n.Sizes()
		if s.freeParameters(k1+1) > mostParameters {
			break
		}
		if err := s.more(ctx, rows*s.freeParameters(k1+1)-len(s.y)); err != nil {
			return n, loss, err
		}
		data := s.data()
		larger, ok := s.split(n, data)
		if !ok {
			break
		}
		larger, l, err := s.fit(ctx, larger, data, fitSettings{iterations: 200, target: s.target, patience: 8, gain: 1e-2, damping: 1e-4})
		if err != nil {
			return n, loss, err
		}
		s.trace("    split: %d units, loss %.1e -> %.1e of the variance", k1+1, loss/s.variance, l/s.variance)
		if l > 0.7*loss {
			missed++
		}
		n, loss = larger, l
		if missed == 2 {
			break
		}
	}
	return n, loss, nil
}

// firstUnits is the number of a student's units of the first layer.
func (s *search) firstUnits() int {
	if s.twice {
		return 2 * s.d
	}
	return s.d
}

// freeParameters of a student of k1 second-layer units: all but what is known of the first layer.
func (s *search) freeParameters(k1 int) int {
	k0 := s.firstUnits()
	count := network.Parameters(0, k0, k1)
	switch {
	case s.shifted:
		return count - k0
	case s.settings.Rough || s.twice:
		return count + k0
	}
	return count
}

// grow adds units to a student that has come close without arriving, as long as that brings it much closer: a student that has no
// spare units cannot tell of the weakest.
func (s *search) grow(ctx context.Context, n *network.Network, loss float64) (*network.Network, float64, error) {
	for loss > s.exact {
		_, k1 := n.Sizes()
		more := max(2, k1/3)
		if s.freeParameters(k1+more) > mostParameters {
			break
		}
		if err := s.more(ctx, rows*s.freeParameters(k1+more)-len(s.y)); err != nil {
			return n, loss, err
		}
		data := s.data()
		larger, l, err := s.fit(ctx, s.withRandomUnits(n, more), data, fitSettings{iterations: 100, target: s.target, patience: 8, gain: 1e-2, damping: 1e-5})
		if err != nil {
			return n, loss, err
		}
		s.trace("    grown to %d units: loss %.1e -> %.1e of the variance", k1+more, loss/s.variance, l/s.variance)
		if l > loss/10 {
			break
		}
		n, loss = larger, l
	}
	return n, loss, nil
}

// withRandomUnits returns n with so many more units in the second layer, at random and without weight as yet.
func (s *search) withRandomUnits(n *network.Network, count int) *network.Network {
	m0, m1 := n.Sizes()
	larger := withUnits(n, count)
	for l := m1; l < m1+count; l++ {
		larger.Second.Weight.SetRow(l, sample.Direction(s.rng, m0))
		larger.Second.Bias[l] = 0.3 * s.rng.NormFloat64()
	}
	return larger
}

// plateau is the loss, as a fraction of the variance, at which a student counts as arrived that gets no further: errors of the
// first layer may leave that much.
const plateau = 1e-10

// SecondParameters returns the number of free parameters of the first students that [Second] fits behind m0 units; m1 is 0 when not known.
func SecondParameters(m0, m1 int) int {
	s := &search{d: m0, settings: Settings{M1: m1}}
	return network.Parameters(0, m0, s.spareSecond(0))
}

// spareSecond is the number of second-layer units of the students of a stage: two and a half for each that there is, or
// that there commonly is.
func (s *search) spareSecond(stage int) int {
	k1 := s.d/2 + 2
	switch {
	case s.settings.Units > 0:
		k1 = s.settings.Units
	case s.settings.M1 > 0:
		k1 = 2*s.settings.M1 + (s.settings.M1+1)/2
	}
	return int(math.Ceil(float64(k1) * math.Pow(1.6, float64(stage))))
}
