package wire

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nnid/nnid/core/fault"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// A status travels in HTTP trailers, for which some implementations allow as little as 8 KiB in all; the text is in there
// twice, once percent-encoded.
const maxText = 1500

// code is the gRPC code that goes with a kind, for the eyes of generic tools: between nnid's own, the detail counts.
func code(kind fault.Kind) codes.Code {
	switch kind {
	case fault.Usage:
		return codes.InvalidArgument
	case fault.Plugin, fault.Oracle:
		return codes.FailedPrecondition
	case fault.Budget:
		return codes.ResourceExhausted
	case fault.Unsupported:
		return codes.Unimplemented
	}
	return codes.Internal
}

// Text makes s fit for a proto3 string, which must be valid UTF-8.
func Text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Status returns the gRPC status for an error of a component. ctx is the call's: once it has ended, that is the reason
// whatever the component says.
func Status(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return withFault(fault.KindOf(err), err.Error(), false)
}

// Panicked returns the gRPC status for a panic.
func Panicked(text string) error { return withFault(fault.Internal, text, true) }

func withFault(kind fault.Kind, text string, panicked bool) error {
	if len(text) > maxText {
		text = text[:maxText] + "..."
	}
	text = Text(text)
	s := status.New(code(kind), text)
	if detailed, err := s.WithDetails(&nnidv1.Fault{Kind: int32(kind), Text: text, Panicked: panicked}); err == nil {
		s = detailed
	}
	return s.Err()
}

// Remote is an error that a component returned on the other side.
type Remote struct {
	Kind     fault.Kind
	Text     string
	Panicked bool
}

func (r *Remote) Error() string { return r.Text }

// FromStatus takes a gRPC status apart: ctx's error once ctx has ended; a *Remote where the component on the other side
// answered an error; else err itself, which is then about the connection.
func FromStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, detail := range s.Details() {
		if f, ok := detail.(*nnidv1.Fault); ok {
			return &Remote{Kind: known(f.GetKind()), Text: f.GetText(), Panicked: f.GetPanicked()}
		}
	}
	switch s.Code() {
	// The other side's clock may be a little ahead of ctx.
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	// What other languages' servers answer without knowing of Fault.
	case codes.Unknown:
		return &Remote{Kind: fault.Internal, Text: s.Message()}
	case codes.InvalidArgument, codes.NotFound, codes.OutOfRange:
		return &Remote{Kind: fault.Usage, Text: s.Message()}
	}
	return err
}

func known(kind int32) fault.Kind {
	if k := fault.Kind(kind); k >= fault.Internal && k.String() != fault.Kind(-1).String() {
		return k
	}
	return fault.Internal
}

// IsContext reports whether err is that of a context.
func IsContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
