// Package recover finds the second layer and the shifts once the first layer's directions are known. In latent
// coordinates, where every u_i = a_i . x + theta_i can be set at will, all steps are linear algebra: no starts, no
// local minima.
package recover

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// Latent are coordinates v in R^{m0} for the first layer: u_i = v_i + delta_i, where v_i = 0 is the steep part of unit
// i's step and delta_i, of order one, is still unknown.
type Latent struct {
	Norms   []float64  // |a_i|
	Offsets []float64  // s_i = -offset is the steep part, s_i = direction_i . x
	Rows    *mat.Dense // m0 x d, unit directions
	rate    float64    // of the tails of the activation that Norms are for
	away    []float64  // added to every point; the units don't see it. nil: zero
	inverse *mat.Dense // d x m0, pseudo-inverse of Rows
}

// NewLatent makes the coordinates for units whose activation's tails decay at the given rate. It needs linearly
// independent directions, hence m0 <= d.
func NewLatent(units []sample.Unit, rate float64) (*Latent, error) {
	m0 := len(units)
	d := len(units[0].Direction)
	l := &Latent{Rows: mat.NewDense(m0, d, nil), rate: rate}
	for i, u := range units {
		l.Rows.SetRow(i, u.Direction)
		l.Norms = append(l.Norms, u.Decay/rate)
		l.Offsets = append(l.Offsets, u.Offset)
	}
	if m0 > d {
		return nil, fault.New(fault.Unsupported, "the first layer has %d units for %d inputs: its directions are not independent", m0, d)
	}
	var svd mat.SVD
	if !svd.Factorize(l.Rows, mat.SVDThin) {
		return nil, fault.New(fault.Internal, "the singular value decomposition of the first layer's directions failed")
	}
	values := svd.Values(nil)
	if values[m0-1] < 1e-9*values[0] {
		return nil, fault.New(fault.Unsupported, "the first layer's directions are dependent: the smallest singular value is %.1e of the largest", values[m0-1]/values[0])
	}
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	for k, s := range values {
		for i := range d {
			v.Set(i, k, v.At(i, k)/s)
		}
	}
	l.inverse = mat.NewDense(d, m0, nil)
	l.inverse.Mul(&v, u.T())
	return l, nil
}

// Point returns the x of least norm with the given latent coordinates.
func (l *Latent) Point(v []float64) []float64 {
	s := make([]float64, len(v))
	for i := range v {
		s[i] = v[i]/l.Norms[i] - l.Offsets[i]
	}
	_, d := l.Rows.Dims()
	x := mat.NewVecDense(d, nil)
	x.MulVec(l.inverse, mat.NewVecDense(len(s), s))
	if l.away != nil {
		floats.Add(x.RawVector().Data, l.away)
	}
	return x.RawVector().Data
}

// Coordinates returns v at x.
func (l *Latent) Coordinates(x []float64) []float64 {
	m0, _ := l.Rows.Dims()
	v := make([]float64, m0)
	for i := range v {
		v[i] = l.Norms[i] * (floats.Dot(l.Rows.RawRowView(i), x) + l.Offsets[i])
	}
	return v
}

// Across returns the part of x that no unit of the first layer sees (zero when m0 = d).
func (l *Latent) Across(x []float64) []float64 {
	m0, d := l.Rows.Dims()
	seen := mat.NewVecDense(m0, nil)
	seen.MulVec(l.Rows, mat.NewVecDense(d, x))
	back := mat.NewVecDense(d, nil)
	back.MulVec(l.inverse, seen)
	return floats.SubTo(make([]float64, d), x, back.RawVector().Data)
}

// ask evaluates f at latent points.
func (l *Latent) ask(ctx context.Context, oracle query.Asker, vs [][]float64) ([]float64, error) {
	points := make([][]float64, len(vs))
	for i, v := range vs {
		points[i] = l.Point(v)
	}
	return sample.Points(ctx, oracle, points)
}

// gradients returns the gradient in v at each point (columns; m0 x len(vs)). Central differences cost 2 m0 queries a
// point, forward ones m0+1 and half of the digits.
func (l *Latent) gradients(ctx context.Context, oracle query.Asker, vs [][]float64, stencil Stencil) (*mat.Dense, error) {
	m0 := len(vs[0])
	var points [][]float64
	for _, v := range vs {
		if !stencil.Central {
			points = append(points, v)
		}
		for i := range m0 {
			points = append(points, shifted(v, i, stencil.Step))
			if stencil.Central {
				points = append(points, shifted(v, i, -stencil.Step))
			}
		}
	}
	y, err := l.ask(ctx, oracle, points)
	if err != nil {
		return nil, err
	}
	g := mat.NewDense(m0, len(vs), nil)
	for k := range vs {
		for i := range m0 {
			if stencil.Central {
				at := 2 * (k*m0 + i)
				g.Set(i, k, (y[at]-y[at+1])/(2*stencil.Step))
			} else {
				at := k * (m0 + 1)
				g.Set(i, k, (y[at+1+i]-y[at])/stencil.Step)
			}
		}
	}
	return g, nil
}

func shifted(v []float64, i int, step float64) []float64 {
	w := append([]float64(nil), v...)
	w[i] += step
	return w
}

// Stencil says how derivatives are taken.
type Stencil struct {
	Central bool
	Step    float64
}

// Error is the relative error that noise and truncation leave in a derivative of the given order.
func (s Stencil) Error(noise float64, order int) float64 {
	truncation := s.Step
	if s.Central {
		truncation *= s.Step
	}
	return truncation + noise/math.Pow(s.Step, float64(order))
}

// forwardNoise is the largest relative noise at which forward differences keep enough digits.
const forwardNoise = 1e-13

// newStencil balances truncation against noise (relative to the function's variation over a distance of one) for
// derivatives of the given order.
func newStencil(noise float64, order int) Stencil {
	noise = math.Max(noise, 2e-16)
	if noise <= forwardNoise {
		return Stencil{Step: math.Pow(noise, 1/float64(order+1))}
	}
	return centralStencil(noise, order)
}

func centralStencil(noise float64, order int) Stencil {
	return Stencil{Central: true, Step: math.Pow(math.Max(noise, 2e-16), 1/float64(order+2))}
}
