package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/host"
)

func newPlugins(s *streams) *cobra.Command {
	command := &cobra.Command{
		Use:   "plugins",
		Short: "List, check and trust plugins",
		Long: `Plugins are programs named nnid-plugin-NAME that offer activations, solvers and oracles. They are found in this
order: --plugin-path, inside nnid itself, the folders of $NNID_PLUGIN_PATH, the user's plugin folder.

A plugin is code that runs with your rights: its process is a boundary against crashes, not against malice. Those
you have added with "nnid plugins add" are checked against their checksum before every start.`,
		Example: `  nnid plugins list
  nnid plugins check ./nnid-plugin-mine
  nnid plugins add ./nnid-plugin-mine`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newPluginsList(s), newPluginsCheck(s), newPluginsAdd(s))
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
	command := &cobra.Command{
		Use:   "check BINARY",
		Short: "Run the conformance suite on a plugin, whatever language it is written in",
		Args:  arguments("BINARY"),
		RunE: func(command *cobra.Command, args []string) error {
			return fault.New(fault.Unsupported, "not yet")
		},
	}
	c.register(command)
	return command
}
