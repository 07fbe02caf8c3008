package identify

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// lone is one unit of the second layer, c h(b . z + tau) + constant, to be fitted to what all others leave of the answers. It has few parameters, so
// that many starts cost next to nothing, where a fit of all parameters would follow a bent valley step by step.
type lone struct {
	h           core.Function
	z           *mat.Dense // outputs of the first layer at the rows
	rest, sigma []float64  // what is to be explained, and how exactly each row counts
	b           []float64
	tau         float64
	c, constant float64
	loss        float64
}

// How the shift of a unit that sleeps is looked for: so many steps of 1/k, k the rate of the tails, to either side, with a few iterations for the weights at
// each of them and more in the end.
const (
	loneSteps      = 20
	loneIterations = 6
	loneLast       = 60
)

// alone settles what the tail of a unit's activation leaves open: far from its transition, c h(b . z + tau) tells c exp(-k |tau|) and b, but neither c nor
// tau. If unit l of the second layer sleeps at nearly all rows, it alone is fitted to what the others leave, at many shifts from where it sleeps
// at all rows to where it is alive at most. Rows count relative to what the unit contributes there, which spans many orders of magnitude, down to
// floor, what the others are wrong by.
func (e *exact) alone(n *network.Network, h core.Function, l int, data refine.Data, floor float64) *network.Network {
	p := secondLayer(n, h, data.X)
	rows, _ := p.Dims()
	facts := h.Facts()
	rate := facts.Right.Rate
	asleep, side := 0, 0.0
	for r := range rows {
		side += math.Copysign(1, p.At(r, l))
		if math.Abs(p.At(r, l)) > 3/rate {
			asleep++
		}
	}
	if asleep < rows*9/10 {
		return n
	}
	side = math.Copysign(1, side)
	limit := facts.Right.Intercept
	if side < 0 {
		limit = facts.Left.Intercept
	}
	nearest := math.Inf(1) // the row at which the unit comes nearest to its transition, or gets furthest beyond
	for r := range rows {
		nearest = math.Min(nearest, side*p.At(r, l))
	}
	u := lone{h: h, z: firstLayer(n, h, data.X), b: append([]float64(nil), n.Second.Weight.RawRowView(l)...), tau: n.Second.Bias[l]}
	u.rest = floats.SubTo(make([]float64, rows), data.Y, n.Evaluate(h, h, data.X))
	own := mat.Col(nil, l, p)
	h.Apply(0, own, own)
	for r := range rows {
		u.rest[r] += n.Output[l] * own[r]
		u.sigma = append(u.sigma, floor+math.Abs(u.rest[r]-n.Output[l]*limit))
	}
	if !u.outputs() {
		return n
	}
	best := u
	for _, direction := range []float64{1, -1} {
		trial := u
		trial.b = append([]float64(nil), u.b...)
		for step := range loneSteps + 1 {
			trial.tau = u.tau + side*(direction*float64(step)/rate-nearest)
			if !trial.outputs() {
				break
			}
			trial.fit(false, loneIterations)
			if trial.loss < best.loss {
				best = trial
				best.b = append([]float64(nil), trial.b...)
			}
		}
	}
	best.fit(true, loneLast)
	result := n.Clone()
	result.Second.Weight.SetRow(l, best.b)
	result.Second.Bias[l] = best.tau
	result.Output[l] = best.c
	result.OutputBias += best.constant
	return result
}

// firstLayer returns the outputs of the first layer of n at the rows of x.
func firstLayer(n *network.Network, g core.Function, x mat.Matrix) *mat.Dense {
	var z mat.Dense
	z.Mul(x, n.First.Weight.T())
	rows, _ := z.Dims()
	for r := range rows {
		floats.Add(z.RawRowView(r), n.First.Bias)
	}
	g.Apply(0, z.RawMatrix().Data, z.RawMatrix().Data)
	return &z
}

// pre returns b . z + tau at the rows.
func (u *lone) pre() []float64 {
	p := mat.NewVecDense(len(u.rest), nil)
	p.MulVec(u.z, mat.NewVecDense(len(u.b), u.b))
	floats.AddConst(u.tau, p.RawVector().Data)
	return p.RawVector().Data
}

// outputs sets c and the constant by weighted linear least squares, and the loss; it reports whether that could be done.
func (u *lone) outputs() bool {
	out := u.pre()
	u.h.Apply(0, out, out)
	// The output less its weighted mean: that of a unit that sleeps is constant to many digits.
	var weights, mean, middle float64
	for r, s := range u.sigma {
		w := 1 / (s * s)
		weights += w
		mean += w * out[r]
		middle += w * u.rest[r]
	}
	mean /= weights
	middle /= weights
	var square, product float64
	for r, s := range u.sigma {
		w := 1 / (s * s)
		square += w * (out[r] - mean) * (out[r] - mean)
		product += w * (out[r] - mean) * (u.rest[r] - middle)
	}
	if !(square > 0) {
		return false
	}
	u.c = product / square
	u.constant = middle - u.c*mean
	u.loss = 0
	for r, s := range u.sigma {
		u.loss += math.Pow((u.c*(out[r]-mean)+middle-u.rest[r])/s, 2)
	}
	return !math.IsNaN(u.loss) && !math.IsInf(u.loss, 0)
}

// fit is Levenberg and Marquardt's method on b, c and the constant, and, if it is to be free, tau.
func (u *lone) fit(free bool, iterations int) {
	m0 := len(u.b)
	size := m0 + 2
	if free {
		size++
	}
	damping := 1e-4
	jacobian := mat.NewDense(len(u.rest), size, nil)
	for range iterations {
		p := u.pre()
		out, slope := make([]float64, len(p)), make([]float64, len(p))
		u.h.Apply(0, out, p)
		u.h.Apply(1, slope, p)
		residual := make([]float64, len(p))
		for r, s := range u.sigma {
			row := jacobian.RawRowView(r)
			by := u.c * slope[r] / s
			floats.ScaleTo(row[:m0], by, u.z.RawRowView(r))
			row[m0], row[m0+1] = out[r]/s, 1/s
			if free {
				row[m0+2] = by
			}
			residual[r] = (u.c*out[r] + u.constant - u.rest[r]) / s
		}
		normal := mat.NewSymDense(size, nil)
		normal.SymOuterK(1, jacobian.T())
		gradient := mat.NewVecDense(size, nil)
		gradient.MulVec(jacobian.T(), mat.NewVecDense(len(residual), residual))
		before := u.loss
		for range 12 {
			damped := mat.NewSymDense(size, nil)
			damped.CopySym(normal)
			for k := range size {
				damped.SetSym(k, k, damped.At(k, k)*(1+damping)+math.SmallestNonzeroFloat64)
			}
			var cholesky mat.Cholesky
			var step mat.VecDense
			if cholesky.Factorize(damped) && cholesky.SolveVecTo(&step, gradient) == nil {
				next := *u
				next.b = append([]float64(nil), u.b...)
				for k := range m0 {
					next.b[k] -= step.AtVec(k)
				}
				if free {
					next.tau -= step.AtVec(m0 + 2)
				}
				if next.outputs() && next.loss < u.loss {
					*u = next
					damping /= 10
					break
				}
			}
			damping *= 8
		}
		if before-u.loss < 1e-3*before {
			break
		}
	}
}
