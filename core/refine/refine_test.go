package refine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/network"
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

// random returns a network with weights of order one; its data are its own answers at rows of size one to two.
func random(rng *rand.Rand, d, m0, m1, rows int, g, h core.Function) (*network.Network, Data) {
	n := network.New(d, m0, m1, "g", "h")
	p := Pack(n)
	for i := range p {
		p[i] = rng.NormFloat64()
	}
	Unpack(n, p)
	x := mat.NewDense(rows, d, nil)
	x.Apply(func(_, _ int, _ float64) float64 { return 1.5 * rng.NormFloat64() / math.Sqrt(float64(d)) }, x)
	return n, Data{X: x, Y: n.Evaluate(g, h, x)}
}

func sigmas(rng *rand.Rand, n int) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = math.Exp(rng.NormFloat64())
	}
	return s
}

func TestPack(t *testing.T) {
	n := network.New(2, 3, 2, "tanh", "tanh")
	p := make([]float64, n.Parameters())
	for i := range p {
		p[i] = float64(i)
	}
	Unpack(n, p)
	// A by units, theta, B by units, tau, c, c0.
	if n.First.Weight.At(1, 0) != 2 || n.First.Bias[0] != 6 || n.Second.Weight.At(1, 2) != 14 || n.Second.Bias[1] != 16 || n.Output[0] != 17 || n.OutputBias != 19 {
		t.Errorf("unpacked %v", n)
	}
	if !slices.Equal(Pack(n), p) {
		t.Errorf("packed %v", Pack(n))
	}
}

func TestJacobian(t *testing.T) {
	for _, names := range [][2]string{{"tanh", "tanh"}, {"sigmoid", "erf"}, {"softplus", "sine"}} {
		for _, weighted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s weighted=%v", names[0], names[1], weighted), func(t *testing.T) {
				g, h := function(t, names[0]), function(t, names[1])
				rng := rand.New(rand.NewPCG(1, 0))
				n, data := random(rng, 3, 4, 2, 20, g, h)
				for i := range data.Y {
					data.Y[i] += rng.NormFloat64() // residuals that are not zero
				}
				if weighted {
					data.Sigma = sigmas(rng, 20)
				}
				j := mat.NewDense(20, n.Parameters(), nil)
				r := Jacobian(n, g, h, data, j)
				residuals := func(p []float64) []float64 {
					m := n.Clone()
					Unpack(m, p)
					v := m.Evaluate(g, h, data.X)
					floats.Sub(v, data.Y)
					if weighted {
						floats.Div(v, data.Sigma)
					}
					return v
				}
				if !floats.EqualApprox(r, residuals(Pack(n)), 1e-13) {
					t.Error("the residuals are not f - y over sigma")
				}
				if total := Loss(n, g, h, data); math.Abs(total-floats.Dot(r, r)) > 1e-12*total {
					t.Errorf("the loss is %g, the sum of squares %g", total, floats.Dot(r, r))
				}
				const step = 1e-5
				for k := range n.Parameters() {
					up, down := Pack(n), Pack(n)
					up[k] += step
					down[k] -= step
					a, b := residuals(up), residuals(down)
					for i := range a {
						want := (a[i] - b[i]) / (2 * step)
						if got := j.At(i, k); math.Abs(got-want) > 1e-8*(1+math.Abs(want)) {
							t.Fatalf("row %d, parameter %d: derivative %g, differences give %g", i, k, got, want)
						}
					}
				}
			})
		}
	}
}

// far adds rows at which one unit of the first layer alone is alive, and rows at which none is.
func far(rng *rand.Rand, n *network.Network, g, h core.Function, data Data, rows int) Data {
	m0, _ := n.Sizes()
	d := n.Inputs()
	x := mat.NewDense(rows, d, nil)
	for r := range rows {
		row := x.RawRowView(r)
		for j := range row {
			row[j] = 1e5 * rng.NormFloat64()
		}
		if r%5 > 0 {
			a := n.First.Weight.RawRowView(r % m0)
			u := floats.Dot(a, row) + n.First.Bias[r%m0]
			floats.AddScaled(row, (2*rng.Float64()-1-u)/floats.Dot(a, a), a)
		}
	}
	var all mat.Dense
	all.Stack(data.X, x)
	return Data{X: &all, Y: append(slices.Clone(data.Y), n.Evaluate(g, h, x)...)}
}

