package probe

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
)

// asking is an oracle of f that counts its rows.
type asking struct {
	f    func(row int, x []float64) float64
	rows int
}

var _ query.Asker = (*asking)(nil)

func (a *asking) Queries() int64 { return int64(a.rows) }

func (a *asking) Ask(_ context.Context, x *mat.Dense) ([]float64, error) {
	n, _ := x.Dims()
	y := make([]float64, n)
	for i := range y {
		y[i] = a.f(a.rows, x.RawRowView(i))
		a.rows++
	}
	return y, nil
}

// What was asked is asked again only where it looks wrong, and what comes of that is told apart.
func TestAgain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	n := network.New(3, 2, 1, "tanh", "tanh")
	for _, values := range [][]float64{n.First.Weight.RawMatrix().Data, n.Second.Weight.RawMatrix().Data, n.Output} {
		for i := range values {
			values[i] = random.NormFloat64()
		}
	}
	truth := func(x []float64) float64 { return n.Evaluate(hyperbolic{}, hyperbolic{}, mat.NewDense(1, 3, x))[0] }
	const rows = 400
	for _, c := range []struct {
		name  string
		f     func(row int, x []float64) float64
		noise float64
		claim string // what the doubt says
		wrong bool
		fails string // what is said of a run that failed
	}{
		{"exact", func(_ int, x []float64) float64 { return truth(x) }, 0, "", false, ""},
		{"one answer wrong", func(row int, x []float64) float64 {
			if row == 7 {
				return truth(x) + 0.1
			}
			return truth(x)
		}, 0, "1 of the 400 answers were wrong at first, by up to 1.0e-01", true, "1 were answered otherwise than before"},
		{"another function at some points", func(_ int, x []float64) float64 {
			if x[0] > 1.5 {
				return truth(x) + 0.01
			}
			return truth(x)
		}, 0, "of the 400 answers are far off the network found, and the same when their points are asked again", true, ""},
		{"half of the answers wrong", func(row int, x []float64) float64 { return truth(x) + 0.1*float64(row%2) }, 0, "answers were wrong at first", true, "answered otherwise than before"},
		{"drift", func(row int, x []float64) float64 { return truth(x) + 1e-8*float64(row) }, 1e-8, "its answers drift", true, "answered otherwise than before"},
		{"noise", func(_ int, x []float64) float64 { return truth(x) + 1e-8*random.NormFloat64() }, 1e-8, "its answers are not repeatable: the first 8 points", false, "answered otherwise than before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			oracle := &asking{f: c.f}
			var asked Asked
			x := mat.NewDense(rows, 3, nil)
			for i := range rows {
				for k := range 3 {
					x.Set(i, k, random.NormFloat64())
				}
				asked.X = append(asked.X, x.RawRowView(i))
			}
			asked.Y, _ = oracle.Ask(t.Context(), x)
			found := Found{Network: n, G: hyperbolic{}, H: hyperbolic{}, MaxError: 3 * c.noise, ErrorBar: 1e-14, Noise: c.noise}
			doubt, err := Claim(t.Context(), oracle, found, asked)
			if err != nil || doubt.Wrong != c.wrong || !strings.Contains(doubt.Text, c.claim) || c.claim == "" && doubt.Text != "" {
				t.Errorf("%+v, %v; it should say %q, wrong: %v", doubt, err, c.claim, c.wrong)
			}
			if c.noise == 0 && c.claim == "" && oracle.rows != rows {
				t.Errorf("%d points were asked again for nothing", oracle.rows-rows)
			}
			before := oracle.rows
			text, err := Failure(t.Context(), oracle, &found, asked, 1)
			if err != nil || !strings.Contains(text, c.fails) || c.fails == "" && text != "" {
				t.Errorf("%q, %v; it should say %q", text, err, c.fails)
			}
			if asks := oracle.rows - before; asks > 2*suspects+rows/10 {
				t.Errorf("%d of %d points were asked again", asks, rows)
			}
		})
	}
}
