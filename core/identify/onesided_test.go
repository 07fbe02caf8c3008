package identify

import (
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
)

// TestOneSided: a softsign unit that passes 0 at no answer is named, one that does at several is not, nor are units of smooth activations.
func TestOneSided(t *testing.T) {
	all := candidates(t, "softsign", "tanh")
	softsign, tanh := all[0].Function, all[1].Function
	n := network.New(1, 1, 1, "softsign", "softsign")
	n.First.Weight.Set(0, 0, 1)
	n.Second.Weight.Set(0, 0, 1)
	x := mat.NewDense(6, 1, []float64{-3, -2, -1, 1, 2, 3})
	if open := oneSided(n, softsign, softsign, x); open != "" {
		t.Error(open)
	}
	n.Second.Bias[0] = 0.75 - 1e-9 // z is -0.75 at the first row
	if open := oneSided(n, softsign, softsign, x); !strings.Contains(open, "unit 0 of the second layer") {
		t.Errorf("%q", open)
	}
	if open := oneSided(n, tanh, tanh, x); open != "" {
		t.Error(open)
	}
	n.First.Bias[0] = 5
	if open := oneSided(n, softsign, tanh, x); !strings.Contains(open, "unit 0 of the first layer") {
		t.Errorf("%q", open)
	}
	n.Second.Bias[0] = 0.75
	if open := oneSided(n, tanh, tanh, x); open != "" {
		t.Error(open)
	}
}

// TestJumps: a derivative that is 0 at 0, as that of order two of odd activations is, does not jump.
func TestJumps(t *testing.T) {
	names := []string{"tanh", "sigmoid", "erf", "arctan", "gompertz", "softplus", "silu", "gelu", "gelu-tanh", "sine", "leaky", "softsign", "elu"}
	for k, c := range candidates(t, names...) {
		if want := k >= 11; jumps(c.Function) != want {
			t.Errorf("%s: %v, want %v", c.Name, !want, want)
		}
	}
}
