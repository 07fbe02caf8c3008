package paper

import (
	"context"
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/subspace"
)

// attribute says which of the accepted vectors are an a_i and which a v_l.
func (r *run) attribute(ctx context.Context) error {
	accepted := r.accepted()
	if len(accepted) == 0 {
		return fault.New(fault.Unsupported, "no candidate was accepted: there is nothing to attribute")
	}
	if r.problem.Shallow {
		r.state.First, r.state.Second = columns(accepted, r.order()), nil
		r.report.finish("one hidden layer: all %d vectors are of it", len(accepted))
		return nil
	}
	// How the criteria label the accepted vectors: true for an entangled one.
	labels := map[string][]bool{}
	for _, criterion := range []string{AttributeSaturation, AttributeDrift} {
		if r.options.Attribution != criterion && r.options.Attribution != AttributeBoth {
			continue
		}
		ask := r.saturation
		if criterion == AttributeDrift {
			ask = r.drift
		}
		order, evidence, err := ask(ctx, accepted)
		if err != nil {
			return err
		}
		isSecond := make([]bool, len(accepted))
		for _, j := range order[:parting(evidence, r.problem.M0, r.problem.M1)] {
			isSecond[j] = true
		}
		labels[criterion] = isSecond
	}
	how := r.options.Attribution
	compared := ""
	if how == AttributeBoth {
		how = AttributeDrift
		same := 0
		for k := range accepted {
			if labels[AttributeDrift][k] == labels[AttributeSaturation][k] {
				same++
			}
		}
		r.result.measure("attribution_agreement", float64(same)/float64(len(accepted)))
		compared = fmt.Sprintf(" (%s, the paper's criterion, agrees on %d of %d)", AttributeSaturation, same, len(accepted))
	}
	isSecond := labels[how]
	r.result.Criteria = map[string][]int{}
	for criterion, list := range labels {
		_, k := r.state.Vectors.Dims()
		layers := make([]int, k)
		for k, j := range r.state.Accepted {
			layers[j] = 1
			if list[k] {
				layers[j] = 2
			}
		}
		r.result.Criteria[criterion] = layers
	}
	r.result.Layers = r.result.Criteria[how]
	var a, v [][]float64
	for k := range accepted {
		if isSecond[k] {
			v = append(v, accepted[k])
		} else {
			a = append(a, accepted[k])
		}
	}
	r.state.First, r.state.Second = columns(a, r.order()), columns(v, r.order())
	r.report.finish("by %s: %d vectors of the first layer, %d entangled ones%s", how, len(a), len(v), compared)
	return nil
}

func (r *run) accepted() [][]float64 {
	var list [][]float64
	for _, j := range r.state.Accepted {
		list = append(list, mat.Col(nil, j, r.state.Vectors))
	}
	return list
}

// parting returns how many of the vectors, the most entangled first, are of the second layer: m1 where everything was
// found, else where the evidence jumps most among the numbers that the sizes allow.
func parting(evidence []float64, m0, m1 int) int {
	k := len(evidence)
	low, high := 0, k
	if m0 > 0 {
		low = max(0, k-m0)
	}
	if m1 > 0 {
		high = min(m1, k)
	}
	if low >= high {
		return min(low, k)
	}
	best, jump := high, -1.0
	for s := low; s <= high; s++ {
		if s == 0 || s == k {
			continue
		}
		if ratio := evidence[s-1] / math.Max(evidence[s], 1e-300); ratio > jump {
			best, jump = s, ratio
		}
	}
	return best
}

// saturation is the paper's criterion, semi-heuristic in its own words: far out along an entangled v_l many units of the
// first layer saturate and gradients die; along an a_i that is nearly orthogonal to the others one unit does. The
// evidence is the inverse of the mean |grad f(t w)|^2 over t.
func (r *run) saturation(ctx context.Context, vectors [][]float64) ([]int, []float64, error) {
	n := r.order()
	reach, count := r.options.SaturationReach, r.options.SaturationPoints
	if _, err := r.step(ctx, r.options.Stencil); err != nil {
		return nil, nil, err
	}
	h := math.Cbrt(r.noise)
	points := mat.NewDense(len(vectors)*2*count, n, nil)
	for j, w := range vectors {
		for k := range count {
			t := reach * float64(k+1) / float64(count)
			floats.ScaleTo(points.RawRowView((j*count+k)*2), t, w)
			floats.ScaleTo(points.RawRowView((j*count+k)*2+1), -t, w)
		}
	}
	if err := within(points, r.state.Reduction, r.problem.Domain, h); err != nil {
		return nil, nil, err
	}
	g, err := gradients(ctx, r.problem.Oracle, r.state.Reduction, points, h)
	if err != nil {
		return nil, nil, err
	}
	score := make([]float64, len(vectors))
	for j := range vectors {
		for k := range 2 * count {
			norm := floats.Norm(g.RawRowView(j*2*count+k), 2)
			score[j] += norm * norm / float64(2*count)
		}
	}
	order := make([]int, len(vectors))
	for j := range order {
		order[j] = j
	}
	sort.SliceStable(order, func(a, b int) bool { return score[order[a]] < score[order[b]] })
	evidence := make([]float64, len(vectors))
	for k, j := range order {
		evidence[k] = 1 / math.Max(score[j], 1e-300)
	}
	return order, evidence, nil
}

