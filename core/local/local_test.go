package local

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
	"github.com/nnid/nnid/plugins/activations"
)

type netOracle struct {
	t       *testing.T
	n       *network.Network
	f       core.Function
	domain  float64
	queries int64
}

func (o *netOracle) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	r, _ := x.Dims()
	o.queries += int64(r)
	if o.domain > 0 && mat.Max(x) > o.domain || o.domain > 0 && mat.Min(x) < -o.domain {
		o.t.Errorf("a query leaves the domain")
	}
	return o.n.Evaluate(o.f, o.f, x), nil
}
func (o *netOracle) Queries() int64 { return o.queries }

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

func random(d, m0, m1 int, shift float64, name string, seed uint64) *network.Network {
	rng := rand.New(rand.NewPCG(seed, 99))
	n := network.New(d, m0, m1, name, name)
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

// TestStart identifies small networks of every kind, sizes not given.
func TestStart(t *testing.T) {
	for _, c := range []struct {
		name      string
		d, m0, m1 int
		domain    float64
	}{
		{"tanh", 6, 6, 2, 2}, {"sigmoid", 6, 6, 2, 3}, {"tanh", 14, 5, 2, 2},
		{"softplus", 6, 6, 2, 0}, {"sine", 6, 6, 2, 0}, {"silu", 6, 6, 2, 0}, {"gelu", 6, 6, 2, 0},
	} {
		t.Run(fmt.Sprintf("%s-%d", c.name, c.d), func(t *testing.T) {
			t.Parallel()
			f := function(t, c.name)
			truth := random(c.d, c.m0, c.m1, 0.3, c.name, 1)
			o := &netOracle{t: t, n: truth, f: f, domain: c.domain}
			found, _, err := Start(t.Context(), o, c.d, f, f, Settings{Domain: c.domain, Activation: c.name, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			comparison, err := network.Compare(truth, found, f.Facts(), f.Facts())
			if err != nil {
				t.Fatal(err)
			}
			perParameter := float64(o.queries) / float64(truth.Parameters())
			t.Logf("largest error %.1e, %.1f P queries", comparison.MaxError, perParameter)
			if comparison.MaxError > 1e-8 || perParameter > 25 {
				t.Errorf("largest error %.1e with %.1f P queries", comparison.MaxError, perParameter)
			}
		})
	}
}

func TestSameSeed(t *testing.T) {
	f := function(t, "tanh")
	truth := random(4, 4, 2, 0.3, "tanh", 3)
	run := func() []float64 {
		n, _, err := Start(t.Context(), &netOracle{t: t, n: truth, f: f}, 4, f, f, Settings{Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		return refine.Pack(n)
	}
	if a, b := run(), run(); !slices.Equal(a, b) {
		t.Error("two runs with one seed differ")
	}
}

func TestNothingToFind(t *testing.T) {
	f := function(t, "tanh")
	constant := network.New(4, 3, 2, "tanh", "tanh")
	_, _, err := Start(t.Context(), &netOracle{t: t, n: constant, f: f, domain: 1}, 4, f, f, Settings{Domain: 1})
	if !fault.Is(err, fault.Unsupported) {
		t.Errorf("a constant: %v", err)
	}
	// The hidden activation is another one.
	truth := random(4, 4, 2, 0.3, "sine", 3)
	_, _, err = Start(t.Context(), &netOracle{t: t, n: truth, f: function(t, "sine"), domain: 2}, 4, f, f, Settings{Domain: 2, Starts: 2})
	if !fault.Is(err, fault.Unsupported) {
		t.Errorf("the wrong activation: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Start(ctx, &netOracle{t: t, n: truth, f: f}, 4, f, f, Settings{}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

var table = flag.String("table", "tanh:6,6,2:0.5:2:1", "cells to measure, as activation:d,m0,m1:shift:domain:seeds, separated by spaces")

// TestTable measures success rates: go test ./core/local -run TestTable -table "tanh:10,10,3:0.5:2:20" -timeout 1h -v
func TestTable(t *testing.T) {
	for _, cell := range strings.Fields(*table) {
		p := strings.Split(cell, ":")
		var d, m0, m1, seeds int
		fmt.Sscanf(p[1], "%d,%d,%d", &d, &m0, &m1)
		shift, _ := strconv.ParseFloat(p[2], 64)
		domain, _ := strconv.ParseFloat(p[3], 64)
		seeds, _ = strconv.Atoi(p[4])
		ok, queries, seconds, worst := 0, 0.0, 0.0, 0.0
		var failed []string
		f := function(t, p[0])
		for seed := range uint64(seeds) {
			truth := random(d, m0, m1, shift, p[0], seed)
			o := &netOracle{t: t, n: truth, f: f, domain: domain}
			s := Settings{Domain: domain, Seed: seed, Activation: p[0]}
			if os.Getenv("TRACE") != "" {
				s.Trace = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
			}
			ctx, cancel := context.WithTimeout(context.Background(), 240*time.Second)
			begin := time.Now()
			found, _, err := Start(ctx, o, d, f, f, s)
			cancel()
			took := time.Since(begin).Seconds()
			seconds += took
			queries += float64(o.queries) / float64(truth.Parameters())
			what := ""
			if err != nil {
				what = err.Error()
			} else if c, err := network.Compare(truth, found, f.Facts(), f.Facts()); err != nil {
				what = err.Error()
			} else if c.MaxError > 1e-8 {
				what = fmt.Sprintf("error %.1e", c.MaxError)
			} else {
				ok++
				worst = max(worst, c.MaxError)
			}
			if what != "" {
				failed = append(failed, fmt.Sprintf("%d: %s", seed, what))
			}
			if os.Getenv("TRACE") != "" {
				fmt.Printf("seed %d %.1fP %.1fs %s\n", seed, float64(o.queries)/float64(truth.Parameters()), took, what)
			}
		}
		fmt.Printf("| %s | %d/%d | %.1f P | %.1f s | %.0e | %v\n", cell, ok, seeds, queries/float64(seeds), seconds/float64(seeds), worst, failed)
	}
}
