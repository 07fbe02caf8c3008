package host

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nnid/nnid/core/fault"
)

// translate makes of a gRPC error the reason of the process's end, if that is what is behind it.
func (p *process) translate(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	s, ok := status.FromError(err)
	if !ok || len(s.Details()) > 0 {
		return err // the end of a stream, or an answer of the plugin
	}
	switch s.Code() {
	case codes.Unavailable:
		if p.runner != nil {
			p.runner.ended(deathTime)
		}
		if reason := p.gone(); reason != nil {
			return reason
		}
		return fault.New(fault.Plugin, "the connection to plugin %q (%s) was lost: %s", p.plugin, p.path, s.Message())
	case codes.Canceled, codes.Internal, codes.Unknown:
		if reason := p.gone(); reason != nil {
			return reason
		}
	}
	return err
}

// unary supervises one simple call.
func (p *process) unary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if !strings.HasPrefix(method, service) {
		return invoke(ctx, method, request, reply, conn, options...)
	}
	if reason := p.gone(); reason != nil {
		return reason
	}
	p.calls.Add(1)
	defer p.calls.Add(-1)
	defer p.watch(method).Stop()
	return p.translate(ctx, invoke(ctx, method, request, reply, conn, options...))
}

// stream supervises one call that streams.
func (p *process) stream(ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	if !strings.HasPrefix(method, service) {
		return open(ctx, description, conn, method, options...)
	}
	if reason := p.gone(); reason != nil {
		return nil, reason
	}
	inner, err := open(ctx, description, conn, method, options...)
	if err != nil {
		return nil, p.translate(ctx, err)
	}
	p.calls.Add(1)
	s := &supervisedStream{ClientStream: inner, process: p, ctx: ctx, timer: p.watch(method)}
	// The context of every call ends with the call (sdk/internal/rpc sees to that), and so does the supervision.
	context.AfterFunc(ctx, s.end)
	return s, nil
}

type supervisedStream struct {
	grpc.ClientStream
	process *process
	ctx     context.Context

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func (s *supervisedStream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	s.ended = true
	s.process.calls.Add(-1)
}

func (s *supervisedStream) SendMsg(message any) error {
	return s.after(s.ClientStream.SendMsg(message))
}
func (s *supervisedStream) RecvMsg(message any) error {
	return s.after(s.ClientStream.RecvMsg(message))
}

func (s *supervisedStream) after(err error) error {
	s.mu.Lock()
	if err != nil {
		s.timer.Stop()
	} else if !s.ended {
		s.timer.Reset(s.process.settings.CallTimeout)
	}
	s.mu.Unlock()
	return s.process.translate(s.ctx, err)
}
