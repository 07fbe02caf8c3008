package plugintest_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/plugintest"
)

// solverFunc is a solver made of one function, to break at will.
type solverFunc func(context.Context, core.Problem, func(core.SolverProgress)) (*core.Solution, error)

func (f solverFunc) Solve(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	return f(ctx, p, progress)
}

// good is about the least that conforms: many starts of the unshifted power method x <- P_W(x x^T) x, no polish.
func good(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	d := p.Dim
	_, m := p.Basis.Dims()
	wanted := m
	if p.Count > 0 {
		wanted = p.Count
	}
	starts := plugintest.SolverRandomVectors(d, 60*m, 1, p.Seed)
	var found []*mat.VecDense
	solution := &core.Solution{}
	for start := range 60 * m {
		if len(found) >= wanted {
			break
		}
		x := mat.NewVecDense(d, mat.Col(nil, start, starts))
		value := 0.0
		for range 3000 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			outer := mat.NewDense(d, d, nil)
			outer.Outer(1, x, x)
			var y, projected, next mat.VecDense
			y.MulVec(p.Basis.T(), mat.NewVecDense(d*d, outer.RawMatrix().Data))
			projected.MulVec(p.Basis, &y)
			next.MulVec(mat.NewDense(d, d, projected.RawVector().Data), x)
			next.AddScaledVec(&next, 0.1, x)
			value = mat.Dot(&y, &y)
			next.ScaleVec(1/mat.Norm(&next, 2), &next)
			var moved mat.VecDense
			moved.SubVec(&next, x)
			x = &next
			if mat.Norm(&moved, 2) < 1e-10 {
				break
			}
		}
		known := value < 0.9
		for _, other := range found {
			known = known || math.Abs(mat.Dot(other, x)) > 0.999
		}
		if known {
			continue
		}
		found = append(found, x)
		progress(core.SolverProgress{Found: len(found), Wanted: wanted, Starts: start + 1})
		solution.Objective = append(solution.Objective, min(1, value))
	}
	if len(found) == 0 {
		return solution, nil
	}
	solution.Vectors = mat.NewDense(d, len(found), nil)
	for k, x := range found {
		largest := 0.0
		for i := range d {
			if math.Abs(x.AtVec(i)) > math.Abs(largest) {
				largest = x.AtVec(i)
			}
		}
		x.ScaleVec(math.Copysign(1, largest), x)
		solution.Vectors.SetCol(k, x.RawVector().Data)
	}
	return solution, nil
}

// after returns good with its solutions edited.
func after(edit func(core.Problem, *core.Solution)) solverFunc {
	return func(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
		solution, err := good(ctx, p, progress)
		if err == nil {
			edit(p, solution)
		}
		return solution, err
	}
}

func TestCheckSolverAccepts(t *testing.T) {
	if err := plugintest.CheckSolver(context.Background(), solverFunc(good)); err != nil {
		t.Error(err)
	}
}

