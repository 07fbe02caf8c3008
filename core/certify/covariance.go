package certify

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/gram"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// triangle is what is known of the Jacobian J at the solution, each column scaled to a length of about one: the triangular R
// with R^T R = J^T J.
type triangle struct {
	scale     []float64 // of the columns: powers of two, so that scaling does not round
	normal    blas64.Symmetric
	r         blas64.Triangular
	condition float64
}

// straightforward is the condition number up to which R is the Cholesky factor of J^T J: it loses twice as many digits as a QR
// decomposition of J.
const straightforward = 1e6

// mostEntries bounds the memory of a QR decomposition.
const mostEntries = 1 << 26

// decompose returns the triangle; nil where no answer depends on some parameters, which are dead then, or where it is too large to tell. Where J is
// singular to rounding the condition is infinite.
func decompose(n *network.Network, g, h core.Function, data refine.Data) (t *triangle, dead []int) {
	p := n.Parameters()
	free := make([]int, p)
	for i := range free {
		free[i] = i
	}
	square := mat.NewSymDense(p, nil)
	refine.Normal(n, g, h, data, free, square, make([]float64, p))
	t = &triangle{scale: make([]float64, p), normal: square.RawSymmetric()}
	for i := range p {
		size := t.normal.Data[i*t.normal.Stride+i]
		if size <= 0 {
			dead = append(dead, i)
		}
		t.scale[i] = math.Exp2(-math.Round(math.Log2(size) / 2))
	}
	if len(dead) > 0 {
		return nil, dead
	}
	for i, s := range t.scale {
		row := t.normal.Data[i*t.normal.Stride:][:p]
		for j := i; j < p; j++ {
			row[j] *= s * t.scale[j]
		}
	}
	t.r = blas64.Triangular{Uplo: blas.Upper, Diag: blas.NonUnit, N: p, Stride: p, Data: append([]float64(nil), t.normal.Data...)}
	if gram.Cholesky(blas64.Symmetric{Uplo: blas.Upper, N: p, Stride: p, Data: t.r.Data}) {
		if t.condition = t.estimate(); t.condition <= straightforward {
			return t, nil
		}
	}
	if p*len(data.Y) > mostEntries {
		return nil, nil
	}
	t.orthogonal(n, g, h, data)
	for i := range p { // where R has a zero, rounding has decided the directions; they are to have names all the same
		if pivot := &t.r.Data[i*p+i]; !(math.Abs(*pivot) > roundedAway) {
			*pivot = roundedAway
		}
	}
	if t.condition = t.estimate(); !(t.condition < 0.1/roundedAway) {
		t.condition = math.Inf(1)
	}
	return t, nil
}

// roundedAway is the size, relative to the columns, of what is left of a column of J that is a combination of others.
const roundedAway = 1e-16

// orthogonal sets R from a QR decomposition of J.
func (t *triangle) orthogonal(n *network.Network, g, h core.Function, data refine.Data) {
	p := n.Parameters()
	j := mat.NewDense(len(data.Y), p, nil)
	refine.Jacobian(n, g, h, data, j)
	for i := range data.Y {
		floats.Mul(j.RawRowView(i), t.scale)
	}
	raw := j.RawMatrix()
	tau := make([]float64, p)
	work := make([]float64, 1)
	lapack64.Geqrf(raw, tau, work, -1)
	work = make([]float64, int(work[0]))
	lapack64.Geqrf(raw, tau, work, len(work))
	for i := range p {
		copy(t.r.Data[i*p+i:(i+1)*p], raw.Data[i*raw.Stride+i:i*raw.Stride+p])
	}
}

// solve overwrites v with (R^T R)^{-1} v.
func (t *triangle) solve(v []float64) {
	blas64.Trsv(blas.Trans, t.r, blas64.Vector{N: len(v), Inc: 1, Data: v})
	blas64.Trsv(blas.NoTrans, t.r, blas64.Vector{N: len(v), Inc: 1, Data: v})
}

// variances returns the diagonal of (J^T J)^{-1}, of the parameters as they are.
func (t *triangle) variances() []float64 {
	p := t.r.N
	const width = 128
	variance := make([]float64, p)
	for from := 0; from < p; from += width { // columns of R^{-T}, which is zero above its diagonal
		rows, columns := p-from, min(width, p-from)
		x := blas64.General{Rows: rows, Cols: columns, Stride: columns, Data: make([]float64, rows*columns)}
		for k := range columns {
			x.Data[k*columns+k] = 1
		}
		part := blas64.Triangular{Uplo: blas.Upper, Diag: blas.NonUnit, N: rows, Stride: t.r.Stride, Data: t.r.Data[from*t.r.Stride+from:]}
		blas64.Trsm(blas.Left, blas.Trans, 1, part, x)
		for k := range rows {
			for c, v := range x.Data[k*columns:][:columns] {
				variance[from+c] += v * v
			}
		}
	}
	for i, s := range t.scale {
		variance[i] *= s * s
	}
	return variance
}

// estimate returns the condition number of J, its columns scaled, to a few per cent: by power iteration.
func (t *triangle) estimate() float64 {
	most := power(t.r.N, func(v []float64) {
		blas64.Trmv(blas.NoTrans, t.r, blas64.Vector{N: len(v), Inc: 1, Data: v})
		blas64.Trmv(blas.Trans, t.r, blas64.Vector{N: len(v), Inc: 1, Data: v})
	})
	return math.Sqrt(most * power(t.r.N, t.solve))
}

// power returns the largest eigenvalue of a positive definite map.
func power(n int, apply func(v []float64)) float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = 1 + 0.5*math.Sin(float64(i+1))
	}
	value := 0.0
	for range 30 {
		apply(v)
		before := value
		value = floats.Norm(v, 2)
		if value == 0 || math.IsInf(value, 0) || math.IsNaN(value) || math.Abs(value-before) < 1e-3*value {
			return value
		}
		floats.Scale(1/value, v)
	}
	return value
}
