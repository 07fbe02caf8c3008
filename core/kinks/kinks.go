// Package kinks identifies networks whose activations are asymptotically linear (softplus, SiLU, GELU, ELU, leaky ones) from
// far out. There f is piecewise linear, with a kink wherever a unit of either layer is between its asymptotes.
//
// The gradient's jump over a kink of unit i of the first layer is parallel to a_i, wherever on the unit's hyperplane it is met; across it,
// f is a linear function plus a multiple of g(|a_i| s + u): norm and shift follow from a fit in one variable. Behind all hyperplanes
// of the first layer, where every z_i = g(u_i) is linear in u_i, f is a network of one hidden layer in z, whose hyperplanes are met in the
// same way. So both layers follow unit by unit, with no start to be guessed and nothing to be attributed.
package kinks

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
)

// Candidate is an activation that a layer may have.
type Candidate struct {
	Name     string
	Function core.Function
}

// Suits reports whether an activation bends from one linear function to another, faster than any power: what this
// package needs of both layers.
func Suits(f core.Facts) bool {
	return f.Left.Asymptotic && f.Right.Asymptotic && f.Left.Slope != f.Right.Slope && f.Left.Rate > 0 && f.Right.Rate > 0
}

// Settings say what is known. The zero value is the default.
type Settings struct {
	M0, M1  int     // sizes of the hidden layers; 0 when not known
	Noise   float64 // standard deviation of an answer's error over |f|; 0 means rounding alone
	Observe func(text string)
}

// Result is what was found from far out: a network right to about eight digits, and the evidence for its activations.
type Result struct {
	Network *network.Network
	G, H    Candidate
	// Misfit of each candidate, in the order given, for the layers: root mean square over units of what the fit of the unit's bend leaves, over
	// the bend's size.
	First, Second []float64
	Zone          float64 // f is linear along a random ray beyond |x| = Zone
	latent        *latent
}

// latent are coordinates u = A^T x + theta; m0 <= d.
type latent struct {
	inverse *mat.Dense // d x m0
	theta   []float64
}

func (l *latent) point(u []float64) []float64 {
	d, m0 := l.inverse.Dims()
	x := mat.NewVecDense(d, nil)
	x.MulVec(l.inverse, mat.NewVecDense(m0, floats.SubTo(make([]float64, m0), u, l.theta)))
	return x.RawVector().Data
}

// rounding is what an answer's own arithmetic leaves, over |f|: a few of its sums' terms are larger than f.
const rounding = 8 * 0x1p-53

// Lines asked at most, and without anything new before a layer counts as complete.
const (
	mostLines    = 12
	idleFirst    = 2
	idleSecond   = 24
	mostSecond   = 120
	lineLength   = 20 // radii to either side
	enoughOfFit  = 1e-3
	rounds       = 4 // of looking elsewhere
	unseenSlopes = 1e-6
	slopeMisfit  = 1e-4 // slopes are known better than that
)

// Find identifies the network behind the oracle, each layer's activation among its candidates. The error is
// [fault.Unsupported] when it resists, with the reason.
func Find(ctx context.Context, oracle query.Asker, d int, first, second []Candidate, rng *rand.Rand, settings Settings) (*Result, error) {
	if settings.Observe == nil {
		settings.Observe = func(string) {}
	}
	plane := &field{oracle: oracle, n: d, x: func(y []float64) []float64 { return y }, noise: math.Max(rounding, settings.Noise)}
	var rays [][]float64
	for range 2 {
		v := sample.Direction(rng, d)
		rays = append(rays, v, along(make([]float64, d), -1, v))
	}
	if err := plane.measure(ctx, make([]float64, d), rays); err != nil {
		return nil, err
	}
	planes, err := firstLayer(ctx, plane, rng, settings)
	if fault.Is(err, fault.Unsupported) && len(planes) > 0 {
		return nil, kinked(ctx, plane, planes, rng, err)
	}
	if err != nil {
		return nil, err
	}
	r := &Result{Zone: plane.zone}
	var shapes []shape
	if r.G, shapes, r.First, err = explain(ctx, plane, planes, plane.anywhere(rng), first); err != nil {
		return nil, err
	}
	m0 := len(planes)
	a, theta := mat.NewDense(m0, d, nil), make([]float64, m0)
	for i, h := range planes {
		for j, v := range h.normal {
			a.Set(i, j, shapes[i].norm*v)
		}
		theta[i] = shapes[i].center - shapes[i].norm*h.offset // offset and center are of the same point's
	}
	if r.latent, err = newLatent(a, theta); err != nil {
		return nil, err
	}
	return r, r.second(ctx, plane, a, rng, second, settings)
}

