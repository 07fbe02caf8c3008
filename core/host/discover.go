package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
	sdkhost "github.com/nnid/nnid/sdk/host"
)

const (
	// filePrefix begins the names of plugin files.
	filePrefix = "nnid-plugin-"
	// PathVariable lists folders with plugins.
	PathVariable = "NNID_PLUGIN_PATH"

	maxDescription = 1 << 20
)

// candidate is a plugin that was found but perhaps not looked at yet.
type candidate struct {
	path   string
	name   string // by its file name
	origin Origin
	file   bool // named by the user itself, not found in a folder

	once  sync.Mutex // held while the plugin is looked at
	known *Listing
}

// DataFolder is where the user's plugins and their lock file are by default.
func DataFolder() string {
	base := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(base) { // as the specification asks
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "nnid")
}

// searchPath returns the folders that are searched without being named for this run.
func searchPath() []string {
	// A relative folder, or an empty one, which stands for the current, would have whoever fills that folder choose
	// what runs.
	var folders []string
	for _, folder := range filepath.SplitList(os.Getenv(PathVariable)) {
		if filepath.IsAbs(folder) {
			folders = append(folders, filepath.Clean(folder))
		}
	}
	if data := DataFolder(); data != "" {
		folders = append(folders, filepath.Join(data, "plugins"))
	}
	return folders
}

// candidates finds all plugins, in order of precedence. It looks at file names only.
func (h *Host) candidates() ([]*candidate, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wrong != nil {
		return nil, h.wrong
	}
	if h.found != nil {
		return h.found, nil
	}
	found := []*candidate{}
	for _, given := range h.settings.PluginPath {
		path, err := filepath.Abs(given)
		if err != nil {
			return nil, fault.New(fault.Usage, "the plugin path %q: %w", given, err)
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.Usage, "there is no plugin %q; name a plugin's file, or a folder with files %sNAME", given, filePrefix)
		}
		if err != nil {
			return nil, fault.New(fault.Usage, "the plugin path %q: %w", given, err)
		}
		if !info.IsDir() {
			found = append(found, &candidate{path: path, name: pluginName(path), origin: OriginExplicit, file: true})
			continue
		}
		inside := scan(path, OriginExplicit)
		if len(inside) == 0 {
			return nil, fault.New(fault.Usage, "the plugin folder %q has no files %sNAME", given, filePrefix)
		}
		found = append(found, inside...)
	}
	if h.settings.Self != nil {
		description := h.settings.Self.Describe()
		found = append(found, &candidate{path: h.settings.SelfPath, name: description.Plugin, origin: OriginSelf,
			known: &Listing{Description: description, Path: h.settings.SelfPath, Origin: OriginSelf, Verified: true}})
	}
	for _, folder := range h.settings.SearchPath {
		found = append(found, scan(folder, OriginSearch)...)
	}
	h.found = found
	return found, nil
}

// scan returns the plugins in a folder, by name. A folder that can't be read has none.
func scan(folder string, origin Origin) []*candidate {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	var found []*candidate
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		info, err := os.Stat(path) // follows links, which ReadDir does not
		if !strings.HasPrefix(entry.Name(), filePrefix) || err != nil || info.IsDir() {
			continue
		}
		found = append(found, &candidate{path: path, name: pluginName(path), origin: origin})
	}
	return found
}

func pluginName(path string) string {
	base := filepath.Base(path)
	if runtime.GOOS == "windows" {
		base = strings.TrimSuffix(base, ".exe")
	}
	return strings.TrimPrefix(base, filePrefix)
}

// look describes a candidate, once. An error of ctx is not remembered.
func (h *Host) look(ctx context.Context, c *candidate) (*Listing, error) {
	c.once.Lock()
	defer c.once.Unlock()
	if c.known != nil {
		return c.known, nil
	}
	listing := h.inspect(ctx, c.path, c.origin)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.known = &listing
	return c.known, nil
}

// inspect describes a plugin: from the lock file if that has it, else by asking it, which runs it.
func (h *Host) inspect(ctx context.Context, path string, origin Origin) Listing {
	listing := Listing{Path: path, Origin: origin}
	listing.Plugin = pluginName(path)
	fail := func(err error) Listing {
		listing.Err = err
		return listing
	}
	if err := mayRun(path); err != nil {
		return fail(err)
	}
	sum, err := checksum(path)
	if err != nil {
		return fail(fault.New(fault.Plugin, "the plugin %s can't be read: %w", path, err))
	}
	listing.SHA256 = sum
	lock, err := readLock(h.settings.LockFile)
	if err != nil {
		return fail(err)
	}
	if locked, ok := lock.find(path); ok {
		if locked.SHA256 != sum {
			return fail(mismatch(path, locked.SHA256, sum))
		}
		listing.Verified, listing.Description = true, locked.Description
	} else if h.settings.RequireVerified {
		return fail(fault.New(fault.Plugin, "the plugin %s is not verified; if you trust it, run: nnid plugins add %s", path, path))
	} else if err := h.describe(ctx, path, &listing.Description); err != nil {
		return fail(err)
	}
	if err := checkDescription(path, listing.Description); err != nil {
		return fail(err)
	}
	return listing
}

