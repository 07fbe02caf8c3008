package fastblas

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/mat"
)

func needsKernels(t testing.TB) {
	if !Available() {
		t.Skip("this processor has no AVX2 with FMA: gonum's code is in use")
	}
}

// matrix is r x c with rows stride apart; what is between the rows is NaN and must neither be read nor written.
func matrix(random *rand.Rand, r, c, stride int) []float64 {
	data := make([]float64, max(0, (r-1)*stride+c))
	for i := range data {
		data[i] = math.NaN()
		if i%stride < c {
			data[i] = random.NormFloat64()
		}
	}
	return data
}

// agree compares with what gonum calculates; the sums have length terms of size one.
func agree(t *testing.T, what string, got, want []float64, terms int) {
	t.Helper()
	for i := range want {
		if math.IsNaN(want[i]) != math.IsNaN(got[i]) || math.Abs(got[i]-want[i]) > 4e-15*float64(terms+4) {
			t.Fatalf("%s: entry %d is %g, gonum's is %g", what, i, got[i], want[i])
		}
	}
}

var (
	transposes = []blas.Transpose{blas.NoTrans, blas.Trans}
	scalars    = []float64{1, 0, -0.7}
)

func checkGemm(t *testing.T, random *rand.Rand, m, n, k, gap int) {
	t.Helper()
	for _, tA := range transposes {
		for _, tB := range transposes {
			alpha, beta := scalars[random.IntN(3)], scalars[random.IntN(3)]
			shape := func(r, c int, tr blas.Transpose) (int, int) {
				if tr == blas.NoTrans {
					return r, c
				}
				return c, r
			}
			ra, ca := shape(m, k, tA)
			rb, cb := shape(k, n, tB)
			lda, ldb, ldc := ca+gap, cb+gap, n+gap
			a, b, c := matrix(random, ra, ca, lda), matrix(random, rb, cb, ldb), matrix(random, m, n, ldc)
			want := append([]float64(nil), c...)
			gonum.Implementation{}.Dgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc)
			Implementation{}.Dgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
			agree(t, fmt.Sprintf("Dgemm %c%c %d x %d x %d, alpha %g, beta %g", tA, tB, m, n, k, alpha, beta), c, want, k)
		}
	}
}

func TestGemm(t *testing.T) {
	needsKernels(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][3]int{
		{1, 1, 1}, {2, 2, 250}, {4, 12, 256}, {4, 12, 257}, {5, 13, 20}, {96, 768, 3}, {97, 769, 300}, {1, 60, 40}, {60, 1, 40},
		{33, 40, 1}, {200, 10, 600}, {7, 1000, 64}, {300, 300, 300},
	} {
		checkGemm(t, random, size[0], size[1], size[2], random.IntN(3))
	}
	for range 100 {
		checkGemm(t, random, 1+random.IntN(40), 1+random.IntN(40), 1+random.IntN(40), random.IntN(3))
	}
}

// FuzzGemm: any shape, any gap between rows.
func FuzzGemm(f *testing.F) {
	needsKernels(f)
	f.Add(uint8(5), uint16(13), uint16(20), uint8(1), uint64(1))
	f.Add(uint8(100), uint16(800), uint16(300), uint8(0), uint64(2))
	f.Fuzz(func(t *testing.T, m uint8, n, k uint16, gap uint8, seed uint64) {
		checkGemm(t, rand.New(rand.NewPCG(seed, 1)), 1+int(m), 1+int(n%1000), 1+int(k%600), int(gap%5))
	})
}

func TestGemv(t *testing.T) {
	needsKernels(t)
	random := rand.New(rand.NewPCG(3, 4))
	for m := 1; m < 30; m += 1 + m/7 {
		for n := 1; n < 40; n++ {
			for _, tr := range transposes {
				alpha, beta, gap := scalars[random.IntN(3)], scalars[random.IntN(3)], random.IntN(3)
				lx, ly := n, m
				if tr != blas.NoTrans {
					lx, ly = m, n
				}
				incX := 1 + random.IntN(8)/7
				a, x, y := matrix(random, m, n, n+gap), matrix(random, lx, 1, incX), matrix(random, 1, ly, ly)
				want := append([]float64(nil), y...)
				gonum.Implementation{}.Dgemv(tr, m, n, alpha, a, n+gap, x, incX, beta, want, 1)
				Implementation{}.Dgemv(tr, m, n, alpha, a, n+gap, x, incX, beta, y, 1)
				agree(t, fmt.Sprintf("Dgemv %c %d x %d, alpha %g, beta %g", tr, m, n, alpha, beta), y, want, lx)
			}
		}
	}
}

