package paper

import (
	"context"
	"math"
	"math/rand/v2"
	"sort"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/sample"
	"github.com/nnid/nnid/core/subspace"
)

// The singular vectors span W only as far as the samples excite all of it. Near 0 they hardly do: to first order in x
// the Hessians of an odd network span H(0) and d directions more, and what is left of W drowns in the drift of the v_l,
// so that the last few singular vectors are no better than noise and no matrix of W lies in their span exactly. But the
// *leading* ones are exact to that order, and W is the span of rank-ones that contains them. The joint fit asks for it:
//
//	min over unit w_1 .. w_m of  |U S - P_span{w_j w_j^T} U S|_F^2
//
// with U S the subspace's basis times its singular values, so that every direction counts as much as the samples show of
// it. It is a variable projection problem (Golub, Pereyra 1973) with m (d-1) unknowns, started at what the solver found.

// mostUnknowns is how many unknowns a joint fit may have: its normal equations are dense, and their time grows with the cube.
const mostUnknowns = 3000

// joint is a fit of m rank-ones to the weighted basis.
type joint struct {
	order int
	data  *mat.Dense // U S over sigma_1: p x m, p = order (order+1) / 2
}

// jointFit is where a start led.
type jointFit struct {
	w     *mat.Dense // order x m, unit columns
	loss  float64    // |R|_F^2
	bars  []float64  // error bar of each w_j: what the residuals leave open of it
	coefs *mat.Dense // m x m: data ~ Phi coefs
}

// newJoint takes the spectrum to scale the basis.
func newJoint(s *subspace.Subspace) *joint {
	data := mat.DenseCopyOf(s.Basis)
	_, m := data.Dims()
	for k := range m {
		scale := s.Spectrum[k] / s.Spectrum[0]
		col := mat.Col(nil, k, data)
		floats.Scale(scale, col)
		data.SetCol(k, col)
	}
	return &joint{order: s.Dim, data: data}
}

// features returns Phi, whose columns are the isometric coordinates of w_j w_j^T.
func features(w *mat.Dense) *mat.Dense {
	d, m := w.Dims()
	phi := mat.NewDense(subspace.SvecLen(d), m, nil)
	for j := range m {
		at := 0
		for a := range d {
			for b := a; b < d; b++ {
				v := w.At(a, j) * w.At(b, j)
				if a != b {
					v *= math.Sqrt2
				}
				phi.Set(at, j, v)
				at++
			}
		}
	}
	return phi
}

// project returns the coefficients, the residual and an orthonormal basis of the range of phi.
func (p *joint) project(w *mat.Dense) (q, coefs, residual *mat.Dense, loss float64, ok bool) {
	phi := features(w)
	var qr mat.QR
	qr.Factorize(phi)
	coefs = &mat.Dense{}
	if err := qr.SolveTo(coefs, false, p.data); err != nil {
		if _, ill := err.(mat.Condition); !ill {
			return nil, nil, nil, math.Inf(1), false
		}
	}
	rows, m := phi.Dims()
	var full mat.Dense
	qr.QTo(&full)
	q = mat.DenseCopyOf(full.Slice(0, rows, 0, m))
	var inside, back mat.Dense
	inside.Mul(q.T(), p.data)
	back.Mul(q, &inside)
	residual = &mat.Dense{}
	residual.Sub(p.data, &back)
	norm := mat.Norm(residual, 2)
	loss = norm * norm
	return q, coefs, residual, loss, !math.IsNaN(loss) && !math.IsInf(mat.Norm(coefs, 2), 0) && !math.IsNaN(mat.Norm(coefs, 2))
}

