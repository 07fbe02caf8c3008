package plugintest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/nnid/nnid/core"
)

// An activationCheck is one rule of the contract of core.Activation.
type activationCheck struct {
	name  string
	check func(context.Context, core.Activation) error
}

// ActivationChecks are the names of the rules that CheckActivation tests, in their order.
func ActivationChecks() []string {
	names := make([]string, len(activationChecks))
	for i, c := range activationChecks {
		names[i] = c.name
	}
	return names
}

var activationChecks = []activationCheck{
	{"facts", checkFacts},
	{"order", checkOrder},
	{"shape", checkShape},
	{"special values", checkSpecial},
	{"finite", checkFinite},
	{"derivatives", checkDerivatives},
	{"tails", checkTails},
	{"monotone tails", checkMonotone},
	{"symmetry", checkSymmetry},
	{"input unchanged", checkUnchanged},
	{"batches", checkBatches},
	{"concurrency", checkConcurrency},
	{"cancellation", checkActivationCancellation},
}

// CheckActivation tests an activation against the contract of [core.Activation], whatever it is written in. It returns
// one joined error of all rules broken, each beginning with the rule's name and saying what was expected; nil when the
// activation conforms.
func CheckActivation(ctx context.Context, activation core.Activation) error {
	var broken []error
	for _, c := range activationChecks {
		if err := c.check(ctx, activation); err != nil {
			broken = append(broken, fmt.Errorf("%s: %w", c.name, err))
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(append(broken, fmt.Errorf("the checks were cut short: %w", err))...)
		}
	}
	return errors.Join(broken...)
}

// values asks for a derivative and checks what every answer must be.
func values(ctx context.Context, activation core.Activation, order int, t []float64) ([]float64, error) {
	v, err := activation.Derivative(ctx, order, t)
	if err != nil {
		return nil, fmt.Errorf("the derivative of order %d at %d points fails, but every float64 has an answer: %w", order, len(t), err)
	}
	if len(v) != len(t) {
		return nil, fmt.Errorf("the derivative of order %d answers %d values for %d arguments; it must answer one each", order, len(v), len(t))
	}
	return v, nil
}

// samples are arguments of all sizes that matter, the same every time: any seed will do.
func samples(n int) []float64 {
	random := rand.New(rand.NewPCG(4, 2))
	t := make([]float64, n)
	for i := range t {
		t[i] = random.NormFloat64() * math.Exp(random.NormFloat64())
	}
	return t
}

func checkFacts(_ context.Context, activation core.Activation) error {
	facts := activation.Facts()
	for _, side := range []struct {
		name string
		tail core.Tail
	}{{"left", facts.Left}, {"right", facts.Right}} {
		t := side.tail
		switch {
		case math.IsNaN(t.Slope) || math.IsInf(t.Slope, 0) || math.IsNaN(t.Intercept) || math.IsInf(t.Intercept, 0):
			return fmt.Errorf("the %s tail has the slope %g and the intercept %g; both must be finite", side.name, t.Slope, t.Intercept)
		case !(t.Rate >= 0):
			return fmt.Errorf("the %s tail has the rate %g; a rate is at least 0", side.name, t.Rate)
		case !t.Asymptotic && (t.Slope != 0 || t.Intercept != 0 || t.Rate != 0):
			return fmt.Errorf("the %s tail has a slope, an intercept or a rate, but is not asymptotic", side.name)
		}
	}
	if facts.Symmetry < core.SymmetryNone || facts.Symmetry > core.SymmetryEven {
		return fmt.Errorf("the symmetry is %d; it is none (0), point (1) or even (2)", facts.Symmetry)
	}
	if facts != activation.Facts() {
		return errors.New("the second call of Facts answers differently; facts do not change over the life of an activation")
	}
	return nil
}

func checkOrder(ctx context.Context, activation core.Activation) error {
	for _, order := range []int{-1, core.MaxDerivative + 1} {
		if _, err := activation.Derivative(ctx, order, []float64{0.5}); err == nil {
			return fmt.Errorf("the derivative of order %d answers; orders other than 0 to %d must be an error", order, core.MaxDerivative)
		}
	}
	return nil
}

func checkShape(ctx context.Context, activation core.Activation) error {
	for order := range core.MaxDerivative + 1 {
		for _, n := range []int{0, 1, 2, 17} {
			if _, err := values(ctx, activation, order, samples(n)); err != nil {
				return err
			}
		}
		if _, err := values(ctx, activation, order, nil); err != nil {
			return err
		}
	}
	return nil
}

