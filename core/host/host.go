package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
	sdkhost "github.com/nnid/nnid/sdk/host"
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

	// LockFile records checksums of plugins; plugins.lock in DataFolder by default.
	LockFile string
	// RequireVerified refuses plugins that the lock file does not have. Otherwise they are run with a warning.
	RequireVerified bool

	// PassEnv names further environment variables that plugins get to see; a * at the end stands for any ending. Env are
	// further ones, NAME=VALUE.
	PassEnv []string
	Env     []string

	// Logger receives the plugins' log lines, each under its plugin's name. By default nothing is logged.
	Logger hclog.Logger

	StartTimeout time.Duration // from launch to handshake, and for "describe"; $NNID_START_TIMEOUT, or 30 s
	CallTimeout  time.Duration // longest silence of a plugin within one call; $NNID_CALL_TIMEOUT, or 10 min
	PingTimeout  time.Duration // longest time for a plugin in a call to answer a health check; 30 s
	StopTimeout  time.Duration // from the request to stop until the process is killed; 3 s
}

// The variables that set the time limits which depend on the plugin at hand, as in NNID_CALL_TIMEOUT=30m.
const (
	StartTimeoutVariable = "NNID_START_TIMEOUT"
	CallTimeoutVariable  = "NNID_CALL_TIMEOUT"
)

// Host finds, verifies, launches and supervises plugins. Its methods are safe for concurrent calls.
type Host struct {
	settings Settings
	wrong    error // what is wrong with the settings from the environment

	mu        sync.Mutex
	found     []*candidate
	processes map[processKey]*slot
	sockets   *sockets
	closed    bool
	warned    map[string]bool

	life context.Context // ends with Close
	end  context.CancelFunc
}

// There is one process for each plugin and kind of component: a solver that crashes takes no oracle with it.
type processKey struct {
	path string
	kind core.Kind
}

// slot holds the process, and is locked while one is being launched.
type slot struct {
	mu      chan struct{} // a lock that can be waited for with a context
	process *process
}

