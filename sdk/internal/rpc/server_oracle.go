package rpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/internal/wire"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

type oracleServer struct {
	nnidv1.UnimplementedOracleServer
	instances[core.Oracle]
	factories []core.OracleFactory
}

func (s *oracleServer) Open(ctx context.Context, request *nnidv1.OpenRequest) (*nnidv1.OpenOracleResponse, error) {
	oracle, err := open(core.KindOracle, request, func(yield func(core.Component, func(core.Options) (core.Oracle, error)) bool) {
		for _, f := range s.factories {
			if !yield(f.Component, f.Open) {
				return
			}
		}
	})
	if err != nil {
		return nil, wire.Status(ctx, err)
	}
	return &nnidv1.OpenOracleResponse{Instance: s.add(oracle)}, nil
}

func (s *oracleServer) Info(ctx context.Context, request *nnidv1.InfoRequest) (*nnidv1.InfoResponse, error) {
	oracle, done, err := s.use(request.GetInstance())
	if err != nil {
		return nil, wire.Status(ctx, err)
	}
	defer done()
	info, err := oracle.value.Info(ctx)
	if err != nil {
		return nil, wire.Status(ctx, err)
	}
	return wire.OracleInfo(info), nil
}

func (s *oracleServer) Query(stream grpc.BidiStreamingServer[nnidv1.QueryRequest, nnidv1.QueryResponse]) error {
	return wire.Status(stream.Context(), s.query(stream))
}

func (s *oracleServer) query(stream grpc.BidiStreamingServer[nnidv1.QueryRequest, nnidv1.QueryResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return firstMessage(err)
	}
	oracle, done, err := s.use(first.GetInstance())
	if err != nil {
		return err
	}
	defer done()
	shape, data, err := wire.NewReceiver(pointsShape).Receive(first.GetX(), func() (*nnidv1.TensorChunk, error) {
		message, err := stream.Recv()
		return message.GetX(), err
	})
	if err != nil {
		return malformed(err)
	}
	y, err := oracle.value.Query(stream.Context(), wire.Dense(shape[0], shape[1], data))
	if err != nil {
		return err
	}
	if y == nil {
		return fault.New(fault.Internal, "it returned neither answers nor an error")
	}
	rows, outputs := y.Dims()
	if rows != shape[0] {
		return fault.New(fault.Internal, "it returned %d rows for %d queries", rows, shape[0])
	}
	return wire.Send([]int{rows, outputs}, wire.Flat(y), func(chunk *nnidv1.TensorChunk) error {
		return stream.Send(&nnidv1.QueryResponse{Y: chunk})
	})
}

func pointsShape(shape []int) error {
	if len(shape) != 2 || shape[0] < 1 || shape[1] < 1 {
		return fmt.Errorf("the points are %s; they must be n x d with n and d of at least 1", wire.Shape(shape))
	}
	return nil
}

func (s *oracleServer) Close(ctx context.Context, request *nnidv1.CloseRequest) (*nnidv1.CloseResponse, error) {
	oracle, ok := s.remove(request.GetInstance())
	if ok {
		if err := oracle.Close(); err != nil {
			return nil, wire.Status(ctx, err)
		}
	}
	return &nnidv1.CloseResponse{}, nil
}
