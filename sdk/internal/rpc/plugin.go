package rpc

import (
	"encoding/json"
	"fmt"

	"github.com/nnid/nnid/core"
)

// SetName is the one entry of go-plugin's plugin set; what there is behind it, Meta says.
const SetName = "nnid"

// ReattachVariable is set by those who debug a plugin; see sdk.ReattachVariable.
const ReattachVariable = "NNID_REATTACH"

// Reattach says where a plugin that runs already can be reached.
type Reattach struct {
	Network  string `json:"network"`
	Address  string `json:"address"`
	PID      int    `json:"pid"`
	Protocol int    `json:"protocol"`
}

// Plugin has the fields of sdk.Plugin.
type Plugin struct {
	Name    string
	Version string

	Activations []core.ActivationFactory
	Solvers     []core.SolverFactory
	Oracles     []core.OracleFactory
}

// Description is what a plugin says of itself: the JSON that a binary prints when called with the argument
// "describe", and what a lock file remembers of it.
type Description struct {
	Plugin  string `json:"plugin"`
	Version string `json:"version"`
	// SDK names the SDK that the plugin was built with and its version.
	SDK string `json:"sdk"`
	// Protocols are the protocol versions that the plugin speaks.
	Protocols []int `json:"protocols"`
	// PlainText says that the plugin can't do the handshake's mutual TLS. The connection is then protected by the
	// permissions of the socket's folder alone.
	PlainText  bool        `json:"plain_text,omitempty"`
	Components []Component `json:"components"`
}

// Find returns the component of the given kind and name.
func (d Description) Find(kind core.Kind, name string) (core.Component, bool) {
	for _, c := range d.Components {
		if c.Kind == kind && c.Name == name {
			return c.Component, true
		}
	}
	return core.Component{}, false
}

// Component is a component with its kind.
type Component struct {
	Kind core.Kind
	core.Component
}

type jsonComponent struct {
	Kind      core.Kind    `json:"kind"`
	Name      string       `json:"name"`
	Summary   string       `json:"summary,omitempty"`
	Reference string       `json:"reference,omitempty"`
	Options   []jsonOption `json:"options,omitempty"`
}

type jsonOption struct {
	Name     string `json:"name"`
	Usage    string `json:"usage,omitempty"`
	Default  string `json:"default,omitempty"`
	Required bool   `json:"required,omitempty"`
	Secret   bool   `json:"secret,omitempty"`
}

// MarshalJSON gives core's words, which have no tags, the names that descriptions in any language use.
func (c Component) MarshalJSON() ([]byte, error) {
	j := jsonComponent{Kind: c.Kind, Name: c.Name, Summary: c.Summary, Reference: c.Reference}
	for _, o := range c.Options {
		j.Options = append(j.Options, jsonOption(o))
	}
	return json.Marshal(j)
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (c *Component) UnmarshalJSON(data []byte) error {
	var j jsonComponent
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*c = Component{Kind: j.Kind, Component: core.Component{Name: j.Name, Summary: j.Summary, Reference: j.Reference}}
	for _, o := range j.Options {
		c.Options = append(c.Options, core.Option(o))
	}
	return nil
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
