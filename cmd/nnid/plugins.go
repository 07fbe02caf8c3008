package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/sdk/plugintest"
)

func newPlugins(s *streams) *cobra.Command {
	command := &cobra.Command{
		Use:   "plugins",
		Short: "List, check, trust and write plugins",
		Long: `Plugins are programs named nnid-plugin-NAME that offer activations, solvers and oracles. They are found in this
order: --plugin-path, inside nnid itself, the folders of $NNID_PLUGIN_PATH, the user's plugin folder.

A plugin is code that runs with your rights: its process is a boundary against crashes, not against malice. Those
you have added with "nnid plugins add" are checked against their checksum before every start.`,
		Example: `  nnid plugins list
  nnid plugins check ./nnid-plugin-mine
  nnid plugins add ./nnid-plugin-mine
  nnid plugins verify
  nnid plugins new activation mine`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newPluginsList(s), newPluginsCheck(s), newPluginsAdd(s), newPluginsVerify(s), newPluginsNew(s))
	return command
}

func newPluginsList(s *streams) *cobra.Command {
	c := &common{streams: s}
	var asJSON bool
	command := &cobra.Command{
		Use:   "list",
		Short: "List the plugins found and what they offer",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) (err error) {
			h, _, err := c.host()
			if err != nil {
				return err
			}
			defer closing(&err, h.Close)
			listings, err := h.List(command.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printListingsJSON(s, listings)
			}
			printListings(s, listings)
			return nil
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON, options of the components included")
	c.register(command)
	return command
}

func trust(l host.Listing) string {
	switch {
	case l.Err != nil:
		return "unusable"
	case l.Shadowed:
		return "shadowed"
	case l.Verified:
		return "verified"
	}
	return "not verified"
}

func printListings(s *streams, listings []host.Listing) {
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "KIND\tNAME\tPLUGIN\tORIGIN\tCHECKSUM\tSUMMARY")
	for _, kind := range []core.Kind{core.KindOracle, core.KindActivation, core.KindSolver} {
		for _, l := range listings {
			for _, c := range l.Components {
				if c.Kind == kind && l.Err == nil {
					fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\t%s\n", kind, c.Name, l.Plugin, l.Version, l.Origin, trust(l), c.Summary)
				}
			}
		}
	}
	for _, l := range listings {
		if l.Err != nil {
			fmt.Fprintf(w, "-\t-\t%s\t%s\t%s\t%v\n", l.Path, l.Origin, trust(l), l.Err)
		}
	}
}

type listingJSON struct {
	Plugin     string          `json:"plugin"`
	Version    string          `json:"version"`
	SDK        string          `json:"sdk"`
	Origin     string          `json:"origin"`
	Path       string          `json:"path,omitempty"`
	SHA256     string          `json:"sha256,omitempty"`
	Verified   bool            `json:"verified"`
	Shadowed   bool            `json:"shadowed"`
	Error      string          `json:"error,omitempty"`
	Components []componentJSON `json:"components"`
}

type componentJSON struct {
	Kind      core.Kind    `json:"kind"`
	Name      string       `json:"name"`
	Summary   string       `json:"summary"`
	Reference string       `json:"reference,omitempty"`
	Options   []optionJSON `json:"options"`
}

type optionJSON struct {
	Name     string `json:"name"`
	Usage    string `json:"usage"`
	Default  string `json:"default,omitempty"`
	Required bool   `json:"required"`
	Secret   bool   `json:"secret"`
}

