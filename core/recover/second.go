package recover

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
)

// Settings are what the recovery of the second layer needs to know besides the coordinates.
type Settings struct {
	Noise float64 // of the answers, relative to how much f varies
	// DirectionError is how well the first layer's directions are known (radians): moving one unit moves the others by that.
	DirectionError float64
	M1             int             // units of the second layer; 0 when not known
	Activations    []core.Function // what g may be; the one that explains the gradients best is taken
	Solver         core.Solver
	Seed           uint64
}

// Second is the second layer as the gradients and Hessians of f in latent coordinates show it. With u_i the first
// layer's pre-activations, D(v) = diag(du_i/dv_i g'(u_i)) and omega_l = c_l h'(p_l), the gradient at v is D(v) B omega(v).
type Second struct {
	Latent *Latent
	Base   []float64 // v at the base point
	Shifts *Shifts
	// Directions is m0 x m1: column l is b_l up to a factor.
	Directions *mat.Dense
	Slopes     *mat.Dense // m1 x points: omega, up to the columns' factors
	Singular   []float64  // singular values of the gradients' span at the base: those of units alive stand out
	Spectrum   []float64  // singular values of the Hessians' span: m1 of them stand out
	Solution   *core.Solution

	settings   Settings
	oracle     query.Asker
	rng        *rand.Rand
	stencil    Stencil
	points     [][]float64 // v where gradients were taken
	moved      [][]int     // the coordinates of points[k] that are not at the base
	gradients  *mat.Dense  // m0 x points
	straight   int         // paths so far along which f was nearly linear; -1 once one was not
	atBase     float64     // f there; NaN when not asked yet
	mostChange float64     // of f on a path
	widened    bool        // by units that sleep at the base
	curving    *Stencil    // of the Hessians
	span       *mat.Dense  // m0 x rank, orthonormal: the column space of B as far as it was seen
	curved     []curvature // Hessians taken so far
}

// surplus is how many gradients are taken beyond the rank of their span.
const surplus = 2

// SecondLayer finds m1, the shifts of the first layer and the columns of B up to a factor.
//
// Moving only some coordinates G leaves D as it was for all others. There grad f = D B omega with D fixed and omega in
// R^{m1} varying, so that gradients span exactly the columns of D B of the units that are alive, those with omega_l not
// zero. Where coordinate i did move, row i of the gradient is g'(u_i) times what B omega says, which gives the shift.
// With the shifts D is known everywhere: from then on every gradient is in the column space of B, wherever it is taken,
// and units that sleep at the base are found where they are alive. Hessians, freed of D, span exactly the rank-one
// matrices b_l b_l^T, which the solver extracts.
func SecondLayer(ctx context.Context, oracle query.Asker, l *Latent, rng *rand.Rand, settings Settings) (*Second, error) {
	m0 := len(l.Norms)
	if m0 < 3 {
		return nil, fault.New(fault.Unsupported, "the first layer has %d units: the second layer's span cannot be seen by moving some and not others", m0)
	}
	s := &Second{Latent: l, settings: settings, oracle: oracle, rng: rng, stencil: newStencil(settings.Noise, 1), atBase: math.NaN()}
	basis, err := s.baseSpan(ctx)
	if err != nil {
		return nil, err
	}
	s.Shifts = s.shifts(basis)
	if s.span, err = s.freed(basis); err != nil {
		return nil, err
	}
	if err := s.explore(ctx); err != nil {
		return nil, err
	}
	return s, s.extract(ctx)
}

// M1 is the number of second-layer units found.
func (s *Second) M1() int { _, m1 := s.Directions.Dims(); return m1 }

// Widened reports whether units were found that sleep at the base: then one may have been found twice.
func (s *Second) Widened() bool { return s.widened }

// baseSpan returns a basis (m0 x rank) of the column space of D B at the base point, as far as units are alive around it.
func (s *Second) baseSpan(ctx context.Context) (*mat.Dense, error) {
	m0, settings := len(s.Latent.Norms), s.settings
	s.Base = make([]float64, m0)
	base, err := s.lively(ctx, all(m0), 1)
	if err != nil {
		return nil, err
	}
	s.Base = base
	groups := partition(s.rng, m0, 4)

	// The span outside the first group, and its dimension.
	count := settings.M1 + surplus
	if settings.M1 == 0 {
		count = min(m0, 6)
	}
	first := groups[0]
	outside := complement(m0, first)
	var span *mat.Dense
	for {
		if err := s.sample(ctx, first, count-len(s.points)); err != nil {
			return nil, err
		}
		normal, noise := s.normalised(0, outside)
		u, values, err := columnSpace(normal)
		if err != nil {
			return nil, err
		}
		s.Singular = values
		rank, clear := Gap(values, 5*noise+10*settings.DirectionError, surplus)
		if clear || len(s.points) >= 2*m0 {
			span = mat.DenseCopyOf(u.Slice(0, len(outside), 0, min(rank, len(outside))))
			break
		}
		count += max(4, len(s.points)/2)
	}
	_, rank := span.Dims()
	if size := len(first); rank > m0-2*size && rank > m0-2 {
		return nil, fault.New(fault.Unsupported, "the second layer has at least %d units for %d of the first: its span cannot be seen by moving some units and not others", rank, m0)
	}

	// The rows of the first group, from points where they are at the base and others moved.
	basis := mat.NewDense(m0, rank, nil)
	for k, i := range outside {
		basis.SetRow(i, span.RawRowView(k))
	}
	rest := groups[1:]
	if 2*len(first) > m0-rank { // the overlap of what is fixed must still show all of the span
		rest = regroup(outside, (m0-rank-len(first))/2)
	}
	start := len(s.points)
	each := max(2, (rank+surplus+len(rest)-1)/len(rest))
	for _, g := range rest {
		if err := s.sample(ctx, g, each); err != nil {
			return nil, err
		}
	}
	omegas := mat.NewDense(len(s.points)-start, rank, nil)
	seen := mat.NewDense(len(s.points)-start, len(first), nil)
	for k := start; k < len(s.points); k++ {
		fixed := without(outside, s.moved[k])
		gradient := column(s.gradients, k, all(m0))
		size := norm(gradient)
		omega, err := leastSquares(rows(basis, fixed), column(s.gradients, k, fixed))
		if err != nil {
			return nil, err
		}
		for j := range omega {
			omegas.Set(k-start, j, omega[j]/size)
		}
		for j, i := range first {
			seen.Set(k-start, j, gradient[i]/size)
		}
	}
	var missing mat.Dense
	if err := solve(&missing, omegas, seen); err != nil {
		return nil, err
	}
	for j, i := range first {
		for c := range rank {
			basis.Set(i, c, missing.At(c, j))
		}
	}
	return basis, nil
}

