package host

import (
	"context"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk"
)

// InProcess opens components of a plugin in this process: no transport, no supervision. Tests and benchmarks use it to
// tell what the process boundary costs. Its methods are those of Host.
type InProcess struct{ Plugin sdk.Plugin }

// Activation opens an activation.
func (p InProcess) Activation(_ context.Context, name string, given core.Options) (core.Activation, error) {
	for _, f := range p.Plugin.Activations {
		if f.Name == name {
			return openHere(core.KindActivation, f.Component, f.Open, given)
		}
	}
	return nil, p.unknown(core.KindActivation, name)
}

// Solver opens a solver.
func (p InProcess) Solver(_ context.Context, name string, given core.Options) (core.Solver, error) {
	for _, f := range p.Plugin.Solvers {
		if f.Name == name {
			return openHere(core.KindSolver, f.Component, f.Open, given)
		}
	}
	return nil, p.unknown(core.KindSolver, name)
}

// Oracle opens an oracle.
func (p InProcess) Oracle(_ context.Context, name string, given core.Options) (core.Oracle, error) {
	for _, f := range p.Plugin.Oracles {
		if f.Name == name {
			return openHere(core.KindOracle, f.Component, f.Open, given)
		}
	}
	return nil, p.unknown(core.KindOracle, name)
}

func openHere[T any](kind core.Kind, component core.Component, create func(core.Options) (T, error), given core.Options) (T, error) {
	options, err := component.Resolve(kind, given)
	if err != nil {
		var none T
		return none, err
	}
	return create(options)
}

func (p InProcess) unknown(kind core.Kind, name string) error {
	var available []string
	for _, c := range p.Plugin.Describe().Components {
		if c.Kind == kind {
			available = append(available, c.Name)
		}
	}
	return unknown(kind, name, available, nil)
}
