package recover

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// sweepPoints is how many points lie on the way from one end of a second-layer unit's range to the other.
const sweepPoints = 12

// Sweeps returns points along which each second-layer unit goes through its whole range: all first-layer units move
// together, each to the side that its weight says. At random points sums of many weights stay near their mean, and a
// unit whose shift is large never wakes up.
func (s *Second) Sweeps(rng *rand.Rand) [][]float64 {
	m0, m1 := s.Directions.Dims()
	var points [][]float64
	for l := range m1 {
		for k := range sweepPoints {
			t := 4 * (2*float64(k)/(sweepPoints-1) - 1)
			v := append([]float64(nil), s.Base...)
			for i := range m0 {
				v[i] = math.Copysign(t, t*s.Directions.At(i, l)) + 0.7*rng.NormFloat64()
			}
			points = append(points, s.Latent.Point(v))
		}
	}
	return points
}

// Network completes the second layer under the assumption that its activation is h: scale, shift and output weight of
// each unit, first from its slopes, then from the answers y at the rows x, where all units move.
func (s *Second) Network(h core.Function, gName, hName string, x *mat.Dense, y []float64, rng *rand.Rand) *network.Network {
	m0, m1 := s.Directions.Dims()
	_, d := s.Latent.Rows.Dims()
	n := network.New(d, m0, m1, gName, hName)
	stretch, delta := s.Shifts.Stretch, s.Shifts.Delta
	for i := range m0 {
		for j := range d {
			n.First.Weight.Set(i, j, stretch[i]*s.Latent.Norms[i]*s.Latent.Rows.At(i, j))
		}
		n.First.Bias[i] = stretch[i]*s.Latent.Norms[i]*s.Latent.Offsets[i] + delta[i]
	}
	direction := s.Directions
	// z at the gradients' points and at the rows.
	z := mat.NewDense(len(s.points), m0, nil)
	for k, v := range s.points {
		row := z.RawRowView(k)
		for i := range row {
			row[i] = stretch[i]*v[i] + delta[i]
		}
		s.Shifts.G.Apply(0, row, row)
	}
	rows := min(len(y), 30*m1+200)
	zx := mat.NewDense(rows, m0, nil)
	for k := range rows {
		row := zx.RawRowView(k)
		for i, v := range s.Latent.Coordinates(x.RawRowView(k)) {
			row[i] = stretch[i]*v + delta[i]
		}
		s.Shifts.G.Apply(0, row, row)
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
