package identify

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// Activations with a jump in their second derivative at 0 (softsign, ELU) are simpler functions on either side of it, in which other
// weights are as good: softsign is a Moebius function, so that shift, weights and output weight can all be scaled. The fit runs along
// that valley until an answer is on the other side by next to nothing, and then the Jacobian has full rank, for that one answer alone.

// jumps reports whether the activation's first or second derivative jumps at 0, by a thousandth of the most it comes to near 0 at least.
func jumps(f core.Function) bool {
	const beside = 1e-9
	near := make([]float64, 0, 41)
	for k := -20; k <= 20; k++ {
		near = append(near, float64(k)/20)
	}
	values := make([]float64, len(near))
	for order := 1; order <= 2; order++ {
		t := []float64{-beside, beside}
		f.Apply(order, t, t)
		f.Apply(order, values, near)
		if math.Abs(t[1]-t[0]) > 1e-3*floats.Norm(values, math.Inf(1)) {
			return true
		}
	}
	return false
}

// Of the range of a unit's argument, the part that it must be on either side of 0 by, at so many answers at least.
const (
	otherSide   = 1e-3
	otherAnswer = 2
)

// oneSided names a unit of n that is on one side of 0 at all rows of x, where its activation jumps there; "" where there is none.
func oneSided(n *network.Network, g, h core.Function, x *mat.Dense) string {
	first, second := jumps(g), jumps(h)
	if !first && !second {
		return ""
	}
	rows, _ := x.Dims()
	check := func(p *mat.Dense, layer string) string {
		_, units := p.Dims()
		for i := range units {
			low, high := math.Inf(1), math.Inf(-1)
			for r := range rows {
				low, high = math.Min(low, p.At(r, i)), math.Max(high, p.At(r, i))
			}
			var below, above int
			for r := range rows {
				if v := p.At(r, i); v < -otherSide*(high-low) {
					below++
				} else if v > otherSide*(high-low) {
					above++
				}
			}
			if min(below, above) < otherAnswer {
				return fmt.Sprintf("unit %d of the %s layer is on one side of 0 at all answers, where its activation is a simpler function that other weights describe as well", i, layer)
			}
		}
		return ""
	}
	if first {
		u := mat.NewDense(rows, n.First.Neurons(), nil)
		u.Mul(x, n.First.Weight.T())
		for r := range rows {
			for i, theta := range n.First.Bias {
				u.Set(r, i, u.At(r, i)+theta)
			}
		}
		if text := check(u, "first"); text != "" {
			return text
		}
	}
	if second {
		return check(secondLayer(n, g, x), "second")
	}
	return ""
}
