package sample

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
)

// plain is a function without derivatives: all that an oracle needs.
type plain func(float64) float64

func (p plain) Facts() core.Facts { return core.Facts{} }
func (p plain) Apply(_ int, dst, t []float64) {
	for i, v := range t {
		dst[i] = p(v)
	}
}

func sigmoid(t float64) float64 { return 1 / (1 + math.Exp(-t)) }

// shape returns the activation and its tails' rate.
func shape(name string) (plain, float64) {
	if name == "sigmoid" {
		return sigmoid, 1
	}
	return math.Tanh, 2
}

// function is an oracle that computes f at each row.
type function struct {
	f       func(x []float64) float64
	queries int64
}

func (o *function) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, _ := x.Dims()
	o.queries += int64(rows)
	y := make([]float64, rows)
	for i := range y {
		y[i] = o.f(x.RawRowView(i))
	}
	return y, nil
}
func (o *function) Queries() int64 { return o.queries }

// hidden is an oracle for a network.
func hidden(n *network.Network) *function {
	f, _ := shape(n.First.Activation)
	return &function{f: func(x []float64) float64 { return n.Evaluate(f, f, mat.NewDense(1, len(x), x))[0] }}
}

func planted(d, m0, m1 int, shift float64, activation string, seed uint64) *network.Network {
	rng := rand.New(rand.NewPCG(seed, 99))
	n := network.New(d, m0, m1, activation, activation)
	for i := range m0 {
		n.First.Weight.SetRow(i, Direction(rng, d))
		n.First.Bias[i] = shift * rng.NormFloat64()
	}
	for l := range m1 {
		n.Second.Weight.SetRow(l, Direction(rng, m0))
		n.Second.Bias[l] = shift * rng.NormFloat64()
		n.Output[l] = 1
	}
	return n
}

func digits(v float64, n int) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', n-1, 64), 64)
	return r
}

func TestProfile(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(float64) float64
		half float64
	}{
		{"straight", func(t float64) float64 { return 3 - 2*t }, 1},
		{"tanh", math.Tanh, 0.5},
		{"falling", func(t float64) float64 { return -sigmoid(t + 1) }, 0.3},
		{"narrow and high", func(t float64) float64 { return 1e3 + math.Tanh(1e6*t) }, 2e-7},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProfile(c.half)
			for _, s := range p.t {
				p.f = append(p.f, c.f(s))
			}
			if !p.monotone() {
				t.Fatal("not monotone")
			}
			swing := math.Abs(p.f[nodes-1] - p.f[0])
			for k := range 101 {
				s := 0.98 * c.half * (float64(k)/50 - 1)
				if e := math.Abs(p.value(s) - c.f(s)); e > 1e-6*swing {
					t.Errorf("value(%g) is off by %g", s, e)
				}
				back, ok := p.invert(p.value(s))
				if tolerance := 1e-12*c.half + 4e-15*math.Abs(p.value(s))/swing*c.half; !ok || math.Abs(back-s) > tolerance {
					t.Errorf("%g comes back as %g, %v", s, back, ok)
				}
			}
			for _, s := range p.t {
				if p.value(s) != c.f(s) {
					t.Errorf("value differs from f at the node %g", s)
				}
			}
			for _, y := range []float64{c.f(-2 * c.half), c.f(2 * c.half)} {
				if s, ok := p.invert(y); ok {
					t.Errorf("%g, out of range, is inverted to %g", y, s)
				}
			}
		})
	}
	p := newProfile(1)
	for _, s := range p.t {
		p.f = append(p.f, s*s)
	}
	if p.monotone() {
		t.Error("a parabola passes for monotone")
	}
	p.f = make([]float64, nodes)
	if p.monotone() {
		t.Error("a constant passes for monotone")
	}
}

