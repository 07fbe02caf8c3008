// Package networks holds networks that scikit-learn's MLPRegressor was trained to on the data sets it ships
// (standardised inputs, solver lbfgs); the name of a file tells data set, activation and sizes of the hidden layers.
package networks

import (
	"bytes"
	_ "embed"

	"github.com/nnid/nnid/core/network"
)

// Diabetes is what the command identifies when no oracle is named: the diabetes data set, tanh, 8 and 4 neurons.
//
//go:embed diabetes-tanh-8-4.json
var Diabetes []byte

// DiabetesName names it.
const DiabetesName = "diabetes-tanh-8-4"

// ReadDiabetes reads it.
func ReadDiabetes() (*network.Network, error) { return network.Read(bytes.NewReader(Diabetes)) }