func printListingsJSON(s *streams, listings []host.Listing) error {
	list := []listingJSON{}
	for _, l := range listings {
		entry := listingJSON{l.Plugin, l.Version, l.SDK, string(l.Origin), l.Path, l.SHA256, l.Verified, l.Shadowed, "", []componentJSON{}}
		if l.Err != nil {
			entry.Error = l.Err.Error()
		}
		for _, c := range l.Components {
			component := componentJSON{c.Kind, c.Name, c.Summary, c.Reference, []optionJSON{}}
			for _, o := range c.Options {
				component.Options = append(component.Options, optionJSON(o))
			}
			entry.Components = append(entry.Components, component)
		}
		list = append(list, entry)
	}
	encoder := json.NewEncoder(s.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

func newPluginsAdd(s *streams) *cobra.Command {
	c := &common{streams: s}
	var install bool
	command := &cobra.Command{
		Use:   "add FILE",
		Short: "Trust a plugin: record its checksum, which every start is compared with",
		Args:  arguments("FILE"),
		RunE: func(command *cobra.Command, args []string) (err error) {
			h, _, err := c.host()
			if err != nil {
				return err
			}
			defer closing(&err, h.Close)
			l, err := h.Add(command.Context(), args[0], install)
			if err != nil {
				return err
			}
			names := []string{}
			for _, component := range l.Components {
				names = append(names, fmt.Sprintf("%s %s", component.Kind, component.Name))
			}
			fmt.Fprintf(s.out, "added %s %s at %s (%s)\nsha256 %s\n", l.Plugin, l.Version, l.Path, strings.Join(names, ", "), l.SHA256)
			return nil
		},
	}
	command.Flags().BoolVar(&install, "install", false, "copy the file to the user's plugin folder first, where it is found without --plugin-path")
	c.register(command)
	return command
}

func newPluginsCheck(s *streams) *cobra.Command {
	c := &common{streams: s}
	var pairs []string
	var inputs int
	command := &cobra.Command{
		Use:   "check BINARY",
		Short: "Run the conformance suite on a plugin, whatever language it is written in",
		Long: `check starts a plugin, as an identification would, and tests every component against the contract of its kind:
shapes, derivatives, symmetries, determinism, cancellation, errors. It prints a line a component, and every rule broken.
A component with a required option that is not given is passed over. An oracle is asked a few hundred queries.

Exit status: 0 all components conform; 1 some do not, or the plugin does not start.`,
		Example: `  nnid plugins check ./nnid-plugin-mine
  nnid plugins check ./nnid-plugin-server --option url=http://localhost:8000 --option model=mine`,
		Args: arguments("BINARY"),
		RunE: func(command *cobra.Command, args []string) error {
			options, err := parseOptions("option", pairs)
			if err != nil {
				return err
			}
			return c.checkPlugin(command.Context(), args[0], options, inputs)
		},
	}
	command.Flags().StringArrayVar(&pairs, "option", nil, "option, K=V, for the components that have it; may be repeated")
	command.Flags().IntVar(&inputs, "inputs", 0, "inputs of the model, for an oracle whose backend does not say")
	c.register(command)
	return command
}

func (c *common) checkPlugin(ctx context.Context, binary string, given core.Options, inputs int) (err error) {
	if info, err := os.Stat(binary); err != nil {
		return fault.New(fault.Usage, "the plugin %s cannot be read: %w", binary, pathCause(err))
	} else if !info.Mode().IsRegular() {
		return fault.New(fault.Usage, "the plugin %s is not a file", binary)
	}
	c.pluginPath = append([]string{binary}, c.pluginPath...)
	h, _, err := c.host()
	if err != nil {
		return err
	}
	defer closing(&err, h.Close)
	listing := h.Inspect(ctx, binary)
	if listing.Err != nil {
		return listing.Err
	}
	fmt.Fprintf(c.streams.out, "plugin %s %s, sdk %s, protocols %v\n", listing.Plugin, listing.Version, listing.SDK, listing.Protocols)
	failed, known := 0, map[string]bool{}
	for _, component := range listing.Components {
		for _, option := range component.Options {
			known[option.Name] = true
		}
	}
	for name := range given {
		if !known[name] {
			return fault.New(fault.Usage, "no component of plugin %s has an option %q", listing.Plugin, name)
		}
	}
	for _, component := range listing.Components {
		options, missing := core.Options{}, ""
		for _, option := range component.Options {
			if value, ok := given[option.Name]; ok {
				options[option.Name] = value
			} else if option.Required {
				missing = option.Name
			}
		}
		title := fmt.Sprintf("%-10s %-16s", component.Kind, component.Name)
		if missing != "" {
			fmt.Fprintf(c.streams.out, "%s skipped: give --option %s=...\n", title, missing)
			continue
		}
		switch err := checkComponent(ctx, h, component.Kind, listing.Plugin+"/"+component.Name, options, inputs); {
		case ctx.Err() != nil:
			return fault.New(fault.Internal, "interrupted before the checks were over")
		case err != nil:
			failed++
			fmt.Fprintf(c.streams.out, "%s FAILED\n  %s\n", title, strings.ReplaceAll(err.Error(), "\n", "\n  "))
		default:
			fmt.Fprintf(c.streams.out, "%s ok\n", title)
		}
	}
	if failed > 0 {
		return fault.New(fault.Plugin, "%s of plugin %s broke the contract", plural(int64(failed), "component"), listing.Plugin)
	}
	return nil
}

func checkComponent(ctx context.Context, h *host.Host, kind core.Kind, name string, options core.Options, inputs int) error {
	switch kind {
	case core.KindActivation:
		activation, err := h.Activation(ctx, name, options)
		if err != nil {
			return err
		}
		return plugintest.CheckActivation(ctx, activation)
	case core.KindSolver:
		solver, err := h.Solver(ctx, name, options)
		if err != nil {
			return err
		}
		return plugintest.CheckSolver(ctx, solver)
	case core.KindOracle:
		return checkOracle(ctx, h, name, options, inputs)
	}
	return fault.New(fault.Plugin, "the kind %q is not known to this version of nnid", kind)
}

func checkOracle(ctx context.Context, h *host.Host, name string, options core.Options, inputs int) (err error) {
	oracle, err := h.Oracle(ctx, name, options)
	if err != nil {
		return err
	}
	defer closing(&err, oracle.Close)
	return plugintest.CheckOracle(ctx, oracle, inputs)
}

func newPluginsVerify(s *streams) *cobra.Command {
	c := &common{streams: s}
	command := &cobra.Command{
		Use:   "verify",
		Short: "Compare the plugins you have added with their checksums",
		Long: `verify compares every plugin that was added with "nnid plugins add" with the checksum recorded then. It runs none of
them.

Exit status: 0 all are as they were; 1 some are not.`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) (err error) {
			h, _, err := c.host()
			if err != nil {
				return err
			}
			defer closing(&err, h.Close)
			listings, err := h.Verify()
			if err != nil {
				return err
			}
			wrong := 0
			for _, l := range listings {
				if l.Err != nil {
					wrong++
					fmt.Fprintf(s.out, "%s %s\tFAILED\n  %v\n", l.Plugin, l.Version, l.Err)
					continue
				}
				fmt.Fprintf(s.out, "%s %s\tok\t%s\n", l.Plugin, l.Version, l.Path)
			}
			if wrong > 0 {
				return fault.New(fault.Plugin, "of the plugins added, %d can't be used as they are; run \"nnid plugins add FILE\" again for what you trust", wrong)
			}
			if len(listings) == 0 {
				fmt.Fprintln(s.out, "no plugin has been added")
			}
			return nil
		},
	}
	c.register(command)
	return command
}
