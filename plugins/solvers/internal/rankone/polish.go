package rankone

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// Polisher is Newton's method on F for many vectors at once: what all of them need of W is a product of matrices. It
// belongs to one goroutine.
type Polisher struct {
	space    *Space
	squares  []float64 // most x d(d+1)/2: x x^T, then R
	y        []float64 // most x m
	points   []float64 // most x d
	images   []float64 // most x m*d: E_k x
	residual []float64 // d x d: R
	gram     []float64 // d x d: S^T S, S = images of one x
	hessian  []float64 // d x d
	factor   []float64 // d x d
	scratch  []float64 // d
	Steps    int       // Newton steps taken so far
	Flops    float64   // floating point operations of products and factorisations so far
}

// Polished is where a vector arrived.
type Polished struct {
	Deficit   float64 // 1 - F
	Converged bool    // to a local maximum
}

// polishing is a vector on its way.
type polishing struct {
	Polished
	x, trial []float64
	step     []float64
	residual []float64 // packed R at x
	length   float64   // of the Newton step
	scale    float64   // the part of it that trial took
	previous float64   // length of the step before
	cuts     int       // of the scale
	steps    int
	concave  bool // the last step's Hessian was positive definite: x is no saddle point
	last     bool // the step that trial takes leaves nothing that rounding would not
	done     bool
}

// NewPolisher returns a polisher for the space.
func NewPolisher(space *Space) *Polisher {
	d, m := space.D, space.M
	most := max(1, min(24, 4_000_000/(m*d))) // images of 32 MB at most
	return &Polisher{
		space: space, squares: make([]float64, most*packedLength(d)), y: make([]float64, most*m), points: make([]float64, most*d),
		images: make([]float64, most*m*d), residual: make([]float64, d*d), gram: make([]float64, d*d), hessian: make([]float64, d*d),
		factor: make([]float64, d*d), scratch: make([]float64, d),
	}
}

// Polish moves every unit vector of xs to the local maximum of F on the sphere near it, by at most steps Newton steps.
//
// With R = (I - P_W)(x x^T) the deficit is |R|_F^2, and half its Riemannian Hessian at x is
// T (I - 2 sum_k E_k x x^T E_k + R - |R|^2 I) T, T = I - x x^T, its gradient T R x. Where that is not positive definite,
// R - |R|^2 I gives way to |R| I: a Levenberg-Marquardt step on R, which always descends.
//
// R is projected twice. The second projection costs as much as the first and makes what is left of W in R as small as
// rounding relative to R, not to 1: with two vectors at an angle e of each other, the smallest singular value of R's
// derivative is e and the error of x is then 1e-16/e instead of 1e-16/e^2.
func (p *Polisher) Polish(ctx context.Context, xs [][]float64, steps int) ([]Polished, error) {
	d, packed := p.space.D, packedLength(p.space.D)
	most := len(p.points) / d
	results := make([]Polished, len(xs))
	for from := 0; from < len(xs); from += most {
		group := make([]*polishing, min(most, len(xs)-from))
		for i := range group {
			x := xs[from+i]
			q := &polishing{x: x, trial: append([]float64(nil), x...), step: make([]float64, d), residual: make([]float64, packed), previous: math.Inf(1)}
			q.Deficit = math.Inf(1)
			if Normalize(q.trial) == 0 {
				q.Deficit, q.done = 1, true
			}
			group[i] = q
		}
		active := unfinished(group)
		for len(active) > 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			p.evaluate(active)
			var accepted []*polishing
			for _, q := range active {
				if q.done {
					continue
				}
				if q.steps == steps {
					q.done, q.Converged = true, q.previous < 1e-10 && q.isMaximum()
					continue
				}
				accepted = append(accepted, q)
			}
			p.newton(accepted)
			active = unfinished(active)
		}
		for i, q := range group {
			results[from+i] = q.Polished
		}
	}
	return results, nil
}

// PolishSlow is Polish with more steps for those that come near: vectors close to each other make it slow, but worth while.
func (p *Polisher) PolishSlow(ctx context.Context, xs [][]float64) ([]Polished, error) {
	results, err := p.Polish(ctx, xs, 12)
	if err != nil {
		return nil, err
	}
	for k, r := range results {
		if !r.Converged && r.Deficit < 0.1 {
			again, err := p.Polish(ctx, xs[k:k+1], 60)
			if err != nil {
				return nil, err
			}
			results[k] = again[0]
		}
	}
	return results, nil
}

func unfinished(group []*polishing) []*polishing {
	var rest []*polishing
	for _, q := range group {
		if !q.done {
			rest = append(rest, q)
		}
	}
	return rest
}

// isMaximum reports whether the stationary point found is a maximum: the Hessian says so, or F is 1 and cannot be more.
func (q *polishing) isMaximum() bool { return q.concave || q.Deficit < 1e-12 }

