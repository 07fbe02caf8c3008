package rpc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/internal/wire"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// A progress report that follows another sooner than this is dropped: nobody could read it.
const progressInterval = 20 * time.Millisecond

type solverServer struct {
	nnidv1.UnimplementedSolverServer
	instances[core.Solver]
	factories []core.SolverFactory
}

func (s *solverServer) Open(ctx context.Context, request *nnidv1.OpenRequest) (*nnidv1.OpenSolverResponse, error) {
	solver, err := open(core.KindSolver, request, func(yield func(core.Component, func(core.Options) (core.Solver, error)) bool) {
		for _, f := range s.factories {
			if !yield(f.Component, f.Open) {
				return
			}
		}
	})
	if err != nil {
		return nil, wire.Status(ctx, err)
	}
	return &nnidv1.OpenSolverResponse{Instance: s.add(solver)}, nil
}

func (s *solverServer) Solve(stream grpc.BidiStreamingServer[nnidv1.SolveRequest, nnidv1.SolveResponse]) error {
	return wire.Status(stream.Context(), s.solve(stream))
}

func (s *solverServer) solve(stream grpc.BidiStreamingServer[nnidv1.SolveRequest, nnidv1.SolveResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return firstMessage(err)
	}
	solver, done, err := s.use(first.GetInstance())
	if err != nil {
		return err
	}
	defer done()
	dim, count := first.GetDim(), first.GetCount()
	shape, basis, err := wire.NewReceiver(basisShape(dim)).Receive(first.GetBasis(), func() (*nnidv1.TensorChunk, error) {
		message, err := stream.Recv()
		return message.GetBasis(), err
	})
	if err == nil && count < 0 {
		err = &wire.Malformed{Err: fmt.Errorf("the number of matrices wanted is %d", count)}
	}
	if k := wire.Finite(basis); err == nil && k >= 0 {
		err = &wire.Malformed{Err: fmt.Errorf("element (%d, %d) of the basis is %g", k/shape[1], k%shape[1], basis[k])}
	}
	if err != nil {
		return malformed(err)
	}
	problem := core.Problem{Dim: int(dim), Basis: wire.Dense(shape[0], shape[1], basis), Count: int(count), Seed: first.GetSeed()}

	// A stream must not be sent to from two goroutines; a solver may report from any.
	var mu sync.Mutex
	var last time.Time
	over := false
	progress := func(p core.SolverProgress) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); !over && now.Sub(last) >= progressInterval {
			last = now
			// When sending fails the call is over, and its context tells the solver so.
			_ = stream.Send(&nnidv1.SolveResponse{Event: &nnidv1.SolveResponse_Progress{Progress: &nnidv1.SolveProgress{
				Found: int64(p.Found), Wanted: int64(p.Wanted), Starts: int64(p.Starts),
			}}})
		}
	}
	solution, err := solver.value.Solve(stream.Context(), problem, progress)
	mu.Lock()
	over = true
	mu.Unlock()
	if err != nil {
		return err
	}
	if solution == nil {
		return fault.New(fault.Internal, "it returned neither a solution nor an error")
	}
	rows, found := 0, 0
	if solution.Vectors != nil {
		rows, found = solution.Vectors.Dims()
	}
	if found > 0 && rows != problem.Dim {
		return fault.New(fault.Internal, "it returned vectors with %d entries for matrices of order %d", rows, problem.Dim)
	}
	summary := &nnidv1.SolveSummary{
		Found: int64(found), Objective: wire.AppendFloats(nil, solution.Objective), Statistics: map[string]float64{},
	}
	for name, value := range solution.Statistics {
		summary.Statistics[wire.Text(name)] = value
	}
	if err := stream.Send(&nnidv1.SolveResponse{Event: &nnidv1.SolveResponse_Summary{Summary: summary}}); err != nil || found == 0 {
		return err
	}
	return wire.Send([]int{rows, found}, wire.Flat(solution.Vectors), func(chunk *nnidv1.TensorChunk) error {
		return stream.Send(&nnidv1.SolveResponse{Event: &nnidv1.SolveResponse_Vectors{Vectors: chunk}})
	})
}

func basisShape(dim int64) func([]int) error {
	return func(shape []int) error {
		// The bound keeps dim*dim from overflowing; such a basis would not fit anyway.
		if dim < 1 || dim > 1<<20 {
			return fmt.Errorf("matrices of order %d", dim)
		}
		if len(shape) != 2 || int64(shape[0]) != dim*dim || shape[1] < 1 || int64(shape[1]) > dim*(dim+1)/2 {
			return fmt.Errorf("the basis is %s; for matrices of order %d it must be %d x m with m from 1 to %d", wire.Shape(shape), dim, dim*dim, dim*(dim+1)/2)
		}
		return nil
	}
}

func (s *solverServer) Close(_ context.Context, request *nnidv1.CloseRequest) (*nnidv1.CloseResponse, error) {
	s.remove(request.GetInstance())
	return &nnidv1.CloseResponse{}, nil
}
