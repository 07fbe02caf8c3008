package local

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
	"github.com/nnid/nnid/core/refine"
)

// blockRows is how many rows of the Jacobian are multiplied at a time.
const blockRows = 2048

// fitSettings bound one fit.
type fitSettings struct {
	iterations int
	target     float64 // loss (mean square, over the rows' Sigma if they have any) that ends the fit: the truth is found
	patience   int     // so many iterations in a row that gain little end the fit
	gain       float64 // what counts as little: the fraction by which the loss falls
	close      float64 // loss from which on to gain little closePatience times in a row ends the fit, less than closeGain; 0: none
	damping    float64 // first damping, relative to the mean curvature
	frozen     bool    // the weights of the first layer stay as they are
	scales     bool    // of a frozen first layer, whose units have one input each, those of these inputs do not
	shifted    bool    // the biases of a frozen first layer stay too, and all of its weights
	robust     bool    // the loss is Cauchy's, on the scale of the median residual
}

// What ends a fit whose start has come close, where only that is asked.
const (
	closePatience = 3
	closeGain     = 0.05
)

// fit is least squares on all parameters from a start that may be far off: Levenberg-Marquardt with two changes that
// decide whether students with too many units arrive (docs/local.md). The damping is the same for all parameters,
// not scaled with their curvature, so that directions without curvature do not run away; and each step is bent along
// the geodesic of the model's graph (Transtrum & Sethna, "Improvements to the Levenberg-Marquardt algorithm",
// arXiv 1201.5885), which follows the long curved canyons such students end in.
//
// [refine.Levenberg] is for starts that are nearly right, where it converges at half of the cost.
func fit(ctx context.Context, start *network.Network, g, h core.Function, data refine.Data, s fitSettings) (*network.Network, float64, error) {
	n := start.Clone()
	p := refine.Pack(n)
	free := s.free(n)
	size, count := len(free), len(data.Y)
	jacobian := mat.NewDense(count, size, nil)
	normal := mat.NewSymDense(size, nil)
	damped := mat.NewSymDense(size, nil)
	var residual, weights []float64
	loss := 0.0
	linearise := func() {
		residual = s.jacobian(n, g, h, data, jacobian)
		if s.robust {
			weights = weigh(residual, s.target)
			scaleRows(jacobian, residual, weights)
		}
		loss = floats.Dot(residual, residual) / float64(count)
	}
	linearise()
	damping, slow, creeping := s.damping, 0, 0
	trial := n.Clone()
	next := append([]float64(nil), p...)
	at := func(step []float64) []float64 { // residuals after a step
		copy(next, p)
		for k, i := range free {
			next[i] += step[k]
		}
		refine.Unpack(trial, next)
		r := trial.Evaluate(g, h, data.X)
		floats.Sub(r, data.Y)
		if data.Sigma != nil {
			floats.Div(r, data.Sigma)
		}
		if s.robust {
			floats.Mul(r, weights)
		}
		return r
	}
	gradient := make([]float64, size)
	factor := damped.RawSymmetric()
	for range s.iterations {
		if loss <= s.target || slow >= s.patience || loss <= s.close && creeping >= closePatience {
			break
		}
		raw := normal.RawSymmetric()
		clear(raw.Data)
		for from := 0; from < count; from += blockRows { // in blocks, so that the end of the context is seen
			if err := ctx.Err(); err != nil {
				return n, loss, err
			}
			gram.Accumulate(1, jacobian.Slice(from, min(count, from+blockRows), 0, size).(*mat.Dense).RawMatrix(), raw)
		}
		transposed(jacobian, residual, gradient)
		curvature := mat.Trace(normal) / float64(size)
		improved := false
		for range 16 {
			if err := ctx.Err(); err != nil {
				return n, loss, err
			}
			copy(factor.Data, raw.Data)
			for i := range size {
				factor.Data[i*factor.Stride+i] += damping * curvature
			}
			if !gram.Cholesky(factor) {
				damping = math.Max(4*damping, 1e-15)
				continue
			}
			step := descend(factor, gradient)
			for _, candidate := range [][]float64{bend(factor, jacobian, residual, step, at), step} {
				if candidate == nil {
					continue
				}
				r := at(candidate)
				l := floats.Dot(r, r) / float64(count)
				if l < loss { // false for NaN
					if loss-l < s.gain*loss {
						slow++
					} else {
						slow = 0
					}
					if loss-l < closeGain*loss {
						creeping++
					} else {
						creeping = 0
					}
					copy(p, next)
					refine.Unpack(n, p)
					loss, improved = l, true
					break
				}
			}
			if improved {
				damping = math.Max(damping/5, 1e-16)
				break
			}
			damping *= 3
		}
		if !improved {
			break
		}
		linearise()
	}
	return n, loss, nil
}