// evaluate tries the trial points: a good one becomes x, with its residual; after a bad one the step is cut, and the shorter one
// tried, until all have moved or are done.
func (p *Polisher) evaluate(group []*polishing) {
	length := packedLength(p.space.D)
	for len(group) > 0 {
		n := len(group)
		for i, q := range group {
			packSquare(q.trial, p.squares[i*length:(i+1)*length])
		}
		m := p.space.M
		p.Flops += 8 * float64(n) * float64(m) * float64(length)
		squares := blas64.General{Rows: n, Cols: length, Stride: length, Data: p.squares[:n*length]}
		y := blas64.General{Rows: n, Cols: m, Stride: m, Data: p.y[:n*m]}
		for range 2 {
			blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, squares, p.space.whole.byColumn(length), 0, y)
			blas64.Gemm(blas.NoTrans, blas.NoTrans, -1, y, p.space.whole.byRow(length), 1, squares)
		}
		var again []*polishing
		for i, q := range group {
			residual := p.squares[i*length : (i+1)*length]
			trial := blas64.Dot(vector(residual), vector(residual))
			// Close to the end the deficit is flat to rounding, and the gradient knows better.
			if trial <= q.Deficit || trial < 1e-29 || (q.length < 1e-6 && trial <= q.Deficit*(1+1e-13)) {
				copy(q.x, q.trial)
				copy(q.residual, residual)
				q.Deficit = trial
				if q.last {
					q.done, q.Converged = true, q.isMaximum()
				}
				continue
			}
			if q.cuts++; q.cuts == 12 || math.IsNaN(trial) { // the deficit is flat to rounding, or x is stuck
				q.done, q.Converged = true, q.length < 1e-6 && q.isMaximum()
				continue
			}
			q.scale /= 3
			q.advance()
			again = append(again, q)
		}
		group = again
	}
}

func (q *polishing) advance() {
	for i, v := range q.step {
		q.trial[i] = q.x[i] + q.scale*v
	}
	Normalize(q.trial)
}

// newton finds the next trial points, or that there is nothing more to gain.
func (p *Polisher) newton(group []*polishing) {
	if len(group) == 0 {
		return
	}
	d, m := p.space.D, p.space.M
	for i, q := range group {
		copy(p.points[i*d:], q.x)
	}
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, blas64.General{Rows: len(group), Cols: d, Stride: d, Data: p.points},
		blas64.General{Rows: d, Cols: m * d, Stride: m * d, Data: p.space.aside}, 0,
		blas64.General{Rows: len(group), Cols: m * d, Stride: m * d, Data: p.images})
	for i, q := range group {
		image := blas64.General{Rows: m, Cols: d, Stride: d, Data: p.images[i*m*d : (i+1)*m*d]}
		if !p.direction(q, image) {
			q.done = true
			continue
		}
		p.Steps++
		p.Flops += 3*float64(m)*float64(d)*float64(d) + float64(d)*float64(d)*float64(d)/3
		q.steps++
		q.length = blas64.Nrm2(vector(q.step))
		if !(q.length < math.Inf(1)) {
			q.done = true
			continue
		}
		if q.length < 1e-15 || (q.length < 1e-9 && q.length > q.previous/4) { // as close as rounding lets us
			q.done, q.Converged = true, q.isMaximum()
			continue
		}
		// Long steps leave the region where the quadratic model means anything.
		q.scale, q.cuts = min(1, 0.5/q.length), 0
		// Newton's method converges quadratically: a step of 1e-8 leaves about 1e-16.
		q.last = q.concave && q.length < 1e-8 && q.length < 1e-3*q.previous
		q.previous = q.length
		q.advance()
	}
}

// direction puts the Newton step at q.x into q.step.
func (p *Polisher) direction(q *polishing, image blas64.General) bool {
	d, x := p.space.D, q.x
	unpack(q.residual, d, p.residual)
	blas64.Syrk(blas.Trans, 2, image, 0, blas64.Symmetric{N: d, Stride: d, Data: p.gram, Uplo: blas.Upper})
	gradient := q.step
	for _, exact := range []bool{true, false} {
		blas64.Gemv(blas.NoTrans, -1, p.matrix(p.residual), vector(x), 0, vector(gradient))
		tangent(gradient, x)
		shift := 1 - q.Deficit
		if !exact {
			shift = 1 + math.Sqrt(q.Deficit) + 1e-15
		}
		for i := range d {
			for j := i; j < d; j++ {
				value := -p.gram[i*d+j]
				if exact {
					value += p.residual[i*d+j]
				}
				if i == j {
					value += shift
				}
				p.hessian[i*d+j] = value
				p.hessian[j*d+i] = value
			}
		}
		p.restrict(x)
		copy(p.factor, p.hessian)
		triangle, ok := lapack64.Potrf(blas64.Symmetric{N: d, Stride: d, Data: p.factor, Uplo: blas.Upper})
		if !ok {
			continue
		}
		blas64.Trsv(blas.Trans, triangle, vector(gradient))
		blas64.Trsv(blas.NoTrans, triangle, vector(gradient))
		tangent(gradient, x)
		q.concave = exact
		return true
	}
	return false
}

// tangent removes from v its part along the unit vector x.
func tangent(v, x []float64) { blas64.Axpy(-blas64.Dot(vector(v), vector(x)), vector(x), vector(v)) }

// restrict replaces H by T H T + x x^T, T = I - x x^T.
func (p *Polisher) restrict(x []float64) {
	d := p.space.D
	hx := p.scratch
	blas64.Gemv(blas.NoTrans, 1, p.matrix(p.hessian), vector(x), 0, vector(hx))
	xhx := blas64.Dot(vector(x), vector(hx))
	for i := range d {
		row := p.hessian[i*d : (i+1)*d]
		along, across := (xhx+1)*x[i]-hx[i], x[i]
		for j := range row {
			row[j] += along*x[j] - across*hx[j]
		}
	}
}

func (p *Polisher) matrix(data []float64) blas64.General {
	return blas64.General{Rows: p.space.D, Cols: p.space.D, Stride: p.space.D, Data: data}
}
