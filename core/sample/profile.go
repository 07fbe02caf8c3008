package sample

import (
	"cmp"
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// Profile is f along the normal of a unit's hyperplane, at distances S from a point where the unit is between its limits and
// all others are at theirs: an analytic function of g(|a_i| s + u).
type Profile struct {
	// Tails are parts near the limits; empty where f approaches them too slowly for limits to be seen.
	Tails []Tail
	// Part is which part of the way from the limit behind (S < 0) to that ahead f has made at S = 0; only with Tails.
	Part float64
	// S and Y are the step as a whole, where Tails is empty.
	S, Y []float64
}

// Tail is one side of a step.
type Tail struct {
	S      []float64 // distances, negative against the direction
	E      []float64 // f less its limit on this side
	Height float64   // the limit on this side less that on the other
}

func newTailsProfile(tails []tail) *Profile {
	p := &Profile{Part: tails[0].part}
	for _, t := range tails {
		p.Tails = append(p.Tails, Tail{S: floats.ScaleTo(make([]float64, len(t.s)), t.sign, t.s), E: t.e, Height: t.height})
	}
	return p
}

// wholePlaces are where a step without visible limits is asked, to either side, in widths.
var wholePlaces = []float64{0.4, 0.9, 1.5, 2.2, 3.2, 4.7, 7, 11, 20, 50}

// profile asks for the step at x as a whole; as in decay, other places of the hyperplane follow where a neighbour is near.
func (s *saturation) profile(ctx context.Context, x []float64, u *Unit) (bool, error) {
	least := math.Inf(1)
	for try := range wholeTries {
		place := x
		if try > 0 {
			place = along(x, s.radius*math.Pow(2, float64(try%4)/2), orthogonal(s.rng, u.Direction))
		}
		p := &Profile{S: []float64{0}}
		for _, w := range wholePlaces {
			p.S = append(p.S, w*u.Width, -w*u.Width)
		}
		var err error
		if p.Y, err = (line{Origin: place, Direction: u.Direction}).ask(ctx, s.oracle, p.S); err != nil {
			return false, err
		}
		if err := s.fill(ctx, place, u, p); err != nil {
			return false, err
		}
		if steepness(p) < leastSteep {
			return false, nil // a slope, not a step
		}
		if misfit := s.settings.Explain(p); misfit < least {
			u.Profile, least = p, misfit
		}
		if least < goodWhole {
			break
		}
	}
	return least < fairWhole, nil
}

// fill asks in the middle of the gaps of a step in which f changes much: a line may have met the step in its tail, where it is not steepest.
func (s *saturation) fill(ctx context.Context, place []float64, u *Unit, p *Profile) error {
	for range fillings {
		order := p.order()
		most := widestGap * (floats.Max(p.Y) - floats.Min(p.Y))
		var middles []float64
		for k := 1; k < len(order); k++ {
			if a, b := order[k-1], order[k]; math.Abs(p.Y[b]-p.Y[a]) > most {
				middles = append(middles, (p.S[a]+p.S[b])/2)
			}
		}
		if len(middles) == 0 {
			return nil
		}
		y, err := (line{Origin: place, Direction: u.Direction}).ask(ctx, s.oracle, middles)
		if err != nil {
			return err
		}
		p.S, p.Y = append(p.S, middles...), append(p.Y, y...)
	}
	return nil
}

// order returns the indices of the points from the least S to the largest.
func (p *Profile) order() []int {
	order := make([]int, len(p.S))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(p.S[a], p.S[b]) })
	return order
}

// steepness is the largest slope between neighbouring points over that of a straight line with the same height.
func steepness(p *Profile) float64 {
	order := p.order()
	steepest := 0.0
	for k := 1; k < len(order); k++ {
		a, b := order[k-1], order[k]
		steepest = math.Max(steepest, math.Abs((p.Y[b]-p.Y[a])/(p.S[b]-p.S[a])))
	}
	return steepest * (p.S[order[len(order)-1]] - p.S[order[0]]) / (floats.Max(p.Y) - floats.Min(p.Y))
}

// leastSteep is the steepness from which f counts as a step: the tails of other units make slopes, which have one.
const leastSteep = 1.5

// The part of a step between two neighbouring points above which there is to be one between them, and how often gaps are halved.
const (
	widestGap = 0.1
	fillings  = 5
)

// wholeTries is how many places are tried. Where units of the second layer pass 0 within a step, softsign's jump there is no polynomial in
// the first layer's: of (20,20,5) networks' units one in a hundred has that at four places in a row.
const wholeTries = 10

// Sums of squared misfits of a step as a whole, relative to its height.
const (
	goodWhole = 1e-11
	fairWhole = 1e-4
)
