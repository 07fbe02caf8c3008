package paper

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// model is the network as a function of the few unknowns that the weight vectors leave open: the shifts theta and tau,
// signs and, in the general class, norms and output weights. G0 = diag(|a_i| g'(theta_i)) follows from the shifts, and
//
//	b_l = beta_l n_l,  n_l = x / |x|,  x = G0^{-1} A^+ v_l,
//
// since v_l is A G0 b_l normalised (section 4 of the paper).
type model struct {
	g      core.Function
	name   string
	a      *mat.Dense // d x m0, unit columns
	p      *mat.Dense // m0 x m1: A^+ V
	scaled bool       // norms of the a_i and b_l are unknown too
	output bool       // so are c and c0
	signs  []float64
}

// unknowns are, in this order: theta, tau, c, c0, log alpha (norms of the a_i), log |beta|.
func (m *model) sizes() (m0, m1, n int) {
	m0, m1 = m.p.Dims()
	n = m0 + 2*m1 + 1
	if m.scaled {
		n += m0 + m1
	}
	return m0, m1, n
}

// network returns the network for the unknowns.
func (m *model) network(q []float64) *network.Network {
	m0, m1, _ := m.sizes()
	d, _ := m.a.Dims()
	n := network.New(d, m0, m1, m.name, m.name)
	slope := make([]float64, m0)
	copy(n.First.Bias, q[:m0])
	m.g.Apply(1, slope, q[:m0])
	for i := range m0 {
		alpha := m.alpha(q, i)
		n.First.Weight.SetRow(i, mat.Col(nil, i, m.a))
		floats.Scale(alpha, n.First.Weight.RawRowView(i))
		slope[i] = away(slope[i]) * alpha
	}
	for l := range m1 {
		row := n.Second.Weight.RawRowView(l)
		for i := range m0 {
			row[i] = m.p.At(i, l) / slope[i]
		}
		if norm := floats.Norm(row, 2); norm > 0 {
			floats.Scale(m.beta(q, l)/norm, row)
		}
		n.Second.Bias[l] = q[m0+l]
		n.Output[l] = q[m0+m1+l]
	}
	n.OutputBias = q[m0+2*m1]
	return n
}

func (m *model) alpha(q []float64, i int) float64 {
	if !m.scaled {
		return 1
	}
	m0, m1, _ := m.sizes()
	return math.Exp(clamp(q[m0+2*m1+1+i]))
}

func (m *model) beta(q []float64, l int) float64 {
	if !m.scaled {
		return m.signs[l]
	}
	m0, m1, _ := m.sizes()
	return m.signs[l] * math.Exp(clamp(q[2*m0+2*m1+1+l]))
}

func clamp(v float64) float64 { return math.Max(-8, math.Min(8, v)) }

// away keeps a slope away from 0, where G0 has no inverse: a unit that starts out flat would never come back.
func away(slope float64) float64 {
	if math.Abs(slope) < 1e-3 {
		return math.Copysign(1e-3, slope)
	}
	return slope
}

// pull turns a derivative by the network's parameters ([refine.Pack]'s order) into one by the unknowns.
func (m *model) pull(q []float64, n *network.Network, by []float64, to []float64) {
	m0, m1, _ := m.sizes()
	d := n.Inputs()
	clear(to)
	copy(to[:m0], by[m0*d:m0*d+m0])
	weights := by[m0*d+m0:]
	copy(to[m0:m0+m1], weights[m1*m0:m1*m0+m1])
	if m.output {
		copy(to[m0+m1:m0+2*m1+1], weights[m1*m0+m1:])
	}
	slope, bend := make([]float64, m0), make([]float64, m0)
	m.g.Apply(1, slope, q[:m0])
	m.g.Apply(2, bend, q[:m0])
	for l := range m1 {
		row, w := weights[l*m0:(l+1)*m0], n.Second.Weight.RawRowView(l)
		beta := math.Abs(m.beta(q, l))
		if beta == 0 {
			continue
		}
		along := floats.Dot(row, w) / (beta * beta) // <derivative, n_l> / |b_l|, signs cancelling
		for i := range m0 {
			// A relative change e of x_i changes b_l by e (b_li e_i - b_li^2 b_l / |b_l|^2).
			relative := w[i] * (row[i] - w[i]*along)
			if math.Abs(slope[i]) > 1e-3 {
				to[i] -= relative * bend[i] / slope[i]
			}
			if m.scaled {
				to[m0+2*m1+1+i] -= relative
			}
		}
		if m.scaled {
			to[2*m0+2*m1+1+l] = floats.Dot(row, w)
		}
	}
	if m.scaled {
		for i := range m0 {
			to[m0+2*m1+1+i] += floats.Dot(by[i*d:(i+1)*d], n.First.Weight.RawRowView(i))
		}
	}
}

