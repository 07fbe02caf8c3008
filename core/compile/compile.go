package compile

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

const (
	// Tolerance is the error of a panel's values over the largest magnitude on it that is always accepted: a little
	// less than two units in the last place just above a power of two, four just below the next one.
	Tolerance = 4e-16
	// NoiseLimit is the most that is accepted when the activation's own values scatter: "a few units in the last
	// place", the contract of core.Activation. Beyond it, values are asked of the activation.
	NoiseLimit = 4e-15
)

// Function is a compiled activation. It is safe for concurrent use.
type Function struct {
	facts      core.Facts
	tables     [core.MaxDerivative + 1]table
	report     Report
	ctx        context.Context // for the values that no table gives
	activation core.Activation
	failure    atomic.Pointer[error]
	calls      atomic.Int64
}

var _ core.Function = (*Function)(nil)

// Compile asks the activation for the values it needs, a few dozen batches, and builds the tables of all derivatives.
// Values that no table gives are asked of the activation later, with ctx: it must live as long as the function is used.
// An error is the activation's own, or a [fault.Plugin] when its answers have the wrong length or are NaN.
func Compile(ctx context.Context, activation core.Activation) (*Function, error) {
	f := &Function{facts: activation.Facts(), ctx: ctx, activation: activation}
	for order := range f.tables {
		b := builder{ctx: ctx, activation: activation, facts: f.facts, order: order}
		t, report, err := b.build()
		if err != nil {
			return nil, err
		}
		f.tables[order], f.report.Orders[order] = *t, report
	}
	return f, nil
}

// Facts returns the facts of the activation.
func (f *Function) Facts() core.Facts { return f.facts }

// Report returns what compilation achieved.
func (f *Function) Report() Report { return f.report }

// Err returns the first error met when the activation was asked for values that no table gives; those values are NaN.
// It is nil for as long as all values are right.
func (f *Function) Err() error {
	if e := f.failure.Load(); e != nil {
		return *e
	}
	return nil
}

// Calls returns how many values were asked of the activation since compilation.
func (f *Function) Calls() int64 { return f.calls.Load() }

// Report is what compilation achieved for each order of derivative.
type Report struct {
	Orders [core.MaxDerivative + 1]OrderReport
}

// OrderReport is what compilation achieved for one order of derivative.
type OrderReport struct {
	// Error is the largest difference from the activation at all points checked, over the largest magnitude nearby
	// (see the package comment).
	Error  float64
	Panels int // polynomials in the table
	// Through are the intervals where values are asked of the activation. None means that all come from the table.
	Through []Interval
}

// Interval is a range of arguments; its ends may be infinite.
type Interval struct{ From, To float64 }

// Complete reports whether no value has to be asked of the activation.
func (r Report) Complete() bool {
	for _, o := range r.Orders {
		if len(o.Through) > 0 {
			return false
		}
	}
	return true
}

// String returns the report, one line an order.
func (r Report) String() string {
	var s strings.Builder
	for k, o := range r.Orders {
		fmt.Fprintf(&s, "derivative %d: error %.1e, %d panels", k, o.Error, o.Panels)
		for i, part := range o.Through {
			if i == 4 {
				fmt.Fprintf(&s, " and %d more", len(o.Through)-i)
				break
			}
			if i == 0 {
				s.WriteString("; asks the activation in")
			}
			fmt.Fprintf(&s, " (%g, %g)", part.From, part.To)
		}
		s.WriteByte('\n')
	}
	return s.String()
}

const (
	degree   = 7
	octaves  = 64 // |t| < 2^64 - 1; arctan reaches its asymptote to rounding at 2^54
	mantissa = 52
	bias     = 1023
)

// panel is one polynomial: sum_k c[k] (t - centre)^k. All NaN where the activation has to be asked.
type panel struct {
	centre float64
	c      [degree + 1]float64
}

// octave says where the panels of one octave of s = |t| + 1 start and how far its mantissa is shifted to number them.
type octave struct {
	base  int32
	shift uint8
}

// tail is the asymptote of a derivative.
type tail struct {
	known            bool
	slope, intercept float64
}

