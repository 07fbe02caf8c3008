package bench

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

var growthHead = []string{"solver", "runs", "time", "flops", "GFlop/s, largest problem", "share of dgemm"}

// growth fits time and flops of every solver by powers of d and m. It needs runs with three different d and three
// different m / d.
func (s *RankOneSummary) growth() [][]string {
	var rows [][]string
	for _, solver := range s.Solvers {
		var runs []*RankOneRecord
		var orders, ratios []float64
		for _, r := range s.records() {
			if r.Spec.Solver != solver || r.Outcome != Solved || r.Spec.Family != SubspaceRandom || r.Spec.Perturbation != 0 || r.Seconds <= 0 {
				continue
			}
			runs = append(runs, r)
			if d := float64(r.Dim); !slices.Contains(orders, d) {
				orders = append(orders, d)
			}
			if q := float64(r.Subspace) / float64(r.Dim); !slices.Contains(ratios, q) {
				ratios = append(ratios, q)
			}
		}
		if len(orders) < 3 || len(ratios) < 2 {
			continue
		}
		seconds := func(r *RankOneRecord) float64 { // processor time where there is any
			if v := r.ownSeconds(); v > 0 {
				return v
			}
			return r.Seconds
		}
		flops := func(r *RankOneRecord) float64 { return r.Statistics["flops"] }
		row := []string{solver, fmt.Sprint(len(runs)), powers(runs, seconds), "-", "-", "-"}
		if !slices.ContainsFunc(runs, func(r *RankOneRecord) bool { return !(flops(r) > 0) }) {
			row[3] = powers(runs, flops)
			most := slices.MaxFunc(runs, func(a, b *RankOneRecord) int { return a.Dim*a.Dim*a.Subspace - b.Dim*b.Dim*b.Subspace })
			var rates []float64
			for _, r := range runs {
				if r.Dim == most.Dim && r.Subspace == most.Subspace {
					rates = append(rates, flops(r)/seconds(r))
				}
			}
			row[4] = fmt.Sprintf("%.1f", median(rates)/1e9)
			if s.Peak > 0 {
				row[5] = fmt.Sprintf("%.0f %%", 100*median(rates)/s.Peak)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// powers fits values by c d^p m^q and returns the exponents as text.
func powers(runs []*RankOneRecord, of func(*RankOneRecord) float64) string {
	design, right := mat.NewDense(len(runs), 3, nil), mat.NewVecDense(len(runs), nil)
	for k, r := range runs {
		design.SetRow(k, []float64{1, math.Log(float64(r.Dim)), math.Log(float64(r.Subspace))})
		right.SetVec(k, math.Log(of(r)))
	}
	var c mat.VecDense
	if err := c.SolveVec(design, right); err != nil {
		return "-"
	}
	return fmt.Sprintf("d^%.1f m^%.1f", c.AtVec(1), c.AtVec(2))
}

// PeakRate returns the flops a second of processor time, as that of the solvers is, that a product of matrices of order 512
// reaches on one core at best, in half a second of trying. Nothing else of the program should run meanwhile.
func PeakRate() float64 {
	const n = 512
	matrix := func() blas64.General {
		m := blas64.General{Rows: n, Cols: n, Stride: n, Data: make([]float64, n*n)}
		for i := range m.Data {
			m.Data[i] = float64(i%17) - 8
		}
		return m
	}
	a, b, c := matrix(), matrix(), matrix()
	best := math.Inf(1)
	for begin := time.Now(); time.Since(begin) < 500*time.Millisecond; {
		started := time.Now()
		before, measured := cpuSeconds()
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, a, b, 0, c)
		seconds := time.Since(started).Seconds()
		if after, _ := cpuSeconds(); measured && after > before {
			seconds = after - before
		}
		best = math.Min(best, seconds)
	}
	return 2 * n * n * n / best
}
