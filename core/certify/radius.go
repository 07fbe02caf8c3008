package certify

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/gram"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Radius is what Newton and Kantorovich's theorem says about zeros near the network found (docs/exact.md, section 5, has the
// equations, and what is and is not proven): if H is at most 1/2, then for all errors of the answers that are no larger than assumed there
// is exactly one network within Unique that answers so, in the sense of least squares, and it is within Within.
type Radius struct {
	Given bool `json:"given"`
	// Within bounds the distance of that network: of every unit's parameters, relative to the norm of its weights.
	Within float64 `json:"within"`
	// Unique is the distance, in the same sense, up to which there is no other.
	Unique float64 `json:"unique"`
	// H is Residual Curvature / Singular^2; no more than 1/2 where the radius is given.
	H         float64 `json:"h"`
	Singular  float64 `json:"singular"`  // at most the smallest singular value of the Jacobian, over the largest length of a column
	Curvature float64 `json:"curvature"` // at least how fast the Jacobian changes, in the same units
	Residual  float64 `json:"residual"`  // at least the norm of the residuals, of their rounding and of the errors of the answers
	Reason    string  `json:"reason,omitempty"`
}

const (
	unit = 1.0 / (1 << 53) // the largest relative error of an operation
	// slack multiplies the largest error of a compiled activation that was met, over the largest magnitude nearby: it was looked for at
	// random points, and the activation has errors of its own. leastTable is the least that is assumed.
	slack      = 2
	leastTable = 4.5e-16
	// ballSize is the radius, relative to each unit, of the ball in which curvature is bounded.
	ballSize = 1e-2
	// chance is by how many standard deviations the norm of Gaussian errors may exceed its mean: by more in one case of 10^6.
	chance = 5.3
)

// gamma bounds the relative error of a sum of n products, in any order (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
func gamma(n int) float64 { return float64(n) * unit / (1 - float64(n)*unit) }

// bounds are suprema of the first three derivatives of g and h, and the relative error of their values.
type bounds struct{ g1, g2, g3, h1, h2, h3, table float64 }

// known is what compiled activations know of themselves.
type known interface {
	Bound(order int) float64
	Error(order int) float64
}

// suprema asks the functions for their bounds, +Inf where they don't know any.
func suprema(g, h core.Function) bounds {
	b := bounds{table: leastTable}
	ask := func(f core.Function) (first, second, third float64) {
		k, ok := f.(known)
		if !ok {
			return math.Inf(1), math.Inf(1), math.Inf(1)
		}
		for order := range 2 {
			b.table = math.Max(b.table, slack*k.Error(order))
		}
		return k.Bound(1), k.Bound(2), k.Bound(3)
	}
	b.g1, b.g2, b.g3 = ask(g)
	b.h1, b.h2, b.h3 = ask(h)
	return b
}

// radius applies the theorem at n. It overwrites t.r.
func (t *triangle) radius(n *network.Network, g, h core.Function, data refine.Data, excess float64) *Radius {
	s := suprema(g, h)
	if most := math.Max(math.Max(s.g1, s.g2), math.Max(s.h1, s.h2)); math.IsInf(most, 1) {
		return &Radius{Reason: "no bound of the activation's first and second derivatives is known"}
	}
	smallest := t.smallest(len(data.Y))
	if !(smallest > 0) {
		return &Radius{Reason: fmt.Sprintf("with a condition number of %.1e, rounding hides whether the Jacobian is singular", t.condition)}
	}
	spread, pack := spans(n, t.scale)
	a := analysis{n: n, bounds: s, scale: t.scale, ball: ballSize / spread}
	curvature, jacobian, residual := a.rows(g, h, data)
	r := &Radius{
		Singular:  smallest - jacobian,
		Curvature: curvature,
		Residual:  residual + (math.Sqrt(float64(len(data.Y)))+chance)*math.Max(1, excess),
	}
	if !(r.Singular > 0) {
		r.Reason = fmt.Sprintf("with a condition number of %.1e, rounding hides whether the Jacobian is singular", t.condition)
		return r
	}
	r.H = r.Residual * r.Curvature / (r.Singular * r.Singular)
	if !(r.H <= 0.5) {
		r.Reason = fmt.Sprintf("residual times curvature over the square of the smallest singular value is %.1e; Newton and Kantorovich's theorem needs 1/2", r.H)
		return r
	}
	root := math.Sqrt(1 - 2*r.H)
	within, unique := 2*r.Residual/r.Singular/(1+root), math.Min(a.ball, r.Singular/r.Curvature*(1+root))
	if within > unique {
		r.Reason = fmt.Sprintf("it would be %.1e, and curvature is bounded within %.0e only", within*spread, ballSize)
		return r
	}
	r.Given, r.Within, r.Unique = true, within*spread, unique*pack
	return r
}

