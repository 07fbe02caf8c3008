// Package oracles lists the built-in oracles.
package oracles

import (
	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/oracles/network"
	"github.com/nnid/nnid/plugins/oracles/oip"
)

// All returns the factories of the built-in oracles.
func All() []core.OracleFactory {
	return []core.OracleFactory{network.Factory, oip.Factory}
}