// free lists the parameters that are fitted, as indices into [refine.Pack]'s vector.
func (s fitSettings) free(n *network.Network) []int {
	m0, _ := n.Sizes()
	d := n.Inputs()
	weights := m0 * d
	var free []int
	first := weights
	switch {
	case s.shifted:
		first += m0
	case !s.frozen:
		for i := range weights {
			free = append(free, i)
		}
	case s.scales:
		for i := range m0 {
			free = append(free, i*d+input(n, i))
		}
	}
	for i := first; i < n.Parameters(); i++ {
		free = append(free, i)
	}
	return free
}

// jacobian fills j with the derivatives with respect to the free parameters and returns the residuals.
func (s fitSettings) jacobian(n *network.Network, g, h core.Function, data refine.Data, j *mat.Dense) []float64 {
	m0, _ := n.Sizes()
	rows, columns := j.Dims()
	switch {
	case s.shifted:
		biases := mat.NewDense(rows, m0+columns, nil)
		residual := refine.Jacobian(n, g, h, data, biases)
		j.Copy(biases.Slice(0, rows, m0, m0+columns))
		return residual
	case !s.frozen || !s.scales:
		return refine.Jacobian(n, g, h, data, j)
	}
	residual := refine.Jacobian(n, g, h, data, j.Slice(0, rows, m0, columns).(*mat.Dense))
	inputs := make([]int, m0)
	for i := range inputs {
		inputs[i] = input(n, i)
	}
	for k := range rows {
		// The first columns now are those of the biases: df/du, which times the input is the derivative of the scale.
		row, x := j.RawRowView(k), data.X.RawRowView(k)
		for i, from := range inputs {
			row[i] = row[m0+i] * x[from]
		}
	}
	return residual
}

// input returns the one input that unit i of a frozen first layer has.
func input(n *network.Network, i int) int {
	at, most := 0, 0.0
	for k, w := range n.First.Weight.RawRowView(i) {
		if size := math.Abs(w); size > most {
			at, most = k, size
		}
	}
	return at
}

// probe is the fraction of the step at which the curvature along it is measured.
const probe = 0.1

// bend returns the step with its second order correction, or nil where the correction is too large to be trusted.
func bend(factor blas64.Symmetric, jacobian *mat.Dense, residual, step []float64, at func([]float64) []float64) []float64 {
	short := make([]float64, len(step))
	floats.ScaleTo(short, probe, step)
	second := at(short)
	along := make([]float64, len(residual))
	blas64.Gemv(blas.NoTrans, 1, jacobian.RawMatrix(), vector(step), 0, vector(along))
	for k := range second {
		second[k] = 2 / probe * ((second[k]-residual[k])/probe - along[k])
	}
	right := make([]float64, len(step))
	transposed(jacobian, second, right)
	correction := descend(factor, right)
	if !(2*floats.Norm(correction, 2) <= 0.75*floats.Norm(step, 2)) {
		return nil
	}
	return floats.AddScaledTo(correction, step, 0.5, correction)
}

// descend solves H step = -gradient, given the Cholesky factor of H.
func descend(factor blas64.Symmetric, gradient []float64) []float64 {
	step := append([]float64(nil), gradient...)
	gram.Solve(factor, step)
	floats.Scale(-1, step)
	return step
}

func vector(v []float64) blas64.Vector { return blas64.Vector{N: len(v), Inc: 1, Data: v} }

// transposed sets dst to J^T v.
func transposed(j *mat.Dense, v, dst []float64) {
	blas64.Gemv(blas.Trans, 1, j.RawMatrix(), vector(v), 0, vector(dst))
}
