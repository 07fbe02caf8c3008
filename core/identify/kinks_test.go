package identify

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/plugins/activations/softplus"
)

// mixed answers for a network with different activations in its layers.
type mixed struct {
	n    *network.Network
	g, h core.Function
	q    int64
}

func (o *mixed) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, _ := x.Dims()
	o.q += int64(r)
	return o.n.Evaluate(o.g, o.h, x), nil
}
func (o *mixed) Queries() int64 { return o.q }

// cell is a random network with the given activations, and what identifying it gave.
type cell struct {
	truth    *network.Network
	result   *Result
	err      error
	error    float64 // of the parameters, modulo the symmetries; 1 when there is no network of its sizes
	queries  float64 // over the number of parameters
	seconds  float64
	resisted string // why the kinks did not do
}

func identifyCell(t testing.TB, g, h string, d, m0, m1 int, shift float64, seed uint64, candidates ...string) cell {
	t.Helper()
	c := cell{truth: randomNet(d, m0, m1, shift, g, seed), error: 1}
	c.truth.Second.Activation = h
	o := &mixed{n: c.truth, g: function(t, g), h: function(t, h)}
	p := Problem{Oracle: o, Info: core.OracleInfo{Inputs: d}, Solver: solver(t), SolverName: "any"}
	if candidates == nil {
		p.Candidates, p.Second = []Candidate{{g, o.g}}, []Candidate{{h, o.h}}
	} else {
		p.Candidates = candidatesNamed(t, candidates...)
	}
	begin := time.Now()
	// What kinks do not solve is not left to the local method here: that is measured in package local.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.result, c.err = Identify(ctx, p, Settings{Seed: seed, Observe: func(e Event) {
		if strings.Contains(e.Text, "the kinks do not tell") {
			c.resisted = e.Text
			cancel()
		}
	}})
	c.seconds = time.Since(begin).Seconds()
	c.queries = float64(o.q) / float64(c.truth.Parameters())
	if c.err == nil && c.result.Network != nil {
		if n, err := network.Compare(c.truth, c.result.Network, o.g.Facts(), o.h.Facts()); err == nil {
			c.error = n.MaxError
		}
	}
	return c
}

func candidatesNamed(t testing.TB, names ...string) []Candidate { return candidates(t, names...) }

var kinksTable = flag.String("kinks", "", "cells to measure, as softplus,softplus:20,20,5:0.5:20 (g,h: d,m0,m1: shift: seeds)")

// TestKinksTable measures success rates:
//
//	go test ./core/identify -run TestKinksTable -kinks "softplus,softplus:20,20,5:0.5:20" -v
func TestKinksTable(t *testing.T) {
	for _, text := range strings.Fields(*kinksTable) {
		p := strings.Split(text, ":")
		g, h, _ := strings.Cut(p[0], ",")
		var d, m0, m1, seeds int
		fmt.Sscanf(p[1], "%d,%d,%d", &d, &m0, &m1)
		shift, _ := strconv.ParseFloat(p[2], 64)
		fmt.Sscanf(p[3], "%d", &seeds)
		ok, most, queries, worst, seconds := 0, 0.0, 0.0, 0.0, 0.0
		for seed := range uint64(seeds) {
			c := identifyCell(t, g, h, d, m0, m1, shift, seed)
			queries += c.queries / float64(seeds)
			seconds += c.seconds / float64(seeds)
			most = max(most, c.queries)
			if c.result.Identified && c.error <= 1e-8 {
				ok++
				worst = max(worst, c.error)
			} else {
				fmt.Printf("  seed %d: %.1e, %.1f P, %v\n", seed, c.error, c.queries, c.resisted)
			}
			if c.result.Identified && c.error > 1e-8 {
				t.Errorf("seed %d: said to be identified with parameters off by %.1e", seed, c.error)
			}
		}
		fmt.Printf("| %s | %d of %d | %.1f P, at most %.1f P | %.1f s | %.0e |\n", text, ok, seeds, queries, most, seconds, worst)
	}
}

// TestKinks: networks with asymptotically linear activations are identified from their kinks, sizes unknown, the same in both
// layers or not.
func TestKinks(t *testing.T) {
	for _, c := range []struct {
		g, h      string
		d, m0, m1 int
	}{
		{"softplus", "softplus", 20, 20, 5},
		{"silu", "silu", 10, 10, 3},
		{"gelu", "gelu", 12, 8, 3}, // more inputs than units
		{"elu", "elu", 10, 10, 3},
		{"gelu-tanh", "gelu-tanh", 10, 10, 3},
		{"leaky", "leaky", 10, 10, 3},
		{"gelu", "softplus", 10, 10, 3},
		{"tanh", "softplus", 6, 5, 2}, // not from kinks
	} {
		t.Run(c.g+" "+c.h, func(t *testing.T) {
			got := identifyCell(t, c.g, c.h, c.d, c.m0, c.m1, 0.5, 1)
			if got.err != nil || !got.result.Identified || got.error > 1e-10 || got.queries > 40 {
				t.Errorf("parameters off by %.1e after %.1f P queries, error %v, %+v", got.error, got.queries, got.err, got.result)
			}
		})
	}
}

// TestEvidence: every candidate competes for each layer, and what it leaves is in the result.
func TestEvidence(t *testing.T) {
	names := []string{"tanh", "softplus", "silu", "gelu", "gelu-tanh", "elu", "leaky", "sine"}
	for _, layers := range [][2]string{{"silu", "silu"}, {"leaky", "gelu-tanh"}} {
		c := identifyCell(t, layers[0], layers[1], 9, 8, 3, 0.5, 2, names...)
		if c.err != nil || !c.result.Identified || c.error > 1e-10 || c.result.Network.First.Activation != layers[0] || c.result.Network.Second.Activation != layers[1] {
			t.Errorf("%v: %v, %+v", layers, c.err, c.result)
			continue
		}
		seen := 0
		for _, e := range c.result.Evidence {
			seen++
			if right := e.Activation == layers[e.Layer-1]; right != (e.Misfit < 1e-6) {
				t.Errorf("%v: %+v", layers, e)
			}
		}
		if seen != 12 { // six of them bend
			t.Errorf("%v: evidence %v", layers, c.result.Evidence)
		}
		for _, name := range layers {
			if !strings.Contains(c.result.Remark, name+" leaves") {
				t.Errorf("%v: the remark is %q", layers, c.result.Remark)
			}
		}
	}
}

// TestTie: softplus in other units is softplus, which is said.
func TestTie(t *testing.T) {
	sharp, err := softplus.Factory.Open(core.Options{"beta": "2"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := compile.Compile(t.Context(), sharp)
	if err != nil {
		t.Fatal(err)
	}
	n := randomNet(8, 7, 3, 0.5, "softplus", 1)
	p := problem(t, n)
	p.Candidates = append(p.Candidates, Candidate{"sharp", other})
	r, err := Identify(t.Context(), p, Settings{})
	if err != nil || !r.Identified || !strings.Contains(r.Remark, "describe the same functions") || !strings.Contains(r.Remark, "sharp") {
		t.Errorf("%v, %+v", err, r)
	}
}
