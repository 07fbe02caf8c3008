package oip

import (
	"errors"

	"github.com/nnid/nnid/sdk"
)

// tooLargeError is the server's word that a request is too large for it.
type tooLargeError struct{ error }

func (e tooLargeError) Unwrap() error { return e.error }

// refusedError is the server's word that a request is wrong, or that it failed over it.
type refusedError struct {
	error
	internal bool // it failed: perhaps after it had answered
}

func (e refusedError) Unwrap() error { return e.error }

// noMetadataError is the server's word that it has no metadata: of this model, or at all.
type noMetadataError struct{ error }

func (e noMetadataError) Unwrap() error { return e.error }

// narrow says whether to ask again in another shape after an error: in fewer rows, and at last, where the metadata has no dimension for a
// batch, without one. Servers that limit the batch tell so in words of their own, with the status of any bad request; models
// exported for one row have a batch of 1, or none, in their metadata, and not all of them insist on it. What is learnt holds
// for all later requests.
func (o *oracle) narrow(t *tensors, shape []int, err error) bool {
	_, large := errors.AsType[tooLargeError](err)
	refusal, refused := errors.AsType[refusedError](err)
	refused = refused && (t.single || !refusal.internal)
	switch rows := shape[0]; {
	case !large && !refused || len(shape) == 1:
		return false
	case rows > 1:
		rows /= 2
		if refused && t.single {
			rows = 1
		}
		o.rows.Store(int64(rows))
		sdk.Logger().Info("the model server refuses the request; asking in smaller ones", "model", o.address, "rows", rows, "because", err)
		return true
	case refused && t.flat:
		o.vector.Store(true)
		return true
	}
	return false
}

// oneRow says whether a request has one row by the shape of the input: [1, ...], or [d], which has no dimension for a batch (flat).
func oneRow(shape []int64) (single, flat bool) {
	flat = len(shape) == 1 && shape[0] > 0
	return flat || len(shape) > 1 && shape[0] == 1, flat
}
