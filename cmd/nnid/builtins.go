package main

import "github.com/nnid/nnid/sdk"

// defaultSolver is what --solver auto means where it is there.
const defaultSolver = "spm"

// builtins is the plugin inside this binary. Its components go through the same protocol as anyone's.
func builtins() sdk.Plugin {
	return sdk.Plugin{Name: "builtin", Version: versionText()}
}
