package sdk

import "github.com/nnid/nnid/sdk/internal/rpc"

// Description is what a plugin says of itself: the JSON that a binary prints when called with the argument
// "describe", and what a lock file remembers of it.
type Description = rpc.Description

// Component is a component with its kind.
type Component = rpc.Component
