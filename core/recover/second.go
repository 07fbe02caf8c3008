package recover

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
)

// Settings are what the recovery of the second layer needs to know besides the coordinates.
type Settings struct {
	Noise float64 // of the answers, relative to how much f varies
	// DirectionError is how well the first layer's directions are known (radians): moving one unit moves the others by that.
	DirectionError float64
	Base           []float64 // latent coordinates of the base point; nil: random
	M1             int       // units of the second layer; 0 when not known
	Solver         core.Solver
	Seed           uint64
}

// Second is the second layer seen from one base point, before any activation is assumed: the gradient in v at a point
// whose coordinate i is at the base is sum_l Weights[i][l] omega_l, omega_l = c_l h'(p_l), up to one factor for each l.
type Second struct {
	Latent  *Latent
	Base    []float64  // v at the base point
	Weights *mat.Dense // m0 x m1: column l is parallel to (g'(u_i) b_il)_i at the base
	Points  [][]float64
	Moved   [][]int    // coordinates of Points[k] that are not at the base
	Slopes  *mat.Dense // m1 x len(Points): omega at the points
	// Gradients in v at the points, m0 x len(Points).
	Gradients *mat.Dense

	Singular []float64 // singular values of the gradients' span: m1 of them stand out
	Spectrum []float64 // singular values of the Hessians' span: m1 of them stand out
	Solution *core.Solution
}

// surplus is how many gradients are taken beyond the rank of their span.
const surplus = 2

// clearGap is how far the last singular value of the Hessians' span must stand above their error for the extraction
// to rest on it; where forward differences don't reach it, central ones are taken.
const clearGap = 100

// SecondLayer finds m1 and, up to one factor a unit, the columns of B scaled by g' at a base point.
//
// With u_i = a_i . x + theta_i, moving only some coordinates G leaves g'(u_i) as it was for all i outside G. There
// grad f = D B omega with D = diag(g'(u_i)) fixed and omega in R^{m1} varying, so that gradients span exactly the
// column space of D B, whose dimension is m1. Off the diagonal, Hessians are D B diag(c_l h”(p_l)) B^T D: in the
// coordinates of that column space they span exactly the rank-one matrices that the solver then extracts.
func SecondLayer(ctx context.Context, oracle query.Asker, l *Latent, rng *rand.Rand, settings Settings) (*Second, error) {
	m0 := len(l.Norms)
	if m0 < 3 {
		return nil, fault.New(fault.Unsupported, "the first layer has %d units: the second layer's span cannot be seen by moving some and not others", m0)
	}
	s := &Second{Latent: l, Base: make([]float64, m0)}
	for i := range s.Base {
		s.Base[i] = rng.Float64()*2 - 1
	}
	if settings.Base != nil {
		copy(s.Base, settings.Base)
	}
	groups := partition(rng, m0, 4)
	stencil := newStencil(settings.Noise, 1)

	// The span outside the first group, and its dimension.
	count := settings.M1 + surplus
	if settings.M1 == 0 {
		count = min(m0, 6)
	}
	first := groups[0]
	outside := complement(m0, first)
	var span *mat.Dense
	for {
		if err := s.sample(ctx, oracle, rng, first, count-len(s.Points), stencil); err != nil {
			return nil, err
		}
		u, values, err := columnSpace(rows(s.Gradients, outside))
		if err != nil {
			return nil, err
		}
		s.Singular = values
		rank, clear := settings.M1, true
		if rank == 0 {
			rank, clear = Gap(values, 5*stencil.Error(settings.Noise, 1)+10*settings.DirectionError, surplus)
		}
		if clear || len(s.Points) >= 2*m0 {
			span = mat.DenseCopyOf(u.Slice(0, len(outside), 0, min(rank, len(outside))))
			break
		}
		count += max(4, len(s.Points)/2)
	}
	_, m1 := span.Dims()
	if size := len(first); m1 > m0-2*size {
		if m1 > m0-2 {
			return nil, fault.New(fault.Unsupported, "the second layer has at least %d units for %d of the first: its span cannot be seen by moving some units and not others", m1, m0)
		}
	}

	// The rows of the first group, from points where they are at the base and others moved.
	basis := mat.NewDense(m0, m1, nil)
	for k, i := range outside {
		basis.SetRow(i, span.RawRowView(k))
	}
	rest := groups[1:]
	if 2*len(first) > m0-m1 { // the overlap of what is fixed must still show all of the span
		rest = regroup(outside, (m0-m1-len(first))/2)
	}
	start := len(s.Points)
	each := max(2, (m1+surplus+len(rest)-1)/len(rest))
	for _, g := range rest {
		if err := s.sample(ctx, oracle, rng, g, each, stencil); err != nil {
			return nil, err
		}
	}
	var omegas, seen mat.Dense
	omegas.ReuseAs(len(s.Points)-start, m1)
	seen.ReuseAs(len(s.Points)-start, len(first))
	for k := start; k < len(s.Points); k++ {
		fixed := without(outside, s.Moved[k])
		omega, err := leastSquares(rows(basis, fixed), column(s.Gradients, k, fixed))
		if err != nil {
			return nil, err
		}
		omegas.SetRow(k-start, omega)
		seen.SetRow(k-start, column(s.Gradients, k, first))
	}
	var missing mat.Dense
	if err := solve(&missing, &omegas, &seen); err != nil {
		return nil, err
	}
	for j, i := range first {
		for c := range m1 {
			basis.Set(i, c, missing.At(c, j))
		}
	}

	if err := s.extract(ctx, oracle, basis, outside, settings); err != nil {
		return nil, err
	}
	// omega at every point, from the rows at the base.
	s.Slopes = mat.NewDense(m1, len(s.Points), nil)
	for k := range s.Points {
		fixed := without(all(m0), s.Moved[k])
		omega, err := leastSquares(rows(s.Weights, fixed), column(s.Gradients, k, fixed))
		if err != nil {
			return nil, err
		}
		s.Slopes.SetCol(k, omega)
	}
	return s, nil
}