func TestComplement(t *testing.T) {
	for _, c := range []struct {
		in   intervals
		want [][2]float64
	}{
		{nil, [][2]float64{{0, 10}}},
		{intervals{{2, 3}}, [][2]float64{{0, 2}, {3, 10}}},
		{intervals{{5, 6}, {2, 3}}, [][2]float64{{0, 2}, {3, 5}, {6, 10}}},
		{intervals{{2, 5}, {3, 4}}, [][2]float64{{0, 2}, {5, 10}}},
		{intervals{{2, 4}, {3, 6}}, [][2]float64{{0, 2}, {6, 10}}},
		{intervals{{2, 4}, {4, 6}}, [][2]float64{{0, 2}, {6, 10}}},
		{intervals{{-5, 1}, {9, 20}}, [][2]float64{{1, 9}}},
		{intervals{{-5, -1}, {11, 20}}, [][2]float64{{0, 10}}},
		{intervals{{0, 10}}, nil},
		{intervals{{-1, 11}}, nil},
		{intervals{{math.Inf(-1), math.Inf(1)}}, nil},
		{intervals{{10, 12}}, [][2]float64{{0, 10}}},
	} {
		before := slices.Clone(c.in)
		if got := c.in.complement(0, 10); !reflect.DeepEqual(got, c.want) {
			t.Errorf("complement of %v is %v, want %v", c.in, got, c.want)
		}
		if !slices.Equal(before, c.in) {
			t.Errorf("%v was reordered", before)
		}
	}
}

func TestFitDecay(t *testing.T) {
	for _, rate := range []float64{0.05, 1, 2, 40} {
		for _, off := range []float64{-0.2, 0, 0.25} { // of the guess
			var tails []tail
			for _, c := range [][3]float64{{1, -0.5, 0.3}, {-2, 1, 0.8}} {
				one := tail{}
				for k := range tailPoints {
					s := (3 + 7*float64(k)/(tailPoints-1)) / rate
					q := math.Exp(-rate * s)
					one.s = append(one.s, s)
					one.e = append(one.e, q*(c[0]+q*(c[1]+q*c[2])))
				}
				tails = append(tails, one)
			}
			got, misfit := fitDecay(tails, rate*(1+off), tailTerms)
			if math.Abs(got/rate-1) > 1e-7 || misfit > goodTail {
				t.Errorf("rate %g from %g: found %g, misfit %g", rate, rate*(1+off), got, misfit)
			}
		}
	}
	// A neighbour's step in the tail shows in the misfit.
	spoilt := tail{}
	for k := range tailPoints {
		s := 3 + 7*float64(k)/(tailPoints-1)
		spoilt.s = append(spoilt.s, s)
		spoilt.e = append(spoilt.e, math.Exp(-s)+0.1*sigmoid(5*(s-6)))
	}
	if _, misfit := fitDecay([]tail{spoilt}, 1, noisyTerms); misfit < fairTail {
		t.Errorf("a second step in the tail leaves a misfit of %g only", misfit)
	}
}

func smooth(x []float64) float64 { return math.Sin(x[0]) + 0.5*math.Cos(2*x[1]) + 2 }

func TestNoise(t *testing.T) {
	x, v := []float64{0.3, -0.2}, []float64{0.6, 0.8}
	for _, sigma := range []float64{1e-3, 1e-6, 1e-9} {
		near, agreed := 0, 0
		for seed := range uint64(100) {
			rng := rand.New(rand.NewPCG(seed, 5))
			o := &function{f: func(x []float64) float64 { return smooth(x) + sigma*rng.NormFloat64() }}
			got, agree, err := Noise(t.Context(), o, x, v, 1e-6)
			if err != nil {
				t.Fatal(err)
			}
			if agree {
				agreed++
				if got < 3*sigma && got > sigma/3 {
					near++
				}
			}
		}
		// Nine answers say little: now and then an estimate is further off.
		if agreed < 90 || near < agreed*3/4 {
			t.Errorf("noise %g: levels agree in %d of 100 cases, %d estimates are right within a factor 3", sigma, agreed, near)
		}
	}
	o := &function{f: smooth}
	if got, _, err := Noise(t.Context(), o, x, v, 1e-6); err != nil || got > 3e-15 {
		t.Errorf("rounding is estimated as %g (%v)", got, err)
	}
	if _, agree, err := Noise(t.Context(), o, x, v, 0.3); err != nil || agree {
		t.Errorf("the differences of a coarse grid agree (%v)", err)
	}
	if _, agree, err := Noise(t.Context(), &function{f: func([]float64) float64 { return 1 }}, x, v, 1e-6); err != nil || agree {
		t.Errorf("no noise at all passes for noise (%v)", err)
	}
}

