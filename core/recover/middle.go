package recover

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// Middle is where the units of the first layer are alive: points at which many, or, where there are no more of them than
// inputs, all are near their transitions. Its coordinates v in R^{m0} are those of [Latent], u_i = v_i + delta_i, but of
// more units than inputs not every v belongs to an x.
type Middle struct {
	Weight *mat.Dense // m0 x d: v = Weight x + Shift
	Shift  []float64
	errors []float64 // of v over |x|
	reach  []float64 // how far from 0 v is drawn: where a unit's transition may be
	oracle query.Asker
	rng    *rand.Rand
	pseudo *mat.Dense // d x m0, pseudo-inverse of Weight
	damped *mat.Dense // the same, but for directions in which hardly any unit moves
}

// ridge is the singular value of the weights, as a fraction of the largest, below which x does not go further out for the units to
// move: errors of their directions grow with |x|, and what they weigh along such a direction shows at ordinary |x| as well.
const ridge = 0.01

// leastSeen is the singular value of the first layer's weights, relative to the largest, below which points are not moved along its direction:
// they would have to go so far that the errors of the directions decide where the units are.
const leastSeen = 1e-5

// NewMiddle makes it for units whose activation's tails decay at the given rate.
func NewMiddle(oracle query.Asker, units []sample.Unit, rate float64, rng *rand.Rand) (*Middle, error) {
	m0, d := len(units), len(units[0].Direction)
	m := &Middle{Weight: mat.NewDense(m0, d, nil), oracle: oracle, rng: rng, pseudo: mat.NewDense(d, m0, nil), damped: mat.NewDense(d, m0, nil)}
	for i, u := range units {
		norm := u.Decay / rate
		floats.ScaleTo(m.Weight.RawRowView(i), norm, u.Direction)
		m.Shift = append(m.Shift, norm*u.Offset)
		m.errors = append(m.errors, norm*u.Error)
		m.reach = append(m.reach, middleReach+math.Min(norm*u.OffsetError, mostUncertain))
	}
	var svd mat.SVD
	if !svd.Factorize(m.Weight, mat.SVDThin) {
		return nil, fault.New(fault.Internal, "the singular value decomposition of the first layer's weights failed")
	}
	values := svd.Values(nil)
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	damped := mat.DenseCopyOf(&v)
	for k, s := range values {
		for i := range d {
			at := v.At(i, k)
			damped.Set(i, k, at*s/(s*s+ridge*ridge*values[0]*values[0]))
			if s > leastSeen*values[0] {
				v.Set(i, k, at/s)
			} else {
				v.Set(i, k, 0)
			}
		}
	}
	m.pseudo.Mul(&v, u.T())
	m.damped.Mul(damped, u.T())
	return m, nil
}

// middleReach is how far from their transitions units are wanted, in terms of v: tanh is within 1e-3 of its limit there.
const middleReach = 4.0

// mostUncertain is how much farther, at most, a unit whose offset is uncertain is looked for.
const mostUncertain = 8.0

// Point returns random coordinates.
func (m *Middle) Point() []float64 {
	v := make([]float64, len(m.Shift))
	for i := range v {
		v[i] = m.reach[i] * (2*m.rng.Float64() - 1)
	}
	return m.Near(v)
}

// Near returns coordinates near to v that an x has, one that is not much further out than others.
func (m *Middle) Near(v []float64) []float64 { return m.coordinates(m.solve(m.damped, v)) }

// Input returns the x of least norm with the coordinates v.
func (m *Middle) Input(v []float64) []float64 { return m.solve(m.pseudo, v).RawVector().Data }

// Error is the root mean square error of the coordinates that the errors of the units' directions leave.
func (m *Middle) Error() float64 {
	const points = 10
	total := 0.0
	for range points {
		v := make([]float64, len(m.Shift))
		for i := range v {
			v[i] = middleReach * (2*m.rng.Float64() - 1)
		}
		x := mat.Norm(m.solve(m.damped, v), 2)
		for _, e := range m.errors {
			total += e * e * x * x
		}
	}
	return math.Sqrt(total / float64(points*len(m.Shift)))
}

// Coordinates returns those of x.
func (m *Middle) Coordinates(x []float64) []float64 { return m.coordinates(mat.NewVecDense(len(x), x)) }

func (m *Middle) coordinates(x *mat.VecDense) []float64 {
	v := mat.NewVecDense(len(m.Shift), append([]float64(nil), m.Shift...))
	var at mat.VecDense
	at.MulVec(m.Weight, x)
	v.AddVec(v, &at)
	return v.RawVector().Data
}

// solve returns the x for the coordinates v by the given inverse of Weight.
func (m *Middle) solve(inverse *mat.Dense, v []float64) *mat.VecDense {
	want := mat.NewVecDense(len(v), floats.SubTo(make([]float64, len(v)), v, m.Shift))
	var x mat.VecDense
	x.MulVec(inverse, want)
	return &x
}

// Place returns an x with the coordinates nearest to v: anywhere along the directions that no unit sees, so that answers there tell those too.
func (m *Middle) Place(v []float64) []float64 {
	x := m.solve(m.pseudo, v)
	if m0, d := m.Weight.Dims(); m0 < d {
		away := mat.NewVecDense(d, sample.Direction(m.rng, d))
		var seen, back mat.VecDense
		seen.MulVec(m.Weight, away)
		back.MulVec(m.pseudo, &seen)
		away.SubVec(away, &back)
		x.AddScaledVec(x, mat.Norm(x, 2), away)
	}
	return x.RawVector().Data
}

// Ask evaluates f at places with the given coordinates.
func (m *Middle) Ask(ctx context.Context, v *mat.Dense) ([]float64, error) {
	rows, _ := v.Dims()
	_, d := m.Weight.Dims()
	points := mat.NewDense(rows, d, nil)
	for r := range rows {
		points.SetRow(r, m.Place(v.RawRowView(r)))
	}
	return m.oracle.Ask(ctx, points)
}

// Queries returns how many were asked of the oracle.
func (m *Middle) Queries() int64 { return m.oracle.Queries() }

// rescale replaces the coordinate of unit i by stretch times it plus shift.
func (m *Middle) rescale(i int, stretch, shift float64) {
	floats.Scale(stretch, m.Weight.RawRowView(i))
	m.Shift[i] = stretch*m.Shift[i] + shift
	m.errors[i] *= stretch
	d, _ := m.pseudo.Dims()
	for k := range d {
		m.pseudo.Set(k, i, m.pseudo.At(k, i)/stretch)
	}
}
