package fronts

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/kinks"
	"github.com/nnid/nnid/core/network"
)

// patience is how many ways in a row may bring nothing new as long as a unit is known to be missing.
const patience = 60

// mostSecond is how many ways are tried for the second layer.
const mostSecond = 200

// enough is what a bend may leave of its size, and its slopes of theirs, for an activation to explain it.
const enough = 1e-3

// explainFirst finds the candidate that explains how the fronts bend, and with it the weights (m0 x d) and shifts of the first layer.
func (s *search) explainFirst(r *kinks.Result) (*mat.Dense, []float64, error) {
	m0 := len(s.planes)
	chosen := -1
	var weights *mat.Dense
	var shifts []float64
	for c, candidate := range s.first {
		r.First = append(r.First, 1)
		facts := candidate.Function.Facts()
		if !kinks.Suits(facts) {
			continue
		}
		a, theta, worst := mat.NewDense(m0, s.n, nil), make([]float64, m0), 0.0
		for i, p := range s.planes {
			least := math.Inf(1)
			for _, b := range p.bends {
				sign, misfit, err := s.orientation(i, b, facts)
				if err != nil {
					return nil, nil, err
				}
				fit, ok := kinks.FitBend(candidate.Function, b.s, b.p, b.corner(), sign)
				if !ok || math.Max(fit.Part, misfit) >= least {
					continue
				}
				least = math.Max(fit.Part, misfit)
				norm := fit.Norm / floats.Dot(p.normal, b.direction)
				floats.ScaleTo(a.RawRowView(i), norm, p.normal)
				theta[i] = fit.Center - norm*floats.Dot(p.normal, b.at)
			}
			worst = math.Max(worst, least)
		}
		if r.First[c] = math.Min(worst, 1); chosen < 0 || worst < r.First[chosen] {
			chosen, weights, shifts = c, a, theta
		}
	}
	if chosen < 0 || r.First[chosen] > enough {
		return nil, nil, fault.New(fault.Unsupported, "no activation explains how the fronts of the second layer bend")
	}
	r.G = s.first[chosen]
	return weights, shifts, nil
}

// orientation tells whether the argument of unit i rises along a bend's direction (1) or falls (-1): the share that its normal has in the
// gradient is its slope, times the same on both sides. Misfit is how far the ratio of the shares is from that of the slopes.
func (s *search) orientation(i int, b bend, f core.Facts) (sign, misfit float64, err error) {
	normals := mat.NewDense(s.n, len(s.planes), nil)
	for k, p := range s.planes {
		normals.SetCol(k, p.normal)
	}
	both := mat.NewDense(s.n, 2, nil)
	both.SetCol(0, b.before)
	both.SetCol(1, b.behind)
	var share mat.Dense
	if err := share.Solve(normals, both); err != nil && share.IsEmpty() {
		return 0, 0, fault.New(fault.Unsupported, "the directions found are dependent: %w", err)
	}
	l, r := share.At(i, 0), share.At(i, 1)
	along, against := math.Abs(l*f.Right.Slope-r*f.Left.Slope), math.Abs(l*f.Left.Slope-r*f.Right.Slope)
	size := (math.Abs(l) + math.Abs(r)) * math.Max(math.Abs(f.Left.Slope), math.Abs(f.Right.Slope))
	if along <= against {
		return 1, along / size, nil
	}
	return -1, against / size, nil
}

