package fastlapack

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

const (
	// leaf is the order up to which implicit QL iterations are faster than dividing.
	leaf = 24
	// epsilon is the distance from 1 to the next number, halved: the relative error of a rounded operation.
	epsilon = 0x1p-53
)

// divide replaces the diagonal d of a symmetric tridiagonal matrix, e beside it, by its eigenvalues, in no order, and puts
// the eigenvectors into the rows of q, which is zero before. e is destroyed.
//
// The matrix is torn in two, T = diag(T1, T2) + |b| u u^T with u two entries of one, and the eigenvectors of the whole follow
// from those of the halves (Cuppen, Numer. Math. 36, 1981; in the stable form of Gu and Eisenstat, SIAM J. Matrix Anal. Appl.
// 16, 1995).
func divide(n int, d, e []float64, q blas64.General) bool {
	if n <= leaf {
		for k := range n {
			q.Data[k*q.Stride+k] = 1
		}
		return iterate(n, d, e, q)
	}
	half := n / 2
	beside := e[half-1]
	d[half-1] -= math.Abs(beside)
	d[half] -= math.Abs(beside)
	corner := q
	corner.Data = q.Data[half*q.Stride+half:]
	if !divide(half, d[:half], e[:half], q) || !divide(n-half, d[half:], e[half:], corner) {
		return false
	}
	z := make([]float64, n)
	for k := range half {
		z[k] = q.Data[k*q.Stride+half-1]
	}
	for k := half; k < n; k++ {
		z[k] = math.Copysign(1, beside) * q.Data[k*q.Stride+half]
	}
	return conquer(half, d, z, math.Abs(beside), q)
}

// iterate is divide by QL iterations with implicit shifts (Dubrulle, Martin, Wilkinson, Numer. Math. 12, 1968); the rows of q
// are rotated as they are.
func iterate(n int, d, e []float64, q blas64.General) bool {
	row := func(k int) []float64 { return q.Data[k*q.Stride:][:n] }
	for l := range n {
		for tries := 0; ; tries++ {
			m := l
			for m < n-1 && math.Abs(e[m]) > epsilon*(math.Abs(d[m])+math.Abs(d[m+1])) {
				m++
			}
			if m == l {
				break
			}
			if tries == 60 {
				return false
			}
			g := (d[l+1] - d[l]) / (2 * e[l])
			g = d[m] - d[l] + e[l]/(g+math.Copysign(math.Sqrt(g*g+1), g))
			if math.IsNaN(g) || math.IsInf(g, 0) { // e[l] far below the difference: no shift to speak of
				g = d[m] - d[l]
			}
			sine, cosine, shift, split := 1.0, 1.0, 0.0, false
			for i := m - 1; i >= l; i-- {
				f, b := sine*e[i], cosine*e[i]
				r := math.Sqrt(f*f + g*g)
				e[i+1] = r
				if r == 0 { // the matrix has come apart here
					d[i+1] -= shift
					e[m] = 0
					split = true
					break
				}
				sine, cosine = f/r, g/r
				g = d[i+1] - shift
				r = (d[i]-g)*sine + 2*cosine*b
				shift = sine * r
				d[i+1] = g + shift
				g = cosine*r - b
				rotate(row(i+1), row(i), cosine, sine)
			}
			if split {
				continue
			}
			d[l] -= shift
			e[l] = g
			if m < n-1 {
				e[m] = 0
			}
		}
	}
	return true
}

// rotate replaces x by c x + s y and y by c y - s x.
func rotate(x, y []float64, c, s float64) {
	y = y[:len(x)]
	for k, v := range x {
		u := y[k]
		x[k] = c*v + s*u
		y[k] = c*u - s*v
	}
}

