package network

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/activations"
)

func function(t testing.TB, name string) core.Function {
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

// random returns a network all of whose parameters are normal.
func random(rng *rand.Rand, d, m0, m1 int, g, h string) *Network {
	n := New(d, m0, m1, g, h)
	for _, part := range [][]float64{
		n.First.Weight.RawMatrix().Data, n.First.Bias, n.Second.Weight.RawMatrix().Data, n.Second.Bias, n.Output,
	} {
		for i := range part {
			part[i] = rng.NormFloat64()
		}
	}
	n.OutputBias = rng.NormFloat64()
	return n
}

func points(rng *rand.Rand, rows, d int) *mat.Dense {
	x := mat.NewDense(rows, d, nil)
	x.Apply(func(_, _ int, _ float64) float64 { return rng.NormFloat64() }, x)
	return x
}

func written(t testing.TB, n *Network) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := n.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for range 50 {
		n := random(rng, 1+rng.IntN(5), 1+rng.IntN(5), 1+rng.IntN(4), "tanh", "sigmoid")
		n.First.Weight.Set(0, 0, math.Ldexp(rng.Float64(), rng.IntN(2000)-1000)) // every magnitude
		n.Second.Bias[0] = math.SmallestNonzeroFloat64
		n.Output[0] = -math.MaxFloat64
		back, err := Read(bytes.NewReader(written(t, n)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(n, back) {
			t.Fatalf("written and read, %v became %v", n, back)
		}
	}
}

const valid = `{"format":"nnid/network/v1","layers":[
 {"weight":[[1,2],[3,4],[5,6]],"bias":[7,8,9],"activation":"tanh"},
 {"weight":[[10,11,12],[13,14,15]],"bias":[16,17],"activation":"erf"},
 {"weight":[[18,19]],"bias":[20],"activation":"identity"}]}`

func TestRead(t *testing.T) {
	n, err := Read(strings.NewReader(valid))
	if err != nil {
		t.Fatal(err)
	}
	if m0, m1 := n.Sizes(); n.Inputs() != 2 || m0 != 3 || m1 != 2 || n.Parameters() != 3*3+2*4+2+1 {
		t.Errorf("sizes %d, %d, %d with %d parameters", n.Inputs(), m0, m1, n.Parameters())
	}
	if n.First.Weight.At(2, 1) != 6 || n.Second.Weight.At(1, 0) != 13 || n.Output[1] != 19 || n.OutputBias != 20 ||
		n.First.Activation != "tanh" || n.Second.Activation != "erf" {
		t.Errorf("read %v", n)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ old, new, says string }{
		{`nnid/network/v1`, `nnid/network/v2`, `format is "nnid/network/v2"`},
		{`"format":"nnid/network/v1",`, ``, `format is ""`},
		{`"format":`, `"fromat":`, `"fromat"`},
		{`"layers":[`, `"layers":[{"weight":[[1,0],[0,1]],"bias":[0,0],"activation":"tanh"},`, `layers has 4 layers`},
		{`[[1,2],[3,4],[5,6]]`, `[]`, `layers[0].weight is empty`},
		{`[[1,2],[3,4],[5,6]]`, `[[],[],[]]`, `layers[0].weight is empty`},
		{`[[1,2],[3,4],[5,6]]`, `null`, `layers[0].weight is empty`},
		{`[3,4]`, `[3]`, `layers[0].weight[1] has 1 entries`},
		{`[3,4]`, `null`, `layers[0].weight[1] has 0 entries`},
		{`[3,4]`, `[3,null]`, `layers[0].weight[1][1] is null`},
		{`[18,19]`, `[null,19]`, `layers[2].weight[0][0] is null`},
		{`[16,17]`, `[16,null]`, `layers[1].bias[1] is null`},
		{`[20]`, `[null]`, `layers[2].bias[0] is null`},
		{`[7,8,9]`, `[7,8]`, `layers[0].bias has 2 entries for 3`},
		{`[7,8,9]`, `null`, `layers[0].bias has 0 entries for 3`},
		{`[3,4]`, `[3,"4"]`, `weight`},
		{`[3,4]`, `[3,1e999]`, `1e999`},
		{`[3,4]`, `[3,NaN]`, `invalid character 'N'`},
		{`"tanh"`, `"Tanh!"`, `layers[0].activation`},
		{`"erf"`, `""`, `layers[1].activation`},
		{`"identity"`, `"tanh"`, `layers[2].activation is "tanh"`},
		{`[[10,11,12],[13,14,15]]`, `[[10,11],[13,14]]`, `layer 2 has 2 weights a row but layer 1 has 3`},
		{`[[18,19]]`, `[[18,19,20]]`, `layer 3 has 3 weights but layer 2 has 2`},
		{`"weight":[[18,19]],"bias":[20]`, `"weight":[[18,19],[1,2]],"bias":[20,21]`, `layers[2].weight has 2 rows`},
		{`]}`, `]} {}`, `more after the network`},
		{valid, ``, `not a network in JSON`},
	} {
		text := strings.Replace(valid, c.old, c.new, 1)
		if c.old == `]}` {
			text = valid + ` {}`
		}
		n, err := Read(strings.NewReader(text))
		if err == nil || !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("with %s for %s: network %v, error %v; want one that says %s", c.new, c.old, n, err, c.says)
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.json")
	if _, err := ReadFile(missing); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a file that is not there: %v", err)
	}
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(bad); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "format") {
		t.Errorf("a file that is no network: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte(strings.Replace(valid, "[3,4]", "[null,4]", 1)))
	f.Add([]byte(`{"format":"nnid/network/v1","layers":[{},{},{}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		back, err := Read(bytes.NewReader(written(t, n)))
		if err != nil || !reflect.DeepEqual(n, back) {
			t.Fatalf("read %v, written and read again: %v, %v", n, back, err)
		}
	})
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		spoil func(*Network)
		says  string
	}{
		{func(n *Network) { n.First.Weight.Set(0, 0, math.NaN()) }, "a weight of layer 1"},
		{func(n *Network) { n.First.Bias[1] = math.Inf(1) }, "a bias of layer 1"},
		{func(n *Network) { n.Second.Weight.Set(0, 0, math.Inf(-1)) }, "a weight of layer 2"},
		{func(n *Network) { n.Second.Bias[0] = math.NaN() }, "a bias of layer 2"},
		{func(n *Network) { n.Output[0] = math.NaN() }, "a weight of layer 3"},
		{func(n *Network) { n.OutputBias = math.NaN() }, "the bias of layer 3"},
		{func(n *Network) { n.Output = n.Output[:1] }, "layer 3 has 1 weights"},
		{func(n *Network) { n.First.Bias = nil }, "layer 1 has 3 rows"},
		{func(n *Network) { n.Second.Weight = nil }, "no weights"},
	} {
		n := random(rand.New(rand.NewPCG(2, 0)), 2, 3, 2, "tanh", "tanh")
		c.spoil(n)
		if err := n.Write(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v; want an error that says %q", err, c.says)
		}
	}
}

func TestEvaluate(t *testing.T) {
	tanh, sigmoid := function(t, "tanh"), function(t, "sigmoid")
	n, err := Read(strings.NewReader(`{"format":"nnid/network/v1","layers":[
 {"weight":[[1,-2],[0.5,0.25]],"bias":[0.5,-1],"activation":"tanh"},
 {"weight":[[2,1],[-1,3]],"bias":[0.1,-0.2],"activation":"sigmoid"},
 {"weight":[[1.5,-2.5]],"bias":[0.75],"activation":"identity"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	x := mat.NewDense(2, 2, []float64{0.3, -0.4, 2, 1})
	logistic := func(p float64) float64 { return 1 / (1 + math.Exp(-p)) }
	var want []float64
	for i := range 2 {
		a, b := x.At(i, 0), x.At(i, 1)
		z1, z2 := math.Tanh(a-2*b+0.5), math.Tanh(0.5*a+0.25*b-1)
		want = append(want, 0.75+1.5*logistic(2*z1+z2+0.1)-2.5*logistic(-z1+3*z2-0.2))
	}
	if got := n.Evaluate(tanh, sigmoid, x); !floats.EqualApprox(got, want, 1e-14) {
		t.Errorf("f = %v, want %v", got, want)
	}
	if got := n.Evaluate(tanh, sigmoid, &mat.Dense{}); got != nil {
		t.Errorf("no rows gave %v", got)
	}
}

func TestClone(t *testing.T) {
	n := random(rand.New(rand.NewPCG(3, 0)), 2, 3, 2, "tanh", "tanh")
	before := written(t, n)
	c := n.Clone()
	c.First.Weight.Set(0, 0, 9)
	c.First.Bias[0], c.Second.Bias[0], c.Output[0], c.OutputBias = 9, 9, 9, 9
	c.Second.Weight.Set(0, 0, 9)
	if !bytes.Equal(before, written(t, n)) {
		t.Error("a change of the copy changed the network")
	}
}

// transformed is n after random permutations of both layers and, where they have a symmetry, flips of units.
func transformed(rng *rand.Rand, n *Network, g, h core.Facts) *Network {
	c := n.Clone()
	m0, m1 := n.Sizes()
	for i := range m0 {
		if rng.IntN(2) == 0 {
			c.FlipFirst(i, g)
		}
	}
	c.permuteFirst(rng.Perm(m0))
	for l := range m1 {
		if rng.IntN(2) == 0 {
			c.FlipSecond(l, h)
		}
	}
	c.permuteSecond(rng.Perm(m1))
	return c
}

func TestSymmetries(t *testing.T) {
	for _, pair := range [][2]string{{"tanh", "tanh"}, {"sigmoid", "sigmoid"}, {"tanh", "sigmoid"}, {"sigmoid", "tanh"}, {"erf", "arctan"}, {"softplus", "softplus"}, {"sine", "sine"}} {
		t.Run(pair[0]+" "+pair[1], func(t *testing.T) {
			g, h := function(t, pair[0]), function(t, pair[1])
			rng := rand.New(rand.NewPCG(4, 0))
			for range 20 {
				n := random(rng, 3+rng.IntN(4), 3+rng.IntN(6), 2+rng.IntN(4), pair[0], pair[1])
				m := transformed(rng, n, g.Facts(), h.Facts())
				x := points(rng, 20, n.Inputs())
				if a, b := n.Evaluate(g, h, x), m.Evaluate(g, h, x); !floats.EqualApprox(a, b, 1e-12) {
					t.Fatalf("a symmetry changed f by %g", floats.Distance(a, b, math.Inf(1)))
				}
				before := written(t, m)
				c, err := Compare(n, m, g.Facts(), h.Facts())
				if err != nil {
					t.Fatal(err)
				}
				// Shifts come back through sums of as many terms as there are flips.
				if !(c.MaxError <= 1e-14) {
					t.Fatalf("distance %g modulo the symmetries", c.MaxError)
				}
				if !bytes.Equal(before, written(t, m)) {
					t.Fatal("Compare changed a network")
				}
			}
		})
	}
}

// TestEven: of an even activation the sign of a unit's incoming parameters is free, with nothing to make up for it.
func TestEven(t *testing.T) {
	bump := compile.Direct(core.Facts{Symmetry: core.SymmetryEven}, [core.MaxDerivative + 1]func(float64) float64{func(t float64) float64 { return math.Exp(-t * t) }})
	rng := rand.New(rand.NewPCG(5, 0))
	n := random(rng, 3, 5, 2, "bump", "bump")
	m := transformed(rng, n, bump.Facts(), bump.Facts())
	x := points(rng, 20, 3)
	if !floats.EqualApprox(n.Evaluate(bump, bump, x), m.Evaluate(bump, bump, x), 1e-13) {
		t.Error("a symmetry changed f")
	}
	if c, err := Compare(n, m, bump.Facts(), bump.Facts()); err != nil || c.MaxError > 1e-15 {
		t.Errorf("%v, %v", c, err)
	}
}

func TestCompareSeesChanges(t *testing.T) {
	f := function(t, "sigmoid").Facts()
	rng := rand.New(rand.NewPCG(6, 0))
	n := random(rng, 4, 5, 3, "sigmoid", "sigmoid")
	const size = 1e-3
	for _, c := range []struct {
		name   string
		change func(*Network)
		want   float64
		part   func(*Comparison) float64
	}{
		{"a weight of the first layer", func(m *Network) { m.First.Weight.Set(2, 1, m.First.Weight.At(2, 1)+size) },
			size / floats.Norm(n.First.Weight.RawRowView(2), 2), func(c *Comparison) float64 { return c.First[2] }},
		{"a shift of the first layer", func(m *Network) { m.First.Bias[4] -= size },
			size / floats.Norm(n.First.Weight.RawRowView(4), 2), func(c *Comparison) float64 { return c.First[4] }},
		{"a shift of the second layer", func(m *Network) { m.Second.Bias[1] += size },
			size / floats.Norm(n.Second.Weight.RawRowView(1), 2), func(c *Comparison) float64 { return c.Second[1] }},
		{"an output weight", func(m *Network) { m.Output[2] += size }, size / math.Abs(n.Output[2]), func(c *Comparison) float64 { return c.Output[2] }},
		{"the output bias", func(m *Network) { m.OutputBias += size }, size / floats.Norm(n.Output, 2), func(c *Comparison) float64 { return c.OutputBias }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := n.Clone()
			c.change(m)
			result, err := Compare(n, transformed(rng, m, f, f), f, f)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.part(result); math.Abs(got/c.want-1) > 1e-9 || result.MaxError != got {
				t.Errorf("the change shows as %g and the largest is %g; want %g", got, result.MaxError, c.want)
			}
		})
	}
}

// TestCompareFacts: a sign that the activation does not leave free is a difference.
func TestCompareFacts(t *testing.T) {
	tanh, softplus := function(t, "tanh").Facts(), function(t, "softplus").Facts()
	n := random(rand.New(rand.NewPCG(7, 0)), 4, 5, 3, "softplus", "softplus")
	m := n.Clone()
	m.FlipFirst(0, tanh)
	if c, err := Compare(n, m, softplus, softplus); err != nil || c.MaxError < 1 {
		t.Errorf("a unit of opposite sign: %v, %v", c, err)
	}
}

func TestCompareSizes(t *testing.T) {
	f := function(t, "tanh").Facts()
	n := New(4, 5, 3, "tanh", "tanh")
	for _, m := range []*Network{New(3, 5, 3, "tanh", "tanh"), New(4, 6, 3, "tanh", "tanh"), New(4, 5, 2, "tanh", "tanh")} {
		if _, err := Compare(n, m, f, f); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "4-5-3") {
			t.Errorf("error %v", err)
		}
	}
}

func TestAssign(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 0))
	for trial := range 300 {
		n := 1 + rng.IntN(6)
		cost := make([][]float64, n)
		for i := range cost {
			cost[i] = make([]float64, n)
			for j := range n {
				cost[i][j] = rng.NormFloat64()
				if trial%3 == 0 { // ties
					cost[i][j] = float64(rng.IntN(3))
				}
			}
		}
		total := func(columns []int) (sum float64) {
			for i, j := range columns {
				sum += cost[i][j]
			}
			return sum
		}
		least := math.Inf(1)
		permutations(n, func(p []int) { least = math.Min(least, total(p)) })
		got := Assign(cost)
		if sorted := slices.Sorted(slices.Values(got)); sorted[0] != 0 || sorted[n-1] != n-1 || len(slices.Compact(sorted)) != n {
			t.Fatalf("%v is no permutation", got)
		}
		if math.Abs(total(got)-least) > 1e-12 {
			t.Fatalf("costs %v: assigned %v for %g, the least is %g", cost, got, total(got), least)
		}
	}
}

func permutations(n int, visit func([]int)) {
	p := make([]int, 0, n)
	var extend func()
	extend = func() {
		if len(p) == n {
			visit(p)
			return
		}
		for j := range n {
			if !slices.Contains(p, j) {
				p = append(p, j)
				extend()
				p = p[:len(p)-1]
			}
		}
	}
	extend()
}

func TestEquivalent(t *testing.T) {
	tanh, sigmoid := function(t, "tanh"), function(t, "sigmoid")
	for _, c := range []struct {
		from, to core.Function
		want     Affine
	}{
		{tanh, sigmoid, Affine{Rate: 2, Scale: 2, Shift: -1}}, // tanh(t) = 2 s(2t) - 1
		{sigmoid, tanh, Affine{Rate: 0.5, Scale: 0.5, Shift: 0.5}},
		{tanh, tanh, Affine{Rate: 1, Scale: 1, Shift: 0}},
	} {
		if got, ok := Equivalent(c.from, c.to); !ok || got != c.want {
			t.Errorf("%v, %v; want %v", got, ok, c.want)
		}
	}
	for _, name := range []string{"erf", "arctan", "softsign", "softplus", "gelu", "silu", "sine"} {
		f := function(t, name)
		if a, ok := Equivalent(tanh, f); ok {
			t.Errorf("tanh is said to be %s by %v", name, a)
		}
		if a, ok := Equivalent(f, sigmoid); ok {
			t.Errorf("%s is said to be sigmoid by %v", name, a)
		}
	}
	sharp := compile.Direct(core.Facts{
		Left: core.Tail{Asymptotic: true, Rate: 4}, Right: core.Tail{Asymptotic: true, Slope: 1, Rate: 4},
	}, [core.MaxDerivative + 1]func(float64) float64{func(t float64) float64 { return math.Max(t, 0) + math.Log1p(math.Exp(-4*math.Abs(t)))/4 }})
	softplus := function(t, "softplus")
	if got, ok := Equivalent(sharp, softplus); !ok || got != (Affine{Rate: 4, Scale: 0.25, Shift: 0}) {
		t.Errorf("softplus of another sharpness: %v, %v", got, ok)
	}
	for _, name := range []string{"silu", "gelu", "elu", "leaky", "gompertz"} {
		if a, ok := Equivalent(softplus, function(t, name)); ok {
			t.Errorf("softplus is said to be %s by %v", name, a)
		}
	}
	// Same limits and the same rate, another shape.
	other := compile.Direct(tanh.Facts(), [core.MaxDerivative + 1]func(float64) float64{func(t float64) float64 {
		return math.Tanh(t) * (1 + 0.01/math.Cosh(t))
	}})
	if a, ok := Equivalent(tanh, other); ok {
		t.Errorf("tanh is said to be another function by %v", a)
	}
}

func TestRewrite(t *testing.T) {
	tanh, sigmoid := function(t, "tanh"), function(t, "sigmoid")
	rng := rand.New(rand.NewPCG(9, 0))
	for _, c := range []struct {
		from, to core.Function
		names    [2]string
	}{{tanh, sigmoid, [2]string{"tanh", "sigmoid"}}, {sigmoid, tanh, [2]string{"sigmoid", "tanh"}}} {
		n := random(rng, 5, 6, 3, c.names[0], c.names[0])
		x := points(rng, 50, 5)
		want := n.Evaluate(c.from, c.from, x)
		scale := floats.Norm(n.Output, 1)
		a, ok := Equivalent(c.from, c.to)
		if !ok {
			t.Fatal("not equivalent")
		}
		m := n.Clone()
		m.RewriteFirst(a, c.names[1])
		if got := m.Evaluate(c.to, c.from, x); m.First.Activation != c.names[1] || floats.Distance(got, want, math.Inf(1)) > 1e-14*scale {
			t.Errorf("first layer from %s: f changed by %g", c.names[0], floats.Distance(got, want, math.Inf(1)))
		}
		m.RewriteSecond(a, c.names[1])
		if got := m.Evaluate(c.to, c.to, x); m.Second.Activation != c.names[1] || floats.Distance(got, want, math.Inf(1)) > 1e-14*scale {
			t.Errorf("second layer from %s: f changed by %g", c.names[0], floats.Distance(got, want, math.Inf(1)))
		}
	}
}

// TestCompareParallelUnits: units with the same weights are matched by their biases, whatever their order and signs.
func TestCompareParallelUnits(t *testing.T) {
	facts := core.Facts{Symmetry: core.SymmetryPoint}
	truth := New(3, 3, 2, "tanh", "tanh")
	for i, bias := range []float64{0.3, 1.3, -0.4} {
		truth.First.Weight.SetRow(i, []float64{1, -2, 0.5})
		truth.First.Bias[i] = bias
	}
	truth.First.Weight.SetRow(2, []float64{0, 1, 1})
	truth.Second.Weight.SetRow(0, []float64{1, 2, 3})
	truth.Second.Weight.SetRow(1, []float64{-2, 1, 0.5})
	truth.Output = []float64{1, 2}
	found := truth.Clone()
	found.permuteFirst([]int{1, 2, 0})
	found.FlipFirst(0, facts)
	c, err := Compare(truth, found, facts, facts)
	if err != nil {
		t.Fatal(err)
	}
	if c.MaxError > 1e-12 {
		t.Errorf("the same network, its units in another order, is at distance %g", c.MaxError)
	}
}

// TestNormal: a network written in the normal form of its activations computes the same, with derivatives to match.
func TestNormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	x := points(rng, 50, 4)
	for _, name := range []string{"tanh", "sigmoid", "gompertz", "erf", "arctan"} {
		f := function(t, name)
		normal, a, ok := Normal(f)
		if !ok {
			t.Fatalf("%s has no normal form", name)
		}
		facts := normal.Facts()
		if facts.Left.Intercept != -1 || facts.Right.Intercept != 1 || facts.Symmetry != f.Facts().Symmetry {
			t.Errorf("%s: normal form with facts %+v", name, facts)
		}
		if rate := f.Facts().Left.Rate; rate == f.Facts().Right.Rate && rate > 0 && !math.IsInf(rate, 1) {
			if facts.Right.Rate != 2 {
				t.Errorf("%s: normal form with tails of rate %g", name, facts.Right.Rate)
			}
		} else {
			slope := []float64{Inverse(normal, 0.5)}
			if normal.Apply(1, slope, slope); math.Abs(slope[0]-1) > 1e-12 {
				t.Errorf("%s: normal form with slope %g in the middle", name, slope[0])
			}
		}
		n := random(rng, 4, 3, 2, name, name)
		want := n.Evaluate(f, f, x)
		n.RewriteFirst(a, "normal")
		n.RewriteSecond(a, "normal")
		if got := n.Evaluate(normal, normal, x); !floats.EqualApprox(got, want, 1e-13) {
			t.Errorf("%s: in normal form the network computes something else", name)
		}
		n.RewriteFirst(a.Inverse(), name)
		n.RewriteSecond(a.Inverse(), name)
		if got := n.Evaluate(f, f, x); !floats.EqualApprox(got, want, 1e-13) {
			t.Errorf("%s: there and back the network computes something else", name)
		}
		const step = 1e-5
		for order := range 2 {
			at := []float64{-1.3, -0.2, 0, 0.4, 2}
			low, high, slope := make([]float64, 5), make([]float64, 5), make([]float64, 5)
			for k, v := range at {
				low[k], high[k] = v-step, v+step
			}
			normal.Apply(order, low, low)
			normal.Apply(order, high, high)
			normal.Apply(order+1, slope, at)
			for k := range at {
				if got := (high[k] - low[k]) / (2 * step); math.Abs(got-slope[k]) > 1e-8 {
					t.Errorf("%s: derivative %d at %g is %g, differences give %g", name, order+1, at[k], slope[k], got)
				}
			}
		}
	}
	if _, _, ok := Normal(function(t, "softplus")); ok {
		t.Error("softplus has a normal form with limits")
	}
}
