package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/internal/wire"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// unitTolerance is how far a column's norm may be from 1: far more than rounding, far less than a forgotten
// normalisation.
const unitTolerance = 1e-6

// Solver opens a solver.
func (c *Client) Solver(ctx context.Context, name string, options core.Options) (*Solver, error) {
	s := &Solver{component: component{Client: c, kind: core.KindSolver, name: name}, client: nnidv1.NewSolverClient(c.conn)}
	response, err := s.client.Open(ctx, openRequest(name, options))
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	s.instance = response.GetInstance()
	return s, nil
}

// Solver is a core.Solver in another process.
type Solver struct {
	component
	client nnidv1.SolverClient
}

// Solve implements core.Solver.
func (s *Solver) Solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	if problem.Basis == nil {
		return nil, fault.New(fault.Usage, "solver %q was given a problem without a basis", s.name)
	}
	rows, cols := problem.Basis.Dims()
	if err := basisShape(int64(problem.Dim))([]int{rows, cols}); err != nil {
		return nil, fault.New(fault.Usage, "solver %q was given an impossible problem: %w", s.name, err)
	}
	if k := wire.Finite(wire.Flat(problem.Basis)); k >= 0 {
		return nil, fault.New(fault.Usage, "solver %q was given a basis with an element that is not finite: (%d, %d)", s.name, k/cols, k%cols)
	}
	if problem.Count < 0 {
		return nil, fault.New(fault.Usage, "solver %q was asked for %d matrices", s.name, problem.Count)
	}
	solution, err := s.solve(ctx, problem, progress)
	if err != nil {
		return nil, s.failOrWrong(ctx, err)
	}
	return solution, nil
}

func (s *Solver) solve(ctx context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.Solve(ctx)
	if err != nil {
		return nil, err
	}
	rows, cols := problem.Basis.Dims()
	request := &nnidv1.SolveRequest{Instance: s.instance, Dim: int64(problem.Dim), Count: int64(problem.Count), Seed: problem.Seed}
	err = wire.Send([]int{rows, cols}, wire.Flat(problem.Basis), func(chunk *nnidv1.TensorChunk) error {
		request.Basis = chunk
		err := stream.Send(request)
		request = &nnidv1.SolveRequest{}
		return err
	})
	if err != nil {
		return nil, sendError(err, stream.Recv)
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var summary *nnidv1.SolveSummary
	for summary == nil {
		message, err := stream.Recv()
		if err == io.EOF {
			return nil, &wire.Malformed{Err: errors.New("the call ended without a solution")}
		}
		if err != nil {
			return nil, err
		}
		switch event := message.GetEvent().(type) {
		case *nnidv1.SolveResponse_Progress:
			if progress != nil {
				progress(core.SolverProgress{
					Found: int(event.Progress.GetFound()), Wanted: int(event.Progress.GetWanted()), Starts: int(event.Progress.GetStarts()),
				})
			}
		case *nnidv1.SolveResponse_Summary:
			summary = event.Summary
		case *nnidv1.SolveResponse_Vectors:
			return nil, &wire.Malformed{Err: errors.New("vectors came before the summary")}
		default:
			// An event of a later minor version: the solution does not depend on it.
		}
	}
	solution := &core.Solution{Statistics: summary.GetStatistics()}
	if solution.Objective, err = wire.Floats(nil, summary.GetObjective()); err != nil {
		return nil, &wire.Malformed{Err: fmt.Errorf("the objective: %w", err)}
	}
	if k := wire.Finite(solution.Objective); k >= 0 {
		return nil, &wire.Malformed{Err: fmt.Errorf("the objective of vector %d is %g", k, solution.Objective[k])}
	}
	found := summary.GetFound()
	if found < 0 || int64(len(solution.Objective)) != found {
		return nil, &wire.Malformed{Err: fmt.Errorf("it says that %d vectors were found and gives %d objectives", found, len(solution.Objective))}
	}
	next := func() (*nnidv1.TensorChunk, error) {
		message, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		vectors, ok := message.GetEvent().(*nnidv1.SolveResponse_Vectors)
		if !ok {
			return nil, &wire.Malformed{Err: errors.New("something else than vectors came after the summary")}
		}
		return vectors.Vectors, nil
	}
	if found == 0 {
		if _, err := next(); err == nil {
			return nil, &wire.Malformed{Err: errors.New("it says that nothing was found and sends vectors")}
		} else if err != io.EOF {
			return nil, err
		}
		return solution, nil
	}
	_, vectors, err := receiveAnswer(wire.Exactly(problem.Dim, int(found)), next)
	if err != nil {
		return nil, err
	}
	if err := checkColumns(problem.Dim, int(found), vectors); err != nil {
		return nil, &wire.Malformed{Err: err}
	}
	solution.Vectors = wire.Dense(problem.Dim, int(found), vectors)
	return solution, nil
}

func checkColumns(rows, cols int, data []float64) error {
	if k := wire.Finite(data); k >= 0 {
		return fmt.Errorf("entry (%d, %d) of the vectors is %g", k/cols, k%cols, data[k])
	}
	squares := make([]float64, cols)
	for i := range rows {
		for j, v := range data[i*cols : (i+1)*cols] {
			squares[j] += v * v // an overflow is no unit vector either
		}
	}
	for j, square := range squares {
		if norm := math.Sqrt(square); !(math.Abs(norm-1) <= unitTolerance) {
			return fmt.Errorf("vector %d has length %g; it must have length 1", j, norm)
		}
	}
	return nil
}

// Close releases the instance.
func (s *Solver) Close() error {
	ctx := context.Background()
	_, err := s.client.Close(ctx, &nnidv1.CloseRequest{Instance: s.instance})
	return s.fail(ctx, err)
}
