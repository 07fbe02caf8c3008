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
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// Part is the network that is left when all first-layer units but some are saturated: fewer units than inputs, so
// that latent coordinates exist. The saturated ones only shift the second layer.
type Part struct {
	Units  []int // indices of the units that are alive
	Second *Second
	X      *mat.Dense // rows where they all move, and the answers
	Y      []float64
	away   []float64 // x of the part lies around here: where all others are saturated
}

// Wide recovers the second layer when the first has more units than inputs, part by part. Every unit is in one part
// at least, and successive parts share units, by which they are joined.
type Wide struct {
	units []sample.Unit
	rate  float64
	parts []Part
}

// shared is how many units a part has in common with those before it, where there is room: columns of B are matched on
// the rows that they share.
const shared = 4

// SampleWide asks the queries for all parts. saturation is the radius at which a first-layer unit is saturated along
// nearly every direction; grid the relative spacing of x.
func SampleWide(ctx context.Context, oracle query.Asker, units []sample.Unit, rate, saturation, grid float64, rng *rand.Rand, settings Settings) (*Wide, error) {
	m0, d := len(units), len(units[0].Direction)
	size := min(max(d-2, 2*d/3), d-1)
	if size < 3 {
		return nil, fault.New(fault.Unsupported, "%d inputs are too few to keep all but some of %d first-layer units saturated", d, m0)
	}
	w := &Wide{units: units, rate: rate}
	order := rng.Perm(m0)
	for next := 0; next < m0; {
		members := append([]int(nil), order[next:min(m0, next+size-min(shared, next))]...)
		next += len(members)
		for k := 0; len(members) < size && k < next-len(members); k++ {
			members = append(members, order[k])
		}
		part, err := w.part(ctx, oracle, members, saturation, grid, rng, settings)
		if err != nil {
			return nil, err
		}
		settings.M1 = max(settings.M1, part.Second.M1())
		w.parts = append(w.parts, *part)
	}
	return w, nil
}

// tries at a part, each at another place: where a second-layer unit is dead the gradients don't show it.
const tries = 6

func (w *Wide) part(ctx context.Context, oracle query.Asker, members []int, saturation, grid float64, rng *rand.Rand, settings Settings) (*Part, error) {
	alive := make([]sample.Unit, len(members))
	for k, i := range members {
		alive[k] = w.units[i]
	}
	var last error
	for range tries {
		latent, err := NewLatent(alive, w.rate)
		if err != nil {
			return nil, err
		}
		if latent.away, err = w.saturate(latent, members, saturation, rng); err != nil {
			return nil, err
		}
		local := settings
		local.Noise = math.Hypot(settings.Noise, grid*floats.Norm(latent.away, 2)*floats.Max(latent.Norms))
		second, err := SecondLayer(ctx, oracle, latent, rng, local)
		if err != nil {
			if !fault.Is(err, fault.Unsupported) {
				return nil, err
			}
			last = err
			continue
		}
		m1 := second.M1()
		p := &Part{Units: members, Second: second, away: latent.away}
		rows := 8*(3*m1+1) + 2*len(members)
		p.X = mat.NewDense(rows, len(latent.away), nil)
		for r := range rows {
			v := make([]float64, len(members))
			for i := range v {
				v[i] = 6*rng.Float64() - 3
			}
			p.X.SetRow(r, latent.Point(v))
		}
		p.Y, err = oracle.Ask(ctx, p.X)
		return p, err
	}
	return nil, last
}

// saturate returns a displacement that no living unit sees and that saturates all others.
func (w *Wide) saturate(l *Latent, members []int, saturation float64, rng *rand.Rand) ([]float64, error) {
	origin := l.Point(make([]float64, len(members)))
	var best []float64
	most := 0.0
	for range 50 {
		v := l.Across(sample.Direction(rng, len(origin)))
		n := floats.Norm(v, 2)
		if n < 1e-6 {
			continue
		}
		floats.Scale(1/n, v)
		least := math.Inf(1)
		for i, u := range w.units {
			if !contains(members, i) {
				least = math.Min(least, u.Decay*math.Abs(floats.Dot(u.Direction, v)))
			}
		}
		if least > most {
			best, most = v, least
		}
	}
	if best == nil {
		return nil, fault.New(fault.Unsupported, "no direction keeps %d of the first layer's units alive and saturates the others", len(members))
	}
	// Every other unit at least 45 decay lengths from its step, from wherever in the part's cube.
	reach := 0.0
	for i, u := range w.units {
		if !contains(members, i) {
			offset := math.Abs(floats.Dot(u.Direction, origin)+u.Offset) + saturation/20
			reach = math.Max(reach, (60/u.Decay+offset)/math.Abs(floats.Dot(u.Direction, best)))
		}
	}
	floats.Scale(reach, best)
	return best, nil
}

