package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/files"
	"github.com/nnid/nnid/core/network"
)

func newExport(s *streams) *cobra.Command {
	var dtype string
	command := &cobra.Command{
		Use:   "export NETWORK FILE",
		Short: "Write a network as ONNX, .npz or .safetensors",
		Long: `export writes a network, a network file or the run directory that has one, in the format that the ending of FILE
names:

  .onnx         for ONNX Runtime and others: an input x (rows x d), an output y (rows)
  .npz          for NumPy: the arrays A, theta, B, tau, c, c0 and activation
  .safetensors  for PyTorch: the state dict of Sequential(Linear, activation, Linear, activation, Linear)

docs/files.md has examples of how to go on from there.`,
		Example: `  nnid export nnid-run found.onnx
  nnid export nnid-run/network.json found.npz`,
		Args: arguments("NETWORK", "FILE"),
		RunE: func(command *cobra.Command, args []string) error {
			if dtype != string(core.FP64) && dtype != string(core.FP32) {
				return fault.New(fault.Usage, "--dtype %s is not known; choose FP64 or FP32", dtype)
			}
			from := args[0]
			if info, err := os.Stat(from); err == nil && info.IsDir() {
				from = filepath.Join(from, "network.json")
			}
			n, err := network.ReadFile(from)
			if err != nil {
				return err
			}
			single := dtype == string(core.FP32)
			var content bytes.Buffer
			if err := files.Write(&content, args[1], n, single); err != nil {
				return err
			}
			if err := writeConverted(args[1], content.Bytes()); err != nil {
				return err
			}
			for _, name := range []string{n.First.Activation, n.Second.Activation} { // those that lack float64 have no options
				if filepath.Ext(args[1]) == ".onnx" && !single && slices.Contains(files.Missing64, name) {
					fmt.Fprintf(s.err, "nnid: note: ONNX Runtime computes %s in single precision only, and refuses this file; --dtype FP32 writes one that it takes\n", name)
					break
				}
			}
			fmt.Fprintf(s.out, "%s: %s\n", args[1], describeNetwork(n))
			return nil
		},
	}
	command.Flags().StringVar(&dtype, "dtype", string(core.FP64), "arithmetic of an ONNX file: FP64 or FP32")
	complete(command, "dtype", cobra.FixedCompletions([]string{string(core.FP64), string(core.FP32)}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

func describeNetwork(n *network.Network) string {
	m0, m1 := n.Sizes()
	activation := n.First.Activation
	if n.Second.Activation != activation {
		activation += " and " + n.Second.Activation
	}
	return fmt.Sprintf("%d inputs, %d + %d neurons, %s, %d parameters", n.Inputs(), m0, m1, activation, n.Parameters())
}

// writeConverted writes the file whole or not at all.
func writeConverted(path string, content []byte) error {
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fault.New(fault.Usage, "the file %s can't be written: there is no folder %s", path, folder)
	}
	return (&runDirectory{path: folder}).write(filepath.Base(path), content)
}

func newImport(s *streams) *cobra.Command {
	c := &common{streams: s}
	var settings files.Settings
	var activation string
	command := &cobra.Command{
		Use:   "import FILE NETWORK.json",
		Short: "Read a network from ONNX, .npz or .safetensors",
		Long: `import reads a network of two hidden layers whose weights are known, and writes it as a network file: to compare with
what identify found, or to hide behind the oracle network.

  .onnx         any dense graph of two hidden layers; its activations are recognised by their values
  .npz          the arrays A (d x m0), theta, B (m0 x m1), tau, c, c0 and activation
  .safetensors  the state dict of three linear layers; --activation says what is between them

docs/files.md shows how to write such files with PyTorch and scikit-learn.`,
		Example: `  nnid import model.onnx teacher.json
  nnid import model.safetensors teacher.json --activation tanh
  nnid compare teacher.json nnid-run/network.json`,
		Args: arguments("FILE", "NETWORK.json"),
		RunE: func(command *cobra.Command, args []string) error {
			if filepath.Ext(args[1]) != ".json" {
				return fault.New(fault.Usage, "import writes a network file, NETWORK.json; %s has another ending. To write another format, see: nnid export --help", args[1])
			}
			if settings.Output < 0 || settings.Inputs < 0 {
				return fault.New(fault.Usage, "--output-index %d --inputs %d: neither can be negative", settings.Output, settings.Inputs)
			}
			if activation != "" {
				names := splitNames(activation)
				if len(names) > 2 || slices.Contains(names, "") {
					return fault.New(fault.Usage, "--activation %s must be one name, or FIRST,SECOND", activation)
				}
				settings.First, settings.Second = names[0], names[len(names)-1]
			}
			n, err := importNetwork(command.Context(), c, args[0], settings)
			if errors.Is(err, context.Canceled) {
				return fault.New(fault.Internal, "interrupted; nothing was written")
			} else if err != nil {
				return err
			}
			var content bytes.Buffer
			if err := n.Write(&content); err != nil {
				return err
			}
			if err := writeConverted(args[1], content.Bytes()); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s: %s\n", args[1], describeNetwork(n))
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&activation, "activation", "", "activation of both hidden layers, or FIRST,SECOND, such as tanh,softplus(beta=2); needed where the file does not say it")
	flags.IntVar(&settings.Output, "output-index", 0, "which component of the output, counted from 0")
	flags.StringVar(&settings.OutputName, "output", "", "ONNX: name of the output, or of a value between the nodes; needed only where not exactly one output holds floating point")
	flags.IntVar(&settings.Inputs, "inputs", 0, "ONNX: inputs of the model; needed only where the file does not say")
	flags.StringSliceVar(&settings.Layers, "layers", nil, "safetensors: names of the three linear layers in their order, such as fc1,fc2,out")
	c.register(command)
	complete(command, "activation", completeComponents(c, core.KindActivation))
	return command
}

// importNetwork reads a network; the activations of an ONNX model are compared with those of the plugins.
func importNetwork(ctx context.Context, c *common, path string, settings files.Settings) (n *network.Network, err error) {
	if !strings.EqualFold(filepath.Ext(path), ".onnx") {
		return files.Read(ctx, path, settings)
	}
	h, _, err := c.host()
	if err != nil {
		return nil, err
	}
	defer closing(&err, h.Close)
	names := []string{settings.First, settings.Second}
	if settings.First == "" {
		components, err := componentsOf(ctx, h, core.KindActivation)
		if err != nil {
			return nil, err
		}
		names = nil
		for _, component := range components {
			if !slices.ContainsFunc(component.Options, func(o core.Option) bool { return o.Required }) {
				names = append(names, component.Name)
			}
		}
	}
	for _, name := range slices.Compact(names) {
		plain, options, err := core.ParseNamed(name)
		if err != nil {
			return nil, err
		}
		activation, err := h.Activation(ctx, plain, options)
		if err != nil {
			return nil, err
		}
		function, err := compile.Compile(ctx, activation)
		if err != nil {
			return nil, err
		}
		settings.Activations = append(settings.Activations, files.Activation{Name: name, Function: function})
	}
	return files.Read(ctx, path, settings)
}

// splitNames splits at commas that are not between parentheses.
func splitNames(text string) []string {
	names, depth := []string{""}, 0
	for _, r := range text {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		if r == ',' && depth == 0 {
			names = append(names, "")
		} else {
			names[len(names)-1] += string(r)
		}
	}
	return names
}
