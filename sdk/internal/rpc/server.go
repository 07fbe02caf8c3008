package rpc

import (
	"context"
	"io"

	"google.golang.org/grpc"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/internal/wire"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// Server serves a plugin's components.
type Server struct {
	plugin      Plugin
	sdk         string
	protocol    int
	activations activationServer
	solvers     solverServer
	oracles     oracleServer
}

// NewServer returns a server for plugin, which has passed Check.
func NewServer(plugin Plugin, sdk string, protocol int) *Server {
	s := &Server{plugin: plugin, sdk: sdk, protocol: protocol}
	s.activations.factories = plugin.Activations
	s.solvers.factories = plugin.Solvers
	s.oracles.factories = plugin.Oracles
	return s
}

// Register registers every service, those without components too: a host that asks for one then learns that there is no
// such component, not that there is no such service.
func (s *Server) Register(to grpc.ServiceRegistrar) {
	nnidv1.RegisterMetaServer(to, &metaServer{server: s})
	nnidv1.RegisterActivationServer(to, &s.activations)
	nnidv1.RegisterSolverServer(to, &s.solvers)
	nnidv1.RegisterOracleServer(to, &s.oracles)
}

// Close closes all oracles that are open. Calls under way are not waited for.
func (s *Server) Close() {
	for _, oracle := range s.oracles.drain() {
		_ = oracle.Close() // the process is about to end: there is nobody left to tell
	}
}

type metaServer struct {
	nnidv1.UnimplementedMetaServer
	server *Server
}

func (m *metaServer) Describe(context.Context, *nnidv1.DescribeRequest) (*nnidv1.DescribeResponse, error) {
	p := m.server.plugin
	response := &nnidv1.DescribeResponse{
		Plugin: p.Name, Version: wire.Text(p.Version), SdkVersion: m.server.sdk, Protocol: int32(m.server.protocol),
	}
	for _, c := range p.Components() {
		response.Components = append(response.Components, wire.Component(c.Kind, c.Component))
	}
	return response, nil
}

// open finds a factory by name and opens it with the options checked again: the caller may be any host.
func open[T any](kind core.Kind, request *nnidv1.OpenRequest, components func(yield func(core.Component, func(core.Options) (T, error)) bool)) (T, error) {
	var none T
	for component, create := range components {
		if component.Name != request.GetName() {
			continue
		}
		options, err := component.Resolve(kind, request.GetOptions())
		if err != nil {
			return none, err
		}
		value, err := create(options)
		if err != nil {
			return none, err
		}
		if any(value) == nil {
			return none, fault.New(fault.Internal, "%s %q: Open returned neither a value nor an error", kind, component.Name)
		}
		return value, nil
	}
	return none, fault.New(fault.Usage, "the plugin has no %s %q", kind, request.GetName())
}

// malformed is the error for a request that breaks the protocol: the host's defect, not the plugin's.
func malformed(err error) error {
	if _, ok := err.(*wire.Malformed); ok {
		return fault.New(fault.Internal, "the request breaks the protocol: %w", err)
	}
	return err
}

// firstMessage maps the end of a stream before its first message.
func firstMessage(err error) error {
	if err == io.EOF {
		return fault.New(fault.Internal, "the request breaks the protocol: it has no message")
	}
	return err
}

type activationServer struct {
	nnidv1.UnimplementedActivationServer
	instances[core.Activation]
	factories []core.ActivationFactory
}

func (s *activationServer) Open(ctx context.Context, request *nnidv1.OpenRequest) (*nnidv1.OpenActivationResponse, error) {
	activation, err := open(core.KindActivation, request, func(yield func(core.Component, func(core.Options) (core.Activation, error)) bool) {
		for _, f := range s.factories {
			if !yield(f.Component, f.Open) {
				return
			}
		}
	})
	if err != nil {
		return nil, wire.Status(ctx, err)
	}
	facts := wire.Facts(activation.Facts())
	return &nnidv1.OpenActivationResponse{Instance: s.add(activation), Facts: facts}, nil
}

func (s *activationServer) Derivative(stream grpc.BidiStreamingServer[nnidv1.DerivativeRequest, nnidv1.DerivativeResponse]) error {
	return wire.Status(stream.Context(), s.derivative(stream))
}

func (s *activationServer) derivative(stream grpc.BidiStreamingServer[nnidv1.DerivativeRequest, nnidv1.DerivativeResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return firstMessage(err)
	}
	order := int(first.GetOrder())
	if order < 0 || order > core.MaxDerivative {
		return fault.New(fault.Unsupported, "an activation has derivatives of order 0 to %d, not %d", core.MaxDerivative, order)
	}
	activation, done, err := s.use(first.GetInstance())
	if err != nil {
		return err
	}
	defer done()
	_, t, err := wire.NewReceiver(wire.Vector).Receive(first.GetT(), func() (*nnidv1.TensorChunk, error) {
		message, err := stream.Recv()
		return message.GetT(), err
	})
	if err != nil {
		return malformed(err)
	}
	values, err := activation.value.Derivative(stream.Context(), order, t)
	if err != nil {
		return err
	}
	if len(values) != len(t) {
		return fault.New(fault.Internal, "it returned %d values of derivative %d for %d arguments", len(values), order, len(t))
	}
	return wire.Send([]int{len(values)}, values, func(chunk *nnidv1.TensorChunk) error {
		return stream.Send(&nnidv1.DerivativeResponse{Values: chunk})
	})
}

func (s *activationServer) Close(_ context.Context, request *nnidv1.CloseRequest) (*nnidv1.CloseResponse, error) {
	s.remove(request.GetInstance())
	return &nnidv1.CloseResponse{}, nil
}