// TestCheckSolverRejects breaks a good solver in one way at a time and expects the check that is there for it to say so.
func TestCheckSolverRejects(t *testing.T) {
	var calls atomic.Int64
	broken := map[string]struct {
		solver solverFunc
		want   string
	}{
		"returns nothing": {func(context.Context, core.Problem, func(core.SolverProgress)) (*core.Solution, error) {
			return nil, nil
		}, "neither a solution nor an error"},
		"fails": {func(context.Context, core.Problem, func(core.SolverProgress)) (*core.Solution, error) {
			return nil, errors.New("no luck")
		}, "no luck"},
		"misses a vector": {after(func(p core.Problem, s *core.Solution) {
			if n := len(s.Objective); n > 1 && p.Count == 0 {
				s.Vectors = mat.DenseCopyOf(s.Vectors.Slice(0, p.Dim, 0, n-1))
				s.Objective = s.Objective[:n-1]
			}
		}), "planted vectors: seed 0"},
		"misses m = 1": {after(func(p core.Problem, s *core.Solution) {
			if _, m := p.Basis.Dims(); m == 1 {
				s.Vectors, s.Objective = nil, nil
			}
		}), "one matrix"},
		"ignores count": {func(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
			if err := p.Check(); err != nil {
				return nil, err
			}
			p.Count = 0
			return good(ctx, p, progress)
		}, "fewer than there are: 2 vectors were asked for but 6 returned"},
		"depends on the basis": {func(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
			// Calls 1-3 are the planted ones, 4-6 those with one matrix, 7 that with a count, 8 and 9 those with two bases.
			if calls.Add(1) == 9 {
				return &core.Solution{}, nil
			}
			return good(ctx, p, progress)
		}, "in another orthonormal basis"},
		"breaks down with noise": {after(func(p core.Problem, s *core.Solution) {
			for _, value := range s.Objective {
				if value < 1-1e-8 {
					s.Vectors, s.Objective = nil, nil
					return
				}
			}
		}), "noise: subspace perturbed by 0.01"},
		"sees what is not there": {after(func(p core.Problem, s *core.Solution) {
			if s.Vectors == nil {
				s.Vectors = mat.NewDense(p.Dim, 1, nil)
				s.Vectors.Set(0, 0, 1)
				s.Objective = []float64{1. / 9}
			}
		}), "no matrix near rank one"},
		"lies about the objective": {after(func(_ core.Problem, s *core.Solution) {
			for k := range s.Objective {
				s.Objective[k] = 0.5
			}
		}), "the objective of vector 0 is given as 0.5"},
		"has no objective": {after(func(_ core.Problem, s *core.Solution) { s.Objective = nil }), "but 0 objectives"},
		"wrong sign": {after(func(_ core.Problem, s *core.Solution) {
			if s.Vectors != nil {
				s.Vectors.Scale(-1, s.Vectors)
			}
		}), "is negative"},
		"not unit": {after(func(_ core.Problem, s *core.Solution) {
			if s.Vectors != nil {
				s.Vectors.Scale(2, s.Vectors)
			}
		}), "has length 2, not 1"},
		"not finite": {after(func(_ core.Problem, s *core.Solution) {
			if s.Vectors != nil {
				s.Vectors.Set(0, 0, math.NaN())
			}
		}), "not finite"},
		"wrong shape": {after(func(_ core.Problem, s *core.Solution) {
			if s.Vectors != nil {
				s.Vectors = s.Vectors.Grow(1, 0).(*mat.Dense)
			}
		}), "entries, but the matrices are of order"},
		"the same twice": {after(func(p core.Problem, s *core.Solution) {
			if len(s.Objective) > 1 {
				s.Vectors.SetCol(1, mat.Col(nil, 0, s.Vectors))
				s.Objective[1] = s.Objective[0]
			}
		}), "vectors 0 and 1 are the same"},
		"changes the basis": {after(func(p core.Problem, s *core.Solution) { p.Basis.Scale(-1, p.Basis) }), "changed the basis"},
		"is not deterministic": {after(func(_ core.Problem, s *core.Solution) {
			if s.Vectors != nil {
				s.Vectors.Scale(1+1e-14*float64(time.Now().UnixNano()%10000), s.Vectors)
			}
		}), "two different solutions"},
		"ignores the context": {func(_ context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
			return good(context.Background(), p, progress)
		}, "cancellation"},
		"panics on nonsense": {func(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
			_, m := p.Basis.Dims()
			if err := p.Check(); err != nil {
				return nil, err
			}
			_ = m
			return good(ctx, p, progress)
		}, "a problem without a basis: the solver panicked"},
		"solves nonsense": {func(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
			if p.Check() != nil {
				return &core.Solution{}, nil
			}
			return good(ctx, p, progress)
		}, "solved (true) instead of refused"},
		"refuses with the wrong kind": {func(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
			if err := p.Check(); err != nil {
				return nil, fault.New(fault.Internal, "%s", err.Error())
			}
			return good(ctx, p, progress)
		}, "not as a fault of usage"},
	}
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			err := plugintest.CheckSolver(context.Background(), b.solver)
			if err == nil {
				t.Fatal("passed")
			}
			if !strings.Contains(err.Error(), b.want) {
				t.Errorf("want an error with %q, got:\n%v", b.want, err)
			}
		})
	}
}

func TestCheckSolverStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := plugintest.CheckSolver(ctx, solverFunc(good)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
