package paper

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/teachers"
)

// Every stencil is exact on quadratic functions, those of second order on cubic ones; no point is asked twice, and the
// count is the documented one.
func TestStencils(t *testing.T) {
	const r = 5
	rng := random(1)
	q := mat.NewSymDense(r, nil)
	third := make([]float64, r)
	for i := range r {
		third[i] = rng.NormFloat64()
		for j := i; j < r; j++ {
			q.SetSym(i, j, rng.NormFloat64())
		}
	}
	x := []float64{0.3, -0.2, 0.5, 0.1, -0.4}
	for kind, count := range map[string]int{wordForward: 21, wordCentral: 31, wordCross: 51} {
		for _, cubic := range []bool{false, true} {
			f := func(p *mat.Dense) []float64 {
				n, _ := p.Dims()
				y := make([]float64, n)
				for k := range n {
					v := mat.NewVecDense(r, p.RawRowView(k))
					y[k] = 0.5*mat.Inner(v, q, v) + 1
					if cubic {
						y[k] += math.Pow(floats.Dot(third, p.RawRowView(k)), 3) / 6
					}
				}
				return y
			}
			a := &asker{f: f}
			list, err := hessians(t.Context(), a, nil, mat.NewDense(1, r, x), kind, 1e-2, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.asked) != count || stencilPoints(kind, r) != count {
				t.Errorf("%s asks %d points and says %d; wanted %d", kind, len(a.asked), stencilPoints(kind, r), count)
			}
			for i := range a.asked {
				for j := range i {
					if floats.EqualApprox(a.asked[i], a.asked[j], 1e-12) {
						t.Errorf("%s asks the point %v twice", kind, a.asked[i])
					}
				}
			}
			worst := 0.0
			for i := range r {
				for j := i; j < r; j++ {
					want := q.At(i, j)
					if cubic {
						want += third[i] * third[j] * floats.Dot(third, x)
					}
					worst = math.Max(worst, math.Abs(list[0].At(i, j)-want))
				}
			}
			switch exact := !cubic || kind != wordForward; {
			case exact && worst > 1e-9:
				t.Errorf("%s (cubic: %v) is off by %.1e", kind, cubic, worst)
			case !exact && (worst < 1e-4 || worst > 0.2): // first order in the step of 1e-2
				t.Errorf("%s on a cubic function is off by %.1e", kind, worst)
			}
		}
	}
}

// The whole method on a small network: what the solver finds is completed by the joint fit, attributed and assembled.
func TestNetwork(t *testing.T) {
	g := function(t, "tanh")
	n := teachers.Planted(teachers.Size{Inputs: 12, M0: 10, M1: 3}, 0.05, "tanh", 1).Network
	a := hide(n, g)
	result, err := Run(t.Context(), problem(a, 12, 10, 3, g, "tanh", solver(t, "spectral")), Settings{Options: parse(t, core.Options{"method": "extended"}), Seed: 1, Refine: true})
	if err != nil {
		t.Fatal(err)
	}
	if result.State.Reduction == nil {
		t.Error("12 inputs were not reduced to 10")
	} else if _, r := result.State.Reduction.Dims(); r != 10 {
		t.Errorf("12 inputs were reduced to %d", r)
	}
	wa, wv := weights(n, g)
	lift := func(m *mat.Dense) [][]float64 {
		var out mat.Dense
		out.Mul(result.State.Reduction, m)
		return split(&out)
	}
	if k := recalled(wa, lift(result.State.First), 0.1); k < 8 {
		t.Errorf("%d of 10 first-layer vectors are found and attributed", k)
	}
	if k := recalled(wv, lift(result.State.Second), 0.1); k < 3 {
		t.Errorf("%d of 3 entangled vectors are found and attributed", k)
	}
	comparison, err := network.Compare(n, result.Network, g.Facts(), g.Facts())
	if err != nil || comparison.MaxError > 1e-9 {
		t.Errorf("after --refine the parameters are off: %+v (%v)", comparison, err)
	}
	if result.Uniform.Relative > 1e-9 {
		t.Errorf("the uniform error is %+v", result.Uniform)
	}
}

