package sample

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
)

// TestDecayOfCleanTail: where the second layer saturates on one side of a step, the other tail tells the rate, and is the one that is asked.
func TestDecayOfCleanTail(t *testing.T) {
	const norm = 5.0
	for _, c := range []struct{ steep, shift float64 }{{6, 6}, {6, -6}, {4, 3}, {1, 0}} {
		o := &function{f: func(x []float64) float64 { return math.Tanh(c.steep*math.Tanh(norm*x[0]) + c.shift) }}
		s := &saturation{oracle: o, d: 2, rng: rand.New(rand.NewPCG(1, 7)), radius: 100, readings: 1,
			scales: Scales{Center: make([]float64, 2), Saturation: 4, Value: 1, Spread: 2, Noise: 2e-16}}
		x := []float64{math.Atanh(-c.shift/c.steep*0.999) / norm, 80} // f is steepest there
		u := Unit{Direction: []float64{1, 0}, Width: 0.05}
		ok, err := s.decay(t.Context(), x, &u)
		if err != nil || !ok || math.Abs(u.Decay/(2*norm)-1) > 1e-5 {
			t.Errorf("tanh(%g tanh(.) %+g): decay %g, misfit %g, %v, error %v", c.steep, c.shift, u.Decay, u.Misfit, ok, err)
		}
		// How far the step reaches, where the tail is of the right size, and the tail: one place.
		if most := int64(9 + 8 + 5); o.queries > most {
			t.Errorf("tanh(%g tanh(.) %+g): %d queries, %d at most", c.steep, c.shift, o.queries, most)
		}
	}
}

// TestDecayBesideAnother: where the second layer is saturated at the step, the only tail to be seen there is that of another unit's step, which is cleaner and slower. It is not taken for the unit's.
func TestDecayBesideAnother(t *testing.T) {
	const norm, other = 3.0, 1.5
	o := &function{f: func(x []float64) float64 {
		// The unit changes f where x[1] is small enough, as at other places of its hyperplane; the other one, 12 away, everywhere.
		return math.Tanh(math.Tanh(norm*x[0])-30/(1+math.Exp(30-x[1]))) + 1e-4*math.Tanh(other*(x[0]-12))
	}}
	s := &saturation{oracle: o, d: 2, rng: rand.New(rand.NewPCG(1, 7)), radius: 100, readings: 1,
		scales: Scales{Center: make([]float64, 2), Saturation: 4, Value: 1, Spread: 4, Noise: 2e-16}}
	u := Unit{Direction: []float64{1, 0}, Width: 0.05}
	ok, err := s.decay(t.Context(), []float64{0, 60}, &u)
	if err != nil || !ok || math.Abs(u.Decay/(2*norm)-1) > 1e-4 {
		t.Errorf("decay %g instead of %g, misfit %g, %v, error %v", u.Decay, 2*norm, u.Misfit, ok, err)
	}
}

// TestSlowestRate: of tails that disagree the slow ones are believed, and the cleanest of them; a faster one may be as clean.
func TestSlowestRate(t *testing.T) {
	for _, c := range []struct {
		tails  []tail
		rate   float64
		misfit float64
		agree  bool
	}{
		{nil, 0, math.Inf(1), false},
		{[]tail{{rate: 2, misfit: 1e-9}}, 2, 1e-9, false},
		{[]tail{{rate: 2, misfit: 1e-9}, {rate: 4.3, misfit: 1e-15}}, 2, 1e-9, false},
		{[]tail{{rate: 2.02, misfit: 1e-8}, {rate: 2, misfit: 1e-9}, {rate: 2.01, misfit: 1e-6}}, 2, 1e-9, false},
		{[]tail{{rate: 5, misfit: 1e-6}, {rate: 5.00001, misfit: 1e-6}}, 5, 1e-6, true},
		{[]tail{{rate: 5, misfit: 1e-6}, {rate: 2, misfit: 1e-5}, {rate: 5.00001, misfit: 1e-6}}, 2, 1e-5, false}, // two that saturate alike
	} {
		rate, misfit, agree := slowestRate(c.tails)
		if rate != c.rate || misfit != c.misfit || agree != c.agree {
			t.Errorf("%v: rate %g, misfit %g, agree %v", c.tails, rate, misfit, agree)
		}
	}
}

// TestQuiet: the fewer of the known hyperplanes show where lines meet them, the more lines are to bring nothing new.
func TestQuiet(t *testing.T) {
	for _, c := range []struct{ crossed, seen, settings, want int }{
		{10, 1, 2, 2}, // too few to tell
		{100, 100, 2, 2},
		{100, 50, 2, 8},
		{100, 20, 2, mostQuiet},
		{100, 0, 2, mostQuiet},
		{100, 80, 6, 6},
	} {
		s := &saturation{crossed: c.crossed, seen: c.seen, settings: SaturationSettings{Quiet: c.settings}, scales: Scales{Spread: 1, Value: 1, Noise: 1e-15}}
		if got := s.quiet(); got != c.want {
			t.Errorf("%d of %d seen: %d lines instead of %d", c.seen, c.crossed, got, c.want)
		}
	}
}

// TestUnmixed: the step that two units made together is dropped once both are known, whatever their signs; no other is, in the plane of two that are far apart neither.
func TestUnmixed(t *testing.T) {
	unit := func(x ...float64) Unit {
		floats.Scale(1/floats.Norm(x, 2), x)
		return Unit{Direction: x}
	}
	a, b, mixture := unit(1, 0, 0, 0), unit(-1, -1e-4, 0, 0), unit(1, 0.4e-4, 1e-7, 0)
	c, d := unit(0, 1, 0, 0), unit(1, 1, 0, 0)
	if got := unmixed([]Unit{mixture, c, a, d, b}); len(got) != 4 || slices.ContainsFunc(got, func(u Unit) bool { return floats.Equal(u.Direction, mixture.Direction) }) {
		t.Errorf("%d units are left: %v", len(got), got)
	}
	for _, other := range []Unit{unit(1, 0.4e-4, 1e-5, 0), unit(1, 1e-7, 0, 0)} { // off the plane, one of the two
		if got := unmixed([]Unit{a, b, other, c, d}); len(got) != 5 {
			t.Errorf("%d of 5 units are left with %v", len(got), other.Direction)
		}
	}
}
