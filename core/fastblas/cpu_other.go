//go:build !amd64

package fastblas

const available = false

func tileAVX2(k int, a, b, c *float64, stride int)             { panic("fastblas: no kernels here") }
func dotsAVX2(n int, a *float64, stride int, x, y *float64)    { panic("fastblas: no kernels here") }
func combineAVX2(n int, a *float64, stride int, x, y *float64) { panic("fastblas: no kernels here") }
func packAVX2(k int, b *float64, stride int, into *float64)    { panic("fastblas: no kernels here") }
