package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/testdata/networks"
)

// opened are the components of a run.
type opened struct {
	oracle     core.Oracle
	info       core.OracleInfo
	candidates []identify.Candidate
	second     []identify.Candidate // of the second layer, where --activation gives one of its own
	solver     core.Solver
	solverName string
}

// shippedNetwork writes the network shipped with nnid to a file for the oracle to read.
func shippedNetwork() (file string, remove func(), err error) {
	folder, err := os.MkdirTemp("", "nnid-")
	if err != nil {
		return "", nil, fault.New(fault.Usage, "the network shipped with nnid cannot be written: %w", err)
	}
	remove = func() { _ = os.RemoveAll(folder) }
	file = filepath.Join(folder, networks.DiabetesName+".json")
	if err := os.WriteFile(file, networks.Diabetes, 0o600); err != nil {
		remove()
		return "", nil, fault.New(fault.Usage, "the network shipped with nnid cannot be written: %w", err)
	}
	return file, remove, nil
}

// openRest opens the activations and the solver.
func (f *identifyFlags) openRest(ctx context.Context, h *host.Host, logger hclog.Logger, o *opened, activationOptions, solverOptions core.Options) error {
	names, second, err := layers(f.activation)
	if err != nil {
		return err
	}
	if f.activation == auto {
		components, err := componentsOf(ctx, h, core.KindActivation)
		if err != nil {
			return err
		}
		names = nil
		for _, c := range components {
			if !slices.ContainsFunc(c.Options, func(o core.Option) bool { return o.Required }) {
				names = append(names, c.Name)
			}
		}
		if len(names) == 0 {
			return fault.New(fault.Usage, "no activation was found; see: nnid plugins list")
		}
	}
	o.solverName = f.solver
	var solverErr error
	solverOpen := make(chan struct{})
	go func() {
		defer close(solverOpen)
		o.solver, solverErr = h.Solver(ctx, o.solverName, solverOptions)
	}()
	o.candidates, err = f.openActivations(ctx, h, logger, names, activationOptions)
	if err == nil && len(second) > 0 {
		o.second, err = f.openActivations(ctx, h, logger, second, activationOptions)
	}
	<-solverOpen
	if err != nil {
		return err
	}
	return solverErr
}

// layers takes --activation apart: NAME for both layers, or G,H. There is no auto for one of them.
func layers(text string) (first, second []string, err error) {
	g, h, err := core.SplitLayers(text)
	switch {
	case err != nil:
		return nil, nil, err
	case h == "":
		return []string{g}, nil, nil
	case g == auto || h == auto:
		return nil, nil, fault.New(fault.Usage, "--activation %q is neither NAME nor G,H, the activations of the two layers; auto stands for both", text)
	}
	return []string{g}, []string{h}, nil
}

func (f *identifyFlags) openActivations(ctx context.Context, h *host.Host, logger hclog.Logger, names []string, options core.Options) ([]identify.Candidate, error) {
	var candidates []identify.Candidate
	var last error
	for _, name := range names {
		candidate, err := openActivation(ctx, h, name, options)
		if err != nil {
			if f.activation != auto || ctx.Err() != nil {
				return nil, err
			}
			// One broken plugin of a third party does not keep the others from being tried.
			logger.Warn("activation left out of auto", "activation", name, "error", err)
			last = err
			continue
		}
		candidates = append(candidates, candidate)
	}
	if len(candidates) == 0 {
		return nil, last
	}
	return candidates, nil
}

// activationOpener is a *host.Host, or in tests one that needs no process.
type activationOpener interface {
	Activation(context.Context, string, core.Options) (core.Activation, error)
}

// openActivation opens the activation that text names, with the options in it and the given ones, and compiles it. The candidate's
// name says the options: a network file must.
func openActivation(ctx context.Context, h activationOpener, text string, given core.Options) (identify.Candidate, error) {
	name, options, err := core.ParseNamed(text)
	if err != nil {
		return identify.Candidate{}, err
	}
	all := maps.Clone(given)
	if all == nil {
		all = core.Options{}
	}
	maps.Copy(all, options)
	activation, err := h.Activation(ctx, name, all)
	if err != nil {
		return identify.Candidate{}, err
	}
	function, err := compile.Compile(ctx, activation)
	if err != nil {
		return identify.Candidate{}, err
	}
	if _, plain, qualified := strings.Cut(name, "/"); qualified {
		name = plain // a network file names the activation, not the plugin
	}
	return identify.Candidate{Name: core.FormatNamed(name, all), Function: function}, nil
}

// publicOptions returns the given options without those that are secret. Where the component's description cannot be
// had, every option might be.
func publicOptions(ctx context.Context, h *host.Host, kind core.Kind, name string, given core.Options) map[string]string {
	public := map[string]string{}
	for _, option := range declared(ctx, h, kind, name) {
		if value, ok := given[option.Name]; ok && !option.Secret {
			public[option.Name] = value
		}
	}
	return public
}

// declared are the options that a component has; none where its description cannot be had.
func declared(ctx context.Context, h *host.Host, kind core.Kind, name string) []core.Option {
	listings, err := h.List(ctx)
	if err != nil {
		return nil
	}
	plugin, plain, qualified := strings.Cut(name, "/")
	if !qualified {
		plain = name
	}
	for _, listing := range listings {
		component, ok := listing.Find(kind, plain)
		if ok && !listing.Shadowed && (!qualified || listing.Plugin == plugin) {
			return component.Options
		}
	}
	return nil
}

// withInputs are the options with --inputs among them, for an oracle that has such an option: one that knows how many inputs there are can
// do without the backend's word on it.
func (f *identifyFlags) withInputs(ctx context.Context, h *host.Host, oracle string, options core.Options) core.Options {
	const name = "inputs"
	if _, given := options[name]; given || f.inputs == 0 ||
		!slices.ContainsFunc(declared(ctx, h, core.KindOracle, oracle), func(o core.Option) bool { return o.Name == name }) {
		return options
	}
	all := core.Options{name: strconv.Itoa(f.inputs)}
	maps.Copy(all, options)
	return all
}
