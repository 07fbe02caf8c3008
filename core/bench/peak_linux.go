package bench

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// forgetPeak begins to measure the largest memory of this process anew.
func forgetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // where it may not be written, the peak is that of all runs so far
}

// peakMiB is the largest memory that this process has used since.
func peakMiB() (float64, bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	var kibibytes float64
	if _, err := fmt.Sscan(rest, &kibibytes); !found || err != nil {
		return 0, false
	}
	return kibibytes / 1024, true
}
