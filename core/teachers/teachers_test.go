package teachers_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/teachers"
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/testdata/tables"
)

func function(t *testing.T, name string) core.Function {
	t.Helper()
	for _, f := range activations.All() {
		if f.Name != name {
			continue
		}
		activation, err := f.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		compiled, err := compile.Compile(context.Background(), activation)
		if err != nil {
			t.Fatal(err)
		}
		return compiled
	}
	t.Fatalf("no activation %s", name)
	return nil
}

func text(t *testing.T, n *network.Network) string {
	t.Helper()
	var b bytes.Buffer
	if err := n.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPlanted(t *testing.T) {
	size := teachers.Size{Inputs: 30, M0: 20, M1: 10}
	n := teachers.Planted(size, 0.5, "tanh", 7).Network
	for _, layer := range []network.Layer{n.First, n.Second} {
		for i := range layer.Neurons() {
			if norm := floats.Norm(layer.Weight.RawRowView(i), 2); math.Abs(norm-1) > 1e-14 {
				t.Errorf("a weight has norm %v", norm)
			}
		}
	}
	for _, c := range n.Output {
		if c != 1 {
			t.Errorf("an output weight is %v", c)
		}
	}
	if n.OutputBias != 0 {
		t.Errorf("the output bias is %v", n.OutputBias)
	}
	var squares float64
	for seed := range uint64(100) {
		for _, b := range teachers.Planted(size, 0.5, "tanh", seed).Network.First.Bias {
			squares += b * b / (100 * 20)
		}
	}
	if deviation := math.Sqrt(squares); math.Abs(deviation-0.5) > 0.03 { // four standard errors
		t.Errorf("shifts have standard deviation %v instead of 0.5", deviation)
	}
	if again := teachers.Planted(size, 0.5, "tanh", 7).Network; text(t, n) != text(t, again) {
		t.Error("the same seed gives another network")
	}
	if other := teachers.Planted(size, 0.5, "tanh", 8).Network; text(t, n) == text(t, other) {
		t.Error("another seed gives the same network")
	}
}

// Every degenerate network computes what its minimal one does, and the minimal one has nothing superfluous.
func TestDegenerate(t *testing.T) {
	size := teachers.Size{Inputs: 6, M0: 5, M1: 3}
	for _, activation := range []string{"tanh", "sigmoid", "softplus"} {
		g := function(t, activation)
		for k, c := range teachers.Cases() {
			teacher, err := teachers.Degenerate(c.Name, size, 0.5, activation, g, 3)
			if err != nil {
				t.Fatal(err)
			}
			again, err := teachers.Degenerate(c.Name, size, 0.5, activation, g, 3)
			if err != nil || text(t, again.Network) != text(t, teacher.Network) {
				t.Errorf("%s: the same seed gives another network (%v)", c.Name, err)
			}
			if text(t, teacher.Network) == text(t, teachers.Planted(size, 0.5, activation, 3).Network) {
				t.Errorf("%s: nothing is degenerate", c.Name)
			}
			m0, m1 := teacher.Minimal.Sizes()
			if superfluous := m0+m1 < size.M0+size.M1; superfluous != (k < 7) {
				t.Errorf("%s: the minimal network has %d + %d neurons", c.Name, m0, m1)
			}
			if err := teacher.Minimal.Check(); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			x := mat.NewDense(50, size.Inputs, nil)
			for i := range x.RawMatrix().Data {
				x.RawMatrix().Data[i] = 3 * rng.NormFloat64()
			}
			f, minimal := teacher.Network.Evaluate(g, g, x), teacher.Minimal.Evaluate(g, g, x)
			for i := range f {
				if math.Abs(f[i]-minimal[i]) > 1e-13*(1+math.Abs(f[i])) {
					t.Errorf("%s, %s: the networks differ: %v and %v", c.Name, activation, f[i], minimal[i])
					break
				}
			}
		}
	}
	if _, err := teachers.Degenerate("dead", size, 0, "tanh", function(t, "tanh"), 0); err == nil || !strings.Contains(err.Error(), "dead-output") {
		t.Errorf("an unknown case gives %v", err)
	}
}

func TestTrained(t *testing.T) {
	for _, data := range []string{"iris", "diabetes"} {
		file, err := tables.Files.Open(data + ".csv")
		if err != nil {
			t.Fatal(err)
		}
		table, err := teachers.ReadTable(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, activation := range []string{"tanh", "sigmoid"} {
			g := function(t, activation)
			teacher, err := teachers.Trained(t.Context(), table, 6, 3, activation, g, 1, teachers.Training{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := teachers.Trained(t.Context(), table, 6, 3, activation, g, 1, teachers.Training{})
			if err != nil || text(t, again.Network) != text(t, teacher.Network) {
				t.Errorf("%s: the same seed gives another network (%v)", data, err)
			}
			squares := 0.0
			for i, f := range teacher.Network.Evaluate(g, g, table.X) {
				squares += (f - table.Y[i]) * (f - table.Y[i]) / float64(len(table.Y))
			}
			// The targets have variance 1; a network that has learnt explains more than a linear fit's half.
			if squares > 0.5 {
				t.Errorf("%s %s: the mean squared error after training is %.2f", data, activation, squares)
			}
		}
	}
}

func TestTables(t *testing.T) {
	entries, err := tables.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		file, err := tables.Files.Open(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		table, err := teachers.ReadTable(file)
		if err != nil {
			t.Fatalf("%s: %v", entry.Name(), err)
		}
		rows, d := table.X.Dims()
		for k := range d {
			column := mat.Col(nil, k, table.X)
			if mean := floats.Sum(column) / float64(rows); math.Abs(mean) > 1e-12 {
				t.Errorf("%s: column %d has mean %g", entry.Name(), k, mean)
			}
			if variance := floats.Dot(column, column) / float64(rows); math.Abs(variance-1) > 1e-12 {
				t.Errorf("%s: column %d has variance %g", entry.Name(), k, variance)
			}
		}
	}
	for content, want := range map[string]string{
		"":                    "no header",
		"a\n1\n":              "two columns",
		"a,y\n1,2\n":          "two rows",
		"a,y\n1,2\n3,x\n":     `line 3 of the table, column 2: "x"`,
		"a,y\n1,2\n1,3\n":     "column 1 of the table is constant",
		"a,y\n1,2\n1,3,4\n":   "cannot be read",
		"a,y\n1,2\n1,Inf\n":   "no finite number",
		"a,y\n\"1,2\n3,4\n":   "cannot be read",
		"a,y\n1,2\n3,1e999\n": "no finite number",
	} {
		if _, err := teachers.ReadTable(strings.NewReader(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v; wanted %q", content, err, want)
		}
	}
}