func TestLevel(t *testing.T) {
	const sixDigits = 1e-5 / 3.4641016 // of numbers from 1 to 10, uniformly rounded
	for _, c := range []struct {
		name      string
		noise     func(*rand.Rand) func(float64) float64
		low, high float64
	}{
		{"Gaussian 1e-4", func(r *rand.Rand) func(float64) float64 {
			return func(v float64) float64 { return v + 1e-4*r.NormFloat64() }
		}, 1e-4 / 3, 3e-4},
		{"Gaussian 1e-8", func(r *rand.Rand) func(float64) float64 {
			return func(v float64) float64 { return v + 1e-8*r.NormFloat64() }
		}, 1e-8 / 3, 3e-8},
		{"six digits", func(*rand.Rand) func(float64) float64 {
			return func(v float64) float64 { return digits(v, 6) }
		}, sixDigits / 3, 3 * sixDigits},
		{"single precision", func(*rand.Rand) func(float64) float64 {
			return func(v float64) float64 { return float64(float32(v)) }
		}, 1e-8, 2e-7},
		{"none", func(*rand.Rand) func(float64) float64 {
			return func(v float64) float64 { return v }
		}, 0, 3e-15},
	} {
		t.Run(c.name, func(t *testing.T) {
			const seeds = 100
			wrong := 0
			for seed := range uint64(seeds) {
				rng := rand.New(rand.NewPCG(seed, 6))
				spoil := c.noise(rng)
				o := &function{f: func(x []float64) float64 { return spoil(smooth(x)) }}
				s := &Scales{Saturation: 10, Center: []float64{0, 0}, Value: 3.5, Spread: 3}
				got, err := level(t.Context(), o, s, 0.1, rng)
				if err != nil {
					t.Fatal(err)
				}
				if got < c.low || got > c.high {
					wrong++
				}
			}
			// Rounding does not look like noise where f is stationary along the line.
			if wrong > seeds/20 {
				t.Errorf("%d of %d estimates are not within %g and %g", wrong, seeds, c.low, c.high)
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	for _, activation := range []string{"tanh", "sigmoid"} {
		for _, scale := range []float64{1e-3, 1, 1e3} { // of x
			n := planted(8, 8, 3, 0.5, activation, 1)
			floats.Scale(scale, n.First.Weight.RawMatrix().Data)
			rng := rand.New(rand.NewPCG(1, 7))
			o := hidden(n)
			s, err := Measure(t.Context(), o, 8, false, rng)
			if err != nil {
				t.Fatal(err)
			}
			// A unit saturates at about 20 of its own lengths; along a random ray the slowest is slower by some 10.
			if r := s.Saturation * scale; r < 10 || r > 1e4 {
				t.Errorf("%s, weights times %g: saturation at %g", activation, scale, s.Saturation)
			}
			if s.Noise > 1e-14*s.Value || s.Noise < 1e-17*s.Value || s.Grid != doubleGrid {
				t.Errorf("noise %g, grid %g of answers without any", s.Noise, s.Grid)
			}
			if s.Value > 3 || s.Spread > 6 || s.Spread < 1e-2 {
				t.Errorf("value %g, spread %g of three units", s.Value, s.Spread)
			}
			for range 5 { // beyond, f is constant along rays
				v := Direction(rng, 8)
				y, err := Points(t.Context(), o, [][]float64{along(s.Center, 100*s.Saturation, v), along(s.Center, 1e4*s.Saturation, v)})
				if err != nil || math.Abs(y[0]-y[1]) > 1e-10 {
					t.Errorf("f still changes by %g (%v)", y[0]-y[1], err)
				}
			}
		}
	}
	n := planted(8, 8, 3, 0.5, "tanh", 2)
	exact := hidden(n)
	for _, c := range []struct {
		name   string
		single bool
		round  func(float64) float64
		grid   float64
	}{
		{"double precision", false, func(v float64) float64 { return v }, doubleGrid},
		{"said to be single", true, func(v float64) float64 { return v }, singleGrid},
		{"single precision", false, func(v float64) float64 { return float64(float32(v)) }, singleGrid},
		{"four digits", false, func(v float64) float64 { return digits(v, 4) }, doubleGrid},
	} {
		s, err := Measure(t.Context(), &function{f: func(x []float64) float64 { return c.round(exact.f(x)) }}, 8, c.single, rand.New(rand.NewPCG(2, 7)))
		if err != nil || s.Grid != c.grid {
			t.Errorf("%s: scales %+v, error %v", c.name, s, err)
		}
	}
}

func TestMeasureRefuses(t *testing.T) {
	for name, f := range map[string]func([]float64) float64{
		"softplus": func(x []float64) float64 { return math.Log1p(math.Exp(-math.Abs(x[0]))) + math.Max(x[0], 0) },
		"linear":   func(x []float64) float64 { return x[0] - 2*x[1] },
		"sine":     func(x []float64) float64 { return math.Sin(x[0]) + math.Sin(x[1]) },
		"constant": func([]float64) float64 { return 4 },
	} {
		s, err := Measure(t.Context(), &function{f: f}, 2, false, rand.New(rand.NewPCG(3, 7)))
		if !fault.Is(err, fault.Unsupported) || len(err.Error()) < 20 {
			t.Errorf("%s: scales %+v, error %v", name, s, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, hidden(planted(4, 4, 2, 0.5, "tanh", 3)), 4, false, rand.New(rand.NewPCG(4, 7))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMeasureNear(t *testing.T) {
	largest := 0.0
	o := &function{f: func(x []float64) float64 {
		largest = math.Max(largest, floats.Norm(x, math.Inf(1)))
		return smooth(x)
	}}
	s, err := MeasureNear(t.Context(), o, 2, 1.5, false, rand.New(rand.NewPCG(5, 7)))
	if err != nil || largest > 1.5 || s.Noise > 1e-14 || s.Spread < 0.5 || s.Spread > 3 {
		t.Errorf("scales %+v, asked out to %g (%v)", s, largest, err)
	}
	if _, err := MeasureNear(t.Context(), &function{f: func([]float64) float64 { return 1 }}, 2, 1, false, rand.New(rand.NewPCG(6, 7))); !fault.Is(err, fault.Unsupported) {
		t.Errorf("a constant: %v", err)
	}
}

// check compares units with the network's: each is one of its units, measured well, and none is there twice.
func check(t *testing.T, n *network.Network, units []Unit) {
	t.Helper()
	_, k := shape(n.First.Activation)
	m0, _ := n.Sizes()
	if len(units) != m0 {
		t.Errorf("%d units found of %d", len(units), m0)
	}
	seen := map[int]bool{}
	for _, u := range units {
		nearest, least, sign := 0, math.Inf(1), 1.0
		for i := range m0 {
			a := n.First.Weight.RawRowView(i)
			away := slices.Clone(u.Direction)
			s := math.Copysign(1, floats.Dot(a, u.Direction))
			floats.AddScaled(away, -s/floats.Norm(a, 2), a)
			if e := floats.Norm(away, 2); e < least {
				nearest, least, sign = i, e, s
			}
		}
		norm := floats.Norm(n.First.Weight.RawRowView(nearest), 2)
		if seen[nearest] || least > 1e-6 {
			t.Errorf("a unit that is %.1e from unit %d, found before: %v", least, nearest, seen[nearest])
		}
		seen[nearest] = true
		if e := math.Abs(u.Decay/(k*norm) - 1); e > 1e-3 {
			t.Errorf("unit %d: relative error %.1e of the decay", nearest, e)
		}
		if e := math.Abs(sign*u.Offset*norm - n.First.Bias[nearest]); e > 12 {
			t.Errorf("unit %d: the step is %.1f from its hyperplane, in units of u", nearest, e)
		}
	}
}

func TestSaturate(t *testing.T) {
	files, err := filepath.Glob("../../testdata/networks/*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("networks %v (%v)", files, err)
	}
	for _, file := range files {
		for seed := range uint64(2) {
			t.Run(filepath.Base(file)+" "+strconv.FormatUint(seed, 10), func(t *testing.T) {
				n, err := network.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				o := &Log{Oracle: hidden(n)}
				rng := rand.New(rand.NewPCG(seed, 1))
				s, err := Measure(t.Context(), o, n.Inputs(), false, rng)
				if err != nil {
					t.Fatal(err)
				}
				var lines []int
				units, err := Saturate(t.Context(), o, n.Inputs(), *s, rng, SaturationSettings{Observe: func(l, _ int) { lines = append(lines, l) }})
				if err != nil {
					t.Fatal(err)
				}
				check(t, n, units)
				if int64(len(o.Y)) != o.Queries() || len(o.X) != len(o.Y) {
					t.Errorf("%d rows and %d answers logged of %d", len(o.X), len(o.Y), o.Queries())
				}
				if len(lines) == 0 || lines[0] != 1 || !slices.IsSorted(lines) {
					t.Errorf("lines observed: %v", lines)
				}
				// What is known is not found again, and costs little.
				before := o.Queries()
				again, err := Saturate(t.Context(), o, n.Inputs(), *s, rng, SaturationSettings{Known: units})
				if err != nil || !reflect.DeepEqual(again, units) {
					t.Errorf("%d units became %d (%v)", len(units), len(again), err)
				}
				if spent := o.Queries() - before; spent > before/4 {
					t.Errorf("finding nothing new took %d queries of %d", spent, before)
				}
			})
		}
	}
}

// TestSaturateKnown: with some units known, the others are found and the known ones stay.
func TestSaturateKnown(t *testing.T) {
	n := planted(6, 6, 3, 0.5, "tanh", 4)
	o := hidden(n)
	rng := rand.New(rand.NewPCG(8, 1))
	s, err := Measure(t.Context(), o, 6, false, rng)
	if err != nil {
		t.Fatal(err)
	}
	units, err := Saturate(t.Context(), o, 6, *s, rng, SaturationSettings{})
	if err != nil {
		t.Fatal(err)
	}
	check(t, n, units)
	known := units[2:5:5]
	again, err := Saturate(t.Context(), o, 6, *s, rng, SaturationSettings{Known: known})
	if err != nil {
		t.Fatal(err)
	}
	check(t, n, again)
	if !reflect.DeepEqual(again[:3], known) {
		t.Error("known units were changed")
	}
}

func TestSaturateCount(t *testing.T) {
	n := planted(6, 6, 3, 0.5, "sigmoid", 5)
	o := hidden(n)
	rng := rand.New(rand.NewPCG(9, 1))
	s, err := Measure(t.Context(), o, 6, false, rng)
	if err != nil {
		t.Fatal(err)
	}
	units, err := Saturate(t.Context(), o, 6, *s, rng, SaturationSettings{Units: 6})
	if err != nil {
		t.Fatal(err)
	}
	check(t, n, units)
	lines := 0
	if _, err := Saturate(t.Context(), o, 6, *s, rng, SaturationSettings{Lines: 1, Observe: func(int, int) { lines++ }}); err != nil || lines != 1 {
		t.Errorf("%d lines where one was allowed (%v)", lines, err)
	}
	// Cut short, what was found stays.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	found := 0
	units, err = Saturate(ctx, o, 6, *s, rng, SaturationSettings{Observe: func(_, f int) {
		if found = f; f > 0 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || found == 0 || len(units) < found {
		t.Errorf("cancelled after %d units, %d returned: %v", found, len(units), err)
	}
}

func TestLog(t *testing.T) {
	fail := false
	l := &Log{Oracle: asker(func(_ context.Context, x *mat.Dense) ([]float64, error) {
		if fail {
			return nil, fault.New(fault.Budget, "the budget is spent")
		}
		rows, _ := x.Dims()
		return mat.Col(nil, 0, x.Slice(0, rows, 0, 1)), nil
	})}
	x := mat.NewDense(2, 2, []float64{1, 2, 3, 4})
	if y, err := l.Ask(t.Context(), x); err != nil || !slices.Equal(y, []float64{1, 3}) {
		t.Fatalf("%v, %v", y, err)
	}
	x.Set(0, 0, 9) // the log keeps what was asked, not what became of the matrix
	if _, err := l.Ask(t.Context(), mat.NewDense(1, 2, []float64{5, 6})); err != nil {
		t.Fatal(err)
	}
	fail = true
	if _, err := l.Ask(t.Context(), x); !fault.Is(err, fault.Budget) {
		t.Errorf("error %v", err)
	}
	if !reflect.DeepEqual(l.X, [][]float64{{1, 2}, {3, 4}, {5, 6}}) || !slices.Equal(l.Y, []float64{1, 3, 5}) || l.Queries() != 7 {
		t.Errorf("log %v, %v, %d queries", l.X, l.Y, l.Queries())
	}
}

type asker func(context.Context, *mat.Dense) ([]float64, error)

func (a asker) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) { return a(ctx, x) }
func (a asker) Queries() int64                                           { return 7 }

func TestFrame(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 1))
	for _, d := range []int{1, 2, 3, 30} {
		first := Direction(rng, d)
		basis := frame(rng, first)
		if len(basis) != d || !slices.Equal(basis[0], first) {
			t.Fatalf("%d vectors in R^%d", len(basis), d)
		}
		for i := range basis {
			for j := range i + 1 {
				want := 0.0
				if i == j {
					want = 1
				}
				if got := floats.Dot(basis[i], basis[j]); math.Abs(got-want) > 1e-14 {
					t.Errorf("R^%d: inner product of %d and %d is %g", d, i, j, got)
				}
			}
		}
		if v := orthogonal(rng, first); d > 1 && (math.Abs(floats.Dot(v, first)) > 1e-15 || math.Abs(floats.Norm(v, 2)-1) > 1e-14) || d == 1 && v[0] != 0 {
			t.Errorf("R^%d: %v is not orthogonal to %v", d, v, first)
		}
	}
}

func TestSentences(t *testing.T) {
	_, err := Measure(t.Context(), &function{f: func(x []float64) float64 { return x[0] }}, 1, false, rand.New(rand.NewPCG(11, 1)))
	if err == nil || !strings.Contains(err.Error(), "does not saturate") {
		t.Errorf("error %v", err)
	}
}

// TestNoiseOfSteps: on coarse grids the steps of steep units look like noise, where another unit turns so far out that these grids are coarser than the steps.
func TestNoiseOfSteps(t *testing.T) {
	oracle := asker(func(_ context.Context, x *mat.Dense) ([]float64, error) {
		rows, _ := x.Dims()
		y := make([]float64, rows)
		for r := range y {
			v := x.RawRowView(r)
			y[r] = math.Tanh(30*v[0]+1) + math.Tanh(20*v[1]-3) + math.Tanh(25*v[2]) + math.Tanh(4e-3*(v[0]-v[2])+0.1)
		}
		return y, nil
	})
	for seed := range uint64(20) {
		scales, err := Measure(t.Context(), oracle, 3, false, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if scales.Noise > 1e-11*scales.Value {
			t.Errorf("seed %d: noise of %.1e, of values of %.1g that are exact", seed, scales.Noise, scales.Value)
		}
	}
}
