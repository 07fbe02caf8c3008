package core

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/nnid/nnid/core/fault"
)

// Kind says which of the three interfaces a component implements.
type Kind string

// The kinds of components, as they are written on the wire and in listings.
const (
	KindActivation Kind = "activation"
	KindSolver     Kind = "solver"
	KindOracle     Kind = "oracle"
)

// Component describes one activation, solver or oracle before it is opened.
type Component struct {
	Name      string   // what users write on the command line: lower case letters, digits and hyphens
	Summary   string   // one line for listings
	Reference string   // the paper or specification implemented, if any
	Options   []Option // accepted options; any other is refused
}

// Option describes one option of a component.
type Option struct {
	Name     string
	Usage    string // one line; names the unit and the range where there is one
	Default  string
	Required bool
	Secret   bool // the value is never logged nor written to the run directory
}

// Options are the option values a component is opened with, by name.
type Options map[string]string

// Resolve checks the given options against the declared ones and fills in defaults. The error is a [fault.Usage]
// that names the component, the option and the options there are.
func (c Component) Resolve(kind Kind, given Options) (Options, error) {
	resolved := make(Options, len(c.Options))
	known := make([]string, 0, len(c.Options))
	for _, option := range c.Options {
		known = append(known, option.Name)
		value, ok := given[option.Name]
		switch {
		case ok:
			resolved[option.Name] = value
		case option.Required:
			return nil, fault.New(fault.Usage, "%s %q needs the option %q (%s)", kind, c.Name, option.Name, option.Usage)
		default:
			resolved[option.Name] = option.Default
		}
	}
	sort.Strings(known)
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if _, ok := resolved[name]; !ok {
			if len(known) == 0 {
				return nil, fault.New(fault.Usage, "%s %q has no option %q; it takes none", kind, c.Name, name)
			}
			return nil, fault.New(fault.Usage, "%s %q has no option %q; it has: %s", kind, c.Name, name, strings.Join(known, ", "))
		}
	}
	return resolved, nil
}

// Int returns the option as an integer of at least least.
func (o Options) Int(name string, least int) (int, error) {
	value, err := strconv.Atoi(o[name])
	if err != nil || value < least {
		return 0, fault.New(fault.Usage, "option %s=%q must be a whole number of at least %d", name, o[name], least)
	}
	return value, nil
}

// Float returns the option as a finite number in [low, high].
func (o Options) Float(name string, low, high float64) (float64, error) {
	value, err := strconv.ParseFloat(o[name], 64)
	if err != nil || !(value >= low && value <= high) {
		return 0, fault.New(fault.Usage, "option %s=%q must be a number between %g and %g", name, o[name], low, high)
	}
	return value, nil
}

// Bool returns the option as true or false.
func (o Options) Bool(name string) (bool, error) {
	value, err := strconv.ParseBool(o[name])
	if err != nil {
		return false, fault.New(fault.Usage, "option %s=%q must be true or false", name, o[name])
	}
	return value, nil
}

// Activations, solvers and oracles are made by factories: the component's description and how to open it with
// resolved options. Open must be safe for concurrent calls.
type (
	// ActivationFactory makes activations.
	ActivationFactory struct {
		Component
		Open func(Options) (Activation, error)
	}
	// SolverFactory makes solvers.
	SolverFactory struct {
		Component
		Open func(Options) (Solver, error)
	}
	// OracleFactory makes oracles.
	OracleFactory struct {
		Component
		Open func(Options) (Oracle, error)
	}
)

// CheckName reports whether name may be the name of a component or a plugin.
func CheckName(name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("the name %q must have 1 to 64 characters", name)
	}
	for i, r := range name {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') || (r == '-' && i > 0) {
			continue
		}
		return fmt.Errorf("the name %q may hold lower case letters, digits and (not first) hyphens only", name)
	}
	return nil
}
