package steps

import (
	"context"
	"math"
	"testing"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/sample"
	"github.com/nnid/nnid/plugins/activations"
)

func function(t *testing.T, name string) core.Function {
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

// profile is the step of f(z) = 2 + z/4 + z^2/25 with z = g(norm s + shift), as far as saturation sampling sees it.
func profile(g core.Function, norm, shift float64) *sample.Profile {
	f := func(s float64) float64 {
		z := []float64{norm*s + shift}
		g.Apply(0, z, z)
		return 2 + z[0]/4 + z[0]*z[0]/25
	}
	facts := g.Facts()
	p := &sample.Profile{}
	if facts.Left.Rate == 0 || facts.Right.Rate == 0 {
		for k := -10; k <= 10; k++ {
			s := math.Sinh(0.5*float64(k)) / math.Abs(norm)
			p.S, p.Y = append(p.S, s), append(p.Y, f(s))
		}
		return p
	}
	far := 60 / math.Abs(norm)
	height := f(far) - f(-far)
	p.Part = (f(0) - f(-far)) / height
	for _, sign := range []float64{1, -1} {
		tail := sample.Tail{Height: sign * height}
		limit := f(sign * far)
		reach := func(part float64) float64 { // where so much of the step is missing
			low, high := 0.0, far
			for range 60 {
				if m := (low + high) / 2; math.Abs(f(sign*m)-limit) > part*math.Abs(height) {
					low = m
				} else {
					high = m
				}
			}
			return low
		}
		from, to := reach(0.03), reach(1e-5)
		for k := range 5 {
			s := sign * (from + (to-from)*float64(k)/4)
			tail.S, tail.E = append(tail.S, s), append(tail.E, f(s)-limit)
		}
		p.Tails = append(p.Tails, tail)
	}
	return p
}

// TestFit: the activation of a step explains it, with its norm and, where its tails say so, its shift; no other one does.
func TestFit(t *testing.T) {
	fast := []string{"tanh", "erf", "gompertz"}
	slow := []string{"arctan", "softsign"}
	for _, all := range [][]string{fast, slow} {
		for _, name := range all {
			for _, c := range [][2]float64{{1, 0.3}, {-2.5, -0.2}} {
				p := profile(function(t, name), c[0], c[1])
				misfits := map[string]float64{}
				for _, other := range all {
					s, ok := Fit(function(t, other), p)
					if !ok {
						continue
					}
					misfits[other] = math.Sqrt(s.Misfit)
					if other != name {
						continue
					}
					if name != "gompertz" { // point-symmetric: one sign stands for both
						s.Shift *= math.Copysign(1, c[0]*s.Norm)
						s.Norm *= math.Copysign(1, c[0]*s.Norm)
					}
					if math.Abs(s.Norm/c[0]-1) > 0.03 || name != "tanh" && math.Abs(s.Shift-c[1]) > 0.1 {
						t.Errorf("%s %v: %+v", name, c, s)
					}
					if (name == "erf" || name == "gompertz") && (math.Abs(s.Norm/c[0]-1) > 1e-5 || math.Abs(s.Shift-c[1]) > 1e-4) {
						t.Errorf("%s %v: %+v", name, c, s)
					}
				}
				for _, other := range all {
					if other != name && misfits[other] < 30*misfits[name] {
						t.Errorf("%s %v: %v", name, c, misfits)
					}
				}
			}
		}
	}
	for _, name := range []string{"softplus", "sine"} {
		if _, ok := Fit(function(t, name), profile(function(t, "tanh"), 1, 0)); ok {
			t.Errorf("%s explains a step", name)
		}
	}
}
