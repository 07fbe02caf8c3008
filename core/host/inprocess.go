package host

import (
	"context"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
)

// InProcess opens components of a plugin in this process: no transport, no supervision. Tests and benchmarks use it to
// tell what the process boundary costs.
type InProcess struct{ Plugin sdk.Plugin }

// Activation opens an activation.
func (p InProcess) Activation(_ context.Context, name string, given core.Options) (core.Activation, error) {
	return nil, fault.New(fault.Unsupported, "not yet")
}