func (l tail) at(t float64) float64 {
	if l.slope == 0 { // not 0 * Inf
		return l.intercept
	}
	return l.slope*t + l.intercept
}

// table is one derivative. Index 0 of a side is t >= 0, 1 is t < 0.
type table struct {
	zero    float64 // the value at 0, apart so that a kink there is harmless
	end     [2]uint64
	tails   [2]tail
	octaves [2][octaves]octave
	panels  []panel
}

// Apply sets dst[k] to the derivative of the given order at t[k]; see [core.Function]. Only values that no table gives
// allocate, and take a call of the activation for all of them together. An order that does not exist gives NaN and an
// error in Err.
func (f *Function) Apply(order int, dst, t []float64) {
	if order < 0 || order > core.MaxDerivative {
		for i := range t {
			dst[i] = math.NaN()
		}
		f.fail(fault.New(fault.Internal, "the derivative of order %d was asked of a compiled activation; it has orders 0 to %d", order, core.MaxDerivative))
		return
	}
	tab := &f.tables[order]
	var missing *through
	dst = dst[:len(t)]
	for i, x := range t {
		s := math.Float64bits(math.Abs(x) + 1)
		side := math.Float64bits(x) >> 63
		e := s>>mantissa - bias
		if e >= tab.end[side] { // also NaN, Inf
			if x != x {
				dst[i] = x
			} else if l := tab.tails[side]; l.known {
				dst[i] = l.at(x)
			} else {
				missing = missing.add(i, x)
			}
			continue
		}
		o := tab.octaves[side][e%octaves]
		p := &tab.panels[int(o.base)+int(s&(1<<mantissa-1)>>(o.shift%64))]
		u := x - p.centre
		u2 := u * u
		c := &p.c
		// Estrin's scheme: the chain of dependent operations is half as long as Horner's. The constant comes last, so
		// that only the last addition rounds at the size of the value.
		v := c[0] + u*((c[1]+u*c[2])+u2*((c[3]+u*c[4])+u2*((c[5]+u*c[6])+u2*c[7])))
		if x == 0 {
			v = tab.zero
		} else if v != v {
			missing = missing.add(i, x)
		}
		dst[i] = v
	}
	if missing != nil {
		f.ask(order, dst, missing)
	}
}

// through collects the arguments that no table covers.
type through struct {
	index []int
	t     []float64
}

func (m *through) add(i int, t float64) *through {
	if m == nil {
		m = &through{}
	}
	m.index, m.t = append(m.index, i), append(m.t, t)
	return m
}

func (f *Function) ask(order int, dst []float64, m *through) {
	f.calls.Add(int64(len(m.t)))
	values, err := f.activation.Derivative(f.ctx, order, m.t)
	if err == nil && len(values) != len(m.t) {
		err = wrongLength(order, len(m.t), len(values))
	}
	if err != nil {
		f.fail(err)
	}
	for k, i := range m.index {
		if err != nil {
			dst[i] = math.NaN()
		} else {
			dst[i] = values[k]
		}
	}
}

func (f *Function) fail(err error) { f.failure.CompareAndSwap(nil, &err) }

func wrongLength(order, asked, got int) error {
	return fault.New(fault.Plugin, "the activation answered %d values for %d arguments of its derivative of order %d: its author must return one a argument", got, asked, order)
}

// Direct is the function made of plain Go functions, for activations of this process and for comparison with compiled
// ones: derivatives[k] is the derivative of order k.
func Direct(facts core.Facts, derivatives [core.MaxDerivative + 1]func(t float64) float64) core.Function {
	return direct{facts, derivatives}
}

type direct struct {
	facts       core.Facts
	derivatives [core.MaxDerivative + 1]func(float64) float64
}

func (d direct) Facts() core.Facts { return d.facts }

func (d direct) Apply(order int, dst, t []float64) {
	if order < 0 || order > core.MaxDerivative {
		for i := range t {
			dst[i] = math.NaN()
		}
		return
	}
	g := d.derivatives[order]
	for i, v := range t {
		dst[i] = g(v)
	}
}
