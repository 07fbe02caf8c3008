package sdk

import (
	"context"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/internal/guard"
)

// Scalar makes an activation of a function and its first three derivatives, each given by a pure function of one
// number.
func Scalar(facts core.Facts, f, f1, f2, f3 func(float64) float64) core.Activation {
	return &scalar{facts: facts, derivatives: [core.MaxDerivative + 1]func(float64) float64{f, f1, f2, f3}}
}

type scalar struct {
	facts       core.Facts
	derivatives [core.MaxDerivative + 1]func(float64) float64
}

func (s *scalar) Facts() core.Facts { return s.facts }

func (s *scalar) Derivative(ctx context.Context, order int, t []float64) ([]float64, error) {
	if order < 0 || order > core.MaxDerivative {
		return nil, fault.New(fault.Unsupported, "an activation has derivatives of order 0 to %d, not %d", core.MaxDerivative, order)
	}
	f := s.derivatives[order]
	values := make([]float64, len(t))
	for k, x := range t {
		// Often enough to stop soon, seldom enough to cost nothing.
		if k%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		values[k] = f(x)
	}
	return values, nil
}

// ScalarFactory makes a factory for an activation without options.
func ScalarFactory(name, summary string, facts core.Facts, f, f1, f2, f3 func(float64) float64) core.ActivationFactory {
	activation := Scalar(facts, f, f1, f2, f3)
	return core.ActivationFactory{
		Component: core.Component{Name: name, Summary: summary},
		Open:      func(core.Options) (core.Activation, error) { return activation, nil },
	}
}

// Logger returns the logger whose lines reach the host, under the plugin's name and at the host's level. Plugins log
// with it instead of printing.
func Logger() hclog.Logger { return logger() }

var logger = sync.OnceValue(guard.Logger)