func TestSyrk(t *testing.T) {
	needsKernels(t)
	random := rand.New(rand.NewPCG(5, 6))
	for _, size := range [][2]int{{1, 5}, {5, 1}, {20, 30}, {96, 10}, {97, 33}, {250, 40}} {
		n, k := size[0], size[1]
		for _, uplo := range []blas.Uplo{blas.Upper, blas.Lower} {
			for _, tr := range transposes {
				alpha, beta := scalars[random.IntN(3)], scalars[random.IntN(3)]
				r, c := n, k
				if tr != blas.NoTrans {
					r, c = k, n
				}
				a, got := matrix(random, r, c, c+1), matrix(random, n, n, n+2)
				want := append([]float64(nil), got...)
				gonum.Implementation{}.Dsyrk(uplo, tr, n, k, alpha, a, c+1, beta, want, n+2)
				Implementation{}.Dsyrk(uplo, tr, n, k, alpha, a, c+1, beta, got, n+2)
				agree(t, fmt.Sprintf("Dsyrk %c%c %d, %d", uplo, tr, n, k), got, want, k)
			}
		}
	}
}

// TestTriangular: solutions and products, of matrices and of vectors.
func TestTriangular(t *testing.T) {
	needsKernels(t)
	random := rand.New(rand.NewPCG(7, 8))
	for _, size := range [][2]int{{3, 70}, {70, 3}, {25, 25}, {64, 40}, {40, 131}} {
		m, n := size[0], size[1]
		for _, side := range []blas.Side{blas.Left, blas.Right} {
			for _, uplo := range []blas.Uplo{blas.Upper, blas.Lower} {
				for _, tr := range transposes {
					for _, diag := range []blas.Diag{blas.NonUnit, blas.Unit} {
						order := m
						if side == blas.Right {
							order = n
						}
						lda := order + 1
						a := matrix(random, order, order, lda)
						for i := range order { // well conditioned; NaN where the other triangle is
							for j := range order {
								a[i*lda+j] /= float64(4 * order)
								if i != j && (j > i) != (uplo == blas.Upper) {
									a[i*lda+j] = math.NaN()
								}
							}
							a[i*lda+i] += 2
						}
						what := fmt.Sprintf("%c%c%c%c %d x %d", side, uplo, tr, diag, m, n)
						b := matrix(random, m, n, n+1)
						want, product, wanted := slices.Clone(b), slices.Clone(b), slices.Clone(b)
						gonum.Implementation{}.Dtrsm(side, uplo, tr, diag, m, n, 0.7, a, lda, want, n+1)
						Implementation{}.Dtrsm(side, uplo, tr, diag, m, n, 0.7, a, lda, b, n+1)
						agree(t, "Dtrsm "+what, b, want, order)
						gonum.Implementation{}.Dtrmm(side, uplo, tr, diag, m, n, 0.7, a, lda, wanted, n+1)
						Implementation{}.Dtrmm(side, uplo, tr, diag, m, n, 0.7, a, lda, product, n+1)
						agree(t, "Dtrmm "+what, product, wanted, order)
						x := matrix(random, 1, order, order)
						wanted = slices.Clone(x)
						gonum.Implementation{}.Dtrsv(uplo, tr, diag, order, a, lda, wanted, 1)
						Implementation{}.Dtrsv(uplo, tr, diag, order, a, lda, x, 1)
						agree(t, "Dtrsv "+what, x, wanted, order)
					}
				}
			}
		}
	}
}

// TestCores: one core and many give the same bits.
func TestCores(t *testing.T) {
	needsKernels(t)
	random := rand.New(rand.NewPCG(9, 10))
	const m, n, k = 301, 205, 270
	a, b := matrix(random, m, k, k), matrix(random, k, n, n)
	product := func(cores int) []float64 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		c := make([]float64, m*n)
		Implementation{}.Dgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, a, k, b, n, 0, c, n)
		return c
	}
	want := product(1)
	for _, cores := range []int{2, 3, 7} {
		for i, v := range product(cores) {
			if v != want[i] {
				t.Fatalf("%d cores: entry %d differs", cores, i)
			}
		}
	}
}