func checkSpecial(ctx context.Context, activation core.Activation) error {
	facts := activation.Facts()
	for order := range core.MaxDerivative + 1 {
		v, err := values(ctx, activation, order, []float64{1, math.NaN(), math.Inf(1), math.Inf(-1)})
		if err != nil {
			return err
		}
		if !math.IsNaN(v[1]) {
			return fmt.Errorf("the derivative of order %d at NaN is %g; it must be NaN", order, v[1])
		}
		if math.IsNaN(v[0]) {
			return fmt.Errorf("the derivative of order %d at 1 is NaN when NaN is in the same batch; values must not touch each other", order)
		}
		for i, tail := range []core.Tail{facts.Right, facts.Left} {
			if !tail.Asymptotic {
				continue // no limit is declared: anything goes
			}
			at := math.Inf(1 - 2*i)
			want := limit(tail, order, at)
			if !near(v[2+i], want, 1e-15) {
				return fmt.Errorf("the derivative of order %d at %g is %g; the tail declared has the limit %g", order, at, v[2+i], want)
			}
		}
	}
	return nil
}

// limit is the derivative of the asymptote at t.
func limit(tail core.Tail, order int, t float64) float64 {
	switch {
	case order == 0 && tail.Slope == 0:
		return tail.Intercept
	case order == 0:
		return tail.Slope*t + tail.Intercept
	case order == 1:
		return tail.Slope
	}
	return 0
}

func near(got, want, tolerance float64) bool {
	return got == want || math.Abs(got-want) <= tolerance*math.Max(1, math.Abs(want))
}

func checkFinite(ctx context.Context, activation core.Activation) error {
	t := []float64{0, math.Copysign(0, -1), 5e-324, 1e-300}
	for e := -20; e <= 300; e += 4 {
		t = append(t, math.Pow(10, float64(e)))
	}
	// Where exp, its square and a square over- or underflow.
	t = append(t, 19, 37, 88, 89, 354, 355, 709, 710, 745, 746, 1.3e154, 1.4e154, math.MaxFloat64)
	for _, x := range t[:len(t):len(t)] {
		t = append(t, -x)
	}
	facts := activation.Facts()
	for order := range core.MaxDerivative + 1 {
		v, err := values(ctx, activation, order, t)
		if err != nil {
			return err
		}
		for i, x := range t {
			tail := facts.Right
			if x < 0 {
				tail = facts.Left
			}
			if math.IsNaN(v[i]) || math.IsInf(v[i], 0) && tail.Asymptotic && !math.IsInf(limit(tail, order, x), 0) {
				return fmt.Errorf("the derivative of order %d at %g is %g; it must be accurate for every finite argument (does an intermediate result overflow?)", order, x, v[i])
			}
		}
	}
	return nil
}

// checkDerivatives compares each derivative with central differences of the one below, extrapolated from two steps:
// f' is (8 D(h) - D(2h)) / 12h with an error of h^4 f””'/30.
func checkDerivatives(ctx context.Context, activation core.Activation) error {
	const h = 1.0 / 1024
	var t, stencil []float64
	for _, x := range samples(200) {
		if math.Abs(x) > 4*h { // a kink at 0 is allowed, so no stencil lies across it
			t = append(t, x)
			stencil = append(stencil, x-2*h, x-h, x+h, x+2*h)
		}
	}
	for order := 1; order <= core.MaxDerivative; order++ {
		v, err := values(ctx, activation, order, t)
		if err != nil {
			return err
		}
		below, err := values(ctx, activation, order-1, stencil)
		if err != nil {
			return err
		}
		scale := 0.0
		for i := range v {
			if !math.IsInf(below[4*i], 0) {
				scale = math.Max(scale, math.Abs(v[i]))
			}
		}
		wrong, worst, at := 0, 0.0, 0
		for i := range t {
			b := below[4*i : 4*i+4]
			size := math.Max(math.Max(math.Abs(b[0]), math.Abs(b[3])), math.Abs(t[i]*v[i]))
			got := (8*(b[2]-b[1]) - (b[3] - b[0])) / (stencil[4*i+3] - stencil[4*i]) / 3
			// Rounding of the values below, over h; the truncation error h^4, with room for a fifth derivative of 1000.
			allowed := 16*0x1p-52*size/h + 1e-10*scale
			if err := math.Abs(got - v[i]); !(err <= allowed) {
				wrong++
				if !(err <= worst) {
					worst, at = err, i
				}
			}
		}
		// A function with a kink somewhere fails near it; a wrong derivative fails everywhere it is wrong.
		if wrong > len(t)/50 {
			return fmt.Errorf("the derivative of order %d at %g is %g, but differences of order %d say %g less or more; %d of %d points disagree",
				order, t[at], v[at], order-1, worst, wrong, len(t))
		}
	}
	return nil
}

