package refine

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
)

const (
	leastDamping = 1e-26 // relative to the squared length of a column
	corrections  = 12    // of one step, along the bend of the valley
	patience     = 5     // so many steps in a row that gain little end the fit
)

// Valley is [Levenberg] for fits that creep: where two units nearly coincide, or one is nearly linear, a product of parameters is determined
// well and its factors hardly, so that the loss has the form of a bent valley whose floor falls by 10^-10 of its walls. Two things differ. Steps come
// from the singular value decomposition of the Jacobian, columns scaled, which loses half as many digits as normal equations do. And
// they follow the valley: s minimises the loss at p + s itself, plus damping |s|^2, not that of the linear model, as far as a few
// corrections with the same decomposition can tell. That makes them some ten times as long.
//
// An iteration costs P^3 and a few evaluations: it is for some hundred parameters.
func Valley(ctx context.Context, start *network.Network, g, h core.Function, data Data, settings Settings) (*network.Network, Statistics, error) {
	if settings.Iterations == 0 {
		settings.Iterations = 80 // valleys that lead to the noise took 8 to 45
	}
	if settings.Tolerance == 0 {
		settings.Tolerance = 1e-3
	}
	n := start.Clone()
	p := Pack(n)
	count := float64(len(data.Y))
	trial := n.Clone()
	residuals := func(step []float64) []float64 {
		Unpack(trial, floats.AddTo(make([]float64, len(p)), p, step))
		r := trial.Evaluate(g, h, data.X)
		for i := range r {
			r[i] -= data.Y[i]
			if data.Sigma != nil {
				r[i] /= data.Sigma[i]
			}
		}
		return r
	}
	jacobian := mat.NewDense(len(data.Y), len(p), nil)
	loss := Loss(n, g, h, data)
	stats := Statistics{}
	for slow := 0; stats.Iterations < settings.Iterations && slow < patience; {
		residual := Jacobian(n, g, h, data, jacobian)
		s := slopesOf(jacobian)
		if s == nil {
			break // the Jacobian is not finite: the fit has run away, and ends where it was
		}
		// Which damping is right changes by many orders of magnitude from one step to the next: with the decomposition all are cheap. Of those
		// that gain about as much as any the largest is taken: the least ones may jump to where there is no way back from, such as a unit
		// so short that it is linear.
		type candidate struct {
			step          []float64
			loss, damping float64
		}
		var candidates []candidate
		before, least := loss, loss
		for damping := leastDamping; damping < 1; damping *= 100 {
			if err := ctx.Err(); err != nil {
				return n, stats, err
			}
			found := candidate{loss: loss, damping: damping}
			step := s.descend(residual, nil, damping)
			last := math.Inf(1)
			for range corrections {
				r := residuals(step)
				l := floats.Dot(r, r)
				if l < found.loss {
					found.step, found.loss = step, l
				}
				if !(l < last) {
					break
				}
				last = l
				step = floats.AddTo(make([]float64, len(step)), step, s.descend(r, step, damping))
			}
			if found.step != nil {
				candidates = append(candidates, found)
				least = math.Min(least, found.loss)
			}
		}
		var best []float64
		for _, c := range candidates {
			if c.loss <= math.Sqrt(before*least) {
				best, loss, stats.Damping = c.step, c.loss, c.damping
			}
		}
		stats.Iterations++
		if best == nil {
			break
		}
		floats.Add(p, best)
		Unpack(n, p)
		switch {
		case data.Sigma != nil && loss < count && before-loss < math.Max(0.01, settings.Tolerance*before):
			slow = patience // what is left to gain is worth a fraction of an error bar, along whichever direction
		case before-loss < settings.Tolerance*before:
			slow++
		default:
			slow = 0
		}
		if settings.Observe != nil {
			settings.Observe(stats.Iterations, loss/count)
		}
	}
	stats.Loss = loss / count
	return n, stats, nil
}

// slopes is the singular value decomposition of a Jacobian with columns scaled to length one.
type slopes struct {
	u, v   mat.Dense
	values []float64
	scale  []float64
}

// slopesOf returns nil where the Jacobian is not finite.
func slopesOf(jacobian *mat.Dense) *slopes {
	_, columns := jacobian.Dims()
	s := &slopes{scale: make([]float64, columns)}
	scaled := mat.DenseCopyOf(jacobian)
	for k := range s.scale {
		column := mat.Col(nil, k, jacobian)
		if s.scale[k] = 1 / floats.Norm(column, 2); math.IsInf(s.scale[k], 0) {
			s.scale[k] = 1 // no answer depends on it
		}
		floats.Scale(s.scale[k], column)
		scaled.SetCol(k, column)
	}
	var svd mat.SVD
	if !svd.Factorize(scaled, mat.SVDThin) {
		return nil
	}
	svd.UTo(&s.u)
	svd.VTo(&s.v)
	s.values = svd.Values(nil)
	return s
}

// descend returns the step that minimises |r + J step|^2 + damping |(step + so far) / scale|^2; singular values that are rounding are left
// out.
func (s *slopes) descend(r, sofar []float64, damping float64) []float64 {
	var along, step mat.VecDense
	along.MulVec(s.u.T(), mat.NewVecDense(len(r), r))
	back := make([]float64, len(s.values))
	if sofar != nil {
		var v mat.VecDense
		v.MulVec(s.v.T(), mat.NewVecDense(len(sofar), floats.DivTo(make([]float64, len(sofar)), sofar, s.scale)))
		back = v.RawVector().Data
	}
	for k, v := range s.values {
		if v <= 1e-15*s.values[0] {
			along.SetVec(k, 0)
			continue
		}
		along.SetVec(k, -(v*along.AtVec(k)+damping*back[k])/(v*v+damping))
	}
	step.MulVec(&s.v, &along)
	result := step.RawVector().Data
	floats.Mul(result, s.scale)
	return result
}
