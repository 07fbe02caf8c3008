package refine

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// Operator is the Jacobian of the residuals over sigma at a network, as a linear map: it is never formed. A product
// costs what evaluating the network costs, N (d m0 + m0 m1) multiplications, and the memory is that of the rows.
type Operator struct {
	rows, d, m0, m1 int
	x               *mat.Dense // rows x d
	z               *mat.Dense // g(u), rows x m0
	du              *mat.Dense // df/du over sigma, rows x m0
	out             *mat.Dense // h(p) over sigma, rows x m1
	slope           *mat.Dense // c h'(p) over sigma, rows x m1
	weight          []float64  // 1 / sigma
	Residual        []float64  // over sigma
	blocks          []block
}

// block is the Cholesky factor of one diagonal block of J^T J: the incoming parameters of one unit, or the output's.
type block struct {
	at       []int // places in [Pack]'s vector
	cholesky *mat.Cholesky
}

// NewOperator linearises the fit at n.
func NewOperator(n *network.Network, g, h core.Function, data Data) *Operator {
	m0, m1 := n.Sizes()
	total, d := data.X.Dims()
	o := &Operator{rows: total, d: d, m0: m0, m1: m1, x: data.X, Residual: make([]float64, total), weight: make([]float64, total)}
	u := mat.NewDense(total, m0, nil)
	u.Mul(data.X, n.First.Weight.T())
	addRow(u, n.First.Bias)
	o.z = mat.NewDense(total, m0, nil)
	g.Apply(0, o.z.RawMatrix().Data, u.RawMatrix().Data)
	p := mat.NewDense(total, m1, nil)
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

// Parameters returns the length of the vectors that the operator applies to.
func (o *Operator) Parameters() int { return network.Parameters(o.d, o.m0, o.m1) }

// Apply returns J p.
func (o *Operator) Apply(p []float64) []float64 {
	a := mat.NewDense(o.m0, o.d, p[:o.m0*o.d])
	p = p[o.m0*o.d:]
	theta, p := p[:o.m0], p[o.m0:]
	b := mat.NewDense(o.m1, o.m0, p[:o.m0*o.m1])
	p = p[o.m0*o.m1:]
	tau, c, c0 := p[:o.m1], p[o.m1:2*o.m1], p[2*o.m1]
	var u, v mat.Dense
	u.Mul(o.x, a.T())
	v.Mul(o.z, b.T())
	result := make([]float64, o.rows)
	for i := range result {
		ui, vi := u.RawRowView(i), v.RawRowView(i)
		floats.Add(ui, theta)
		floats.Add(vi, tau)
		result[i] = floats.Dot(ui, o.du.RawRowView(i)) + floats.Dot(vi, o.slope.RawRowView(i)) + floats.Dot(c, o.out.RawRowView(i)) + c0*o.weight[i]
	}
	return result
}

// Transpose returns J^T r.
func (o *Operator) Transpose(r []float64) []float64 {
	du, slope := mat.NewDense(o.rows, o.m0, nil), mat.NewDense(o.rows, o.m1, nil)
	result := make([]float64, o.Parameters())
	a := mat.NewDense(o.m0, o.d, result[:o.m0*o.d])
	rest := result[o.m0*o.d:]
	theta, rest := rest[:o.m0], rest[o.m0:]
	b := mat.NewDense(o.m1, o.m0, rest[:o.m0*o.m1])
	rest = rest[o.m0*o.m1:]
	tau, c := rest[:o.m1], rest[o.m1:2*o.m1]
	for i, v := range r {
		floats.ScaleTo(du.RawRowView(i), v, o.du.RawRowView(i))
		floats.ScaleTo(slope.RawRowView(i), v, o.slope.RawRowView(i))
		floats.Add(theta, du.RawRowView(i))
		floats.Add(tau, slope.RawRowView(i))
		floats.AddScaled(c, v, o.out.RawRowView(i))
		rest[2*o.m1] += v * o.weight[i]
	}
	a.Mul(du.T(), o.x)
	b.Mul(slope.T(), o.z)
	return result
}

// factor prepares the preconditioner: the diagonal blocks of J^T J, one for the incoming parameters of each unit.
func (o *Operator) factor() {
	if o.blocks != nil {
		return
	}
	unit := func(inputs, slopes *mat.Dense, k int, at []int) {
		_, width := inputs.Dims()
		rows := mat.NewDense(o.rows, width+1, nil)
		for i := range o.rows {
			row, s := rows.RawRowView(i), slopes.At(i, k)
			floats.ScaleTo(row[:width], s, inputs.RawRowView(i))
			row[width] = s
		}
		o.addBlock(rows, at)
	}
	theta := o.m0 * o.d
	second := theta + o.m0
	tau := second + o.m0*o.m1
	for i := range o.m0 {
		unit(o.x, o.du, i, append(span(i*o.d, (i+1)*o.d), theta+i))
	}
	for l := range o.m1 {
		unit(o.z, o.slope, l, append(span(second+l*o.m0, second+(l+1)*o.m0), tau+l))
	}
	rows := mat.NewDense(o.rows, o.m1+1, nil)
	for i := range o.rows {
		copy(rows.RawRowView(i), o.out.RawRowView(i))
		rows.Set(i, o.m1, o.weight[i])
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

func (o *Operator) addBlock(rows *mat.Dense, at []int) {
	var square mat.Dense
	square.Mul(rows.T(), rows)
	n := len(at)
	normal := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			normal.SetSym(i, j, square.At(i, j))
		}
		normal.SetSym(i, i, square.At(i, i)*(1+1e-12)+math.SmallestNonzeroFloat64)
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(normal) { // dependent columns: their diagonal alone still scales
		for i := range n {
			for j := i + 1; j < n; j++ {
				normal.SetSym(i, j, 0)
			}
			normal.SetSym(i, i, math.Max(normal.At(i, i), 1e-300))
		}
		cholesky.Factorize(normal)
	}
	o.blocks = append(o.blocks, block{at, &cholesky})
}

func (o *Operator) precondition(v []float64) []float64 {
	result := make([]float64, len(v))
	for _, b := range o.blocks {
		part := mat.NewVecDense(len(b.at), nil)
		for k, at := range b.at {
			part.SetVec(k, v[at])
		}
		var solved mat.VecDense
		if err := b.cholesky.SolveVecTo(&solved, part); err != nil && solved.Len() == 0 {
			solved.CloneFromVec(part)
		}
		for k, at := range b.at {
			result[at] = solved.AtVec(k)
		}
	}
	return result
}

// Solve returns s with J^T J s = v to the given relative tolerance, by conjugate gradients preconditioned with the
// diagonal blocks.
func (o *Operator) Solve(ctx context.Context, v []float64, tolerance float64, iterations int) ([]float64, error) {
	o.factor()
	s := make([]float64, len(v))
	r := append([]float64(nil), v...)
	y := o.precondition(r)
	p := append([]float64(nil), y...)
	gamma := floats.Dot(r, y)
	first := gamma
	for range iterations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if gamma <= tolerance*tolerance*first || gamma == 0 {
			break
		}
		q := o.Transpose(o.Apply(p))
		alpha := gamma / floats.Dot(p, q)
		if math.IsNaN(alpha) || math.IsInf(alpha, 0) {
			break
		}
		floats.AddScaled(s, alpha, p)
		floats.AddScaled(r, -alpha, q)
		y = o.precondition(r)
		next := floats.Dot(r, y)
		floats.AddScaledTo(p, y, next/gamma, p)
		gamma = next
	}
	return s, nil
}

// GaussNewton fits start, which must be close already, to the data without forming the Jacobian: for networks whose
// normal equations would not fit into memory or time.
func GaussNewton(ctx context.Context, start *network.Network, g, h core.Function, data Data, settings Settings) (*network.Network, Statistics, error) {
	if settings.Iterations == 0 {
		settings.Iterations = 20
	}
	n := start.Clone()
	count := float64(len(data.Y))
	loss := Loss(n, g, h, data)
	stats := Statistics{}
	for stats.Iterations < settings.Iterations {
		o := NewOperator(n, g, h, data)
		right := o.Transpose(o.Residual)
		step, err := o.Solve(ctx, right, 1e-6, 600)
		if err != nil {
			return n, stats, err
		}
		stats.Iterations++
		before := loss
		p := Pack(n)
		trial := n.Clone()
		for length := 1.0; length > 1e-3; length /= 2 {
			Unpack(trial, floats.AddScaledTo(make([]float64, len(p)), p, -length, step))
			if l := Loss(trial, g, h, data); l < loss {
				loss = l
				n = trial.Clone()
				break
			}
		}
		if settings.Observe != nil {
			settings.Observe(stats.Iterations, loss/count)
		}
		if loss > before*0.7 || loss < 1e-3*count && loss > before*0.1 {
			break
		}
	}
	stats.Loss = loss / count
	return n, stats, nil
}
