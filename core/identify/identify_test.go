package identify

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/plugins/solvers"
)

type netOracle struct {
	n     *network.Network
	f     core.Function
	q     int64
	noise string
}

func (o *netOracle) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	r, _ := x.Dims()
	o.q += int64(r)
	if o.noise == "fp32" {
		x = mat.DenseCopyOf(x)
		x.Apply(func(_, _ int, v float64) float64 { return float64(float32(v)) }, x)
	}
	y := o.n.Evaluate(o.f, o.f, x)
	for i, v := range y {
		switch o.noise {
		case "fp32":
			y[i] = float64(float32(v))
		case "6", "4":
			digits, _ := strconv.Atoi(o.noise)
			y[i], _ = strconv.ParseFloat(strconv.FormatFloat(v, 'e', digits-1, 64), 64)
		}
	}
	return y, nil
}
func (o *netOracle) Queries() int64 { return o.q }

func function(t *testing.T, name string) core.Function {
	for _, f := range activations.All() {
		if f.Name == name {
			opts, _ := f.Resolve(core.KindActivation, nil)
			a, err := f.Open(opts)
			if err != nil {
				t.Fatal(err)
			}
			c, err := compile.Compile(context.Background(), a)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	t.Fatal("no", name)
	return nil
}

func solver(t *testing.T) core.Solver {
	f := solvers.All()[0]
	opts, _ := f.Resolve(core.KindSolver, nil)
	s, err := f.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTrained(t *testing.T) {
	files, _ := filepath.Glob("../../testdata/networks/*.json")
	for _, file := range files {
		n, err := network.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := function(t, n.First.Activation)
		for seed := range uint64(1) {
			o := &netOracle{n: n, f: f}
			r, err := Run(context.Background(), Problem{Oracle: o, Info: core.OracleInfo{Inputs: n.Inputs()}, Candidates: []Candidate{{n.First.Activation, f}}, Solver: solver(t)}, Settings{Seed: seed, Observe: func(e Event) {
				if e.Final {
					fmt.Println("   ", e.Stage, e.Text, e.Queries)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("%s seed %d %v q %.2fP %.1fs %s ", filepath.Base(file), seed, r.Identified, float64(r.Queries)/float64(n.Parameters()), r.Seconds, r.Reason)
			if r.Network != nil {
				c, err := network.Compare(n, r.Network, f.Facts(), f.Facts())
				if err != nil {
					fmt.Println(err)
					continue
				}
				fmt.Printf("first %.0e second %.0e output %.0e", floats.Max(c.First), floats.Max(c.Second), floats.Max(c.Output))
			}
			fmt.Println()
		}
	}
}
