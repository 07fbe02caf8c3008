package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
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
symmetries of the model: the order of the neurons within a layer and, where the activation has a symmetry, the sign of a
neuron. The error of a neuron is the Euclidean norm of the difference of its incoming parameters over the norm of its
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

// compareNetworks asks the activations' plugins for the facts that the symmetries follow from.
func compareNetworks(ctx context.Context, h *host.Host, truth, found *network.Network) (*network.Comparison, error) {
	if truth.First.Activation != found.First.Activation || truth.Second.Activation != found.Second.Activation {
		return nil, fault.New(fault.Usage, "the networks have different activations, %s and %s in the true one, %s and %s in the found one, so their parameters cannot be compared",
			truth.First.Activation, truth.Second.Activation, found.First.Activation, found.Second.Activation)
	}
	facts := map[string]core.Facts{}
	for _, name := range []string{truth.First.Activation, truth.Second.Activation} {
		if _, ok := facts[name]; ok {
			continue
		}
		activation, err := h.Activation(ctx, name, nil)
		if err != nil {
			return nil, err
		}
		facts[name] = activation.Facts()
	}
	return network.Compare(truth, found, facts[truth.First.Activation], facts[truth.Second.Activation])
}

func printComparison(s *streams, truth *network.Network, c *network.Comparison) {
	m0, m1 := truth.Sizes()
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "networks\t%d inputs, %d + %d neurons, %s, %d parameters\n", truth.Inputs(), m0, m1, truth.First.Activation, truth.Parameters())
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
