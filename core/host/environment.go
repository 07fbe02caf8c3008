package host

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/nnid/nnid/core/fault"
	sdkhost "github.com/nnid/nnid/sdk/host"
)

// passed are the environment variables that every plugin gets to see; those that end in * stand for all that begin so.
// Anything else, such as credentials that happen to lie around, stays with the host. A secret meant for an oracle goes
// in a variable NNID_..., or one named in Settings.PassEnv.
var passed = []string{
	"NNID_*",
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_*", "TZ", "TMPDIR", "TMP", "TEMP", "XDG_*",
	"GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR",
	"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
	"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
	"SystemRoot", "SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PATHEXT", "COMSPEC",
}

// own are the variables that host and plugin use between them; they are never inherited.
var own = map[string]bool{
	sdkhost.CookieKey: true, sdkhost.LifelineVariable: true, sdkhost.ParentVariable: true, sdkhost.LevelVariable: true,
	sdkhost.ReattachVariable: true,
}

// environment picks what plugins get to see of all.
func environment(all, also, extra []string) []string {
	patterns := append(append([]string(nil), passed...), also...)
	var env []string
	for _, variable := range all {
		name, _, _ := strings.Cut(variable, "=")
		if own[name] {
			continue
		}
		for _, pattern := range patterns {
			if prefix, ok := strings.CutSuffix(pattern, "*"); name == pattern || ok && strings.HasPrefix(name, prefix) {
				env = append(env, variable)
				break
			}
		}
	}
	return append(env, extra...)
}

const (
	socketPrefix = "nnid-sock-"
	// The shortest limit of the systems served (macOS, 104 bytes with the closing zero), less what go-plugin appends:
	// /plugin-dir and /plugin, with up to ten digits each.
	maxSocketFolder = 103 - 2*10 - len("/plugin-dir/plugin")
	// A folder without a lock may be one that is being made.
	staleAge = time.Minute
)

// sockets is the folder for a host's sockets. It is locked as long as the host lives, so that others can tell what a
// killed host has left behind.
type sockets struct {
	path string
	lock *os.File
}

// newSockets makes the folder in the first of the bases that is short enough and can be written to.
func newSockets(bases []string) (*sockets, error) {
	var reasons []string
	for _, base := range bases {
		if base == "" {
			continue
		}
		sweep(base)
		if n := len(filepath.Join(base, socketPrefix)) + 10; n > maxSocketFolder {
			reasons = append(reasons, fmt.Sprintf("the path of %q is too long for a socket", base))
			continue
		}
		path, err := os.MkdirTemp(base, socketPrefix)
		if err != nil {
			reasons = append(reasons, err.Error())
			continue
		}
		lock, _ := lockFolder(path)
		return &sockets{path: path, lock: lock}, nil
	}
	return nil, fault.New(fault.Plugin, "there is no folder for the sockets of plugins: %s; set TMPDIR to a short path that can be written to", strings.Join(reasons, "; "))
}

func (s *sockets) close() error {
	err := os.RemoveAll(s.path)
	if s.lock != nil {
		_ = s.lock.Close() // opened for reading
	}
	return err
}

// socketBases are where sockets may be, best first.
func socketBases() []string {
	if runtime.GOOS == "windows" {
		return []string{os.TempDir()}
	}
	return []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"}
}

// sweep removes what hosts that were killed have left behind. What fails here will be tried again by the next host.
func sweep(base string) {
	paths, _ := filepath.Glob(filepath.Join(base, socketPrefix+"*")) // the pattern is well-formed
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < staleAge {
			continue
		}
		if lock, ok := lockFolder(path); ok {
			_ = os.RemoveAll(path)
			_ = lock.Close() // opened for reading
		}
	}
}
