package recover

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
)

// additive is the model y = c0 + sum_l c_l h(scale_l q_l + shift_l) with known q: what is left to find of the second
// layer once the columns of B are known up to a factor. c and c0 are linear and are projected out.
type additive struct {
	h core.Function
	q *mat.Dense // rows x units, each column of mean 0 and standard deviation 1
	y []float64
}

// shape is scale and shift of every unit.
type shape struct {
	scale, shift []float64
}

func (s shape) clone() shape { return shape{slices.Clone(s.scale), slices.Clone(s.shift)} }

// project returns the least squares c (and c0 last) for the shape, and the residuals.
func (a *additive) project(s shape) (c, residual []float64) {
	n, units := a.q.Dims()
	design := mat.NewDense(n, units+1, nil)
	column := make([]float64, n)
	for l := range units {
		for i := range n {
			column[i] = s.scale[l]*a.q.At(i, l) + s.shift[l]
		}
		a.h.Apply(0, column, column)
		design.SetCol(l, column)
	}
	for i := range n {
		design.Set(i, units, 1)
	}
	var normal mat.SymDense
	normal.SymOuterK(1, design.T())
	for i := range units + 1 { // a dead unit makes the columns dependent: ever so little damping decides
		normal.SetSym(i, i, normal.At(i, i)*(1+1e-13)+1e-300)
	}
	var right, solution mat.VecDense
	right.MulVec(design.T(), mat.NewVecDense(n, a.y))
	var cholesky mat.Cholesky
	if !cholesky.Factorize(&normal) || cholesky.SolveVecTo(&solution, &right) != nil && solution.Len() == 0 {
		return nil, nil
	}
	var fitted mat.VecDense
	fitted.MulVec(design, &solution)
	residual = make([]float64, n)
	floats.SubTo(residual, fitted.RawVector().Data, a.y)
	return solution.RawVector().Data, residual
}

// fit improves the shape by Levenberg-Marquardt on the projected problem, with finite differences for the 2 m1
// parameters; it returns the root mean square residual.
func (a *additive) fit(s shape, iterations int) (shape, float64) {
	units := len(s.scale)
	_, r := a.project(s)
	if r == nil {
		return s, math.Inf(1)
	}
	loss, damping := floats.Dot(r, r), 1e-2
	for range iterations {
		j := mat.NewDense(len(r), 2*units, nil)
		for k := range 2 * units {
			moved := s.clone()
			step := 1e-6
			if k < units {
				step *= math.Abs(s.scale[k])
				moved.scale[k] += step
			} else {
				step *= 1 + math.Abs(s.shift[k-units])
				moved.shift[k-units] += step
			}
			_, rk := a.project(moved)
			if rk == nil {
				return s, math.Sqrt(loss / float64(len(r)))
			}
			for i := range rk {
				j.Set(i, k, (rk[i]-r[i])/step)
			}
		}
		var normal mat.SymDense
		normal.SymOuterK(1, j.T())
		var slope mat.VecDense
		slope.MulVec(j.T(), mat.NewVecDense(len(r), r))
		improved := false
		for range 8 {
			damped := mat.NewSymDense(2*units, nil)
			damped.CopySym(&normal)
			for k := range 2 * units {
				damped.SetSym(k, k, normal.At(k, k)*(1+damping)+1e-300)
			}
			var cholesky mat.Cholesky
			var step mat.VecDense
			if cholesky.Factorize(damped) {
				if err := cholesky.SolveVecTo(&step, &slope); err == nil || step.Len() > 0 {
					next := s.clone()
					for k := range units {
						next.scale[k] -= step.AtVec(k)
						next.shift[k] -= step.AtVec(units + k)
					}
					if _, rn := a.project(next); rn != nil {
						if l := floats.Dot(rn, rn); l < loss {
							improved = l < loss*(1-1e-4)
							s, r, loss = next, rn, l
							damping = math.Max(damping/8, 1e-12)
							break
						}
					}
				}
			}
			damping *= 6
		}
		if !improved {
			break
		}
	}
	return s, math.Sqrt(loss / float64(len(r)))
}

// starts is how many shapes are tried when the first one does not fit.
const starts = 60

// search fits from the given shape and, if that leaves more than enough of y unexplained, from random ones: first for
// the units whose shape is least plausible, then for all.
func (a *additive) search(first shape, enough float64, rng *rand.Rand) (shape, float64) {
	best, least := a.fit(first, 40)
	for try := 0; try < starts && least > enough; try++ {
		start := best.clone()
		for l := range start.scale {
			// Out of the range that the rows cover, a unit's shape is a guess.
			outside := math.Abs(start.shift[l]) > 2.5*math.Abs(start.scale[l])+2 || math.Abs(start.scale[l]) < 0.05
			if outside || try%2 == 1 && rng.IntN(len(start.scale)) == 0 || try%6 == 5 {
				start.scale[l] = math.Exp(rng.Float64()*4 - 1.5)
				start.shift[l] = -start.scale[l] * (3*rng.Float64() - 1.5)
			}
		}
		if s, r := a.fit(start, 25); r < least {
			best, least = s, r
		}
	}
	return best, least
}
