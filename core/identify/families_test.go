package identify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

func randomNet(d, m0, m1 int, shift float64, act string, seed uint64) *network.Network {
	rng := rand.New(rand.NewPCG(seed, 99))
	n := network.New(d, m0, m1, act, act)
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

func TestFamilies(t *testing.T) {
	which := os.Getenv("FAM")
	for _, s := range []struct {
		d, m0, m1 int
		shift     float64
		act       string
	}{
		{10, 10, 3, .05, "tanh"}, {10, 10, 3, .5, "tanh"}, {10, 10, 3, .05, "sigmoid"}, {10, 10, 3, .5, "sigmoid"},
		{20, 20, 5, .05, "tanh"}, {20, 20, 5, .5, "tanh"}, {20, 20, 5, .05, "sigmoid"}, {20, 20, 5, .5, "sigmoid"},
		{20, 20, 10, .05, "tanh"}, {20, 20, 10, .5, "tanh"}, {20, 20, 10, .05, "sigmoid"}, {20, 20, 10, .5, "sigmoid"},
		{60, 20, 5, .05, "tanh"}, {60, 20, 5, .5, "sigmoid"},
		{40, 40, 10, .5, "tanh"},
	} {
		name := fmt.Sprintf("%d,%d,%d/%g/%s", s.d, s.m0, s.m1, s.shift, s.act)
		if !strings.Contains(name, which) {
			continue
		}
		f := function(t, s.act)
		for seed := range uint64(4) {
			n := randomNet(s.d, s.m0, s.m1, s.shift, s.act, seed)
			o := &netOracle{n: n, f: f, noise: os.Getenv("NOISE")}
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			r, err := Run(ctx, Problem{Oracle: o, Info: core.OracleInfo{Inputs: n.Inputs()}, Candidates: []Candidate{{s.act, f}}, Solver: solver(t)}, Settings{Seed: seed, Observe: func(e Event) {
				if e.Final && testing.Verbose() {
					fmt.Println("   ", e.Stage, e.Text, e.Queries)
				}
			}})
			cancel()
			if err != nil {
				fmt.Println("ERR", name, seed, err)
				continue
			}
			fmt.Printf("%s seed %d %v q %.2fP %.1fs ", name, seed, r.Identified, float64(r.Queries)/float64(n.Parameters()), r.Seconds)
			if !r.Identified {
				fmt.Print(r.Reason)
			}
			if r.Network != nil {
				c, err := network.Compare(n, r.Network, f.Facts(), f.Facts())
				if err != nil {
					fmt.Println(err)
					continue
				}
				fmt.Printf(" first %.0e second %.0e output %.0e", floats.Max(c.First), floats.Max(c.Second), floats.Max(c.Output))
			}
			fmt.Println()
		}
	}
}
