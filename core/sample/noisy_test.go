package sample

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
)

const stepsWide = 3

// TestSaturateNoisy: through noise all units are found, their directions and offsets to what is said of them, and most norms to a few per cent.
func TestSaturateNoisy(t *testing.T) {
	n, err := network.ReadFile("../../testdata/networks/diabetes-tanh-8-4.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, sigma := range []float64{1e-8, 1e-6, 1e-4} {
		t.Run(fmt.Sprint(sigma), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 1))
			errors := rand.New(rand.NewPCG(3, 2))
			exact := hidden(n)
			o := &Log{Oracle: asker(func(ctx context.Context, x *mat.Dense) ([]float64, error) {
				y, err := exact.Ask(ctx, x)
				for i := range y {
					y[i] += sigma * errors.NormFloat64()
				}
				return y, err
			})}
			s, err := Measure(t.Context(), o, n.Inputs(), false, rng)
			if err != nil {
				t.Fatal(err)
			}
			units, err := Saturate(t.Context(), o, n.Inputs(), *s, rng, SaturationSettings{})
			if err != nil {
				t.Fatal(err)
			}
			found, right := map[int]bool{}, 0
			for _, u := range units {
				at, least := nearestUnit(n, u)
				if least > 8*u.Error {
					t.Errorf("unit %d: direction off by %.1e instead of %.1e", at, least, u.Error)
				}
				// The steep part of a step is where the second layer's slope has it: up to some widths, 1/|a|, from the unit's own hyperplane.
				norm := floats.Norm(n.First.Weight.RawRowView(at), 2)
				sign := math.Copysign(1, floats.Dot(n.First.Weight.RawRowView(at), u.Direction))
				if away := math.Abs(u.Offset - sign*n.First.Bias[at]/norm); away > 8*u.OffsetError+stepsWide/norm {
					t.Errorf("unit %d: offset off by %.1e instead of %.1e", at, away, u.OffsetError)
				}
				if u.OffsetError*norm > 1 {
					t.Errorf("unit %d: the offset's error, %.1e, is more than the width of the step, %.1e", at, u.OffsetError, 1/norm)
				}
				if ratio := u.Decay / 2 / floats.Norm(n.First.Weight.RawRowView(at), 2); ratio > 0.9 && ratio < 1.1 {
					right++
				}
				found[at] = true
			}
			if len(units) != 8 || len(found) != 8 {
				t.Errorf("%d units found, %d different ones, of 8", len(units), len(found))
			}
			if right < 6 {
				t.Errorf("%d norms of 8 are right to a tenth", right)
			}
		})
	}
}

// nearestUnit returns the unit of n's first layer whose direction is nearest to that of u, and how far it is from it.
func nearestUnit(n *network.Network, u Unit) (at int, least float64) {
	least = math.Inf(1)
	for i := range n.First.Neurons() {
		w := append([]float64(nil), n.First.Weight.RawRowView(i)...)
		floats.Scale(1/floats.Norm(w, 2), w)
		if floats.Dot(w, u.Direction) < 0 {
			floats.Scale(-1, w)
		}
		if away := floats.Distance(w, u.Direction, 2); away < least {
			at, least = i, away
		}
	}
	return at, least
}

// rounded is the oracle o, with so many significant digits in its answers.
func rounded(o query.Asker, significant int) *Log {
	return &Log{Oracle: asker(func(ctx context.Context, x *mat.Dense) ([]float64, error) {
		y, err := o.Ask(ctx, x)
		for i, v := range y {
			y[i] = digits(v, significant)
		}
		return y, err
	})}
}

// TestSaturateFaint: steps of 10 to 50 times the noise, as some units of a second layer that is nearly linear make everywhere, are read until their directions are known.
func TestSaturateFaint(t *testing.T) {
	all := 0
	for seed := range uint64(4) {
		n := planted(20, 20, 5, 0.5, "sigmoid", seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		o := rounded(hidden(n), 4)
		s, err := Measure(t.Context(), o, n.Inputs(), false, rng)
		if err != nil {
			t.Fatal(err)
		}
		units, err := Saturate(t.Context(), o, n.Inputs(), *s, rng, SaturationSettings{})
		if err != nil {
			t.Fatal(err)
		}
		found := map[int]bool{}
		for _, u := range units {
			at, least := nearestUnit(n, u)
			if least > 8*u.Error {
				t.Errorf("seed %d, unit %d: direction off by %.1e instead of %.1e", seed, at, least, u.Error)
			}
			found[at] = true
		}
		if len(units) != len(found) {
			t.Errorf("seed %d: %d units found, %d different ones", seed, len(units), len(found))
		}
		all += len(found)
	}
	if all < 79 {
		t.Errorf("%d units found, of 80", all)
	}
}

// TestMeasureAlongHyperplane: that one ray of some runs nearly along a hyperplane, so that it saturates far out, does not make all of f seem that large.
func TestMeasureAlongHyperplane(t *testing.T) {
	step := &function{f: func(x []float64) float64 { return 0.123 + math.Tanh(x[0]) }}
	for seed := range uint64(60) {
		s, err := Measure(t.Context(), rounded(step, 4), 2, false, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if s.Saturation > 400 || s.Noise > 1e-3 {
			t.Errorf("seed %d: f, a step of width 1, saturates at %g, its answers are noisy by %.1e", seed, s.Saturation, s.Noise)
		}
	}
}

// TestSingle: rows are asked, and kept, as a backend of single precision takes them, and never further out.
func TestSingle(t *testing.T) {
	var asked *mat.Dense
	l := &Log{Single: true, Oracle: asker(func(_ context.Context, x *mat.Dense) ([]float64, error) {
		asked = x
		return make([]float64, 2), nil
	})}
	given := mat.NewDense(2, 3, []float64{0.1, -0.1, 1, 1e-60, -math.Pi, 3})
	if _, err := l.Ask(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		for j, v := range l.X[i] {
			want := given.At(i, j)
			if v != asked.At(i, j) || float64(float32(v)) != v || math.Abs(v) > math.Abs(want) || math.Abs(v-want) > 1.2e-7*math.Abs(want)+1e-45 {
				t.Errorf("%g was asked as %g and kept as %g", want, asked.At(i, j), v)
			}
		}
	}
}
