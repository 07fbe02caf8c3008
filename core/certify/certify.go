// Package certify says how sure a found network is: from the answers and their noise alone, without the truth.
package certify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Certificate is the statistical part of a result: what the least squares problem at the solution says.
type Certificate struct {
	Rows   int     `json:"rows"`   // answers fitted
	Excess float64 `json:"excess"` // root mean square residual over the answers' expected error: at most about 1
	// Condition is the condition number of the Jacobian, columns scaled to length one. Infinite (-1) when it is singular
	// to rounding.
	Condition float64 `json:"condition"`
	// ErrorBar is the largest of all that follow: standard deviations of units' parameters, relative to the norm of the
	// unit's weights, from sigma^2 (J^T J)^{-1}.
	ErrorBar   float64   `json:"error_bar"`
	First      []float64 `json:"first"`
	Second     []float64 `json:"second"`
	Output     []float64 `json:"output"`
	OutputBias float64   `json:"output_bias"`
	// Undetermined names what the answers leave open; empty when everything is determined.
	Undetermined []string `json:"undetermined"`
}

// open is the relative error bar from which a parameter counts as undetermined.
const open = 0.05

// At certifies the network n, fitted to data (whose Sigma must be set). Up to dense parameters the covariance is computed;
// beyond, its diagonal is estimated with random probes (Bekas, Kokiopoulou, Saad, Appl. Numer. Math. 57, 2007), to about a third, and the
// condition number is left out (0).
func At(ctx context.Context, n *network.Network, g, h core.Function, data refine.Data, dense int) (*Certificate, error) {
	m0, m1 := n.Sizes()
	d := n.Inputs()
	c := &Certificate{Rows: len(data.Y), Undetermined: []string{}}
	c.Excess = math.Sqrt(refine.Loss(n, g, h, data) / float64(max(1, len(data.Y)-n.Parameters())))
	if len(data.Y) < n.Parameters() {
		c.singular(n, nil)
		return c, nil
	}
	var variance []float64
	var condition float64
	var dead []int
	ok := true
	if n.Parameters() <= dense {
		variance, condition, dead, ok = variances(n, g, h, data)
	} else {
		var err error
		if variance, err = probed(ctx, n, g, h, data); err != nil {
			return nil, err
		}
	}
	c.Condition = condition
	if !ok {
		c.singular(n, dead)
		return c, nil
	}
	// Errors larger than expected are counted in; smaller ones are not counted on.
	scale := math.Max(1, c.Excess*c.Excess)
	deviation := func(from, to int) float64 { return math.Sqrt(scale * floats.Sum(variance[from:to])) }
	norm := func(row []float64) float64 { return math.Max(floats.Norm(row, 2), math.SmallestNonzeroFloat64) }
	theta := m0 * d
	b := theta + m0
	tau := b + m0*m1
	output := tau + m1
	for i := range m0 {
		e := math.Hypot(deviation(i*d, (i+1)*d), deviation(theta+i, theta+i+1)) / norm(n.First.Weight.RawRowView(i))
		c.note(e, fmt.Sprintf("unit %d of the first layer", i))
		c.First = append(c.First, e)
	}
	for l := range m1 {
		e := math.Hypot(deviation(b+l*m0, b+(l+1)*m0), deviation(tau+l, tau+l+1)) / norm(n.Second.Weight.RawRowView(l))
		c.note(e, fmt.Sprintf("unit %d of the second layer", l))
		c.Second = append(c.Second, e)
		o := deviation(output+l, output+l+1) / norm(n.Output[l:l+1])
		c.note(o, fmt.Sprintf("output weight %d", l))
		c.Output = append(c.Output, o)
	}
	c.OutputBias = deviation(output+m1, output+m1+1) / norm(n.Output)
	c.note(c.OutputBias, "the output bias")
	return c, nil
}