// What a run asks is known beforehand, but for what its answers decide.
func TestPlan(t *testing.T) {
	g := function(t, "tanh")
	n := teachers.Planted(teachers.Size{Inputs: 9, M0: 6, M1: 2}, 0.05, "tanh", 1).Network
	for _, given := range []core.Options{
		{"hessians": "40"}, {"hessians": "40", "stencil": "central", "attribution": "both", "reduce": "hessians"}, {"stencil": "cross", "reduce": "none", "attribution": "drift", "class": "general"},
	} {
		for _, stop := range []string{StageSubspace, StageAttribute, ""} {
			a := hide(n, g)
			s := Settings{Options: parse(t, given), Seed: 1, StopAfter: stop, Refine: stop == ""}
			if _, err := Run(t.Context(), problem(a, 9, 6, 2, g, "tanh", solver(t, "spectral")), s); err != nil {
				t.Fatal(err)
			}
			least, most := Plan(9, 6, 2, s)
			if asked := a.Queries(); asked < least || asked > most || stop == StageSubspace && most > least+18 {
				t.Errorf("%v to %q: %d queries, planned %d to %d", given, stop, asked, least, most)
			}
		}
	}
}

// Without drift (a sum of ridge functions, as if the v_l were frozen) the paper's program alone finds everything, the
// gap says how much there is, and both are so also without sizes.
func TestFrozen(t *testing.T) {
	g := function(t, "tanh")
	w := directions(6, 8, 10)
	f := func(x *mat.Dense) []float64 {
		var u mat.Dense
		u.Mul(x, w)
		rows, m := u.Dims()
		y := make([]float64, rows)
		for k := range rows {
			row := u.RawRowView(k)
			for j := range m {
				row[j] += 0.3 * math.Cos(float64(7*j))
			}
			g.Apply(0, row, row)
			y[k] = floats.Sum(row)
		}
		return y
	}
	for _, sizes := range [][2]int{{8, 2}, {0, 0}} { // given; from the spectrum
		result, err := Run(t.Context(), problem(&asker{f: f}, 8, sizes[0], sizes[1], g, "tanh", solver(t, "spectral")), Settings{
			Options: parse(t, core.Options{"joint": "never", "radius": "1", "stencil": "central", "hessians": "150"}), Seed: 2, StopAfter: StageVerify,
		})
		if err != nil {
			t.Fatal(err)
		}
		if m := result.State.Subspace.Dimension(); m != 10 || result.State.Subspace.Gap() < 1e3 {
			t.Errorf("sizes %v: dimension %d, gap %.1e", sizes, m, result.State.Subspace.Gap())
		}
		if k := recalled(split(w), split(result.State.Vectors), 1e-3); k != 10 || len(result.Accepted) != 10 {
			t.Errorf("sizes %v: %d of 10 found, %d accepted", sizes, k, len(result.Accepted))
		}
	}
}