// New returns a host. It starts nothing.
func New(settings Settings) *Host {
	if settings.SearchPath == nil {
		settings.SearchPath = searchPath()
	}
	if settings.SelfPath == "" {
		// Without a path, built-ins fail to start with a sentence that says so.
		settings.SelfPath, _ = os.Executable()
	}
	if settings.LockFile == "" {
		settings.LockFile = filepath.Join(DataFolder(), "plugins.lock")
	}
	if settings.Logger == nil {
		settings.Logger = hclog.NewNullLogger()
	}
	var wrong error
	for _, d := range []struct {
		value    *time.Duration
		variable string
		without  time.Duration
	}{
		{&settings.StartTimeout, StartTimeoutVariable, 30 * time.Second},
		{&settings.CallTimeout, CallTimeoutVariable, 10 * time.Minute},
		{&settings.PingTimeout, "", 30 * time.Second},
		{&settings.StopTimeout, "", 3 * time.Second},
	} {
		if *d.value > 0 {
			continue
		}
		*d.value = d.without
		if text := os.Getenv(d.variable); d.variable != "" && text != "" {
			value, err := time.ParseDuration(text)
			if err != nil || value <= 0 {
				wrong = fault.New(fault.Usage, "the variable %s is %q; it must be a time such as 90s or 30m", d.variable, text)
				continue
			}
			*d.value = value
		}
	}
	h := &Host{settings: settings, wrong: wrong, processes: map[processKey]*slot{}, warned: map[string]bool{}}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// Activation opens an activation by its name, or PLUGIN/NAME.
func (h *Host) Activation(ctx context.Context, name string, given core.Options) (core.Activation, error) {
	return open(ctx, h, core.KindActivation, name, given, func(client *sdkhost.Client, name string, options core.Options) (core.Activation, error) {
		return client.Activation(ctx, name, options)
	})
}

// Solver opens a solver by its name, or PLUGIN/NAME.
func (h *Host) Solver(ctx context.Context, name string, given core.Options) (core.Solver, error) {
	return open(ctx, h, core.KindSolver, name, given, func(client *sdkhost.Client, name string, options core.Options) (core.Solver, error) {
		return client.Solver(ctx, name, options)
	})
}

// Oracle opens an oracle by its name, or PLUGIN/NAME.
func (h *Host) Oracle(ctx context.Context, name string, given core.Options) (core.Oracle, error) {
	return open(ctx, h, core.KindOracle, name, given, func(client *sdkhost.Client, name string, options core.Options) (core.Oracle, error) {
		return client.Oracle(ctx, name, options)
	})
}

func open[T any](ctx context.Context, h *Host, kind core.Kind, name string, given core.Options, create func(*sdkhost.Client, string, core.Options) (T, error)) (T, error) {
	var none T
	c, err := h.find(ctx, kind, name)
	if err != nil {
		return none, err
	}
	// Before anything is launched: a wrong option is the user's to mend, at once.
	options, err := c.component.Resolve(kind, given)
	if err != nil {
		return none, err
	}
	p, err := h.process(ctx, c.listing, kind)
	if err != nil {
		return none, err
	}
	value, err := create(p.rpc, c.component.Name, options)
	if err != nil {
		return none, err
	}
	return value, nil
}

// process returns the running process for a plugin and kind, launching it if there is none. One that has ended is
// replaced: what was opened in it stays dead, what is opened now lives.
func (h *Host) process(ctx context.Context, listing *Listing, kind core.Kind) (*process, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, errClosed()
	}
	key := processKey{listing.Path, kind}
	s, ok := h.processes[key]
	if !ok {
		s = &slot{mu: make(chan struct{}, 1)}
		h.processes[key] = s
	}
	h.mu.Unlock()

	select {
	case s.mu <- struct{}{}:
		defer func() { <-s.mu }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.process != nil {
		if s.process.gone() == nil {
			return s.process, nil
		}
		s.process.stop()
		s.process = nil
	}
	if !listing.Verified {
		h.warn(listing.Path, "running a plugin that is not verified; if you trust it, run: nnid plugins add "+listing.Path, "plugin", listing.Plugin, "path", listing.Path)
	}
	folder, err := h.prepare()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	p, err := launch(ctx, &h.settings, listing, kind, folder)
	switch {
	case h.life.Err() != nil:
		if err == nil {
			p.stop()
		}
		return nil, errClosed()
	case err != nil:
		return nil, err
	}
	s.process = p
	return p, nil
}

func errClosed() error { return fault.New(fault.Plugin, "the plugin host is closed") }

// prepare makes the socket folder.
func (h *Host) prepare() (folder string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return "", errClosed()
	}
	if h.sockets == nil {
		if h.sockets, err = newSockets(socketBases()); err != nil {
			return "", err
		}
	}
	return h.sockets.path, nil
}

// warn logs a warning about a plugin, once.
func (h *Host) warn(path, message string, fields ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.warned[path+message] {
		h.warned[path+message] = true
		h.settings.Logger.Warn(message, fields...)
	}
}

// Close stops every plugin process and waits for its end. It may be called more than once; nothing can be opened after it.
func (h *Host) Close() error {
	h.end()
	h.mu.Lock()
	h.closed = true
	slots := make([]*slot, 0, len(h.processes))
	for _, s := range h.processes {
		slots = append(slots, s)
	}
	h.mu.Unlock()
	var stopped sync.WaitGroup
	for _, s := range slots {
		stopped.Go(func() {
			s.mu <- struct{}{} // a launch under way is cut short, and undone by whoever launched
			defer func() { <-s.mu }()
			if s.process != nil {
				s.process.stop()
			}
		})
	}
	stopped.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sockets == nil {
		return nil
	}
	err := h.sockets.close()
	h.sockets = nil
	return err
}

// Listing is one plugin found.
type Listing struct {
	sdk.Description
	Path     string // the binary
	Origin   Origin
	SHA256   string // of the binary now; empty for the built-ins
	Verified bool   // the lock file has this checksum, or the plugin is built in
	Shadowed bool   // a plugin of the same name comes earlier, so this one is not used
	Err      error  // why the plugin can't be used; its Description may then have the name only
}

// Origin is where a plugin was found.
type Origin string

// The origins, in order of precedence.
const (
	OriginExplicit Origin = "given"       // named in Settings.PluginPath
	OriginSelf     Origin = "built-in"    // inside the running binary
	OriginSearch   Origin = "plugin path" // in a folder that is searched
)