// singular notes that the answers do not determine everything, and the units whose parameters (dead, indices into
// [refine.Pack]'s vector) no answer sees at all.
func (c *Certificate) singular(n *network.Network, dead []int) {
	c.Condition, c.ErrorBar = -1, 1
	c.Undetermined = append(c.Undetermined, fmt.Sprintf("the %d answers do not determine all %d parameters: the Jacobian is singular to rounding", c.Rows, n.Parameters()))
	m0, m1 := n.Sizes()
	d := n.Inputs()
	theta := m0 * d
	tau := theta + m0 + m0*m1
	first, second := make([]bool, m0), make([]bool, m1)
	for _, k := range dead {
		switch {
		case k < theta:
			first[k/d] = true
		case k < theta+m0:
			first[k-theta] = true
		case k >= tau && k < tau+m1: // b_l may be without effect because of a unit of the first layer; tau_l not
			second[k-tau] = true
		}
	}
	for i, is := range first {
		if is {
			c.Undetermined = append(c.Undetermined, fmt.Sprintf("unit %d of the first layer: no answer depends on it", i))
		}
	}
	for l, is := range second {
		if is {
			c.Undetermined = append(c.Undetermined, fmt.Sprintf("unit %d of the second layer: no answer depends on it", l))
		}
	}
}

// probes is the number of random vectors that the diagonal of the covariance is estimated with.
const probes = 4

// probed estimates the diagonal of (J^T J)^{-1} as the mean of v * (J^T J)^{-1} v over random signs v, in units of each
// parameter's own column, so that large parameters don't drown small ones.
func probed(ctx context.Context, n *network.Network, g, h core.Function, data refine.Data) ([]float64, error) {
	o := refine.NewOperator(n, g, h, data)
	p := n.Parameters()
	rng := rand.New(rand.NewPCG(1, uint64(p)))
	variance := make([]float64, p)
	for range probes {
		v := make([]float64, p)
		for i := range v {
			v[i] = float64(1 - 2*rng.IntN(2))
		}
		s, err := o.Solve(ctx, v, 0.03, 150)
		if err != nil {
			return nil, err
		}
		for i := range v {
			variance[i] += v[i] * s[i] / probes
		}
	}
	for i, v := range variance {
		variance[i] = math.Abs(v) // an estimate of something positive
	}
	return variance, nil
}

func (c *Certificate) note(e float64, what string) {
	c.ErrorBar = math.Max(c.ErrorBar, e)
	if e > open {
		c.Undetermined = append(c.Undetermined, fmt.Sprintf("%s (relative error bar %.1g)", what, e))
	}
}

// variances returns the diagonal of (J^T J)^{-1} and the condition number of the scaled Jacobian; not ok when it is
// singular to rounding, and then dead are the parameters that no answer depends on.
func variances(n *network.Network, g, h core.Function, data refine.Data) (variance []float64, condition float64, dead []int, ok bool) {
	p := n.Parameters()
	free := make([]int, p)
	for i := range free {
		free[i] = i
	}
	normal := mat.NewSymDense(p, nil)
	refine.Normal(n, g, h, data, free, normal, make([]float64, p))
	scale := make([]float64, p)
	for i := range scale {
		if normal.At(i, i) <= 0 {
			dead = append(dead, i)
		}
		scale[i] = 1 / math.Sqrt(normal.At(i, i))
	}
	if len(dead) > 0 {
		return nil, 0, dead, false
	}
	for i := range p {
		for j := i; j < p; j++ {
			normal.SetSym(i, j, normal.At(i, j)*scale[i]*scale[j])
		}
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(normal) {
		return nil, 0, nil, false
	}
	var inverse mat.SymDense
	if err := cholesky.InverseTo(&inverse); err != nil {
		if _, ill := err.(mat.Condition); !ill {
			return nil, 0, nil, false
		}
	}
	variance = make([]float64, p)
	for i := range variance {
		variance[i] = inverse.At(i, i) * scale[i] * scale[i]
	}
	return variance, math.Sqrt(largest(normal) * largest(&inverse)), nil, true
}

// largest returns the largest eigenvalue of the positive definite matrix, by power iteration, to a few per cent.
func largest(m *mat.SymDense) float64 {
	n := m.SymmetricDim()
	v := mat.NewVecDense(n, nil)
	for i := range n {
		v.SetVec(i, 1+0.5*math.Sin(float64(i+1)))
	}
	value := 0.0
	for range 30 {
		var w mat.VecDense
		w.MulVec(m, v)
		value = mat.Norm(&w, 2)
		if value == 0 {
			return 0
		}
		v.ScaleVec(1/value, &w)
	}
	return value
}
