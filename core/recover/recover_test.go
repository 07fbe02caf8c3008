package recover

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/plugins/solvers"
)

func function(t testing.TB, name string) core.Function {
	t.Helper()
	for _, factory := range activations.All() {
		if factory.Name == name {
			a, err := factory.Open(nil)
			if err != nil {
				t.Fatal(err)
			}
			f, err := compile.Compile(context.Background(), a)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no activation %q", name)
	return nil
}

func solver(t testing.TB) core.Solver {
	t.Helper()
	factory := solvers.All()[0]
	options, err := factory.Resolve(core.KindSolver, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := factory.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// oracle answers for a network.
type oracle struct {
	n *network.Network
	f core.Function
	q int64
}

func (o *oracle) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	rows, _ := x.Dims()
	o.q += int64(rows)
	return o.n.Evaluate(o.f, o.f, x), nil
}
func (o *oracle) Queries() int64 { return o.q }

func planted(d, m0, m1 int, activation string, seed uint64) *network.Network {
	rng := rand.New(rand.NewPCG(seed, 99))
	n := network.New(d, m0, m1, activation, activation)
	for i := range m0 {
		n.First.Weight.SetRow(i, sample.Direction(rng, d))
		floats.Scale(math.Exp(0.5*rng.NormFloat64()), n.First.Weight.RawRowView(i))
		n.First.Bias[i] = 0.5 * rng.NormFloat64()
	}
	for l := range m1 {
		n.Second.Weight.SetRow(l, sample.Direction(rng, m0))
		n.Second.Bias[l] = 0.5 * rng.NormFloat64()
		n.Output[l] = 1 + rng.Float64()
	}
	return n
}

// units are n's first-layer units as saturation sampling would give them were it exact: up to sign, with the steep part of
// the step some way off the hyperplane.
func units(rng *rand.Rand, n *network.Network, rate float64) []sample.Unit {
	m0, _ := n.Sizes()
	all := make([]sample.Unit, m0)
	for i := range all {
		direction := slices.Clone(n.First.Weight.RawRowView(i))
		norm := floats.Norm(direction, 2)
		sign := float64(1 - 2*rng.IntN(2))
		floats.Scale(sign/norm, direction)
		all[i] = sample.Unit{
			Direction: direction, Offset: sign * (n.First.Bias[i] + rng.Float64() - 0.5) / norm,
			Decay: rate * norm, Error: 1e-15, Width: 0.1 / norm,
		}
	}
	return all
}

func settings(t testing.TB, g core.Function) Settings {
	return Settings{Noise: 1e-14, DirectionError: 1e-8, Activations: []core.Function{g}, Solver: solver(t), Seed: 1}
}

func TestGap(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		floor   float64
		surplus int
		rank    int
		clear   bool
	}{
		{[]float64{1, 0.5, 0.2, 1e-9, 1e-10}, 1e-6, 2, 3, true},
		{[]float64{1, 0.5, 0.2, 1e-9}, 1e-6, 2, 3, false},     // too few behind the drop
		{[]float64{1, 1e-4, 1e-5, 1e-12}, 1e-6, 1, 3, true},   // a drop among the large ones says nothing
		{[]float64{1, 0.5, 0.2, 0.1}, 1e-6, 2, 4, false},      // none below the floor
		{[]float64{1, 1e-9, 1e-10, 1e-10}, 1e-6, 2, 1, true},  // one
		{[]float64{1, 0.5, 1e-8, 1e-15, 0}, 1e-6, 2, 2, true}, // what follows rounding is not looked at
		{[]float64{1, 5e-6, 9e-7, 2e-7, 1e-7}, 1e-6, 2, 2, false},
		{[]float64{7}, 1e-6, 0, 1, false},
		{[]float64{1, 0.5, 0, 0}, 1e-6, 2, 2, true},
	} {
		if rank, clear := Gap(c.values, c.floor, c.surplus); rank != c.rank || clear != c.clear {
			t.Errorf("%v, floor %g: rank %d, clear %v; want %d, %v", c.values, c.floor, rank, clear, c.rank, c.clear)
		}
	}
}

func random(rng *rand.Rand, rows, columns int) *mat.Dense {
	m := mat.NewDense(rows, columns, nil)
	m.Apply(func(_, _ int, _ float64) float64 { return rng.NormFloat64() }, m)
	return m
}

func TestCongruent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for m1 := 1; m1 <= 5; m1++ {
		u, half := random(rng, 2*m1+3, m1), random(rng, m1, m1)
		var want, left, h mat.Dense
		want.Add(half, half.T())
		left.Mul(u, &want)
		h.Mul(&left, u.T())
		for i := range 2*m1 + 3 { // the diagonal is not known
			h.Set(i, i, math.NaN())
		}
		got, err := congruent(u, &h)
		if err != nil {
			t.Fatal(err)
		}
		if !mat.EqualApprox(got, &want, 1e-10) {
			t.Errorf("m1 = %d: found\n%v\nof\n%v", m1, mat.Formatted(got), mat.Formatted(&want))
		}
	}
}

func TestSpread(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	for range 20 {
		// Three large, nearly parallel rows among others that are independent.
		m := random(rng, 12, 4)
		for i := range 3 {
			m.SetRow(i, []float64{10, 1e-7 * float64(i), 0, 0})
		}
		candidates := []int{0, 1, 2, 4, 5, 7, 9, 11}
		chosen := spread(m, candidates, 4)
		if len(chosen) != 4 || len(slices.Compact(slices.Sorted(slices.Values(chosen)))) != 4 {
			t.Fatalf("chosen %v", chosen)
		}
		for _, i := range chosen {
			if !slices.Contains(candidates, i) {
				t.Errorf("%d is no candidate", i)
			}
		}
		var svd mat.SVD
		if !svd.Factorize(rows(m, chosen), mat.SVDNone) {
			t.Fatal("no singular values")
		}
		if v := svd.Values(nil); v[3] < 1e-3*v[0] {
			t.Errorf("rows %v: singular values %v", chosen, v)
		}
		if more := spread(m, candidates, 6); len(more) != 6 || !slices.Equal(more[:4], chosen) {
			t.Errorf("beyond the rank: %v after %v", more, chosen)
		}
		if every := spread(m, candidates, 20); len(every) != len(candidates) {
			t.Errorf("%d of %d candidates", len(every), len(candidates))
		}
	}
}

func TestPartition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	for n := 1; n < 20; n++ {
		groups := partition(rng, n, 4)
		together := slices.Sorted(slices.Values(slices.Concat(groups...)))
		if !slices.Equal(together, all(n)) {
			t.Errorf("%d: groups %v", n, groups)
		}
		if got := complement(n, groups[0]); len(got) != n-len(groups[0]) || slices.Contains(got, groups[0][0]) {
			t.Errorf("%d: complement of %v is %v", n, groups[0], got)
		}
	}
}

