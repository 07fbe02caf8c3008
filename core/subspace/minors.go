package subspace

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// MostMinors is the largest dimension for which [Minors] is worth its time: the matrix is of order m(m+1)/2.
const MostMinors = 45

// Minors returns the eigenvalues, ascending, of the equations that the 2 x 2 minors make for rank-one matrices. A matrix
// M = sum_k alpha_k E_k of the subspace has rank one where its minors vanish: quadratic equations in alpha, linear ones in
// C = alpha alpha^T. Written out, with E_k an orthonormal basis and the norm of the minors divided by 2, they are
//
//	<C, G C>,  G_kl,pq = delta_kp delta_lq + delta_kq delta_lp - tr(E_k E_q E_l E_p) - tr(E_k E_p E_l E_q),
//
// so that <C, G C> = 2 (1 - tr M^4) for |M|_F = 1, which is 0 for rank one and about 4 rho^2 at a distance rho from one.
// For rank-ones in general position that span the subspace the null space of G, over symmetric C, is spanned by their
// alpha alpha^T: its dimension is their number. See De Lathauwer, SIAM J. Matrix Anal. Appl. 28 (2006), and Johnston,
// Lovitz, Vijayaraghavan, arXiv 2212.03851.
func Minors(s *Subspace) ([]float64, error) {
	m, d := s.Dimension(), s.Dim
	if m > MostMinors {
		return nil, fault.New(fault.Unsupported, "the minors of a subspace of dimension %d are too many: %d is the most", m, MostMinors)
	}
	elements := make([]*mat.SymDense, m)
	for k := range elements {
		elements[k] = s.Element(k)
	}
	products := mat.NewDense(m*m, d*d, nil) // row k m + q: E_k E_q
	var product mat.Dense
	for k := range m {
		for q := range m {
			product.Mul(elements[k], elements[q])
			for i := range d {
				copy(products.RawRowView(k*m + q)[i*d:(i+1)*d], product.RawRowView(i))
			}
		}
	}
	// tr(E_k E_q E_l E_p) is the inner product of E_k E_q and E_p E_l.
	var traces mat.Dense
	traces.Mul(products, products.T())
	trace := func(k, q, l, p int) float64 { return traces.At(k*m+q, p*m+l) }
	var pairs [][2]int
	for k := range m {
		for l := k; l < m; l++ {
			pairs = append(pairs, [2]int{k, l})
		}
	}
	gram := mat.NewSymDense(len(pairs), nil)
	for row, a := range pairs {
		for column := row; column < len(pairs); column++ {
			b := pairs[column]
			k, l, p, q := a[0], a[1], b[0], b[1]
			value := -trace(k, q, l, p) - trace(k, p, l, q)
			if k == p && l == q {
				value++
			}
			if k == q && l == p {
				value++
			}
			// Isometric coordinates of C: sqrt(2) off the diagonal.
			for _, pair := range [][2]int{a, b} {
				if pair[0] != pair[1] {
					value *= math.Sqrt2
				}
			}
			gram.SetSym(row, column, value)
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, false) {
		return nil, fault.New(fault.Internal, "the eigenvalues of the minors' equations did not converge")
	}
	return eigen.Values(nil), nil
}
