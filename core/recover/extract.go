package recover

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
)

// clearGap is how far the singular values of the Hessians' span must stand above their error for the extraction to rest
// on them; where forward differences don't reach it, central ones are taken. What stands above faint, relative to the
// largest, is no error.
const (
	clearGap = 100
	faint    = 1e-2
)

// curvatureRank returns how many of the singular values (descending) are units, and whether they stand out.
func curvatureRank(values []float64) (rank int, clear bool) {
	rank, best := len(values), 0.0
	for k := 0; k+1 < len(values); k++ {
		if drop := values[k] / math.Max(values[k+1], 1e-16*values[0]); values[k+1] < faint*values[0] && drop > best {
			rank, best = k+1, drop
		}
	}
	return rank, best > clearGap
}

// curvature is the off-diagonal part of a Hessian, between some coordinates.
type curvature struct {
	point   []float64
	chosen  []int
	hessian *mat.Dense // len(chosen) x len(chosen); the diagonal is NaN
}

// extract finds the columns of B: Hessians, freed of D and written in the basis of B's column space, span m1 rank-one
// matrices.
func (s *Second) extract(ctx context.Context) error {
	_, m1 := s.span.Dims()
	if m1 == 1 {
		s.Directions = s.span
		s.Spectrum = []float64{1}
		return s.slopes()
	}
	if s.curving == nil {
		stencil := newStencil(s.settings.Noise, 2)
		if last := s.Singular[min(m1, len(s.Singular))-1]; s.straight >= 0 && last < clearGap*stencil.Error(s.settings.Noise, 2)*s.Singular[0] {
			stencil = centralStencil(s.settings.Noise, 2) // curvature is fainter than slope: forward differences cannot do
		}
		s.curving = &stencil
	}
	for {
		if err := s.curvatures(ctx, m1); err != nil {
			return err
		}
		u, err := s.curvatureSpan(m1)
		if err != nil {
			return err
		}
		// More points than units: what is left of the singular values is the differences' error.
		count, clear := m1, len(s.curved) > m1 && s.Spectrum[m1-1] > clearGap*s.Spectrum[m1]
		if s.widened && !clear { // the span may be too wide, from a shift that is wrong
			count, clear = curvatureRank(s.Spectrum)
		}
		if clear || s.curving.Central {
			return s.solve(ctx, u, min(count, len(s.curved)))
		}
		stencil := centralStencil(s.settings.Noise, 2)
		s.curving, s.curved = &stencil, nil
	}
}

// curvatures takes Hessians until there are more than m1, at points where different units are alive.
func (s *Second) curvatures(ctx context.Context, m1 int) error {
	m0 := len(s.Base)
	wanted := m1 + 1
	for wanted*(wanted-1) < 3*m1*(m1+1)/2+4 { // half as many entries again as unknowns
		wanted++
	}
	wanted = min(wanted, m0)
	if wanted*(wanted-1) < m1*(m1+1) {
		return fault.New(fault.Unsupported, "the first layer's %d units are too few to see the curvature of %d units of the second", m0, m1)
	}
	alive := mat.NewDense(len(s.points), m1, nil)
	for k := range s.points {
		y := s.freedGradient(k, all(m0))
		for c := range m1 {
			alive.Set(k, c, mat.Dot(y, s.span.ColView(c)))
		}
	}
	for _, k := range spread(alive, all(len(s.points)), len(s.points)) {
		if len(s.curved) > m1 {
			break
		}
		v := s.points[k]
		if s.isCurved(v) {
			continue
		}
		chosen := spread(scaledRows(s.Shifts.derivative(1, v), s.span), all(m0), wanted)
		h, err := s.Latent.offDiagonal(ctx, s.oracle, v, chosen, *s.curving)
		if err != nil {
			return err
		}
		s.curved = append(s.curved, curvature{v, chosen, h})
	}
	return nil
}

func (s *Second) isCurved(v []float64) bool {
	for _, c := range s.curved {
		if &c.point[0] == &v[0] {
			return true
		}
	}
	return false
}