func TestMinimize(t *testing.T) {
	for _, want := range []float64{-2.9, -0.3, 0, 1.7, 3} {
		// Another, shallower minimum elsewhere.
		f := func(x float64) float64 {
			return math.Min((x-want)*(x-want), 0.1+math.Abs(x+want-0.5))
		}
		if got := minimize(f, -3, 3, 60); math.Abs(got-want) > 1e-7 {
			t.Errorf("minimum at %g, found %g", want, got)
		}
	}
}

func TestFitSlope(t *testing.T) {
	for _, name := range []string{"tanh", "sigmoid", "erf"} {
		h := function(t, name)
		rng := rand.New(rand.NewPCG(4, 0))
		for _, c := range [][3]float64{{1, 0, 1}, {2, -0.7, -0.3}, {0.6, 1.2, 5}, {4, 2, 1e-3}} {
			scale, shift, weight := c[0], c[1], c[2]
			q, slope := make([]float64, 15), make([]float64, 15)
			for k := range q {
				q[k] = rng.NormFloat64()
				slope[k] = scale*q[k] + shift
			}
			h.Apply(1, slope, slope)
			floats.Scale(weight*scale, slope)
			gotScale, gotShift, gotWeight := fitSlope(h, q, slope)
			// g' is even: scale is positive by choice.
			if math.Abs(gotScale/scale-1) > 1e-5 || math.Abs(gotShift-shift) > 1e-5*(1+math.Abs(shift)) || math.Abs(gotWeight/weight-1) > 1e-5 {
				t.Errorf("%s: scale %g, shift %g, weight %g found as %g, %g, %g", name, scale, shift, weight, gotScale, gotShift, gotWeight)
			}
		}
	}
}

