package core

import (
	"sort"
	"strings"

	"github.com/nnid/nnid/core/fault"
)

// ParseNamed reads a component's name with its options, as network files and command lines write them: "tanh",
// "softplus(beta=3)", "mine/leaky(slope=0.2,bend=1)". The name may be qualified with its plugin. Values hold no comma and no
// parenthesis. The error is a [fault.Usage].
func ParseNamed(text string) (name string, options Options, err error) {
	name, rest, given := strings.Cut(text, "(")
	plugin, plain, qualified := strings.Cut(name, "/")
	if !qualified {
		plain = name
	} else if err := CheckName(plugin); err != nil {
		return "", nil, fault.New(fault.Usage, "%w", err)
	}
	if err := CheckName(plain); err != nil {
		return "", nil, fault.New(fault.Usage, "%w", err)
	}
	if !given {
		return name, nil, nil
	}
	inner, closed := strings.CutSuffix(rest, ")")
	if !closed || strings.ContainsAny(inner, "()") {
		return "", nil, fault.New(fault.Usage, "%q is not NAME or NAME(OPTION=VALUE,...)", text)
	}
	options = Options{}
	for _, pair := range strings.Split(inner, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if _, twice := options[key]; !ok || key == "" || value == "" || twice {
			return "", nil, fault.New(fault.Usage, "in %q, %q is not OPTION=VALUE, each option once", text, pair)
		}
		options[key] = value
	}
	return name, options, nil
}

// FormatNamed is the inverse of [ParseNamed]; options are in alphabetical order.
func FormatNamed(name string, options Options) string {
	if len(options) == 0 {
		return name
	}
	pairs := make([]string, 0, len(options))
	for key, value := range options {
		pairs = append(pairs, key+"="+value)
	}
	sort.Strings(pairs)
	return name + "(" + strings.Join(pairs, ",") + ")"
}

// SplitLayers takes the activations of two hidden layers apart: NAME for both, or G,H, each with options of its own, as in
// "leaky(slope=0.2),elu". Second is empty where both have the first. The error is a [fault.Usage].
func SplitLayers(text string) (first, second string, err error) {
	depth, cuts := 0, []int(nil)
	for k, r := range text {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			cuts = append(cuts, k)
		}
	}
	switch len(cuts) {
	case 0:
		return text, "", nil
	case 1:
		return text[:cuts[0]], text[cuts[0]+1:], nil
	}
	return "", "", fault.New(fault.Usage, "activation %q is neither NAME nor G,H, the activations of the two layers", text)
}
