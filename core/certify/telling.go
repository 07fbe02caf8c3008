package certify

import (
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// looks is how many rows of a pool are looked at for each that is chosen.
const looks = 8

// Telling returns which rows of pool, at most so many, tell most of what data leave uncertain of the parameters of n: one after the other, each being the one that makes the largest
// error bar smallest, given data and the rows before it (sequential design, Fedorov, Theory of Optimal Experiments, 1972, with the largest of the bars of [Certificate] as the
// criterion). No row is chosen twice: the same question has the same answer, rounded the same way. Sigma of both are the errors of their answers; pool.Y is not looked at. It is nil where data do not determine the parameters.
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
	// In coordinates in which the covariance C is the identity at first, the gradient at row r over its answer's error is v_r, and parameter k is w_k.
	gradients := t.gradients(n, g, h, pool)
	// Those that tell little by themselves are not looked at again and again.
	kept := make([]int, rows)
	size := make([]float64, rows) // v_r . C v_r
	for r := range rows {
		size[r] = floats.Dot(gradients.RawRowView(r), gradients.RawRowView(r))
	}
	floats.Argsort(size, kept)
	slices.Reverse(kept)
	slices.Reverse(size)
	rows = min(rows, looks*count)
	v := mat.NewDense(rows, p, nil)
	for k, r := range kept[:rows] {
		v.SetRow(k, gradients.RawRowView(r))
	}
	w := mat.NewDense(p, p, nil)
	for k, s := range t.scale {
		w.Set(k, k, s)
	}
	blas64.Trsm(blas.Right, blas.NoTrans, 1, t.r, w.RawMatrix())
	var products mat.Dense // v_r . C w_k
	products.Mul(v, w.T())

	var chosen []int
	all := groups(n)
	variance := make([]float64, p)
	for k := range p {
		variance[k] = floats.Dot(w.RawRowView(k), w.RawRowView(k))
	}
	c := mat.NewSymDense(p, nil)
	for k := range p {
		c.SetSym(k, k, 1)
	}
	taken := make([]bool, rows)
	var y, along, own mat.VecDense
	for range count {
		worst, bar := all[0], 0.0
		for _, g := range all {
			if b := g.bar(variance); b > bar {
				worst, bar = g, b
			}
		}
		best, most := -1, 0.0
		for r := range rows {
			if taken[r] {
				continue
			}
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
		taken[best] = true
		chosen = append(chosen, kept[best])
		// One more row: (C^{-1} + v v^T)^{-1} = C - y y^T / (1 + v . y), y = C v.
		row := v.RowView(best)
		y.MulVec(c, row)
		less := -1 / (1 + mat.Dot(row, &y))
		along.MulVec(v, &y)
		own.MulVec(w, &y)
		c.SymRankOne(c, less, &y)
		blas64.Ger(less, along.RawVector(), own.RawVector(), products.RawMatrix())
		for r, q := range along.RawVector().Data {
			size[r] += less * q * q
		}
		for k, q := range own.RawVector().Data {
			variance[k] += less * q * q
		}
	}
	return chosen
}
