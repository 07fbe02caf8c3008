package identify

import (
	"math"
	"slices"

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
	side, rate  float64 // where it sleeps, -1 or 1, and how its tail decays there
	limit       float64 // of h there
	loss        float64
	base        []float64 // with a robust loss: sigma before it is raised where what is left is not this unit's; nil without
}

// How the shift of a unit that sleeps is looked for: so many steps of 1/k, k the rate of the tails, to either side, with a few iterations for the weights at
// each of them and more in the end.
const (
	loneSteps      = 12
	loneFurthest   = 14.0 // 1/k: the second power of its tail is below rounding of the first there, and tau open
	loneBetter     = 0.95 // a shift further out is taken where it is better by this
	loneIterations = 6
	loneLast       = 60
	loneRows       = 2   // for each parameter, of a robust fit
	loneShown      = 3.0 // what a unit contributes, over what the others are wrong by, at its rows
)

// loneParts are what the unit is known to, in the steps of a robust fit.
var loneParts = []float64{1, 0.1, 1e-2, 1e-3, 1e-4}

// alone settles what the tail of a unit's activation leaves open: far from its transition, c h(b . z + tau) tells c exp(-k |tau|) and b, but neither c nor
// tau. If unit l of the second layer sleeps at nearly all rows, it alone is fitted to what the others leave, at many shifts from where it sleeps
// at all rows to where it is alive at most. Rows count relative to what the unit contributes there, which spans many orders of magnitude, down to
// floor, what the others are wrong by. With robust, there may be further units, alive at some of the rows, that n lacks.
func (e *exact) alone(n *network.Network, h core.Function, l int, data refine.Data, floor float64, robust bool) *network.Network {
	side, _ := sleeps(n, h, l, data.X)
	if side == 0 {
		return n
	}
	p := secondLayer(n, h, data.X)
	rows, _ := p.Dims()
	rate, limit := h.Facts().Right.Rate, h.Facts().Right.Intercept
	if side < 0 {
		rate, limit = h.Facts().Left.Rate, h.Facts().Left.Intercept
	}
	u := lone{h: h, z: firstLayer(n, h, data.X), b: append([]float64(nil), n.Second.Weight.RawRowView(l)...), tau: n.Second.Bias[l], side: side, rate: rate, limit: limit}
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
	if robust {
		// The better it is known, the more the rows count at which it is more alive.
		shown, ok := u.shown(loneShown * floor)
		if !ok {
			return n
		}
		best = shown
		for _, part := range loneParts {
			best.weigh(floor, part)
			best = best.scan()
			best.fit(true, loneLast)
		}
		shown.base = best.base
		if !(best.judged() < shown.judged()) {
			return n
		}
	} else {
		best = best.scan()
		best.fit(true, loneLast)
	}
	result := n.Clone()
	result.Second.Weight.SetRow(l, best.b)
	result.Second.Bias[l] = best.tau
	result.Output[l] = best.c
	result.OutputBias += best.constant
	return result
}

// scan returns the best of the fits that start from shifts where u sleeps at all rows to where it is alive at most.
func (u lone) scan() lone {
	best := u
	if best.distance() > loneFurthest/u.rate {
		best.loss, best.base = math.Inf(1), nil
	}
	for _, direction := range []float64{1, -1} {
		trial := u
		trial.b = slices.Clone(u.b)
		for step := range loneSteps + 1 {
			trial.tau = u.tau + u.side*(direction*float64(step)/u.rate-u.distance())
			trial.sigma = u.sigma
			if !trial.outputs() {
				break
			}
			trial.fit(false, loneIterations)
			if trial.judged() < loneBetter*best.judged() {
				best = trial
				best.b = slices.Clone(trial.b)
			}
		}
	}
	return best
}

// distance returns how far it is from its transition where it comes nearest to it, less than zero where it gets beyond.
func (u *lone) distance() float64 {
	nearest := math.Inf(1)
	for _, p := range u.pre() {
		nearest = math.Min(nearest, u.side*p)
	}
	return nearest
}

// weigh sets the rows' errors to floor and that part of what the unit contributes there.
func (u *lone) weigh(floor, part float64) {
	u.base = make([]float64, len(u.rest))
	for r, v := range u.rest {
		u.base[r] = floor + part*math.Abs(v-u.constant-u.c*u.limit)
	}
	u.sigma = u.base
	u.outputs()
	u.reweigh()
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

// shown returns u with those rows only at which there is more to be explained than least; not ok where they are too few for a fit.
func (u lone) shown(least float64) (shown lone, ok bool) {
	var used []int
	for r, s := range u.sigma {
		if s > least {
			used = append(used, r)
		}
	}
	columns := len(u.b)
	if len(used) < loneRows*(columns+3) {
		return u, false
	}
	few := u
	few.z = mat.NewDense(len(used), columns, nil)
	few.rest, few.sigma = make([]float64, len(used)), make([]float64, len(used))
	for k, r := range used {
		few.z.SetRow(k, u.z.RawRowView(r))
		few.rest[k], few.sigma[k] = u.rest[r], u.sigma[r]
	}
	return few, true
}

// left returns what u leaves at the rows, relative to base.
func (u *lone) left() []float64 {
	out := u.pre()
	u.h.Apply(0, out, out)
	for r, s := range u.base {
		out[r] = math.Abs(u.c*out[r]+u.constant-u.rest[r]) / s
	}
	return out
}

// judged is what fits are compared by: the loss, or, where it is robust, the median of what is left.
func (u *lone) judged() float64 {
	if u.base == nil {
		return u.loss
	}
	return middleOf(u.left())
}

// reweigh sets Cauchy's weights on the scale of the median of what is left, if the loss is robust.
func (u *lone) reweigh() {
	if u.base == nil {
		return
	}
	left := u.left()
	delta := math.Max(robustFrom*middleOf(left), 1e-14)
	u.sigma = make([]float64, len(left))
	for r, v := range left {
		u.sigma[r] = u.base[r] * math.Hypot(1, v/delta)
	}
	u.outputs()
}

// fit is Levenberg and Marquardt's method on b, c and the constant, and, if it is to be free, tau.
func (u *lone) fit(free bool, iterations int) {
	m0 := len(u.b)
	size := m0 + 2
	if free {
		size++
	}
	damping, slow := 1e-4, 0
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
			row[m0], row[m0+1] = (out[r]-u.limit)/s, 1/s
			if free { // at the same tail, whose first power is C's
				row[m0+2] = by + u.side*u.rate*u.c*(out[r]-u.limit)/s
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
				if next.distance() < loneFurthest/u.rate && next.outputs() && next.loss < u.loss {
					*u = next
					damping /= 10
					break
				}
			}
			damping *= 8
		}
		if slow++; before-u.loss > 1e-3*before {
			slow = 0
		}
		if slow == 2 {
			break
		}
		u.reweigh()
	}
}
