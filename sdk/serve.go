package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/nnid/nnid/sdk/internal/guard"
	"github.com/nnid/nnid/sdk/internal/rpc"
)

const (
	// ReattachVariable names plugins that run already, under a debugger for instance: {"NAME": {...}}.
	ReattachVariable = rpc.ReattachVariable

	describeArgument = "describe"
	debugArgument    = "--nnid-debug"
)

// Serve serves the plugin until its host is done with it, and never returns. It is the whole main function of a
// plugin binary. Started by hand the binary says what it is; its argument "describe" prints the description as JSON.
func Serve(p Plugin) {
	if err := p.Check(); err != nil {
		fmt.Fprintf(os.Stderr, "This plugin can't be served, which is a defect of it: %v.\n", err)
		os.Exit(2)
	}
	if guard.InPluginProcess {
		serve(p)
		os.Exit(0)
	}
	argument := ""
	if len(os.Args) > 1 {
		argument = os.Args[1]
	}
	if argument == debugArgument {
		if err := debug(p, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "The plugin could not be served:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(byHand(p, argument, os.Stdout, os.Stderr))
}

// byHand is what a plugin does when a person, or a host that wants its description, runs it.
func byHand(p Plugin, argument string, stdout, stderr io.Writer) int {
	if argument == describeArgument {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(p.Describe()); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
	fmt.Fprintf(stderr, "This is %s %s, a plugin for nnid: it is not run by hand. Put it into nnid's plugin folder, or name it with\n"+
		"nnid's flag --plugin-path; \"nnid plugins list\" then shows what it offers. With the argument %q it prints that itself.\n",
		p.Name, p.Version, describeArgument)
	return 1
}

// handshake is what go-plugin checks before anything else.
func handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: Protocol, MagicCookieKey: guard.CookieKey, MagicCookieValue: guard.CookieValue}
}

func config(server *rpc.Server, before func()) *plugin.ServeConfig {
	logger := Logger()
	return &plugin.ServeConfig{
		HandshakeConfig:  handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{Protocol: {rpc.SetName: &served{server: server}}},
		Logger:           logger,
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options,
				grpc.MaxRecvMsgSize(rpc.MaxMessage),
				grpc.MaxSendMsgSize(rpc.MaxMessage),
				grpc.ChainUnaryInterceptor(guard.Unary(logger, before)),
				grpc.ChainStreamInterceptor(guard.Stream(logger, before)),
				// Hosts in other hands may ping more often than gRPC's default tolerates.
				grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
			)...)
		},
	}
}

func serve(p Plugin) {
	guard.Lifeline()
	server := rpc.NewServer(rpc.Plugin(p), "go "+Version, Protocol)
	before := guard.After(func() {
		// What the plugin may start is not a plugin, and has no business with the certificate.
		for _, name := range []string{guard.CookieKey, "PLUGIN_CLIENT_CERT", "PLUGIN_UNIX_SOCKET_DIR"} {
			_ = os.Unsetenv(name) // cannot fail for such names
		}
	})
	guard.Handshake()
	plugin.Serve(config(server, before))
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		defer func() { _ = recover() }() // a panic at the very end helps nobody
		server.Close()
	}()
	select {
	case <-closed:
	case <-time.After(time.Second):
	}
}

// debug serves until interrupted and prints what a host needs to connect to this process.
func debug(p Plugin, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := rpc.NewServer(rpc.Plugin(p), "go "+Version, Protocol)
	defer server.Close()
	served := config(server, func() {})
	configs, closed := make(chan *plugin.ReattachConfig, 1), make(chan struct{})
	served.Test = &plugin.ServeTestConfig{Context: ctx, ReattachConfigCh: configs, CloseCh: closed}
	go plugin.Serve(served)
	select {
	case reattach := <-configs:
		text, err := json.Marshal(map[string]rpc.Reattach{p.Name: {
			Network: reattach.Addr.Network(), Address: reattach.Addr.String(), PID: reattach.Pid, Protocol: reattach.ProtocolVersion,
		}})
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "The plugin serves until it is interrupted. Run nnid with this variable set:\n\n%s='%s'\n", ReattachVariable, text)
	case <-closed:
		return errors.New("the server stopped at once; its log has the reason")
	}
	<-closed
	return nil
}

// served registers the services with go-plugin's server.
type served struct {
	plugin.NetRPCUnsupportedPlugin
	server *rpc.Server
}

func (s *served) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	s.server.Register(server)
	return nil
}

func (s *served) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("this is the plugin's end")
}