// TestShapes: a programmer's errors panic, as gonum's do; the kernels never see them.
func TestShapes(t *testing.T) {
	needsKernels(t)
	data := make([]float64, 400)
	for name, call := range map[string]func(){
		shortA: func() {
			Implementation{}.Dgemm(blas.NoTrans, blas.NoTrans, 20, 20, 20, 1, data[:399], 20, data, 20, 1, data, 20)
		},
		shortB: func() {
			Implementation{}.Dgemm(blas.NoTrans, blas.NoTrans, 20, 20, 20, 1, data, 20, data[:399], 20, 1, data, 20)
		},
		shortC: func() {
			Implementation{}.Dgemm(blas.NoTrans, blas.NoTrans, 20, 20, 20, 1, data, 20, data, 20, 1, data[:399], 20)
		},
		badLdA:       func() { Implementation{}.Dgemv(blas.NoTrans, 20, 20, 1, data, 19, data, 1, 1, data, 1) },
		badTranspose: func() { Implementation{}.Dgemm('x', blas.NoTrans, 20, 20, 20, 1, data, 20, data, 20, 1, data, 20) },
	} {
		func() {
			defer func() {
				if got := recover(); got != name {
					t.Errorf("want a panic with %q, got %v", name, got)
				}
			}()
			call()
		}()
	}
}

func TestSwitch(t *testing.T) {
	needsKernels(t)
	before := blas64.Implementation()
	defer blas64.Use(before)
	t.Setenv(Switch, "gonum")
	if Install() || blas64.Implementation() != before {
		t.Error("the switch is ignored")
	}
	t.Setenv(Switch, "")
	blas64.Use(gonum.Implementation{})
	if _, ours := blas64.Implementation().(Implementation); ours {
		t.Fatal("gonum's code is not in place")
	}
	installed := Install()
	if _, ours := blas64.Implementation().(Implementation); !installed || !ours {
		t.Error("the kernels were not installed")
	}
}

// TestWithoutInstructions: on a processor that lacks them, which a variable makes of any, gonum's code stays in place.
func TestWithoutInstructions(t *testing.T) {
	if os.Getenv("GODEBUG") != "cpu.avx2=off" {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWithoutInstructions$", "-test.v")
		command.Env = append(os.Environ(), "GODEBUG=cpu.avx2=off")
		if out, err := command.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("PASS")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	before := blas64.Implementation()
	if Available() || Install() || blas64.Implementation() != before {
		t.Error("the kernels are in use without the instructions they are made of")
	}
}

// BenchmarkBLAS compares with gonum's code on one core: go test ./core/fastblas -bench . -cpu 1.
func BenchmarkBLAS(b *testing.B) {
	needsKernels(b)
	random := rand.New(rand.NewPCG(1, 1))
	before := blas64.Implementation()
	defer blas64.Use(before)
	dense := func(r, c int) *mat.Dense { return mat.NewDense(r, c, matrix(random, r, c, c)) }
	for _, code := range []struct {
		name string
		blas blas.Float64
	}{{"gonum", gonum.Implementation{}}, {"fastblas", Implementation{}}} {
		product := func(m, n, k int) func(*testing.B) {
			return func(b *testing.B) {
				x, y := dense(m, k), dense(k, n)
				var z mat.Dense
				for b.Loop() {
					z.Mul(x, y)
				}
				b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFlop/s")
			}
		}
		cases := []struct {
			name string
			run  func(*testing.B)
		}{
			{"dgemm 1000", product(1000, 1000, 1000)}, {"dgemm 200", product(200, 200, 200)}, {"dgemm 30", product(30, 30, 30)}, {"dgemm 48 x 4096 x 64", product(48, 4096, 64)},
			{"SVD 2000 x 200", func(b *testing.B) {
				a := dense(2000, 200)
				for b.Loop() {
					var svd mat.SVD
					svd.Factorize(a, mat.SVDThin)
				}
			}},
			{"QR 2000 x 200", func(b *testing.B) {
				a := dense(2000, 200)
				for b.Loop() {
					var qr mat.QR
					qr.Factorize(a)
				}
			}},
			{"LU 500", func(b *testing.B) {
				a := dense(500, 500)
				for b.Loop() {
					var lu mat.LU
					lu.Factorize(a)
				}
			}},
			{"EigenSym 200", func(b *testing.B) {
				a := dense(200, 200)
				var s mat.SymDense
				s.SymOuterK(1, a)
				for b.Loop() {
					var e mat.EigenSym
					e.Factorize(&s, true)
				}
			}},
			{"dgemv 400 x 400", func(b *testing.B) {
				a, x := dense(400, 400), mat.NewVecDense(400, matrix(random, 400, 1, 1))
				var y mat.VecDense
				for b.Loop() {
					y.MulVec(a, x)
				}
			}},
		}
		for _, c := range cases {
			b.Run(code.name+"/"+c.name, func(b *testing.B) {
				blas64.Use(code.blas)
				c.run(b)
			})
		}
	}
}
