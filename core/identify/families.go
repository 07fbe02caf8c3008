package identify

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
)

// family is a candidate together with the others that describe exactly the same networks (as tanh and sigmoid do):
// answers can't tell them apart, so that one fit serves them all.
type family struct {
	Candidate
	twins []Candidate
}

// families groups the candidates that saturation sampling can be used with, in the order given. It fails when there is
// none, saying why for each.
func families(candidates []Candidate) ([]family, error) {
	var groups []family
	var refused []string
next:
	for _, c := range candidates {
		f := c.Function.Facts()
		switch {
		case !f.Saturates():
			refused = append(refused, c.Name+" does not saturate")
			continue
		case !(f.Left.Rate > 0) || math.IsInf(f.Left.Rate, 1) || f.Left.Rate != f.Right.Rate:
			refused = append(refused, c.Name+" has no exponential tails of one rate")
			continue
		}
		for k := range groups {
			if _, ok := network.Equivalent(groups[k].Function, c.Function); ok {
				groups[k].twins = append(groups[k].twins, c)
				continue next
			}
		}
		groups = append(groups, family{Candidate: c})
	}
	if len(groups) == 0 {
		return nil, fault.New(fault.Unsupported, "the exact recipe needs an activation that saturates exponentially on both sides: %s", strings.Join(refused, "; "))
	}
	return groups, nil
}

// plainShift is the ratio of shifts to weights, root mean square over the second layer, up to which a network reads as
// written in a family that is zero in the middle. Trained tanh networks have 0.2 to 0.5 (22 of 24 below 0.55), networks trained
// with sigmoid and rewritten in tanh 0.58 to 2.7 (22 of 24) (docs/exact.md).
const plainShift = 0.56

// nameTwin chooses between families that describe the same function, and writes n in the chosen one. Answers can't
// decide; the size of the shifts suggests.
func (f family) nameTwin(n *network.Network) (Candidate, string) {
	if len(f.twins) == 0 {
		return f.Candidate, ""
	}
	members := append([]Candidate{f.Candidate}, f.twins...)
	var centred, other *Candidate
	for k := range members {
		facts := members[k].Function.Facts()
		if facts.Left.Intercept+facts.Right.Intercept == 0 {
			if centred == nil {
				centred = &members[k]
			}
		} else if other == nil {
			other = &members[k]
		}
	}
	chosen := f.Candidate
	if centred != nil && other != nil {
		f.rewrite(n, *centred)
		total := 0.0
		for l, tau := range n.Second.Bias {
			total += math.Pow(tau/floats.Norm(n.Second.Weight.RawRowView(l), 2), 2)
		}
		chosen = *centred
		if math.Sqrt(total/float64(len(n.Second.Bias))) > plainShift {
			chosen = *other
			family{Candidate: *centred}.rewrite(n, chosen)
		}
	}
	var names []string
	for _, m := range members {
		names = append(names, m.Name)
	}
	return chosen, fmt.Sprintf("%s describe the same function; the shifts suggest %s", strings.Join(names, " and "), chosen.Name)
}

// rewrite writes n, given in f's own activation, in the equivalent one of c.
func (f family) rewrite(n *network.Network, c Candidate) {
	if f.Name == c.Name {
		return
	}
	a, ok := network.Equivalent(f.Function, c.Function)
	if !ok {
		return
	}
	n.RewriteFirst(a, c.Name)
	n.RewriteSecond(a, c.Name)
}

func functions(families []family) []core.Function {
	var all []core.Function
	for _, f := range families {
		all = append(all, f.Function)
	}
	return all
}