// secondLayer finds the second layer where every unit of the first is on its steeper asymptote: fronts are straight there.
func (s *search) secondLayer(ctx context.Context, r *kinks.Result, a *mat.Dense, theta []float64) error {
	m0, d := a.Dims()
	facts := r.G.Function.Facts()
	steep, side := facts.Right, 1.0
	if math.Abs(facts.Left.Slope) > math.Abs(facts.Right.Slope) {
		steep, side = facts.Left, -1
	}
	// One unit of the second layer, not used, as there is no network without.
	n := network.New(d, m0, 1, r.G.Name, "")
	n.First.Weight.Copy(a)
	copy(n.First.Bias, theta)
	found, err := kinks.NewResult(*r, n)
	if err != nil {
		return err
	}
	cone := &field{oracle: s.oracle, n: m0, x: found.Input, radius: s.radius * mat.Norm(a, 2) / math.Sqrt(float64(m0)), change: s.change}
	s.g, s.steep = r.G.Function, steep.Slope
	margin := 1.5 * kinks.Width(r.G.Function)
	far := func() []float64 { // arguments of very different size: they decide which units of the second layer are alive
		u := make([]float64, m0)
		uneven := 1 + 3*s.rng.Float64()
		for i := range u {
			u[i] = math.Exp(uneven * s.rng.NormFloat64())
		}
		floats.Scale(side*cone.radius/floats.Norm(u, 2), u)
		floats.AddConst(side*margin, u)
		return u
	}
	var units []*front
	var taus []float64
	cone.known = func(u []float64) float64 {
		total, p := 0.0, []float64{0}
		for l, unit := range units {
			p[0] = floats.Dot(unit.gradient, u) + taus[l]
			unit.h.Apply(0, p, p)
			total += unit.weight() * p[0]
		}
		return total
	}
	chosen := 0
	for idle, ways := 0, 1; (idle < quiet || s.unseen(n, units) != nil && idle < patience) && ways <= mostSecond; ways++ {
		from, to := far(), far()
		if seen := s.unseen(n, units); seen != nil { // from where it pulls up to where it pulls down, as far as it was seen
			for i, share := range seen {
				if share > 0 {
					from[i] *= pull
				} else if share < 0 {
					to[i] *= pull
				}
			}
		}
		direction := floats.SubTo(make([]float64, m0), to, from)
		length := floats.Norm(direction, 2)
		floats.Scale(1/length, direction)
		idle++
		err := cone.steps(ctx, way{from, direction, length, 3}, func(st step) (bool, error) {
			unit, c, misfits, err := cone.explain(ctx, st, s.second)
			if err != nil || unit == nil {
				return false, err
			}
			gradient, ok, err := cone.differentiate(ctx, unit, unit.at)
			if err != nil || !ok {
				return false, err
			}
			unit.gradient, chosen = gradient, c
			for k, m := range misfits {
				s.misfits[k] = math.Min(s.misfits[k], m)
			}
			units, taus = append(units, unit), append(taus, -floats.Dot(gradient, unit.at))
			idle = 0
			return true, nil // what is left of f is another function now
		})
		if err != nil {
			return err
		}
		s.settings.Observe(fmt.Sprintf("second layer: %d units after %d ways", len(units), ways))
		if s.settings.M1 > 0 && len(units) >= s.settings.M1 {
			break
		}
		if len(units) > 4*m0 {
			return fault.New(fault.Unsupported, "the second layer has more than four times as many units as the first")
		}
	}
	if len(units) == 0 {
		return fault.New(fault.Unsupported, "no unit of the second layer passes 0 where the first layer is linear")
	}
	r.H, r.Second = s.second[chosen], s.misfits
	whole := network.New(d, m0, len(units), r.G.Name, r.H.Name)
	whole.First = n.First
	for l, unit := range units {
		// p = gradient . u + tau, and z = steep.Slope u + steep.Intercept.
		whole.Second.Bias[l] = taus[l]
		for i, v := range unit.gradient {
			w := v / steep.Slope
			whole.Second.Weight.Set(l, i, w)
			whole.Second.Bias[l] -= w * steep.Intercept
		}
		whole.Output[l] = unit.weight()
	}
	result, err := kinks.NewResult(*r, whole)
	if err != nil {
		return err
	}
	*r = *result
	return nil
}

// pull is by how much arguments are stretched that make a unit of the second layer positive, or negative, which was seen before.
const pull = 100

// unseen returns what is known of the weights of a second-layer unit that bent fronts have shown and that is none of those found: its shares in
// the units of the first layer that were alive there, up to positive factors. Nil where there is none.
func (s *search) unseen(n *network.Network, found []*front) []float64 {
	m0, _ := n.Sizes()
	slopes := make([]float64, m0)
	columns := mat.NewDense(s.n, m0, nil)
	g := s.g
next:
	for _, r := range s.fronts {
		for i := range slopes {
			slopes[i] = floats.Dot(n.First.Weight.RawRowView(i), r.at) + n.First.Bias[i]
		}
		g.Apply(1, slopes, slopes)
		columns.Copy(n.First.Weight.T())
		var share mat.VecDense
		if err := share.SolveVec(columns, mat.NewVecDense(s.n, r.gradient)); err != nil && share.Len() == 0 {
			return nil
		}
		shares := share.RawVector().Data
		size := floats.Norm(shares, 2)
		for _, unit := range found {
			away := make([]float64, m0)
			for i := range away {
				away[i] = unit.gradient[i]*slopes[i]/s.steep - shares[i]
			}
			if rest := floats.Norm(away, 2); rest < sameUnit*size || floats.Norm(floats.AddScaledTo(away, away, 2, shares), 2) < sameUnit*size {
				continue next
			}
		}
		for i := range shares {
			if math.Abs(shares[i]) < sameUnit*size {
				shares[i] = 0
			}
		}
		return shares
	}
	return nil
}

// sameUnit is how far shares may be off those of a unit that is found.
const sameUnit = 1e-3
