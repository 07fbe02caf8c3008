package recover

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
)

// Span is the space of the b_l behind a first layer that is known, its shifts too: in z = g(u) all gradients of f lie in it, and as many of
// them as there are units span it. In its coordinates q, what is left is a network of one hidden layer with as few inputs as units.
type Span struct {
	Basis  *mat.Dense // m0 x m1, orthonormal columns: q = Basis^T z
	Error  float64    // of the gradients: the size of what lies outside of the span, relative to what lies in it
	middle *Middle    // its coordinates are u
	g      core.Function
	rng    *rand.Rand
	room   [2]float64 // least and largest z that is asked
	points map[float64][]float64
}

const (
	spanStep = 1e-5 // of the differences, in u
	inner    = 0.1  // of the way between g's limits that is left out on either side where gradients are taken
	outer    = 0.03 // and where f is asked
	mostSpan = 200  // gradients
)

// NewSpan finds the span from central differences, at points where all units are well between their limits. Error is that of a gradient's
// entries, relative to its size.
func NewSpan(ctx context.Context, middle *Middle, g core.Function, noise float64, rng *rand.Rand) (*Span, error) {
	m0, d := middle.Weight.Dims()
	if m0 > d {
		return nil, fault.New(fault.Unsupported, "the first layer has %d units for %d inputs: their arguments cannot be set at will", m0, d)
	}
	s := &Span{middle: middle, g: g, rng: rng, points: map[float64][]float64{}}
	facts := g.Facts()
	low, high := facts.Left.Intercept, facts.Right.Intercept
	s.room = [2]float64{low + outer*(high-low), high - outer*(high-low)}
	var at, raw [][]float64 // u where gradients were taken, and df/du there
	for len(at) < mostSpan {
		batch := max(4, len(at)/2)
		points := mat.NewDense(2*m0*batch, m0, nil)
		for k := range batch {
			u := make([]float64, m0)
			for i := range u {
				u[i] = network.Inverse(g, inner+(1-2*inner)*rng.Float64())
			}
			for i := range m0 {
				for side := range 2 {
					row := points.RawRowView(2*(k*m0+i) + side)
					copy(row, u)
					row[i] += spanStep * float64(1-2*side)
				}
			}
			at = append(at, u)
		}
		y, err := middle.Ask(ctx, points)
		if err != nil {
			return nil, err
		}
		for k := range batch {
			gradient := make([]float64, m0)
			for i := range m0 {
				row := 2 * (k*m0 + i)
				gradient[i] = (y[row] - y[row+1]) / (2 * spanStep)
			}
			raw = append(raw, gradient)
		}
		step := math.Max(noise, 1e-16*floats.Norm(y, math.Inf(1))) / spanStep
		basis, err := s.span(at, raw, step)
		if err != nil {
			return nil, err
		}
		if _, rank := basis.Dims(); rank > 0 && rank+3 <= len(at) {
			s.Basis, s.Error = basis, s.outside(s.slopes(at, raw), basis)
			return s, nil
		} else if rank == m0 {
			return nil, fault.New(fault.Unsupported, "the second layer has as many units as the first, or more: their weights span everything")
		}
	}
	return nil, fault.New(fault.Unsupported, "the span of the gradients did not show")
}

// slopes returns the gradients of f by z: a column for each point.
func (s *Span) slopes(at, raw [][]float64) *mat.Dense {
	m0 := len(at[0])
	all := mat.NewDense(m0, len(at), nil)
	slope := make([]float64, m0)
	for k, u := range at {
		s.g.Apply(1, slope, u)
		for i := range m0 {
			all.Set(i, k, raw[k][i]/slope[i])
		}
	}
	return all
}

// outside returns how large the columns of gradients are outside of the space with the given basis, relative to the whole of them.
func (s *Span) outside(gradients, basis *mat.Dense) float64 {
	var share, within, rest mat.Dense
	share.Mul(basis.T(), gradients)
	within.Mul(basis, &share)
	rest.Sub(gradients, &within)
	return mat.Norm(&rest, 2) / mat.Norm(gradients, 2)
}

