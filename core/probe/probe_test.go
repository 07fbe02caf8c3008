package probe

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// backend answers f, bent by what a batch may do to it.
type backend struct {
	f      func(x []float64) float64
	bend   func(number int64, place int, y float64) float64 // may be nil
	most   int64                                            // rows before its budget is spent; 0: no limit
	domain float64
	asked  int64
	t      *testing.T
}

func (b *backend) Queries() int64 { return b.asked }
func (b *backend) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	rows, _ := x.Dims()
	if b.most > 0 && b.asked+int64(rows) > b.most {
		return nil, fault.New(fault.Budget, "spent")
	}
	y := make([]float64, rows)
	for i := range y {
		for _, v := range x.RawRowView(i) {
			if b.domain > 0 && math.Abs(v) > b.domain {
				b.t.Fatalf("%v is outside the domain", v)
			}
		}
		y[i] = b.f(x.RawRowView(i))
		if b.bend != nil {
			y[i] = b.bend(b.asked, i, y[i])
		}
		b.asked++
	}
	return y, nil
}

func model(x []float64) float64 {
	a, b := math.Tanh(0.9*x[0]-0.4*x[1]+0.2*x[2]+0.1), math.Tanh(0.3*x[0]+0.8*x[1]-0.6*x[2]-0.3)
	return 0.4 + 1.5*math.Tanh(0.7*a-0.9*b+0.2) - math.Tanh(0.2*a+0.5*b)
}

func clipped(bound float64) func(x []float64) float64 {
	return func(x []float64) float64 {
		cut := make([]float64, len(x))
		for k, v := range x {
			cut[k] = max(-bound, min(bound, v))
		}
		return model(cut)
	}
}

func forest(x []float64) float64 {
	y := 0.0
	for k, v := range x {
		for _, at := range []float64{-0.7, -0.2, 0.3, 0.9} {
			if v > at*(1+0.1*float64(k)) {
				y += 0.3 + at
			}
		}
	}
	return y
}

func TestFindings(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		f    func(x []float64) float64
		bend func(number int64, place int, y float64) float64
		want string // "" for nothing found
	}{
		"honest":       {model, nil, ""},
		"linear":       {func(x []float64) float64 { return x[0] + 2*x[1] }, nil, ""},
		"linear units": {func(x []float64) float64 { return max(0, x[0]+2*x[1]) + max(0, x[2]) + x[0] }, nil, ""},
		"relu":         {func(x []float64) float64 { return max(0, 3-x[0]) + max(0, 4-x[1]) + max(0, 5-x[2]-0.1*x[0]) }, nil, "units with a kink"},
		"bump":         {func(x []float64) float64 { return math.Exp(-x[0]*x[0] - x[1]*x[1]) }, nil, ""},
		"rounding":     {model, func(_ int64, place int, y float64) float64 { return y * (1 + 1e-15*float64(place)) }, ""},
		"noise":        {model, func(_ int64, _ int, y float64) float64 { return y + 1e-6*random.NormFloat64() }, "are not repeatable"},
		"drift":        {model, func(n int64, _ int, y float64) float64 { return y + 1e-6*float64(n) }, "drift: the same 8 points, asked again one by one, had answers that are all higher, by 8.0e-06"},
		"order":        {model, func(_ int64, place int, y float64) float64 { return y + 1e-6*float64(place) }, "depend on the batch"},
		"labels":       {func(x []float64) float64 { return math.Round(model(x)) }, nil, "labels or counts"},
		"probability":  {func(x []float64) float64 { return 0.25 + 0.5*math.Round(model(x)/4+0.5) }, nil, "different answers at 8 random points"},
		"clipped at 1": {clipped(1), nil, "= 1, in the middle of a slope: inputs beyond that are clipped"},
		"clipped at 3": {clipped(3), nil, "= 3, in the middle of a slope: inputs beyond that are clipped"},
		"forest":       {forest, nil, "it jumps at x_"},
	} {
		b := &backend{f: c.f, bend: c.bend}
		findings, err := Answers(t.Context(), b, Settings{Inputs: 3, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(findings, "; ")
		if (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
		if b.asked > 150 {
			t.Errorf("%s: %d points were asked", name, b.asked)
		}
		t.Logf("%s: %d points, %s", name, b.asked, text)
	}
}

func TestStaleCache(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	last := 0.0
	b := &backend{f: model, bend: func(n int64, _ int, y float64) float64 {
		if n > 0 && random.Float64() < 0.3 {
			y = last
		}
		last = y
		return y
	}}
	findings, err := Answers(t.Context(), b, Settings{Inputs: 3, Seed: 1})
	if err != nil || len(findings) != 1 || !strings.Contains(findings[0], "are not repeatable") {
		t.Errorf("%q, %v", findings, err)
	}
}

func TestLimits(t *testing.T) {
	b := &backend{f: clipped(0.5), domain: 0.75, t: t}
	findings, err := Answers(t.Context(), b, Settings{Inputs: 3, Domain: 0.75, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(findings)
	for most := int64(1); most < 80; most += 7 {
		b := &backend{f: model, most: most}
		if findings, err := Answers(t.Context(), b, Settings{Inputs: 3, Seed: 1}); err != nil || len(findings) > 0 || b.asked > most {
			t.Errorf("a budget of %d: %v, %v, %d asked", most, findings, err, b.asked)
		}
	}
	broken := errors.New("gone")
	if _, err := Answers(t.Context(), failing{broken}, Settings{Inputs: 3}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Queries() int64                                     { return 0 }
func (f failing) Ask(context.Context, *mat.Dense) ([]float64, error) { return nil, f.err }