// sample adds points with the given coordinates moved, and the gradients there.
func (s *Second) sample(ctx context.Context, oracle query.Asker, rng *rand.Rand, moved []int, count int, stencil Stencil) error {
	if count <= 0 {
		return nil
	}
	var vs [][]float64
	for range count {
		v := append([]float64(nil), s.Base...)
		for _, i := range moved {
			v[i] = 6*rng.Float64() - 3
		}
		vs = append(vs, v)
		s.Moved = append(s.Moved, moved)
	}
	g, err := s.Latent.gradients(ctx, oracle, vs, stencil)
	if err != nil {
		return err
	}
	s.Points = append(s.Points, vs...)
	if s.Gradients == nil {
		s.Gradients = g
	} else {
		both := &mat.Dense{}
		both.Augment(s.Gradients, g)
		s.Gradients = both
	}
	return nil
}

// extract finds the columns within the column space basis (m0 x m1): Hessians at points where the coordinates in
// outside are at the base, written in that basis, span m1 rank-one matrices.
func (s *Second) extract(ctx context.Context, oracle query.Asker, basis *mat.Dense, outside []int, settings Settings) error {
	m0, m1 := basis.Dims()
	if m1 == 1 {
		s.Weights = basis
		s.Spectrum = []float64{1}
		return nil
	}
	wanted := m1 + 1
	for wanted*(wanted-1) < 3*m1*(m1+1)/2+4 { // half as many entries again as unknowns
		wanted++
	}
	chosen := spread(basis, outside, min(len(outside), wanted))
	if len(chosen)*(len(chosen)-1) < m1*(m1+1) {
		return fault.New(fault.Unsupported, "the first layer's %d units are too few to see the curvature of %d units of the second", m0, m1)
	}
	var points [][]float64
	for k := range s.Points {
		if len(points) < m1+1 && len(s.Moved[k]) > 0 && len(without(chosen, s.Moved[k])) == len(chosen) {
			points = append(points, s.Points[k])
		}
	}
	var u *mat.Dense
	first := newStencil(settings.Noise, 2)
	if s.Singular[m1-1] < clearGap*first.Error(settings.Noise, 2)*s.Singular[0] {
		first = centralStencil(settings.Noise, 2) // curvature is fainter than slope: forward differences cannot do
	}
	for stencil := first; ; stencil = centralStencil(settings.Noise, 2) {
		stacked := mat.NewDense(m1*m1, len(points), nil)
		for k, v := range points {
			h, err := s.Latent.offDiagonal(ctx, oracle, v, chosen, stencil)
			if err != nil {
				return err
			}
			reduced, err := congruent(rows(basis, chosen), h)
			if err != nil {
				return err
			}
			stacked.SetCol(k, reduced.RawMatrix().Data)
		}
		var err error
		if u, s.Spectrum, err = columnSpace(stacked); err != nil {
			return err
		}
		// One point more than the rank: its singular value is what the differences' error amounts to.
		if stencil.Central || (len(points) > m1 && s.Spectrum[m1-1] > clearGap*s.Spectrum[m1]) {
			break
		}
	}
	problem := core.Problem{Dim: m1, Basis: mat.DenseCopyOf(u.Slice(0, m1*m1, 0, min(m1, len(points)))), Count: m1, Seed: settings.Seed}
	var err error
	s.Solution, err = settings.Solver.Solve(ctx, problem, func(core.SolverProgress) {})
	if err != nil {
		return err
	}
	found := 0
	if s.Solution.Vectors != nil {
		_, found = s.Solution.Vectors.Dims()
	}
	if found < m1 {
		return fault.New(fault.Unsupported, "the solver extracted %d of the second layer's %d rank-one matrices", found, m1)
	}
	s.Weights = &mat.Dense{}
	s.Weights.Mul(basis, s.Solution.Vectors.Slice(0, m1, 0, m1))
	return nil
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

// sweepPoints is how many points lie on the way from one end of a second-layer unit's range to the other.
const sweepPoints = 12

// Sweeps returns points along which each second-layer unit goes through its whole range: all first-layer units move
// together, each to the side that its weight says. At random points sums of many weights stay near their mean, and a
// unit whose shift is large never wakes up.
func (s *Second) Sweeps(rng *rand.Rand) [][]float64 {
	m0, m1 := s.Weights.Dims()
	var points [][]float64
	for l := range m1 {
		for k := range sweepPoints {
			t := 4 * (2*float64(k)/(sweepPoints-1) - 1)
			v := append([]float64(nil), s.Base...)
			for i := range m0 {
				v[i] = math.Copysign(t, t*s.Weights.At(i, l)) + 0.7*rng.NormFloat64()
			}
			points = append(points, s.Latent.Point(v))
		}
	}
	return points
}

// Network completes the second layer under the assumption that the activations are g and h: the shifts delta_i from
// how the gradient's rows change as v_i moves, then scale, shift and output weight of each second-layer unit, first from
// its slopes, then from the answers y at the rows x, where all units move.
func (s *Second) Network(g, h core.Function, gName, hName string, x *mat.Dense, y []float64, rng *rand.Rand) *network.Network {
	m0, m1 := s.Weights.Dims()
	_, d := s.Latent.Rows.Dims()
	n := network.New(d, m0, m1, gName, hName)
	ratio := s.Latent.rate / g.Facts().Right.Rate // tails fix only the product of rate and norm
	delta := make([]float64, m0)
	base := make([]float64, m0)    // dz/dv at the base
	stretch := make([]float64, m0) // u_i = stretch_i v_i + delta_i
	for i := range m0 {
		stretch[i], delta[i] = s.shift(g, ratio, i)
		u := []float64{stretch[i]*s.Base[i] + delta[i]}
		g.Apply(1, u, u)
		base[i] = stretch[i] * u[0]
		for j := range d {
			n.First.Weight.Set(i, j, stretch[i]*s.Latent.Norms[i]*s.Latent.Rows.At(i, j))
		}
		n.First.Bias[i] = stretch[i]*s.Latent.Norms[i]*s.Latent.Offsets[i] + delta[i]
	}
	direction := mat.NewDense(m0, m1, nil) // b_l up to a factor
	for i := range m0 {
		for l := range m1 {
			direction.Set(i, l, s.Weights.At(i, l)/base[i])
		}
	}
	// z at the gradients' points and at the rows.
	z := mat.NewDense(len(s.Points), m0, nil)
	for k, v := range s.Points {
		row := z.RawRowView(k)
		for i := range row {
			row[i] = stretch[i]*v[i] + delta[i]
		}
		g.Apply(0, row, row)
	}
	rows := min(len(y), 30*m1+200)
	zx := mat.NewDense(rows, m0, nil)
	for k := range rows {
		row := zx.RawRowView(k)
		for i, v := range s.Latent.Coordinates(x.RawRowView(k)) {
			row[i] = stretch[i]*v + delta[i]
		}
		g.Apply(0, row, row)
	}
	var atPoints, atRows mat.Dense
	atPoints.Mul(z, direction)
	atRows.Mul(zx, direction)
	model := additive{h: h, q: &atRows, y: y[:rows]}
	first := shape{make([]float64, m1), make([]float64, m1)}
	mean, deviation := make([]float64, m1), make([]float64, m1)
	for l := range m1 {
		scale, shift, _ := fitSlope(h, mat.Col(nil, l, &atPoints), mat.Row(nil, l, s.Slopes))
		q := mat.Col(nil, l, &atRows)
		mean[l], deviation[l] = stat.PopMeanStdDev(q, nil)
		for k := range q {
			atRows.Set(k, l, (q[k]-mean[l])/deviation[l])
		}
		first.scale[l], first.shift[l] = scale*deviation[l], shift+scale*mean[l]
	}
	_, spread := stat.PopMeanStdDev(model.y, nil)
	found, _ := model.search(first, 1e-3*spread, rng)
	c, _ := model.project(found)
	for l := range m1 {
		scale := found.scale[l] / deviation[l]
		for i := range m0 {
			n.Second.Weight.Set(l, i, scale*direction.At(i, l))
		}
		n.Second.Bias[l] = found.shift[l] - scale*mean[l]
		if c != nil {
			n.Output[l] = c[l]
		}
	}
	if c != nil {
		n.OutputBias = c[m1]
	}
	return n
}

// shift finds delta_i: where v_i moved, row i of the gradient is g'(u_i) / g'(u_i at the base) times what it would be at
// the base, u_i = stretch v_i + delta_i. The stretch is as given, unless no shift explains the rows: then the unit's
// norm was measured wrongly, and is fitted too.
func (s *Second) shift(g core.Function, given float64, i int) (stretch, delta float64) {
	var at, seen, expected []float64
	_, m1 := s.Weights.Dims()
	for k, v := range s.Points {
		if v[i] == s.Base[i] {
			continue
		}
		at = append(at, v[i])
		seen = append(seen, s.Gradients.At(i, k))
		e := 0.0
		for l := range m1 {
			e += s.Weights.At(i, l) * s.Slopes.At(l, k)
		}
		expected = append(expected, e)
	}
	t := make([]float64, len(at)+1)
	misfit := func(stretch, delta float64) float64 {
		for k, v := range at {
			t[k] = stretch*v + delta
		}
		t[len(at)] = stretch*s.Base[i] + delta
		g.Apply(1, t, t)
		total := 0.0
		for k := range at {
			r := seen[k]*t[len(at)] - expected[k]*t[k]
			w := math.Abs(seen[k]*t[len(at)]) + math.Abs(expected[k]*t[k])
			total += r * r / (w*w + 1e-300)
		}
		return total / float64(len(at))
	}
	best := func(stretch float64) (delta, least float64) {
		delta = minimize(func(d float64) float64 { return misfit(stretch, d) }, -6, 6, 240)
		return delta, misfit(stretch, delta)
	}
	stretch = given
	delta, least := best(stretch)
	if least < unexplained {
		return stretch, delta
	}
	const steps = 60
	for k := -steps; k <= steps; k++ {
		try := given * math.Pow(8, float64(k)/steps)
		if d, l := best(try); l < least/4 {
			stretch, delta, least = try, d, l
		}
	}
	return stretch, delta
}

// unexplained is the mean squared relative misfit from which a unit's norm is not believed.
const unexplained = 1e-3