// span returns an orthonormal basis of the gradients' span. A unit whose shift is wrong adds its own axis to it: without its row there is a
// dimension less. Its shift is then what makes its row a combination of the others'.
func (s *Span) span(at, raw [][]float64, step float64) (*mat.Dense, error) {
	m0, count := len(at[0]), len(at)
	for range m0 {
		gradients := s.slopes(at, raw)
		basis, _, err := leading(gradients, step, s.middle.Error())
		if err != nil {
			return nil, err
		}
		_, rank := basis.Dims()
		if rank+3 > count || rank == m0 {
			return basis, nil
		}
		moved := false
		for i := range m0 {
			rest := mat.NewDense(m0-1, count, nil)
			for r, k := 0, 0; r < m0; r++ {
				if r != i {
					rest.SetRow(k, gradients.RawRowView(r))
					k++
				}
			}
			_, rows, err := leading(rest, step, s.middle.Error())
			if err != nil {
				return nil, err
			}
			if _, fewer := rows.Dims(); fewer < rank && s.move(i, at, raw, rows) {
				moved = true
				break
			}
		}
		if !moved {
			return basis, nil
		}
	}
	return nil, fault.New(fault.Unsupported, "the shifts of the first layer contradict each other")
}

// littleOff is how many times what directions and differences leave, at most, shifts and norms may that are nearly right.
const littleOff = 300

// leading returns bases of the column space and of the row space of m, as far as they are more than error: step, and slant relative to
// the largest.
func leading(m *mat.Dense, step, slant float64) (columns, rows *mat.Dense, err error) {
	var svd mat.SVD
	if !svd.Factorize(m, mat.SVDThin) {
		return nil, nil, fault.New(fault.Internal, "the singular value decomposition of the gradients did not converge")
	}
	values := svd.Values(nil)
	n, count := m.Dims()
	floor := 10 * (math.Sqrt(float64(n*count))*step + slant*values[0])
	rank := 0
	for rank < len(values) && values[rank] > floor {
		rank++
	}
	// Norms and shifts that are off a little, of several units, leave somewhat more: the largest drop to there.
	drop := 0.0
	for k, last := 1, rank; k <= last; k++ {
		next := floor
		if k < len(values) {
			next = math.Max(values[k], floor)
		}
		if next <= littleOff*floor && values[k-1]/next > drop {
			drop, rank = values[k-1]/next, k
		}
	}
	if rank == 0 {
		return nil, nil, fault.New(fault.Unsupported, "f does not change with the first layer's units")
	}
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	return mat.DenseCopyOf(u.Slice(0, n, 0, rank)), mat.DenseCopyOf(v.Slice(0, count, 0, rank)), nil
}

// move looks for the norm and the shift of unit i with which its gradients lie in the given row space, and takes them if there are such.
func (s *Span) move(i int, at, raw [][]float64, rows *mat.Dense) bool {
	count := len(at)
	u, slope := make([]float64, count), make([]float64, count)
	row, share, rest := mat.NewVecDense(count, nil), &mat.VecDense{}, &mat.VecDense{}
	outside := func(stretch, by float64) float64 {
		for k := range at {
			u[k] = stretch*at[k][i] + by
		}
		s.g.Apply(1, slope, u)
		for k := range at {
			row.SetVec(k, raw[k][i]/slope[k])
		}
		share.MulVec(rows.T(), row)
		rest.MulVec(rows, share)
		rest.SubVec(row, rest)
		return mat.Norm(rest, 2) / mat.Norm(row, 2)
	}
	reach := 0.75 * (network.Inverse(s.g, 1-inner) - network.Inverse(s.g, inner))
	shift := func(stretch float64) (by, least float64) {
		return minimum(func(by float64) float64 { return outside(stretch, by) }, -reach, reach, 60)
	}
	before := outside(1, 0)
	stretch := 1.0
	by, least := shift(stretch)
	if least > before/30 {
		log, _ := minimum(func(log float64) float64 { _, least := shift(math.Exp(log)); return least }, -0.7, 0.7, 10)
		stretch = math.Exp(log)
		by, least = shift(stretch)
	}
	if !(least < before/30) {
		return false
	}
	s.middle.rescale(i, stretch, by)
	for k := range at {
		at[k][i] = stretch*at[k][i] + by
		raw[k][i] /= stretch
	}
	return true
}