// mayRun refuses what can't be run, or what others could have put there.
func mayRun(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fault.New(fault.Plugin, "the plugin %s can't be used: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return fault.New(fault.Plugin, "the plugin %s is not a file", path)
	}
	if runtime.GOOS == "windows" {
		return nil
	}
	if info.Mode()&0o111 == 0 {
		return fault.New(fault.Plugin, "the plugin %s is not executable; run: chmod +x %s", path, path)
	}
	if info.Mode()&0o002 != 0 {
		return fault.New(fault.Plugin, "the plugin %s can be changed by every user of this machine; run: chmod o-w %s", path, path)
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err == nil && folder.Mode()&0o002 != 0 && folder.Mode()&fs.ModeSticky == 0 {
		return fault.New(fault.Plugin, "the plugin %s lies in a folder that every user of this machine can change; run: chmod o-w %s", path, filepath.Dir(path))
	}
	return nil
}

// describe runs a plugin with the argument "describe".
func (h *Host) describe(ctx context.Context, path string, description *sdk.Description) error {
	limited, cancel := context.WithTimeout(ctx, h.settings.StartTimeout)
	defer cancel()
	cmd := exec.CommandContext(limited, path, "describe")
	cmd.Env = environment(os.Environ(), h.settings.PassEnv, h.settings.Env)
	setAttributes(cmd)
	// As in runner.start: the thread has to live as long as the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = drainTime
	var stdout, stderr limitedBuffer
	stdout.limit, stderr.limit = maxDescription, maxLine
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	words := &lastWords{}
	for line := range strings.SplitSeq(stderr.String(), "\n") {
		words.add(line)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fault.New(fault.Plugin, "the plugin %s did not describe itself within %v (%s sets the limit)%s", path, h.settings.StartTimeout, StartTimeoutVariable, words)
	case cmd.ProcessState == nil:
		return startError(path, err)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return fault.New(fault.Plugin, "%s is no plugin, or one that can't run here: called with the argument \"describe\" it %s%s", path, exit(cmd.ProcessState), words)
	}
	// What a program prints before main can't be helped; the object is what counts.
	output := stdout.Bytes()
	if k := bytes.Index(append([]byte("\n"), output...), []byte("\n{")); k >= 0 {
		output = output[k:]
	}
	if err := json.NewDecoder(bytes.NewReader(output)).Decode(description); err != nil || description.Plugin == "" {
		text := strings.TrimSpace(stdout.String())
		if len(text) > 100 {
			text = text[:100] + "..."
		}
		return fault.New(fault.Plugin, "%s is no plugin: called with the argument \"describe\" it printed %q, and no description", path, text)
	}
	return nil
}

// startError says why a program could not be started.
func startError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fault.New(fault.Plugin, "the plugin %s is no program for this system (%s/%s)", path, runtime.GOOS, runtime.GOARCH)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Plugin, "the plugin %s may not be executed by this user; mend its permissions", path)
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Plugin, "the plugin %s can't be started: it, or the interpreter or loader that it names, does not exist", path)
	}
	return fault.New(fault.Plugin, "the plugin %s can't be started: %w", path, err)
}

func checkDescription(path string, d sdk.Description) error {
	if err := core.CheckName(d.Plugin); err != nil {
		return fault.New(fault.Plugin, "the plugin %s describes itself wrongly: %w", path, err)
	}
	if base := filepath.Base(path); strings.HasPrefix(base, filePrefix) && pluginName(path) != d.Plugin {
		return fault.New(fault.Plugin, "the plugin %s calls itself %q; rename the file to %s%s", path, d.Plugin, filePrefix, d.Plugin)
	}
	if err := sdkhost.CheckDescription(d); err != nil {
		return fault.New(fault.Plugin, "the plugin %s describes itself wrongly: %w", path, err)
	}
	return checkProtocols(d.Plugin, d.Version, d.Protocols)
}

