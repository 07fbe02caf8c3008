// Package oracles lists the built-in oracles.
package oracles

import (
	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/oracles/exec"
	"github.com/nnid/nnid/plugins/oracles/network"
	"github.com/nnid/nnid/plugins/oracles/oip"
	"github.com/nnid/nnid/plugins/oracles/onnx"
	"github.com/nnid/nnid/plugins/oracles/python"
)

// All returns the factories of the built-in oracles.
func All() []core.OracleFactory {
	return []core.OracleFactory{exec.Factory, network.Factory, oip.Factory, onnx.Factory, python.Factory}
}
