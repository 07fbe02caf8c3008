//go:build !amd64

package gram

func kernel(k int, a, b, c []float64) { kernelGo(k, a, b, c) }
