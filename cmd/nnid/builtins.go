package main

import (
	"github.com/nnid/nnid/plugins/activations"
	"github.com/nnid/nnid/plugins/oracles"
	"github.com/nnid/nnid/plugins/solvers"
	"github.com/nnid/nnid/sdk"
)

// builtins is the plugin inside this binary. Its components go through the same protocol as anyone's.
func builtins() sdk.Plugin {
	return sdk.Plugin{
		Name: "builtin", Version: versionText(),
		Activations: activations.All(), Solvers: solvers.All(), Oracles: oracles.All(),
	}
}
