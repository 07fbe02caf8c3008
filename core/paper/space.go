package paper

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/subspace"
)

// order is the dimension that the stages after the reduction work in.
func (r *run) order() int {
	switch {
	case r.state.Reduction != nil:
		_, c := r.state.Reduction.Dims()
		return c
	case r.state.Subspace != nil:
		return r.state.Subspace.Dim
	}
	return r.problem.Inputs
}

// step returns the step for second differences, measuring the noise when it is needed for the first time.
func (r *run) step(ctx context.Context, kind string) (float64, error) {
	if r.noise == 0 {
		noise, err := r.noiseLevel(ctx, make([]float64, r.problem.Inputs))
		if err != nil {
			return 0, err
		}
		r.noise = noise
	}
	if r.options.Step > 0 {
		return r.options.Step, nil
	}
	return autoStep(kind, r.noise), nil
}

// sample asks for the Hessians.
func (r *run) sample(ctx context.Context) error {
	n := r.order()
	count := r.options.Hessians
	if count == 0 {
		m := r.problem.M0 + r.problem.M1
		if r.problem.M0 == 0 || r.problem.M1 == 0 {
			m = max(m, n) + 5
		}
		count = 20 * m
	}
	radius := r.options.Radius
	if radius == 0 {
		radius = 1 / math.Sqrt(float64(n))
	}
	h, err := r.step(ctx, r.options.Stencil)
	if err != nil {
		return err
	}
	take := func(count int) error {
		points := draw(r.rng, r.options.Sampling, count, n, radius)
		if err := within(points, r.state.Reduction, r.problem.Domain, 2*h); err != nil {
			return err
		}
		list, err := hessians(ctx, r.problem.Oracle, r.state.Reduction, points, r.options.Stencil, h, func(done, total int) {
			r.report.progress(done, total, "Hessians")
		})
		if err != nil {
			return err
		}
		if r.state.Points != nil {
			both := &mat.Dense{}
			both.Stack(r.state.Points, points)
			points = both
		}
		r.state.Points, r.state.Hessians = points, append(r.state.Hessians, list...)
		return nil
	}
	if r.options.Bound {
		m := r.dimension()
		if m == 0 {
			return fault.New(fault.Usage, "hessians=bound needs the dimension of the subspace: give --m0 and --m1")
		}
		if err := take(4 * m); err != nil {
			return err
		}
		need, err := chernoff(r.state.Hessians, m)
		if err != nil {
			return err
		}
		r.result.measure("bound_hessians", need)
		if need > mostBound {
			return fault.New(fault.Unsupported, "the sample-complexity bound asks for %.1e Hessians, more than %.0e: the smallest of the %d singular values is too small; give hessians=N", need, float64(mostBound), m)
		}
		count = int(need) - 4*m
	}
	if count > 0 {
		if err := take(count); err != nil {
			return err
		}
	}
	r.result.measure("hessians", float64(len(r.state.Hessians)))
	r.result.measure("step", h)
	r.result.measure("radius", radius)
	r.report.finish("%d Hessians of order %d by %s differences, step %.1e, %d queries each; points: %s of radius %.3g", len(r.state.Hessians), n,
		r.options.Stencil, h, stencilPoints(r.options.Stencil, n), r.options.Sampling, radius)
	return nil
}

// mostBound is the largest number of Hessians that the bound is followed to.
const mostBound = 20000

// chernoff returns the least N for which, by the matrix Chernoff bound (Tropp, Found. Comput. Math. 12, 2012, theorem
// 1.1), the m-th eigenvalue of the mean of vec(H) vec(H)^T is at least half its expectation with probability 0.95:
//
//	N >= 8 L log(m / 0.05) / alpha,   L = sup |H|_F^2,  alpha = lambda_m(E vec(H) vec(H)^T),
//
// with L and alpha estimated from a pilot sample. This alpha is the paper's, of its sample-complexity theorem.
func chernoff(pilot []*mat.SymDense, m int) (float64, error) {
	s, err := subspace.Span(symmetric(pilot), m)
	if err != nil {
		return 0, err
	}
	largest := 0.0
	for _, h := range pilot {
		largest = math.Max(largest, mat.Norm(h, 2))
	}
	alpha := s.Spectrum[m-1] * s.Spectrum[m-1] / float64(len(pilot))
	return math.Ceil(8 * largest * largest * math.Log(float64(m)/0.05) / alpha), nil
}

func symmetric(list []*mat.SymDense) []mat.Symmetric {
	out := make([]mat.Symmetric, len(list))
	for k, h := range list {
		out[k] = h
	}
	return out
}

// dimension returns the dimension of the subspace that is given, 0 when the spectrum is to say.
func (r *run) dimension() int {
	switch {
	case r.options.Dimension > 0:
		return r.options.Dimension
	case r.problem.M0 > 0 && (r.problem.M1 > 0 || r.problem.Shallow):
		return r.problem.M0 + r.problem.M1
	}
	return 0
}

// span is the singular value decomposition of the samples.
func (r *run) span() error {
	m := r.dimension()
	if r.state.Hessians == nil {
		return fault.New(fault.Usage, "the stage subspace needs Hessians: enter the run with a file that holds them")
	}
	from := "given"
	if m == 0 {
		from = "from the spectrum"
	}
	if n := len(r.state.Hessians); m > n {
		m, from = n, fmt.Sprintf("of the %d given, as there are no more Hessians", m)
	}
	s, err := subspace.Span(symmetric(r.state.Hessians), m)
	if err != nil {
		return fault.New(fault.Unsupported, "%w", err)
	}
	r.state.Subspace = s
	r.result.measure("singular_gap", s.Gap())
	r.result.measure("dimension", float64(s.Dimension()))
	r.report.finish("dimension %d (%s), singular gap sigma_m / sigma_m+1 = %.3g, sigma_m / sigma_1 = %.1e", s.Dimension(), from, s.Gap(), s.Spectrum[s.Dimension()-1]/s.Spectrum[0])
	return nil
}
