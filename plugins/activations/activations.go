// Package activations lists the built-in activations. Each is a plugin like any other: it imports the sdk and
// the core's interfaces, and nothing else of the project.
package activations

import (
	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/activations/arctan"
	"github.com/nnid/nnid/plugins/activations/erf"
	"github.com/nnid/nnid/plugins/activations/gelu"
	"github.com/nnid/nnid/plugins/activations/sigmoid"
	"github.com/nnid/nnid/plugins/activations/silu"
	"github.com/nnid/nnid/plugins/activations/sine"
	"github.com/nnid/nnid/plugins/activations/softplus"
	"github.com/nnid/nnid/plugins/activations/softsign"
	"github.com/nnid/nnid/plugins/activations/tanh"
)

// All returns the factories of the built-in activations, the two most used first.
func All() []core.ActivationFactory {
	return []core.ActivationFactory{
		tanh.Factory, sigmoid.Factory,
		arctan.Factory, erf.Factory, gelu.Factory, silu.Factory, sine.Factory, softplus.Factory, softsign.Factory,
	}
}
