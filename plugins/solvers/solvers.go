// Package solvers lists the built-in solvers.
package solvers

import (
	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/solvers/altproj"
	"github.com/nnid/nnid/plugins/solvers/auto"
	"github.com/nnid/nnid/plugins/solvers/jointdiag"
	"github.com/nnid/nnid/plugins/solvers/kernel"
	"github.com/nnid/nnid/plugins/solvers/newton"
	"github.com/nnid/nnid/plugins/solvers/spectral"
	"github.com/nnid/nnid/plugins/solvers/spm"
)

// All returns the built-in solvers, the default one first.
func All() []core.SolverFactory {
	return []core.SolverFactory{
		auto.Factory(), spm.Factory(), newton.Factory(), jointdiag.Factory(), kernel.Factory(), altproj.Factory(), spectral.Factory(),
	}
}