func checkTails(ctx context.Context, activation core.Activation) error {
	facts := activation.Facts()
	for i, tail := range []core.Tail{facts.Right, facts.Left} {
		if !tail.Asymptotic {
			continue
		}
		side, name := 1-2*float64(i), []string{"right", "left"}[i]
		// Decay: the distance must shrink from each argument to the next, and at the rate declared.
		far := []float64{1e4, 1e8, 1e12, 1e16}
		t := make([]float64, len(far))
		for k := range far {
			t[k] = side * far[k]
		}
		for order := range core.MaxDerivative + 1 {
			v, err := values(ctx, activation, order, t)
			if err != nil {
				return err
			}
			for k := range t {
				want := limit(tail, order, t[k])
				allowed := 4e-16 * math.Abs(want)
				if tail.Rate == 0 {
					allowed += 1 / math.Sqrt(far[k]) // slower than every exponential: any algebraic decay will do
				}
				if !(math.Abs(v[k]-want) <= allowed) {
					return fmt.Errorf("the derivative of order %d at %g is %g; the %s tail declared (slope %g, intercept %g, rate %g) wants %g",
						order, t[k], v[k], name, tail.Slope, tail.Intercept, tail.Rate, want)
				}
			}
		}
		if tail.Rate == 0 {
			continue
		}
		// The rate: -d log(distance) / dt, where the distance is neither large nor lost in rounding. The derivative decays
		// like the distance and has no asymptote to be subtracted from, so it shows the rate further out.
		steps := make([]float64, 60)
		for k := range steps {
			steps[k] = side * float64(k+1) * 0.5
		}
		slopes, err := values(ctx, activation, 1, steps)
		if err != nil {
			return err
		}
		rate, seen := math.NaN(), false
		for k := 1; k < len(steps); k++ {
			a, b := math.Abs(slopes[k-1]-tail.Slope), math.Abs(slopes[k]-tail.Slope)
			if floor := 1e-12 * math.Max(math.Abs(tail.Slope), 1e-100); a > floor && b > floor {
				rate, seen = math.Log(a/b)/0.5, true
			}
		}
		switch {
		case !seen:
			// The tail is reached at once: faster than any rate.
		case math.IsInf(tail.Rate, 1):
			if !(rate > 2) {
				return fmt.Errorf("the %s tail decays at the rate %.3g where it is last seen; faster than every exponential was declared", name, rate)
			}
		case !(math.Abs(rate-tail.Rate) <= 0.2*tail.Rate):
			return fmt.Errorf("the %s tail decays at the rate %.3g; %g was declared", name, rate, tail.Rate)
		}
	}
	return nil
}

// checkMonotone: far out an activation approaches its asymptote and does not leave it again. Stages take a flat piece for a tail.
func checkMonotone(ctx context.Context, activation core.Activation) error {
	facts := activation.Facts()
	for i, tail := range []core.Tail{facts.Right, facts.Left} {
		if !tail.Asymptotic {
			continue
		}
		side, name := 1-2*float64(i), []string{"right", "left"}[i]
		// From where exp(-rate t) is 1e-4, with room for polynomial factors; algebraic tails may take longer to settle.
		start := 10.0
		if tail.Rate == 0 {
			start = 100
		} else if tail.Rate < 1 {
			start = 10 / tail.Rate
		}
		t := make([]float64, 200)
		for k := range t {
			t[k] = side * start * math.Pow(1.02, float64(k))
		}
		v, err := values(ctx, activation, 0, t)
		if err != nil {
			return err
		}
		least := math.Inf(1)
		for k := range t {
			want := limit(tail, 0, t[k])
			away, rounding := math.Abs(v[k]-want), 1e-15*math.Abs(want)
			if !(away <= least+rounding) {
				return fmt.Errorf("at %g the function is %.3g from the %s asymptote, after %.3g nearer to the origin; a tail approaches its asymptote monotonically", t[k], away, name, least)
			}
			least = math.Min(least, away)
		}
	}
	return nil
}

