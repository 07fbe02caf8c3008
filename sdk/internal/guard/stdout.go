package guard

import (
	"os"
	"sync"
)

var stdout = os.Stdout

// Stdout points os.Stdout at standard error: the first line on standard output is the handshake, and a plugin's own
// print would spoil it. Handshake gives the real one back for as long as the handshake takes; After ends that.
//
// go-plugin reads and sets os.Stdout and os.Stderr while it starts, and then forwards both over the connection, where
// what a plugin prints just before it crashes would be lost. After makes both the real standard error, which the host
// reads to the last byte. It must run before the plugin's code does, so that nothing races with it.
func Stdout() { os.Stdout = stderr }

// Handshake gives the real standard output back.
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
