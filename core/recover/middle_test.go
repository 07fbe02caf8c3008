package recover

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/sample"
)

// TestMiddle: f at the coordinates v is that of the network whose first layer is the units', whatever their number; v are
// pre-activations within the reach where there are no more units than inputs, and near it where there are.
func TestMiddle(t *testing.T) {
	for _, c := range []struct{ d, m0 int }{{10, 6}, {8, 8}, {6, 11}} {
		truth := planted(c.d, c.m0, 3, "tanh", 3)
		var units []sample.Unit
		for i := range c.m0 {
			row := truth.First.Weight.RawRowView(i)
			norm := mat.Norm(mat.NewVecDense(c.d, row), 2)
			direction := make([]float64, c.d)
			for j := range row {
				direction[j] = row[j] / norm
			}
			units = append(units, sample.Unit{Direction: direction, Offset: truth.First.Bias[i] / norm, Decay: 2 * norm, Error: 1e-9})
		}
		o := &oracle{n: truth, f: function(t, "tanh")}
		m, err := NewMiddle(o, units, 2, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		const rows = 40
		v := mat.NewDense(rows, c.m0, nil)
		within := 0
		for r := range rows {
			v.SetRow(r, m.Point())
			for _, u := range v.RawRowView(r) {
				if math.Abs(u) <= middleReach {
					within++
				}
			}
		}
		if within < rows*c.m0*9/10 || c.m0 <= c.d && within < rows*c.m0 {
			t.Errorf("%d units for %d inputs: %d of %d coordinates within %g", c.m0, c.d, within, rows*c.m0, middleReach)
		}
		y, err := m.Ask(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		behind := truth.Clone()
		behind.First.Weight = mat.NewDense(c.m0, c.m0, nil)
		for i := range c.m0 {
			behind.First.Weight.Set(i, i, 1)
			behind.First.Bias[i] = 0
		}
		for r, want := range behind.Evaluate(o.f, o.f, v) {
			if math.Abs(y[r]-want) > 1e-9 {
				t.Fatalf("%d units for %d inputs: f is %g at the coordinates, not %g", c.m0, c.d, y[r], want)
			}
		}
		if e := m.Error(); e < 1e-9 || e > 1e-7 {
			t.Errorf("coordinates are said to be right to %.1e, with directions right to 1e-9", e)
		}
	}
}