// conquer replaces d and the rows of q, whose first half rows are zero but in the first half columns and the others there
// only, by the eigenvalues of diag(d) + rho z z^T and the rows its eigenvectors make of q.
func conquer(half int, d, z []float64, rho float64, q blas64.General) bool {
	n := len(d)
	row := func(k int) []float64 { return q.Data[k*q.Stride:][:n] }
	length := blas64.Nrm2(vector(z))
	if length == 0 || rho == 0 {
		return true
	}
	blas64.Scal(1/length, vector(z))
	rho *= length * length

	order := make([]int, n)
	largest := 0.0
	for k := range order {
		order[k] = k
		largest = max(largest, math.Abs(d[k]), math.Abs(z[k]))
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case d[i] < d[j]:
			return -1
		case d[i] > d[j]:
			return 1
		}
		return 0
	})
	// Deflation: what z does not touch is an eigenvector already; of two equal eigenvalues, a rotation takes one out.
	const top, bottom, both = 1, 2, 3
	kind := make([]int, n)
	tolerance := 16 * epsilon * largest
	var live []int
	previous := -1
	for _, k := range order {
		kind[k] = top
		if k >= half {
			kind[k] = bottom
		}
		if rho*math.Abs(z[k]) <= tolerance {
			continue
		}
		if previous >= 0 {
			r := math.Hypot(z[k], z[previous])
			c, s := z[k]/r, -z[previous]/r
			if math.Abs((d[k]-d[previous])*c*s) <= tolerance {
				z[k], z[previous] = r, 0
				rotate(row(previous), row(k), c, s)
				d[previous], d[k] = c*c*d[previous]+s*s*d[k], s*s*d[previous]+c*c*d[k]
				kind[k] |= kind[previous]
				kind[previous] = kind[k]
			} else {
				live = append(live, previous)
			}
		}
		previous = k
	}
	if previous >= 0 {
		live = append(live, previous)
	}
	count := len(live)
	if count == 0 {
		return true
	}
	poles, weights := make([]float64, count), make([]float64, count)
	for i, k := range live {
		poles[i], weights[i] = d[k], z[k]
	}
	values, differences := make([]float64, count), make([]float64, count*count)
	for j := range count {
		if !secular(j, poles, weights, rho, &values[j], differences[j*count:(j+1)*count]) {
			return false
		}
	}
	// The z of which the values found are the eigenvalues exactly: with it the vectors are orthogonal to rounding.
	exact := make([]float64, count)
	for i := range exact {
		exact[i] = -differences[i*count+i]
	}
	for j := range count {
		across := differences[j*count : (j+1)*count]
		for i, pole := range poles[:j] {
			exact[i] *= across[i] / (pole - poles[j])
		}
		for i := j + 1; i < count; i++ {
			exact[i] *= across[i] / (poles[i] - poles[j])
		}
	}
	for i, v := range exact {
		exact[i] = math.Copysign(math.Sqrt(math.Abs(v)), weights[i])
	}
	// Rows that are zero in the same half stand together, so that the products spare the zeros.
	var place []int
	for _, want := range []int{top, both, bottom} {
		for i, k := range live {
			if kind[k] == want {
				place = append(place, i)
			}
		}
	}
	first, second := 0, 0 // rows with a part in the first half; rows before those with a part in the second
	upper, lower := make([]float64, 0, count*half), make([]float64, 0, count*(n-half))
	for _, i := range place {
		k := live[i]
		if kind[k]&top != 0 {
			upper = append(upper, row(k)[:half]...)
			first++
		}
		if kind[k]&bottom != 0 {
			lower = append(lower, row(k)[half:]...)
		} else {
			second++
		}
	}
	mixing, entries := make([]float64, count*count), make([]float64, count)
	for j := range count {
		across := differences[j*count : (j+1)*count]
		for i := range entries {
			entries[i] = exact[i] / across[i]
		}
		size := 1 / blas64.Nrm2(vector(entries))
		out := mixing[j*count : (j+1)*count]
		for at, i := range place {
			out[at] = entries[i] * size
		}
	}
	mixed := make([]float64, count*n)
	product := func(from, to, columns, at int, rows []float64) {
		if to > from && columns > 0 {
			blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, blas64.General{Rows: count, Cols: to - from, Stride: count, Data: mixing[from:]},
				blas64.General{Rows: to - from, Cols: columns, Stride: columns, Data: rows}, 0,
				blas64.General{Rows: count, Cols: columns, Stride: n, Data: mixed[at:]})
		}
	}
	product(0, first, half, 0, upper)
	product(second, count, n-half, half, lower)
	for j, k := range live {
		copy(row(k), mixed[j*n:(j+1)*n])
		d[k] = values[j]
	}
	return true
}

// secular finds the j-th zero from below of 1/rho + sum_i z_i^2 / (p_i - x), which lies between the ascending poles p_j and
// p_j+1, or above the last by rho at most as |z| = 1. It stores the zero and all p_i - x, the latter to full relative accuracy:
// x is measured from the nearer pole. A step replaces the terms on each side of x by one with the nearest pole there and
// their value and slope (Bunch, Nielsen, Sorensen, Numer. Math. 31, 1978); where that leaves the bracket, it is halved.
func secular(j int, poles, z []float64, rho float64, value *float64, differences []float64) bool {
	last := len(poles) - 1
	// evaluate returns the function, the slopes of what is left and right of x, and a bound of what rounding does to the value.
	evaluate := func(x float64) (f, left, right, bound float64) {
		below, above := 0.0, 0.0
		for i, w := range z[:j+1] {
			t := w / (differences[i] - x)
			below += w * t
			left += t * t
		}
		for i := j + 1; i <= last; i++ {
			t := z[i] / (differences[i] - x)
			above += z[i] * t
			right += t * t
		}
		f = 1/rho + below + above
		bound = 1/rho + 8*(above-below) + math.Abs(x)*(left+right)
		return f, left, right, bound
	}
	from := func(origin float64) {
		for i, p := range poles {
			differences[i] = p - origin
		}
	}
	origin, low, high := poles[j], 0.0, rho
	from(origin)
	if j < last {
		gap := differences[j+1]
		high = gap / 2
		if f, _, _, _ := evaluate(high); f < 0 { // the zero is nearer to the next pole
			origin, low, high = poles[j+1], -gap/2, 0
			from(origin)
		}
	}
	x := low + (high-low)/2
	for range 200 {
		f, left, right, bound := evaluate(x)
		if math.Abs(f) <= epsilon*bound {
			break
		}
		if f < 0 {
			low = x
		} else {
			high = x
		}
		a := differences[j] - x
		var next float64
		if j == last {
			// c + s / (a - eta) = 0 with the value and the slope at eta = 0.
			s := a * a * left
			next = x + a + s/(f-a*left)
		} else {
			b := differences[j+1] - x
			c := f - a*left - b*right
			p, q := c*(a+b)+a*a*left+b*b*right, a*b*f
			root := math.Sqrt(math.Max(0, p*p-4*q*c))
			if p <= 0 {
				next = x + (p-root)/(2*c)
			} else {
				next = x + 2*q/(p+root)
			}
		}
		if !(next > low && next < high) {
			next = low + (high-low)/2
			if !(next > low && next < high) {
				break // nothing between
			}
		}
		if next == x {
			break
		}
		x = next
	}
	*value = origin + x
	for i := range differences {
		differences[i] -= x
		if differences[i] == 0 {
			return false
		}
	}
	return true
}
