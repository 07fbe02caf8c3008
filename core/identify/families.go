package identify

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

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

// nameTwin chooses between families that describe the same function, and writes n in the chosen one. Answers can't
// decide; the shifts of the second layer suggest ([shiftEvidence]).
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
		chosen = *centred
		facts := other.Function.Facts()
		offset := (facts.Right.Intercept + facts.Left.Intercept) / (facts.Right.Intercept - facts.Left.Intercept)
		if shiftEvidence(n.Second, offset) > shiftEvidence(n.Second, 0) {
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

// as returns the family with its member c in front.
func (f family) as(c Candidate) family {
	chosen := family{Candidate: c}
	for _, member := range append([]Candidate{f.Candidate}, f.twins...) {
		if member.Name != c.Name {
			chosen.twins = append(chosen.twins, member)
		}
	}
	return chosen
}

// shiftScales are the sizes that the shifts of trained networks have, over |b_l|, in the activation they were trained with.
var shiftScales = []float64{0.1, 0.2, 0.3, 0.5, 0.8}

// shiftEvidence is the logarithm of the likelihood of a second layer's shifts, given in a family that is zero in the middle, when it was
// trained with one whose middle is offset half-ranges from zero (1 for sigmoid). In its own family a shift over |b_l| is normal with one of
// [shiftScales], all as likely; rewriting adds offset times the sum of b_l's weights, each with the sign that its first-layer unit happens to
// have: of covariance offset^2 b_k . b_l. Of 220 networks that scikit-learn trained, the larger evidence names 90 % rightly (docs/exact.md).
func shiftEvidence(second network.Layer, offset float64) float64 {
	m1, m0 := second.Weight.Dims()
	unit := mat.NewDense(m1, m0, nil)
	ratio := mat.NewVecDense(m1, nil)
	for l, tau := range second.Bias {
		norm := math.Max(floats.Norm(second.Weight.RawRowView(l), 2), math.SmallestNonzeroFloat64)
		floats.ScaleTo(unit.RawRowView(l), 1/norm, second.Weight.RawRowView(l))
		ratio.SetVec(l, tau/norm)
	}
	var logs []float64
	for _, scale := range shiftScales {
		covariance := mat.NewSymDense(m1, nil)
		covariance.SymOuterK(offset*offset, unit)
		for l := range m1 {
			covariance.SetSym(l, l, covariance.At(l, l)+scale*scale)
		}
		var cholesky mat.Cholesky
		var solved mat.VecDense
		if !cholesky.Factorize(covariance) || cholesky.SolveVecTo(&solved, ratio) != nil {
			continue
		}
		logs = append(logs, -(cholesky.LogDet()+mat.Dot(ratio, &solved))/2)
	}
	if len(logs) == 0 {
		return math.Inf(-1)
	}
	return floats.LogSumExp(logs)
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