// minimum returns where f is least on [low, high]: it has one minimum at most within a step of a scan.
func minimum(f func(float64) float64, low, high float64, steps int) (at, least float64) {
	least = math.Inf(1)
	step := (high - low) / float64(steps)
	for k := 0; k <= steps; k++ {
		if x := low + float64(k)*step; f(x) < least {
			at, least = x, f(x)
		}
	}
	low, high = at-step, at+step
	for range 50 {
		a, b := low+(high-low)/3, high-(high-low)/3
		if f(a) < f(b) {
			high = b
		} else {
			low = a
		}
	}
	at = (low + high) / 2
	return at, f(at)
}

// Units is how many units of the second layer there are: the dimension of the span.
func (s *Span) Units() int { _, r := s.Basis.Dims(); return r }

// Point returns the coordinates of a random point: z is moved from a random place along a random direction of the span, as far as there is
// room, so that the arguments of the second layer vary as much as they can.
func (s *Span) Point() []float64 {
	m0, r := s.Basis.Dims()
	way := mat.NewVecDense(r, nil)
	for k := range r {
		way.SetVec(k, s.rng.NormFloat64())
	}
	var push mat.VecDense
	push.MulVec(s.Basis, way)
	push.ScaleVec(1/mat.Norm(&push, math.Inf(1)), &push)
	length := 3 * s.rng.Float64() * (s.room[1] - s.room[0])
	z, u := make([]float64, m0), make([]float64, m0)
	facts := s.g.Facts()
	for i := range z {
		z[i] = s.room[0] + (s.room[1]-s.room[0])*s.rng.Float64() + length*push.AtVec(i)
		z[i] = math.Max(s.room[0], math.Min(s.room[1], z[i]))
		u[i] = network.Inverse(s.g, (z[i]-facts.Left.Intercept)/(facts.Right.Intercept-facts.Left.Intercept))
	}
	s.g.Apply(0, z, u)
	q := mat.NewVecDense(r, nil)
	q.MulVec(s.Basis.T(), mat.NewVecDense(m0, z))
	s.points[q.AtVec(0)] = u
	return q.RawVector().Data
}

// Ask evaluates f at points that Point returned.
func (s *Span) Ask(ctx context.Context, q *mat.Dense) ([]float64, error) {
	rows, _ := q.Dims()
	m0, _ := s.Basis.Dims()
	u := mat.NewDense(rows, m0, nil)
	for r := range rows {
		point, ok := s.points[q.At(r, 0)]
		if !ok {
			return nil, fault.New(fault.Internal, "a point of the span was asked that it did not give")
		}
		u.SetRow(r, point)
	}
	return s.middle.Ask(ctx, u)
}

// Queries returns how many were asked of the oracle.
func (s *Span) Queries() int64 { return s.middle.Queries() }

// Straight is the activation of coordinates that are the inputs of the second layer themselves.
type Straight struct{}

// Facts returns those of the identity.
func (Straight) Facts() core.Facts {
	tail := core.Tail{Asymptotic: true, Slope: 1, Rate: math.Inf(1)}
	return core.Facts{Left: tail, Right: tail, Symmetry: core.SymmetryPoint}
}

// Apply implements [core.Function].
func (Straight) Apply(order int, dst, t []float64) {
	switch order {
	case 0:
		copy(dst, t)
	case 1:
		for k := range dst {
			dst[k] = 1
		}
	default:
		clear(dst)
	}
}
