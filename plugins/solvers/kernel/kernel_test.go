package kernel

import (
	"context"
	"math"
	"testing"

	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
	"github.com/nnid/nnid/sdk/plugintest"
)

// TestMinors compares the Gram matrix with the definition of Phi, entry by entry.
func TestMinors(t *testing.T) {
	const d, m = 4, 3
	space, err := rankone.NewSpace(plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(d, m, 1, 1), 0.3, 1).Problem)
	if err != nil {
		t.Fatal(err)
	}
	element := func(k, i, j int) float64 { return space.Coordinates().Data[k*d*d+i*d+j] }
	phi := func(a, b int) []float64 {
		var values []float64
		for i := range d {
			for j := range d {
				for k := range d {
					for l := range d {
						values = append(values, element(a, i, j)*element(b, k, l)+element(b, i, j)*element(a, k, l)-
							element(a, i, l)*element(b, k, j)-element(b, i, l)*element(a, k, j))
					}
				}
			}
		}
		return values
	}
	gram, err := minors(context.Background(), space)
	if err != nil {
		t.Fatal(err)
	}
	row := 0
	for k := range m {
		for l := k; l < m; l++ {
			column := 0
			for p := range m {
				for q := p; q < m; q++ {
					if row <= column {
						want := 0.0
						left, right := phi(k, l), phi(p, q)
						for i := range left {
							want += left[i] * right[i] / 4
						}
						want *= weight(k, l) * weight(p, q)
						if got := gram.Data[row*gram.Stride+column]; math.Abs(got-want) > 1e-14 {
							t.Errorf("(%d,%d),(%d,%d): %g, want %g", k, l, p, q, got, want)
						}
					}
					column++
				}
			}
			row++
		}
	}
}