func TestNormal(t *testing.T) {
	g, h := function(t, "tanh"), function(t, "sigmoid")
	rng := rand.New(rand.NewPCG(2, 0))
	n, near := random(rng, 4, 5, 3, 700, g, h)
	data := far(rng, n, g, h, near, 2000) // more rows than a block and a pool hold
	for i := range data.Y {
		data.Y[i] += 0.1 * rng.NormFloat64()
	}
	data.Sigma = sigmas(rng, len(data.Y))
	p := n.Parameters()
	j := mat.NewDense(len(data.Y), p, nil)
	r := Jacobian(n, g, h, data, j)
	single := 0
	for i := range r {
		if _, ok := alive(j.RawRowView(i)[4*5 : 4*5+5]); ok {
			single++
		}
	}
	if single < 1000 {
		t.Fatalf("only %d rows have one living unit: the pools are not tested", single)
	}
	every := make([]int, p)
	var some []int
	for i := range p {
		every[i] = i
		if rng.IntN(2) == 0 {
			some = append(some, i)
		}
	}
	for _, free := range [][]int{every, some, {3}, every[20:], every[:20]} {
		part := mat.NewDense(len(r), len(free), nil)
		for c, at := range free {
			part.SetCol(c, mat.Col(nil, at, j))
		}
		var want mat.Dense
		want.Mul(part.T(), part)
		var slope mat.VecDense
		slope.MulVec(part.T(), mat.NewVecDense(len(r), r))
		normal, gradient := mat.NewSymDense(len(free), nil), make([]float64, len(free))
		gradient[0] = 17 // what was there is overwritten
		Normal(n, g, h, data, free, normal, gradient)
		for a := range free {
			for b := range free {
				scale := math.Sqrt(want.At(a, a) * want.At(b, b))
				if math.Abs(normal.At(a, b)-want.At(a, b)) > 1e-12*scale {
					t.Fatalf("%d free: entry (%d, %d) is %g, want %g", len(free), a, b, normal.At(a, b), want.At(a, b))
				}
			}
			if scale := math.Sqrt(want.At(a, a)) * floats.Norm(r, 2); math.Abs(gradient[a]-slope.AtVec(a)) > 1e-12*scale {
				t.Fatalf("%d free: gradient %d is %g, want %g", len(free), a, gradient[a], slope.AtVec(a))
			}
		}
	}
}

// perturbed returns n with every parameter wrong by up to the given fraction.
func perturbed(rng *rand.Rand, n *network.Network, fraction float64) *network.Network {
	m := n.Clone()
	p := Pack(m)
	for i := range p {
		p[i] *= 1 + fraction*(2*rng.Float64()-1)
	}
	Unpack(m, p)
	return m
}

func distance(t *testing.T, truth, found *network.Network, g, h core.Function) float64 {
	t.Helper()
	c, err := network.Compare(truth, found, g.Facts(), h.Facts())
	if err != nil {
		t.Fatal(err)
	}
	return c.MaxError
}

