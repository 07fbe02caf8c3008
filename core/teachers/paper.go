package teachers

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/sample"
)

// NearlyOrthonormal is [Planted] with a_i that are the columns of a random matrix with singular values 1 + e_k, |e| =
// perturbation, normalised: orthonormal when it is 0, as in the authors' published code for shallow networks. It needs
// m0 <= d.
func NearlyOrthonormal(size Size, shift, perturbation float64, activation string, seed uint64) (*Teacher, error) {
	if size.M0 > size.Inputs {
		return nil, fault.New(fault.Usage, "%d vectors in %d dimensions cannot be nearly orthonormal", size.M0, size.Inputs)
	}
	n := planted(size, shift, activation, seed)
	rows := nearlyOrthonormal(generator(seed, 0x6f7274686f), size.Inputs, size.M0, perturbation)
	for i, row := range rows {
		n.First.Weight.SetRow(i, row)
	}
	return &Teacher{Network: n, Minimal: n}, nil
}

func nearlyOrthonormal(rng *rand.Rand, d, m int, perturbation float64) [][]float64 {
	u, v := haar(rng, d, m), haar(rng, m, m)
	e := sample.Direction(rng, m)
	for k := range m {
		for i := range d {
			u.Set(i, k, u.At(i, k)*math.Max(0.05, 1+perturbation*e[k]))
		}
	}
	var a mat.Dense
	a.Mul(u, v.T())
	rows := make([][]float64, m)
	for j := range rows {
		rows[j] = mat.Col(nil, j, &a)
		floats.Scale(1/floats.Norm(rows[j], 2), rows[j])
	}
	return rows
}

// haar returns a random d x m matrix with orthonormal columns.
func haar(rng *rand.Rand, d, m int) *mat.Dense {
	g := mat.NewDense(d, m, nil)
	for i := range d {
		for j := range m {
			g.Set(i, j, rng.NormFloat64())
		}
	}
	var qr mat.QR
	qr.Factorize(g)
	var q, r mat.Dense
	qr.QTo(&q)
	qr.RTo(&r)
	out := mat.DenseCopyOf(q.Slice(0, d, 0, m))
	for j := range m { // signs that make the distribution Haar's
		if r.At(j, j) < 0 {
			for i := range d {
				out.Set(i, j, -out.At(i, j))
			}
		}
	}
	return out
}

// PlantedShallow returns a network of one hidden layer after the authors' code: shifts normal with standard deviation
// shift, output weights normal around 1 with standard deviation 0.2, then of norm 1. The weights are unit vectors, uniform on
// the sphere where perturbation is negative, else [NearlyOrthonormal].
func PlantedShallow(inputs, units int, shift, perturbation float64, activation string, seed uint64) (*network.Shallow, error) {
	if perturbation >= 0 && units > inputs {
		return nil, fault.New(fault.Usage, "%d vectors in %d dimensions cannot be nearly orthonormal", units, inputs)
	}
	rng := generator(seed, 0x7368616c6c6f77)
	s := &network.Shallow{Activation: activation}
	if perturbation >= 0 {
		s.Weight = nearlyOrthonormal(rng, inputs, units, perturbation)
	}
	for len(s.Weight) < units {
		s.Weight = append(s.Weight, sample.Direction(rng, inputs))
	}
	for range units {
		s.Bias = append(s.Bias, shift*rng.NormFloat64())
		s.Output = append(s.Output, 1+0.2*rng.NormFloat64())
	}
	floats.Scale(1/floats.Norm(s.Output, 2), s.Output)
	return s, nil
}

// Frozen returns the sum of ridge functions whose Hessian is that of the network with v_l(x) = v_l(0) and the weights of
// the a_i a_i^T at 0: the control in which nothing drifts and the span of Hessians is W exactly. g is the activation.
func Frozen(n *network.Network, g core.Function) *network.Shallow {
	m0, m1 := n.Sizes()
	value, slope := append([]float64(nil), n.First.Bias...), append([]float64(nil), n.First.Bias...)
	g.Apply(0, value, value)
	g.Apply(1, slope, slope)
	s := &network.Shallow{Activation: n.First.Activation, OutputBias: n.OutputBias, Output: make([]float64, m0)}
	for i := range m0 {
		s.Weight = append(s.Weight, append([]float64(nil), n.First.Weight.RawRowView(i)...))
		s.Bias = append(s.Bias, n.First.Bias[i])
	}
	for l := range m1 {
		row := n.Second.Weight.RawRowView(l)
		v := make([]float64, n.Inputs())
		for i := range m0 {
			floats.AddScaled(v, row[i]*slope[i], n.First.Weight.RawRowView(i))
		}
		p := []float64{floats.Dot(row, value) + n.Second.Bias[l]}
		s.Weight, s.Bias, s.Output = append(s.Weight, v), append(s.Bias, p[0]), append(s.Output, n.Output[l])
		g.Apply(1, p, p)
		for i := range m0 {
			s.Output[i] += n.Output[l] * p[0] * row[i]
		}
	}
	return s
}

// ShallowOracle answers for a network of one hidden layer, within the process.
type ShallowOracle struct {
	Network  *network.Shallow
	Function core.Function
}

// Info implements [core.Oracle].
func (o ShallowOracle) Info(context.Context) (core.OracleInfo, error) {
	return core.OracleInfo{Inputs: o.Network.Inputs(), Outputs: 1, DType: core.FP64, Model: "shallow"}, nil
}

// Query implements [core.Oracle].
func (o ShallowOracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, _ := x.Dims()
	return mat.NewDense(rows, 1, o.Network.Evaluate(o.Function, x)), nil
}

// Close implements [core.Oracle].
func (ShallowOracle) Close() error { return nil }
