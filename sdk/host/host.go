// Package host is the host's end of the SDK. It is for package core/host and for the conformance suite, not for authors
// of plugins.
package host

import (
	"context"
	"fmt"
	"net"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/hashicorp/go-hclog"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
	"github.com/nnid/nnid/sdk/internal/guard"
	"github.com/nnid/nnid/sdk/internal/rpc"
)

// What host and plugin agree on before they talk.
const (
	CookieKey        = guard.CookieKey
	CookieValue      = guard.CookieValue
	LifelineVariable = guard.LifelineVariable
	ParentVariable   = guard.ParentVariable
	LevelVariable    = guard.LevelVariable
	ReattachVariable = rpc.ReattachVariable
	MaxMessage       = rpc.MaxMessage
)

// Protocols are the protocol versions that this host speaks.
var Protocols = []int{sdk.Protocol}

// Client opens the components of a plugin. The activations and solvers that it returns have a method Close; core's
// interfaces don't ask for it, and the end of the process does the same.
type Client = rpc.Client

// The opened components.
type (
	Activation = rpc.Activation
	Solver     = rpc.Solver
	Oracle     = rpc.Oracle
)

// Reattach says where a plugin that runs already can be reached.
type Reattach = rpc.Reattach

// Handshake is go-plugin's part of the agreement.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: sdk.Protocol, MagicCookieKey: CookieKey, MagicCookieValue: CookieValue}
}

// PluginSets are what a host passes to go-plugin. Dispensing [SetName] gives a *grpc.ClientConn.
func PluginSets() map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{sdk.Protocol: {SetName: &connection{}}}
}

// SetName is the one entry of the plugin set.
const SetName = rpc.SetName

type connection struct{ plugin.NetRPCUnsupportedPlugin }

func (*connection) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return fmt.Errorf("this is the host's end")
}

func (*connection) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// NewClient returns a client of the plugin of the given name at the other end of conn. Where interceptors of conn return
// a [fault.Error], it is passed on as it is: a host knows better than gRPC what became of a plugin.
func NewClient(conn grpc.ClientConnInterface, plugin string) *Client {
	return rpc.NewClient(conn, plugin)
}

// CheckDescription returns an error if the description breaks the rules for names.
func CheckDescription(d sdk.Description) error { return rpc.CheckComponents(d.Plugin, d.Components) }

// DialOptions are those that every connection to a plugin has.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage))}
}

// Loopback serves a plugin within this process, over gRPC through memory: the whole protocol without a process. The
// conformance suite uses it to tell what the transport changes. Close ends it.
func Loopback(p sdk.Plugin) (client *Client, closeAll func(), err error) {
	if err := p.Check(); err != nil {
		return nil, nil, fault.New(fault.Internal, "%w", err)
	}
	server := rpc.NewServer(rpc.Plugin(p), "go "+sdk.Version, sdk.Protocol)
	logger := hclog.NewNullLogger()
	transport := grpc.NewServer(
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage),
		grpc.ChainUnaryInterceptor(guard.Unary(logger, func() {})),
		grpc.ChainStreamInterceptor(guard.Stream(logger, func() {})),
	)
	server.Register(transport)
	listener := bufconn.Listen(1 << 20)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = transport.Serve(listener) // returns when stopped below
	}()
	options := append(DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	conn, err := grpc.NewClient("passthrough:///loopback", options...)
	if err != nil {
		transport.Stop()
		<-done
		return nil, nil, err
	}
	return rpc.NewClient(conn, p.Name), func() {
		_ = conn.Close() // of a connection through memory
		transport.Stop()
		<-done
		server.Close()
	}, nil
}
