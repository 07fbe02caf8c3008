package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/testdata/networks"
)

func newCompare(s *streams) *cobra.Command {
	c := &common{streams: s}
	var asJSON bool
	command := &cobra.Command{
		Use:   "compare TRUE.json FOUND.json",
		Short: "Print the distance between two networks modulo the model's symmetries",
		Long: `compare matches the neurons of two networks of one size and prints how far their parameters are apart, modulo the
symmetries of the model: the order of the neurons within a layer, where the activation has a symmetry the sign of a
neuron, and the family where two describe the same functions, as tanh and sigmoid do. The error of a neuron is the Euclidean norm of the difference of its incoming parameters over the norm of its
true weights.`,
		Example: `  nnid compare hidden.json nnid-run/network.json`,
		Args:    arguments("TRUE.json", "FOUND.json"),
		RunE: func(command *cobra.Command, args []string) (err error) {
			truth, err := network.ReadFile(args[0])
			if err != nil {
				return err
			}
			found, err := network.ReadFile(args[1])
			if err != nil {
				return err
			}
			h, _, err := c.host()
			if err != nil {
				return err
			}
			defer closing(&err, h.Close)
			comparison, err := compareNetworks(command.Context(), h, truth, found)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(s.out).Encode(comparison)
			}
			printComparison(s, truth, comparison)
			return nil
		},
		ValidArgsFunction: cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveFilterFileExt),
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.register(command)
	return command
}

// compareNetworks compares in the true network's activations. A found network written in an equivalent family, as tanh
// and sigmoid are, is rewritten first.
func compareNetworks(ctx context.Context, h *host.Host, truth, found *network.Network) (*network.Comparison, error) {
	functions := map[string]core.Function{}
	for _, name := range []string{truth.First.Activation, truth.Second.Activation, found.First.Activation, found.Second.Activation} {
		if _, ok := functions[name]; ok {
			continue
		}
		plain, options, err := core.ParseNamed(name)
		if err != nil {
			return nil, err
		}
		activation, err := h.Activation(ctx, plain, options)
		if err != nil {
			return nil, err
		}
		if functions[name], err = compile.Compile(ctx, activation); err != nil {
			return nil, err
		}
	}
	found = found.Clone()
	for _, layer := range []struct {
		from, to string
		rewrite  func(network.Affine, string)
	}{
		{found.First.Activation, truth.First.Activation, found.RewriteFirst},
		{found.Second.Activation, truth.Second.Activation, found.RewriteSecond},
	} {
		if layer.from == layer.to {
			continue
		}
		relation, ok := network.Equivalent(functions[layer.from], functions[layer.to])
		if !ok {
			return nil, fault.New(fault.Usage, "the activation %s of the true network and %s of the found one describe different functions, so their parameters cannot be compared", layer.to, layer.from)
		}
		layer.rewrite(relation, layer.to)
	}
	return network.Compare(truth, found, functions[truth.First.Activation].Facts(), functions[truth.Second.Activation].Facts())
}

func printComparison(s *streams, truth *network.Network, c *network.Comparison) {
	m0, m1 := truth.Sizes()
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "networks\t%d inputs, %d + %d neurons, %s, %d parameters\n", truth.Inputs(), m0, m1, truth.Activations(), truth.Parameters())
	fmt.Fprintf(w, "first layer\tlargest error %.1e\n", slices.Max(c.First))
	fmt.Fprintf(w, "second layer\tlargest error %.1e\n", slices.Max(c.Second))
	fmt.Fprintf(w, "output\tlargest error %.1e, bias %.1e\n", slices.Max(c.Output), c.OutputBias)
	fmt.Fprintf(w, "distance\t%.1e\n", c.MaxError)
}

// distanceToShipped says how far the network found is from the one shipped with nnid: here, for once, the truth is known.
func distanceToShipped(ctx context.Context, h *host.Host, result *identify.Result) (string, error) {
	truth, err := networks.ReadDiabetes()
	if err != nil {
		return "", err
	}
	c, err := compareNetworks(ctx, h, truth, result.Network)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("largest error %.1e, against the network that was hidden", c.MaxError), nil
}