// drift is our criterion: from base point to base point the a_i stay and the v_l(x) = A G_x b_l move. So what a Hessian
// elsewhere has outside the span of the rank-ones found near 0 is, to first order, a sum of symmetric products
// v_l (x) r with some r: products with the v_l alone. The v_l are chosen one by one, each time the vector whose
// products explain most of what is left (orthogonal matching pursuit by blocks); the evidence is what each explains.
func (r *run) drift(ctx context.Context, vectors [][]float64) ([]int, []float64, error) {
	n := r.order()
	radius, count := r.options.DriftRadius, r.options.DriftPoints
	if radius == 0 {
		radius = math.Sqrt(float64(n)) / 2
	}
	if count == 0 {
		count = 2 * n
	}
	h, err := r.step(ctx, r.options.Stencil)
	if err != nil {
		return nil, nil, err
	}
	points := draw(r.rng, wordSphere, count, n, radius)
	if err := within(points, r.state.Reduction, r.problem.Domain, 2*h); err != nil {
		return nil, nil, err
	}
	list, err := hessians(ctx, r.problem.Oracle, r.state.Reduction, points, r.options.Stencil, h, func(done, total int) {
		r.report.progress(done, total, "Hessians at other base points")
	})
	if err != nil {
		return nil, nil, err
	}
	order, evidence, explained, err := pursue(list, r.state.Vectors, vectors)
	if err != nil {
		return nil, nil, err
	}
	upTo := len(evidence)
	if r.problem.M1 > 0 {
		upTo = min(upTo, r.problem.M1)
	}
	r.result.measure("drift_explained", explained[upTo-1])
	r.report.progress(0, 0, fmt.Sprintf("%d vectors explain %.3f of what moves", upTo, explained[upTo-1]))
	return order, evidence, nil
}

// pursue orders the vectors by how much of what the Hessians have outside span{w w^T : w in all} their products explain.
func pursue(list []*mat.SymDense, all *mat.Dense, vectors [][]float64) (order []int, evidence, explained []float64, err error) {
	d := len(vectors[0])
	rows := subspace.SvecLen(d)
	span, err := subspace.FromRankOne(all)
	if err != nil {
		return nil, nil, nil, err
	}
	rest := mat.NewDense(rows, len(list), nil)
	for k, h := range list {
		rest.SetCol(k, subspace.Svec(h))
	}
	remove(rest, span.Basis)
	total := square(rest)
	blocks := make([]*mat.Dense, len(vectors))
	for j, w := range vectors {
		b := mat.NewDense(rows, d, nil)
		at := 0
		for x := range d {
			for y := x; y < d; y++ {
				if x == y {
					b.Set(at, x, 2*w[x])
				} else {
					b.Set(at, x, math.Sqrt2*w[y])
					b.Set(at, y, math.Sqrt2*w[x])
				}
				at++
			}
		}
		remove(b, span.Basis)
		blocks[j] = b
	}
	left := make([]int, len(vectors))
	for j := range left {
		left[j] = j
	}
	for len(left) > 0 {
		best, gain := -1, -1.0
		var basis *mat.Dense
		for k, j := range left {
			q := rangeOf(blocks[j])
			if q == nil {
				if best < 0 {
					best, gain = k, 0
				}
				continue
			}
			var c mat.Dense
			c.Mul(q.T(), rest)
			if g := square(&c); g > gain {
				best, gain, basis = k, g, q
			}
		}
		j := left[best]
		left = append(left[:best], left[best+1:]...)
		order = append(order, j)
		evidence = append(evidence, math.Max(gain, 0)/math.Max(total, 1e-300))
		if basis != nil && gain > 0 {
			remove(rest, basis)
			for _, k := range left {
				remove(blocks[k], basis)
			}
		}
		explained = append(explained, 1-square(rest)/math.Max(total, 1e-300))
		if len(order) > 12 && evidence[len(order)-1] < 1e-4 { // what is left is noise: its order means nothing
			for _, k := range left {
				order, evidence, explained = append(order, k), append(evidence, evidence[len(evidence)-1]/2), append(explained, explained[len(explained)-1])
			}
			break
		}
	}
	return order, evidence, explained, nil
}

// remove subtracts from the columns of m their part in the range of the orthonormal columns of q.
func remove(m, q *mat.Dense) {
	for range 2 {
		var c, in mat.Dense
		c.Mul(q.T(), m)
		in.Mul(q, &c)
		m.Sub(m, &in)
	}
}

func square(m *mat.Dense) float64 { n := mat.Norm(m, 2); return n * n }

// rangeOf returns an orthonormal basis of the range of m, nil when it is zero. The columns of a block have norms of order one.
func rangeOf(m *mat.Dense) *mat.Dense {
	var svd mat.SVD
	if !svd.Factorize(m, mat.SVDThinU) {
		return nil
	}
	values := svd.Values(nil)
	rank := 0
	for rank < len(values) && values[rank] > 1e-6 {
		rank++
	}
	if rank == 0 {
		return nil
	}
	var u mat.Dense
	svd.UTo(&u)
	rows, _ := u.Dims()
	return mat.DenseCopyOf(u.Slice(0, rows, 0, rank))
}
