package sample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestFindRounding(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var exact []float64
	for range 40 {
		exact = append(exact, 3*rng.NormFloat64())
	}
	rounded := func(format byte, precision int) []float64 {
		var all []float64
		for _, y := range exact {
			v, err := strconv.ParseFloat(strconv.FormatFloat(y, format, precision, 64), 64)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		return all
	}
	var single []float64
	for _, y := range exact {
		single = append(single, float64(float32(y)))
	}
	for _, c := range []struct {
		name    string
		answers []float64
		at      float64
		step    float64
	}{
		{"exact", exact, 2.5, 0},
		{"too few", exact[:5], 2.5, 0},
		{"six digits", rounded('e', 5), 2.5, 1e-5},
		{"six digits, a small answer", rounded('e', 5), 0.025, 1e-7},
		{"four digits", rounded('e', 3), 2.5, 1e-3},
		{"three decimals", rounded('f', 3), 2.5, 1e-3},
		{"three decimals, a small answer", rounded('f', 3), 0.025, 1e-3},
		{"whole numbers", rounded('f', 0), 2, 1},
		{"single precision", single, 2.5, math.Pow(2, -22)},
		{"few different ones", append(make([]float64, 30), 1, 2, 3), 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := FindRounding(c.answers)
			if got := r.Step(c.at); math.Abs(got-c.step) > 1e-12*c.step {
				t.Errorf("%+v: step %g instead of %g", r, got, c.step)
			}
		})
	}
}

// TestRoundingError: the error that rounding makes is what is said of it.
func TestRoundingError(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, digits := range []int{3, 5, 8} {
		t.Run(fmt.Sprint(digits), func(t *testing.T) {
			var answers, errors []float64
			for range 400 {
				y := math.Exp(2 * rng.NormFloat64())
				v, _ := strconv.ParseFloat(strconv.FormatFloat(y, 'e', digits-1, 64), 64)
				answers, errors = append(answers, v), append(errors, v-y)
			}
			r := FindRounding(answers)
			ratio := 0.0
			for k, y := range answers {
				ratio += math.Pow(errors[k]/r.Error(y), 2) / float64(len(answers))
			}
			if ratio < 0.7 || ratio > 1.3 {
				t.Errorf("mean squared error is %.2f of what is said", ratio)
			}
		})
	}
}
