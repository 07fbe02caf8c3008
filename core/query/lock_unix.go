//go:build unix && !solaris && !aix

package query

import (
	"os"
	"syscall"
)

// lock takes the file for this process; the lock ends with the file descriptor, however the process ends.
func lock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
