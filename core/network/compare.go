package network

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// Comparison is the distance between two networks modulo the symmetries of the model: permutations within a layer and,
// where the activation has a symmetry, the sign of a unit. Each error is the Euclidean norm of the difference of a
// unit's incoming parameters (weights and bias) over the norm of its true weights.
type Comparison struct {
	MaxError    float64   `json:"max_error"`    // the largest of all that follow
	First       []float64 `json:"first"`        // error of each first-layer unit, in the order of the true network
	Second      []float64 `json:"second"`       // error of each second-layer unit
	Output      []float64 `json:"output"`       // |c_l - found| / |c_l|
	OutputBias  float64   `json:"output_bias"`  // |c0 - found| / |c|
	FirstOrder  []int     `json:"first_order"`  // found unit that matches each true one
	SecondOrder []int     `json:"second_order"` //
}

// Compare matches found with truth; g and h are the facts of truth's activations. The networks must have the same
// sizes.
func Compare(truth, found *Network, g, h core.Facts) (*Comparison, error) {
	m0, m1 := truth.Sizes()
	n0, n1 := found.Sizes()
	if truth.Inputs() != found.Inputs() || m0 != n0 || m1 != n1 {
		return nil, fault.New(fault.Usage, "the networks differ in size: %d-%d-%d and %d-%d-%d (inputs, units of the first layer, units of the second)",
			truth.Inputs(), m0, m1, found.Inputs(), n0, n1)
	}
	aligned := found.Clone()
	c := &Comparison{}
	c.FirstOrder = match(truth.First, aligned.First, g.Symmetry)
	aligned.permuteFirst(c.FirstOrder)
	for i := range m0 {
		if opposite(truth.First, aligned.First, i) {
			aligned.FlipFirst(i, g)
		}
	}
	c.SecondOrder = match(truth.Second, aligned.Second, h.Symmetry)
	aligned.permuteSecond(c.SecondOrder)
	for l := range m1 {
		if opposite(truth.Second, aligned.Second, l) {
			aligned.FlipSecond(l, h)
		}
	}
	for i := range m0 {
		c.First = append(c.First, unitDistance(truth.First, aligned.First, i, i, false)/weightNorm(truth.First, i))
	}
	for l := range m1 {
		c.Second = append(c.Second, unitDistance(truth.Second, aligned.Second, l, l, false)/weightNorm(truth.Second, l))
		c.Output = append(c.Output, math.Abs(truth.Output[l]-aligned.Output[l])/nonzero(math.Abs(truth.Output[l])))
	}
	c.OutputBias = math.Abs(truth.OutputBias-aligned.OutputBias) / nonzero(floats.Norm(truth.Output, 2))
	c.MaxError = math.Max(math.Max(floats.Max(c.First), floats.Max(c.Second)), math.Max(floats.Max(c.Output), c.OutputBias))
	return c, nil
}

func nonzero(v float64) float64 {
	if v == 0 {
		return 1
	}
	return v
}

func weightNorm(l Layer, i int) float64 { return nonzero(floats.Norm(l.Weight.RawRowView(i), 2)) }

// unitDistance is the distance of the parameters of truth's unit i and (minus, when flipped) found's unit j.
func unitDistance(truth, found Layer, i, j int, flipped bool) float64 {
	sign := 1.0
	if flipped {
		sign = -1
	}
	total := math.Pow(truth.Bias[i]-sign*found.Bias[j], 2)
	a, b := truth.Weight.RawRowView(i), found.Weight.RawRowView(j)
	for k := range a {
		total += math.Pow(a[k]-sign*b[k], 2)
	}
	return math.Sqrt(total)
}

// weightDistance is unitDistance of the weights alone: biases of later layers move with the flips of earlier ones.
func weightDistance(truth, found Layer, i, j int, flipped bool) float64 {
	sign := 1.0
	if flipped {
		sign = -1
	}
	total := 0.0
	a, b := truth.Weight.RawRowView(i), found.Weight.RawRowView(j)
	for k := range a {
		total += math.Pow(a[k]-sign*b[k], 2)
	}
	return math.Sqrt(total)
}

