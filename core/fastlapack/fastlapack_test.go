package fastlapack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack"
	"gonum.org/v1/gonum/lapack/gonum"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fastblas"
)

// symmetric returns a full symmetric matrix of one of many kinds, with those that tridiagonal solvers have stumbled over.
var symmetric = map[string]func(random *rand.Rand, n int) []float64{
	"gaussian": func(random *rand.Rand, n int) []float64 {
		return filled(n, func(i, j int) float64 { return random.NormFloat64() })
	},
	"zero":     func(_ *rand.Rand, n int) []float64 { return make([]float64, n*n) },
	"identity": func(_ *rand.Rand, n int) []float64 { return filled(n, func(i, j int) float64 { return b2f(i == j) }) },
	"ones":     func(_ *rand.Rand, n int) []float64 { return filled(n, func(i, j int) float64 { return 1 }) },
	"diagonal": func(random *rand.Rand, n int) []float64 {
		return filled(n, func(i, j int) float64 { return b2f(i == j) * random.NormFloat64() })
	},
	"laplacian": func(_ *rand.Rand, n int) []float64 {
		return filled(n, func(i, j int) float64 { return 2*b2f(i == j) - b2f(i-j == 1) })
	},
	"wilkinson": func(_ *rand.Rand, n int) []float64 { // pairs of eigenvalues that agree to rounding
		return filled(n, func(i, j int) float64 { return b2f(i == j)*math.Abs(float64(i)-float64(n-1)/2) + b2f(i-j == 1) })
	},
	"glued": func(_ *rand.Rand, n int) []float64 {
		return filled(n, func(i, j int) float64 {
			link := 1.0
			if i%10 == 0 {
				link = 1e-9
			}
			return b2f(i == j)*math.Abs(float64(i%10)-4.5) + link*b2f(i-j == 1)
		})
	},
	"graded": func(random *rand.Rand, n int) []float64 {
		return filled(n, func(i, j int) float64 { return math.Pow(0.5, float64(i+j)) * (1 + random.Float64()) })
	},
	"graded the other way": func(random *rand.Rand, n int) []float64 {
		return filled(n, func(i, j int) float64 { return math.Pow(0.5, float64(2*n-i-j)) * (1 + random.Float64()) })
	},
	"few values": func(random *rand.Rand, n int) []float64 { // three different eigenvalues only
		return spectrum(random, n, func(k int) float64 { return float64(k%3) - 1 })
	},
	"rank two": func(random *rand.Rand, n int) []float64 {
		return spectrum(random, n, func(k int) float64 { return b2f(k < 2) * float64(k+1) })
	},
	"large": func(random *rand.Rand, n int) []float64 {
		return filled(n, func(i, j int) float64 { return 1e200 * random.NormFloat64() })
	},
	"small": func(random *rand.Rand, n int) []float64 {
		return filled(n, func(i, j int) float64 { return 1e-290 * random.NormFloat64() })
	},
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func filled(n int, lower func(i, j int) float64) []float64 {
	a := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			a[i*n+j] = lower(i, j)
			a[j*n+i] = a[i*n+j]
		}
	}
	return a
}

func spectrum(random *rand.Rand, n int, value func(k int) float64) []float64 {
	gaussian := mat.NewDense(n, n, nil)
	for i := range n {
		for j := range n {
			gaussian.Set(i, j, random.NormFloat64())
		}
	}
	var qr mat.QR
	qr.Factorize(gaussian)
	var q, scaled, a mat.Dense
	qr.QTo(&q)
	scaled.Apply(func(_, j int, v float64) float64 { return v * value(j) }, &q)
	a.Mul(&scaled, q.T())
	return filled(n, func(i, j int) float64 { return (a.At(i, j) + a.At(j, i)) / 2 })
}

// eigen calls Dsyev with one triangle only: the other one, and what is between the rows, is NaN.
func eigen(t *testing.T, jobz lapack.EVJob, uplo blas.Uplo, n int, full []float64) (w, v []float64, ok bool) {
	t.Helper()
	lda := n + 2
	a := make([]float64, n*lda)
	for k := range a {
		i, j := k/lda, k%lda
		a[k] = math.NaN()
		if j < n && (j >= i) == (uplo == blas.Upper) || i == j {
			a[k] = full[i*n+j]
		}
	}
	w, work := make([]float64, n), make([]float64, 40*n)
	ok = Implementation{}.Dsyev(jobz, uplo, n, a, lda, w, work, len(work))
	for i := range n {
		v = append(v, a[i*lda:i*lda+n]...)
	}
	return w, v, ok
}

