package sdk

import (
	"fmt"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/sdk/internal/guard"
	"github.com/nnid/nnid/sdk/internal/rpc"
)

// Version is the version of this SDK, reported by every plugin built with it.
const Version = "0.1.0"

// Protocol is the plugin protocol that this SDK speaks: the number in the handshake, and the v in proto package nnid.v1.
const Protocol = 1

// Plugin is what a plugin binary offers.
type Plugin struct {
	Name    string // as in the file name nnid-plugin-NAME
	Version string // the plugin's own version, for listings and reports

	Activations []core.ActivationFactory
	Solvers     []core.SolverFactory
	Oracles     []core.OracleFactory
}

// Check returns an error if the plugin could not be served: a name that is none, two components of one name, or a
// component without Open. Serve calls it; so may a unit test.
func (p Plugin) Check() error {
	if err := core.CheckName(p.Name); err != nil {
		return fmt.Errorf("plugin: %w", err)
	}
	if p.Version == "" {
		return fmt.Errorf("plugin %q has no Version", p.Name)
	}
	return rpc.Plugin(p).Check()
}

// Describe returns what the plugin says of itself.
func (p Plugin) Describe() Description {
	description := Description{Plugin: p.Name, Version: p.Version, SDK: "go " + Version, Protocols: []int{Protocol}}
	description.Components = rpc.Plugin(p).Components()
	return description
}

// InPluginProcess reports whether this process was started by an nnid host to serve a plugin. A program that ships
// plugins inside itself asks this first thing in main, and calls Serve if so.
func InPluginProcess() bool { return guard.InPluginProcess }
