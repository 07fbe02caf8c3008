//go:build !linux

package host

import (
	"os"
	"os/exec"
	"runtime"
)

// Systems other than Linux are best effort: plugins run and are supervised, but a host that is killed leaves it to the
// SDK's lifeline to end them, and what a plugin has started is not killed with it.
const passesFiles = runtime.GOOS != "windows"

func setAttributes(*exec.Cmd) {}

func waitAndKillGroup(cmd *exec.Cmd) {
	_ = cmd.Wait() // the state says what there is to say
}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func signalName(state *os.ProcessState) string {
	if state.ExitCode() == -1 {
		return state.String()
	}
	return ""
}

// lockFolder never gets a lock here, so that no folder counts as stale.
func lockFolder(string) (file *os.File, ok bool) { return nil, false }
