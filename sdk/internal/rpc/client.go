package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/internal/wire"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// MaxMessage bounds one message both ways. Chunks keep far below it; it is high enough for whatever else a plugin has to
// say and low enough that a defect ends in an error and not with the machine out of memory.
const MaxMessage = 256 << 20

// Client opens the components of the plugin at the other end of a connection.
type Client struct {
	conn   grpc.ClientConnInterface
	plugin string
}

// NewClient returns a client of the plugin of the given name. Where interceptors of conn return a [fault.Error], it is
// passed on as it is: a host knows better than gRPC what became of a plugin.
func NewClient(conn grpc.ClientConnInterface, plugin string) *Client {
	return &Client{conn: conn, plugin: plugin}
}

// component is an opened component, as its errors name it.
type component struct {
	*Client
	kind     core.Kind
	name     string
	instance uint64
}

// fail makes of what gRPC returned the error that users get to see.
func (c component) fail(ctx context.Context, err error) error {
	err = wire.FromStatus(ctx, err)
	if err == nil || wire.IsContext(err) {
		return err
	}
	if remote, ok := err.(*wire.Remote); ok {
		switch {
		case remote.Panicked:
			return fault.New(fault.Internal, "plugin %q panicked in %s %q: %s; this is a defect of the plugin, and its log has the stack", c.plugin, c.kind, c.name, remote.Text)
		case remote.Kind == fault.Internal || remote.Kind == fault.Plugin:
			return fault.New(remote.Kind, "%s %q of plugin %q failed: %s", c.kind, c.name, c.plugin, remote.Text)
		}
		// The other kinds are sentences to the user about what the user can mend.
		return fault.New(remote.Kind, "%s", remote.Text)
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	switch status.Code(err) {
	case codes.Unimplemented:
		return fault.New(fault.Plugin, "plugin %q lacks a call that %s %q needs; build it again with the SDK of this nnid", c.plugin, c.kind, c.name)
	case codes.ResourceExhausted:
		return fault.New(fault.Plugin, "%s %q of plugin %q exchanged a message beyond the limit of %d MiB (%s); arrays must go in chunks of about 1 MiB", c.kind, c.name, c.plugin, MaxMessage>>20, status.Convert(err).Message())
	case codes.Internal:
		return fault.New(fault.Plugin, "%s %q of plugin %q broke the protocol: %s", c.kind, c.name, c.plugin, status.Convert(err).Message())
	}
	return fault.New(fault.Plugin, "the connection to plugin %q was lost: %s", c.plugin, status.Convert(err).Message())
}

// wrong is the error for an answer that breaks a promise of the interface.
func (c component) wrong(format string, args ...any) error {
	return fault.New(fault.Plugin, "%s %q of plugin %q gave a wrong answer: %w; this is a defect of the plugin", c.kind, c.name, c.plugin, fmt.Errorf(format, args...))
}

// failOrWrong tells a malformed answer from a call that failed.
func (c component) failOrWrong(ctx context.Context, err error) error {
	if malformed, ok := errors.AsType[*wire.Malformed](err); ok {
		return c.wrong("%w", malformed.Err)
	}
	return c.fail(ctx, err)
}

// sendError maps the error of a Send: io.EOF says that the other side has ended the call, and Recv has the reason.
func sendError[T any](err error, recv func() (T, error)) error {
	if err != io.EOF {
		return err
	}
	if _, reason := recv(); reason != nil && reason != io.EOF {
		return reason
	}
	return status.Error(codes.Internal, "the call was answered before it was asked")
}

// Describe asks the plugin what it is.
func (c *Client) Describe(ctx context.Context) (Description, error) {
	response, err := nnidv1.NewMetaClient(c.conn).Describe(ctx, &nnidv1.DescribeRequest{})
	if err != nil {
		return Description{}, component{Client: c, kind: "service", name: "meta"}.fail(ctx, err)
	}
	d := Description{
		Plugin: response.GetPlugin(), Version: response.GetVersion(), SDK: response.GetSdkVersion(), Protocols: []int{int(response.GetProtocol())},
	}
	for _, message := range response.GetComponents() {
		kind, described := wire.FromComponent(message)
		switch kind {
		case core.KindActivation, core.KindSolver, core.KindOracle:
			d.Components = append(d.Components, Component{kind, described})
		}
	}
	if err := CheckComponents(c.plugin, d.Components); err != nil {
		return Description{}, fault.New(fault.Plugin, "plugin %q describes itself wrongly: %w", c.plugin, err)
	}
	return d, nil
}

func openRequest(name string, options core.Options) *nnidv1.OpenRequest {
	request := &nnidv1.OpenRequest{Name: name, Options: map[string]string{}}
	for key, value := range options {
		request.Options[wire.Text(key)] = wire.Text(value)
	}
	return request
}

// Activation opens an activation.
func (c *Client) Activation(ctx context.Context, name string, options core.Options) (*Activation, error) {
	a := &Activation{component: component{Client: c, kind: core.KindActivation, name: name}, client: nnidv1.NewActivationClient(c.conn)}
	response, err := a.client.Open(ctx, openRequest(name, options))
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	a.instance = response.GetInstance()
	if a.facts, err = wire.FromFacts(response.GetFacts()); err != nil {
		return nil, a.wrong("its facts: %w", err)
	}
	return a, nil
}

// Activation is a core.Activation in another process.
type Activation struct {
	component
	client nnidv1.ActivationClient
	facts  core.Facts
}

// Facts implements core.Activation.
func (a *Activation) Facts() core.Facts { return a.facts }

// Derivative implements core.Activation.
func (a *Activation) Derivative(ctx context.Context, order int, t []float64) ([]float64, error) {
	values, err := a.derivative(ctx, order, t)
	if err != nil {
		return nil, a.failOrWrong(ctx, err)
	}
	return values, nil
}

func (a *Activation) derivative(ctx context.Context, order int, t []float64) ([]float64, error) {
	// The stream lives until it is read to its end or its context is: this one ends with the call.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := a.client.Derivative(ctx)
	if err != nil {
		return nil, err
	}
	request := &nnidv1.DerivativeRequest{Instance: a.instance, Order: int32(order)}
	err = wire.Send([]int{len(t)}, t, func(chunk *nnidv1.TensorChunk) error {
		request.T = chunk
		err := stream.Send(request)
		request = &nnidv1.DerivativeRequest{}
		return err
	})
	if err != nil {
		return nil, sendError(err, stream.Recv)
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	next := func() (*nnidv1.TensorChunk, error) {
		message, err := stream.Recv()
		return message.GetValues(), err
	}
	_, values, err := receiveAnswer(wire.Exactly(len(t)), next)
	return values, err
}

// receiveAnswer receives the array that a stream consists of.
func receiveAnswer(check func([]int) error, next func() (*nnidv1.TensorChunk, error)) ([]int, []float64, error) {
	first, err := next()
	if err == io.EOF {
		return nil, nil, &wire.Malformed{Err: errors.New("no array came")}
	}
	if err != nil {
		return nil, nil, err
	}
	return wire.NewReceiver(check).Receive(first, next)
}

// Close releases the instance.
func (a *Activation) Close() error {
	ctx := context.Background()
	_, err := a.client.Close(ctx, &nnidv1.CloseRequest{Instance: a.instance})
	return a.fail(ctx, err)
}
