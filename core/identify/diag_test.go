package identify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/recover"
	"github.com/nnid/nnid/core/sample"
)

func TestDiag(t *testing.T) {
	if os.Getenv("DIAG") == "" {
		return
	}
	n, err := network.ReadFile("../../testdata/networks/diabetes-tanh-8-4.json")
	if err != nil {
		t.Fatal(err)
	}
	f := function(t, n.First.Activation)
	for _, seed := range []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9,10,11,12,13,14,15,16} {
		o := &netOracle{n: n, f: f}
		e := &exact{problem: Problem{Oracle: o, Info: core.OracleInfo{Inputs: n.Inputs()}, Candidates: []Candidate{{n.First.Activation, f}}, Solver: solver(t)}, log: &sample.Log{Oracle: o}, report: &reporter{queries: o.Queries}, rng: rand.New(rand.NewPCG(seed, 0x6e6e6964))}
		ctx := context.Background()
		e.families, _ = families(e.problem.Candidates)
		if err := e.measure(ctx); err != nil {
			t.Fatal(err)
		}
		if err := e.firstLayer(ctx); err != nil {
			t.Fatal(err)
		}
		fmt.Println("seed", seed, "units", len(e.units))
		for _, u := range e.units {
			best, bi := 9.0, 0
			for i := range 8 {
				a := n.First.Weight.RawRowView(i)
				na := floats.Norm(a, 2)
				w := append([]float64(nil), u.Direction...)
				floats.AddScaled(w, -math.Copysign(1/na, floats.Dot(a, w)), a)
				if s := floats.Norm(w, 2); s < best {
					best, bi = s, i
				}
			}
			na := floats.Norm(n.First.Weight.RawRowView(bi), 2)
			off := n.First.Bias[bi]*math.Copysign(1, floats.Dot(n.First.Weight.RawRowView(bi), u.Direction)) - na*u.Offset
			fmt.Printf("  unit %d norm %.2f dir %.1e (claimed %.1e) rate %.1e delta %.2f\n", bi, na, best, u.Error, u.Decay/2/na-1, off)
		}
		l, err := recover.NewLatent(e.units, 2)
		if err != nil {
			fmt.Println(err)
			continue
		}
		for range 4 {
			s, err := recover.SecondLayer(ctx, e.log, l, e.rng, recover.Settings{Noise: 1e-14, DirectionError: 1e-8, Solver: e.problem.Solver})
			if err != nil {
				fmt.Println("  ", err)
				continue
			}
			fmt.Printf("  singular %.1e hess %.1e\n", s.Singular, s.Spectrum)
			// true weights at base
			m0, m1 := s.Weights.Dims()
			truth := mat.NewDense(m0, 4, nil)
			for k, u := range e.units {
				for i := range 8 {
					a := n.First.Weight.RawRowView(i)
					na := floats.Norm(a, 2)
					c := floats.Dot(a, u.Direction) / na
					if math.Abs(c) > 0.9999 {
						uu := n.First.Bias[i] * math.Copysign(1, c)
						uu += na * (s.Base[k]/l.Norms[k] - u.Offset)
						th := math.Tanh(uu)
						for j := range 4 {
							truth.Set(k, j, math.Copysign(1, c)*(1-th*th)*n.Second.Weight.At(j, i))
						}
					}
				}
			}
			for c := range m1 {
				best := 0.0
				for j := range 4 {
					best = math.Max(best, math.Abs(mat.Dot(s.Weights.ColView(c), truth.ColView(j)))/mat.Norm(s.Weights.ColView(c), 2)/mat.Norm(truth.ColView(j), 2))
				}
				fmt.Printf("   col %d sin %.1e\n", c, math.Sqrt(math.Max(0, 1-best*best)))
			}
			if e.spreaded == 0 {
				e.scales.Noise = 1e-15
				if err := e.spread(ctx, l, 4); err != nil {
					t.Fatal(err)
				}
			}
			sp := e.rows(e.spreadFrom, e.spreadFrom+e.spreaded)
			net := s.Network(f, f, "tanh", "tanh", sp.X, sp.Y, e.rng)
			c, err := network.Compare(n, net, f.Facts(), f.Facts())
			if err != nil {
				fmt.Println("  ", err)
				continue
			}
			fmt.Printf("   first %.1e second %.1e output %.1e\n", c.First, c.Second, c.Output)
		}
	}
}
