package rpc

import (
	"fmt"

	"github.com/nnid/nnid/core"
)

// CookieKey and CookieValue tell a binary that it was started as a plugin. This is no secret and no protection: it
// tells a user's mistake from a host's launch.
const (
	CookieKey   = "NNID_PLUGIN_COOKIE"
	CookieValue = "nnid-58e6fd1f4c7b4c0fa8b6b3b5e4f27a35"
)

// Plugin has the fields of sdk.Plugin.
type Plugin struct {
	Name    string
	Version string

	Activations []core.ActivationFactory
	Solvers     []core.SolverFactory
	Oracles     []core.OracleFactory
}

// Component is a component with its kind.
type Component struct {
	Kind core.Kind
	core.Component
}

// Components returns the descriptions of all components.
func (p Plugin) Components() []Component {
	var components []Component
	for _, f := range p.Activations {
		components = append(components, Component{core.KindActivation, f.Component})
	}
	for _, f := range p.Solvers {
		components = append(components, Component{core.KindSolver, f.Component})
	}
	for _, f := range p.Oracles {
		components = append(components, Component{core.KindOracle, f.Component})
	}
	return components
}

// Check returns an error if a component could not be served.
func (p Plugin) Check() error {
	for _, f := range p.Activations {
		if f.Open == nil {
			return fmt.Errorf("activation %q of plugin %q has no Open", f.Name, p.Name)
		}
	}
	for _, f := range p.Solvers {
		if f.Open == nil {
			return fmt.Errorf("solver %q of plugin %q has no Open", f.Name, p.Name)
		}
	}
	for _, f := range p.Oracles {
		if f.Open == nil {
			return fmt.Errorf("oracle %q of plugin %q has no Open", f.Name, p.Name)
		}
	}
	return CheckComponents(p.Name, p.Components())
}

// CheckComponents returns an error if a component or option has a name that is none, or one that another has.
func CheckComponents(plugin string, components []Component) error {
	seen := map[string]bool{}
	for _, c := range components {
		if err := core.CheckName(c.Name); err != nil {
			return fmt.Errorf("%s of plugin %q: %w", c.Kind, plugin, err)
		}
		key := string(c.Kind) + "/" + c.Name
		if seen[key] {
			return fmt.Errorf("plugin %q has two components %s %q", plugin, c.Kind, c.Name)
		}
		seen[key] = true
		options := map[string]bool{}
		for _, o := range c.Options {
			if o.Name == "" || options[o.Name] {
				return fmt.Errorf("%s %q of plugin %q: an option's name is empty or there twice: %q", c.Kind, c.Name, plugin, o.Name)
			}
			options[o.Name] = true
		}
	}
	return nil
}
