package gram

import "golang.org/x/sys/cpu"

//go:noescape
func kernelAVX2(k int, a, b, c *float64)

var fast = cpu.X86.HasAVX2 && cpu.X86.HasFMA

func kernel(k int, a, b, c []float64) {
	if fast {
		kernelAVX2(k, &a[0], &b[0], &c[0])
		return
	}
	kernelGo(k, a, b, c)
}