// smallest returns a lower bound of the smallest singular value of the Jacobian as it is stored, its columns scaled, of so many rows; 0
// when rounding hides it. Where a Cholesky decomposition of A - mu 1 runs to its end, no eigenvalue of A is less than mu - gamma tr A (Rump,
// "Verification of positive definiteness", BIT 46, 2006), and A differs from J^T J by rounding.
func (t *triangle) smallest(rows int) float64 {
	p := t.r.N
	trace := 0.0
	for i := range p {
		trace += t.normal.Data[i*t.normal.Stride+i]
	}
	rounding := 1.01 * (gamma(p+2)/(1-gamma(p+2)) + gamma(rows+4) + 4*unit) * trace
	estimate := 1 / power(p, t.solve)
	for _, fraction := range []float64{0.9, 0.6, 0.3} {
		mu := fraction * estimate
		if !(mu > rounding) {
			return 0
		}
		copy(t.r.Data, t.normal.Data)
		for i := range p {
			t.r.Data[i*t.r.Stride+i] -= mu
		}
		if gram.Cholesky(blas64.Symmetric{Uplo: blas.Upper, N: p, Stride: t.r.Stride, Data: t.r.Data}) {
			return math.Sqrt(mu-rounding) * (1 - 1e-12)
		}
	}
	return 0
}

// spans compares the norm of scaled parameters with distances relative to units: the first factor times the norm bounds the largest
// relative distance of a unit, and whatever is nearer than the second factor times a norm, in every unit, is within that norm.
func spans(n *network.Network, scale []float64) (spread, pack float64) {
	m0, m1 := n.Sizes()
	d := n.Inputs()
	sum := 0.0
	add := func(norm float64, at ...int) {
		most, least := 0.0, math.Inf(1)
		for _, k := range at {
			most, least = math.Max(most, scale[k]), math.Min(least, scale[k])
		}
		spread = math.Max(spread, most/norm)
		sum += math.Pow(norm/least, 2)
	}
	theta := m0 * d
	b := theta + m0
	tau := b + m0*m1
	out := tau + m1
	for i := range m0 {
		add(floats.Norm(n.First.Weight.RawRowView(i), 2), append(between(i*d, (i+1)*d), theta+i)...)
	}
	for l := range m1 {
		add(floats.Norm(n.Second.Weight.RawRowView(l), 2), append(between(b+l*m0, b+(l+1)*m0), tau+l)...)
		add(math.Abs(n.Output[l]), out+l)
	}
	add(floats.Norm(n.Output, 2), out+m1)
	return spread, 1 / math.Sqrt(sum)
}

func between(from, to int) []int {
	s := make([]int, to-from)
	for i := range s {
		s[i] = from + i
	}
	return s
}

// analysis bounds derivatives and rounding errors of f, row by row.
type analysis struct {
	n      *network.Network
	bounds bounds
	scale  []float64 // of the parameters
	ball   float64   // radius within which the bounds hold, of the scaled parameters
}

