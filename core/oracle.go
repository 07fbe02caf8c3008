package core

import (
	"context"

	"gonum.org/v1/gonum/mat"
)

// Oracle answers queries of the hidden function. Implementations are safe for concurrent calls.
type Oracle interface {
	// Info returns what the backend declares. It may ask the backend (hence ctx), but costs no query.
	Info(ctx context.Context) (OracleInfo, error)

	// Query evaluates the function at the rows of x (n x Inputs, n <= MaxBatch where that is set) and returns
	// n x Outputs values. It neither keeps nor changes x. It is all or nothing: on an error no row counts as answered.
	Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error)

	// Close releases what the oracle holds. No call follows it.
	Close() error
}

// OracleInfo is what an oracle declares of its backend. The zero value of a field means "not known" or "no limit".
type OracleInfo struct {
	Inputs   int // d; 0 when the backend does not say, and then the caller must
	Outputs  int // components of f; 0 when the backend does not say
	DType    DType
	MaxBatch int // most rows in one Query
	// Model identifies what is asked (name, version, address without secrets), so that answers paid for are never mixed
	// up with those of another model.
	Model string
}

// DType is the arithmetic of a backend.
type DType string

// The arithmetics known.
const (
	FP64 DType = "FP64"
	FP32 DType = "FP32"
)
