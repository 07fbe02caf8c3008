package recover

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
	"github.com/nnid/nnid/core/refine"
	"github.com/nnid/nnid/core/sample"
)

type plain struct {
	f  [3]func(float64) float64
	lo float64
}

func (p plain) Facts() core.Facts {
	return core.Facts{Symmetry: core.SymmetryPoint, Left: core.Tail{Asymptotic: true, Intercept: p.lo}, Right: core.Tail{Asymptotic: true, Intercept: 1}}
}
func (p plain) Apply(order int, dst, t []float64) {
	for i, v := range t {
		dst[i] = p.f[order](v)
	}
}

func sigm(t float64) float64 { return 1 / (1 + math.Exp(-t)) }

var tanhF = plain{[3]func(float64) float64{math.Tanh, func(t float64) float64 { c := math.Cosh(t); return 1 / (c * c) }, nil}, -1}
var sigF = plain{[3]func(float64) float64{sigm, func(t float64) float64 { return sigm(t) * sigm(-t) }, nil}, 0}

type eigSolver struct{}

func (eigSolver) Solve(_ context.Context, p core.Problem, _ func(core.SolverProgress)) (*core.Solution, error) {
	_, m := p.Basis.Dims()
	rng := rand.New(rand.NewPCG(p.Seed, 7))
	comb := func() *mat.Dense {
		c := mat.NewVecDense(m, nil)
		for i := range m {
			c.SetVec(i, rng.NormFloat64())
		}
		var v mat.VecDense
		v.MulVec(p.Basis, c)
		return mat.NewDense(p.Dim, p.Dim, v.RawVector().Data)
	}
	a, b := comb(), comb()
	var binv, ab mat.Dense
	if err := binv.Inverse(b); err != nil {
		fmt.Println(err)
	}
	ab.Mul(a, &binv)
	var e mat.Eigen
	e.Factorize(&ab, mat.EigenRight)
	var cv mat.CDense
	e.VectorsTo(&cv)
	w := mat.NewDense(p.Dim, p.Dim, nil)
	for i := range p.Dim {
		for j := range p.Dim {
			w.Set(i, j, real(cv.At(i, j)))
		}
	}
	return &core.Solution{Vectors: w}, nil
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

func TestExplore(t *testing.T) {
	files, _ := filepath.Glob("../../testdata/networks/*.json")
	for _, file := range files {
		n, err := network.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, k := tanhF, 2.0
		if n.First.Activation == "sigmoid" {
			f, k = sigF, 1
		}
		_, m1 := n.Sizes()
		for seed := range uint64(3) {
			o := &netOracle{n: n, f: f}
			lg := &sample.Log{Oracle: o}
			rng := rand.New(rand.NewPCG(seed, 1))
			s, err := sample.Measure(context.Background(), lg, n.Inputs(), false, rng)
			if err != nil {
				t.Fatal(err)
			}
			units, err := sample.Saturate(context.Background(), lg, n.Inputs(), *s, rng, sample.SaturationSettings{})
			if err != nil {
				t.Fatal(err)
			}
			l, err := NewLatent(units, k)
			if err != nil {
				t.Fatal(err)
			}
			q1 := o.q
			P := float64(n.Parameters())
			s2, err := SecondLayer(context.Background(), lg, l, rng, Settings{Noise: s.Noise / s.Spread, Solver: eigSolver{}})
			if err != nil {
				fmt.Println(filepath.Base(file), seed, err)
				continue
			}
			found := s2.Network(f, f, n.First.Activation, n.First.Activation)
			_, k1 := found.Sizes()
			fmt.Printf("%s seed %d m1 %d/%d q %.2fP + %.2fP ", filepath.Base(file), seed, k1, m1, float64(q1)/P, float64(o.q-q1)/P)
			c, err := network.Compare(n, found, f.Facts(), f.Facts())
			if err != nil {
				fmt.Println(err, s2.Singular)
				continue
			}
			fmt.Printf("first %.0e second %.0e output %.0e", floats.Max(c.First), floats.Max(c.Second), floats.Max(c.Output))
			x := mat.NewDense(len(lg.X), n.Inputs(), nil)
			for i := range lg.X {
				x.SetRow(i, lg.X[i])
			}
			pol, st, err := refine.Levenberg(context.Background(), found, f, f, refine.Data{X: x, Y: lg.Y}, refine.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			c, _ = network.Compare(n, pol, f.Facts(), f.Facts())
			fmt.Printf(" | LM it %d loss %.0e max %.0e\n", st.Iterations, st.Loss, c.MaxError)
		}
	}
}
