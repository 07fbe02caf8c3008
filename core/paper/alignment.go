package paper

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/subspace"
)

// alignment tells how well each vector's coefficient behaves like one. Write a Hessian near 0 as
// H(x) = sum_j c_j(x) w_j w_j^T. The third derivative of f is symmetric, and to first order it is sum_j w_j w_j^T (x) grad c_j,
// so that grad c_j is parallel to w_j: c_j = g”(u_j) times something that hardly changes. A false w_j, which makes up for
// what the true ones leave over, has a coefficient that goes with x in some other way. The coefficients are regressed on x
// and on the square of w_j . x, as g”(u_j) may have its extremum near 0. alignment returns the part along w_j of what is
// explained, root mean square over the points and between 0 and 1: |cos(grad c_j, w_j)| where nothing is curved. It is nil
// where this cannot be had: without the Hessians, with too few of them or with linearly dependent w_j w_j^T.
func alignment(points *mat.Dense, list []*mat.SymDense, vectors *mat.Dense) []float64 {
	if points == nil || vectors == nil || len(list) == 0 {
		return nil
	}
	n, d := points.Dims()
	if n != len(list) || n < 2*(d+2) {
		return nil
	}
	rows := subspace.SvecLen(d)
	data := mat.NewDense(rows, n, nil)
	for k, h := range list {
		data.SetCol(k, subspace.Svec(h))
	}
	phi := features(vectors)
	_, m := phi.Dims()
	if m > rows {
		return nil
	}
	var qr mat.QR
	qr.Factorize(phi)
	if qr.Cond() > 1e8 {
		return nil
	}
	var c mat.Dense
	if err := qr.SolveTo(&c, false, data); err != nil {
		return nil
	}
	out := make([]float64, m)
	for j := range m {
		w := mat.Col(nil, j, vectors)
		floats.Scale(1/floats.Norm(w, 2), w)
		x := mat.NewDense(n, d+2, nil) // x, (w . x)^2, 1
		mean := 0.0
		for k := range n {
			row := x.RawRowView(k)
			copy(row, points.RawRowView(k))
			t := floats.Dot(w, row[:d])
			row[d], row[d+1] = t*t, 1
			mean += t * t / float64(n)
		}
		var b mat.VecDense
		if err := b.SolveVec(x, c.RowView(j)); err != nil && !isCondition(err) {
			return nil
		}
		gradient := b.RawVector().Data[:d]
		slope := floats.Dot(w, gradient)
		var along, across float64
		for k := range n {
			row := x.RawRowView(k)
			t := floats.Dot(w, row[:d])
			in, off := slope*t+b.AtVec(d)*(t*t-mean), floats.Dot(gradient, row[:d])-slope*t
			along += in * in
			across += off * off
		}
		if along > 0 {
			out[j] = math.Sqrt(along / (along + across))
		}
	}
	return out
}
