package paper

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/subspace"
)

// clearGap is the ratio of consecutive singular values from which on the spectrum of gradients or Hessians says what the
// dimension is. The span is exact, so that beyond it there are only errors of finite differences.
const clearGap = 1e3

// reduce finds the span of the a_i, which is that of gradients (A G_x B (c h')) and of the columns of Hessians: an
// orthonormal basis Q (d x r), so that f(x) = f(Q Q^T x + const) and the other stages work in R^r (arXiv 1907.00485,
// section 1, after Fornasier, Schnass, Vybiral 2012). Where it finds no reduction it leaves things as they are.
func (r *run) reduce(ctx context.Context) error {
	d := r.problem.Inputs
	how := r.options.Reduce
	if how == wordAuto {
		how = wordNone
		if r.problem.M0 < d { // also where it is not known: the spectrum says
			how = wordGradients
		}
	}
	if how == wordNone {
		r.report.finish("no reduction: d = %d", d)
		return nil
	}
	wanted := r.problem.M0
	if wanted == 0 || wanted > d {
		wanted = d
	}
	n := r.options.ReducePoints
	if n == 0 {
		n = 2*wanted + 10
	}
	radius := r.options.ReduceRadius * math.Sqrt(float64(d))
	points := draw(r.rng, wordGaussian, n, d, radius)
	kind := atLeastCentral(r.options.Stencil)
	step, err := r.step(ctx, kind)
	if err != nil {
		return err
	}
	var samples *mat.Dense // rows span the space
	if how == wordGradients {
		// The balance for first differences: truncation h^2, noise / h.
		h := math.Cbrt(r.noise)
		if r.options.Step > 0 {
			h = r.options.Step
		}
		if err := within(points, nil, r.problem.Domain, h); err != nil {
			return err
		}
		if samples, err = gradients(ctx, r.problem.Oracle, nil, points, h); err != nil {
			return err
		}
	} else {
		if err := within(points, nil, r.problem.Domain, 2*step); err != nil {
			return err
		}
		list, err := hessians(ctx, r.problem.Oracle, nil, points, kind, step, func(done, total int) { r.report.progress(done, total, "Hessians") })
		if err != nil {
			return err
		}
		samples = mat.NewDense(n*d, d, nil)
		for k, h := range list {
			for i := range d {
				for j := range d {
					samples.Set(k*d+i, j, h.At(i, j))
				}
			}
		}
	}
	var svd mat.SVD
	if !svd.Factorize(samples, mat.SVDThinV) {
		return fault.New(fault.Internal, "the singular value decomposition of the %s did not converge", how)
	}
	spectrum := svd.Values(nil)
	r.state.ReductionSpectrum = spectrum
	if !(spectrum[0] > 0) {
		return fault.New(fault.Unsupported, "all %s vanish: f looks constant", how)
	}
	rank := subspace.LargestGap(spectrum)
	gap := math.Inf(1)
	if rank < len(spectrum) && spectrum[rank] > 0 {
		gap = spectrum[rank-1] / spectrum[rank]
	}
	if r.problem.M0 > 0 && r.problem.M0 < d {
		rank = min(r.problem.M0, len(spectrum))
	} else if rank >= d || gap < clearGap {
		r.report.finish("the spectrum of %d %s has no gap (largest ratio %.1e, below %.0e): no reduction, d = %d", n, how, gap, float64(clearGap), d)
		return nil
	}
	if rank >= d {
		r.report.finish("no reduction: d = %d", d)
		return nil
	}
	if rank < len(spectrum) {
		gap = spectrum[rank-1] / math.Max(spectrum[rank], 1e-300)
	}
	var v mat.Dense
	svd.VTo(&v)
	r.state.Reduction = mat.DenseCopyOf(v.Slice(0, d, 0, rank))
	r.report.finish("from %d to %d dimensions, by %d %s, gap %.1e", d, rank, n, how, gap)
	return nil
}
