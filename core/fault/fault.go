// Package fault classifies errors, on both sides of the plugin protocol, by what the user can do about them.
// The text of a fault is a sentence that names what was wrong and, where there is one, the remedy.
package fault

import (
	"errors"
	"fmt"
)

// Kind is the class of a fault. The numbers are on the wire: append only.
type Kind int

// The kinds of faults.
const (
	Internal    Kind = 0 // a defect of the program or of a plugin
	Usage       Kind = 1 // a flag, an option or a file is wrong: the user mends it
	Plugin      Kind = 2 // a plugin could not be found, started or kept alive
	Oracle      Kind = 3 // the model backend failed or answered nonsense
	Budget      Kind = 4 // the query budget is spent
	Unsupported Kind = 5 // the component cannot do what was asked of it
)

func (k Kind) String() string {
	switch k {
	case Internal:
		return "internal"
	case Usage:
		return "usage"
	case Plugin:
		return "plugin"
	case Oracle:
		return "oracle"
	case Budget:
		return "budget"
	case Unsupported:
		return "unsupported"
	}
	return "unknown"
}

// Error is an error with a kind.
type Error struct {
	Kind Kind
	Text string
	Err  error // the cause, if any; its text is part of Text already
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of the given kind. As in fmt.Errorf, %w keeps a cause.
func New(kind Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Text: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the outermost fault in err's chain, and Internal where there is none.
func KindOf(err error) Kind {
	if f, ok := errors.AsType[*Error](err); ok {
		return f.Kind
	}
	return Internal
}

// Is reports whether err's outermost fault is of the given kind.
func Is(err error, kind Kind) bool {
	f, ok := errors.AsType[*Error](err)
	return ok && f.Kind == kind
}
