package paper

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
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
	if kind == wordForward && r.third == 0 {
		third, err := r.thirdDerivative(ctx)
		if err != nil {
			return 0, err
		}
		r.third = third
	}
	return autoStep(kind, r.noise, r.third), nil
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
	m := r.dimension()
	if m == 0 && (r.options.Bound || r.options.Adaptive) {
		return fault.New(fault.Usage, "hessians=%s needs the dimension of the subspace: give --m0 and --m1", map[bool]string{true: wordBound, false: wordAdaptive}[r.options.Bound])
	}
	switch {
	case r.options.Bound:
		if err := take(4 * m); err != nil {
			return err
		}
		need, err := chernoff(r.state.Hessians, m)
		if err != nil {
			return err
		}
		r.result.measure("bound_hessians", need)
		if need > mostBound {
			return fault.New(fault.Unsupported, "the sample-complexity bound asks for %.1e Hessians, more than %.0e: the smallest of the %d singular values is too small; give hessians=N, or hessians=%s", need, float64(mostBound), m, wordAdaptive)
		}
		count = int(need) - 4*m
	case r.options.Adaptive:
		before := math.Inf(1)
		for count = 2 * m; ; count = len(r.state.Hessians) {
			if err := take(count); err != nil {
				return err
			}
			left, err := heldOut(r.state.Hessians, m)
			if err != nil {
				return err
			}
			r.result.measure("held_out", left)
			if left > settled*before || 2*len(r.state.Hessians) > mostBound {
				break
			}
			before = left
		}
		count = 0
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

// settled is how little a doubling of the Hessians must gain for hessians=adaptive to stop.
const settled = 0.8

// heldOut returns the share of the second half of the Hessians, in Frobenius norm, that the m-dimensional subspace of the
// first half leaves out. Exact Hessians of generic points need no more than m to span W, whatever a bound for the worst case
// says: how much the next ones add tells whether there are enough.
func heldOut(list []*mat.SymDense, m int) (float64, error) {
	half := len(list) / 2
	s, err := subspace.Span(symmetric(list[:half]), min(m, half))
	if err != nil {
		return 0, fault.New(fault.Unsupported, "%w", err)
	}
	var out, all float64
	for _, h := range list[half:] {
		inside, err := s.Project(h)
		if err != nil {
			return 0, err
		}
		var rest mat.Dense
		rest.Sub(h, inside)
		norm := mat.Norm(h, 2)
		out += square(&rest)
		all += norm * norm
	}
	return math.Sqrt(out / math.Max(all, 1e-300)), nil
}

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
	case r.options.Spectrum:
		return 0
	case r.options.Dimension > 0:
		return r.options.Dimension
	case r.problem.M0 > 0 && (r.problem.M1 > 0 || r.problem.Shallow):
		return r.problem.M0 + r.problem.M1
	}
	return 0
}

// wanted returns how many vectors there are to be found, given or by the subspace; 0 when neither is there.
func (r *run) wanted() int {
	if m := r.dimension(); m > 0 || r.state.Subspace == nil {
		return m
	}
	return r.state.Subspace.Dimension()
}

