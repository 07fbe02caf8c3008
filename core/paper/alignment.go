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
// what the true ones leave over, has a coefficient that goes with x in some other way. alignment returns
// |cos(grad c_j, w_j)|, by linear regression of the coefficients on the points; nil where this cannot be had: without the
// Hessians, with too few of them or with linearly dependent w_j w_j^T.
func alignment(points *mat.Dense, list []*mat.SymDense, vectors *mat.Dense) []float64 {
	if points == nil || vectors == nil || len(list) == 0 {
		return nil
	}
	n, d := points.Dims()
	if n != len(list) || n < 2*d {
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
	x := mat.NewDense(n, d+1, nil)
	for k := range n {
		copy(x.RawRowView(k), points.RawRowView(k))
		x.Set(k, d, 1)
	}
	var slopes mat.Dense
	if err := slopes.Solve(x, c.T()); err != nil && !isCondition(err) {
		return nil
	}
	out := make([]float64, m)
	for j := range m {
		w, g := mat.Col(nil, j, vectors), mat.Col(nil, j, &slopes)[:d]
		if norm := floats.Norm(g, 2); norm > 0 {
			out[j] = math.Abs(floats.Dot(w, g)) / norm / floats.Norm(w, 2)
		}
	}
	return out
}