func TestAdditive(t *testing.T) {
	for _, name := range []string{"tanh", "sigmoid"} {
		h := function(t, name)
		rng := rand.New(rand.NewPCG(5, 0))
		truth := shape{scale: []float64{1.2, 0.7, 2}, shift: []float64{0.4, -0.9, 1.1}}
		c := []float64{1.5, -2, 0.8, 0.3}
		model := additive{h: h, q: random(rng, 300, 3), y: make([]float64, 300)}
		for k := range model.y {
			model.y[k] = c[3]
			for l := range 3 {
				v := []float64{truth.scale[l]*model.q.At(k, l) + truth.shift[l]}
				h.Apply(0, v, v)
				model.y[k] += c[l] * v[0]
			}
		}
		got, residual := model.project(truth)
		if !floats.EqualApprox(got, c, 1e-7) || floats.Norm(residual, 2) > 1e-9 {
			t.Errorf("%s: output weights %v, residual %g", name, got, floats.Norm(residual, 2))
		}
		near := truth.clone()
		for l := range 3 {
			near.scale[l] *= 1.2
			near.shift[l] += 0.2
		}
		if s, misfit := model.fit(near, 60); misfit > 1e-5 || !floats.EqualApprox(s.scale, truth.scale, 1e-3) || !floats.EqualApprox(s.shift, truth.shift, 1e-3) {
			t.Errorf("%s: from nearby, shape %v of %v, misfit %g", name, s, truth, misfit)
		}
		if near.scale[0] != truth.scale[0]*1.2 {
			t.Errorf("%s: the start was changed", name)
		}
		// From nowhere; the sign of a unit is free.
		s, misfit := model.search(shape{scale: []float64{9, 0.01, 3}, shift: []float64{30, 5, -20}}, 1e-4, rng)
		if misfit > 1e-4 {
			t.Errorf("%s: from nowhere, misfit %g", name, misfit)
		}
		for l := range 3 {
			sign := math.Copysign(1, s.scale[l])
			if math.Abs(sign*s.scale[l]-truth.scale[l]) > 0.02 || math.Abs(sign*s.shift[l]-truth.shift[l]) > 0.02 {
				t.Errorf("%s: from nowhere, shape %v of %v", name, s, truth)
			}
		}
	}
}

func TestLatent(t *testing.T) {
	for _, sizes := range [][2]int{{6, 6}, {9, 5}, {4, 1}} {
		n := planted(sizes[0], sizes[1], 2, "tanh", 1)
		rng := rand.New(rand.NewPCG(6, 0))
		l, err := NewLatent(units(rng, n, 2), 2)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			v := make([]float64, sizes[1])
			for i := range v {
				v[i] = 6*rng.Float64() - 3
			}
			x := l.Point(v)
			if back := l.Coordinates(x); !floats.EqualApprox(back, v, 1e-11) {
				t.Errorf("%v: %v came back as %v", sizes, v, back)
			}
			// What the units do not see moves no coordinate.
			away := l.Across(sample.Direction(rng, sizes[0]))
			if sizes[0] == sizes[1] && floats.Norm(away, 2) > 1e-11 {
				t.Errorf("%v: %v is across", sizes, away)
			}
			floats.Add(x, away)
			if back := l.Coordinates(x); !floats.EqualApprox(back, v, 1e-11) {
				t.Errorf("%v: moving across changed %v to %v", sizes, v, back)
			}
		}
		// u = v + delta up to sign, with delta of order one.
		u := mat.NewVecDense(sizes[1], nil)
		u.MulVec(n.First.Weight, mat.NewVecDense(sizes[0], l.Point(make([]float64, sizes[1]))))
		for i := range sizes[1] {
			if delta := u.AtVec(i) + n.First.Bias[i]; math.Abs(delta) > 0.6 {
				t.Errorf("%v: unit %d is at %g where its coordinate is zero", sizes, i, delta)
			}
		}
	}
}

func TestLatentRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 0))
	if _, err := NewLatent(units(rng, planted(4, 5, 2, "tanh", 2), 2), 2); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "5 units for 4 inputs") {
		t.Errorf("more units than inputs: %v", err)
	}
	twice := units(rng, planted(4, 3, 2, "tanh", 3), 2)
	twice[2].Direction = twice[0].Direction
	if _, err := NewLatent(twice, 2); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "dependent") {
		t.Errorf("a direction that is there twice: %v", err)
	}
}

