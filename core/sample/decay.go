package sample

import (
	"context"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// A step's tail is a power series in q = exp(-Decay s) without constant term, s the distance from the step: g is a
// power series in q, and everything behind it is analytic in g. tailPoints values of f a side are fitted by tailTerms
// powers, or noisyTerms where noise would feed on more freedom.
const (
	tailPoints = 5
	tailTerms  = 3
	noisyTerms = 2
	morePoints = 8 // where few did not tell an activation
)

// tail is one side of a step: distances s > 0 and how far f is from its limit there.
type tail struct {
	s, e   []float64
	guess  float64 // of the rate
	sign   float64 // of the side: +1 along Direction
	height float64 // by how much the limit is above the other side's
	part   float64 // of the way from left to right that is made at s = 0
	// The rate with which a power series explains this tail alone, and what it leaves. Where the second layer saturates before the step has ended, it takes more
	// terms on that side, and the other may be clean all the same.
	rate, misfit float64
}

// decay measures how fast the step's tails decay along u.Direction. It starts at x on the step and, where neither tail
// is clean, tries other places of the hyperplane further out, with other units of the first layer on their other sides.
func (s *saturation) decay(ctx context.Context, x []float64, u *Unit) (bool, error) {
	if s.noisy() {
		return true, s.noisyDecay(ctx, x, u)
	}
	var fair []tail
	slowest, explained := math.Inf(1), math.Inf(1)
	rate, misfit := 0.0, math.Inf(1)
	for try := range decayPlaces {
		place := x
		if try > 0 {
			place = along(x, s.radius*math.Pow(2, float64(try)/2), orthogonal(s.rng, u.Direction))
		}
		told := s.settings.Explain == nil || s.settings.Told != nil && s.settings.Told()
		points := tailPoints
		if try > 0 && !told {
			points = morePoints
		}
		tails, ok, err := s.tails(ctx, place, u, points, s.settings.Explain == nil)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		for _, t := range tails {
			if t.misfit < fairTail {
				fair = append(fair, t)
			}
			slowest = math.Min(slowest, t.rate)
		}
		var agree bool
		rate, misfit, agree = slowestRate(fair)
		if s.settings.Explain != nil {
			p := newTailsProfile(tails)
			left := s.settings.Explain(p)
			if len(tails) == 1 {
				left = math.Max(left, loneTail)
			}
			if left < explained {
				u.Profile, explained = p, left
			}
		}
		if told && (misfit < goodTail || agree || misfit < usableTail && try >= 3) || explained < goodExplained || explained < fairTail && try >= 5 {
			break
		}
	}
	if u.Decay, u.Misfit = rate, misfit; len(fair) == 0 {
		u.Decay = slowest // what is not clean seems faster than it is
	}
	return math.Min(misfit, explained) < fairTail, nil
}

// slowestRate returns the rate of the cleanest of the tails that are about as slow as the slowest, and whether two of these agree: a steep second layer saturates before the step has ended,
// and what is left of a tail by then may look clean, and faster than it is.
func slowestRate(tails []tail) (rate, misfit float64, agree bool) {
	misfit = math.Inf(1)
	slowest := math.Inf(1)
	for _, t := range tails {
		slowest = math.Min(slowest, t.rate)
	}
	var rates []float64
	for _, t := range tails {
		if t.rate > asSlow*slowest {
			continue
		}
		agree = agree || slices.ContainsFunc(rates, func(r float64) bool { return math.Abs(t.rate-r) < tailsAgree*r })
		rates = append(rates, t.rate)
		if t.misfit < misfit {
			rate, misfit = t.rate, t.misfit
		}
	}
	return rate, misfit, agree
}

// noisyDecay is decay where noise hides all but the beginning of the tails. Where the second layer is saturated before the step has ended, its
// tails seem to decay faster than they do, at rates of any size, and noise hides what comes after. So both tails are measured by themselves,
// at places of the hyperplane where the other units are in other states, until two rates agree. What comes of it may be off by more than noise:
// fits that start from there have to take the norms as not known.
func (s *saturation) noisyDecay(ctx context.Context, x []float64, u *Unit) error {
	var rates []float64
	agree, misfits := noisyAgree, noisyMisfit
	if s.loud() {
		agree, misfits = loudAgree, loudMisfit
	}
	for try := range noisyPlaces {
		place := x
		if try > 0 {
			place = along(s.scales.Center, s.radius, Direction(s.rng, s.d))
			place = along(place, -floats.Dot(u.Direction, place)-u.Offset, u.Direction)
		}
		tails, ok, err := s.tails(ctx, place, u, tailPoints, false)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		for _, t := range tails {
			if t.misfit < misfits {
				rates = append(rates, t.rate)
			}
		}
		slices.Sort(rates)
		for k := 1; k < len(rates); k++ {
			if rates[k] < agree*rates[k-1] {
				u.Decay = math.Sqrt(rates[k-1] * rates[k])
				return nil
			}
		}
	}
	if len(rates) > 0 {
		u.Decay = rates[0]
	} else {
		u.Decay = 1 / u.Width // of the size that it has where the second layer is not steep
	}
	return nil
}

// With noise, tails are measured at so many places at most, until two rates agree to this factor; fits with a larger misfit are left out.
const (
	noisyPlaces = 8
	noisyAgree  = 1.05
	noisyMisfit = 2e-3
	loudAgree   = 1.2
	loudMisfit  = 2e-2
)

// decayPlaces is how many places of a hyperplane are tried at most.
const decayPlaces = 8

// Sums of squared relative misfits of a tail: clean ones reach 1e-12 and less; one with a neighbour's step in it does not.
const (
	goodTail = 1e-10
	fairTail = 1e-4
	// From that on a tail is looked for at a few places only: behind steep second layers less clean ones are too fast by any factor.
	usableTail = 1e-7
	// Rates of two places that agree so well are as good: a neighbour's tail is not the same at both.
	tailsAgree = 1e-4
	// A tail that is faster than another by more than this is that of a second layer that saturates.
	asSlow = 1.1
	// Activations explain clean steps better than power series do, and give the norm as much better.
	goodExplained = 1e-11
	// One tail alone has so few points that nearly all explain it; it is taken to leave as much as this.
	loneTail = 5e-5
)

// tails samples both tails of the step at x, or only the slower one, if that is enough and it proves clean; it leaves a first estimate in u.Decay.
func (s *saturation) tails(ctx context.Context, x []float64, u *Unit, count int, one bool) ([]tail, bool, error) {
	l := line{Origin: x, Direction: u.Direction}
	reaches := []float64{8, 16, 64, 128}
	ts := []float64{0}
	for _, r := range reaches {
		ts = append(ts, r*u.Width, -r*u.Width)
	}
	y, err := l.ask(ctx, s.oracle, ts)
	if err != nil {
		return nil, false, err
	}
	// Go out until f is flat on both sides. Flat to 1e-7 at half the distance is flat to 1e-14 at the end.
	var limit [2]float64 // right, left
	floor := math.Max(s.tolerance(), 1e-15*maxAbs(y...))
	for n := len(y); ; n = len(y) {
		limit = [2]float64{y[n-2], y[n-1]}
		flat := math.Max(floor, 1e-7*maxAbs(y[0]-limit[0], y[0]-limit[1]))
		if math.Abs(y[n-4]-limit[0]) <= flat && math.Abs(y[n-3]-limit[1]) <= flat {
			break
		}
		if len(reaches) == 7 {
			return nil, false, nil // a neighbour is in the way
		}
		r := 2 * reaches[len(reaches)-1]
		more, err := l.ask(ctx, s.oracle, []float64{r * u.Width, -r * u.Width})
		if err != nil {
			return nil, false, err
		}
		reaches = append(reaches, r)
		y = append(y, more...)
	}
	terms := tailTerms
	if s.noisy() {
		terms = noisyTerms
	}
	// Where the second layer saturates on one side, f approaches its limit there faster than g does.
	sides := []int{0, 1}
	if slow := func(side int) float64 { return math.Abs((y[1+side] - limit[side]) / (y[0] - limit[side])) }; slow(1) > slow(0) {
		sides = []int{1, 0}
	}
	var tails []tail
	var rates []float64
	for _, side := range sides {
		sign := 1 - 2*float64(side) // right, left
		size := math.Abs(y[0] - limit[side])
		most, least := 0.1*size, math.Max(1e-5*size, 300*floor)
		nearest := 0.03 * size
		if s.noisy() {
			least = noisyTail * s.scales.Noise
			if s.loud() {
				least = loudTail * s.scales.Noise
			}
			most = math.Min(most, noisyDepth*least)
			nearest = most
		} else if size < 1e4*floor {
			continue
		}
		if most < 4*least {
			continue
		}
		var points []tailPoint
		for k := range reaches {
			points = append(points, tailPoint{reaches[k] * u.Width, math.Abs(y[1+2*k+side] - limit[side])})
		}
		points, err := s.refineTail(ctx, l, sign, limit[side], points, most, least)
		if err != nil {
			return nil, false, err
		}
		first, last, ok := usable(points, most, least)
		if !ok {
			continue
		}
		rate := math.Log(first.e/last.e) / (last.s - first.s)
		from := first.s + math.Log(first.e/nearest)/rate
		to := first.s + math.Log(first.e/least)/rate
		if from <= 0 || to <= from || to > reaches[len(reaches)-1]/2*u.Width {
			continue
		}
		t := tail{guess: rate, sign: sign, height: limit[side] - limit[1-side], part: (y[0] - limit[1]) / (limit[0] - limit[1])}
		var at []float64
		for k := range count {
			d := from + (to-from)*float64(k)/float64(count-1)
			t.s = append(t.s, d)
			at = append(at, sign*d)
		}
		v, err := l.ask(ctx, s.oracle, at)
		if err != nil {
			return nil, false, err
		}
		for _, f := range v {
			t.e = append(t.e, f-limit[side])
		}
		t.rate, t.misfit = fitDecay([]tail{t}, t.guess, terms)
		if !s.noisy() {
			if t.rate*t.s[0] > tailStarts {
				continue
			}
			if math.Abs(t.e[0]) < shortTail*math.Abs(t.e[count-1]) {
				t.misfit = math.Max(t.misfit, shortMisfit)
			}
		}
		tails = append(tails, t)
		rates = append(rates, rate)
		if one && t.misfit < goodTail {
			break
		}
	}
	if len(tails) == 0 {
		return nil, false, nil
	}
	u.Decay = floats.Min(rates)
	return tails, true, nil
}

// A tail that begins further from x, in terms of 1/rate, is that of another unit's step; behind steep second layers they begin at 4 to 12. One along which f changes by a smaller factor is
// explained by nearly every rate, and taken to leave as much as this.
const (
	tailStarts  = 12
	shortTail   = 10
	shortMisfit = 1e-6
)

// With noise, tails are followed from at most noisyDepth times its last usable value, noisyTail standard deviations of the noise.
const (
	noisyTail  = 50
	loudTail   = 15
	noisyDepth = 55
)

type tailPoint struct{ s, e float64 }

// usable returns the nearest and the furthest of the points whose distance to the limit is within [least, most].
func usable(points []tailPoint, most, least float64) (first, last tailPoint, ok bool) {
	n := 0
	for _, p := range points {
		if p.e <= most && p.e >= least {
			if n == 0 {
				first = p
			}
			last = p
			n++
		}
	}
	return first, last, n >= 2 && last.e < first.e/2
}

// refineTail adds points by bisection until two of them are usable.
func (s *saturation) refineTail(ctx context.Context, l line, sign, limit float64, points []tailPoint, most, least float64) ([]tailPoint, error) {
	points = append([]tailPoint{{0, math.Inf(1)}}, points...)
	for range 10 {
		if _, _, ok := usable(points, most, least); ok {
			break
		}
		// Between the last point that is too near and the first that is too far.
		near, far := 0, len(points)-1
		for i, p := range points {
			if p.e > most {
				near = i
			}
		}
		for i := len(points) - 1; i > near; i-- {
			if points[i].e < least {
				far = i
			}
		}
		at := (points[near].s + points[far].s) / 2
		if far-near > 1 { // one usable point between them: widen on the larger side
			if middle := points[near+1].s; points[far].s-middle > middle-points[near].s {
				at = (middle + points[far].s) / 2
			} else {
				at = (middle + points[near].s) / 2
			}
		}
		y, err := l.ask(ctx, s.oracle, []float64{sign * at})
		if err != nil {
			return nil, err
		}
		points = append(points, tailPoint{at, math.Abs(y[0] - limit)})
		sort.Slice(points, func(i, j int) bool { return points[i].s < points[j].s })
	}
	return points, nil
}

// fitDecay returns the rate (and its misfit) for which both tails are power series in exp(-rate s), by variable projection: the
// coefficients are linear, the rate is found by a scan around the guess and golden section.
func fitDecay(tails []tail, guess float64, terms int) (rate, misfit float64) {
	at := func(rate float64) float64 {
		total := 0.0
		for _, t := range tails {
			n := len(t.s)
			a := mat.NewDense(n, terms, nil)
			b := mat.NewVecDense(n, nil)
			for i := range n {
				// Relative weights; powers relative to the first point, so that the columns are of one size.
				for j := range terms {
					a.Set(i, j, math.Exp(-float64(j+1)*rate*(t.s[i]-t.s[0]))/math.Abs(t.e[i]/t.e[0]))
				}
				b.SetVec(i, t.e[i]/math.Abs(t.e[i]))
			}
			var qr mat.QR
			qr.Factorize(a)
			var c mat.VecDense
			if err := qr.SolveVecTo(&c, false, b); err != nil {
				if _, ill := err.(mat.Condition); !ill {
					return math.Inf(1)
				}
			}
			var r mat.VecDense
			r.MulVec(a, &c)
			r.SubVec(&r, b)
			total += mat.Dot(&r, &r)
		}
		return total
	}
	best, least := guess, math.Inf(1)
	const scan, span = 60, 0.35
	for k := -scan; k <= scan; k++ {
		rate := guess * (1 + span*float64(k)/scan)
		if m := at(rate); m < least {
			best, least = rate, m
		}
	}
	low, high := best-guess*span/scan, best+guess*span/scan
	const golden = 0.6180339887498949
	x1, x2 := high-golden*(high-low), low+golden*(high-low)
	f1, f2 := at(x1), at(x2)
	for range 40 {
		if f1 < f2 {
			high, x2, f2 = x2, x1, f1
			x1 = high - golden*(high-low)
			f1 = at(x1)
		} else {
			low, x1, f1 = x1, x2, f2
			x2 = low + golden*(high-low)
			f2 = at(x2)
		}
	}
	rate = (low + high) / 2
	return rate, at(rate)
}
