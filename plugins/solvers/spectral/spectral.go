// Package spectral is the rank-one extraction of the paper: the spectral norm maximised over the unit Frobenius sphere
// of W by projected gradient ascent.
package spectral

import (
	"context"
	"math"
	"sort"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
)

// Factory returns the solver "spectral".
func Factory() core.SolverFactory {
	return core.SolverFactory{
		Component: core.Component{
			Name:      "spectral",
			Summary:   "the paper's program: projected gradient ascent of the spectral norm over W and the unit sphere, random starts, clustering",
			Reference: "Fornasier, Klock, Rauchensteiner: Robust and resource efficient identification of two hidden layer neural networks, arXiv 1907.00485, section 3",
			Options: []core.Option{
				{Name: "gamma", Usage: "step size of the ascent, above 0", Default: "2"},
				{Name: "starts", Usage: "random starts; 0 means the coupon collector's m (ln m + 3), and 10", Default: "0"},
				{Name: "iterations", Usage: "most iterations a start, at least 1", Default: "300"},
				{Name: "tolerance", Usage: "a start ends when an iteration moves M by less than this in the Frobenius norm, between 0 and 1", Default: "1e-9"},
				{Name: "threshold", Usage: "a limit is near rank one when its spectral norm is above 1 minus this, between 0 and 1", Default: "0.05"},
				{Name: "cluster", Usage: "two limits are one when their vectors, up to sign, are closer than this, between 0 and 2", Default: "0.05"},
			},
		},
		Open: open,
	}
}

type solver struct {
	gamma, tolerance, threshold, cluster float64
	starts, iterations                   int
}

func open(options core.Options) (core.Solver, error) {
	var s solver
	var err error
	if s.gamma, err = options.Float("gamma", math.SmallestNonzeroFloat64, 1e6); err != nil {
		return nil, err
	}
	if s.starts, err = options.Int("starts", 0); err != nil {
		return nil, err
	}
	if s.iterations, err = options.Int("iterations", 1); err != nil {
		return nil, err
	}
	if s.tolerance, err = options.Float("tolerance", 0, 1); err != nil {
		return nil, err
	}
	if s.threshold, err = options.Float("threshold", 0, 1); err != nil {
		return nil, err
	}
	if s.cluster, err = options.Float("cluster", 0, 2); err != nil {
		return nil, err
	}
	return s, nil
}

type limit struct {
	vector []float64
	norm   float64 // spectral norm of the limit, 1 for a rank-one matrix
}

func (s solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	space, err := rankone.NewSpace(problem)
	if err != nil {
		return nil, err
	}
	m := float64(space.M)
	starts := s.starts
	if starts == 0 {
		starts = 10 + int(math.Ceil(m*(math.Log(m)+3)))
	}
	wanted := problem.Count
	if wanted == 0 {
		wanted = space.M
	}
	statistics := map[string]float64{}
	var clusters []limit
	for start := range starts {
		found, err := s.ascend(ctx, space, rankone.Gaussian(rankone.Random(problem.Seed, uint64(start)+1000), space.M), statistics)
		if err != nil {
			return nil, err
		}
		statistics["starts"]++
		if found.vector == nil || found.norm < 1-s.threshold {
			statistics["rejected"]++
		} else {
			clusters = s.join(clusters, found)
		}
		if start%8 == 7 || start == starts-1 {
			progress(core.SolverProgress{Found: min(len(clusters), wanted), Wanted: wanted, Starts: start + 1})
		}
	}
	sort.SliceStable(clusters, func(i, j int) bool { return clusters[i].norm > clusters[j].norm })
	statistics["clusters"] = float64(len(clusters))
	clusters = clusters[:min(len(clusters), wanted)]
	statistics["found"] = float64(len(clusters))
	// Of an iteration: an element, a projection and about 9 d^3 for its eigenvectors (Golub and Van Loan, 8.3).
	d := float64(space.D)
	statistics["flops"] = statistics["iterations"] * (4*m*d*d + 9*d*d*d)
	solution := &core.Solution{Statistics: statistics}
	if len(clusters) == 0 {
		return solution, nil
	}
	solution.Vectors = mat.NewDense(space.D, len(clusters), nil)
	for k, cluster := range clusters {
		rankone.Orient(cluster.vector)
		solution.Vectors.SetCol(k, cluster.vector)
		y := space.Project(cluster.vector)
		solution.Objective = append(solution.Objective, min(1, dot(y, y)))
	}
	return solution, nil
}

// ascend iterates M <- P_S(P_W(M + gamma u u^T)), u the eigenvector of M's largest eigenvalue, P_S the normalisation,
// from the element of W with coordinates y. As M is in W, only u u^T needs projecting.
func (s solver) ascend(ctx context.Context, space *rankone.Space, y []float64, statistics map[string]float64) (limit, error) {
	if rankone.Normalize(y) == 0 {
		return limit{}, nil
	}
	u, value := rankone.Top(space.Element(y))
	if value < 0 { // M and -M are both on the sphere: take the one whose spectral norm is its largest eigenvalue
		for k := range y {
			y[k] = -y[k]
		}
		value = -value
	}
	for range s.iterations {
		if err := ctx.Err(); err != nil {
			return limit{}, err
		}
		if u == nil {
			return limit{}, nil
		}
		old := append([]float64(nil), y...)
		for k, p := range space.Project(u) {
			y[k] += s.gamma * p
		}
		if rankone.Normalize(y) == 0 {
			return limit{}, nil
		}
		statistics["iterations"]++
		u, value = largest(space.Element(y))
		if rankone.Distance(y, old) < s.tolerance {
			statistics["converged"]++
			break
		}
	}
	return limit{vector: u, norm: value}, nil
}

func largest(symmetric *mat.SymDense) ([]float64, float64) {
	var eigen mat.EigenSym
	if !eigen.Factorize(symmetric, true) {
		return nil, 0
	}
	values := eigen.Values(nil)
	last := len(values) - 1
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	return mat.Col(nil, last, &vectors), values[last]
}

// join adds a limit to the nearest cluster, or opens a new one; the limit of largest spectral norm stands for a cluster.
func (s solver) join(clusters []limit, found limit) []limit {
	nearest, distance := -1, math.Inf(1)
	for k := range clusters {
		if d := rankone.Distance(clusters[k].vector, found.vector); d < distance {
			nearest, distance = k, d
		}
	}
	if distance >= s.cluster {
		return append(clusters, found)
	}
	if found.norm > clusters[nearest].norm {
		clusters[nearest] = found
	}
	return clusters
}

func dot(x, y []float64) float64 {
	return blas64.Dot(blas64.Vector{N: len(x), Inc: 1, Data: x}, blas64.Vector{N: len(y), Inc: 1, Data: y})
}
