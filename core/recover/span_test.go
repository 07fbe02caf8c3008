package recover

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/sample"
)

// TestSpan: the weights of the second layer lie in the span, which has as many dimensions as there are units; a norm and a shift of the first
// layer that are wrong are put right.
func TestSpan(t *testing.T) {
	const d, m0, m1 = 12, 10, 4
	for _, name := range []string{"erf", "gompertz"} {
		truth := planted(d, m0, m1, name, 5)
		g := function(t, name)
		o := &oracle{n: truth, f: g}
		var units []sample.Unit
		for i := range m0 {
			row := truth.First.Weight.RawRowView(i)
			norm := mat.Norm(mat.NewVecDense(d, row), 2)
			direction := make([]float64, d)
			for j := range row {
				direction[j] = row[j] / norm
			}
			unit := sample.Unit{Direction: direction, Offset: truth.First.Bias[i] / norm, Decay: norm, Error: 1e-9}
			switch i {
			case 3:
				unit.Offset += 0.6 / norm
			case 7:
				unit.Decay *= 1.3
			}
			units = append(units, unit)
		}
		middle, err := NewMiddle(o, units, 1, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSpan(t.Context(), middle, g, 1e-16, rand.New(rand.NewPCG(2, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if s.Units() != m1 {
			t.Fatalf("%s: the span has %d dimensions, of %d units", name, s.Units(), m1)
		}
		var inside, back mat.Dense
		inside.Mul(s.Basis.T(), truth.Second.Weight.T())
		back.Mul(s.Basis, &inside)
		back.Sub(&back, truth.Second.Weight.T())
		if away := mat.Norm(&back, 2); away > 1e-5 {
			t.Errorf("%s: weights are outside of the span by %.1e", name, away)
		}
		for _, i := range []int{3, 7} {
			row := truth.First.Weight.RawRowView(i)
			norm := mat.Norm(mat.NewVecDense(d, row), 2)
			if got := mat.Norm(mat.NewVecDense(d, middle.Weight.RawRowView(i)), 2); math.Abs(got/norm-1) > 1e-4 || math.Abs(middle.Shift[i]-truth.First.Bias[i]) > 1e-4 {
				t.Errorf("%s: unit %d has norm %g and shift %g, not %g and %g", name, i, got, middle.Shift[i], norm, truth.First.Bias[i])
			}
		}
		// Points are those of the coordinates returned.
		q := s.Point()
		y, err := s.Ask(t.Context(), mat.NewDense(1, m1, q))
		if err != nil || len(y) != 1 {
			t.Fatalf("%v, %v", y, err)
		}
	}
}

// TestSpanRefuses: with more units than inputs their arguments cannot be set.
func TestSpanRefuses(t *testing.T) {
	truth := planted(4, 6, 2, "erf", 1)
	var units []sample.Unit
	for i := range 6 {
		units = append(units, sample.Unit{Direction: truth.First.Weight.RawRowView(i), Decay: 1})
	}
	middle, err := NewMiddle(&oracle{n: truth, f: function(t, "erf")}, units, 1, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewSpan(t.Context(), middle, function(t, "erf"), 1e-16, rand.New(rand.NewPCG(2, 1)))
	if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "6 units for 4 inputs") {
		t.Errorf("error %v", err)
	}
}
