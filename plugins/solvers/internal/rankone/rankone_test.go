package rankone_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/plugins/solvers/internal/rankone"
	"github.com/nnid/nnid/sdk/plugintest"
)

func space(t *testing.T, d, m int, noise float64) (*rankone.Space, plugintest.SolverPlanted) {
	t.Helper()
	planted := plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(d, m, 1, 1), noise, 1)
	s, err := rankone.NewSpace(planted.Problem)
	if err != nil {
		t.Fatal(err)
	}
	return s, planted
}

func objective(s *rankone.Space, x []float64) float64 {
	sum := 0.0
	for _, y := range s.Project(x) {
		sum += y * y
	}
	return sum
}

// TestStepAscends: the adaptive shift makes every power iteration ascend, from anywhere and with noise.
func TestStepAscends(t *testing.T) {
	for _, size := range [][2]int{{6, 4}, {6, 9}, {10, 25}} {
		s, _ := space(t, size[0], size[1], 0.1)
		random := rankone.Random(3, 0)
		var x [][]float64
		for range 40 {
			start := rankone.Gaussian(random, s.D)
			rankone.Normalize(start)
			x = append(x, start)
		}
		batch := rankone.NewBatch(s, x)
		before := make([]float64, len(x))
		for step := range 60 {
			batch.Step()
			for i, value := range batch.Value {
				if value < before[i]-1e-13 {
					t.Fatalf("d=%d m=%d: step %d takes F from %.16g to %.16g", s.D, s.M, step, before[i], value)
				}
				before[i] = value
			}
		}
	}
}

// TestPolish: Newton's method ends at a stationary point, quadratically, and reports the deficit there.
func TestPolish(t *testing.T) {
	for _, noise := range []float64{0, 1e-2} {
		s, planted := space(t, 8, 6, noise)
		for k := range 6 {
			x := mat.Col(nil, k, planted.Vectors)
			for i := range x {
				x[i] += 1e-2 * float64(i%3-1)
			}
			polisher := rankone.NewPolisher(s)
			polished, err := polisher.Polish(t.Context(), [][]float64{x}, 20)
			if err != nil {
				t.Fatal(err)
			}
			deficit, converged := polished[0].Deficit, polished[0].Converged
			if !converged || polisher.Steps > 8 {
				t.Errorf("noise %g, vector %d: converged %v in %d steps", noise, k, converged, polisher.Steps)
			}
			if got := 1 - objective(s, x); math.Abs(got-deficit) > 1e-14 {
				t.Errorf("noise %g, vector %d: deficit %g, but 1 - F is %g", noise, k, deficit, got)
			}
			step := append([]float64(nil), x...)
			batch := rankone.NewBatch(s, [][]float64{step})
			if batch.Step(); batch.Movement[0] > 1e-14 {
				t.Errorf("noise %g, vector %d: a power step still moves by %g", noise, k, batch.Movement[0])
			}
		}
	}
}

// TestDiagonalize: where noise ruins the eigenvectors of two elements, all elements together tell the vectors.
func TestDiagonalize(t *testing.T) {
	for seed := range uint64(6) {
		planted := plugintest.NewSolverPlanted(plugintest.SolverRandomVectors(12, 12, 1, seed), 1e-3, seed)
		s, err := rankone.NewSpace(planted.Problem)
		if err != nil {
			t.Fatal(err)
		}
		candidates := rankone.Eigenvectors(s, rankone.Random(seed+1, 2))
		if len(candidates) != 12 {
			t.Fatalf("seed %d: %d candidates", seed, len(candidates))
		}
		errs := func() (sum, worst float64) {
			for k := range 12 {
				least := 2.0
				for _, x := range candidates {
					least = min(least, rankone.Distance(mat.Col(nil, k, planted.Vectors), x))
				}
				sum, worst = sum+least, max(worst, least)
			}
			return sum, worst
		}
		before, _ := errs()
		if _, _, err := rankone.Diagonalize(t.Context(), s, candidates); err != nil {
			t.Fatal(err)
		}
		if after, worst := errs(); after > 0.1*before || worst > 0.02 {
			t.Errorf("seed %d: the sum of errors went from %.2g to %.2g, the largest is %.2g", seed, before, after, worst)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, _ := space(t, 6, 6, 0.1)
	if _, _, err := rankone.Diagonalize(ctx, s, rankone.Eigenvectors(s, rankone.Random(1, 2))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAcceptance(t *testing.T) {
	cases := []struct {
		acceptance rankone.Acceptance
		deficits   []float64
		want       float64
	}{
		{rankone.Acceptance{Deficit: 0.3}, []float64{0.1, 0.2}, 0.3},
		{rankone.Acceptance{}, nil, 0},
		{rankone.Acceptance{}, []float64{1e-30, 1e-30, 0.2}, 1e-3},        // exact
		{rankone.Acceptance{}, []float64{1e-3, 1e-3, 2e-3, 0.3}, 3e-2},    // noise
		{rankone.Acceptance{}, []float64{0.2, 0.3, 0.3, 0.4}, 0.1},        // nothing there
		{rankone.Acceptance{}, []float64{1e-16, 1e-16, .2, .3, .3}, 1e-3}, // mostly false
	}
	for _, c := range cases {
		if got := c.acceptance.Largest(c.deficits); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%v of %v: %g, want %g", c.acceptance, c.deficits, got, c.want)
		}
	}
}

func TestOrient(t *testing.T) {
	x := []float64{1, -3, 3}
	if rankone.Orient(x); x[1] != 3 || x[0] != -1 {
		t.Error(x)
	}
}
