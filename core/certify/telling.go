package certify

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Telling returns which rows of pool, at most so many, tell most of what data leave uncertain of the parameters of n: one after the other, each being the one that makes the largest
// error bar smallest, given data and the rows before it (sequential design, Fedorov, Theory of Optimal Experiments, 1972, with the largest of the bars of [Certificate] as the
// criterion). Sigma of both are the errors of their answers; pool.Y is not looked at. It is nil where data do not determine the parameters.
func Telling(n *network.Network, g, h core.Function, data, pool refine.Data, count int) []int {
	if len(data.Y) < n.Parameters() {
		return nil
	}
	t, _ := decompose(n, g, h, data)
	if t == nil {
		return nil
	}
	p := t.r.N
	rows, _ := pool.X.Dims()
	// In coordinates in which the covariance is the identity: the gradient at row r over its answer's error is v_r, parameter k is w_k.
	v := mat.NewDense(rows, p, nil)
	refine.Jacobian(n, g, h, refine.Data{X: pool.X, Y: make([]float64, rows), Sigma: pool.Sigma}, v)
	for r := range rows {
		floats.Mul(v.RawRowView(r), t.scale)
	}
	blas64.Trsm(blas.Right, blas.NoTrans, 1, t.r, v.RawMatrix())
	w := mat.NewDense(p, p, nil)
	for k, s := range t.scale {
		w.Set(k, k, s)
	}
	blas64.Trsm(blas.Right, blas.NoTrans, 1, t.r, w.RawMatrix())
	var products mat.Dense // v_r . w_k
	products.Mul(v, w.T())

	var chosen []int
	all := groups(n)
	size := make([]float64, rows) // |v_r|^2
	for r := range rows {
		size[r] = floats.Dot(v.RawRowView(r), v.RawRowView(r))
	}
	variance := make([]float64, p)
	for k := range p {
		variance[k] = floats.Dot(w.RawRowView(k), w.RawRowView(k))
	}
	for range count {
		worst, bar := all[0], 0.0
		for _, g := range all {
			if b := g.bar(variance); b > bar {
				worst, bar = g, b
			}
		}
		best, most := -1, 0.0
		for r := range rows {
			gain := 0.0
			for _, part := range worst.parts {
				for _, q := range products.RawRowView(r)[part.from:part.to] {
					gain += q * q
				}
			}
			if gain /= 1 + size[r]; gain > most {
				best, most = r, gain
			}
		}
		if best < 0 {
			break
		}
		chosen = append(chosen, best)
		// The covariance shrinks along v_best: it becomes the identity again by scaling that direction.
		u := append([]float64(nil), v.RawRowView(best)...)
		length := size[best]
		floats.Scale(1/math.Sqrt(length), u)
		squared := length / (1 + length) // what the direction's variance loses
		along := math.Sqrt(1-squared) - 1
		own := append([]float64(nil), products.RawRowView(best)...)
		floats.Scale(1/math.Sqrt(length), own) // u . w_k
		for k, q := range own {
			variance[k] -= squared * q * q
		}
		for r := range rows {
			row := v.RawRowView(r)
			part := floats.Dot(row, u)
			floats.AddScaled(row, along*part, u)
			floats.AddScaled(products.RawRowView(r), -squared*part, own)
			size[r] -= squared * part * part
		}
	}
	return chosen
}
