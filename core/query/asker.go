// Package query is how the stages put queries to an oracle: a session counts every answered row, keeps to the budget,
// batches to what the backend takes, refuses answers that are not finite numbers, and writes every answer to a journal
// before anyone uses it, so that a run cut off goes on without asking again.
package query

import (
	"context"

	"gonum.org/v1/gonum/mat"
)

// Asker answers queries of the one output that is being identified. [Session] is the one for real runs.
type Asker interface {
	// Ask returns f at the rows of x (n x d). It is all or nothing.
	Ask(ctx context.Context, x *mat.Dense) ([]float64, error)
	// Queries returns the number of rows answered so far.
	Queries() int64
}