func TestEigen(t *testing.T) {
	for name, make := range symmetric {
		for _, n := range []int{1, 2, 3, 20, 25, 26, 50, 77, 130} {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			full := make(random, n)
			for _, uplo := range []blas.Uplo{blas.Upper, blas.Lower} {
				what := fmt.Sprintf("%s of order %d", name, n)
				w, v, ok := eigen(t, lapack.EVCompute, uplo, n, full)
				if !ok {
					t.Fatalf("%s: failed", what)
				}
				norm := 0.0
				for _, x := range full {
					norm = max(norm, math.Abs(x))
				}
				scale := 1.0
				if norm > 0 {
					scale = norm
				}
				values, vectors := mat.NewDiagDense(n, nil), mat.NewDense(n, n, v)
				scaled := mat.NewDense(n, n, nil)
				scaled.Apply(func(i, j int, _ float64) float64 { return full[i*n+j] / scale }, scaled)
				for k, x := range w {
					values.SetDiag(k, x/scale)
					if k > 0 && x < w[k-1] {
						t.Fatalf("%s: eigenvalues %g, %g are not ascending", what, w[k-1], x)
					}
				}
				var left, right, gram mat.Dense
				left.Mul(scaled, vectors)
				right.Mul(vectors, values)
				left.Sub(&left, &right)
				gram.Mul(vectors.T(), vectors)
				for k := range n {
					gram.Set(k, k, gram.At(k, k)-1)
				}
				size := max(1, mat.Norm(scaled, 2))
				if e := mat.Norm(&left, 2); !(e <= 2e-15*float64(n+10)*size) {
					t.Errorf("%s: residual %.2g for a norm of %.2g", what, e, size)
				}
				if e := mat.Norm(&gram, 2); !(e <= 1e-15*float64(n+10)) {
					t.Errorf("%s: the eigenvectors are orthonormal to %.2g only", what, e)
				}
				want := gonumValues(n, full)
				alone, _, ok := eigen(t, lapack.EVNone, uplo, n, full)
				for k := range w {
					if !ok || math.Abs(w[k]-want[k]) > 1e-15*float64(n+10)*size*scale || math.Abs(alone[k]-want[k]) > 1e-15*float64(n+10)*size*scale {
						t.Fatalf("%s: eigenvalue %d is %g, without vectors %g, gonum's %g", what, k, w[k], alone[k], want[k])
					}
				}
			}
		}
	}
}

func gonumValues(n int, full []float64) []float64 {
	w, work := make([]float64, n), make([]float64, 40*n)
	// With vectors: without, gonum 0.17 panics on very large or small entries.
	gonum.Implementation{}.Dsyev(lapack.EVCompute, blas.Upper, n, append([]float64(nil), full...), n, w, work, len(work))
	return w
}

// FuzzEigen: any symmetric matrix of small integers and powers of ten, with many equal and zero entries.
func FuzzEigen(f *testing.F) {
	f.Add(uint8(30), uint64(1))
	f.Add(uint8(100), uint64(2))
	f.Fuzz(func(t *testing.T, order uint8, seed uint64) {
		n := 1 + int(order)%120
		random := rand.New(rand.NewPCG(seed, 3))
		full := filled(n, func(i, j int) float64 {
			if random.IntN(3) > 0 {
				return 0
			}
			return float64(random.IntN(5)-2) * math.Pow(10, float64(-random.IntN(4)*5))
		})
		w, v, ok := eigen(t, lapack.EVCompute, blas.Lower, n, full)
		if !ok {
			t.Fatal("failed")
		}
		a, vectors := mat.NewDense(n, n, full), mat.NewDense(n, n, v)
		var left, right, gram mat.Dense
		left.Mul(a, vectors)
		right.Mul(vectors, mat.NewDiagDense(n, w))
		left.Sub(&left, &right)
		gram.Mul(vectors.T(), vectors)
		for k := range n {
			gram.Set(k, k, gram.At(k, k)-1)
		}
		if e := mat.Norm(&left, 2); !(e <= 2e-15*float64(n+10)*max(1, mat.Norm(a, 2))) {
			t.Errorf("residual %g", e)
		}
		if e := mat.Norm(&gram, 2); !(e <= 1e-15*float64(n+10)) {
			t.Errorf("orthonormal to %g", e)
		}
	})
}

func TestEigenNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		full := filled(30, func(i, j int) float64 { return 1 })
		full[3*30+3] = bad
		if _, _, ok := eigen(t, lapack.EVCompute, blas.Upper, 30, full); ok {
			t.Errorf("a matrix with %g has eigenvalues", bad)
		}
	}
}

// TestConditions: the estimates are gonum's, which goes down columns, and a singular matrix is one.
func TestConditions(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 2, 7, 40, 90} {
		for _, power := range []float64{0, -3, -12, -200} { // of the last column's size
			a := mat.NewDense(n, n, nil)
			a.Apply(func(_, j int, _ float64) float64 {
				v := random.NormFloat64()
				if j == n-1 {
					v *= math.Pow(10, power)
				}
				return v
			}, a)
			spd := mat.NewSymDense(n, nil)
			spd.SymOuterK(1, a)
			for i := range n {
				spd.SetSym(i, i, spd.At(i, i)*(1+1e-9))
			}
			conditions := func(code lapack.Float64) []float64 {
				defer lapack64.Use(gonum.Implementation{})
				lapack64.Use(code)
				var lu mat.LU
				lu.Factorize(a)
				var qr mat.QR
				qr.Factorize(a)
				var lq mat.LQ
				lq.Factorize(a)
				var cholesky mat.Cholesky
				found := []float64{lu.Cond(), qr.Cond(), lq.Cond()}
				if cholesky.Factorize(spd) {
					found = append(found, cholesky.Cond())
				}
				return found
			}
			got, want := conditions(Implementation{}), conditions(gonum.Implementation{})
			for k := range want {
				if !(math.Abs(got[k]-want[k]) <= 1e-6*want[k]) && !(got[k] == want[k]) && !(want[k] > 1e14 && got[k] > 1e14) {
					t.Errorf("order %d, last column 1e%g: condition number %d is %g, gonum's %g", n, power, k, got[k], want[k])
				}
			}
		}
	}
	singular := mat.NewDense(6, 6, nil)
	singular.Apply(func(i, j int, _ float64) float64 { return float64(i * j) }, singular)
	defer lapack64.Use(gonum.Implementation{})
	lapack64.Use(Implementation{})
	var lu mat.LU
	lu.Factorize(singular)
	if c := lu.Cond(); c < 1e15 {
		t.Errorf("a singular matrix has the condition number %g", c)
	}
}

// TestCores: one core and many give the same bits.
func TestCores(t *testing.T) {
	full := symmetric["gaussian"](rand.New(rand.NewPCG(1, 2)), 300)
	vectors := func(cores int) []float64 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		_, v, _ := eigen(t, lapack.EVCompute, blas.Upper, 300, full)
		return v
	}
	want := vectors(1)
	for _, cores := range []int{2, 5} {
		for k, v := range vectors(cores) {
			if v != want[k] {
				t.Fatalf("%d cores: entry %d differs", cores, k)
			}
		}
	}
}

func TestSwitch(t *testing.T) {
	defer lapack64.Use(gonum.Implementation{})
	t.Setenv(fastblas.Switch, "gonum")
	if Install() {
		t.Error("the switch is ignored")
	}
	t.Setenv(fastblas.Switch, "")
	if !Install() {
		t.Error("not installed")
	}
}

// BenchmarkLAPACK compares with gonum's code on one core, on whatever BLAS is best here: go test ./core/fastlapack -bench . -cpu 1.
func BenchmarkLAPACK(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	before := blas64.Implementation()
	defer blas64.Use(before)
	defer lapack64.Use(gonum.Implementation{})
	fastblas.Install()
	for _, n := range []int{10, 20, 50, 100, 200, 500} {
		s := mat.NewSymDense(n, symmetric["gaussian"](random, n))
		spd := mat.NewSymDense(n, nil)
		spd.SymOuterK(1, s)
		spd.AddSym(spd, mat.NewDiagDense(n, nil))
		for _, code := range []struct {
			name   string
			lapack lapack.Float64
		}{{"gonum", gonum.Implementation{}}, {"fastlapack", Implementation{}}} {
			b.Run(fmt.Sprintf("EigenSym %d/%s", n, code.name), func(b *testing.B) {
				lapack64.Use(code.lapack)
				for b.Loop() {
					var e mat.EigenSym
					e.Factorize(s, true)
				}
			})
			b.Run(fmt.Sprintf("Cholesky %d/%s", n, code.name), func(b *testing.B) {
				lapack64.Use(code.lapack)
				for b.Loop() {
					var c mat.Cholesky
					c.Factorize(spd)
				}
			})
		}
	}
}
