package sample

import (
	"math"
	"strconv"
	"strings"
)

// Rounding is the grid that all of an oracle's answers lie on; the zero value is none coarser than double precision.
type Rounding struct {
	Digits   int  // significant decimal digits; 0: not seen
	Decimals int  // digits after the decimal point that answers of Digits digits have at most; may be negative
	Single   bool // all answers are single precision numbers
}

// Answers that must differ for a grid to be believed, and the most digits of a decimal one.
const (
	enoughAnswers = 12
	mostDigits    = 12
)

// FindRounding returns the grid that the answers lie on. Answers that happen to lie on one are out of the question: a
// number of double precision has twelve digits or fewer once in 10^4.
func FindRounding(answers []float64) Rounding {
	distinct := map[float64]bool{}
	r := Rounding{Decimals: math.MinInt32, Single: true}
	for _, y := range answers {
		if y == 0 || distinct[y] || math.IsNaN(y) || math.IsInf(y, 0) {
			continue
		}
		distinct[y] = true
		r.Single = r.Single && float64(float32(y)) == y
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(math.Abs(y), 'e', -1, 64), "e")
		digits := len(strings.Replace(mantissa, ".", "", 1))
		e, _ := strconv.Atoi(exponent)
		r.Digits = max(r.Digits, digits)
		r.Decimals = max(r.Decimals, digits-1-e)
	}
	if len(distinct) < enoughAnswers {
		return Rounding{}
	}
	if r.Digits > mostDigits {
		return Rounding{Single: r.Single}
	}
	r.Single = false
	return r
}

// distinct counts the different answers.
func distinct(answers []float64) int {
	seen := map[float64]bool{}
	for _, y := range answers {
		seen[y] = true
	}
	return len(seen)
}

// Step returns the spacing of the grid at the answer y; 0 when there is no grid. Whether answers are rounded to so many
// digits or to so many decimals can't be told from a few: whichever is coarser at y is right.
func (r Rounding) Step(y float64) float64 {
	switch {
	case r.Single:
		_, e := math.Frexp(y)
		return math.Ldexp(1, e-24)
	case r.Digits > 0 && y != 0:
		e := math.Floor(math.Log10(math.Abs(y)))
		return math.Max(math.Pow(10, e-float64(r.Digits)+1), math.Pow(10, float64(-r.Decimals)))
	case r.Digits > 0:
		return math.Pow(10, float64(-r.Decimals))
	}
	return 0
}

// Error returns the standard deviation of what rounding does to the answer y: a step's uniform distribution.
func (r Rounding) Error(y float64) float64 { return r.Step(y) / math.Sqrt(12) }
