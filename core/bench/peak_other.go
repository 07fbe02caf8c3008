//go:build !linux

package bench

func forgetPeak() {}

func peakMiB() (float64, bool) { return 0, false }
