// Package fastlapack makes gonum's symmetric eigenproblem and its condition numbers faster. gonum finds eigenvectors by
// rotating columns, which lie across its memory; here they come by divide and conquer, nearly all of which is products of
// matrices. And gonum walks down columns again for the condition number that belongs to each of its factorisations, which
// in least squares costs as much as the factorisation itself; here it goes along rows.
//
// [Install] puts it behind gonum's interface, lapack64.Use, so that package mat profits without knowing. It is built upon
// whatever BLAS is in place (package fastblas, where the processor allows), needs no instructions of its own, and its
// results do not depend on the number of cores.
package fastlapack

import (
	"os"

	"gonum.org/v1/gonum/lapack/gonum"
	"gonum.org/v1/gonum/lapack/lapack64"

	"github.com/nnid/nnid/core/fastblas"
)

// Install makes all of gonum use this package, unless [fastblas.Switch] says otherwise, and reports whether it did. It is
// for the first lines of a program: not while others calculate.
func Install() bool {
	if os.Getenv(fastblas.Switch) == "gonum" {
		return false
	}
	lapack64.Use(Implementation{})
	return true
}

// Implementation is gonum's LAPACK with the symmetric eigenproblem and condition numbers replaced.
type Implementation struct{ gonum.Implementation }
