package rpc

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk/internal/wire"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// An oracle is closed at the end of a run, when nobody wants to wait for a backend any more.
const closeTimeout = 5 * time.Second

// Oracle opens an oracle.
func (c *Client) Oracle(ctx context.Context, name string, options core.Options) (*Oracle, error) {
	o := &Oracle{component: component{Client: c, kind: core.KindOracle, name: name}, client: nnidv1.NewOracleClient(c.conn)}
	response, err := o.client.Open(ctx, openRequest(name, options))
	if err != nil {
		return nil, o.fail(ctx, err)
	}
	o.instance = response.GetInstance()
	return o, nil
}

// Oracle is a core.Oracle in another process.
type Oracle struct {
	component
	client  nnidv1.OracleClient
	outputs atomic.Int64 // as declared; 0 while not known
}

// Info implements core.Oracle.
func (o *Oracle) Info(ctx context.Context) (core.OracleInfo, error) {
	response, err := o.client.Info(ctx, &nnidv1.InfoRequest{Instance: o.instance})
	if err != nil {
		return core.OracleInfo{}, o.fail(ctx, err)
	}
	info, err := wire.FromOracleInfo(response)
	if err != nil {
		return core.OracleInfo{}, o.wrong("%w", err)
	}
	o.outputs.Store(int64(info.Outputs))
	return info, nil
}

// Query implements core.Oracle.
func (o *Oracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	rows, inputs := x.Dims()
	if rows == 0 || inputs == 0 {
		return &mat.Dense{}, nil
	}
	shape, y, err := o.query(ctx, x)
	if err != nil {
		return nil, o.failOrWrong(ctx, err)
	}
	return wire.Dense(shape[0], shape[1], y), nil
}

func (o *Oracle) query(ctx context.Context, x *mat.Dense) ([]int, []float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := o.client.Query(ctx)
	if err != nil {
		return nil, nil, err
	}
	rows, inputs := x.Dims()
	request := &nnidv1.QueryRequest{Instance: o.instance}
	err = wire.Send([]int{rows, inputs}, wire.Flat(x), func(chunk *nnidv1.TensorChunk) error {
		request.X = chunk
		err := stream.Send(request)
		request = &nnidv1.QueryRequest{}
		return err
	})
	if err != nil {
		return nil, nil, sendError(err, stream.Recv)
	}
	if err := stream.CloseSend(); err != nil {
		return nil, nil, err
	}
	declared := int(o.outputs.Load())
	check := func(shape []int) error {
		if len(shape) != 2 || shape[0] != rows || shape[1] < 1 {
			return fmt.Errorf("%d queries were answered by an array of shape %s", rows, wire.Shape(shape))
		}
		if declared > 0 && shape[1] != declared {
			return fmt.Errorf("%d outputs are declared and %d came", declared, shape[1])
		}
		return nil
	}
	return receiveAnswer(check, func() (*nnidv1.TensorChunk, error) {
		message, err := stream.Recv()
		return message.GetY(), err
	})
}

// Close implements core.Oracle.
func (o *Oracle) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, err := o.client.Close(ctx, &nnidv1.CloseRequest{Instance: o.instance})
	return o.fail(ctx, err)
}