// fit is the loss, half the mean squared residual, with its gradient and, where wanted, Gauss-Newton matrix.
func (m *model) fit(q []float64, data refine.Data, hessian bool) (loss float64, gradient []float64, normal *mat.SymDense) {
	n := m.network(q)
	_, _, size := m.sizes()
	rows := len(data.Y)
	j := mat.NewDense(rows, n.Parameters(), nil)
	residual := refine.Jacobian(n, m.g, m.g, data, j)
	loss = floats.Dot(residual, residual) / 2 / float64(rows)
	gradient = make([]float64, size)
	if !hessian {
		var by mat.VecDense
		by.MulVec(j.T(), mat.NewVecDense(rows, residual))
		m.pull(q, n, by.RawVector().Data, gradient)
		floats.Scale(1/float64(rows), gradient)
		return loss, gradient, nil
	}
	jq := mat.NewDense(rows, size, nil)
	for k := range rows {
		m.pull(q, n, j.RawRowView(k), jq.RawRowView(k))
	}
	var by mat.VecDense
	by.MulVec(jq.T(), mat.NewVecDense(rows, residual))
	copy(gradient, by.RawVector().Data)
	floats.Scale(1/float64(rows), gradient)
	normal = mat.NewSymDense(size, nil)
	normal.SymOuterK(1/float64(rows), jq.T())
	return loss, gradient, normal
}

// loss alone.
func (m *model) loss(q []float64, data refine.Data) float64 {
	return refine.Loss(m.network(q), m.g, m.g, data) / 2 / float64(len(data.Y))
}

// descend minimises by the paper's gradient descent, adapted: the step follows Barzilai and Borwein (IMA J. Numer. Anal.
// 8, 1988) and is halved until the loss is below the largest of the last ten (Grippo, Lampariello, Lucidi 1986).
func (m *model) descend(ctx context.Context, q []float64, data refine.Data, iterations int) ([]float64, float64, error) {
	q = append([]float64(nil), q...)
	loss, gradient, _ := m.fit(q, data, false)
	step := 1.0
	history := []float64{loss}
	best, least := append([]float64(nil), q...), loss
	for range iterations {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		square := floats.Dot(gradient, gradient)
		if square <= 1e-30 {
			break
		}
		reference := floats.Max(history[max(0, len(history)-10):])
		next := make([]float64, len(q))
		accepted := false
		for range 30 {
			floats.AddScaledTo(next, q, -step, gradient)
			if l := m.loss(next, data); l <= reference-1e-4*step*square {
				accepted = true
				break
			}
			step /= 2
		}
		if !accepted {
			break
		}
		l, g, _ := m.fit(next, data, false)
		var sy, ss float64
		for k := range q {
			s, y := next[k]-q[k], g[k]-gradient[k]
			sy, ss = sy+s*y, ss+s*s
		}
		step = 1
		if sy > 0 {
			step = math.Min(1e6, math.Max(1e-8, ss/sy))
		}
		q, loss, gradient = next, l, g
		history = append(history, loss)
		if loss < least {
			best, least = append(best[:0], q...), loss
		}
		if n := len(history); n > 200 && history[n-200]-least < 1e-6*least {
			break
		}
	}
	return best, least, nil
}

// levenberg minimises by Levenberg-Marquardt.
func (m *model) levenberg(ctx context.Context, q []float64, data refine.Data, iterations int) ([]float64, float64, error) {
	q = append([]float64(nil), q...)
	damping, slow := 1e-3, 0
	loss := math.Inf(1)
	for range min(iterations, 200) {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		var gradient []float64
		var normal *mat.SymDense
		loss, gradient, normal = m.fit(q, data, true)
		improved := false
		top := largestDiagonal(normal)
		for range 14 {
			damped := mat.NewSymDense(len(q), nil)
			damped.CopySym(normal)
			for i := range q {
				damped.SetSym(i, i, normal.At(i, i)*(1+damping)+1e-13*top+1e-300)
			}
			var c mat.Cholesky
			var step mat.VecDense
			if c.Factorize(damped) && (c.SolveVecTo(&step, mat.NewVecDense(len(q), gradient)) == nil || !step.IsEmpty()) {
				next := append([]float64(nil), q...)
				floats.Sub(next, step.RawVector().Data)
				if l := m.loss(next, data); l < loss {
					slow++
					if loss-l > 1e-4*loss {
						slow = 0
					}
					q, loss, improved = next, l, true
					break
				}
			}
			damping *= 6
		}
		if !improved || slow > 2 {
			break
		}
		damping = math.Max(damping/8, 1e-13)
	}
	return q, loss, nil
}