// curvatureSpan returns an orthonormal basis of what the Hessians span in the basis of B's column space, and keeps its
// singular values.
func (s *Second) curvatureSpan(m1 int) (*mat.Dense, error) {
	stacked := mat.NewDense(m1*m1, len(s.curved), nil)
	for k, c := range s.curved {
		freed := scaledRows(s.Shifts.derivative(1, c.point), s.span)
		reduced, err := congruent(rows(freed, c.chosen), c.hessian)
		if err != nil {
			return nil, err
		}
		if size := mat.Norm(reduced, 2); s.straight < 0 && size > 0 { // else their errors, and so their weights, are the same
			reduced.Scale(1/size, reduced)
		}
		stacked.SetCol(k, reduced.RawMatrix().Data)
	}
	u, values, err := columnSpace(stacked)
	s.Spectrum = values
	return u, err
}

// solve has the solver extract count rank-one matrices from the span of u's first columns. The gradients' span may have
// more dimensions, from a shift that is wrong.
func (s *Second) solve(ctx context.Context, u *mat.Dense, count int) error {
	_, dim := s.span.Dims()
	problem := core.Problem{Dim: dim, Basis: mat.DenseCopyOf(u.Slice(0, dim*dim, 0, count)), Count: count, Seed: s.settings.Seed}
	var err error
	s.Solution, err = s.settings.Solver.Solve(ctx, problem, func(core.SolverProgress) {})
	if err != nil {
		return err
	}
	found := 0
	if s.Solution.Vectors != nil {
		_, found = s.Solution.Vectors.Dims()
	}
	if found == 0 {
		return fault.New(fault.Unsupported, "the solver extracted none of the second layer's %d rank-one matrices", count)
	}
	s.Directions = &mat.Dense{}
	s.Directions.Mul(s.span, s.Solution.Vectors.Slice(0, dim, 0, min(count, found))) // if it is fewer, the fit tells
	return s.slopes()
}

// slopes finds omega at every point, from all rows of the gradient.
func (s *Second) slopes() error {
	m0, m1 := s.Directions.Dims()
	s.Slopes = mat.NewDense(m1, len(s.points), nil)
	for k, v := range s.points {
		omega, err := leastSquares(scaledRows(s.Shifts.derivative(1, v), s.Directions), column(s.gradients, k, all(m0)))
		if err != nil {
			return err
		}
		s.Slopes.SetCol(k, omega)
	}
	return nil
}

// scaledRows returns diag(scale) m.
func scaledRows(scale []float64, m *mat.Dense) *mat.Dense {
	scaled := mat.DenseCopyOf(m)
	for i, c := range scale {
		row := scaled.RawRowView(i)
		for j := range row {
			row[j] *= c
		}
	}
	return scaled
}

// offDiagonal returns the mixed second differences of f at v between the chosen coordinates; the diagonal is NaN. The
// points on the axes are asked once.
func (l *Latent) offDiagonal(ctx context.Context, oracle query.Asker, v []float64, chosen []int, stencil Stencil) (*mat.Dense, error) {
	n := len(chosen)
	signs := []float64{1}
	if stencil.Central {
		signs = []float64{1, -1}
	}
	vs := [][]float64{v}
	for _, i := range chosen {
		for _, sign := range signs {
			vs = append(vs, shifted(v, i, sign*stencil.Step))
		}
	}
	for a := range n {
		for b := range a {
			for _, sign := range signs {
				vs = append(vs, shifted(shifted(v, chosen[a], sign*stencil.Step), chosen[b], sign*stencil.Step))
			}
		}
	}
	y, err := l.ask(ctx, oracle, vs)
	if err != nil {
		return nil, err
	}
	sides := len(signs)
	h := mat.NewDense(n, n, nil)
	at := 1 + sides*n
	for a := range n {
		h.Set(a, a, math.NaN())
		for b := range a {
			d := 0.0
			for k := range sides {
				d += y[at+k] - y[1+sides*a+k] - y[1+sides*b+k] + y[0]
			}
			d /= float64(sides) * stencil.Step * stencil.Step
			h.Set(a, b, d)
			h.Set(b, a, d)
			at += sides
		}
	}
	return h, nil
}
