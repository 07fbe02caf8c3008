package paper

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// sameVector is the distance, up to sign, below which vectors of different rounds are one: as close as the solver's own
// clusters.
const sameVector = 0.05

// extract finds the rank-one matrices of the subspace (section 3 of the paper): the solver's business.
func (r *run) extract(ctx context.Context) error {
	if r.state.Subspace == nil {
		return fault.New(fault.Usage, "the stage extract needs a subspace: enter the run with a file that holds one")
	}
	m := r.state.Subspace.Dimension()
	var found [][]float64
	starts := 0.0
	for round := range r.options.Rounds {
		problem := r.state.Subspace.Problem(m, r.settings.Seed+uint64(round)*0x9e3779b97f4a7c15)
		solution, err := r.problem.Solver.Solve(ctx, problem, func(p core.SolverProgress) {
			r.report.progress(p.Found, p.Wanted, fmt.Sprintf("%d starts", p.Starts))
		})
		if err != nil {
			return err
		}
		starts += solution.Statistics["starts"]
		if solution.Vectors == nil {
			continue
		}
		_, k := solution.Vectors.Dims()
		for j := range k {
			found = pool(found, mat.Col(nil, j, solution.Vectors))
		}
	}
	r.state.Vectors = columns(found, r.state.Subspace.Dim)
	r.state.Joint = false
	r.result.measure("candidates", float64(len(found)))
	r.report.finish("%s found %d near rank-one matrices in a subspace of dimension %d (%.0f starts)", r.problem.SolverName, len(found), m, starts)
	return nil
}

// pool adds a vector unless it is there already.
func pool(found [][]float64, w []float64) [][]float64 {
	for _, v := range found {
		if distance(v, w) < sameVector {
			return found
		}
	}
	return append(found, w)
}

// distance is that of two unit vectors up to sign.
func distance(v, w []float64) float64 {
	return math.Sqrt(math.Max(0, 2-2*math.Abs(floats.Dot(v, w))))
}

// columns makes a matrix of the vectors, nil when there are none.
func columns(vectors [][]float64, order int) *mat.Dense {
	if len(vectors) == 0 {
		return nil
	}
	m := mat.NewDense(order, len(vectors), nil)
	for j, v := range vectors {
		m.SetCol(j, v)
	}
	return m
}

func split(m *mat.Dense) [][]float64 {
	if m == nil {
		return nil
	}
	_, k := m.Dims()
	list := make([][]float64, k)
	for j := range list {
		list[j] = mat.Col(nil, j, m)
	}
	return list
}
