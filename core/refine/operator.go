package refine

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/gram"
	"github.com/nnid/nnid/core/network"
)

// Operator is the Jacobian of the residuals over sigma at a network, as a linear map: it is never formed. A product
// costs what evaluating the network costs, N (d m0 + m0 m1) multiplications, and the memory is that of the rows.
type Operator struct {
	rows, d, m0, m1 int
	diagonal        bool       // of the first layer's weights those on the diagonal alone
	x               *mat.Dense // rows x d
	z               *mat.Dense // g(u), rows x m0
	du              *mat.Dense // df/du over sigma, rows x m0
	out             *mat.Dense // h(p) over sigma, rows x m1
	slope           *mat.Dense // c h'(p) over sigma, rows x m1
	weight          []float64  // 1 / sigma
	Residual        []float64  // over sigma
	blocks          []block
	whole           *blas64.Symmetric // the Cholesky factor of J^T J, which takes the place of the blocks; nil: not computed
	wide, narrow    *mat.Dense        // working space, rows x m0 and rows x m1
}

// block is the Cholesky factor of one diagonal block of J^T J: the incoming parameters of one unit, or the output's.
type block struct {
	at     []int // places in the vector of parameters
	factor blas64.Symmetric
}

// NewOperator linearises the fit at n.
func NewOperator(n *network.Network, g, h core.Function, data Data) *Operator {
	return linearise(n, g, h, data, false)
}

func linearise(n *network.Network, g, h core.Function, data Data, diagonal bool) *Operator {
	m0, m1 := n.Sizes()
	total, d := data.X.Dims()
	o := &Operator{
		rows: total, d: d, m0: m0, m1: m1, diagonal: diagonal, x: data.X, Residual: make([]float64, total), weight: make([]float64, total),
		wide: mat.NewDense(total, m0, nil), narrow: mat.NewDense(total, m1, nil),
	}
	u := o.wide
	u.Mul(data.X, n.First.Weight.T())
	addRow(u, n.First.Bias)
	o.z = mat.NewDense(total, m0, nil)
	g.Apply(0, o.z.RawMatrix().Data, u.RawMatrix().Data)
	p := o.narrow
	p.Mul(o.z, n.Second.Weight.T())
	addRow(p, n.Second.Bias)
	o.out, o.slope = mat.NewDense(total, m1, nil), mat.NewDense(total, m1, nil)
	h.Apply(0, o.out.RawMatrix().Data, p.RawMatrix().Data)
	h.Apply(1, o.slope.RawMatrix().Data, p.RawMatrix().Data)
	for i := range total {
		floats.Mul(o.slope.RawRowView(i), n.Output)
	}
	o.du = mat.NewDense(total, m0, nil)
	o.du.Mul(o.slope, n.Second.Weight)
	g.Apply(1, u.RawMatrix().Data, u.RawMatrix().Data)
	for i := range total {
		o.weight[i] = 1
		if data.Sigma != nil {
			o.weight[i] = 1 / data.Sigma[i]
		}
		w := o.weight[i]
		o.Residual[i] = w * (floats.Dot(o.out.RawRowView(i), n.Output) + n.OutputBias - data.Y[i])
		floats.Mul(o.du.RawRowView(i), u.RawRowView(i))
		floats.Scale(w, o.du.RawRowView(i))
		floats.Scale(w, o.out.RawRowView(i))
		floats.Scale(w, o.slope.RawRowView(i))
	}
	return o
}

// weights is the number of the first layer's weights among the parameters.
func (o *Operator) weights() int {
	if o.diagonal {
		return o.m0
	}
	return o.m0 * o.d
}

// Parameters returns the length of the vectors that the operator applies to.
func (o *Operator) Parameters() int { return o.weights() + network.Parameters(0, o.m0, o.m1) }

// Apply returns J p.
func (o *Operator) Apply(p []float64) []float64 {
	a, p := p[:o.weights()], p[o.weights():]
	theta, p := p[:o.m0], p[o.m0:]
	b := mat.NewDense(o.m1, o.m0, p[:o.m0*o.m1])
	p = p[o.m0*o.m1:]
	tau, c, c0 := p[:o.m1], p[o.m1:2*o.m1], p[2*o.m1]
	if o.diagonal {
		for i := range o.rows {
			floats.MulTo(o.wide.RawRowView(i), o.x.RawRowView(i), a)
		}
	} else {
		o.wide.Mul(o.x, mat.NewDense(o.m0, o.d, a).T())
	}
	o.narrow.Mul(o.z, b.T())
	result := make([]float64, o.rows)
	for i := range result {
		ui, vi := o.wide.RawRowView(i), o.narrow.RawRowView(i)
		floats.Add(ui, theta)
		floats.Add(vi, tau)
		result[i] = floats.Dot(ui, o.du.RawRowView(i)) + floats.Dot(vi, o.slope.RawRowView(i)) + floats.Dot(c, o.out.RawRowView(i)) + c0*o.weight[i]
	}
	return result
}

// Transpose returns J^T r.
func (o *Operator) Transpose(r []float64) []float64 {
	result := make([]float64, o.Parameters())
	a, rest := result[:o.weights()], result[o.weights():]
	theta, rest := rest[:o.m0], rest[o.m0:]
	b := mat.NewDense(o.m1, o.m0, rest[:o.m0*o.m1])
	rest = rest[o.m0*o.m1:]
	tau, c := rest[:o.m1], rest[o.m1:2*o.m1]
	for i, v := range r {
		du, slope := o.wide.RawRowView(i), o.narrow.RawRowView(i)
		floats.ScaleTo(du, v, o.du.RawRowView(i))
		floats.ScaleTo(slope, v, o.slope.RawRowView(i))
		floats.Add(theta, du)
		floats.Add(tau, slope)
		floats.AddScaled(c, v, o.out.RawRowView(i))
		rest[2*o.m1] += v * o.weight[i]
	}
	if o.diagonal {
		for i := range o.rows {
			for k, v := range o.x.RawRowView(i) {
				a[k] += v * o.wide.At(i, k)
			}
		}
	} else {
		mat.NewDense(o.m0, o.d, a).Mul(o.wide.T(), o.x)
	}
	b.Mul(o.narrow.T(), o.z)
	return result
}