// normal returns J^T J and -J^T r of the projected problem (Kaufman's approximation), unknowns ordered by vector.
func (p *joint) normal(w, q, coefs, residual *mat.Dense) (*mat.SymDense, []float64) {
	d, m := w.Dims()
	rows := subspace.SvecLen(d)
	b := mat.NewDense(rows, m*d, nil)
	at := 0
	for x := range d {
		for y := x; y < d; y++ {
			row := b.RawRowView(at)
			for j := range m {
				if x == y {
					row[j*d+x] += 2 * w.At(x, j)
				} else {
					row[j*d+x] += math.Sqrt2 * w.At(y, j)
					row[j*d+y] += math.Sqrt2 * w.At(x, j)
				}
			}
			at++
		}
	}
	var inside, within, gram, back, weights mat.Dense
	inside.Mul(q.T(), b)
	within.Mul(q, &inside)
	b.Sub(b, &within)
	gram.Mul(b.T(), b)
	back.Mul(b.T(), residual)
	weights.Mul(coefs, coefs.T())
	n := m * d
	h := mat.NewSymDense(n, nil)
	g := make([]float64, n)
	for j := range m {
		for x := range d {
			row := j*d + x
			g[row] = floats.Dot(back.RawRowView(row), coefs.RawRowView(j))
			for k := j; k < m; k++ {
				for y := range d {
					if col := k*d + y; col >= row {
						h.SetSym(row, col, gram.At(row, col)*weights.At(j, k))
					}
				}
			}
		}
	}
	return h, g
}

// descend is Levenberg-Marquardt from w.
func (p *joint) descend(ctx context.Context, w *mat.Dense, iterations int) (*jointFit, error) {
	d, m := w.Dims()
	q, coefs, residual, loss, ok := p.project(w)
	if !ok {
		return &jointFit{w: w, loss: math.Inf(1)}, nil
	}
	damping, slow := 1e-2, 0
	for range iterations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, g := p.normal(w, q, coefs, residual)
		improved := false
		for range 10 {
			damped := mat.NewSymDense(m*d, nil)
			damped.CopySym(h)
			floor := 1e-14 * largestDiagonal(h)
			for i := range m * d {
				damped.SetSym(i, i, h.At(i, i)*(1+damping)+damping*floor+floor)
			}
			var c mat.Cholesky
			if c.Factorize(damped) {
				var step mat.VecDense
				if err := c.SolveVecTo(&step, mat.NewVecDense(m*d, g)); err == nil || isCondition(err) {
					next := mat.NewDense(d, m, nil)
					for j := range m {
						col := mat.Col(nil, j, w)
						floats.Add(col, step.RawVector().Data[j*d:(j+1)*d])
						if n := floats.Norm(col, 2); n > 0 {
							floats.Scale(1/n, col)
						}
						next.SetCol(j, col)
					}
					if nq, nc, nr, nl, ok := p.project(next); ok && nl < loss {
						slow++
						if loss-nl > 1e-5*loss {
							slow = 0
						}
						w, q, coefs, residual, loss, improved = next, nq, nc, nr, nl, true
						break
					}
				}
			}
			damping *= 5
		}
		if !improved || slow >= 2 || loss < 1e-26 {
			break
		}
		damping = math.Max(damping/6, 1e-13)
	}
	return &jointFit{w: w, loss: loss, coefs: coefs, bars: p.bars(w, q, coefs, residual, loss)}, nil
}

func isCondition(err error) bool { _, ok := err.(mat.Condition); return ok }

func largestDiagonal(h *mat.SymDense) float64 {
	n, most := h.SymmetricDim(), 0.0
	for i := range n {
		most = math.Max(most, h.At(i, i))
	}
	return most
}

// bars returns the error bar of each vector: the root mean square length of the change that residuals of the size seen
// make in it, from s^2 (J^T J)^{-1} with the length of the vectors, which means nothing, held fixed. What the samples hardly
// show of a rank-one, because its coefficient is near zero in all of them, has a large bar.
func (p *joint) bars(w, q, coefs, residual *mat.Dense, loss float64) []float64 {
	d, m := w.Dims()
	bars := make([]float64, m)
	h, _ := p.normal(w, q, coefs, residual)
	rows, k := residual.Dims()
	freedom := float64((rows-m)*k - m*(d-1))
	if freedom < 1 {
		freedom = 1
	}
	top := largestDiagonal(h)
	for j := range m {
		for x := range d {
			for y := x; y < d; y++ {
				h.SetSym(j*d+x, j*d+y, h.At(j*d+x, j*d+y)+top*w.At(x, j)*w.At(y, j))
			}
			h.SetSym(j*d+x, j*d+x, h.At(j*d+x, j*d+x)+1e-14*top)
		}
	}
	var c mat.Cholesky
	var inverse mat.SymDense
	if !c.Factorize(h) {
		for j := range bars {
			bars[j] = math.Inf(1)
		}
		return bars
	}
	if err := c.InverseTo(&inverse); err != nil && !isCondition(err) {
		for j := range bars {
			bars[j] = math.Inf(1)
		}
		return bars
	}
	for j := range m {
		trace := 0.0
		for x := range d {
			trace += inverse.At(j*d+x, j*d+x)
		}
		bars[j] = math.Sqrt(math.Max(0, trace-1/top) * loss / freedom)
	}
	return bars
}

