// Package activations lists the built-in activations. Each is a plugin like any other: it imports the sdk and
// the core's interfaces, and nothing else of the project.
package activations

import (
	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/plugins/activations/arctan"
	"github.com/nnid/nnid/plugins/activations/elu"
	"github.com/nnid/nnid/plugins/activations/erf"
	"github.com/nnid/nnid/plugins/activations/gelu"
	"github.com/nnid/nnid/plugins/activations/gelutanh"
	"github.com/nnid/nnid/plugins/activations/gompertz"
	"github.com/nnid/nnid/plugins/activations/leaky"
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
		arctan.Factory, elu.Factory, erf.Factory, gelu.Factory, gelutanh.Factory, gompertz.Factory, leaky.Factory, silu.Factory, sine.Factory, softplus.Factory, softsign.Factory,
	}
}
