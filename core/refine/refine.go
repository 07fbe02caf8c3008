// Package refine fits all parameters of a network to answered queries by least squares (Levenberg-Marquardt). It is
// the last step of every recipe: from a start that is right to a few digits it converges quadratically to rounding.
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

// Data are answered queries: rows of X (n x d), the answers, and the standard deviation of each answer's error.
type Data struct {
	X     *mat.Dense
	Y     []float64
	Sigma []float64 // nil: all the same
}

// Settings of the fit; the zero value is the default.
type Settings struct {
	Iterations int     // most iterations; default 60
	Tolerance  float64 // stop when the loss falls by less than this fraction twice in a row; default 1e-3.
	// With Sigma given, a loss below one is noise: then the fit goes on until no parameter moves by much of its error bar
	Damping float64 // first Levenberg-Marquardt parameter; default 1e-3. Smaller where the start is good.
	// Free lists the parameters to fit, as indices into [Pack]'s vector; nil means all.
	Free    []int
	Observe func(iteration int, loss float64)
}

// Statistics of a fit.
type Statistics struct {
	Iterations int
	Loss       float64 // mean of squared residuals over their sigma
	Damping    float64 // the last Levenberg-Marquardt parameter
}

// blockRows bounds the memory of a fit: the Jacobian is made and used so many rows at a time.
const blockRows = 1024

// Pack returns the parameters as one vector: A by units, theta, B by units, tau, c, c0.
func Pack(n *network.Network) []float64 {
	p := make([]float64, 0, n.Parameters())
	p = append(p, n.First.Weight.RawMatrix().Data...)
	p = append(p, n.First.Bias...)
	p = append(p, n.Second.Weight.RawMatrix().Data...)
	p = append(p, n.Second.Bias...)
	p = append(p, n.Output...)
	return append(p, n.OutputBias)
}

// Unpack writes the parameters into n.
func Unpack(n *network.Network, p []float64) {
	take := func(dst []float64) { p = p[copy(dst, p):] }
	take(n.First.Weight.RawMatrix().Data)
	take(n.First.Bias)
	take(n.Second.Weight.RawMatrix().Data)
	take(n.Second.Bias)
	take(n.Output)
	n.OutputBias = p[0]
}

// settled is what the sum of squares falls by, once it is noise, with what is left to gain: moving one parameter by its error bar is worth one.
const settled = 0.1

// Levenberg fits start to the data and returns the fitted network, which has the sizes and activations of start.
func Levenberg(ctx context.Context, start *network.Network, g, h core.Function, data Data, settings Settings) (*network.Network, Statistics, error) {
	if settings.Iterations == 0 {
		settings.Iterations = 60
	}
	if settings.Tolerance == 0 {
		settings.Tolerance = 1e-3
	}
	if settings.Damping == 0 {
		settings.Damping = 1e-3
	}
	n := start.Clone()
	p := Pack(n)
	count := float64(len(data.Y))
	free := settings.Free
	if free == nil {
		free = make([]int, len(p))
		for i := range free {
			free[i] = i
		}
	}
	normal := mat.NewSymDense(len(free), nil)
	factor := mat.NewSymDense(len(free), nil)
	gradient := make([]float64, len(free))
	trial := n.Clone()
	loss := Loss(n, g, h, data)
	stats := Statistics{Damping: settings.Damping}
	slow := 0
	for stats.Iterations < settings.Iterations && slow < 2 {
		if err := ctx.Err(); err != nil {
			return n, stats, err
		}
		var asleep []sleeper
		if hasAll(free, len(p)-1-2*len(n.Output), len(p)) {
			asleep = sleepers(n, g, h, data.X)
		}
		normalEquations(n, g, h, data, free, asleep, normal, gradient)
		improved := false
		for range 14 {
			if err := ctx.Err(); err != nil {
				return n, stats, err
			}
			step, ok := dampedStep(normal, factor, gradient, stats.Damping)
			if ok {
				next := append([]float64(nil), p...)
				for k, i := range free {
					next[i] += step[k]
				}
				bendBack(n, asleep, p, next)
				Unpack(trial, next)
				if l := Loss(trial, g, h, data); l < loss {
					switch {
					case data.Sigma != nil && l < count && loss-l < settled:
						slow = 2
					case loss-l < settings.Tolerance*loss:
						slow++
					default:
						slow = 0
					}
					p, loss, improved = next, l, true
					Unpack(n, p)
					break
				}
				// The linear model promises less than would count, or less than the noise: more damping would promise less still.
				if promised := -floats.Dot(gradient, step); data.Sigma != nil && loss < count && promised < settled || promised < settings.Tolerance*loss {
					break
				}
			}
			stats.Damping = math.Max(stats.Damping*8, 1e-12)
		}
		stats.Iterations++
		if !improved {
			break
		}
		stats.Damping /= 10
		if stats.Damping < 1e-14 {
			stats.Damping = 0
		}
		if settings.Observe != nil {
			settings.Observe(stats.Iterations, loss/count)
		}
	}
	stats.Loss = loss / count
	return n, stats, nil
}

