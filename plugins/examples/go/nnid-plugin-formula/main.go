// Command nnid-plugin-formula is an oracle in Go: whatever function stands below is the hidden one. Here that is a small
// network whose activation nnid does not have built in.
package main

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
)

const inputs = 4

func g(t float64) float64 { return 1.7159 * math.Tanh(2*t/3) }

func f(x []float64) float64 {
	y1 := g(0.8*x[0] - 0.5*x[1] + 0.3*x[2] + 0.1*x[3] + 0.4)
	y2 := g(-0.2*x[0] + 0.9*x[1] + 0.6*x[2] - 0.3*x[3] - 0.7)
	y3 := g(0.4*x[0] + 0.2*x[1] - 0.7*x[2] + 0.5*x[3] + 0.1)
	y4 := g(-0.5*x[0] + 0.1*x[1] + 0.2*x[2] + 0.9*x[3] - 0.2)
	return 1.5*g(0.9*y1-0.4*y2+0.5*y3-0.3*y4+0.3) - 0.8*g(0.5*y1+0.7*y2-0.3*y3+0.8*y4-0.6) + 0.25
}

type oracle struct{}

func (oracle) Info(context.Context) (core.OracleInfo, error) {
	// Model tells answers of this function from those of another: change it with the function.
	return core.OracleInfo{Inputs: inputs, Outputs: 1, DType: core.FP64, Model: "formula 1"}, nil
}

func (oracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if x.IsEmpty() || ctx.Err() != nil {
		return &mat.Dense{}, ctx.Err()
	}
	rows, columns := x.Dims()
	if columns != inputs {
		return nil, fault.New(fault.Usage, "the formula has %d inputs; a query has %d", inputs, columns)
	}
	y := mat.NewDense(rows, 1, nil)
	for i := range rows {
		y.Set(i, 0, f(x.RawRowView(i)))
	}
	return y, nil
}

func (oracle) Close() error { return nil }

func main() {
	sdk.Serve(sdk.Plugin{Name: "formula", Version: "1.0.0", Oracles: []core.OracleFactory{{
		Component: core.Component{Name: "formula", Summary: "asks a function written in Go"},
		Open:      func(core.Options) (core.Oracle, error) { return oracle{}, nil },
	}}})
}
