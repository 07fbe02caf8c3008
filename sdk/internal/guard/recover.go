package guard

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/nnid/nnid/sdk/internal/wire"
)

// Unary returns an interceptor that calls before and turns a panic of the handler into an error.
func Unary(logger hclog.Logger, before func()) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
		defer recovered(logger, info.FullMethod, &err)
		before()
		return handler(ctx, request)
	}
}

// Stream is Unary for streams.
func Stream(logger hclog.Logger, before func()) grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer recovered(logger, info.FullMethod, &err)
		before()
		return handler(server, stream)
	}
}

// recovered must be deferred itself. The stack goes to the log; the host gets a sentence.
func recovered(logger hclog.Logger, method string, err *error) {
	if reason := recover(); reason != nil {
		text := fmt.Sprint(reason)
		logger.Error("the plugin panicked", "call", method, "panic", text, "stack", string(debug.Stack()))
		*err = wire.Panicked(text)
	}
}