// hasAll reports whether free, ascending, has all of from..to.
func hasAll(free []int, from, to int) bool {
	count := 0
	for _, i := range free {
		if i >= from && i < to {
			count++
		}
	}
	return count == to-from
}

// Loss returns the sum of squared residuals over their sigma.
func Loss(n *network.Network, g, h core.Function, data Data) float64 {
	r := n.Evaluate(g, h, data.X)
	total := 0.0
	for i, v := range r {
		e := v - data.Y[i]
		if data.Sigma != nil {
			e /= data.Sigma[i]
		}
		total += e * e
	}
	if math.IsNaN(total) {
		return math.Inf(1)
	}
	return total
}

// dampedStep solves (H + damping diag H) step = -gradient, overwriting factor, which has the size of H; not ok when the matrix
// is not positive definite to rounding.
func dampedStep(normal, factor *mat.SymDense, gradient []float64, damping float64) ([]float64, bool) {
	h, f := normal.RawSymmetric(), factor.RawSymmetric()
	scale := make([]float64, h.N)
	for i := range scale {
		scale[i] = 1 / math.Sqrt(math.Max(h.Data[i*h.Stride+i], 1e-300))
	}
	step := make([]float64, h.N)
	for i, s := range scale {
		from, to := h.Data[i*h.Stride:][:h.N], f.Data[i*f.Stride:][:h.N]
		for j := i + 1; j < h.N; j++ {
			to[j] = from[j] * s * scale[j]
		}
		to[i] = 1 + damping
		step[i] = -gradient[i] * s
	}
	if !gram.Cholesky(f) {
		return nil, false
	}
	gram.Solve(f, step)
	floats.Mul(step, scale)
	return step, true
}

// Normal computes J^T J (its upper triangle) and J^T r, J the Jacobian of the residuals (over sigma) with respect to
// the free parameters (indices into [Pack]'s vector, ascending).
//
// Rows at which at most one first-layer unit is alive, as those from far out are, have zeros for the weights of all
// other units: they are gathered by unit and multiplied without those columns.
func Normal(n *network.Network, g, h core.Function, data Data, free []int, normal *mat.SymDense, gradient []float64) {
	normalEquations(n, g, h, data, free, nil, normal, gradient)
}

// normalEquations is Normal in the parameters of the units that sleep.
func normalEquations(n *network.Network, g, h core.Function, data Data, free []int, asleep []sleeper, normal *mat.SymDense, gradient []float64) {
	raw := normal.RawSymmetric()
	clear(raw.Data)
	clear(gradient)
	m0, _ := n.Sizes()
	d := n.Inputs()
	total, _ := data.X.Dims()
	parameters := n.Parameters()
	jacobian := mat.NewDense(min(blockRows, total), parameters, nil)
	pools := make([]*pool, m0)
	for i := range pools {
		pools[i] = newPool(free, i, m0, d)
	}
	for from := 0; from < total; from += blockRows {
		to := min(from+blockRows, total)
		block := Data{X: data.X.Slice(from, to, 0, d).(*mat.Dense), Y: data.Y[from:to]}
		if data.Sigma != nil {
			block.Sigma = data.Sigma[from:to]
		}
		j := jacobian.Slice(0, to-from, 0, parameters).(*mat.Dense)
		r := Jacobian(n, g, h, block, j)
		dense, residual := 0, make([]float64, 0, len(r))
		for k := range to - from {
			row := j.RawRowView(k)
			straighten(n, asleep, row)
			if unit, single := alive(row[m0*d : m0*d+m0]); single {
				pools[unit].add(row, r[k])
				if pools[unit].full() {
					pools[unit].flush(raw, gradient)
				}
				continue
			}
			// Rows and columns only ever move forward: nothing is overwritten that is still to be read.
			target := j.RawRowView(dense)
			for c, at := range free {
				target[c] = row[at]
			}
			residual = append(residual, r[k])
			dense++
		}
		if dense > 0 {
			kept := j.Slice(0, dense, 0, len(free)).(*mat.Dense).RawMatrix()
			gram.Accumulate(1, kept, raw)
			blas64.Gemv(blas.Trans, 1, kept, vector(residual), 1, vector(gradient))
		}
	}
	for _, p := range pools {
		p.flush(raw, gradient)
	}
}

func vector(v []float64) blas64.Vector { return blas64.Vector{N: len(v), Inc: 1, Data: v} }