// factor prepares the preconditioner: the diagonal blocks of J^T J, one for the incoming parameters of each unit.
func (o *Operator) factor() {
	if o.blocks != nil || o.whole != nil {
		return
	}
	width := max(o.d, o.m0, o.m1) + 1
	space := make([]float64, o.rows*width)
	unit := func(inputs, slopes *mat.Dense, k int, at []int) {
		columns := len(at)
		rows := blas64.General{Rows: o.rows, Cols: columns, Stride: columns, Data: space[:o.rows*columns]}
		for i := range o.rows {
			row, s := rows.Data[i*columns:][:columns], slopes.At(i, k)
			if input := inputs.RawRowView(i); columns == 2 { // on the diagonal
				row[0] = s * input[k]
			} else {
				floats.ScaleTo(row[:columns-1], s, input)
			}
			row[columns-1] = s
		}
		o.addBlock(rows, at)
	}
	theta := o.weights()
	second := theta + o.m0
	tau := second + o.m0*o.m1
	for i := range o.m0 {
		if o.diagonal {
			unit(o.x, o.du, i, []int{i, theta + i})
			continue
		}
		unit(o.x, o.du, i, append(span(i*o.d, (i+1)*o.d), theta+i))
	}
	for l := range o.m1 {
		unit(o.z, o.slope, l, append(span(second+l*o.m0, second+(l+1)*o.m0), tau+l))
	}
	columns := o.m1 + 1
	rows := blas64.General{Rows: o.rows, Cols: columns, Stride: columns, Data: space[:o.rows*columns]}
	for i := range o.rows {
		row := rows.Data[i*columns:][:columns]
		copy(row, o.out.RawRowView(i))
		row[o.m1] = o.weight[i]
	}
	o.addBlock(rows, span(tau+o.m1, tau+2*o.m1+1))
}

func span(from, to int) []int {
	s := make([]int, to-from)
	for i := range s {
		s[i] = from + i
	}
	return s
}

func (o *Operator) addBlock(rows blas64.General, at []int) {
	n := len(at)
	normal := blas64.Symmetric{Uplo: blas.Upper, N: n, Stride: n, Data: make([]float64, n*n)}
	gram.Accumulate(1, rows, normal)
	diagonal := make([]float64, n)
	for i := range diagonal {
		normal.Data[i*n+i] *= 1 + 1e-12
		diagonal[i] = math.Max(normal.Data[i*n+i], 1e-300)
		normal.Data[i*n+i] = diagonal[i]
	}
	if !gram.Cholesky(normal) { // dependent columns: their diagonal alone still scales
		clear(normal.Data)
		for i, v := range diagonal {
			normal.Data[i*n+i] = math.Sqrt(v)
		}
	}
	o.blocks = append(o.blocks, block{at, normal})
}

// precondition returns M^{-1} v, M the diagonal blocks of J^T J, or all of it at a network nearby.
func (o *Operator) precondition(v []float64) []float64 {
	result := make([]float64, len(v))
	if o.whole != nil {
		copy(result, v)
		gram.Solve(*o.whole, result)
		return result
	}
	for _, b := range o.blocks {
		part := make([]float64, len(b.at))
		for k, at := range b.at {
			part[k] = v[at]
		}
		gram.Solve(b.factor, part)
		for k, at := range b.at {
			result[at] = part[k]
		}
	}
	return result
}

// Solve returns s with J^T J s = v to the given relative tolerance, by conjugate gradients preconditioned with the
// diagonal blocks.
func (o *Operator) Solve(ctx context.Context, v []float64, tolerance float64, iterations int) ([]float64, error) {
	first := -1.0
	return o.descend(ctx, v, 0, iterations, func(gamma, _ float64) bool {
		if first < 0 {
			first = gamma
		}
		return gamma <= tolerance*tolerance*first
	})
}

// descend minimises |J s|^2 / 2 + damping s^T M s / 2 - v^T s by preconditioned conjugate gradients, M being the preconditioner. It ends
// when done says so, which is told the squared residual (in the norm of M^{-1}) and twice what has been gained so far.
func (o *Operator) descend(ctx context.Context, v []float64, damping float64, iterations int, done func(gamma, gain float64) bool) ([]float64, error) {
	o.factor()
	s := make([]float64, len(v))
	r := append([]float64(nil), v...)
	y := o.precondition(r)
	p := append([]float64(nil), y...)
	// M p follows p by the same recursion as M y = r.
	mp := append([]float64(nil), r...)
	gamma, gain := floats.Dot(r, y), 0.0
	for range iterations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if gamma == 0 || done(gamma, gain) {
			break
		}
		q := o.Transpose(o.Apply(p))
		floats.AddScaled(q, damping, mp)
		alpha := gamma / floats.Dot(p, q)
		if !(alpha > 0) || math.IsInf(alpha, 0) {
			break
		}
		floats.AddScaled(s, alpha, p)
		floats.AddScaled(r, -alpha, q)
		gain += alpha * gamma
		y = o.precondition(r)
		next := floats.Dot(r, y)
		floats.AddScaledTo(p, y, next/gamma, p)
		floats.AddScaledTo(mp, r, next/gamma, mp)
		gamma = next
	}
	return s, nil
}
