package host

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
)

// Settings say where plugins are and how long to wait for them. The zero value of a field means its default.
type Settings struct {
	// PluginPath are plugin binaries, and folders with files nnid-plugin-NAME, that the user named for this run. They come
	// before the built-ins.
	PluginPath []string
	// SearchPath replaces the folders searched otherwise: those in $NNID_PLUGIN_PATH, then the user's plugin folder.
	SearchPath []string

	// Self describes the plugin inside the running binary; nil when there is none. SelfPath is that binary,
	// os.Executable() by default.
	Self     *sdk.Plugin
	SelfPath string

	// LockFile records checksums of plugins; plugins.lock beside the user's plugin folder by default.
	LockFile string
	// RequireVerified refuses plugins that the lock file does not have. Otherwise they are run with a warning.
	RequireVerified bool

	// PassEnv names further environment variables that plugins get to see. Env are further ones, NAME=VALUE.
	PassEnv []string
	Env     []string

	// Logger receives the plugins' log lines, each under its plugin's name. By default nothing is logged.
	Logger hclog.Logger

	StartTimeout time.Duration // from launch to handshake, and for "describe"; 30 s
	CallTimeout  time.Duration // longest silence of a plugin within one call; 10 min
	PingTimeout  time.Duration // longest time for a plugin in a call to answer a health check; 30 s
	StopTimeout  time.Duration // from the request to stop until the process is killed; 3 s
}

// Host finds, verifies, launches and supervises plugins. Its methods are safe for concurrent calls.
type Host struct {
	settings Settings
}

// New returns a host. It starts nothing.
func New(settings Settings) *Host { return &Host{settings: settings} }

// Activation opens an activation by its name, or PLUGIN/NAME.
func (h *Host) Activation(ctx context.Context, name string, given core.Options) (core.Activation, error) {
	return nil, fault.New(fault.Unsupported, "not yet")
}

// Solver opens a solver by its name, or PLUGIN/NAME.
func (h *Host) Solver(ctx context.Context, name string, given core.Options) (core.Solver, error) {
	return nil, fault.New(fault.Unsupported, "not yet")
}

// Oracle opens an oracle by its name, or PLUGIN/NAME.
func (h *Host) Oracle(ctx context.Context, name string, given core.Options) (core.Oracle, error) {
	return nil, fault.New(fault.Unsupported, "not yet")
}

// Listing is one plugin found.
type Listing struct {
	sdk.Description
	Path     string // the binary; empty when Origin is OriginSelf and the host has no process of its own
	Origin   Origin
	SHA256   string // of the binary now; empty for the built-ins
	Verified bool   // the lock file has this checksum, or the plugin is built in
	Shadowed bool   // a plugin of the same name comes earlier, so this one is not used
	Err      error  // why the plugin can't be used
}

// Origin is where a plugin was found.
type Origin string

// The origins.
const (
	OriginExplicit Origin = "given"       // named in Settings.PluginPath
	OriginSelf     Origin = "built-in"    // inside the running binary
	OriginSearch   Origin = "plugin path" // in a folder that is searched
)

// List returns every plugin found, the built-ins too, in order of precedence.
func (h *Host) List(ctx context.Context) ([]Listing, error) {
	return nil, fault.New(fault.Unsupported, "not yet")
}

// Inspect describes one binary, wherever it is.
func (h *Host) Inspect(ctx context.Context, path string) Listing {
	return Listing{}
}

// Add trusts a plugin: it describes the binary and records its checksum and description in the lock file. With install,
// the binary is copied to the user's plugin folder first.
func (h *Host) Add(ctx context.Context, path string, install bool) (Listing, error) {
	return Listing{}, fault.New(fault.Unsupported, "not yet")
}

// Verify compares every plugin in the lock file with its checksum. It runs none of them.
func (h *Host) Verify() ([]Listing, error) {
	return nil, fault.New(fault.Unsupported, "not yet")
}

// Close stops every plugin process and waits for its end. It may be called more than once; nothing can be opened after it.
func (h *Host) Close() error { return nil }