// rows returns upper bounds: of how fast the Jacobian changes, of the norm of its rounding errors, and of that of the residuals
// with their rounding errors, all over sigma. Sums of bounds are not rounded upwards: the last factor makes up for it.
func (a *analysis) rows(g, h core.Function, data refine.Data) (curvature, jacobian, residual float64) {
	n, s := a.n, a.bounds
	m0, m1 := n.Sizes()
	d := n.Inputs()
	total, _ := data.X.Dims()
	part := func(at, rows, columns int) *mat.Dense {
		return mat.NewDense(rows, columns, append([]float64(nil), a.scale[at:at+rows*columns]...))
	}
	sA, sTheta := part(0, m0, d), a.scale[m0*d:m0*d+m0]
	sB, rest := part(m0*d+m0, m1, m0), a.scale[m0*d+m0+m0*m1:]
	sTau, sC := rest[:m1], rest[m1:2*m1]
	b, absB := mat.NewDense(m1, m0, nil), magnitude(n.Second.Weight)
	b.Apply(func(l, i int, v float64) float64 { return v + a.ball*sB.At(l, i) }, absB)
	c := make([]float64, m1)
	for l, v := range n.Output {
		c[l] = math.Abs(v) + a.ball*sC[l]
	}

	// x_i bounds how much u_i moves with its unit, errU how far its value is from what was computed; g1 and g2 bound |g'| and |g”| there.
	x := product(squares(data.X), squares(sA))
	errU := product(magnitude(data.X), magnitude(n.First.Weight))
	at := pre(data.X, n.First)
	z, g1, g2 := mat.NewDense(total, m0, nil), mat.NewDense(total, m0, nil), mat.NewDense(total, m0, nil)
	for order, m := range []*mat.Dense{z, g1, g2} {
		g.Apply(order, m.RawMatrix().Data, at.RawMatrix().Data)
	}
	errZ, wide := mat.NewDense(total, m0, nil), mat.NewDense(total, m0, nil) // |z_i| in the ball
	slide, bend := mat.NewDense(total, m0, nil), mat.NewDense(total, m0, nil)
	for r := range total {
		for i := range m0 {
			move := math.Sqrt(x.At(r, i) + sTheta[i]*sTheta[i])
			x.Set(r, i, move)
			e := gamma(d+3) * (errU.At(r, i) + math.Abs(n.First.Bias[i]))
			errU.Set(r, i, e)
			first := math.Min(s.g1, math.Abs(g1.At(r, i))+s.table*s.g1+s.g2*(move*a.ball+e))
			second := math.Min(s.g2, math.Abs(g2.At(r, i))+s.table*s.g2+s.g3*(move*a.ball+e))
			g1.Set(r, i, first)
			g2.Set(r, i, second)
			slide.Set(r, i, first*move)
			bend.Set(r, i, second*move*move)
			errZ.Set(r, i, first*e+s.table*(math.Abs(z.At(r, i))+s.g1))
			wide.Set(r, i, math.Abs(z.At(r, i))+s.g1*move*a.ball+errZ.At(r, i))
		}
	}
	t2 := product(squares(wide), squares(sB))     // + sTau^2: how much p_l moves with its own parameters
	u2 := product(squares(slide), squares(b))     // and with those of the first layer
	bent := product(squares(bend), squares(b))    // bounds max_i |b_li| |g''| x_i^2
	mixed := product(squares(slide), squares(sB)) // bounds max_i s_li |g'| x_i
	errP := product(errZ, absB)                   // + rounding of the sum
	sumP := product(magnitude(z), absB)
	errB := product(squares(errZ), squares(sB)) // of the entries of J for b_li, over |c_l h'|
	p := pre(z, n.Second)
	out, hFirst, hSecond := mat.NewDense(total, m1, nil), mat.NewDense(total, m1, nil), mat.NewDense(total, m1, nil)
	for order, m := range []*mat.Dense{out, hFirst, hSecond} {
		h.Apply(order, m.RawMatrix().Data, p.RawMatrix().Data)
	}
	found := n.Evaluate(g, h, data.X)

	const most = 1 + 1e-6
	errS, slope := make([]float64, m1), make([]float64, m1)
	for r := range total {
		aa, k2, j2, value, errF := 0.0, 0.0, 0.0, math.Abs(n.OutputBias), 0.0
		for l := range m1 {
			t := math.Sqrt(t2.At(r, l) + sTau[l]*sTau[l])
			u := math.Sqrt(u2.At(r, l))
			eP := errP.At(r, l) + gamma(m0+3)*(sumP.At(r, l)+math.Abs(n.Second.Bias[l]))
			move := math.Hypot(t, u)*a.ball + eP
			h1 := math.Min(s.h1, math.Abs(hFirst.At(r, l))+s.table*s.h1+s.h2*move)
			h2 := math.Min(s.h2, math.Abs(hSecond.At(r, l))+s.table*s.h2+s.h3*move)
			aa += c[l] * (h2*u*u + h1*math.Sqrt(bent.At(r, l)))
			ab := c[l] * (h2*t*u + h1*math.Sqrt(mixed.At(r, l)))
			bb := c[l] * h2 * t * t
			k2 += 2*ab*ab + bb*bb + 2*math.Pow(sC[l]*h1, 2)*(u*u+t*t)

			eH := h1*eP + s.table*(math.Abs(out.At(r, l))+s.h1)
			slope[l] = c[l] * h1
			errS[l] = c[l] * (h2*eP + (s.table+4*unit)*s.h1)
			errF += math.Abs(n.Output[l]) * eH
			value += math.Abs(n.Output[l] * out.At(r, l))
			j2 += math.Pow(t*errS[l], 2) + slope[l]*slope[l]*errB.At(r, l) + math.Pow(sC[l]*eH, 2)
		}
		for i := range m0 {
			through, slip := 0.0, 0.0
			for l := range m1 {
				through += slope[l] * b.At(l, i)
				slip += errS[l] * b.At(l, i)
			}
			e := (g2.At(r, i)*errU.At(r, i)+s.table*s.g1)*through + g1.At(r, i)*(slip+gamma(m1+6)*through)
			j2 += math.Pow(x.At(r, i)*e, 2)
		}
		weight := 1 / data.Sigma[r]
		errF += gamma(m1+3)*value + unit*(math.Abs(found[r])+math.Abs(data.Y[r]))
		curvature += weight * weight * (aa*aa + k2)
		jacobian += weight * weight * j2
		residual += math.Pow(weight*(math.Abs(found[r]-data.Y[r])+errF), 2)
	}
	return most * math.Sqrt(curvature), most * math.Sqrt(jacobian), most * math.Sqrt(residual)
}

// pre returns the pre-activations of a layer at the rows of x.
func pre(x *mat.Dense, l network.Layer) *mat.Dense {
	u := product(x, l.Weight)
	rows, _ := u.Dims()
	for r := range rows {
		floats.Add(u.RawRowView(r), l.Bias)
	}
	return u
}

// product is a b^T.
func product(a, b *mat.Dense) *mat.Dense {
	var m mat.Dense
	m.Mul(a, b.T())
	return &m
}

func squares(m *mat.Dense) *mat.Dense {
	var s mat.Dense
	s.MulElem(m, m)
	return &s
}

func magnitude(m *mat.Dense) *mat.Dense {
	var s mat.Dense
	s.Apply(func(_, _ int, v float64) float64 { return math.Abs(v) }, m)
	return &s
}