// TestStencil: derivatives are as accurate as the stencil says.
func TestStencil(t *testing.T) {
	for _, noise := range []float64{0, 1e-15, 1e-9, 1e-6} {
		for order := 1; order <= 2; order++ {
			for _, s := range []Stencil{newStencil(noise, order), centralStencil(noise, order)} {
				if e := s.Error(noise, order); !(s.Step > 0 && s.Step < 0.5 && e < 0.2) {
					t.Errorf("noise %g, order %d: %+v, error %g", noise, order, s, e)
				}
			}
			if forward, central := newStencil(noise, order), centralStencil(noise, order); forward.Central != (noise > forwardNoise) || !central.Central {
				t.Errorf("noise %g: %+v, %+v", noise, forward, central)
			}
		}
	}
}

// columns checks that the columns of found are those of truth up to order and factor; it returns the largest sine.
func columns(found, truth *mat.Dense) float64 {
	_, m := truth.Dims()
	worst := 0.0
	used := map[int]bool{}
	for l := range m {
		a := mat.Col(nil, l, truth)
		best, at := math.Inf(1), 0
		for k := range m {
			b := mat.Col(nil, k, found)
			floats.Scale(1/floats.Norm(b, 2), b)
			away := slices.Clone(a)
			floats.AddScaled(away, -floats.Dot(a, b), b)
			if sine := floats.Norm(away, 2) / floats.Norm(a, 2); sine < best && !used[k] {
				best, at = sine, k
			}
		}
		used[at] = true
		worst = math.Max(worst, best)
	}
	return worst
}

func TestSecondLayer(t *testing.T) {
	for _, c := range []struct {
		d, m0, m1  int
		activation string
		rate       float64
		known      bool
	}{
		{10, 10, 3, "tanh", 2, false},
		{10, 10, 3, "tanh", 2, true},
		{10, 10, 3, "sigmoid", 1, false},
		{15, 10, 4, "tanh", 2, false},
		{12, 12, 5, "sigmoid", 1, false},
		{8, 8, 1, "tanh", 2, false},
	} {
		t.Run(fmt.Sprintf("%d-%d-%d %s known=%v", c.d, c.m0, c.m1, c.activation, c.known), func(t *testing.T) {
			f := function(t, c.activation)
			n := planted(c.d, c.m0, c.m1, c.activation, 5)
			o := &oracle{n: n, f: f}
			rng := rand.New(rand.NewPCG(8, 0))
			l, err := NewLatent(units(rng, n, c.rate), c.rate)
			if err != nil {
				t.Fatal(err)
			}
			set := settings(t, f)
			if c.known {
				set.M1 = c.m1
			}
			s, err := SecondLayer(t.Context(), o, l, rng, set)
			if err != nil {
				t.Fatal(err)
			}
			if rows, m1 := s.Directions.Dims(); rows != c.m0 || m1 != c.m1 {
				t.Fatalf("%d x %d directions of %d x %d; singular values %v", rows, m1, c.m0, c.m1, s.Singular)
			}
			// The truth: B, in the signs of the coordinates.
			want := mat.NewDense(c.m0, c.m1, nil)
			for i := range c.m0 {
				sign := math.Copysign(1, floats.Dot(n.First.Weight.RawRowView(i), l.Rows.RawRowView(i)))
				for k := range c.m1 {
					want.Set(i, k, sign*n.Second.Weight.At(k, i))
				}
			}
			if sine := columns(s.Directions, want); sine > 1e-3 {
				t.Errorf("columns of B are off by %.1e", sine)
			}
			// What was seen is explained: every row of every gradient.
			for k := range s.points {
				d := s.Shifts.derivative(1, s.points[k])
				for i := range c.m0 {
					fitted := d[i] * floats.Dot(s.Directions.RawRowView(i), mat.Col(nil, k, s.Slopes))
					if e := math.Abs(fitted - s.gradients.At(i, k)); e > 1e-4 {
						t.Errorf("gradient %d at point %d is off by %.1e", i, k, e)
					}
				}
			}

			// And the whole network, from rows where everything moves.
			x := mat.NewDense(600, c.d, nil)
			for k := range 600 {
				v := make([]float64, c.m0)
				for i := range v {
					v[i] = 6*rng.Float64() - 3
				}
				x.SetRow(k, l.Point(v))
			}
			y, err := o.Ask(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			start := s.Network(f, c.activation, c.activation, x, y, rng)
			if err := start.Check(); err != nil {
				t.Fatal(err)
			}
			comparison, err := network.Compare(n, start, f.Facts(), f.Facts())
			if err != nil {
				t.Fatal(err)
			}
			if comparison.MaxError > 1e-2 {
				t.Errorf("the start is at distance %.1e", comparison.MaxError)
			}
		})
	}
}

func TestSecondLayerRefuses(t *testing.T) {
	f := function(t, "tanh")
	for _, c := range []struct {
		d, m0, m1 int
		says      string
	}{
		{4, 2, 1, "2 units"},
		{6, 6, 6, "for 6 of the first"},
		{5, 5, 4, "for 5 of the first"},
	} {
		n := planted(c.d, c.m0, c.m1, "tanh", 6)
		rng := rand.New(rand.NewPCG(9, 0))
		l, err := NewLatent(units(rng, n, 2), 2)
		if err != nil {
			t.Fatal(err)
		}
		s, err := SecondLayer(t.Context(), &oracle{n: n, f: f}, l, rng, settings(t, f))
		if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d-%d-%d: %v, %v", c.d, c.m0, c.m1, s, err)
		}
	}
}

