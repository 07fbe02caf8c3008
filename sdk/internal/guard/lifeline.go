package guard

import (
	"io"
	"os"
	"strconv"
	"time"
)

const (
	// LifelineVariable has the number of the file descriptor that is open for as long as the host lives, and
	// ParentVariable the host's process id. go-plugin gives neither: it leaves plugins behind when a host is killed.
	LifelineVariable = "NNID_LIFELINE"
	ParentVariable   = "NNID_PARENT"

	parentInterval = 2 * time.Second
)

// Lifeline ends the process soon after its host is gone. It returns at once.
func Lifeline() {
	// The variables are for this process, not for what it may start.
	lifeline, parent := os.Getenv(LifelineVariable), os.Getenv(ParentVariable)
	_, _ = os.Unsetenv(LifelineVariable), os.Unsetenv(ParentVariable)
	if descriptor, err := strconv.Atoi(lifeline); err == nil && descriptor > 2 {
		if file := os.NewFile(uintptr(descriptor), "lifeline"); file != nil {
			go func() {
				// Nothing is ever written: reading ends when the last writer does, however it died.
				_, _ = io.Copy(io.Discard, file)
				orphaned()
			}()
		}
	}
	// The second line, for systems where no descriptor can be passed on.
	if pid, err := strconv.Atoi(parent); err == nil && pid > 0 {
		go func() {
			for os.Getppid() == pid {
				time.Sleep(parentInterval)
			}
			orphaned()
		}()
	}
}

func orphaned() {
	// No message: the reader of standard error is gone as well.
	os.Exit(3)
}