// normalised returns the given rows of the gradients from the first on, each scaled to length one, and the error that
// noise leaves in the worst of them.
func (s *Second) normalised(from int, indices []int) (*mat.Dense, float64) {
	m := mat.NewDense(len(indices), len(s.points)-from, nil)
	least, most := math.Inf(1), 0.0
	for k := from; k < len(s.points); k++ {
		g := column(s.gradients, k, indices)
		size := norm(g)
		least, most = math.Min(least, size), math.Max(most, size)
		for i := range g {
			m.Set(i, k-from, g[i]/math.Max(size, 1e-300))
		}
	}
	return m, s.stencil.Error(s.settings.Noise, 1) * math.Min(most/math.Max(least, 1e-300), 1e6)
}

// sample adds points with the given coordinates moved, and the gradients there.
func (s *Second) sample(ctx context.Context, moved []int, count int) error {
	if count <= 0 {
		return nil
	}
	var vs [][]float64
	for range count {
		v, err := s.near(ctx, moved)
		if err != nil {
			return err
		}
		vs = append(vs, v)
	}
	return s.add(ctx, vs, moved)
}

// add takes gradients at the points vs, where the given coordinates are not at the base.
func (s *Second) add(ctx context.Context, vs [][]float64, moved []int) error {
	g, err := s.Latent.gradients(ctx, s.oracle, vs, s.stencil)
	if err != nil {
		return err
	}
	for _, v := range vs {
		s.points = append(s.points, v)
		s.moved = append(s.moved, moved)
	}
	if s.gradients == nil {
		s.gradients = g
	} else {
		both := &mat.Dense{}
		both.Augment(s.gradients, g)
		s.gradients = both
	}
	return nil
}

// freed returns an orthonormal basis of the column space of B, in the trusted rows, from one of D B at the base.
func (s *Second) freed(basis *mat.Dense) (*mat.Dense, error) {
	d := s.Shifts.derivative(1, s.Base)
	for i := range d {
		d[i] = 1 / d[i]
	}
	u, _, err := columnSpace(rows(scaledRows(d, basis), s.Shifts.Trusted))
	return u, err
}

// freedGradient is B omega at point k, in the given rows, scaled to length one.
func (s *Second) freedGradient(k int, indices []int) *mat.VecDense {
	d := s.Shifts.derivative(1, s.points[k])
	y := mat.NewVecDense(len(indices), nil)
	for at, i := range indices {
		y.SetVec(at, s.gradients.At(i, k)/d[i])
	}
	if n := mat.Norm(y, 2); n > 0 {
		y.ScaleVec(1/n, y)
	}
	return y
}

const (
	enoughMisses = 3    // lively points in a row that show no new unit
	explored     = 2.0  // coordinates of the points where units are looked for lie within
	outside      = 1e-3 // of a gradient must lie outside of the span for there to be a new unit
)

// explore looks for units that sleep at the base: at lively points anywhere.
func (s *Second) explore(ctx context.Context) error {
	m0 := len(s.Base)
	trusted := s.Shifts.Trusted
	if s.straight >= 0 && len(trusted) == m0 { // nothing sleeps, and nothing is to be mended
		return nil
	}
	_, rank := s.span.Dims()
	for misses := 0; misses < enoughMisses && rank < len(trusted)-1 && (rank != s.settings.M1 || len(s.points) < rank+m0/2); {
		v, err := s.lively(ctx, all(m0), explored)
		if err != nil {
			return err
		}
		if err := s.add(ctx, [][]float64{v}, all(m0)); err != nil {
			return err
		}
		misses++
		if s.widen(len(s.points)-1, trusted) {
			rank, misses = rank+1, 0
		}
	}
	if len(trusted) == m0 {
		return nil
	}
	var err error
	s.span, err = s.mend(s.span)
	return err
}

// widen adds to the span, which has the given rows, what of the gradient at point k lies outside of it, if that is more
// than error.
func (s *Second) widen(k int, indices []int) bool {
	n, rank := s.span.Dims()
	y := s.freedGradient(k, indices)
	for range 2 {
		for c := range rank {
			y.AddScaledVec(y, -mat.Dot(y, s.span.ColView(c)), s.span.ColView(c))
		}
	}
	size := mat.Norm(y, 2)
	if size < math.Max(outside, 10*math.Sqrt(s.Shifts.total())) {
		return false
	}
	y.ScaleVec(1/size, y)
	wider := mat.NewDense(n, rank+1, nil)
	wider.Slice(0, n, 0, rank).(*mat.Dense).Copy(s.span)
	wider.SetCol(rank, y.RawVector().Data)
	s.span, s.widened = wider, true
	return true
}
