package sdk

import (
	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk/internal/rpc"
)

// Description is what a plugin says of itself: the JSON that a binary prints when called with the argument
// "describe", and what a lock file remembers of it.
type Description struct {
	Plugin  string `json:"plugin"`
	Version string `json:"version"`
	// SDK names the SDK that the plugin was built with and its version.
	SDK string `json:"sdk"`
	// Protocols are the protocol versions that the plugin speaks.
	Protocols []int `json:"protocols"`
	// PlainText says that the plugin can't do the handshake's mutual TLS. The connection is then protected by the
	// permissions of the socket's folder alone.
	PlainText  bool        `json:"plain_text,omitempty"`
	Components []Component `json:"components"`
}

// Component is a component with its kind.
type Component = rpc.Component

// Find returns the component of the given kind and name.
func (d Description) Find(kind core.Kind, name string) (core.Component, bool) {
	for _, c := range d.Components {
		if c.Kind == kind && c.Name == name {
			return c.Component, true
		}
	}
	return core.Component{}, false
}