func checkSymmetry(ctx context.Context, activation core.Activation) error {
	facts := activation.Facts()
	if facts.Symmetry == core.SymmetryNone {
		return nil
	}
	t := samples(100)
	mirrored := make([]float64, len(t))
	for i, x := range t {
		mirrored[i] = -x
	}
	zero, err := values(ctx, activation, 0, []float64{0})
	if err != nil {
		return err
	}
	for order := range core.MaxDerivative + 1 {
		v, err := values(ctx, activation, order, t)
		if err != nil {
			return err
		}
		m, err := values(ctx, activation, order, mirrored)
		if err != nil {
			return err
		}
		// Point: g(-t) = 2 g(0) - g(t), so derivatives have the sign (-1)^(order+1); even: (-1)^order.
		sign := 1 - 2*float64(order%2)
		if facts.Symmetry == core.SymmetryPoint {
			sign = -sign
		}
		for i, x := range t {
			want := sign * v[i]
			if order == 0 && facts.Symmetry == core.SymmetryPoint {
				want += 2 * zero[0]
			}
			if !near(m[i], want, 1e-14) {
				return fmt.Errorf("the derivative of order %d is %g at %g and %g at %g; the %v symmetry declared wants %g there",
					order, v[i], x, m[i], -x, facts.Symmetry, want)
			}
		}
	}
	return nil
}

func checkUnchanged(ctx context.Context, activation core.Activation) error {
	t := samples(100)
	kept := samples(100)
	for order := range core.MaxDerivative + 1 {
		v, err := values(ctx, activation, order, t)
		if err != nil {
			return err
		}
		for i := range v {
			v[i] = math.NaN() // an answer that shares the memory of the arguments shows
		}
		if i := firstDifference(t, kept); i >= 0 {
			return fmt.Errorf("after the derivative of order %d the argument %g has become %g; arguments must not be changed, nor shared with the answer", order, kept[i], t[i])
		}
	}
	return nil
}

// firstDifference returns the first index where a and b differ in a bit, or -1.
func firstDifference(a, b []float64) int {
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]) {
			return i
		}
	}
	return -1
}

func checkBatches(ctx context.Context, activation core.Activation) error {
	t := samples(300000) // 2.4 MB: more than one message of the protocol
	for order := range core.MaxDerivative + 1 {
		all, err := values(ctx, activation, order, t)
		if err != nil {
			return err
		}
		for i := 0; i < len(t); i += len(t) / 20 {
			one, err := values(ctx, activation, order, t[i:i+1])
			if err != nil {
				return err
			}
			if !near(one[0], all[i], 1e-15) && !(one[0] != one[0] && all[i] != all[i]) {
				return fmt.Errorf("the derivative of order %d at %g is %g alone and %g in a batch of %d; values must not depend on their neighbours", order, t[i], one[0], all[i], len(t))
			}
		}
	}
	return nil
}

func checkConcurrency(ctx context.Context, activation core.Activation) error {
	t := samples(2000)
	var want [core.MaxDerivative + 1][]float64
	for order := range want {
		v, err := values(ctx, activation, order, t)
		if err != nil {
			return err
		}
		want[order] = v
	}
	const callers = 8
	var wait sync.WaitGroup
	broken := make([]error, callers)
	for k := range callers {
		wait.Go(func() {
			t := slices.Clone(t) // its own, so that an activation that changes arguments is blamed for that alone
			for round := range 5 {
				order := (k + round) % len(want)
				v, err := values(ctx, activation, order, t)
				if err != nil {
					broken[k] = err
					return
				}
				if i := firstDifference(v, want[order]); i >= 0 {
					broken[k] = fmt.Errorf("with %d callers at once the derivative of order %d at %g is %g, alone it is %g; calls must be safe at the same time", callers, order, t[i], v[i], want[order][i])
					return
				}
			}
		})
	}
	wait.Wait()
	for _, err := range broken {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkActivationCancellation(ctx context.Context, activation core.Activation) error {
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := activation.Derivative(cancelled, 0, samples(100000)); err == nil {
		return errors.New("a call whose context has ended answers; it must stop with the context's error")
	}
	return nil
}