// span is the singular value decomposition of the samples.
func (r *run) span() error {
	m := r.dimension()
	if r.state.Hessians == nil {
		return fault.New(fault.Usage, "the stage subspace needs Hessians: enter the run with a file that holds them")
	}
	from := "given"
	if m == 0 {
		found, outside, err := r.spectral()
		if err != nil {
			return err
		}
		m, from = found, fmt.Sprintf("from the spectrum; %.1e of what is beyond first order in x lies outside", outside)
		if k := r.problem.M0 + r.problem.M1; r.problem.M0 > 0 && (r.problem.M1 > 0 || r.problem.Shallow) && k != m {
			from += fmt.Sprintf("; the sizes given say %d", k)
		}
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

// boundOutside is how much of the Hessians beyond first order may lie outside a subspace whose dimension the spectrum tells.
// Where the gap is that of W it is the error of the differences (1e-7 to 5e-3), where it is not nearly all (0.85 to 1).
const boundOutside = 0.1

// spectral returns the dimension that the spectrum tells, and how much of what it was checked with lies outside. A gap is
// not enough: near 0 there is one behind H(0), and one behind the d+1 dimensions of H(0) and its first derivatives, with
// all weights of W still to come. But what the Hessians have beyond first order in x is in W as well. So of the gaps of at
// least gap-bound, the largest counts whose dimensions hold that too.
func (r *run) spectral() (int, float64, error) {
	list, points := r.state.Hessians, r.state.Points
	order := list[0].SymmetricDim()
	if n := len(list); points == nil || n < 2*(order+1) {
		return 0, 0, fault.New(fault.Usage, "the dimension is told by the spectrum only from %d Hessians on, with their points; give --m0 and --m1, or the recipe option dimension", 2*(order+1))
	}
	most := subspace.SvecLen(order) - 1
	if !r.problem.Shallow {
		most = min(most, 2*order) // m1 <= m0 <= d
	}
	all, err := subspace.Span(symmetric(list), 0)
	if err == nil {
		rank := 0
		for rank < len(all.Spectrum) && all.Spectrum[rank] > all.Spectrum[0]*0x1p-52 {
			rank++
		}
		all, err = subspace.Span(symmetric(list), rank)
	}
	if err != nil {
		return 0, 0, fault.New(fault.Unsupported, "%w", err)
	}
	most = min(most, all.Dimension(), len(all.Spectrum)-1)
	higher, err := beyondFirstOrder(points, list)
	if err != nil {
		return 0, 0, err
	}
	var coordinates mat.Dense // row k: along the k-th singular vector
	coordinates.Mul(all.Basis.T(), higher)
	total := square(higher)
	best, largest, outside := 0, 0.0, 0.0 // the largest gap that counts
	taylor := 0                           // the largest that does not
	left := total
	ratio := func(k int) float64 { return all.Spectrum[k-1] / math.Max(all.Spectrum[k], 1e-15*all.Spectrum[0]) }
	for k := 1; k <= most; k++ {
		row := coordinates.RawRowView(k - 1)
		left -= floats.Dot(row, row)
		out := math.Sqrt(math.Max(0, left) / math.Max(total, 1e-300))
		switch gap := ratio(k); {
		case gap < r.options.GapMin:
		case out <= boundOutside && gap > largest:
			best, largest, outside = k, gap, out
		case out > boundOutside && (taylor == 0 || gap > ratio(taylor)):
			taylor = k
		}
	}
	if best > 0 {
		return best, outside, nil
	}
	k := min(subspace.LargestGap(all.Spectrum), len(all.Spectrum)-1)
	why := fmt.Sprintf("its largest ratio, sigma_%d / sigma_%d = %.3g, is below %.3g", k, k+1, ratio(k), r.options.GapMin)
	switch {
	case taylor > 0:
		why = fmt.Sprintf("sigma_%d / sigma_%d = %.3g only parts H(0), or its first derivatives too, from the rest", taylor, taylor+1, ratio(taylor))
	case ratio(k) >= r.options.GapMin:
		why = fmt.Sprintf("sigma_%d / sigma_%d = %.3g comes after more dimensions than %d, the most that m0+m1 can be", k, k+1, ratio(k), most)
	}
	return 0, 0, fault.New(fault.Unsupported, "the spectrum of the Hessians has no gap that tells the number of units: %s; give --m0 and --m1, or the recipe option dimension", why)
}

// beyondFirstOrder returns, column by column, the isometric coordinates of the Hessians less their best fit by a first-order
// polynomial of the points.
func beyondFirstOrder(points *mat.Dense, list []*mat.SymDense) (*mat.Dense, error) {
	n, d := points.Dims()
	y := mat.NewDense(n, subspace.SvecLen(d), nil)
	x := mat.NewDense(n, d+1, nil)
	for k, h := range list {
		y.SetRow(k, subspace.Svec(h))
		copy(x.RawRowView(k), points.RawRowView(k))
		x.Set(k, d, 1)
	}
	var slopes, fit mat.Dense
	if err := slopes.Solve(x, y); err != nil && !isCondition(err) {
		return nil, fault.New(fault.Internal, "the regression of the Hessians on the points failed: %w", err)
	}
	fit.Mul(x, &slopes)
	y.Sub(y, &fit)
	return mat.DenseCopyOf(y.T()), nil
}
