package gram

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func example(rows, columns int) *mat.Dense {
	rng := rand.New(rand.NewPCG(1, 2))
	j := mat.NewDense(rows, columns, nil)
	for i := range rows {
		for k := range columns {
			j.Set(i, k, rng.NormFloat64())
		}
	}
	return j
}

func TestAgainstGonum(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {5, 3}, {40, 13}, {300, 101}, {700, 250}} {
		j := example(size[0], size[1])
		got := mat.NewSymDense(size[1], nil)
		Accumulate(2, j.RawMatrix(), got.RawSymmetric())
		var want mat.SymDense
		want.SymOuterK(2, j.T())
		var difference mat.Dense
		difference.Sub(got, &want)
		if off := mat.Max(&difference); !(math.Abs(off) < 1e-11) {
			t.Errorf("%v: J^T J is off by %g", size, off)
		}
		if size[0] < size[1] {
			continue
		}
		right := make([]float64, size[1])
		for i := range right {
			right[i] = float64(i%7) - 3
		}
		var x mat.VecDense
		if err := x.SolveVec(&want, mat.NewVecDense(len(right), append([]float64(nil), right...))); err != nil {
			t.Fatal(err)
		}
		if !Cholesky(got.RawSymmetric()) {
			t.Fatalf("%v: not positive definite", size)
		}
		Solve(got.RawSymmetric(), right)
		for i, v := range right {
			if math.Abs(v-x.AtVec(i)) > 1e-10*mat.Norm(&x, 2) {
				t.Errorf("%v: x_%d is %g, want %g", size, i, v, x.AtVec(i))
				break
			}
		}
	}
	if Cholesky(mat.NewSymDense(2, []float64{1, 2, 2, 1}).RawSymmetric()) {
		t.Error("an indefinite matrix has a Cholesky factor")
	}
}

func TestKernels(t *testing.T) {
	a, b := example(37, tall).RawMatrix().Data, example(37, wide).RawMatrix().Data
	var c, d [tall * wide]float64
	kernel(37, a, b, c[:])
	kernelGo(37, a, b, d[:])
	for i := range c {
		if math.Abs(c[i]-d[i]) > 1e-12 {
			t.Fatalf("entry %d: %g and %g", i, c[i], d[i])
		}
	}
}

func BenchmarkGram(b *testing.B) {
	j := example(1774, 887)
	s := mat.NewSymDense(887, nil)
	b.Run("accumulate", func(b *testing.B) {
		for b.Loop() {
			clear(s.RawSymmetric().Data)
			Accumulate(1, j.RawMatrix(), s.RawSymmetric())
		}
	})
	b.Run("cholesky", func(b *testing.B) {
		for b.Loop() {
			c := mat.NewSymDense(887, nil)
			c.CopySym(s)
			Cholesky(c.RawSymmetric())
		}
	})
}
