package paper

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/subspace"
	"github.com/nnid/nnid/core/teachers"
)

func span(t *testing.T, vectors *mat.Dense) *subspace.Subspace {
	t.Helper()
	s, err := subspace.FromRankOne(vectors)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func condition(t *testing.T, v Verified, name string) Condition {
	t.Helper()
	for _, c := range v.Conditions {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no condition %q among %v", name, v.Conditions)
	return Condition{}
}

func named(list []Condition) map[string]Condition {
	byName := map[string]Condition{}
	for _, c := range list {
		byName[c.Name] = c
	}
	return byName
}

// aCurve are three rank-ones of a curve of them, in eight dimensions.
func aCurve() *mat.Dense {
	w := mat.NewDense(8, 3, nil)
	for j, x := range [][2]float64{{1, 0}, {0, 1}, {math.Sqrt(0.5), math.Sqrt(0.5)}} {
		w.Set(0, j, x[0])
		w.Set(1, j, x[1])
	}
	return w
}

// blur returns the w_j w_j^T with random symmetric matrices of about the given norm added.
func blur(w *mat.Dense, norm float64) []mat.Symmetric {
	rng := random(21)
	d, k := w.Dims()
	list := make([]mat.Symmetric, k)
	for j := range list {
		h := outerProduct(mat.Col(nil, j, w))
		for a := range d {
			for b := a; b < d; b++ {
				h.SetSym(a, b, h.At(a, b)+norm/float64(d)*rng.NormFloat64())
			}
		}
		list[j] = h
	}
	return list
}

// Each condition on a case where it holds and one where it does not.
func TestConditions(t *testing.T) {
	o := parse(t, nil)
	w := directions(2, 8, 10)
	s := span(t, w)
	all, err := verify(s, w, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for j, v := range all {
		if !v.Accepted || v.Error > 1e-6 {
			t.Errorf("vector %d of an exact subspace is not accepted: %v", j, v.Conditions)
		}
	}
	single := func(s *subspace.Subspace, x []float64, bars []float64) Verified {
		t.Helper()
		m := mat.NewDense(len(x), 1, nil)
		floats.Scale(1/floats.Norm(x, 2), x)
		m.SetCol(0, x)
		v, err := verify(s, m, bars, o)
		if err != nil {
			t.Fatal(err)
		}
		return v[0]
	}
	// A vector that has nothing to do with the subspace.
	stranger := single(s, mat.Col(nil, 0, directions(77, 8, 1)), nil)
	for _, name := range []string{CondRankOne, CondStationary} {
		if c := condition(t, stranger, name); c.Holds {
			t.Errorf("a random vector: %s", c)
		}
	}
	if stranger.Accepted {
		t.Error("a random vector is accepted")
	}
	// The mean of two orthogonal vectors in their span: lambda_1 = lambda_2.
	e := mat.NewDense(4, 2, []float64{1, 0, 0, 1, 0, 0, 0, 0})
	if c := condition(t, single(span(t, e), []float64{1, 1, 0, 0}, nil), CondGap); c.Holds {
		t.Errorf("two equal eigenvalues: %s", c)
	}
	// A curve of rank-ones (x a + y b)^2: every one is stationary, none is a strict maximum.
	curve := mat.NewDense(4, 3, []float64{1, 0, math.Sqrt(0.5), 0, 1, math.Sqrt(0.5), 0, 0, 0, 0, 0, 0})
	flat := single(span(t, curve), []float64{1, 0.3, 0, 0}, nil)
	if c := condition(t, flat, CondStrict); c.Value < 0.999 {
		t.Errorf("on a curve of rank-ones: %s", c)
	}
	if c := condition(t, flat, CondStationary); !c.Holds {
		t.Errorf("on a curve of rank-ones: %s", c)
	}
	if c := condition(t, all[0], CondStrict); !(c.Value < 0.95) {
		t.Errorf("at an isolated rank-one: %s", c)
	}
	// An error bar beyond the bound.
	if v := single(s, mat.Col(nil, 3, w), []float64{0.9}); v.Accepted || condition(t, v, CondBar).Holds {
		t.Errorf("an error bar of 0.9: %v", v.Conditions)
	}
	if v := single(s, mat.Col(nil, 3, w), []float64{1e-3}); !v.Accepted {
		t.Errorf("an error bar of 1e-3: %v", v.Conditions)
	}
	// A subspace that is off: the local maximum near w_0 has moved, and the residual says so.
	off := mat.DenseCopyOf(w)
	off.SetCol(0, mat.Col(nil, 0, directions(5, 8, 1)))
	if v := single(span(t, off), mat.Col(nil, 0, w), nil); v.Accepted {
		t.Errorf("a vector that is missing in the subspace is accepted: %v", v.Conditions)
	}

	set := func(vectors *mat.Dense, wanted int) map[string]Condition {
		t.Helper()
		list, err := verifySet(s, vectors, wanted, o)
		if err != nil {
			t.Fatal(err)
		}
		return named(list)
	}
	good := set(w, 10)
	if !good[CondSetCount].Holds || !good[CondSetRiesz].Holds || good[CondSetAngle].Value > 1e-6 {
		t.Errorf("an exact set: %v", good)
	}
	if c := set(mat.DenseCopyOf(w.Slice(0, 8, 0, 9)), 10)[CondSetCount]; c.Holds {
		t.Errorf("one vector too few: %s", c)
	}
	twins := mat.DenseCopyOf(w)
	close := mat.Col(nil, 0, w)
	close[0] += 1e-2
	floats.Scale(1/floats.Norm(close, 2), close)
	twins.SetCol(9, close)
	if c := set(twins, 10)[CondSetRiesz]; c.Holds {
		t.Errorf("two vectors at an angle of 1e-2: %s", c)
	}
	if c := set(off, 10)[CondSetAngle]; c.Value < 0.1 {
		t.Errorf("a set that is not the subspace's: %s", c)
	}
	// The certificates without a gap: everything of rank one is found and nothing else; what is not in W shows.
	if good[CondSetMinors].Value != 10 || !good[CondSetObjective].Holds || good[CondSetObjective].Value < 1-1e-12 || !good[CondSetIsolated].Holds {
		t.Errorf("an exact set: %v", good)
	}
	if c := set(off, 10)[CondSetObjective]; c.Holds {
		t.Errorf("a vector that is not in the subspace: %s", c)
	}
	if c := set(aCurve(), 3)[CondSetIsolated]; c.Holds {
		t.Errorf("a curve of rank-ones: %s", c)
	}
	blurred, err := subspace.Span(blur(w, 0.3), 10)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := verifySet(blurred, nil, 10, o); err != nil || named(list)[CondSetMinors].Holds {
		t.Errorf("a subspace without rank-ones: %v (%v)", list, err)
	}
	basis := mat.NewDense(8, 8, nil)
	for i := range 8 {
		basis.Set(i, i, 1)
	}
	if c := set(basis, 8)[CondSetFrame]; math.Abs(c.Value) > 1e-12 || !c.Holds {
		t.Errorf("orthonormal vectors: %s", c)
	}
}

// A vector that lives on the last singular vectors, which the samples hardly show, moves when they are left out; one that the
// leading ones hold does not. Behind a gap, and without more than d+1 dimensions, nothing is left out.
func TestDisplacement(t *testing.T) {
	const d = 8
	w, wrong := directions(31, d, d+1), directions(32, d, 3)
	samples := func(small, noise float64) []mat.Symmetric {
		rng := random(33)
		var list []mat.Symmetric
		for range 60 {
			h := mat.NewSymDense(d, nil)
			for j := range d + 1 {
				addScaled(h, rng.NormFloat64(), outerProduct(mat.Col(nil, j, w)))
			}
			for j := range 3 {
				addScaled(h, small*rng.NormFloat64(), outerProduct(mat.Col(nil, j, wrong)))
			}
			for i := range d {
				for j := i; j < d; j++ {
					h.SetSym(i, j, h.At(i, j)+noise*rng.NormFloat64())
				}
			}
			list = append(list, h)
		}
		return list
	}
	span := func(small, noise float64, m int) *subspace.Subspace {
		s, err := subspace.Span(samples(small, noise), m)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := span(1e-2, 5e-3, d+4)
	all := mat.NewDense(d, d+4, nil)
	for j := range d + 4 {
		if j <= d {
			all.SetCol(j, mat.Col(nil, j, w))
		} else {
			all.SetCol(j, mat.Col(nil, j-d-1, wrong))
		}
	}
	o := parse(t, nil)
	for j, moved := range displacement(s, all, o.GapMin) {
		if right := j <= d; (moved <= o.MovedMax) != right || right && moved > 0.05 {
			t.Errorf("vector %d of %d right ones moves by %.3f", j, d+1, moved)
		}
	}
	if moved := displacement(span(1, 1e-4, d+4), all, o.GapMin); moved != nil {
		t.Errorf("behind a gap: %v", moved)
	}
	if moved := displacement(span(1e-2, 5e-3, d+1), w, o.GapMin); moved != nil {
		t.Errorf("d+1 dimensions: %v", moved)
	}
}

// The symmetry of the third derivative tells true vectors from one that only makes up for what is left over.
func TestAlignment(t *testing.T) {
	const d, m, n = 8, 10, 200
	w := directions(3, d, m)
	points := draw(random(4), wordSphere, n, d, 0.3)
	var list []*mat.SymDense
	for k := range n {
		h := mat.NewSymDense(d, nil)
		for j := range m {
			v := mat.NewVecDense(d, mat.Col(nil, j, w))
			u := floats.Dot(v.RawVector().Data, points.RawRowView(k))
			if j == 1 { // an extremum at 0: no gradient there
				u = 3 * u * u
			}
			h.SymRankOne(h, 0.1+u, v)
		}
		list = append(list, h)
	}
	for j, c := range alignment(points, list, w) {
		if c < 0.9999 {
			t.Errorf("vector %d: %.4f", j, c)
		}
	}
	wrong := mat.DenseCopyOf(w)
	wrong.SetCol(2, mat.Col(nil, 0, directions(9, d, 1)))
	if c := alignment(points, list, wrong)[2]; c > 0.9 {
		t.Errorf("a false vector: %.4f", c)
	}
	if alignment(nil, nil, w) != nil {
		t.Error("there is an alignment without Hessians")
	}
}

// What a joint fit leaves unexplained: rounding where rank-ones made the samples, more than the bound where they drift.
func TestMisfit(t *testing.T) {
	const d, m = 8, 10
	w := directions(3, d, m)
	for _, drift := range []float64{0, 0.5} {
		rng := random(4)
		var list []mat.Symmetric
		for range 60 {
			h := mat.NewSymDense(d, nil)
			for j := range m {
				x := mat.Col(nil, j, w)
				for i := range x {
					x[i] += drift * rng.NormFloat64() / math.Sqrt(d)
				}
				h.SymRankOne(h, rng.NormFloat64(), mat.NewVecDense(d, x))
			}
			list = append(list, h)
		}
		s, err := subspace.Span(list, m)
		if err != nil {
			t.Fatal(err)
		}
		misfit, bound := newJoint(s).misfit(w), parse(t, nil).MisfitMax
		if drift == 0 && misfit > 1e-12 || drift > 0 && misfit < 2*bound {
			t.Errorf("drift %g: the misfit is %.1e", drift, misfit)
		}
	}
}

// After least squares on all parameters the network found decides on the candidates; one that does not agree with the
// function decides nothing, and the misfit of the joint fit does again.
func TestConfirm(t *testing.T) {
	g := function(t, "tanh")
	n := teachers.Planted(teachers.Size{Inputs: 8, M0: 6, M1: 2}, 0.3, "tanh", 1).Network
	a, v := weights(n, g)
	lift, w := mat.QR{}, append(append(a[:5:5], v...), mat.Col(nil, 0, directions(9, 8, 1))) // one a_i is missing, one vector is false
	lift.Factorize(n.First.Weight.T())
	var full, inside mat.Dense
	lift.QTo(&full)
	q := mat.DenseCopyOf(full.Slice(0, 8, 0, 6))
	inside.Mul(q.T(), columns(w, 8))
	vectors := split(&inside)
	for _, x := range vectors {
		floats.Scale(1/floats.Norm(x, 2), x)
	}
	for _, exact := range []bool{true, false} {
		r := &run{problem: problem(nil, 8, 6, 2, g, "tanh", nil), options: parse(t, nil), function: g, result: &Result{Network: n, Uniform: &Uniform{Relative: 1}}}
		r.settings = Settings{Refine: true}
		r.report = report{&r.settings}
		if exact {
			r.result.Uniform.Relative = 1e-12
		}
		r.state = &State{Reduction: q, Vectors: columns(vectors, 6), Joint: true, Subspace: span(t, columns(vectors, 6))}
		verified := make([]Verified, len(vectors))
		for j := range verified {
			verified[j] = Verified{Accepted: true, Conditions: []Condition{shown(upper(CondMisfit, 0.5, 0.03))}}
		}
		if _, err := r.accept(verified); err != nil || len(r.result.Accepted) != 8 {
			t.Fatalf("accepted: %v (%v)", r.result.Accepted, err)
		}
		if err := r.confirm(); err != nil {
			t.Fatal(err)
		}
		want := []int{0, 1, 2, 3, 4, 5, 6}
		if !exact {
			want = nil
		}
		if !slices.Equal(r.result.Accepted, want) {
			t.Errorf("exact network: %v; accepted %v, wanted %v", exact, r.result.Accepted, want)
		}
		if exact {
			for j, v := range r.result.Candidates {
				if c := condition(t, v, CondNetwork); c.Holds != (j < 7) {
					t.Errorf("candidate %d: %s", j, c)
				}
			}
		}
	}
}

func problem(a *asker, d, m0, m1 int, g core.Function, name string, s core.Solver) Problem {
	return Problem{Oracle: a, Inputs: d, Candidates: []Candidate{{name, g}}, M0: m0, M1: m1, Solver: s, SolverName: "spectral"}
}

// In the paper's setting the conditions tell the candidates of the published program apart: hardly any right one is rejected,
// and no accepted one is far from all a_i and v_l.
func TestSeparation(t *testing.T) {
	const d, m0, m1 = 20, 20, 5
	g := function(t, "tanh")
	n := teachers.Planted(teachers.Size{Inputs: d, M0: m0, M1: m1}, 0.05, "tanh", 1000).Network
	result, err := Run(t.Context(), problem(hide(n, g), d, m0, m1, g, "tanh", solver(t, "spectral")), Settings{
		Options: parse(t, core.Options{"hessians": "150"}), Seed: 1, StopAfter: StageVerify,
	})
	if err != nil {
		t.Fatal(err)
	}
	a, v := weights(n, g)
	right, kept := 0, 0
	for j, w := range split(result.State.Vectors) {
		accepted, far := result.Candidates[j].Accepted, math.Inf(1)
		for _, x := range append(a, v...) {
			far = math.Min(far, distance(w, x))
		}
		if far < 0.316 { // |cos| > 0.95
			right++
			if accepted {
				kept++
			}
		} else if accepted && far > 0.65 { // |cos| < 0.79
			t.Errorf("candidate %d, at %.2f from all weights, is accepted", j, far)
		}
	}
	if right < 17 || float64(kept) < 0.8*float64(right) {
		t.Errorf("of 25 vectors %d are found, %d of them accepted", right, kept)
	}
}