// TestBudget: the oracle's error is passed on.
func TestBudget(t *testing.T) {
	n := planted(8, 8, 3, "tanh", 7)
	f := function(t, "tanh")
	for _, rows := range []int64{0, 60, 150} {
		rng := rand.New(rand.NewPCG(10, 0))
		l, err := NewLatent(units(rng, n, 2), 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := SecondLayer(t.Context(), limited{&oracle{n: n, f: f}, rows}, l, rng, settings(t, f)); !fault.Is(err, fault.Budget) {
			t.Errorf("after %d rows: %v", rows, err)
		}
	}
}

type limited struct {
	*oracle
	rows int64
}

func (l limited) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if r, _ := x.Dims(); l.q+int64(r) > l.rows {
		return nil, fault.New(fault.Budget, "spent")
	}
	return l.oracle.Ask(ctx, x)
}

// TestSleepingUnits: second-layer units with long weights are nearly steps, and most of them sleep wherever one looks at
// random.
func TestSleepingUnits(t *testing.T) {
	f := function(t, "tanh")
	found := 0
	const seeds = 12
	for seed := range uint64(seeds) {
		n := planted(10, 10, 3, "tanh", seed)
		for l := range 3 {
			floats.Scale(20, n.Second.Weight.RawRowView(l))
			n.Second.Bias[l] *= 10
		}
		rng := rand.New(rand.NewPCG(seed, 11))
		l, err := NewLatent(units(rng, n, 2), 2)
		if err != nil {
			t.Fatal(err)
		}
		s, err := SecondLayer(t.Context(), &oracle{n: n, f: f}, l, rng, settings(t, f))
		if err != nil {
			t.Logf("seed %d: %v", seed, err)
			continue
		}
		if s.M1() == 3 {
			want := mat.NewDense(10, 3, nil)
			for i := range 10 {
				sign := math.Copysign(1, floats.Dot(n.First.Weight.RawRowView(i), l.Rows.RawRowView(i)))
				for k := range 3 {
					want.Set(i, k, sign*n.Second.Weight.At(k, i))
				}
			}
			if columns(s.Directions, want) < 0.02 {
				found++
			}
		}
	}
	if found < seeds*3/4 {
		t.Errorf("all three sleeping units found for %d of %d seeds", found, seeds)
	}
}

// TestMend: a unit whose norm was measured wrongly is given its own, and its shift, from the gradients.
func TestMend(t *testing.T) {
	f := function(t, "tanh")
	n := planted(10, 10, 3, "tanh", 3)
	rng := rand.New(rand.NewPCG(4, 11))
	all := units(rng, n, 2)
	all[4].Decay *= 3
	l, err := NewLatent(all, 2)
	if err != nil {
		t.Fatal(err)
	}
	s, err := SecondLayer(t.Context(), &oracle{n: n, f: f}, l, rng, settings(t, f))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Shifts.Stretch[4] * 3; math.Abs(got-1) > 1e-2 {
		t.Errorf("the norm that was measured wrongly is mended to %g of what it is", got)
	}
	if s.M1() != 3 {
		t.Errorf("%d units of the second layer instead of 3", s.M1())
	}
}
