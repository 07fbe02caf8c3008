package program

import (
	"os/exec"
	"syscall"
)

// setAttributes has the kernel kill the program when this process dies, however it dies.
func setAttributes(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
