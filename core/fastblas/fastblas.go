// Package fastblas makes gonum's dense linear algebra use the vector units of the processor. gonum's own matrix product
// reaches about a seventh of what a core with AVX2 and FMA can do; this one reaches most of it, and whatever gonum builds
// upon products and on triangular solutions (LU, Cholesky, QR, SVD) profits without knowing.
//
// [Install] puts it behind gonum's interface, blas64.Use. Results depend on neither the number of cores nor on how a
// matrix lies in memory. They do differ in the last bits from those of processors without these instructions, where
// gonum's code stays in place, as it does where the environment variable NNID_BLAS is "gonum".
package fastblas

import (
	"os"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/blas/gonum"
)

//go:generate go -C gen run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg fastblas

// Switch is the environment variable that leaves gonum's code in place when its value is "gonum".
const Switch = "NNID_BLAS"

// Install makes all of gonum use this package where the processor has AVX2 and FMA, and reports whether it did. It is for
// the first lines of a program: not while others calculate.
func Install() bool {
	if !Available() || os.Getenv(Switch) == "gonum" {
		return false
	}
	blas64.Use(Implementation{})
	return true
}

// Available reports whether the processor has the instructions.
func Available() bool { return available }

// Implementation is gonum's BLAS with products of matrices, products of matrix and vector, and triangular solutions
// replaced. Use it only where [Available].
type Implementation struct{ gonum.Implementation }
