package core

import (
	"context"

	"github.com/nnid/nnid/core/fault"
)

// Elementwise makes an [Activation] of plain functions: derivatives[k] is the derivative of order k at one point. The
// functions must be safe for concurrent calls. It saves authors of activations the loop, the check of the order and
// the cancellation.
func Elementwise(facts Facts, derivatives [MaxDerivative + 1]func(t float64) float64) Activation {
	return elementwise{facts, derivatives}
}

type elementwise struct {
	facts       Facts
	derivatives [MaxDerivative + 1]func(float64) float64
}

func (e elementwise) Facts() Facts { return e.facts }

func (e elementwise) Derivative(ctx context.Context, order int, t []float64) ([]float64, error) {
	if order < 0 || order > MaxDerivative {
		return nil, fault.New(fault.Unsupported, "the derivative of order %d was asked for; activations give orders 0 to %d", order, MaxDerivative)
	}
	g := e.derivatives[order]
	values := make([]float64, len(t))
	for i, v := range t {
		if i%4096 == 0 && ctx.Err() != nil { // often enough to stop within a fraction of a millisecond
			return nil, ctx.Err()
		}
		values[i] = g(v)
	}
	return values, ctx.Err()
}