// checkProtocols says which side to upgrade if there is no protocol that both speak.
func checkProtocols(plugin, version string, theirs []int) error {
	if len(theirs) == 0 {
		return fault.New(fault.Plugin, "plugin %q %s does not say which protocol it speaks; build it again with the SDK of this nnid", plugin, version)
	}
	ours := sdkhost.Protocols
	newest, oldest := theirs[0], ours[0]
	for _, p := range theirs {
		for _, q := range ours {
			if p == q {
				return nil
			}
			oldest = min(oldest, q)
		}
		newest = max(newest, p)
	}
	if newest < oldest {
		return fault.New(fault.Plugin, "plugin %q %s speaks protocol %s and this nnid %s: upgrade the plugin, or build it again with the SDK of this nnid", plugin, version, numbers(theirs), numbers(ours))
	}
	return fault.New(fault.Plugin, "plugin %q %s speaks protocol %s and this nnid %s: upgrade nnid", plugin, version, numbers(theirs), numbers(ours))
}

func numbers(list []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(list)), ", "), "[]")
}

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	bytes.Buffer
	limit int
}

func (b *limitedBuffer) Write(data []byte) (int, error) {
	b.Buffer.Write(data[:min(len(data), max(0, b.limit-b.Len()))])
	return len(data), nil
}

// choice is a component of a plugin.
type choice struct {
	listing   *Listing
	component core.Component
}

// find returns the plugin that serves a component: named for this run, else built in, else on the plugin path, in that
// order. Two of equal precedence are an error.
func (h *Host) find(ctx context.Context, kind core.Kind, name string) (choice, error) {
	candidates, err := h.candidates()
	if err != nil {
		return choice{}, err
	}
	plugin, bare, qualified := strings.Cut(name, "/")
	if !qualified {
		plugin, bare = "", name
	}
	var (
		broken    []string
		available []string
		seen      = map[string]bool{}
	)
	for _, origin := range []Origin{OriginExplicit, OriginSelf, OriginSearch} {
		var choices []choice
		for _, c := range candidates {
			if c.origin != origin || (qualified && origin != OriginExplicit && c.name != plugin) {
				continue
			}
			listing, err := h.look(ctx, c)
			if err != nil {
				return choice{}, err
			}
			if listing.Err != nil {
				if c.file {
					return choice{}, listing.Err
				}
				h.warn(listing.Path, "a plugin can't be used", "path", listing.Path, "error", listing.Err.Error())
				broken = append(broken, listing.Err.Error())
				continue
			}
			if seen[listing.Plugin] || (qualified && listing.Plugin != plugin) {
				continue // shadowed, or not the one asked for
			}
			seen[listing.Plugin] = true
			for _, component := range listing.Components {
				if component.Kind != kind {
					continue
				}
				available = append(available, component.Name)
				if component.Name == bare {
					choices = append(choices, choice{listing, component.Component})
				}
			}
		}
		switch len(choices) {
		case 0:
			continue
		case 1:
			return choices[0], nil
		}
		var names []string
		for _, c := range choices {
			names = append(names, fmt.Sprintf("%s/%s (%s)", c.listing.Plugin, bare, c.listing.Path))
		}
		return choice{}, fault.New(fault.Usage, "several plugins have %s %q; say which: %s", kind, bare, strings.Join(names, ", "))
	}
	return choice{}, unknown(kind, name, available, broken)
}

// unknown is the error for a component that there is not.
func unknown(kind core.Kind, name string, available, broken []string) error {
	sort.Strings(available)
	text := fmt.Sprintf("there is no %s %q", kind, name)
	near := nearest(name, available)
	switch {
	case near != "":
		text += fmt.Sprintf("; did you mean %q? There are: %s", near, strings.Join(dedupe(available), ", "))
	case len(available) > 0:
		text += "; there are: " + strings.Join(dedupe(available), ", ")
	default:
		text += "; no plugin found has any"
	}
	if len(broken) > 0 {
		text += "; plugins that can't be used:\n  " + strings.Join(broken, "\n  ")
	}
	return fault.New(fault.Usage, "%s", text)
}

func dedupe(sorted []string) []string {
	var distinct []string
	for k, s := range sorted {
		if k == 0 || s != sorted[k-1] {
			distinct = append(distinct, s)
		}
	}
	return distinct
}

// nearest returns the name that is only a slip of the keyboard away, if there is one.
func nearest(name string, names []string) string {
	best, distance := "", (len(name)+2)/3+1
	for _, other := range names {
		if d := editDistance(name, other); d < distance {
			best, distance = other, d
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// fileName is the reverse of pluginName.
func fileName(plugin string) string {
	if runtime.GOOS == "windows" {
		return filePrefix + plugin + ".exe"
	}
	return filePrefix + plugin
}