// NewResult completes a result with the network that was found by other means than this package's; its first layer may have no more units
// than inputs.
func NewResult(r Result, n *network.Network) (*Result, error) {
	l, err := newLatent(n.First.Weight, n.First.Bias)
	r.Network, r.latent = n, l
	return &r, err
}

// Input returns the x of least norm at which the arguments of the first layer are u.
func (r *Result) Input(u []float64) []float64 { return r.latent.point(u) }

func newLatent(a *mat.Dense, theta []float64) (*latent, error) {
	m0, d := a.Dims()
	var svd mat.SVD
	if !svd.Factorize(a, mat.SVDThin) {
		return nil, fault.New(fault.Internal, "the singular value decomposition of the first layer did not converge")
	}
	values := svd.Values(nil)
	if values[m0-1] < 1e-9*values[0] {
		return nil, fault.New(fault.Unsupported, "the first layer's directions are dependent: the smallest singular value is %.1e of the largest", values[m0-1]/values[0])
	}
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	for k, s := range values {
		for i := range d {
			v.Set(i, k, v.At(i, k)/s)
		}
	}
	l := &latent{inverse: mat.NewDense(d, m0, nil), theta: theta}
	l.inverse.Mul(&v, u.T())
	return l, nil
}

// firstLayer finds the hyperplanes of the first layer; with an error, those of a part of it.
func firstLayer(ctx context.Context, f *field, rng *rand.Rand, settings Settings) ([]*hyperplane, error) {
	s := &search{field: f, rng: rng, place: f.anywhere(rng)}
	s.line = func() line {
		return line{sphere(rng, f.n, f.radius), sample.Direction(rng, f.n), -lineLength * f.radius, lineLength * f.radius}
	}
	idle := 0
	for {
		added, err := s.step(ctx)
		if err != nil {
			return nil, err
		}
		if idle++; added > 0 {
			idle = 0
		}
		settings.Observe(fmt.Sprintf("first layer: %d units after %d lines", len(s.found), s.lines))
		if settings.M0 > 0 && len(s.found) >= settings.M0 {
			break
		}
		if len(s.found) > f.n {
			return s.found, fault.New(fault.Unsupported, "the first layer has more units than the %d inputs: their arguments cannot be set at will", f.n)
		}
		if len(s.found) > 0 && len(s.found) < f.n || idle >= idleFirst {
			blind, err := s.blind(ctx)
			if err != nil {
				return nil, err
			}
			if blind && len(s.found) > 0 {
				break
			}
		}
		if len(s.found) == f.n && settings.M0 == 0 {
			break
		}
		if s.lines >= mostLines && len(s.found) == 0 {
			return nil, fault.New(fault.Unsupported, "%w", &Straight{s.lines})
		}
		if s.lines >= mostLines {
			return s.found, fault.New(fault.Unsupported, "%d lines far out show %d units of the first layer, and f depends on more", s.lines, len(s.found))
		}
	}
	if len(s.found) > f.n {
		return s.found, fault.New(fault.Unsupported, "the first layer has more units than the %d inputs: their arguments cannot be set at will", f.n)
	}
	return s.found, nil
}