// alive returns the unit with the largest |df/du|, and whether the others are zero to rounding beside it.
func alive(slopes []float64) (unit int, single bool) {
	var first, second float64
	for i, v := range slopes {
		switch v = math.Abs(v); {
		case v > first:
			first, second, unit = v, first, i
		case v > second:
			second = v
		}
	}
	return unit, second <= 1e-17*first
}

// pool gathers rows of the Jacobian in which one unit's weights alone are not zero.
type pool struct {
	columns  []int // of the full Jacobian
	places   []int // of the same parameters among the free ones
	data     []float64
	residual []float64
}

func newPool(free []int, unit, m0, d int) *pool {
	p := &pool{}
	for place, column := range free {
		if column >= m0*d || column/d == unit {
			p.columns = append(p.columns, column)
			p.places = append(p.places, place)
		}
	}
	return p
}

func (p *pool) add(row []float64, residual float64) {
	for _, c := range p.columns {
		p.data = append(p.data, row[c])
	}
	p.residual = append(p.residual, residual)
}

func (p *pool) full() bool { return len(p.residual) >= blockRows/4 }

func (p *pool) flush(normal blas64.Symmetric, gradient []float64) {
	rows, columns := len(p.residual), len(p.columns)
	if rows == 0 || columns == 0 { // none of the unit's parameters is free
		p.residual = p.residual[:0]
		return
	}
	j := blas64.General{Rows: rows, Cols: columns, Stride: columns, Data: p.data}
	square := make([]float64, columns*columns)
	gram.Accumulate(1, j, blas64.Symmetric{Uplo: blas.Upper, N: columns, Stride: columns, Data: square})
	slope := make([]float64, columns)
	blas64.Gemv(blas.Trans, 1, j, vector(p.residual), 1, vector(slope))
	for a, at := range p.places {
		gradient[at] += slope[a]
		into := normal.Data[at*normal.Stride:]
		for b := a; b < columns; b++ {
			into[p.places[b]] += square[a*columns+b]
		}
	}
	p.data, p.residual = p.data[:0], p.residual[:0]
}

// Jacobian fills j (rows x P) with the derivatives of the residuals over sigma, in the order of [Pack], and returns
// the residuals over sigma. A j of only P - d m0 columns gets those of all parameters but the weights of the first layer.
func Jacobian(n *network.Network, g, h core.Function, data Data, j *mat.Dense) []float64 {
	m0, m1 := n.Sizes()
	total, d := data.X.Dims()
	// u -> z = g(u), slopes g'(u); p -> h(p), c h'(p).
	u := mat.NewDense(total, m0, nil)
	u.Mul(data.X, n.First.Weight.T())
	addRow(u, n.First.Bias)
	z, dz := mat.NewDense(total, m0, nil), mat.NewDense(total, m0, nil)
	g.Apply(0, z.RawMatrix().Data, u.RawMatrix().Data)
	g.Apply(1, dz.RawMatrix().Data, u.RawMatrix().Data)
	p := mat.NewDense(total, m1, nil)
	p.Mul(z, n.Second.Weight.T())
	addRow(p, n.Second.Bias)
	out, slope := mat.NewDense(total, m1, nil), mat.NewDense(total, m1, nil)
	h.Apply(0, out.RawMatrix().Data, p.RawMatrix().Data)
	h.Apply(1, slope.RawMatrix().Data, p.RawMatrix().Data)
	for i := range total {
		floats.Mul(slope.RawRowView(i), n.Output)
	}
	du := mat.NewDense(total, m0, nil) // df/du
	du.Mul(slope, n.Second.Weight)
	residual := make([]float64, total)
	_, columns := j.Dims()
	weights := columns == n.Parameters()
	for i := range total {
		row, x := j.RawRowView(i), data.X.RawRowView(i)
		zi, hi, si, dui := z.RawRowView(i), out.RawRowView(i), slope.RawRowView(i), du.RawRowView(i)
		floats.Mul(dui, dz.RawRowView(i))
		inverse := 1.0
		if data.Sigma != nil {
			inverse = 1 / data.Sigma[i]
		}
		at := 0
		for k := 0; weights && k < m0; k++ {
			floats.ScaleTo(row[at:at+d], dui[k]*inverse, x)
			at += d
		}
		floats.ScaleTo(row[at:at+m0], inverse, dui)
		at += m0
		for l := range m1 {
			floats.ScaleTo(row[at:at+m0], si[l]*inverse, zi)
			at += m0
		}
		floats.ScaleTo(row[at:at+m1], inverse, si)
		at += m1
		floats.ScaleTo(row[at:at+m1], inverse, hi)
		at += m1
		row[at] = inverse
		residual[i] = (floats.Dot(hi, n.Output) + n.OutputBias - data.Y[i]) * inverse
	}
	return residual
}

func addRow(m *mat.Dense, row []float64) {
	rows, _ := m.Dims()
	for i := range rows {
		floats.Add(m.RawRowView(i), row)
	}
}
