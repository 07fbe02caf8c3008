package certify

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// TestRadius: the hidden network is within the radius of the one fitted, whatever the noise, and the radius grows with it.
func TestRadius(t *testing.T) {
	f, n := function(t), tiny()
	rng := rand.New(rand.NewPCG(5, 0))
	last := 0.0
	for _, sigma := range []float64{1e-14, 1e-11, 1e-8} {
		data := answers(rng, n, f, places(rng, 300, 3), sigma)
		fitted, _, err := refine.Levenberg(t.Context(), n, f, f, data, refine.Settings{Damping: 1e-9})
		if err != nil {
			t.Fatal(err)
		}
		r := at(t, fitted, f, data, 1000).Radius
		if !r.Given {
			t.Fatalf("sigma %g: no radius: %s", sigma, r.Reason)
		}
		c, err := network.Compare(n, fitted, f.Facts(), f.Facts())
		if err != nil {
			t.Fatal(err)
		}
		if !(c.MaxError <= r.Within) || !(r.H <= 0.5) || !(r.Unique > r.Within) {
			t.Errorf("sigma %g: the truth is at %.2g of %+v", sigma, c.MaxError, r)
		}
		if r.Within < last || r.Within > 1e4*sigma+1e-10 {
			t.Errorf("sigma %g: radius %g after %g", sigma, r.Within, last)
		}
		last = r.Within
	}
}

// TestNoRadius: it says why there is none.
func TestNoRadius(t *testing.T) {
	f := function(t)
	rng := rand.New(rand.NewPCG(6, 0))
	refused := func(name string, n *network.Network, f core.Function, sigma float64, reason string) {
		t.Helper()
		r := at(t, n, f, answers(rng, n, f, places(rng, 300, 3), sigma), 1000).Radius
		if r == nil || r.Given || !strings.Contains(r.Reason, reason) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	refused("noise of 1e-4", tiny(), f, 1e-4, "Kantorovich's theorem needs 1/2")
	close := tiny()
	row := close.Second.Weight.RawRowView(1)
	copy(row, close.Second.Weight.RawRowView(0))
	row[0] += 1e-3
	close.Second.Bias[1] = close.Second.Bias[0]
	refused("two units that nearly coincide", close, f, 1e-10, "")
	refused("a function without bounds", tiny(), plain{f}, 1e-12, "no bound")
}

// plain hides that a function knows its bounds.
type plain struct{ f core.Function }

func (p plain) Facts() core.Facts                    { return p.f.Facts() }
func (p plain) Apply(order int, dst, from []float64) { p.f.Apply(order, dst, from) }

// TestAnalysis: Jacobians within the ball differ by no more than the curvature says, the smallest singular value is no less than its
// bound, and both are within a factor of what there is.
func TestAnalysis(t *testing.T) {
	f, n := function(t), tiny()
	rng := rand.New(rand.NewPCG(7, 0))
	data := answers(rng, n, f, places(rng, 200, 3), 1e-9)
	tri, _ := decompose(n, f, f, data)
	p := n.Parameters()
	scaled := func(at *network.Network) *mat.Dense {
		j := mat.NewDense(200, p, nil)
		refine.Jacobian(at, f, f, data, j)
		for r := range 200 {
			floats.Mul(j.RawRowView(r), tri.scale)
		}
		return j
	}
	here := scaled(n)
	var svd mat.SVD
	svd.Factorize(here, mat.SVDNone)
	smallest := svd.Values(nil)[p-1]
	if low := tri.smallest(200); !(low <= smallest && low >= 0.5*smallest) {
		t.Errorf("smallest singular value %g, bound %g", smallest, low)
	}
	spread, _ := spans(n, tri.scale)
	a := analysis{n: n, bounds: suprema(f, f), scale: tri.scale, ball: ballSize / spread}
	curvature, jacobian, residual := a.rows(f, f, data)
	most := 0.0
	for range 50 {
		step := make([]float64, p)
		for i := range step {
			step[i] = rng.NormFloat64()
		}
		floats.Scale(a.ball/floats.Norm(step, 2), step)
		moved := refine.Pack(n)
		for i, s := range step {
			moved[i] += s * tri.scale[i]
		}
		there := n.Clone()
		refine.Unpack(there, moved)
		var change mat.Dense
		change.Sub(scaled(there), here)
		svd.Factorize(&change, mat.SVDNone)
		most = math.Max(most, svd.Values(nil)[0]/a.ball)
	}
	if !(most <= curvature && curvature < 100*most) {
		t.Errorf("the Jacobian changes by up to %g, the bound is %g", most, curvature)
	}
	if !(jacobian > 0 && jacobian < 1e-5*smallest) {
		t.Errorf("rounding of the Jacobian is bounded by %g", jacobian)
	}
	if exact := math.Sqrt(refine.Loss(n, f, f, data)); !(residual >= exact && residual < 1.1*exact) {
		t.Errorf("residuals %g, bound %g", exact, residual)
	}
}
