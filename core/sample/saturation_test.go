package sample

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

type plain struct{ f func(float64) float64 }

func (p plain) Facts() core.Facts { return core.Facts{} }
func (p plain) Apply(order int, dst, t []float64) {
	for i, v := range t {
		dst[i] = p.f(v)
	}
}

type netOracle struct {
	n *network.Network
	f plain
	q int64
}

func (o *netOracle) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	r, _ := x.Dims()
	o.q += int64(r)
	return o.n.Evaluate(o.f, o.f, x), nil
}
func (o *netOracle) Queries() int64 { return o.q }

func TestSaturate(t *testing.T) {
	files, _ := filepath.Glob("../../testdata/networks/*.json")
	for _, file := range files {
		n, err := network.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, k := plain{math.Tanh}, 2.0
		if n.First.Activation == "sigmoid" {
			f, k = plain{func(t float64) float64 { return 1 / (1 + math.Exp(-t)) }}, 1
		}
		for seed := range uint64(5) {
			o := &netOracle{n: n, f: f}
			rng := rand.New(rand.NewPCG(seed, 1))
			s, err := Measure(context.Background(), o, n.Inputs(), false, rng)
			if err != nil {
				t.Fatal(err)
			}
			q1 := o.q
			lines := 0
			units, err := Saturate(context.Background(), o, n.Inputs(), *s, rng, SaturationSettings{Observe: func(l, f int) { lines = l }})
			if err != nil {
				t.Fatal(err)
			}
			m0, _ := n.Sizes()
			worst, worstRate := 0.0, 0.0
			for _, u := range units {
				best, rate := 2.0, 0.0
				for i := range m0 {
					a := n.First.Weight.RawRowView(i)
					na := floats.Norm(a, 2)
					e := append([]float64(nil), u.Direction...)
					floats.AddScaled(e, -math.Copysign(1/na, floats.Dot(a, u.Direction)), a)
					sin := floats.Norm(e, 2)
					if sin < best {
						best, rate = sin, math.Abs(u.Decay/(k*na)-1)
					}
				}
				worst = math.Max(worst, best)
				worstRate = math.Max(worstRate, rate)
			}
			P := float64(n.Parameters())
			fmt.Printf("%s seed %d L %.0f noise %.1e found %d/%d lines %d angle %.0e rate %.0e scale %d q %.2fP\n", filepath.Base(file), seed, s.Saturation, s.Noise, len(units), m0, lines, worst, worstRate, q1, float64(o.q)/P)
		}
	}
}
