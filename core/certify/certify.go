// Package certify says how sure a found network is: from the answers and their noise alone, without the truth.
package certify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"

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
	// Weakest are the combinations of parameters with the largest error bars, the largest first.
	Weakest []Direction `json:"weakest,omitempty"`
	// Radius is where a true zero is guaranteed, or why none is; nil beyond the networks whose covariance is computed.
	Radius *Radius `json:"radius,omitempty"`
}

// open is the relative error bar from which a parameter counts as undetermined.
const open = 0.05

// At certifies the network n, fitted to data (whose Sigma must be set). Up to dense parameters the covariance is computed;
// beyond, its diagonal is estimated with random probes (Bekas, Kokiopoulou, Saad, Appl. Numer. Math. 57, 2007), to about a third, and the
// condition number is left out (0).
func At(ctx context.Context, n *network.Network, g, h core.Function, data refine.Data, dense int) (*Certificate, error) {
	_, m1 := n.Sizes()
	c := &Certificate{Rows: len(data.Y), Undetermined: []string{}}
	c.Excess = math.Sqrt(refine.Loss(n, g, h, data) / float64(max(1, len(data.Y)-n.Parameters())))
	if len(data.Y) < n.Parameters() {
		c.singular(n, nil)
		return c, nil
	}
	var variance []float64
	var condition float64
	if n.Parameters() <= dense {
		t, dead := decompose(n, g, h, data)
		if t == nil {
			c.singular(n, dead)
			return c, nil
		}
		c.Weakest = t.weakest(n, g, h, data.X, math.Max(1, c.Excess))
		if math.IsInf(t.condition, 1) {
			c.singular(n, nil)
			for _, w := range c.Weakest {
				if w.ErrorBar > open {
					c.Undetermined = append(c.Undetermined, w.What)
				}
			}
			return c, nil
		}
		variance, condition = t.variances(), t.condition
		c.Radius = t.radius(n, g, h, data, c.Excess)
	} else {
		var err error
		if variance, err = probed(ctx, n, g, h, data); err != nil {
			return nil, err
		}
	}
	c.Condition = condition
	// Errors larger than expected are counted in; smaller ones are not counted on.
	floats.Scale(math.Max(1, c.Excess*c.Excess), variance)
	for _, g := range groups(n) {
		e := g.bar(variance)
		c.note(e, g.what)
		*g.in(c) = append(*g.in(c), e)
	}
	c.OutputBias, c.Output = c.Output[m1], c.Output[:m1]
	for _, w := range c.Weakest {
		if len(c.Undetermined) > 0 && w.ErrorBar > open {
			c.Undetermined = append(c.Undetermined, fmt.Sprintf("%s (relative error bar %.1g)", w.What, w.ErrorBar))
		}
	}
	return c, nil
}

// group is what one error bar is of: some parameters, relative to a norm.
type group struct {
	what  string
	parts []part
	norm  float64
	in    func(c *Certificate) *[]float64
}

// part is from..to of the parameters, as [refine.Pack] has them.
type part struct{ from, to int }

// bar returns the error bar, given the parameters' variances.
func (g group) bar(variance []float64) float64 {
	total := 0.0
	for _, p := range g.parts {
		total += floats.Sum(variance[p.from:p.to])
	}
	return math.Sqrt(math.Max(total, 0)) / math.Max(g.norm, math.SmallestNonzeroFloat64)
}

// groups lists all error bars of n: those of the first layer's units, of the second's, each with its output weight's, and the output bias's.
func groups(n *network.Network) []group {
	m0, m1 := n.Sizes()
	d := n.Inputs()
	theta := m0 * d
	b := theta + m0
	tau := b + m0*m1
	output := tau + m1
	inFirst := func(c *Certificate) *[]float64 { return &c.First }
	inSecond := func(c *Certificate) *[]float64 { return &c.Second }
	inOutput := func(c *Certificate) *[]float64 { return &c.Output }
	var all []group
	for i := range m0 {
		all = append(all, group{fmt.Sprintf("unit %d of the first layer", i), []part{{i * d, (i + 1) * d}, {theta + i, theta + i + 1}}, floats.Norm(n.First.Weight.RawRowView(i), 2), inFirst})
	}
	for l := range m1 {
		all = append(all,
			group{fmt.Sprintf("unit %d of the second layer", l), []part{{b + l*m0, b + (l+1)*m0}, {tau + l, tau + l + 1}}, floats.Norm(n.Second.Weight.RawRowView(l), 2), inSecond},
			group{fmt.Sprintf("output weight %d", l), []part{{output + l, output + l + 1}}, math.Abs(n.Output[l]), inOutput},
		)
	}
	return append(all, group{"the output bias", []part{{output + m1, output + m1 + 1}}, floats.Norm(n.Output, 2), inOutput})
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

// The diagonal of the covariance is estimated with so many random vectors; with half of them where there are so many parameters that those
// of a unit average out.
const (
	probes = 4
	plenty = 10000
)

// probed estimates the diagonal of (J^T J)^{-1} as the mean of v * (J^T J)^{-1} v over random signs v, in units of each
// parameter's own column, so that large parameters don't drown small ones.
func probed(ctx context.Context, n *network.Network, g, h core.Function, data refine.Data) ([]float64, error) {
	o := refine.NewOperator(n, g, h, data)
	p := n.Parameters()
	rng := rand.New(rand.NewPCG(1, uint64(p)))
	variance := make([]float64, p)
	count := probes
	if p > plenty {
		count /= 2
	}
	for range count {
		v := make([]float64, p)
		for i := range v {
			v[i] = float64(1 - 2*rng.IntN(2))
		}
		s, err := o.Solve(ctx, v, 0.03, 150)
		if err != nil {
			return nil, err
		}
		for i := range v {
			variance[i] += v[i] * s[i] / float64(count)
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