func contains(s []int, i int) bool {
	for _, v := range s {
		if v == i {
			return true
		}
	}
	return false
}

// Network joins the parts under the assumption that the activations are g and h. Columns of B are matched by the rows
// that parts share, and what the saturated units added to each part's shifts is taken off.
func (w *Wide) Network(g, h core.Function, gName, hName string, rng *rand.Rand) (*network.Network, error) {
	d := len(w.units[0].Direction)
	var whole *network.Network
	known := make([]bool, len(w.units))
	for _, p := range w.parts {
		n := p.Second.Network(h, gName, hName, p.X, p.Y, rng)
		_, m1 := n.Sizes()
		if whole == nil {
			whole = network.New(d, len(w.units), m1, gName, hName)
			copy(whole.Output, n.Output)
		} else if _, m := whole.Sizes(); m != m1 {
			return nil, fault.New(fault.Unsupported, "parts of the network show %d and %d units of the second layer", m, m1)
		} else {
			w.match(whole, n, p, known, h.Facts())
		}
		for k, i := range p.Units {
			if known[i] {
				continue
			}
			known[i] = true
			whole.First.Weight.SetRow(i, n.First.Weight.RawRowView(k))
			whole.First.Bias[i] = n.First.Bias[k]
			for l := range m1 {
				whole.Second.Weight.Set(l, i, n.Second.Weight.At(l, k))
			}
		}
		if p.Units[0] == w.parts[0].Units[0] {
			copy(whole.Second.Bias, n.Second.Bias)
			whole.OutputBias = n.OutputBias
		}
	}
	// The first part's shifts hold what the units saturated there contribute.
	first := w.parts[0]
	facts := g.Facts()
	for i, u := range w.units {
		if contains(first.Units, i) {
			continue
		}
		limit := facts.Right.Intercept
		if floats.Dot(u.Direction, first.away) < 0 {
			limit = facts.Left.Intercept
		}
		for l := range whole.Second.Bias {
			whole.Second.Bias[l] -= limit * whole.Second.Weight.At(l, i)
		}
	}
	return whole, nil
}

// M1 returns the number of second-layer units that the parts show.
func (w *Wide) M1() int {
	return w.parts[0].Second.M1()
}

// Middle returns a random x at which many units are near their transitions: as near as the least squares solution for
// random latent coordinates comes.
func (w *Wide) Middle(rng *rand.Rand) []float64 {
	m0, d := len(w.units), len(w.units[0].Direction)
	weighted := mat.NewDense(m0, d, nil)
	right := mat.NewVecDense(m0, nil)
	for i, u := range w.units {
		norm := u.Decay / w.rate
		weighted.SetRow(i, u.Direction)
		floats.Scale(norm, weighted.RawRowView(i))
		right.SetVec(i, 8*rng.Float64()-4-norm*u.Offset)
	}
	var x mat.VecDense
	if err := solveVec(&x, weighted, right); err != nil {
		return make([]float64, d)
	}
	return x.RawVector().Data
}

func solveVec(x *mat.VecDense, a *mat.Dense, b *mat.VecDense) error {
	err := x.SolveVec(a, b)
	if _, ill := err.(mat.Condition); ill {
		return nil
	}
	return err
}

// match puts n's second-layer units into whole's order and signs.
func (w *Wide) match(whole, n *network.Network, p Part, known []bool, h core.Facts) {
	_, m1 := n.Sizes()
	cost := make([][]float64, m1)
	flips := make([][]bool, m1)
	for l := range m1 {
		cost[l] = make([]float64, m1)
		flips[l] = make([]bool, m1)
		for k := range m1 {
			var same, opposite, size float64
			add := func(a, b float64) {
				same += (a - b) * (a - b)
				opposite += (a + b) * (a + b)
				size += a*a + b*b
			}
			for j, i := range p.Units {
				if known[i] {
					add(whole.Second.Weight.At(l, i), n.Second.Weight.At(k, j))
				}
			}
			add(whole.Output[l], n.Output[k])
			if h.Symmetry == core.SymmetryPoint && opposite < same {
				same, flips[l][k] = opposite, true
			}
			cost[l][k] = math.Sqrt(same / math.Max(size, 1e-300))
		}
	}
	order := network.Assign(cost)
	matched := n.Clone()
	for l, k := range order {
		if flips[l][k] {
			n.FlipSecond(k, h)
		}
		matched.Second.Weight.SetRow(l, n.Second.Weight.RawRowView(k))
		matched.Second.Bias[l], matched.Output[l] = n.Second.Bias[k], n.Output[k]
	}
	n.Second, n.Output = matched.Second, matched.Output
}
