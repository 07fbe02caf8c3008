package paper

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// assembleShallow finds signs (those of the output weights, by linear least squares) and biases (by risk minimisation)
// for unit weights whose directions are known, in one hidden layer, where there may be more units than inputs: the
// successors' setting (arXiv 2211.04589).
func (r *run) assembleShallow(ctx context.Context) error {
	if r.state.First == nil {
		return fault.New(fault.Unsupported, "no vector was accepted: there is no network to assemble")
	}
	a := r.state.First
	if r.state.Reduction != nil {
		lifted := &mat.Dense{}
		lifted.Mul(r.state.Reduction, a)
		a = lifted
	}
	_, m := a.Dims()
	count := r.options.DescentPoints
	if count == 0 {
		count = 10 * (2*m + 1)
	}
	data, err := r.answers(ctx, wordGaussian, count)
	if err != nil {
		return err
	}
	least := math.Inf(1)
	for _, candidate := range r.problem.Candidates {
		s, loss, err := fitShallow(ctx, a, candidate, data, r.options.DescentIterations)
		if err != nil {
			return err
		}
		if loss < least {
			least = loss
			r.result.Shallow, r.result.Activation, r.function = s, candidate.Name, candidate.Function
		}
	}
	if r.result.Shallow == nil {
		return fault.New(fault.Unsupported, "the descent for the biases diverged for every activation")
	}
	r.result.measure("descent_loss", math.Sqrt(least))
	r.report.finish("%s: %d units, root mean square residual %.1e on %d points", r.result.Activation, m, math.Sqrt(least), count)
	return nil
}

// fitShallow fits biases and output weights by Levenberg-Marquardt, from biases of zero.
func fitShallow(ctx context.Context, a *mat.Dense, candidate Candidate, data refine.Data, iterations int) (*network.Shallow, float64, error) {
	_, m := a.Dims()
	rows := len(data.Y)
	var u mat.Dense
	u.Mul(data.X, a)
	s := &network.Shallow{Bias: make([]float64, m), Output: make([]float64, m), Activation: candidate.Name}
	for i := range m {
		s.Weight = append(s.Weight, mat.Col(nil, i, a))
	}
	layer := func(order int, bias []float64) *mat.Dense {
		z := mat.DenseCopyOf(&u)
		for k := range rows {
			floats.Add(z.RawRowView(k), bias)
		}
		candidate.Function.Apply(order, z.RawMatrix().Data, z.RawMatrix().Data)
		return z
	}
	loss := func(bias, output []float64, c0 float64) (float64, []float64) {
		z := layer(0, bias)
		residual := make([]float64, rows)
		total := 0.0
		for k := range rows {
			residual[k] = floats.Dot(z.RawRowView(k), output) + c0 - data.Y[k]
			total += residual[k] * residual[k] / float64(rows)
		}
		return total, residual
	}
	hidden := mat.NewDense(rows, m+1, nil)
	hidden.Slice(0, rows, 0, m).(*mat.Dense).Copy(layer(0, s.Bias))
	for k := range rows {
		hidden.Set(k, m, 1)
	}
	var c mat.VecDense
	if err := c.SolveVec(hidden, mat.NewVecDense(rows, data.Y)); err != nil && (!isCondition(err) || c.IsEmpty()) {
		return nil, math.Inf(1), nil
	}
	copy(s.Output, c.RawVector().Data[:m])
	s.OutputBias = c.AtVec(m)
	value, residual := loss(s.Bias, s.Output, s.OutputBias)
	damping := 1e-3
	for range min(iterations, 100) {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		z, dz := layer(0, s.Bias), layer(1, s.Bias)
		j := mat.NewDense(rows, 2*m+1, nil)
		for k := range rows {
			row := j.RawRowView(k)
			for i := range m {
				row[i], row[m+i] = dz.At(k, i)*s.Output[i], z.At(k, i)
			}
			row[2*m] = 1
		}
		normal := mat.NewSymDense(2*m+1, nil)
		normal.SymOuterK(1, j.T())
		var gradient mat.VecDense
		gradient.MulVec(j.T(), mat.NewVecDense(rows, residual))
		improved, gain := false, 0.0
		top := largestDiagonal(normal)
		for range 12 {
			damped := mat.NewSymDense(2*m+1, nil)
			damped.CopySym(normal)
			for i := range 2*m + 1 {
				damped.SetSym(i, i, normal.At(i, i)*(1+damping)+1e-13*top)
			}
			var cholesky mat.Cholesky
			var step mat.VecDense
			if cholesky.Factorize(damped) && (cholesky.SolveVecTo(&step, &gradient) == nil || !step.IsEmpty()) {
				bias, output := append([]float64(nil), s.Bias...), append([]float64(nil), s.Output...)
				floats.Sub(bias, step.RawVector().Data[:m])
				floats.Sub(output, step.RawVector().Data[m:2*m])
				c0 := s.OutputBias - step.AtVec(2*m)
				if l, res := loss(bias, output, c0); l < value {
					gain = (value - l) / value
					s.Bias, s.Output, s.OutputBias, value, residual, improved = bias, output, c0, l, res, true
					break
				}
			}
			damping *= 6
		}
		if !improved || gain < 1e-6 {
			break
		}
		damping = math.Max(damping/8, 1e-12)
	}
	return s, value, nil
}
