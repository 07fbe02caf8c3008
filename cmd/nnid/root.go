package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/host"
)

// streams are where the command prints: results on out, everything else on err.
type streams struct{ out, err io.Writer }

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(file.Fd()) || isatty.IsCygwinTerminal(file.Fd()))
}

// common are the flags of every command that starts plugins.
type common struct {
	streams    *streams
	pluginPath []string
	passEnv    []string
	logLevel   string
}

func (c *common) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringArrayVar(&c.pluginPath, "plugin-path", nil, "plugin binary, or folder of files nnid-plugin-NAME; may be repeated. "+
		"Also searched: $NNID_PLUGIN_PATH and the user's plugin folder")
	flags.StringArrayVar(&c.passEnv, "pass-env", nil, "name of an environment variable that plugins may see, NNID_* aside; may be repeated")
	flags.StringVar(&c.logLevel, "log-level", "warn", "least severe log lines shown on stderr: trace, debug, info, warn, error or off")
	complete(command, "log-level", cobra.FixedCompletions([]string{"trace", "debug", "info", "warn", "error", "off"}, cobra.ShellCompDirectiveNoFileComp))
}

// host makes the host of plugins. The caller closes it.
func (c *common) host() (*host.Host, hclog.Logger, error) {
	level := hclog.LevelFromString(c.logLevel)
	if level == hclog.NoLevel {
		return nil, nil, fault.New(fault.Usage, "--log-level %s is no level; choose trace, debug, info, warn, error or off", c.logLevel)
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "nnid", Level: level, Output: c.streams.err, Color: hclog.AutoColor})
	self := builtins()
	return host.New(host.Settings{PluginPath: c.pluginPath, PassEnv: c.passEnv, Self: &self, Logger: logger}), logger, nil
}

func newRoot(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "nnid",
		Short: "Identify a network of two hidden layers from queries alone",
		Long: `nnid identifies a network of two hidden layers from queries alone: given a black box that computes

    f(x) = c0 + sum_l c_l h(b_l . g(A^T x + theta) + tau_l)

it finds A, theta, B, tau, c and c0 up to the symmetries of the model, says how sure it is, and how many queries
it spent. Activations, solvers and oracles are plugins, each in a process of its own.

Exit status: 0 identified (other commands: done); 3 finished, files written, but not identified; 2 the command line
or a file is wrong; 1 anything else.`,
		Example: `  nnid identify                                      a network trained on real data, shipped with nnid
  nnid identify --oracle network --oracle-option file=net.json
  nnid identify --oracle oip --oracle-option url=http://localhost:8000 --oracle-option model=mine
  nnid compare net.json nnid-run/network.json        how far apart are two networks?
  nnid bench suites/quick.yaml                       how often, how exactly, at what cost?
  nnid plugins list                                  what activations, solvers and oracles are there?`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		RunE:          func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return fault.New(fault.Usage, "%w; see: %s --help", err, command.CommandPath())
	})
	root.AddCommand(newIdentify(s), newCompare(s), newPlugins(s), newExtract(s), newBench(s), newExport(s), newImport(s), newVersion(s))
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, command := range root.Commands() {
		if command.Name() == "completion" {
			command.Args = noArguments
			command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
		}
	}
	return root
}

// noArguments and arguments are cobra's checks with a usage fault for an error and a hint at the help.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if command.HasSubCommands() {
		names := []string{}
		for _, sub := range command.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		return fault.New(fault.Usage, "%s has no command %q; it has: %s", command.CommandPath(), args[0], strings.Join(names, ", "))
	}
	return fault.New(fault.Usage, "%s takes no arguments, only flags; got %q; see: %s --help", command.CommandPath(), args[0], command.CommandPath())
}

func arguments(names ...string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return fault.New(fault.Usage, "%s takes %d argument(s), %s; got %d", command.CommandPath(), len(names), strings.Join(names, " "), len(args))
		}
		return nil
	}
}

// parseOptions reads K=V pairs.
func parseOptions(flag string, pairs []string) (core.Options, error) {
	options := core.Options{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			// The text is not repeated: it may be a secret whose K= was forgotten.
			return nil, fault.New(fault.Usage, "--%s needs the form K=V, with the option's name before the equals sign", flag)
		}
		if _, twice := options[key]; twice {
			return nil, fault.New(fault.Usage, "--%s gives %q twice", flag, key)
		}
		options[key] = value
	}
	return options, nil
}

// complete registers a completion for a flag that the caller has just defined.
func complete(command *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := command.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag does not exist: a defect that every run of the command would show
	}
}

// completeComponents offers the names of the components of a kind, each with its summary.
func completeComponents(c *common, kind core.Kind, more ...string) cobra.CompletionFunc {
	return func(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		names := append([]string(nil), more...)
		ctx := command.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		quiet := *c
		quiet.logLevel = "off"
		h, _, err := quiet.host()
		if err != nil {
			return names, cobra.ShellCompDirectiveNoFileComp
		}
		defer h.Close()
		components, _ := componentsOf(ctx, h, kind)
		for _, component := range components {
			names = append(names, component.Name+"\t"+component.Summary)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// componentsOf lists the components of a kind that can be opened by their plain name, in order of precedence.
func componentsOf(ctx context.Context, h *host.Host, kind core.Kind) ([]core.Component, error) {
	listings, err := h.List(ctx)
	if err != nil {
		return nil, err
	}
	var components []core.Component
	seen := map[string]bool{}
	for _, listing := range listings {
		if listing.Err != nil || listing.Shadowed {
			continue
		}
		for _, c := range listing.Components {
			if c.Kind == kind && !seen[c.Name] {
				seen[c.Name] = true
				components = append(components, c.Component)
			}
		}
	}
	return components, nil
}

// version is set by the linker in releases; else it is what the Go tool recorded.
var version = ""

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0-dev"
}

// closing closes and keeps the error unless there is one already.
func closing(err *error, f func() error) {
	if e := f(); e != nil && *err == nil {
		*err = e
	}
}

// interrupted reports whether the error is due to a signal to this process.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && err != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || fault.KindOf(err) != fault.Usage)
}
