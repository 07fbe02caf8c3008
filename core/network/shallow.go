package network

import (
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
)

// Shallow is a network of one hidden layer, f(x) = c0 + sum_i c_i g(a_i . x + theta_i).
type Shallow struct {
	Weight     [][]float64 `json:"weight"` // rows are units
	Bias       []float64   `json:"bias"`
	Output     []float64   `json:"output"`
	OutputBias float64     `json:"output_bias"`
	Activation string      `json:"activation"`
}

// Inputs returns d.
func (s *Shallow) Inputs() int { return len(s.Weight[0]) }

// Evaluate returns f at the rows of x (rows x d), with g as the activation.
func (s *Shallow) Evaluate(g core.Function, x *mat.Dense) []float64 {
	rows, _ := x.Dims()
	y := make([]float64, rows)
	u := make([]float64, len(s.Weight))
	for k := range rows {
		for i, a := range s.Weight {
			u[i] = floats.Dot(a, x.RawRowView(k)) + s.Bias[i]
		}
		g.Apply(0, u, u)
		y[k] = floats.Dot(u, s.Output) + s.OutputBias
	}
	return y
}