func TestLevenberg(t *testing.T) {
	g := function(t, "tanh")
	rng := rand.New(rand.NewPCG(3, 0))
	truth, data := random(rng, 6, 6, 2, 6*61, g, g)
	start := perturbed(rng, truth, 0.1)
	before := Pack(start)
	var losses []float64
	observe := func(_ int, loss float64) { losses = append(losses, loss) }
	found, stats, err := Levenberg(t.Context(), start, g, g, data, Settings{Observe: observe})
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(t, truth, found, g, g); d > 1e-10 {
		t.Errorf("distance %g after %d iterations", d, stats.Iterations)
	}
	if stats.Loss > 1e-25 || stats.Loss != Loss(found, g, g, data)/float64(len(data.Y)) {
		t.Errorf("loss %g", stats.Loss)
	}
	if !slices.IsSortedFunc(losses, func(a, b float64) int { return -cmpFloat(a, b) }) || len(losses) == 0 {
		t.Errorf("losses %v do not fall", losses)
	}
	if !slices.Equal(before, Pack(start)) {
		t.Error("the start was changed")
	}
	again, _, err := Levenberg(t.Context(), start, g, g, data, Settings{})
	if err != nil || !slices.Equal(Pack(found), Pack(again)) {
		t.Errorf("a second run gave other bits (%v)", err)
	}
	short, stats, err := Levenberg(t.Context(), start, g, g, data, Settings{Iterations: 1})
	if err != nil || stats.Iterations != 1 || slices.Equal(Pack(short), Pack(found)) {
		t.Errorf("%d iterations where 1 was allowed (%v)", stats.Iterations, err)
	}
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TestLevenbergWeighted: with the answers' errors given, wrong answers of large sigma do no harm.
func TestLevenbergWeighted(t *testing.T) {
	g := function(t, "tanh")
	rng := rand.New(rand.NewPCG(4, 0))
	truth, data := random(rng, 4, 4, 2, 300, g, g)
	data.Sigma = make([]float64, len(data.Y))
	for i := range data.Y {
		data.Sigma[i] = 1e-10
		if i%4 == 0 {
			data.Y[i] += 0.1 * rng.NormFloat64()
			data.Sigma[i] = 0.1
		}
	}
	found, stats, err := Levenberg(t.Context(), perturbed(rng, truth, 0.05), g, g, data, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(t, truth, found, g, g); d > 1e-8 || stats.Loss > 2 {
		t.Errorf("distance %g, loss %g", d, stats.Loss)
	}
}

func TestLevenbergFree(t *testing.T) {
	g := function(t, "sigmoid")
	rng := rand.New(rand.NewPCG(5, 0))
	truth, data := random(rng, 3, 4, 2, 200, g, g)
	start := perturbed(rng, truth, 0.1)
	free := []int{1, 5, 14, 20, truth.Parameters() - 1}
	found, _, err := Levenberg(t.Context(), start, g, g, data, Settings{Free: free, Iterations: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range Pack(found) {
		if moved := v != Pack(start)[i]; moved != slices.Contains(free, i) {
			t.Errorf("parameter %d moved: %v", i, moved)
		}
	}
}

func TestCancelled(t *testing.T) {
	g := function(t, "tanh")
	rng := rand.New(rand.NewPCG(6, 0))
	truth, data := random(rng, 4, 4, 2, 200, g, g)
	start := perturbed(rng, truth, 0.1)
	for name, fit := range map[string]func(context.Context, *network.Network, core.Function, core.Function, Data, Settings) (*network.Network, Statistics, error){
		"Levenberg": Levenberg, "GaussNewton": GaussNewton, "FixedDirections": FixedDirections,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		iterations := 0
		found, _, err := fit(ctx, start, g, g, data, Settings{Observe: func(int, float64) { iterations++; cancel() }})
		if !errors.Is(err, context.Canceled) || iterations != 1 {
			t.Errorf("%s: error %v after %d iterations", name, err, iterations)
		}
		if found == nil || !(Loss(found, g, g, data) < Loss(start, g, g, data)) {
			t.Errorf("%s: what was found until then is lost", name)
		}
		cancel()
	}
}

func TestFixedDirections(t *testing.T) {
	g := function(t, "tanh")
	rng := rand.New(rand.NewPCG(7, 0))
	truth, data := random(rng, 8, 5, 2, 150, g, g)
	start := perturbed(rng, truth, 0.1)
	for i := range 5 { // right directions, wrong norms
		row := start.First.Weight.RawRowView(i)
		floats.ScaleTo(row, 0.9+0.2*rng.Float64(), truth.First.Weight.RawRowView(i))
	}
	found, stats, err := FixedDirections(t.Context(), start, g, g, data, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(t, truth, found, g, g); d > 1e-10 {
		t.Errorf("distance %g, loss %g", d, stats.Loss)
	}
	// Directions that are slightly wrong stay as they are.
	start = perturbed(rng, truth, 0.01)
	if found, _, err = FixedDirections(t.Context(), start, g, g, data, Settings{}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		a, b := start.First.Weight.RawRowView(i), found.First.Weight.RawRowView(i)
		if cosine := floats.Dot(a, b) / floats.Norm(a, 2) / floats.Norm(b, 2); cosine < 1-1e-14 {
			t.Errorf("unit %d turned: cosine %v", i, cosine)
		}
	}
	if slices.Equal(found.First.Bias, start.First.Bias) || slices.Equal(found.Output, start.Output) {
		t.Error("nothing was fitted")
	}
}

func TestSensitivity(t *testing.T) {
	g, h := function(t, "tanh"), function(t, "sigmoid")
	rng := rand.New(rand.NewPCG(8, 0))
	n, data := random(rng, 4, 5, 3, 50, g, h)
	bound := Sensitivity(n, g, h, data.X)
	tight := 0.0
	for r := range 50 {
		const step = 1e-5
		x := mat.NewDense(8, 4, nil)
		for k := range 4 {
			for side, sign := range []float64{1, -1} {
				x.SetRow(2*k+side, data.X.RawRowView(r))
				x.Set(2*k+side, k, x.At(2*k+side, k)+sign*step)
			}
		}
		y := n.Evaluate(g, h, x)
		slope := 0.0
		for k := range 4 {
			slope = math.Hypot(slope, (y[2*k]-y[2*k+1])/(2*step))
		}
		if slope > bound[r]*(1+1e-8) {
			t.Errorf("row %d: the gradient's norm %g exceeds %g", r, slope, bound[r])
		}
		tight = math.Max(tight, slope/bound[r])
	}
	if tight < 0.3 {
		t.Errorf("the bound is never nearer than %g of the gradient", tight)
	}
	// One unit: the bound is the norm itself.
	n, data = random(rng, 3, 1, 1, 1, g, h)
	j := mat.NewDense(1, n.Parameters(), nil)
	Jacobian(n, g, h, data, j)
	want := math.Abs(j.At(0, 3)) * floats.Norm(n.First.Weight.RawRowView(0), 2)
	if got := Sensitivity(n, g, h, data.X)[0]; math.Abs(got-want) > 1e-15 {
		t.Errorf("one unit: %g, want %g", got, want)
	}
}

// TestRounding: the same network with its units in another order differs by as much.
func TestRounding(t *testing.T) {
	g, h := function(t, "tanh"), function(t, "sigmoid")
	rng := rand.New(rand.NewPCG(10, 0))
	n, data := random(rng, 4, 30, 8, 200, g, h)
	n.Second.Weight.Scale(20, n.Second.Weight)
	size := Rounding(n, g, h, data.X)
	want := n.Evaluate(g, h, data.X)
	total := 0.0
	const orders = 10
	for range orders {
		first, second := rng.Perm(30), rng.Perm(8)
		m := n.Clone()
		for i, from := range first {
			m.First.Weight.SetRow(i, n.First.Weight.RawRowView(from))
			m.First.Bias[i] = n.First.Bias[from]
		}
		for l, from := range second {
			for i, of := range first {
				m.Second.Weight.Set(l, i, n.Second.Weight.At(from, of))
			}
			m.Second.Bias[l], m.Output[l] = n.Second.Bias[from], n.Output[from]
		}
		for r, y := range m.Evaluate(g, h, data.X) {
			total += math.Pow((y-want[r])/(size[r]*0x1p-53), 2) / float64(orders*len(want))
		}
	}
	if off := math.Sqrt(total); off > 1 || off < 0.03 {
		t.Errorf("another order changes f by %.2f times what rounding is said to", off)
	}
	saturated := data.X
	saturated.Scale(1e6, saturated)
	for r, s := range Rounding(n, g, h, saturated) {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			t.Errorf("row %d far out: %g", r, s)
		}
	}
}

func TestOperator(t *testing.T) {
	g, h := function(t, "tanh"), function(t, "sigmoid")
	rng := rand.New(rand.NewPCG(9, 0))
	n, data := random(rng, 4, 5, 3, 300, g, h)
	for i := range data.Y {
		data.Y[i] += rng.NormFloat64()
	}
	data.Sigma = sigmas(rng, 300)
	p := n.Parameters()
	j := mat.NewDense(300, p, nil)
	r := Jacobian(n, g, h, data, j)
	o := NewOperator(n, g, h, data)
	if o.Parameters() != p || !floats.EqualApprox(o.Residual, r, 1e-12) {
		t.Fatal("other residuals than the Jacobian's")
	}
	v, w := make([]float64, p), make([]float64, 300)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	for i := range w {
		w[i] = rng.NormFloat64()
	}
	var forward, back mat.VecDense
	forward.MulVec(j, mat.NewVecDense(p, v))
	back.MulVec(j.T(), mat.NewVecDense(300, w))
	if got := o.Apply(v); !floats.EqualApprox(got, forward.RawVector().Data, 1e-11) {
		t.Error("J p differs from the Jacobian's")
	}
	if got := o.Transpose(w); !floats.EqualApprox(got, back.RawVector().Data, 1e-11) {
		t.Error("J^T r differs from the Jacobian's")
	}
	s, err := o.Solve(t.Context(), o.Transpose(o.Apply(v)), 1e-12, 2000)
	if err != nil || floats.Distance(s, v, 2) > 1e-6*floats.Norm(v, 2) {
		t.Errorf("J^T J s = J^T J v is solved to %g (%v)", floats.Distance(s, v, 2), err)
	}
}

// TestValley: of two units that nearly coincide, and of one that is nearly linear, sums and products are right at the start and nothing else; normal
// equations creep there.
func TestValley(t *testing.T) {
	g := function(t, "tanh")
	rng := rand.New(rand.NewPCG(11, 0))
	check := func(name string, truth, start *network.Network, data Data, within float64) {
		t.Helper()
		data.Y = truth.Evaluate(g, g, data.X)
		data.Sigma = make([]float64, len(data.Y))
		for i := range data.Sigma {
			data.Sigma[i] = 1e-15
		}
		crept, _, err := Levenberg(t.Context(), start, g, g, data, Settings{})
		if err != nil {
			t.Fatal(err)
		}
		if d := distance(t, truth, crept, g, g); d < 10*within {
			t.Errorf("%s: a distance of %g is no test", name, d)
		}
		found, stats, err := Valley(t.Context(), start, g, g, data, Settings{})
		if err != nil {
			t.Fatal(err)
		}
		if d := distance(t, truth, found, g, g); d > within {
			t.Errorf("%s: distance %g, loss %g after %d iterations", name, d, stats.Loss, stats.Iterations)
		}
	}
	truth, data := random(rng, 5, 4, 3, 200, g, g)
	copy(truth.Second.Weight.RawRowView(1), truth.Second.Weight.RawRowView(0))
	truth.Second.Weight.Set(1, 2, truth.Second.Weight.At(1, 2)+1e-2)
	truth.Second.Bias[1] = truth.Second.Bias[0]
	truth.Output = []float64{1, 1, -0.7}
	start := truth.Clone()
	start.Output[0], start.Output[1] = 0.6, 1.4
	for i := range 4 {
		half := (truth.Second.Weight.At(1, i) - truth.Second.Weight.At(0, i)) / 2
		start.Second.Weight.Set(0, i, truth.Second.Weight.At(0, i)-half)
		start.Second.Weight.Set(1, i, truth.Second.Weight.At(1, i)+half)
	}
	check("close", truth, start, data, 1e-6)

	truth, data = random(rng, 5, 4, 3, 200, g, g)
	floats.Scale(1e-2, truth.Second.Weight.RawRowView(0))
	start = truth.Clone()
	floats.Scale(1.5, start.Second.Weight.RawRowView(0))
	start.Output[0] /= 1.5
	check("nearly linear", truth, start, data, 1e-4)
}

// TestDiagonal: with a first layer that is diagonal, products are those of the Jacobian's other columns, and the fit leaves the zeros alone.
func TestDiagonal(t *testing.T) {
	g := function(t, "tanh")
	rng := rand.New(rand.NewPCG(12, 0))
	truth, data := random(rng, 4, 4, 2, 200, g, g)
	for i := range 4 {
		for k := range 4 {
			if i != k {
				truth.First.Weight.Set(i, k, 0)
			}
		}
	}
	data.Y = truth.Evaluate(g, g, data.X)
	o := linearise(truth, g, g, data, true)
	j := mat.NewDense(200, truth.Parameters(), nil)
	Jacobian(truth, g, g, data, j)
	v := make([]float64, o.Parameters())
	whole := make([]float64, truth.Parameters())
	for i := range v {
		v[i] = rng.NormFloat64()
		if i < 4 {
			whole[i*4+i] = v[i]
		} else {
			whole[12+i] = v[i]
		}
	}
	var want mat.VecDense
	want.MulVec(j, mat.NewVecDense(len(whole), whole))
	if got := o.Apply(v); !floats.EqualApprox(got, want.RawVector().Data, 1e-11) {
		t.Error("J p differs from the Jacobian's")
	}
	w := want.RawVector().Data
	var back mat.VecDense
	back.MulVec(j.T(), mat.NewVecDense(len(w), w))
	for i, got := range o.Transpose(w) {
		at := 12 + i
		if i < 4 {
			at = i*4 + i
		}
		if math.Abs(got-back.AtVec(at)) > 1e-10*mat.Norm(&back, 2) {
			t.Errorf("J^T r differs from the Jacobian's at parameter %d", i)
		}
	}
	start := perturbed(rng, truth, 1e-2)
	for i := range 4 {
		for k := range 4 {
			if i != k {
				start.First.Weight.Set(i, k, 0)
			}
		}
	}
	found, stats, err := krylov(t.Context(), start, g, g, data, Settings{Damping: 1e-3}, true)
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(t, truth, found, g, g); d > 1e-9 || found.First.Weight.At(0, 1) != 0 {
		t.Errorf("distance %g, loss %g after %d iterations", d, stats.Loss, stats.Iterations)
	}
}
