//go:build unix

package program

import (
	"os"

	"golang.org/x/sys/unix"
)

// readable reports whether something is in the pipe, without waiting.
func readable(pipe *os.File) bool {
	connection, err := pipe.SyscallConn()
	if err != nil {
		return false
	}
	ready := false
	err = connection.Control(func(descriptor uintptr) {
		poll := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		ready = err == nil && n > 0 && poll[0].Revents&unix.POLLIN != 0
	})
	return err == nil && ready
}
