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
				at, least := 0, math.Inf(1)
				for i := range 8 {
					w := append([]float64(nil), n.First.Weight.RawRowView(i)...)
					floats.Scale(1/floats.Norm(w, 2), w)
					if floats.Dot(w, u.Direction) < 0 {
						floats.Scale(-1, w)
					}
					if away := floats.Distance(w, u.Direction, 2); away < least {
						at, least = i, away
					}
				}
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
