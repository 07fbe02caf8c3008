package refine

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

// sleeper is a unit of the second layer that is near one of its limits L at all, or nearly all, rows: all that shows is its tail,
//
//	c (h(p) - L) = c exp(-k |tau|) (h(p) - L) exp(k |tau|),
//
// so that c exp(-k |tau|) and c0 + c L are determined well, and c, tau and c0 by themselves hardly. In these parameters the loss is a bent valley, and
// the columns of c and c0 in the Jacobian are the same to as many digits as the tail is small, which normal equations lose twice. In the parameters
// C = c exp(-k |tau|), tau and K = c0 + c L the valley is straight, and the columns are those of the tail itself.
type sleeper struct {
	unit  int
	rate  float64 // k, less than zero where it sleeps at its left limit: d log c / d tau at the same C
	limit float64 // L
}

// How far from its transition, in terms of 1/k, a unit sleeps, and at which part of the rows at least.
const (
	asleepFrom = 3
	asleepPart = 0.9
)

// sleepers lists the units of the second layer of n that sleep at the rows of x, where h has exponential tails.
func sleepers(n *network.Network, g, h core.Function, x *mat.Dense) []sleeper {
	facts := h.Facts()
	if !facts.Saturates() || !exponential(facts.Left) || !exponential(facts.Right) {
		return nil
	}
	m0, m1 := n.Sizes()
	rows, d := x.Dims()
	left, right := make([]int, m1), make([]int, m1)
	for from := 0; from < rows; from += blockRows {
		to := min(from+blockRows, rows)
		u, p := mat.NewDense(to-from, m0, nil), mat.NewDense(to-from, m1, nil)
		u.Mul(x.Slice(from, to, 0, d), n.First.Weight.T())
		addRow(u, n.First.Bias)
		g.Apply(0, u.RawMatrix().Data, u.RawMatrix().Data)
		p.Mul(u, n.Second.Weight.T())
		addRow(p, n.Second.Bias)
		for r := range to - from {
			for l, v := range p.RawRowView(r) {
				switch {
				case v > asleepFrom/facts.Right.Rate:
					right[l]++
				case v < -asleepFrom/facts.Left.Rate:
					left[l]++
				}
			}
		}
	}
	var list []sleeper
	for l := range m1 {
		switch least := asleepPart * float64(rows); {
		case float64(right[l]) >= least:
			list = append(list, sleeper{l, facts.Right.Rate, facts.Right.Intercept})
		case float64(left[l]) >= least:
			list = append(list, sleeper{l, -facts.Left.Rate, facts.Left.Intercept})
		}
	}
	return list
}

func exponential(t core.Tail) bool { return t.Rate > 0 && !math.IsInf(t.Rate, 1) }

// places of tau and c of unit l, and of c0, in [Pack]'s vector.
func places(n *network.Network, l int) (tau, c, c0 int) {
	m1 := len(n.Output)
	return n.Parameters() - 1 - 2*m1 + l, n.Parameters() - 1 - m1 + l, n.Parameters() - 1
}

// straighten turns a row of the Jacobian in [Pack]'s parameters into one in those of the sleepers; the one of C is for its change over exp(-k |tau|).
func straighten(n *network.Network, list []sleeper, row []float64) {
	for _, s := range list {
		tau, c, c0 := places(n, s.unit)
		row[c] -= s.limit * row[c0]
		row[tau] += s.rate * n.Output[s.unit] * row[c]
	}
}

// bendBack turns next, which is p and a step in the sleepers' parameters, into what it is in [Pack]'s.
func bendBack(n *network.Network, list []sleeper, p, next []float64) {
	for _, s := range list {
		tau, c, c0 := places(n, s.unit)
		next[c] *= math.Exp(s.rate * (next[tau] - p[tau]))
		next[c0] -= s.limit * (next[c] - p[c])
	}
}