// match assigns to every unit of truth one of found, at the least total relative distance.
func match(truth, found Layer, symmetry core.Symmetry) []int {
	n := truth.Neurons()
	cost := make([][]float64, n)
	for i := range cost {
		cost[i] = make([]float64, n)
		norm := weightNorm(truth, i)
		for j := range n {
			d := unitDistance(truth, found, i, j, false)
			if symmetry != core.SymmetryNone {
				d = math.Min(d, weightDistance(truth, found, i, j, true))
				d = math.Min(d, weightDistance(truth, found, i, j, false))
				// Units with the same weights are told apart by their biases.
				d += tieBreak * math.Min(unitDistance(truth, found, i, j, false), unitDistance(truth, found, i, j, true))
			}
			cost[i][j] = math.Min(d/norm, 10) // beyond any resemblance all are alike
		}
	}
	return Assign(cost)
}

// tieBreak is what biases count for, next to weights, where a flip may have moved them.
const tieBreak = 1e-3

func opposite(truth, found Layer, i int) bool {
	return floats.Dot(truth.Weight.RawRowView(i), found.Weight.RawRowView(i)) < 0
}

func (n *Network) permuteFirst(order []int) {
	n.First = permuted(n.First, order)
	m1 := n.Second.Neurons()
	w := mat.NewDense(m1, len(order), nil)
	for l := range m1 {
		for i, j := range order {
			w.Set(l, i, n.Second.Weight.At(l, j))
		}
	}
	n.Second.Weight = w
}

func (n *Network) permuteSecond(order []int) {
	n.Second = permuted(n.Second, order)
	c := make([]float64, len(order))
	for l, j := range order {
		c[l] = n.Output[j]
	}
	n.Output = c
}

func permuted(l Layer, order []int) Layer {
	_, width := l.Weight.Dims()
	p := Layer{Weight: mat.NewDense(len(order), width, nil), Bias: make([]float64, len(order)), Activation: l.Activation}
	for i, j := range order {
		p.Weight.SetRow(i, l.Weight.RawRowView(j))
		p.Bias[i] = l.Bias[j]
	}
	return p
}

// FlipFirst changes the sign of first-layer unit i without changing the function; it does nothing when g, the facts
// of the layer's activation, has no symmetry.
func (n *Network) FlipFirst(i int, g core.Facts) {
	if g.Symmetry == core.SymmetryNone {
		return
	}
	flipIncoming(n.First, i)
	if g.Symmetry == core.SymmetryEven {
		return
	}
	for l := range n.Second.Bias { // g(-t) = 2 g(0) - g(t)
		w := n.Second.Weight.At(l, i)
		n.Second.Weight.Set(l, i, -w)
		n.Second.Bias[l] += 2 * centre(g) * w
	}
}

// FlipSecond changes the sign of second-layer unit l without changing the function, likewise.
func (n *Network) FlipSecond(l int, h core.Facts) {
	if h.Symmetry == core.SymmetryNone {
		return
	}
	flipIncoming(n.Second, l)
	if h.Symmetry == core.SymmetryEven {
		return
	}
	n.OutputBias += 2 * centre(h) * n.Output[l]
	n.Output[l] = -n.Output[l]
}

func flipIncoming(l Layer, i int) {
	floats.Scale(-1, l.Weight.RawRowView(i))
	l.Bias[i] = -l.Bias[i]
}

// centre is g(0) of a point-symmetric function: the mean of its asymptotes' intercepts, and 0 where it has none.
func centre(f core.Facts) float64 {
	if !f.Left.Asymptotic || !f.Right.Asymptotic {
		return 0
	}
	return (f.Left.Intercept + f.Right.Intercept) / 2
}
