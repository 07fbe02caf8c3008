package identify

import (
	"context"

	"github.com/nnid/nnid/core/fault"
)

// Run identifies the network behind problem.Oracle. When the run was cut short (budget spent, context ended) or the
// network resists, the result still holds what was found, with Identified false; it is nil only when err says that
// nothing could be started. An error with a result means: cut short, for the reason given.
func Run(ctx context.Context, problem Problem, settings Settings) (*Result, error) {
	return nil, fault.New(fault.Unsupported, "not yet")
}