// In a subspace that is too large the minors still count the rank-ones, where the sizes are wrong and no gap was asked for.
func TestMinorsCount(t *testing.T) {
	g := function(t, "tanh")
	frozen := teachers.Frozen(teachers.Planted(teachers.Size{Inputs: 10, M0: 10, M1: 3}, 0.5, "tanh", 2).Network, g)
	a := &asker{f: func(x *mat.Dense) []float64 { return frozen.Evaluate(g, x) }}
	result, err := Run(t.Context(), problem(a, 10, 10, 3, g, "tanh", solver(t, "spectral")), Settings{
		Options: parse(t, core.Options{"joint": "never", "radius": "1", "stencil": "central", "hessians": "100", "dimension": "17"}), Seed: 2, StopAfter: StageVerify,
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := named(result.Set)[CondSetMinors]; c.Value != 13 || c.Bound != 17 || result.Metrics["minors"] != 13 {
		t.Errorf("13 rank-ones in 17 dimensions: %s", c)
	}
}

// The spectrum tells the dimension where there is a gap of W, whatever sizes are given. A gap that is only that of the
// Taylor series at 0 does not count, and where there is none the run ends with a sentence.
func TestSpectrum(t *testing.T) {
	g := function(t, "tanh")
	planted := teachers.Planted(teachers.Size{Inputs: 10, M0: 10, M1: 3}, 0.5, "tanh", 2).Network
	frozen := teachers.Frozen(planted, g)
	still := func(x *mat.Dense) []float64 { return frozen.Evaluate(g, x) }
	dimension := func(f func(x *mat.Dense) []float64, m0 int, options core.Options) (int, float64, error) {
		t.Helper()
		options["stencil"], options["hessians"] = "central", "100"
		p := problem(&asker{f: f}, 10, m0, 3, g, "tanh", solver(t, "spectral"))
		result, err := Run(t.Context(), p, Settings{Options: parse(t, options), Seed: 1, StopAfter: StageSubspace})
		if result.State.Subspace == nil {
			return 0, 0, err
		}
		return result.State.Subspace.Dimension(), result.State.Subspace.Gap(), err
	}
	for _, radius := range []string{"0.3", "1", "4"} {
		if m, gap, err := dimension(still, 9, core.Options{"radius": radius, "dimension": "spectrum"}); err != nil || m != 13 || gap < 10 {
			t.Errorf("frozen, radius %s: dimension %d instead of 13, gap %.1e (%v)", radius, m, gap, err)
		}
	}
	refused := func(text string, f func(x *mat.Dense) []float64, options core.Options) {
		t.Helper()
		if m, gap, err := dimension(f, 0, options); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: dimension %d, gap %.1e (%v), wanted %q", options, m, gap, err, text)
		}
	}
	refused("give --m0 and --m1", hide(planted, g).f, core.Options{"radius": "1"})
	refused("only parts H(0)", hide(planted, g).f, core.Options{"radius": "0.01"})
	if _, _, err := dimension(still, 0, core.Options{"radius": "1", "gap-bound": "1e9"}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("a gap below the bound: %v", err)
	}
	if m, _, err := dimension(hide(planted, g).f, 0, core.Options{"dimension": "12"}); err != nil || m != 12 {
		t.Errorf("dimension 12 given: %d (%v)", m, err)
	}
	// Exact Hessians: everything behind the gap is rounding.
	state := &State{Points: draw(random(5), wordSphere, 60, 10, 1)}
	for k := range 60 {
		h := mat.NewSymDense(10, nil)
		for j, w := range frozen.Weight {
			u := []float64{floats.Dot(w, state.Points.RawRowView(k)) + frozen.Bias[j]}
			g.Apply(2, u, u)
			h.SymRankOne(h, frozen.Output[j]*u[0], mat.NewVecDense(10, w))
		}
		state.Hessians = append(state.Hessians, h)
	}
	result, err := Run(t.Context(), problem(&asker{f: still}, 10, 0, 0, g, "tanh", solver(t, "spectral")), Settings{Options: parse(t, nil), From: state, StopAfter: StageSubspace})
	if err != nil || result.State.Subspace.Dimension() != 13 || result.State.Subspace.Gap() < 1e10 {
		t.Errorf("exact Hessians: %v (%v)", result.Metrics, err)
	}
}

// The derivative by the unknowns is that of the network they stand for.
func TestPull(t *testing.T) {
	g := function(t, "sigmoid")
	rng := random(8)
	a := directions(10, 5, 4)
	p := directions(11, 4, 3)
	m := &model{g: g, name: "sigmoid", a: a, p: p, scaled: true, output: true, signs: []float64{1, -1, 1}}
	_, _, size := m.sizes()
	q := make([]float64, size)
	for k := range q {
		q[k] = 0.4 * rng.NormFloat64()
	}
	data := refine.Data{X: draw(rng, wordGaussian, 60, 5, 2), Y: make([]float64, 60)}
	_, gradient, _ := m.fit(q, data, false)
	_, same, _ := m.fit(q, data, true)
	for k := range q {
		const h = 1e-6
		up, down := slices.Clone(q), slices.Clone(q)
		up[k] += h
		down[k] -= h
		want := (m.loss(up, data) - m.loss(down, data)) / (2 * h)
		if math.Abs(gradient[k]-want) > 1e-7 || math.Abs(same[k]-want) > 1e-7 {
			t.Errorf("unknown %d: %g and %g instead of %g", k, gradient[k], same[k], want)
		}
	}
}

func TestParting(t *testing.T) {
	for _, c := range []struct {
		evidence []float64
		m0, m1   int
		want     int
	}{
		{[]float64{5, 4, 3, 2, 1}, 3, 2, 2},      // all found: the sizes decide
		{[]float64{9, 8, 0.1, 0.05}, 3, 2, 2},    // one a_i is missing
		{[]float64{9, 0.2, 0.1, 0.05}, 3, 2, 1},  // one v_l is missing
		{[]float64{9, 8, 7, 0.1, 0.05}, 0, 0, 3}, // nothing known
		{nil, 3, 2, 0},
	} {
		if got := parting(c.evidence, c.m0, c.m1); got != c.want {
			t.Errorf("parting(%v, %d, %d) = %d; wanted %d", c.evidence, c.m0, c.m1, got, c.want)
		}
	}
}

// More units than inputs, one hidden layer, biases: the successors' setting.
func TestShallow(t *testing.T) {
	g := function(t, "tanh")
	truth := &network.Shallow{}
	w := directions(12, 6, 9)
	for j := range 9 {
		truth.Weight = append(truth.Weight, mat.Col(nil, j, w))
		truth.Bias = append(truth.Bias, 0.3*math.Cos(float64(3*j)))
		truth.Output = append(truth.Output, float64(1-2*(j%2)))
	}
	p := problem(&asker{f: func(x *mat.Dense) []float64 { return truth.Evaluate(g, x) }}, 6, 9, 0, g, "tanh", solver(t, "spm"))
	p.Shallow = true
	result, err := Run(t.Context(), p, Settings{Options: parse(t, core.Options{"radius": "1", "stencil": "central"}), Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if k := recalled(split(w), split(result.State.First), 1e-3); k != 9 {
		t.Errorf("%d of 9 weights found", k)
	}
	if result.Uniform.Relative > 1e-4 {
		t.Errorf("uniform error %+v", result.Uniform)
	}
}

// Without options every choice is the paper's; method=extended makes the ones that are ours, unless they are given.
func TestMethod(t *testing.T) {
	o := parse(t, nil)
	if o.Joint != "never" || o.Attribution != "saturation" || o.Stencil != "forward" || o.Sampling != "sphere" || o.Radius != 0 || o.Descent != "gradient" || o.Class != "paper" {
		t.Errorf("the defaults are %+v", o)
	}
	if o = parse(t, core.Options{"method": "extended"}); o.Joint != "auto" || o.Attribution != "both" {
		t.Errorf("method=extended: %+v", o)
	}
	if o = parse(t, core.Options{"method": "extended", "attribution": "saturation"}); o.Joint != "auto" || o.Attribution != "saturation" {
		t.Errorf("method=extended and attribution=saturation: %+v", o)
	}
	if got := SolverOptions(DefaultSolver, core.Options{"gamma": "3"}); got["threshold"] == "" || got["gamma"] != "3" {
		t.Errorf("the solver gets %v", got)
	}
	if got := SolverOptions(DefaultSolver, core.Options{"threshold": "0.1"}); got["threshold"] != "0.1" {
		t.Errorf("the solver gets %v", got)
	}
	if got := SolverOptions("spm", nil); got != nil {
		t.Errorf("another solver gets %v", got)
	}
}

func TestOptions(t *testing.T) {
	for option, text := range map[string]string{
		"stencil=backward": "forward, central, cross", "hessians=many": "whole number", "radius=-1": "radius", "joint=maybe": "auto, always, never", "method=ours": "published or extended", "speed=9": "no option",
	} {
		k, v, _ := strings.Cut(option, "=")
		if _, err := Parse(core.Options{k: v}); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s gives %v", option, err)
		}
	}
}

// The bound is followed where it asks for little: rank-ones that the samples show equally.
func TestChernoff(t *testing.T) {
	var pilot []*mat.SymDense
	rng := random(13)
	for range 40 {
		h := mat.NewSymDense(2, nil)
		h.SetSym(0, 0, rng.NormFloat64())
		h.SetSym(1, 1, rng.NormFloat64())
		pilot = append(pilot, h)
	}
	need, err := chernoff(pilot, 2)
	if err != nil || need < 8*2*math.Log(40) || need > 2000 {
		t.Errorf("the bound is %g (%v)", need, err)
	}
}

// Where nothing drifts, twice the dimension is enough and the next ones say so; queries are those of the Hessians taken.
func TestAdaptive(t *testing.T) {
	g := function(t, "tanh")
	planted := teachers.Planted(teachers.Size{Inputs: 10, M0: 10, M1: 3}, 0.5, "tanh", 2).Network
	frozen := teachers.Frozen(planted, g)
	for name, f := range map[string]func(x *mat.Dense) []float64{"frozen": func(x *mat.Dense) []float64 { return frozen.Evaluate(g, x) }, "drifting": hide(planted, g).f} {
		a := &asker{f: f}
		result, err := Run(t.Context(), problem(a, 10, 10, 3, g, "tanh", solver(t, "spectral")), Settings{
			Options: parse(t, core.Options{"radius": "1", "stencil": "central", "hessians": "adaptive", "step": "1e-3"}), Seed: 2, StopAfter: StageSubspace,
		})
		if err != nil {
			t.Fatal(err)
		}
		n, left := len(result.State.Hessians), result.Metrics["held_out"]
		if n < 52 || n > 416 || len(a.asked) < n*stencilPoints(wordCentral, 10) || len(a.asked) > n*stencilPoints(wordCentral, 10)+30 {
			t.Errorf("%s: %d Hessians for %d queries", name, n, len(a.asked))
		}
		if still := name == "frozen"; still != (left < 1e-4) || still != (result.State.Subspace.Gap() > 100) {
			t.Errorf("%s: %.1e of the held-out Hessians is left out, the gap is %.1e", name, left, result.State.Subspace.Gap())
		}
	}
	if _, err := Run(t.Context(), problem(hide(planted, g), 10, 0, 0, g, "tanh", nil), Settings{Options: parse(t, core.Options{"hessians": "adaptive"})}); !fault.Is(err, fault.Usage) {
		t.Errorf("without sizes: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	g := function(t, "tanh")
	n := teachers.Planted(teachers.Size{Inputs: 6, M0: 6, M1: 2}, 0.05, "tanh", 3).Network
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, problem(hide(n, g), 6, 6, 2, g, "tanh", solver(t, "spectral")), Settings{Options: parse(t, nil), Seed: 5, Save: func(string, *State) error { cancel(); return nil }, From: &State{Subspace: span(t, directions(1, 6, 8))}})
	if err == nil {
		t.Error("a cancelled run ends without an error")
	}
}

// The reduced dimension comes from the spectrum of gradients or of Hessians, and there is none where all inputs count.
func TestReduce(t *testing.T) {
	for _, activation := range []string{"tanh", "sigmoid"} {
		g := function(t, activation)
		for _, m0 := range []int{5, 12} {
			n := teachers.Planted(teachers.Size{Inputs: 12, M0: m0, M1: 2}, 0.05, activation, 3).Network
			for _, how := range []string{wordGradients, wordHessians} {
				result, err := Run(t.Context(), problem(hide(n, g), 12, 0, 0, g, activation, nil), Settings{Options: parse(t, core.Options{"reduce": how}), StopAfter: StageReduce, Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				q := result.State.Reduction
				if m0 == 12 {
					if q != nil {
						t.Errorf("%s, %s: 12 dimensions were reduced", activation, how)
					}
					continue
				}
				if q == nil {
					t.Errorf("%s, %s: no reduction: %.1e", activation, how, result.State.ReductionSpectrum)
					continue
				}
				var inside, back mat.Dense
				inside.Mul(n.First.Weight, q)
				back.Mul(&inside, q.T())
				back.Sub(&back, n.First.Weight)
				if _, r := q.Dims(); r != 5 || mat.Norm(&back, 2) > 1e-4 {
					t.Errorf("%s, %s: %d dimensions, the a_i are off by %.1e", activation, how, r, mat.Norm(&back, 2))
				}
			}
		}
	}
}

// Fewer Hessians than dimensions give what they span, and too little of everything, not an error.
func TestFewHessians(t *testing.T) {
	g := function(t, "tanh")
	n := teachers.Planted(teachers.Size{Inputs: 6, M0: 6, M1: 2}, 0.05, "tanh", 3).Network
	result, err := Run(t.Context(), problem(hide(n, g), 6, 6, 2, g, "tanh", solver(t, "spectral")), Settings{Options: parse(t, core.Options{"hessians": "5"}), Seed: 5, StopAfter: StageSubspace})
	if err != nil || result.State.Subspace.Dimension() != 5 {
		t.Errorf("5 Hessians: %v (%v)", result.State.Subspace, err)
	}
}

// A function with smaller third derivatives takes a longer step, and noise never makes one longer than the differences that measure them.
func TestStep(t *testing.T) {
	step := func(scale, noise float64) float64 {
		a := &asker{f: func(x *mat.Dense) []float64 {
			n, _ := x.Dims()
			y := make([]float64, n)
			for k := range y {
				y[k] = scale * math.Pow(floats.Sum(x.RawRowView(k)), 3) / 6
			}
			return y
		}}
		r := &run{problem: Problem{Oracle: a, Inputs: 4}, state: &State{}, noise: noise}
		h, err := r.step(t.Context(), wordForward)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.asked) != thirdLines*thirdPoints {
			t.Errorf("%d points asked", len(a.asked))
		}
		return h
	}
	if one, small := step(1, 1e-16), step(1./64, 1e-16); math.Abs(small/one-4) > 1e-3 {
		t.Errorf("a 64th of the third derivatives makes the step %g times as long", small/one)
	}
	if h := step(0, 1e-4); h > thirdSpacing*1.001 {
		t.Errorf("without third derivatives the step is %g", h)
	}
}
