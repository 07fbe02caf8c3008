package guard

import (
	"os"
	"sync"
)

// CookieKey and CookieValue tell a binary that it was started as a plugin. This is no secret and no protection: it
// tells a user's mistake from a host's launch.
const (
	CookieKey   = "NNID_PLUGIN_COOKIE"
	CookieValue = "nnid-58e6fd1f4c7b4c0fa8b6b3b5e4f27a35"
)

// InPluginProcess says whether a host started this process. It is read once, for the variable is taken away later.
var InPluginProcess = os.Getenv(CookieKey) == CookieValue

var stdout = os.Stdout

// In a plugin process os.Stdout is standard error from here on, which is before main: the first line on standard output
// is the handshake, and a plugin's own print would spoil it. Handshake gives the real one back for as long as that takes.
func init() {
	if InPluginProcess {
		os.Stdout = stderr
	}
}

// Handshake gives the real standard output back. After ends that.
//
// go-plugin reads and sets os.Stdout and os.Stderr while it starts, and then forwards both over the connection, where
// what a plugin prints just before it crashes would be lost. After makes both the real standard error, which the host
// reads to the last byte. It must run before the plugin's code does, so that nothing races with it.
func Handshake() { os.Stdout = stdout }

// After returns a function to be called at the start of every call that the plugin serves.
func After(then ...func()) func() {
	var once sync.Once
	return func() {
		once.Do(func() {
			os.Stdout, os.Stderr = stderr, stderr
			for _, f := range then {
				f()
			}
		})
	}
}
