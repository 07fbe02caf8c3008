package host

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const passesFiles = true

// setAttributes gives a plugin a process group of its own, so that Ctrl-C at the terminal is the host's to handle, and
// so that what the plugin has started can be killed with it; and has the kernel kill it when this process dies.
func setAttributes(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// waitAndKillGroup waits for the process to end, and kills what is left of its group while its number can't be another's
// yet, which is before the process is reaped.
func waitAndKillGroup(cmd *exec.Cmd) {
	var err error
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	}
	if err == nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // often there is nothing left
	}
	_ = cmd.Wait() // the state says what there is to say
}

func killGroup(cmd *exec.Cmd) error {
	// The process may be between fork and setpgid, hence both.
	err := cmd.Process.Kill()
	if err == nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return err
}

func signalName(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return ""
}

// lockFolder holds a lock on a folder for as long as the returned file is open. ok is false if another holds it.
func lockFolder(path string) (file *os.File, ok bool) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close() // opened for reading
		return nil, false
	}
	return file, true
}
