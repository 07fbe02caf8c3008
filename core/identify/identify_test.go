package identify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/plugins/solvers"
)

// netOracle answers for a network, in the arithmetic or with the number of digits that noise says.
type netOracle struct {
	n     *network.Network
	f     core.Function
	q     int64
	noise string
}

func (o *netOracle) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, _ := x.Dims()
	o.q += int64(r)
	if o.noise == "fp32" {
		x = mat.DenseCopyOf(x)
		x.Apply(func(_, _ int, v float64) float64 { return float64(float32(v)) }, x)
	}
	y := o.n.Evaluate(o.f, o.f, x)
	for i, v := range y {
		switch o.noise {
		case "":
		case "fp32":
			y[i] = float64(float32(v))
		default:
			digits, err := strconv.Atoi(o.noise)
			if err != nil {
				return nil, err
			}
			if y[i], err = strconv.ParseFloat(strconv.FormatFloat(v, 'e', digits-1, 64), 64); err != nil {
				return nil, err
			}
		}
	}
	return y, nil
}
func (o *netOracle) Queries() int64 { return o.q }

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

func solver(t testing.TB) core.Solver {
	t.Helper()
	factory := solvers.All()[0]
	options, err := factory.Resolve(core.KindSolver, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := factory.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func randomNet(d, m0, m1 int, shift float64, activation string, seed uint64) *network.Network {
	rng := rand.New(rand.NewPCG(seed, 99))
	n := network.New(d, m0, m1, activation, activation)
	for i := range m0 {
		n.First.Weight.SetRow(i, sample.Direction(rng, d))
		n.First.Bias[i] = shift * rng.NormFloat64()
	}
	for l := range m1 {
		n.Second.Weight.SetRow(l, sample.Direction(rng, m0))
		n.Second.Bias[l] = shift * rng.NormFloat64()
		n.Output[l] = 1
	}
	return n
}

func trained(t testing.TB, name string) *network.Network {
	t.Helper()
	n, err := network.ReadFile(filepath.Join("../../testdata/networks", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// candidates are the named activations.
func candidates(t testing.TB, names ...string) []Candidate {
	t.Helper()
	var all []Candidate
	for _, name := range names {
		all = append(all, Candidate{name, function(t, name)})
	}
	return all
}

// problem is n behind an oracle, its sizes unknown.
func problem(t testing.TB, n *network.Network) Problem {
	t.Helper()
	c := candidates(t, n.First.Activation)
	return Problem{Oracle: &netOracle{n: n, f: c[0].Function}, Info: core.OracleInfo{Inputs: n.Inputs()}, Candidates: c, Solver: solver(t), SolverName: "any"}
}

func distance(t testing.TB, truth, found *network.Network) float64 {
	t.Helper()
	f := function(t, truth.First.Activation).Facts()
	c, err := network.Compare(truth, found, f, f)
	if err != nil {
		t.Fatal(err)
	}
	return c.MaxError
}

// TestIdentify: nothing is given but the activation; every parameter comes back.
func TestIdentify(t *testing.T) {
	type row struct {
		name  string
		n     *network.Network
		seeds uint64
		most  float64 // queries for each parameter
	}
	rows := []row{
		{"diabetes-tanh-8-4", trained(t, "diabetes-tanh-8-4"), 2, 10},
		{"diabetes-tanh-16-4", trained(t, "diabetes-tanh-16-4"), 2, 9}, // more units than inputs
		{"breastcancer-sigmoid-16-4", trained(t, "breastcancer-sigmoid-16-4"), 2, 5},
		{"digits-tanh-24-6", trained(t, "digits-tanh-24-6"), 1, 5},
	}
	for _, s := range []struct {
		d, m0, m1  int
		shift      float64
		activation string
		most       float64
	}{
		{10, 10, 3, 0.5, "tanh", 9},
		{10, 10, 3, 0.05, "tanh", 9},
		{10, 10, 3, 0.5, "sigmoid", 9},
		{20, 20, 5, 0.5, "tanh", 6},
		{20, 20, 5, 0.5, "sigmoid", 6},
		{24, 8, 3, 0.5, "tanh", 7},
		{24, 8, 3, 0.5, "sigmoid", 7},
		{10, 15, 4, 0.5, "tanh", 9},
		{10, 15, 4, 0.5, "sigmoid", 9},
	} {
		rows = append(rows, row{fmt.Sprintf("%d-%d-%d %s shift %g", s.d, s.m0, s.m1, s.activation, s.shift), randomNet(s.d, s.m0, s.m1, s.shift, s.activation, 1), 1, s.most})
	}
	for _, row := range rows {
		for seed := range row.seeds {
			t.Run(fmt.Sprintf("%s seed %d", row.name, seed), func(t *testing.T) {
				p := problem(t, row.n)
				r, err := Run(t.Context(), p, Settings{Seed: seed})
				if err != nil {
					t.Fatal(err)
				}
				m0, m1 := row.n.Sizes()
				if !r.Identified || r.M0 != m0 || r.M1 != m1 || r.Parameters != row.n.Parameters() || r.Activation != row.n.First.Activation {
					t.Fatalf("identified %v: %s (%d and %d units, %d parameters, %s)", r.Identified, r.Reason, r.M0, r.M1, r.Parameters, r.Activation)
				}
				found := distance(t, row.n, r.Network)
				if found > 1e-8 {
					t.Errorf("distance %.1e", found)
				}
				if bar := r.Certificate.ErrorBar; found > 100*bar || bar > 1e-8 || len(r.Certificate.Undetermined) > 0 {
					t.Errorf("distance %.1e, certificate %+v", found, r.Certificate)
				}
				if r.Validation.Queries < 24 || r.Validation.RelativeError > 1e-9 || r.Validation.MaxError == 0 {
					t.Errorf("validation %+v", r.Validation)
				}
				if spent := float64(r.Queries) / float64(r.Parameters); spent > row.most || r.Queries != p.Oracle.Queries() {
					t.Errorf("%.1f queries for each parameter; %d reported, %d asked", spent, r.Queries, p.Oracle.Queries())
				}
				billed := int64(0)
				for _, b := range r.Stages {
					billed += b.Queries
				}
				if billed != r.Queries {
					t.Errorf("the stages bill %d queries of %d", billed, r.Queries)
				}
				if r.Recipe != RecipeExact || r.Solver != "any" || r.Seed != seed || r.Remark != "" {
					t.Errorf("result %+v", r)
				}
			})
		}
	}
}

// countingSolver counts what a solver is asked.
type countingSolver struct {
	core.Solver
	asked int
}

func (c *countingSolver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	c.asked++
	return c.Solver.Solve(ctx, problem, progress)
}

// TestSecondLayer: both ways lead to the network, and only one needs a solver.
func TestSecondLayer(t *testing.T) {
	n := randomNet(10, 10, 3, 0.5, "tanh", 1)
	for _, second := range SecondLayers {
		p := problem(t, n)
		counting := &countingSolver{Solver: p.Solver}
		p.Solver = counting
		r, err := Run(t.Context(), p, Settings{Seed: 1, SecondLayer: second})
		if err != nil {
			t.Fatal(err)
		}
		if found := distance(t, n, r.Network); !r.Identified || found > 1e-10 {
			t.Errorf("%s: identified %v, distance %.1e", second, r.Identified, found)
		}
		if (counting.asked > 0) != (second == SecondLayerDifferences) {
			t.Errorf("%s: the solver was asked %d times", second, counting.asked)
		}
	}
	if _, err := Run(t.Context(), problem(t, n), Settings{SecondLayer: "third"}); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "students, differences") {
		t.Errorf("an unknown way is answered with %v", err)
	}
}

// TestSizesGiven: when the number of units is known, the search for more is saved.
func TestSizesGiven(t *testing.T) {
	n := trained(t, "diabetes-tanh-8-4")
	for seed := range uint64(3) {
		bill := func(m0, m1 int) int64 {
			p := problem(t, n)
			p.M0, p.M1 = m0, m1
			r, err := Run(t.Context(), p, Settings{Seed: seed})
			if err != nil || !r.Identified || distance(t, n, r.Network) > 1e-8 {
				t.Fatalf("seed %d, sizes %d and %d: %v, %+v", seed, m0, m1, err, r)
			}
			return r.Stages[1].Queries
		}
		if free, known := bill(0, 0), bill(8, 4); known >= free {
			t.Errorf("seed %d: the first layer cost %d queries with sizes unknown, %d with sizes given", seed, free, known)
		}
	}
}

// TestNoise: networks behind rounded answers are found to what rounding leaves, and the certificate says how much that
// is. Whether six digits count as identified depends on the estimate of their noise; a claim must be true all the same.
func TestNoise(t *testing.T) {
	for _, c := range []struct {
		noise string
		dtype core.DType
		most  float64
	}{{"fp32", core.FP32, 1e-3}, {"8", "", 1e-4}} {
		t.Run(c.noise, func(t *testing.T) {
			n := trained(t, "diabetes-tanh-8-4")
			p := problem(t, n)
			p.Info.DType = c.dtype
			p.Oracle.(*netOracle).noise = c.noise
			r, err := Run(t.Context(), p, Settings{Seed: 1})
			if err != nil || !r.Identified && (c.noise != "6" || r.Reason == "") {
				t.Fatalf("%v: %+v", err, r)
			}
			if e := distance(t, n, r.Network); e > c.most || e > 5*r.Certificate.ErrorBar || r.Certificate.ErrorBar > 10*c.most {
				t.Errorf("distance %.1e, error bar %.1e", e, r.Certificate.ErrorBar)
			}
		})
	}
}

// TestEquivalentFamilies: tanh and sigmoid describe the same functions; one is chosen, and the user is told.
func TestEquivalentFamilies(t *testing.T) {
	for _, name := range []string{"tanh", "sigmoid"} {
		n := randomNet(10, 10, 3, 0.3, name, 2)
		p := problem(t, n)
		p.Candidates = candidates(t, "tanh", "sigmoid", "arctan")
		r, err := Run(t.Context(), p, Settings{Seed: 1})
		if err != nil || !r.Identified {
			t.Fatalf("%s: %v, %+v", name, err, r)
		}
		if (r.Activation != "tanh" && r.Activation != "sigmoid") || r.Network.First.Activation != r.Activation || r.Network.Second.Activation != r.Activation {
			t.Errorf("%s: found in %s, the network in %s and %s", name, r.Activation, r.Network.First.Activation, r.Network.Second.Activation)
		}
		for _, word := range []string{"tanh", "sigmoid", "same function"} {
			if !strings.Contains(r.Remark, word) {
				t.Errorf("%s: the remark %q does not say %q", name, r.Remark, word)
			}
		}
		if strings.Contains(r.Remark, "arctan") {
			t.Errorf("%s: the remark %q names arctan", name, r.Remark)
		}
		// Written in the family of the truth it is the truth.
		if r.Activation != name {
			a, ok := network.Equivalent(function(t, r.Activation), function(t, name))
			if !ok {
				t.Fatal("not equivalent")
			}
			r.Network.RewriteFirst(a, name)
			r.Network.RewriteSecond(a, name)
		}
		if e := distance(t, n, r.Network); e > 1e-8 {
			t.Errorf("%s: distance %.1e", name, e)
		}
	}
}

func TestFamilies(t *testing.T) {
	groups, err := families(candidates(t, "arctan", "sigmoid", "softplus", "tanh"))
	if err != nil || len(groups) != 1 || groups[0].Name != "sigmoid" || len(groups[0].twins) != 1 || groups[0].twins[0].Name != "tanh" {
		t.Errorf("families %v, %v", groups, err)
	}
	_, err = families(candidates(t, "arctan", "softplus"))
	if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "softplus does not saturate") || !strings.Contains(err.Error(), "arctan has no exponential tails") {
		t.Errorf("error %v", err)
	}
	if groups := allFamilies(candidates(t, "arctan", "sigmoid", "softplus", "tanh")); len(groups) != 3 {
		t.Errorf("all families %v", groups)
	}
}

// TestNameTwin: a network that reads as plain in one family is written in it, whichever it was found in.
func TestNameTwin(t *testing.T) {
	both := candidates(t, "tanh", "sigmoid")
	for k, want := range both {
		n := randomNet(6, 6, 3, 0.1, want.Name, 4)
		if want.Name == "sigmoid" {
			// Trained networks have rows that do not sum to zero.
			n.Second.Weight.Apply(func(_, _ int, v float64) float64 { return math.Abs(v) }, n.Second.Weight)
		}
		x := mat.NewDense(20, 6, nil)
		rng := rand.New(rand.NewPCG(1, 1))
		x.Apply(func(_, _ int, _ float64) float64 { return rng.NormFloat64() }, x)
		y := n.Evaluate(want.Function, want.Function, x)
		for _, first := range both {
			m := n.Clone()
			family{Candidate: both[k]}.rewrite(m, first)
			f := family{Candidate: first, twins: []Candidate{both[0]}}
			if first.Name == both[0].Name {
				f.twins[0] = both[1]
			}
			got, remark := f.nameTwin(m)
			if got.Name != want.Name || m.First.Activation != want.Name || !strings.HasSuffix(remark, "suggest "+want.Name) {
				t.Errorf("%s found in %s: chosen %s, network in %s, remark %q", want.Name, first.Name, got.Name, m.First.Activation, remark)
			}
			if !floats.EqualApprox(m.Evaluate(got.Function, got.Function, x), y, 1e-13) {
				t.Errorf("%s found in %s: f changed", want.Name, first.Name)
			}
		}
	}
}

// limited answers so many rows, then says what a spent budget says.
type limited struct {
	*netOracle
	rows int64
}

func (l limited) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if r, _ := x.Dims(); l.q+int64(r) > l.rows {
		return nil, fault.New(fault.Budget, "the budget of %d queries is spent", l.rows)
	}
	return l.netOracle.Ask(ctx, x)
}

func TestBudget(t *testing.T) {
	n := trained(t, "diabetes-tanh-8-4")
	whole := problem(t, n)
	full, err := Run(t.Context(), whole, Settings{Seed: 1})
	if err != nil || !full.Identified {
		t.Fatalf("%v, %+v", err, full)
	}
	before := int64(0)
	for _, bill := range full.Stages {
		if bill.Queries == 0 {
			continue
		}
		for _, rows := range []int64{before, before + bill.Queries/2, before + bill.Queries - 1} {
			t.Run(fmt.Sprintf("%s %d", bill.Stage, rows), func(t *testing.T) {
				p := problem(t, n)
				p.Oracle = limited{p.Oracle.(*netOracle), rows}
				last := ""
				r, err := Run(t.Context(), p, Settings{Seed: 1, Observe: func(e Event) { last = e.Stage }})
				if !fault.Is(err, fault.Budget) || r == nil || r.Identified {
					t.Fatalf("%v, %+v", err, r)
				}
				if last != bill.Stage {
					t.Errorf("it ended in the stage %q", last)
				}
				if r.Queries > rows || r.Reason != err.Error() {
					t.Errorf("%d queries of %d; reason %q", r.Queries, rows, r.Reason)
				}
				switch bill.Stage {
				case "second layer", "fit":
					if r.M0 != 8 {
						t.Errorf("the %d first-layer units were found, the result has %d", 8, r.M0)
					}
				case "validation":
					if r.Network == nil || r.Certificate == nil || distance(t, n, r.Network) > 1e-8 {
						t.Errorf("the network that was found is lost: %+v", r)
					}
				}
			})
		}
		before += bill.Queries
	}
}

// TestCancel: a run ends soon after its context, whatever stage it is in, and says so.
func TestCancel(t *testing.T) {
	n := trained(t, "breastcancer-sigmoid-16-4")
	for _, stage := range []string{"scales", "first layer", "second layer", "fit", "polish", "validation"} {
		t.Run(stage, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var cancelled time.Time
			r, err := Run(ctx, problem(t, n), Settings{Seed: 1, Observe: func(e Event) {
				if e.Stage == stage && cancelled.IsZero() {
					cancelled = time.Now()
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) || r == nil || r.Identified {
				t.Fatalf("%v, %+v", err, r)
			}
			if late := time.Since(cancelled); late > 5*time.Second {
				t.Errorf("it ended %v later", late)
			}
			if (stage == "polish" || stage == "validation") && r.Network == nil {
				t.Error("the network that was found is lost")
			}
		})
	}
}

// TestDeterministic: the same seed gives the same bits on one core and on two.
func TestDeterministic(t *testing.T) {
	for _, name := range []string{"diabetes-tanh-8-4", "breastcancer-sigmoid-16-4"} {
		n := trained(t, name)
		run := func(procs int, seed uint64) []byte {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			r, err := Run(t.Context(), problem(t, n), Settings{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := r.Network.Write(&b); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		first := run(1, 5)
		if !bytes.Equal(first, run(2, 5)) {
			t.Errorf("%s: other bits on two cores", name)
		}
		if bytes.Equal(first, run(2, 6)) {
			t.Errorf("%s: the seed makes no difference", name)
		}
	}
}

// something is an oracle for any function.
type something struct {
	f func(x []float64) float64
	q int64
}

func (s *something) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, _ := x.Dims()
	s.q += int64(r)
	y := make([]float64, r)
	for i := range y {
		y[i] = s.f(x.RawRowView(i))
	}
	return y, nil
}
func (s *something) Queries() int64 { return s.q }

// TestNotOfTheForm: what is no network with two layers of tanh is not identified as one, and a sentence says why.
func TestNotOfTheForm(t *testing.T) {
	const d = 6
	n := randomNet(d, 6, 3, 0.5, "tanh", 7)
	tanh := function(t, "tanh")
	through := func(g func(float64) float64, x []float64) float64 {
		total := 0.0
		z := make([]float64, 6)
		for i := range z {
			z[i] = g(floats.Dot(n.First.Weight.RawRowView(i), x) + n.First.Bias[i])
		}
		for l := range 3 {
			total += g(floats.Dot(n.Second.Weight.RawRowView(l), z) + n.Second.Bias[l])
		}
		return total
	}
	for _, c := range []struct {
		name string
		f    func(x []float64) float64
	}{
		{"a sum of sines", func(x []float64) float64 { return math.Sin(x[0]) + math.Sin(1.3*x[1]+x[2]) + math.Sin(x[3]-x[4]+x[5]) }},
		{"a ReLU network", func(x []float64) float64 {
			return through(func(t float64) float64 { return math.Max(t, 0) }, x)
		}},
		{"a constant", func([]float64) float64 { return 2.5 }},
		{"linear", func(x []float64) float64 { return floats.Sum(x) }},
		{"an erf network", func(x []float64) float64 { return through(math.Erf, x) }},
		{"an arctan network", func(x []float64) float64 { return through(math.Atan, x) }},
		{"a product of two", func(x []float64) float64 {
			return math.Tanh(x[0]+0.5*x[1]) * math.Tanh(x[2]-x[3]) * (1 + math.Tanh(x[4]+0.3*x[5]))
		}},
		{"a network of three hidden layers", func(x []float64) float64 {
			y := n.Evaluate(tanh, tanh, mat.NewDense(1, d, slices.Clone(x)))[0]
			return math.Tanh(3*y) + math.Tanh(y-1)
		}},
		{"a bump", func(x []float64) float64 { return math.Exp(-floats.Dot(x, x)) }},
		{"a staircase", func(x []float64) float64 { return math.Copysign(1, x[0]) + math.Copysign(0.5, x[1]+x[2]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Run(t.Context(), Problem{Oracle: &something{f: c.f}, Info: core.OracleInfo{Inputs: d}, Candidates: candidates(t, "tanh"), Solver: solver(t)}, Settings{Seed: 1})
			if err != nil || r == nil {
				t.Fatalf("%v, %v", err, r)
			}
			if r.Identified || len(r.Reason) < 20 || !strings.Contains(r.Reason, " ") {
				t.Errorf("identified %v: %q", r.Identified, r.Reason)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	n := trained(t, "diabetes-tanh-8-4")
	var events []Event
	r, err := Run(t.Context(), problem(t, n), Settings{Seed: 1, Observe: func(e Event) { events = append(events, e) }})
	if err != nil {
		t.Fatal(err)
	}
	var started, finished []string
	queries := int64(0)
	for k, e := range events {
		if e.Queries < queries || e.Text == "" {
			t.Errorf("event %d: %+v after %d queries", k, e, queries)
		}
		queries = e.Queries
		if k == 0 || events[k-1].Final {
			started = append(started, e.Stage)
		} else if e.Stage != events[k-1].Stage {
			t.Errorf("stage %q begins before %q has ended", e.Stage, events[k-1].Stage)
		}
		if e.Final {
			finished = append(finished, e.Stage)
		}
	}
	want := []string{"scales", "first layer", "second layer", "fit", "polish", "validation"}
	if !slices.Equal(started, want) || !slices.Equal(finished, want) || queries != r.Queries {
		t.Errorf("started %v, finished %v, %d queries of %d", started, finished, queries, r.Queries)
	}
	for k, b := range r.Stages {
		if b.Stage != want[k] || b.Time <= 0 {
			t.Errorf("bill %d: %+v", k, b)
		}
	}
}

func TestUnknownRecipe(t *testing.T) {
	r, err := Run(t.Context(), Problem{}, Settings{Recipe: "soup"})
	if r != nil || !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), `"soup"`) {
		t.Errorf("%v, %v", r, err)
	}
}

// TestVerdict: what is refused, and why, though fresh answers agree.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name          string
		noise, margin float64
		error, bar    float64
		propagated    float64
		open          []string
		identified    bool
		says          string
	}{
		{"exact answers", 1e-14, 0, 1e-13, 1e-12, 0, nil, true, "fresh answers agree"},
		{"fresh answers differ", 1e-14, 0, 1e-8, 1e-12, 0, nil, false, "differs from fresh answers"},
		{"as far off as the error bars make it", 1e-10, 100, 1e-8, 1e-9, 1e-8, nil, true, "fresh answers agree"},
		{"something is open", 1e-14, 0, 1e-13, 1e-12, 0, []string{"unit 1 of the first layer"}, false, "unit 1"},
		{"noise amplified too much", 1e-14, 0, 1e-13, 1e-4, 0, nil, false, "last digits"},
		{"the same bar from as much noise", 1e-7, 100, 1e-7, 1e-4, 0, nil, true, "fresh answers agree"},
		{"more than the noise that is expected", 1e-7, 100, 1e-6, 1e-4, 0, nil, false, "differs from fresh answers"},
		{"a unit that noise may hide", 1e-4, 1.5, 1e-4, 1e-3, 0, nil, false, "sizes are uncertain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &exact{noise: c.noise, margin: c.margin}
			identified, reason := e.verdict(&Result{Validation: Validation{RelativeError: c.error}, Certificate: &certify.Certificate{ErrorBar: c.bar, Undetermined: c.open}}, c.noise, c.propagated)
			if identified != c.identified || !strings.Contains(reason, c.says) {
				t.Errorf("%v: %s", identified, reason)
			}
		})
	}
}

// TestLingers: residuals of many noisy answers tell a fit that has not arrived, and a network that comes of one is not claimed.
func TestLingers(t *testing.T) {
	for _, c := range []struct {
		name        string
		noise, loss float64
		rows        int
		lingers     bool
		refused     bool
	}{
		{"arrived", 1e-4, 0.9, 1000, false, false},
		{"by chance", 1e-4, 1.1, 1000, false, false},
		{"on the way", 1e-4, 1.2, 1000, true, false},
		{"far from it", 1e-4, 1.7, 1000, true, true},
		{"few answers", 1e-4, 1.2, 100, false, false},
		{"exact answers", 1e-14, 1.7, 1000, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &exact{noise: c.noise, loss: c.loss, scales: &sample.Scales{Noise: c.noise, Spread: 1, Value: 1}, log: &sample.Log{Y: make([]float64, c.rows)}}
			if e.lingers(c.loss) != c.lingers {
				t.Errorf("lingers: %v", !c.lingers)
			}
			identified, reason := e.verdict(&Result{Certificate: &certify.Certificate{ErrorBar: 1e-12}}, c.noise, 0)
			if identified == c.refused || c.refused && !strings.Contains(reason, "not arrived") {
				t.Errorf("identified: %v, %s", identified, reason)
			}
		})
	}
}