// search fits from the given vectors, filled up to m with random ones, and then from the best so far with its least
// certain vectors and two others replaced by random ones, until two starts in a row gain nothing.
func (p *joint) search(ctx context.Context, rng *rand.Rand, given [][]float64, m, starts int, observe func(start int, loss float64)) (*jointFit, error) {
	w := mat.NewDense(p.order, m, nil)
	for j := range m {
		if j < len(given) {
			w.SetCol(j, given[j])
		} else {
			w.SetCol(j, sample.Direction(rng, p.order))
		}
	}
	var best *jointFit
	for start, idle := 0, 0; start < starts && idle < 2; start++ {
		fit, err := p.descend(ctx, w, 60)
		if err != nil {
			return nil, err
		}
		if best == nil || fit.loss < 0.98*best.loss {
			best, idle = fit, 0
		} else {
			if fit.loss < best.loss {
				best = fit
			}
			idle++
		}
		observe(start+1, best.loss)
		w = mat.DenseCopyOf(best.w)
		order := make([]int, m)
		for j := range order {
			order[j] = j
		}
		if best.bars != nil {
			sort.SliceStable(order, func(a, b int) bool { return best.bars[order[a]] > best.bars[order[b]] })
		}
		for _, j := range append(order[:min(2, m)], rng.IntN(m), rng.IntN(m)) {
			w.SetCol(j, sample.Direction(rng, p.order))
		}
	}
	return best, nil
}

// misfit is the part of the samples' variation that the rank-ones of the vectors do not explain: |R|_F over the norm of
// the data without the leading singular vector, which is H(0), with its drift all in the others.
func (p *joint) misfit(w *mat.Dense) float64 {
	_, _, _, loss, ok := p.project(w)
	if !ok {
		return math.Inf(1)
	}
	rows, m := p.data.Dims()
	varying := mat.Norm(p.data, 2)
	if m > 1 {
		varying = mat.Norm(p.data.Slice(0, rows, 1, m), 2)
	}
	return math.Sqrt(loss) / math.Max(varying, 1e-300)
}

// fitJointly replaces the vectors by those of the joint fit, and the subspace by their span.
func (r *run) fitJointly(ctx context.Context) error {
	s := r.state.Subspace
	m := s.Dimension()
	if len(s.Spectrum) < m {
		r.report.finish("no joint fit: the subspace was given without its singular values")
		return nil
	}
	if m*s.Dim > mostUnknowns {
		r.report.finish("no joint fit: %d unknowns are more than %d", m*s.Dim, mostUnknowns)
		return nil
	}
	p := newJoint(s)
	fit, err := p.search(ctx, r.rng, split(r.state.Vectors), m, r.options.JointStarts, func(start int, loss float64) {
		r.report.progress(start, r.options.JointStarts, "joint fit")
	})
	if err != nil {
		return err
	}
	if math.IsInf(fit.loss, 1) || fit.bars == nil {
		r.report.finish("the joint fit failed: the vectors are linearly dependent")
		return nil
	}
	total := mat.Norm(p.data, 2)
	r.state.Vectors, r.state.Bars, r.state.Joint = fit.w, fit.bars, true
	r.result.measure("joint_residual", math.Sqrt(fit.loss)/total)
	r.report.finish("%d rank-ones explain the samples to %.1e of their norm", m, math.Sqrt(fit.loss)/total)
	return nil
}