// start returns unknowns with all shifts zero and the output weights by linear least squares.
func (m *model) start(data refine.Data) []float64 {
	m0, m1, size := m.sizes()
	q := make([]float64, size)
	for l := range m1 {
		q[m0+m1+l] = 1
	}
	n := m.network(q)
	rows := len(data.Y)
	hidden := mat.NewDense(rows, m1+1, nil)
	for l := range m1 {
		one := n.Clone()
		clear(one.Output)
		one.Output[l], one.OutputBias = 1, 0
		hidden.SetCol(l, one.Evaluate(m.g, m.g, data.X))
	}
	for k := range rows {
		hidden.Set(k, m1, 1)
	}
	var c mat.VecDense
	if err := c.SolveVec(hidden, mat.NewVecDense(rows, data.Y)); err != nil && !isCondition(err) || c.IsEmpty() {
		return q
	}
	for l := range m1 {
		q[m0+m1+l] = c.AtVec(l)
	}
	q[m0+2*m1] = c.AtVec(m1)
	return q
}

// solve finds the unknowns. The output weights are free at first, since their signs are those of the v_l that no rank-one
// matrix tells; the paper's class then fixes c_l = 1, c_0 = 0.
func (m *model) solve(ctx context.Context, data refine.Data, o Options) ([]float64, float64, error) {
	minimise := m.descend
	if o.Descent == wordLM {
		minimise = m.levenberg
	}
	m0, m1, _ := m.sizes()
	m.signs = make([]float64, m1)
	for l := range m.signs {
		m.signs[l] = 1
	}
	m.output = true
	m.scaled = o.Class == wordGeneral
	q, _, err := minimise(ctx, m.start(data), data, o.DescentIterations/2+1)
	if err != nil {
		return nil, 0, err
	}
	if o.Class == wordGeneral {
		return minimise(ctx, q, data, o.DescentIterations)
	}
	point := m.g.Facts().Symmetry == core.SymmetryPoint
	for l := range m1 {
		if q[m0+m1+l] < 0 && point { // h(-p) = 2 h(0) - h(p)
			m.signs[l] = -1
			q[m0+l] = -q[m0+l]
		}
		q[m0+m1+l] = 1
	}
	q[m0+2*m1] = 0
	m.output = false
	return minimise(ctx, q, data, o.DescentIterations)
}

// assemble finds the shifts, G0 and B, and so the network (section 4 of the paper).
func (r *run) assemble(ctx context.Context) error {
	if r.state.First == nil || r.state.Second == nil {
		return fault.New(fault.Unsupported, "a network needs vectors of both layers; what was accepted has none of one of them")
	}
	n, m0 := r.state.First.Dims()
	_, m1 := r.state.Second.Dims()
	if m0 > n {
		return fault.New(fault.Unsupported, "G0 and B follow from v_l = A G0 b_l only where the a_i are linearly independent; %d vectors in %d dimensions are not", m0, n)
	}
	var p mat.Dense
	if err := p.Solve(r.state.First, r.state.Second); err != nil && !isCondition(err) {
		return fault.New(fault.Unsupported, "the vectors attributed to the first layer are linearly dependent: %v", err)
	}
	a := r.state.First
	if r.state.Reduction != nil {
		lifted := &mat.Dense{}
		lifted.Mul(r.state.Reduction, a)
		a = lifted
	}
	unknowns := m0 + 2*m1 + 1
	if r.options.Class == wordGeneral {
		unknowns += m0 + m1
	}
	count := r.options.DescentPoints
	if count == 0 {
		count = 10 * unknowns
	}
	data, err := r.answers(ctx, wordGaussian, count)
	if err != nil {
		return err
	}
	best := math.Inf(1)
	for _, candidate := range r.problem.Candidates {
		m := &model{g: candidate.Function, name: candidate.Name, a: a, p: &p}
		q, loss, err := m.solve(ctx, data, r.options)
		if err != nil {
			return err
		}
		r.report.progress(0, 0, candidate.Name+" fits")
		if loss < best {
			best = loss
			r.result.Network, r.result.Activation, r.function = m.network(q), candidate.Name, candidate.Function
		}
	}
	if r.result.Network == nil || r.result.Network.Check() != nil {
		r.result.Network = nil
		return fault.New(fault.Unsupported, "the descent for the shifts diverged for every activation")
	}
	r.result.measure("descent_loss", math.Sqrt(2*best))
	r.report.finish("%s: %d + %d units, root mean square residual %.1e on %d points", r.result.Activation, m0, m1, math.Sqrt(2*best), count)
	return nil
}

// answers asks f at random points of the region in which the network is to be right.
func (r *run) answers(ctx context.Context, distribution string, count int) (refine.Data, error) {
	d := r.problem.Inputs
	radius := r.options.UniformRadius
	if radius == 0 {
		radius = math.Sqrt(float64(d))
	}
	points := draw(r.rng, distribution, count, d, radius)
	if err := within(points, nil, r.problem.Domain, 0); err != nil {
		return refine.Data{}, err
	}
	y, err := r.problem.Oracle.Ask(ctx, points)
	if err != nil {
		return refine.Data{}, err
	}
	return refine.Data{X: points, Y: y}, nil
}
