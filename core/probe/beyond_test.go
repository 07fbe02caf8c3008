package probe

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// hyperbolic is tanh; Beyond asks for values alone.
type hyperbolic struct{}

func (hyperbolic) Facts() core.Facts { return core.Facts{} }
func (hyperbolic) Apply(_ int, dst, t []float64) {
	for k, v := range t {
		dst[k] = math.Tanh(v)
	}
}

func TestBeyond(t *testing.T) {
	n := &network.Network{
		First: network.Layer{
			Weight: mat.NewDense(2, 3, []float64{0.9, -0.4, 0.2, 0.3, 0.8, -0.6}), Bias: []float64{0.1, -0.3}, Activation: "tanh",
		},
		Second: network.Layer{Weight: mat.NewDense(1, 2, []float64{0.7, -0.9}), Bias: []float64{0.2}, Activation: "tanh"},
		Output: []float64{1.5}, OutputBias: 0.4,
	}
	f := func(x []float64) float64 {
		return n.Evaluate(hyperbolic{}, hyperbolic{}, mat.NewDense(1, 3, x))[0]
	}
	cut := func(bound float64) func([]float64) float64 {
		return func(x []float64) float64 {
			c := make([]float64, len(x))
			for k, v := range x {
				c[k] = max(-bound, min(bound, v))
			}
			return f(c)
		}
	}
	for name, c := range map[string]struct {
		f    func([]float64) float64
		bar  float64
		want string
	}{
		"the same":            {f, 1e-12, ""},
		"clipped at 1":        {cut(1), 1e-12, "not at a point with |x_k| of about 3,"},
		"clipped far out":     {cut(1e9), 1e-12, ""},
		"another beyond 50":   {func(x []float64) float64 { return f(x) + max(0, math.Abs(x[0])-50) }, 1e-12, "of about 100,"},
		"off, but so it said": {func(x []float64) float64 { return f(x) + 1e-3*math.Abs(x[0]) }, 1e-4, ""},
		"off":                 {func(x []float64) float64 { return f(x) + 1e-3*math.Abs(x[0]) }, 1e-9, "another function"},
	} {
		b := &backend{f: c.f}
		text, err := Beyond(t.Context(), b, Found{Network: n, G: hyperbolic{}, H: hyperbolic{}, ErrorBar: c.bar, MaxError: 1e-14}, 1)
		if err != nil || (c.want == "") != (text == "") || !strings.Contains(text, c.want) || b.asked > 15 {
			t.Errorf("%s: %q, %v, %d points", name, text, err, b.asked)
		}
	}
	if text, err := Beyond(t.Context(), &backend{f: cut(1), most: 2}, Found{Network: n, G: hyperbolic{}, H: hyperbolic{}}, 1); text != "" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}
