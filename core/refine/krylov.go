package refine

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/gram"
	"github.com/nnid/nnid/core/network"
)

// Conjugate gradients end a step when the loss of the linear model is down to this fraction. The first steps are worth no more, as
// the model is right to no more; how much the loss has fallen in one step squared is what the next may hope for.
const (
	roughly   = 1e-6
	precisely = 1e-16
)

const (
	mostProducts = 1000 // of the Jacobian with a vector, for one step
	stagnation   = 50   // so many of them that gain less than a hundredth of what is left end the step
)

// mostFactored is the number of parameters up to which J^T J is formed and factored all the same, once, where the diagonal blocks do not
// let conjugate gradients reach the noise.
const mostFactored = 8000

// GaussNewton is [Levenberg] without ever forming the Jacobian, for networks whose normal equations would not fit into memory or time:
// the damped steps are solved by conjugate gradients (see [Operator]), each as precisely as it is worth. All parameters are fitted; settings.Free
// is ignored.
func GaussNewton(ctx context.Context, start *network.Network, g, h core.Function, data Data, settings Settings) (*network.Network, Statistics, error) {
	return krylov(ctx, start, g, h, data, settings, false)
}

// krylov fits all parameters, or, of a network whose first layer's weights are diagonal, all but the zeros there.
func krylov(ctx context.Context, start *network.Network, g, h core.Function, data Data, settings Settings, diagonal bool) (*network.Network, Statistics, error) {
	if settings.Iterations == 0 {
		settings.Iterations = 20
	}
	n := start.Clone()
	count := float64(len(data.Y))
	loss := Loss(n, g, h, data)
	stats := Statistics{Damping: settings.Damping}
	forcing, slow := roughly, 0
	var whole *blas64.Symmetric // once it was needed: steps become so small that it holds for all that follow
	for stats.Iterations < settings.Iterations {
		o := linearise(n, g, h, data, diagonal)
		o.whole = whole
		right := o.Transpose(o.Residual)
		before, promised := loss, 0.0
		for range 8 {
			gains := []float64{}
			factorable := whole == nil && !diagonal && data.Sigma != nil && n.Parameters() <= mostFactored
			products := mostProducts
			if factorable {
				products = min(products, n.Parameters()/8) // which take about as long as to factor
			}
			step, err := o.descend(ctx, right, stats.Damping, products, func(_, gain float64) bool {
				promised = gain
				gains = append(gains, gain)
				left := loss - gain
				if k := len(gains) - 1 - stagnation; k >= 0 && gain-gains[k] < 0.01*left {
					return true
				}
				return left <= forcing*loss || data.Sigma != nil && left <= 1e-4*count
			})
			if err != nil {
				return n, stats, err
			}
			if left := loss - promised; factorable && left > count && left > forcing*loss {
				if whole = factorWhole(n, g, h, data); whole != nil {
					o.whole = whole
					continue
				}
			}
			trial := n.Clone()
			move(trial, step, diagonal)
			if l := Loss(trial, g, h, data); l < loss {
				n, loss = trial, l
				break
			}
			if data.Sigma != nil && loss < count || promised < 1e-3*loss {
				break
			}
			stats.Damping = math.Max(8*stats.Damping, 1e-6)
		}
		stats.Iterations++
		if loss < before {
			if stats.Damping /= 10; stats.Damping < 1e-12 {
				stats.Damping = 0
			}
			if settings.Observe != nil {
				settings.Observe(stats.Iterations, loss/count)
			}
		}
		if loss > before*0.7 { // while there is damping, the next step, with less of it, may gain more
			slow++
		} else {
			slow = 0
		}
		if loss == before || slow > 0 && stats.Damping == 0 || slow > 3 || data.Sigma != nil && loss < count && loss > before*0.1 {
			break
		}
		forcing = math.Max(precisely, math.Min(roughly, math.Pow(loss/before, 2)))
	}
	stats.Loss = loss / count
	return n, stats, nil
}

// factorWhole returns the Cholesky factor of J^T J at n, or nil when it is singular to rounding.
func factorWhole(n *network.Network, g, h core.Function, data Data) *blas64.Symmetric {
	free := span(0, n.Parameters())
	normal := mat.NewSymDense(len(free), nil)
	Normal(n, g, h, data, free, normal, make([]float64, len(free)))
	factor := normal.RawSymmetric()
	for i := range free {
		factor.Data[i*factor.Stride+i] *= 1 + 1e-12
	}
	if !gram.Cholesky(factor) {
		return nil
	}
	return &factor
}

// move subtracts the step from the parameters of n.
func move(n *network.Network, step []float64, diagonal bool) {
	p := Pack(n)
	if !diagonal {
		floats.Sub(p, step)
	} else {
		m0, _ := n.Sizes()
		for i := range m0 {
			p[i*m0+i] -= step[i]
		}
		floats.Sub(p[m0*m0:], step[m0:])
	}
	Unpack(n, p)
}