// List returns every plugin found, the built-ins too, in order of precedence. Plugins that the lock file does not have
// are run to be described.
func (h *Host) List(ctx context.Context) ([]Listing, error) {
	candidates, err := h.candidates()
	if err != nil {
		return nil, err
	}
	listings := make([]Listing, 0, len(candidates))
	seen := map[string]bool{}
	for _, c := range candidates {
		listing, err := h.look(ctx, c)
		if err != nil {
			return nil, err
		}
		copied := *listing
		copied.Components = slices.Clone(listing.Components)
		if copied.Err == nil {
			copied.Shadowed = seen[copied.Plugin]
			seen[copied.Plugin] = true
		}
		listings = append(listings, copied)
	}
	return listings, nil
}

// Inspect describes one binary, wherever it is. What keeps it from being used is in the listing's Err.
func (h *Host) Inspect(ctx context.Context, path string) Listing {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return Listing{Path: path, Origin: OriginExplicit, Err: fault.New(fault.Usage, "the plugin path %q: %w", path, err)}
	}
	return h.inspect(ctx, absolute, OriginExplicit)
}

// Add trusts a plugin: it describes the binary and records its checksum and description in the lock file. With install,
// the binary is copied to the user's plugin folder first.
func (h *Host) Add(ctx context.Context, path string, install bool) (Listing, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Listing{}, fault.New(fault.Usage, "the plugin path: %w", err)
	}
	if err := mayRun(path); err != nil {
		return Listing{}, err
	}
	listing := Listing{Path: path, Origin: OriginExplicit, Verified: true}
	if listing.SHA256, err = checksum(path); err != nil {
		return Listing{}, fault.New(fault.Plugin, "the plugin %s can't be read: %w", path, err)
	}
	if err := h.describe(ctx, path, &listing.Description); err != nil {
		return Listing{}, err
	}
	if err := checkDescription(path, listing.Description); err != nil {
		return Listing{}, err
	}
	if install {
		data, err := os.ReadFile(path)
		if err != nil {
			return Listing{}, fault.New(fault.Plugin, "the plugin %s can't be read: %w", path, err)
		}
		listing.Path = filepath.Join(filepath.Dir(h.settings.LockFile), "plugins", fileName(listing.Plugin))
		if err := replaceFile(listing.Path, data, 0o755); err != nil {
			return Listing{}, fault.New(fault.Plugin, "the plugin %s can't be installed: %w", path, err)
		}
		// Described was the original: the copy must be the same.
		if sum, err := checksum(listing.Path); err != nil || sum != listing.SHA256 {
			return Listing{}, errors.Join(err, mismatch(listing.Path, listing.SHA256, sum))
		}
	}
	lock, err := readLock(h.settings.LockFile)
	if err != nil {
		return Listing{}, err
	}
	lock.put(lockedPlugin{Path: listing.Path, SHA256: listing.SHA256, Description: listing.Description})
	if err := lock.write(h.settings.LockFile); err != nil {
		return Listing{}, fault.New(fault.Usage, "the list of verified plugins can't be written: %w", err)
	}
	h.mu.Lock()
	h.found = nil // look again
	h.mu.Unlock()
	return listing, nil
}

// Verify compares every plugin in the lock file with its checksum. It runs none of them.
func (h *Host) Verify() ([]Listing, error) {
	lock, err := readLock(h.settings.LockFile)
	if err != nil {
		return nil, err
	}
	var listings []Listing
	for _, locked := range lock.Plugins {
		listing := Listing{Description: locked.Description, Path: locked.Path, Origin: OriginSearch}
		listing.SHA256, err = checksum(locked.Path)
		switch {
		case err != nil:
			listing.Err = fault.New(fault.Plugin, "the plugin %s can't be read: %w", locked.Path, err)
		case listing.SHA256 != locked.SHA256:
			listing.Err = mismatch(locked.Path, locked.SHA256, listing.SHA256)
		default:
			listing.Err = mayRun(locked.Path)
			listing.Verified = listing.Err == nil
		}
		listings = append(listings, listing)
	}
	return listings, nil
}
