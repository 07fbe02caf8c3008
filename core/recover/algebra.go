package recover

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// Gap returns how many of the singular values (descending) are signal: those before the largest drop that ends below
// floor times the largest, and whether at least surplus values lie behind that drop. Drops among the large values say
// nothing: units of very different weight are all signal.
func Gap(values []float64, floor float64, surplus int) (rank int, clear bool) {
	best := 0.0
	for k := 0; k+1 < len(values); k++ {
		if values[k+1] > floor*values[0] {
			continue
		}
		if drop := values[k] / math.Max(values[k+1], 1e-16*values[0]); drop > best {
			best, rank = drop, k+1
		}
		if values[k] < 1e-3*floor*values[0] { // what follows is rounding
			break
		}
	}
	if rank == 0 {
		return len(values), false
	}
	return rank, len(values)-rank >= surplus && best > 10
}

// partition splits 0..n-1 at random into groups of about n/parts, at least one each.
func partition(rng *rand.Rand, n, parts int) [][]int {
	return regroup(rng.Perm(n), max(1, n/parts))
}

// regroup splits the indices into groups of at most size.
func regroup(indices []int, size int) [][]int {
	var groups [][]int
	for g := range slices.Chunk(indices, max(1, size)) {
		groups = append(groups, g)
	}
	return groups
}

func all(n int) []int {
	indices := make([]int, n)
	for i := range indices {
		indices[i] = i
	}
	return indices
}

func complement(n int, indices []int) []int { return without(all(n), indices) }

func without(indices, excluded []int) []int {
	var kept []int
	for _, i := range indices {
		if !slices.Contains(excluded, i) {
			kept = append(kept, i)
		}
	}
	return kept
}

func rows(m *mat.Dense, indices []int) *mat.Dense {
	_, c := m.Dims()
	r := mat.NewDense(len(indices), c, nil)
	for k, i := range indices {
		r.SetRow(k, m.RawRowView(i))
	}
	return r
}

func column(m *mat.Dense, k int, indices []int) []float64 {
	c := make([]float64, len(indices))
	for j, i := range indices {
		c[j] = m.At(i, k)
	}
	return c
}

// columnSpace returns the left singular vectors and the singular values of m.
func columnSpace(m *mat.Dense) (*mat.Dense, []float64, error) {
	var svd mat.SVD
	if !svd.Factorize(m, mat.SVDThin) {
		return nil, nil, fault.New(fault.Unsupported, "a singular value decomposition did not converge: numbers in it are too far apart, or none")
	}
	var u mat.Dense
	svd.UTo(&u)
	return &u, svd.Values(nil), nil
}

// solve is least squares; ill-conditioning is accepted, the callers' residuals tell.
func solve(x *mat.Dense, a, b mat.Matrix) error {
	err := x.Solve(a, b)
	if _, ill := err.(mat.Condition); ill && !math.IsInf(float64(err.(mat.Condition)), 1) {
		return nil
	}
	if err != nil {
		return fault.New(fault.Unsupported, "a least squares problem is singular: %w", err)
	}
	return nil
}

func leastSquares(a *mat.Dense, b []float64) ([]float64, error) {
	var x mat.Dense
	if err := solve(&x, a, mat.NewDense(len(b), 1, b)); err != nil {
		return nil, err
	}
	return mat.Col(nil, 0, &x), nil
}

// spread picks count of the candidate rows of m by QR with pivoting (modified Gram-Schmidt, restarted when the rank is
// used up), so that they determine the column space well.
func spread(m *mat.Dense, candidates []int, count int) []int {
	_, c := m.Dims()
	left := slices.Clone(candidates)
	var chosen []int
	for len(chosen) < count && len(left) > 0 {
		work := rows(m, left)
		for range c {
			if len(chosen) == count || len(left) == 0 {
				break
			}
			best, at := -1.0, 0
			for k := range left {
				if n := mat.Norm(work.RowView(k), 2); n > best {
					best, at = n, k
				}
			}
			chosen = append(chosen, left[at])
			pivot := mat.VecDenseCopyOf(work.RowView(at))
			pivot.ScaleVec(1/math.Max(best, 1e-300), pivot)
			left = slices.Delete(left, at, at+1)
			var next *mat.Dense
			if len(left) > 0 {
				next = mat.NewDense(len(left), c, nil)
				for k, j := 0, 0; j <= len(left); j++ {
					if j == at {
						continue
					}
					row := mat.VecDenseCopyOf(work.RowView(j))
					row.AddScaledVec(row, -mat.Dot(row, pivot), pivot)
					next.SetRow(k, row.RawVector().Data)
					k++
				}
			}
			work = next
		}
	}
	return chosen
}

// congruent returns the symmetric N (m1 x m1) with U N U^T equal to h off the diagonal, in the least squares sense.
func congruent(u, h *mat.Dense) (*mat.Dense, error) {
	n, m1 := u.Dims()
	var a [][]float64
	var b []float64
	for i := range n {
		for j := range i {
			row := make([]float64, 0, m1*(m1+1)/2)
			for p := range m1 {
				for q := range p + 1 {
					w := u.At(i, p) * u.At(j, q)
					if p != q {
						w += u.At(i, q) * u.At(j, p)
					}
					row = append(row, w)
				}
			}
			a = append(a, row)
			b = append(b, h.At(i, j))
		}
	}
	matrix := mat.NewDense(len(a), len(a[0]), nil)
	for k, row := range a {
		matrix.SetRow(k, row)
	}
	x, err := leastSquares(matrix, b)
	if err != nil {
		return nil, err
	}
	result := mat.NewDense(m1, m1, nil)
	for p, k := 0, 0; p < m1; p++ {
		for q := range p + 1 {
			result.Set(p, q, x[k])
			result.Set(q, p, x[k])
			k++
		}
	}
	return result, nil
}

// minimize returns the minimiser of f over [low, high]: a scan of the given number of intervals, then golden section.
func minimize(f func(float64) float64, low, high float64, scan int) float64 {
	best, least := low, math.Inf(1)
	step := (high - low) / float64(scan)
	for k := range scan + 1 {
		x := low + step*float64(k)
		if y := f(x); y < least {
			best, least = x, y
		}
	}
	low, high = best-step, best+step
	const golden = 0.6180339887498949
	x1, x2 := high-golden*(high-low), low+golden*(high-low)
	f1, f2 := f(x1), f(x2)
	for range 50 {
		if f1 < f2 {
			high, x2, f2 = x2, x1, f1
			x1 = high - golden*(high-low)
			f1 = f(x1)
		} else {
			low, x1, f1 = x1, x2, f2
			x2 = low + golden*(high-low)
			f2 = f(x2)
		}
	}
	return (low + high) / 2
}

func norm(v []float64) float64 { return floats.Norm(v, 2) }

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
