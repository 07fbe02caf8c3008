package core

import (
	"reflect"
	"testing"

	"github.com/nnid/nnid/core/fault"
)

func TestParseNamed(t *testing.T) {
	for _, c := range []struct {
		text, name string
		options    Options
	}{
		{"tanh", "tanh", nil},
		{"gelu-tanh", "gelu-tanh", nil},
		{"softplus(beta=3)", "softplus", Options{"beta": "3"}},
		{"mine/leaky(slope=0.2,bend=1e-3)", "mine/leaky", Options{"slope": "0.2", "bend": "1e-3"}},
	} {
		name, options, err := ParseNamed(c.text)
		if err != nil || name != c.name || !reflect.DeepEqual(options, c.options) {
			t.Errorf("%s: %q, %v, %v", c.text, name, options, err)
		}
	}
	for _, text := range []string{"", "Tanh", "a b", "softplus(", "softplus()", "softplus(beta)", "softplus(beta=)", "softplus(=3)", "softplus(beta=3", "softplus(beta=3)x",
		"softplus(beta=3))", "softplus(beta=(3))", "softplus(beta=3,)", "softplus(beta=3,beta=4)", "(beta=3)", "/tanh", "mine/", "a/b/c"} {
		if name, options, err := ParseNamed(text); !fault.Is(err, fault.Usage) {
			t.Errorf("%q: %q, %v, %v", text, name, options, err)
		}
	}
}

func FuzzParseNamed(f *testing.F) {
	f.Add("tanh")
	f.Add("mine/leaky(slope=0.2,bend=1)")
	f.Fuzz(func(t *testing.T, text string) {
		name, options, err := ParseNamed(text)
		if err != nil {
			return
		}
		again, same, err := ParseNamed(FormatNamed(name, options))
		if err != nil || again != name || !reflect.DeepEqual(options, same) {
			t.Errorf("%q is %q %v, written and read again %q %v, %v", text, name, options, again, same, err)
		}
	})
}
