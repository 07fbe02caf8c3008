// Package teachers makes the networks that benchmarks hide: planted at random, trained on real data, or degenerate on
// purpose. Every one is deterministic in its seed. It is a library for anyone who measures an identification method on
// networks of two hidden layers; nnid itself never learns from it.
package teachers

import (
	"math/rand/v2"

	"github.com/nnid/nnid/core/network"
)

// Teacher is a network to be hidden.
type Teacher struct {
	// Network is what the oracle evaluates.
	Network *network.Network
	// Minimal is the smallest network that computes the same function. It is what queries can determine, and so what a
	// network found is compared with; it is Network itself unless the teacher is degenerate.
	Minimal *network.Network
	// Shallow, where there is one, is what the oracle evaluates instead: a network of one hidden layer.
	Shallow *network.Shallow
}

// generator is the source of all choices for a seed; purpose keeps those of different generators apart.
func generator(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }
