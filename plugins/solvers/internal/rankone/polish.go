package rankone

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// Polisher holds the work space of [Polisher.Polish]. It belongs to one goroutine.
type Polisher struct {
	space    *Space
	images   []float64 // m x d: E_k x
	y        []float64 // m: coordinates of P_W(x x^T)
	residual []float64 // d x d: R
	gram     []float64 // d x d: S^T S, S = images
	hessian  []float64 // d x d
	factor   []float64 // d x d
	step     []float64 // d
	next     []float64 // d
	concave  bool      // whether the last step's Hessian was positive definite: x is no saddle point
	Steps    int       // Newton steps taken so far
}

// NewPolisher returns a polisher for the space.
func NewPolisher(space *Space) *Polisher {
	d, m := space.D, space.M
	return &Polisher{
		space: space, images: make([]float64, m*d), y: make([]float64, m), residual: make([]float64, d*d),
		gram: make([]float64, d*d), hessian: make([]float64, d*d), factor: make([]float64, d*d),
		step: make([]float64, d), next: make([]float64, d),
	}
}

// Polish moves the unit vector x to the local maximum of F on the sphere near it by at most steps Newton steps, and
// returns the deficit 1 - F there and whether it converged.
//
// With R = (I - P_W)(x x^T) the deficit is |R|_F^2, and half its Riemannian Hessian at x is
// T (I - 2 sum_k E_k x x^T E_k + R - |R|^2 I) T, T = I - x x^T, its gradient T R x. Where that is not positive definite,
// R - |R|^2 I gives way to |R| I: a Levenberg-Marquardt step on R, which always descends.
//
// R is projected twice. The second projection costs as much as the first and makes what is left of W in R as small as
// rounding relative to R, not to 1: with two vectors at an angle e of each other, the smallest singular value of R's
// derivative is e and the error of x is then 1e-16/e instead of 1e-16/e^2.
func (p *Polisher) Polish(x []float64, steps int) (deficit float64, converged bool) {
	if Normalize(x) == 0 {
		return 1, false
	}
	d := p.space.D
	deficit = p.at(x)
	previous := math.Inf(1)
	for range steps {
		if !p.newton(x, deficit) {
			return deficit, false
		}
		p.Steps++
		length := blas64.Nrm2(vector(p.step))
		if !(length < math.Inf(1)) {
			return deficit, false
		}
		if length < 1e-15 || (length < 1e-9 && length > previous/4) { // as close as rounding lets us
			return deficit, p.isMaximum(deficit)
		}
		// Long steps leave the region where the quadratic model means anything.
		scale := min(1, 0.5/length)
		accepted := false
		for range 12 {
			for i := range d {
				p.next[i] = x[i] + scale*p.step[i]
			}
			Normalize(p.next)
			// Close to the end the deficit is flat to rounding, and the gradient knows better.
			if trial := p.at(p.next); trial <= deficit || trial < 1e-29 || (length < 1e-6 && trial <= deficit*(1+1e-13)) {
				copy(x, p.next)
				deficit, accepted = trial, true
				break
			}
			scale /= 3
		}
		if !accepted { // the deficit is flat to rounding, or x is stuck
			deficit = p.at(x)
			return deficit, length < 1e-6 && p.isMaximum(deficit)
		}
		previous = length
	}
	return deficit, previous < 1e-10 && p.isMaximum(deficit)
}

// isMaximum reports whether the stationary point found is a maximum: the Hessian says so, or F is 1 and cannot be more.
func (p *Polisher) isMaximum(deficit float64) bool { return p.concave || deficit < 1e-12 }

// at prepares R and the Gram matrix for x and returns |R|^2.
func (p *Polisher) at(x []float64) float64 {
	s, d := p.space, p.space.D
	blas64.Gemv(blas.NoTrans, 1, s.Stack(), vector(x), 0, vector(p.images))
	blas64.Gemv(blas.NoTrans, 1, p.imageMatrix(), vector(x), 0, vector(p.y))
	for i := range d {
		for j := range d {
			p.residual[i*d+j] = x[i] * x[j]
		}
	}
	blas64.Gemv(blas.Trans, -1, s.Coordinates(), vector(p.y), 1, vector(p.residual))
	blas64.Gemv(blas.NoTrans, 1, s.Coordinates(), vector(p.residual), 0, vector(p.y))
	blas64.Gemv(blas.Trans, -1, s.Coordinates(), vector(p.y), 1, vector(p.residual))
	norm := blas64.Nrm2(vector(p.residual))
	return norm * norm
}

func (p *Polisher) imageMatrix() blas64.General {
	return blas64.General{Rows: p.space.M, Cols: p.space.D, Stride: p.space.D, Data: p.images}
}

// newton puts the step at x into p.step; p.at(x) was the last evaluation.
func (p *Polisher) newton(x []float64, deficit float64) bool {
	d := p.space.D
	blas64.Syrk(blas.Trans, 2, p.imageMatrix(), 0, blas64.Symmetric{N: d, Stride: d, Data: p.gram, Uplo: blas.Upper})
	gradient := p.step
	blas64.Gemv(blas.NoTrans, -1, p.matrix(p.residual), vector(x), 0, vector(gradient))
	along := blas64.Dot(vector(gradient), vector(x))
	blas64.Axpy(-along, vector(x), vector(gradient))
	for _, exact := range []bool{true, false} {
		shift := 1 - deficit
		if !exact {
			shift = 1 + math.Sqrt(deficit) + 1e-15
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
		lapack64.Potrs(triangle, blas64.General{Rows: d, Cols: 1, Stride: 1, Data: gradient})
		along := blas64.Dot(vector(gradient), vector(x))
		blas64.Axpy(-along, vector(x), vector(gradient))
		p.concave = exact
		return true
	}
	return false
}

// restrict replaces H by T H T + x x^T, T = I - x x^T.
func (p *Polisher) restrict(x []float64) {
	d := p.space.D
	hx := p.next
	blas64.Gemv(blas.NoTrans, 1, p.matrix(p.hessian), vector(x), 0, vector(hx))
	xhx := blas64.Dot(vector(x), vector(hx))
	for i := range d {
		for j := range d {
			p.hessian[i*d+j] += (xhx+1)*x[i]*x[j] - hx[i]*x[j] - x[i]*hx[j]
		}
	}
}

func (p *Polisher) matrix(data []float64) blas64.General {
	return blas64.General{Rows: p.space.D, Cols: p.space.D, Stride: p.space.D, Data: data}
}