// explain fits every candidate to the units' bends and takes the one that fits best. A unit whose bend fits nothing nearly as
// well as the others' do is looked at elsewhere: another kink may have been near.
func explain(ctx context.Context, f *field, planes []*hyperplane, place func(*hyperplane, float64) []float64, candidates []Candidate) (best Candidate, shapes []shape, misfits []float64, err error) {
	fits := make([][]shape, len(candidates)) // of each candidate, the units'
	for c := range candidates {
		fits[c] = make([]shape, len(planes))
		for k := range planes {
			fits[c][k].part = math.Inf(1)
		}
	}
	misfits = make([]float64, len(candidates))
	chosen := -1
	sharp := map[*hyperplane]bool{}
	wanted := planes
	for range rounds {
		profiles, err := f.profiles(ctx, wanted, func(h *hyperplane) []float64 { return place(h, placeRadius*f.zone) })
		if err != nil {
			return best, nil, nil, err
		}
		for k, p := range profiles {
			sharp[wanted[k]] = p.sharp
		}
		for c, candidate := range candidates {
			facts := candidate.Function.Facts()
			if !Suits(facts) {
				misfits[c] = math.Inf(1)
				continue
			}
			for k, h := range planes {
				at := slices.Index(wanted, h)
				if at < 0 {
					continue
				}
				sign, misfit, err := orientation(planes, h, facts)
				if err != nil {
					return best, nil, nil, err
				}
				if s, ok := profiles[at].fit(candidate.Function, sign); ok {
					if misfit > slopeMisfit {
						s.part = math.Max(s.part, misfit)
					}
					if s.part < fits[c][k].part {
						fits[c][k] = s
					}
				}
			}
			misfits[c] = worst(fits[c])
			if chosen < 0 || misfits[c] < misfits[chosen] || median(fits[c]) < median(fits[chosen])/100 {
				chosen = c
			}
		}
		if chosen < 0 {
			return best, nil, misfits, fault.New(fault.Unsupported, "no candidate bends from one linear function to another")
		}
		wanted = nil
		typical := median(fits[chosen])
		for k, s := range fits[chosen] {
			if s.part > 1e-7+100*typical {
				wanted = append(wanted, planes[k])
			}
		}
		if len(wanted) == 0 {
			break
		}
	}
	if !(misfits[chosen] < enoughOfFit) {
		if count := countTrue(sharp); 2*count > len(planes) {
			return best, nil, misfits, fault.New(fault.Unsupported, "%w", &Sharp{Hyperplanes: count})
		}
		return best, nil, misfits, fault.New(fault.Unsupported, "no activation explains how the units bend: %s, the best, leaves %.1e of a bend", candidates[chosen].Name, misfits[chosen])
	}
	return candidates[chosen], fits[chosen], misfits, nil
}

// Sharp is the error where f has kinks: its slope jumps across so many hyperplanes, as far as their neighbourhood can be resolved.
type Sharp struct{ Hyperplanes int }

func (s *Sharp) Error() string {
	return fmt.Sprintf("far out, the slope of f jumps across %d hyperplanes: kinks, as ReLU makes them, and no activation that bends smoothly", s.Hyperplanes)
}

// Straight is the error where f grows far out and has no kink at all on so many lines, though it is not linear.
type Straight struct{ Lines int }

func (s *Straight) Error() string {
	return fmt.Sprintf("far out, f grows linearly and bends nowhere on %d lines, but near the origin it does", s.Lines)
}

// kinked returns [Sharp] where most of the hyperplanes found are kinks, else the reason given.
func kinked(ctx context.Context, f *field, planes []*hyperplane, rng *rand.Rand, reason error) error {
	place := f.anywhere(rng)
	profiles, err := f.profiles(ctx, planes, func(h *hyperplane) []float64 { return place(h, placeRadius*f.zone) })
	if err != nil {
		return err
	}
	count := 0
	for _, p := range profiles {
		if p.sharp {
			count++
		}
	}
	if 2*count > len(planes) {
		return fault.New(fault.Unsupported, "%w", &Sharp{Hyperplanes: count})
	}
	return reason
}

func countTrue(m map[*hyperplane]bool) int {
	count := 0
	for _, v := range m {
		if v {
			count++
		}
	}
	return count
}

func worst(fits []shape) float64 {
	most := 0.0
	for _, s := range fits {
		most = math.Max(most, s.part)
	}
	return most
}

func median(fits []shape) float64 {
	parts := make([]float64, len(fits))
	for k, s := range fits {
		parts[k] = s.part
	}
	slices.Sort(parts)
	return parts[len(parts)/2]
}

// orientation tells on which side of a unit's hyperplane its argument is positive: +1 along the normal. Softplus, SiLU and GELU look the
// same turned round, up to a linear function; but the share that the unit has in the gradient is its slope times what is common to
// both sides, and nothing on the side where the slope is zero. Misfit is how far the ratio of the shares is from that of the slopes,
// which the bend itself says nothing of either.
func orientation(planes []*hyperplane, h *hyperplane, f core.Facts) (sign, misfit float64, err error) {
	at := slices.Index(planes, h)
	before, _, err := shares(planes, h.before)
	if err != nil {
		return 0, 0, err
	}
	behind, _, err := shares(planes, h.behind)
	if err != nil {
		return 0, 0, err
	}
	l, r := before[at], behind[at]
	along, against := math.Abs(l*f.Right.Slope-r*f.Left.Slope), math.Abs(l*f.Left.Slope-r*f.Right.Slope)
	size := (math.Abs(l) + math.Abs(r)) * math.Max(math.Abs(f.Left.Slope), math.Abs(f.Right.Slope))
	if along <= against {
		return 1, along / size, nil
	}
	return -1, against / size, nil
}
