package certify

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/plugins/activations/tanh"
)

func function(t testing.TB) core.Function {
	t.Helper()
	a, err := tanh.Factory.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := compile.Compile(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// tiny is a network of 3 inputs, 3 and 2 units that its answers determine well.
func tiny() *network.Network {
	n := network.New(3, 3, 2, "tanh", "tanh")
	n.First.Weight = mat.NewDense(3, 3, []float64{1.2, -0.4, 0.3, 0.2, 0.9, -0.7, -0.5, 0.3, 1.1})
	n.First.Bias = []float64{0.3, -0.5, 0.2}
	n.Second.Weight = mat.NewDense(2, 3, []float64{1.1, -0.8, 0.5, 0.4, 0.9, -1.2})
	n.Second.Bias = []float64{0.4, -0.3}
	n.Output = []float64{1.5, -0.8}
	n.OutputBias = 0.2
	return n
}

func places(rng *rand.Rand, rows, d int) *mat.Dense {
	x := mat.NewDense(rows, d, nil)
	x.Apply(func(_, _ int, _ float64) float64 { return 2 * rng.NormFloat64() }, x)
	return x
}

// answers are n's, with Gaussian errors of standard deviation sigma.
func answers(rng *rand.Rand, n *network.Network, f core.Function, x *mat.Dense, sigma float64) refine.Data {
	data := refine.Data{X: x, Y: n.Evaluate(f, f, x)}
	for i := range data.Y {
		data.Y[i] += sigma * rng.NormFloat64()
		data.Sigma = append(data.Sigma, sigma)
	}
	return data
}

func at(t *testing.T, n *network.Network, f core.Function, data refine.Data, dense int) *Certificate {
	t.Helper()
	c, err := At(t.Context(), n, f, f, data, dense)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestErrorBars: the error bars are the scatter of fits to answers with fresh noise.
func TestErrorBars(t *testing.T) {
	f, n := function(t), tiny()
	rng := rand.New(rand.NewPCG(1, 0))
	x := places(rng, 300, 3)
	const sigma, fits = 1e-5, 40
	bars := at(t, n, f, answers(rng, n, f, x, sigma), 1000)
	if len(bars.Undetermined) > 0 || bars.Rows != 300 || !(bars.Condition > 1 && bars.Condition < 1e4) {
		t.Fatalf("certificate %+v", bars)
	}
	if bars.Excess < 0.8 || bars.Excess > 1.2 {
		t.Errorf("residuals %g times what noise explains", bars.Excess)
	}
	squares := make([]float64, 3+2+2+1)
	for range fits {
		fitted, _, err := refine.Levenberg(t.Context(), n, f, f, answers(rng, n, f, x, sigma), refine.Settings{Damping: 1e-9})
		if err != nil {
			t.Fatal(err)
		}
		c, err := network.Compare(n, fitted, f.Facts(), f.Facts())
		if err != nil {
			t.Fatal(err)
		}
		for k, e := range slices.Concat(c.First, c.Second, c.Output, []float64{c.OutputBias}) {
			squares[k] += e * e / fits
		}
	}
	for k, bar := range slices.Concat(bars.First, bars.Second, bars.Output, []float64{bars.OutputBias}) {
		if scatter := math.Sqrt(squares[k]); bar > 2*scatter || scatter > 2*bar {
			t.Errorf("number %d: the error bar is %.2g, fits scatter by %.2g", k, bar, scatter)
		}
		if bar > bars.ErrorBar {
			t.Errorf("number %d exceeds the largest", k)
		}
	}
}

// TestExcess: errors that are larger than expected widen the bars, smaller ones do not narrow them.
func TestExcess(t *testing.T) {
	f, n := function(t), tiny()
	rng := rand.New(rand.NewPCG(2, 0))
	data := answers(rng, n, f, places(rng, 300, 3), 1e-5)
	as := func(sigma float64) *Certificate {
		for i := range data.Sigma {
			data.Sigma[i] = sigma
		}
		return at(t, n, f, data, 1000)
	}
	honest, trusting, modest := as(1e-5), as(1e-7), as(1e-3)
	if r := trusting.Excess / honest.Excess; math.Abs(r-100) > 1e-6 {
		t.Errorf("excess grows by %g", r)
	}
	if r := trusting.ErrorBar / honest.ErrorBar; r < 0.8 || r > 1.25 {
		t.Errorf("believing in errors that are too small changes the error bar by %g", r)
	}
	if r := modest.ErrorBar / honest.ErrorBar; r < 80 || r > 120 {
		t.Errorf("expecting errors 100 times larger changes the error bar by %g", r)
	}
}

// TestProbed: the estimate for large networks is the dense computation to about a third.
func TestProbed(t *testing.T) {
	f, n := function(t), tiny()
	rng := rand.New(rand.NewPCG(3, 0))
	data := answers(rng, n, f, places(rng, 300, 3), 1e-6)
	dense, sparse := at(t, n, f, data, 1000), at(t, n, f, data, 0)
	ratios := slices.Concat(sparse.First, sparse.Second, sparse.Output)
	floats.Div(ratios, slices.Concat(dense.First, dense.Second, dense.Output))
	for k, r := range ratios {
		if r < 0.25 || r > 4 {
			t.Errorf("error bar %d is %.2g times the dense one", k, r)
		}
	}
	if sparse.Condition != 0 || len(sparse.Undetermined) > 0 {
		t.Errorf("certificate %+v", sparse)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := At(ctx, n, f, f, data, 0); err == nil {
		t.Error("a cancelled context is not noticed")
	}
}

func named(c *Certificate, what string) bool {
	return slices.ContainsFunc(c.Undetermined, func(s string) bool { return strings.Contains(s, what) })
}

func TestUndetermined(t *testing.T) {
	f := function(t)
	rng := rand.New(rand.NewPCG(4, 0))
	x := places(rng, 300, 3)
	for _, c := range []struct {
		name   string
		change func(*network.Network)
		sigma  float64
		says   []string
		not    string
	}{
		{"a unit of weight nearly zero", func(n *network.Network) { n.Output[1] = 1e-4 }, 1e-4,
			[]string{"unit 1 of the second layer", "output weight 1"}, "output weight 0"},
		{"a unit without weight", func(n *network.Network) { n.Output[1] = 0 }, 1e-6,
			[]string{"unit 1 of the second layer"}, "unit 0 of the second layer"},
		{"a unit that nobody hears", func(n *network.Network) {
			n.Second.Weight.Set(0, 2, 0)
			n.Second.Weight.Set(1, 2, 0)
		}, 1e-6, []string{"unit 2 of the first layer"}, "unit 1 of the first layer"},
		{"a unit that is saturated everywhere", func(n *network.Network) { n.First.Bias[0] = 1e6 }, 1e-6,
			[]string{"unit 0 of the first layer"}, "unit 1 of the first layer"},
		{"two alike", func(n *network.Network) {
			n.First.Weight.SetRow(1, n.First.Weight.RawRowView(0))
			n.First.Bias[1] = n.First.Bias[0]
		}, 1e-6, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := tiny()
			c.change(n)
			certificate := at(t, n, f, answers(rng, n, f, x, c.sigma), 1000)
			for _, s := range c.says {
				if !named(certificate, s) {
					t.Errorf("%q is not named: %v", s, certificate.Undetermined)
				}
			}
			if c.not != "" && named(certificate, c.not) {
				t.Errorf("%q is named: %v", c.not, certificate.Undetermined)
			}
			if len(certificate.Undetermined) == 0 || certificate.ErrorBar < open {
				t.Errorf("certificate %+v", certificate)
			}
		})
	}
}

func TestTooFewRows(t *testing.T) {
	f, n := function(t), tiny()
	rng := rand.New(rand.NewPCG(5, 0))
	for _, dense := range []int{0, 1000} {
		c := at(t, n, f, answers(rng, n, f, places(rng, n.Parameters()-1, 3), 1e-6), dense)
		if c.Condition != -1 || c.ErrorBar < 1 || !named(c, "the 22 answers do not determine all 23 parameters") {
			t.Errorf("dense up to %d: certificate %+v", dense, c)
		}
	}
	// Enough rows, but all in one place.
	x := places(rng, 100, 3)
	for i := range 100 {
		x.SetRow(i, x.RawRowView(0))
	}
	if c := at(t, n, f, answers(rng, n, f, x, 1e-6), 1000); c.Condition != -1 || !named(c, "do not determine") {
		t.Errorf("one place: certificate %+v", c)
	}
}
