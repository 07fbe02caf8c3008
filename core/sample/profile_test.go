package sample

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// TestAlgebraic: units of an activation with algebraic tails are found from farther out.
func TestAlgebraic(t *testing.T) {
	n := planted(8, 8, 3, 0.5, "arctan", 3)
	g := plain(math.Atan)
	o := &function{f: func(x []float64) float64 { return n.Evaluate(g, g, mat.NewDense(1, len(x), x))[0] }}
	rng := rand.New(rand.NewPCG(4, 4))
	scales, err := Measure(t.Context(), o, 8, false, rng)
	if err != nil {
		t.Fatal(err)
	}
	if !scales.Algebraic {
		t.Fatalf("scales %+v", scales)
	}
	if _, err := Saturate(t.Context(), o, 8, *scales, rng, SaturationSettings{}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("exponential tails were looked for: %v", err)
	}
	units, err := Saturate(t.Context(), o, 8, *scales, rng, SaturationSettings{Explain: func(p *Profile) float64 {
		if len(p.S) == 0 || len(p.S) != len(p.Y) || len(p.Tails) > 0 {
			t.Errorf("profile %+v", p)
		}
		return 0
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(units) != 8 {
		t.Fatalf("%d units, %d queries", len(units), o.queries)
	}
	for _, u := range units {
		best := 0.0
		for i := range 8 {
			best = math.Max(best, math.Abs(floats.Dot(u.Direction, n.First.Weight.RawRowView(i))))
		}
		if 1-best > 1e-12 {
			t.Errorf("a direction is off: 1 - |cos| = %.1e", 1-best)
		}
	}
}

// TestNotAlgebraic: neither exponential tails nor growth pass for algebraic.
func TestNotAlgebraic(t *testing.T) {
	for name, g := range map[string]func(float64) float64{"tanh": math.Tanh, "linear": func(t float64) float64 { return t }, "log": func(t float64) float64 { return math.Log1p(t * t) }} {
		at := map[float64][2]float64{}
		for r := 0.25; r <= 65536; r *= rayFactor {
			at[r] = [2]float64{g(0.3 * r), g(-0.2 * r)}
		}
		if _, ok := algebraicTail(at, 0.25, 65536, 1e-10, 2); ok {
			t.Errorf("%s passes for algebraic", name)
		}
	}
}
