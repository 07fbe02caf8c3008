// Package heads finds all outputs of a model from the network that was found of one of them. They share its hidden layers, so
// that only output weights and biases are left: a linear problem for each, which the answers already paid for solve.
package heads

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Output is what was found of one output.
type Output struct {
	Index         int       `json:"index"`
	Identified    bool      `json:"identified"`
	Reason        string    `json:"reason"`
	Weights       []float64 `json:"weights"` // one a unit of the second layer
	Bias          float64   `json:"bias"`
	ErrorBar      float64   `json:"error_bar"`      // largest standard deviation of them, over the norm of the weights
	MaxError      float64   `json:"max_error"`      // largest |f - found| on the fresh points of the validation
	RelativeError float64   `json:"relative_error"` // root mean square of f - found there over the standard deviation of f
}

// Found is a network that was identified from one output.
type Found struct {
	Network *network.Network
	G, H    core.Function
	Output  int         // the one it was found from
	Asked   [][]float64 // points that were asked for it
	Fresh   [][]float64 // points that were asked to validate it, and for nothing else
	Bar     float64     // largest relative standard deviation of a first-layer unit's parameters
	Noise   float64     // standard deviation of an answer's error; 0: not known
}

const (
	// mostRows are fitted; so many fix the few weights.
	mostRows = 4096
	// blockRows bounds the memory that the sensitivities of many points take.
	blockRows = 256
	// constant is how little an output varies, relative to its size, that is a constant but for rounding.
	constant = 1e-14
	// rounding is the error of an answer in float64, relative to its size.
	rounding = 1e-15
	// comparable is how many times as far off as the output that the layers were found from another one may be: its weights
	// favour other units. exact is how far off one may be in any case, and vague is too far to say anything, both relative to its spread.
	comparable, exact, vague = 10, 1e-9, 0.05
)

// Solve finds every output. answers returns all outputs at points that were asked, a row for each; see query.Session.Answers.
func Solve(found Found, answers func(points [][]float64) ([][]float64, error)) ([]Output, error) {
	points := spread(found.Asked, mostRows)
	y, err := answers(points)
	if err != nil {
		return nil, err
	}
	fresh, err := answers(found.Fresh)
	if err != nil {
		return nil, err
	}
	fit := newFit(found, points, y)
	units := features(found, found.Fresh)
	results := make([]Output, len(fresh[0]))
	for k := range results {
		results[k] = fit.output(k)
		if k == found.Output {
			results[k].Weights, results[k].Bias = found.Network.Output, found.Network.OutputBias
		}
		results[k].compare(units, column(fresh, k))
	}
	first := results[found.Output]
	for k := range results {
		results[k].decide(column(fresh, k), first, first.RelativeError*stat.PopStdDev(column(fresh, found.Output), nil))
	}
	return results, nil
}

// spread takes at most n of the points, evenly.
func spread(points [][]float64, n int) [][]float64 {
	if len(points) <= n {
		return points
	}
	taken := make([][]float64, n)
	for i := range taken {
		taken[i] = points[i*len(points)/n]
	}
	return taken
}

func column(rows [][]float64, k int) []float64 {
	values := make([]float64, len(rows))
	for i, row := range rows {
		values[i] = row[k]
	}
	return values
}

// features are the values of the second layer at points, and a column of ones.
func features(found Found, points [][]float64) *mat.Dense {
	_, m1 := found.Network.Sizes()
	f := mat.NewDense(len(points), m1+1, nil)
	x := mat.NewDense(len(points), found.Network.Inputs(), nil)
	for i, p := range points {
		x.SetRow(i, p)
		f.Set(i, m1, 1)
	}
	one := found.Network.Clone()
	one.OutputBias = 0
	for l := range m1 {
		clear(one.Output)
		one.Output[l] = 1
		f.SetCol(l, one.Evaluate(found.G, found.H, x))
	}
	return f
}

// fit is the linear least squares problem that all outputs share.
type fit struct {
	y        [][]float64
	weights  []float64 // of the rows: the inverse of their expected error
	qr       mat.QR
	units    *mat.Dense // rows weighted
	spread   []float64  // standard deviation of each unknown for errors as expected
	singular bool
}

func newFit(found Found, points, y [][]float64) *fit {
	f := &fit{y: y, weights: make([]float64, 0, len(points)), units: features(found, points)}
	sigma := math.Max(found.Noise, rounding*stat.PopStdDev(column(y, found.Output), nil))
	d := found.Network.Inputs()
	for from := 0; from < len(points); from += blockRows {
		block := points[from:min(from+blockRows, len(points))]
		x := mat.NewDense(len(block), d, nil)
		for i, p := range block {
			x.SetRow(i, p)
		}
		// Far out, on the flank of a step, the error bars of the layers are worth more than the noise of the answers.
		for i, s := range refine.Sensitivity(found.Network, found.G, found.H, x) {
			f.weights = append(f.weights, 1/math.Hypot(sigma, found.Bar*s*math.Hypot(1, floats.Norm(block[i], 2))))
		}
	}
	floats.Scale(1/floats.Max(f.weights), f.weights)
	rows, columns := f.units.Dims()
	for i, w := range f.weights {
		floats.Scale(w, f.units.RawRowView(i))
	}
	if rows <= columns {
		f.singular = true
		return f
	}
	f.qr.Factorize(f.units)
	var r, inverse mat.Dense
	f.qr.RTo(&r)
	if f.singular = inverse.Inverse(r.Slice(0, columns, 0, columns)) != nil; !f.singular { // its error is one of condition
		for k := range columns {
			f.spread = append(f.spread, floats.Norm(inverse.RawRowView(k), 2))
		}
	}
	return f
}

func (f *fit) output(k int) Output {
	o := Output{Index: k}
	if f.singular {
		return o
	}
	rows, columns := f.units.Dims()
	y := column(f.y, k)
	floats.Mul(y, f.weights)
	var solution, residual mat.VecDense
	if f.qr.SolveVecTo(&solution, false, mat.NewVecDense(rows, y)) != nil {
		return o
	}
	o.Weights = mat.Col(nil, 0, &solution)[:columns-1]
	o.Bias = solution.AtVec(columns - 1)
	residual.MulVec(f.units, &solution)
	residual.SubVec(mat.NewVecDense(rows, y), &residual)
	sigma := mat.Norm(&residual, 2) / math.Sqrt(float64(rows-columns))
	if norm := floats.Norm(o.Weights, 2); norm > 0 {
		o.ErrorBar = sigma * floats.Max(f.spread) / norm
	}
	return o
}

// compare measures how far off the output found is at the fresh points.
func (o *Output) compare(units *mat.Dense, y []float64) {
	if o.Weights == nil {
		return
	}
	sum := 0.0
	for i, want := range y {
		row := units.RawRowView(i)
		off := want - floats.Dot(row[:len(o.Weights)], o.Weights) - o.Bias
		o.MaxError = math.Max(o.MaxError, math.Abs(off))
		sum += off * off
	}
	if s := stat.PopStdDev(y, nil); s > 0 {
		o.RelativeError = math.Sqrt(sum/float64(len(y))) / s
	}
}

// decide says whether the output, which is y at the fresh points, is identified. first is the one that the hidden layers were found
// from, off how far off it is.
func (o *Output) decide(y []float64, first Output, off float64) {
	size := stat.PopStdDev(y, nil)
	if size <= constant*math.Max(floats.Max(y), -floats.Min(y)) {
		*o = Output{Index: o.Index, Identified: true, Reason: "it is a constant", Weights: make([]float64, len(first.Weights)), Bias: y[0], MaxError: floats.Max(y) - floats.Min(y)}
		return
	}
	// Noise may be the same for all outputs, or relative to their size.
	allowed := math.Min(vague, max(exact, comparable*first.RelativeError, comparable*off/size))
	switch {
	case o.Index != first.Index && comparable*off > vague*size && o.RelativeError*size <= comparable*off:
		o.Reason = fmt.Sprintf("it varies by %.1e, too little beside errors of %.1e", size, off)
	case o.Weights == nil:
		o.Reason = "the answers do not determine its weights"
	case o.Index != first.Index && o.RelativeError > allowed:
		o.Reason = fmt.Sprintf("no combination of the %d second-layer units found from output %d fits: it differs from fresh answers by %.1e of their standard deviation, where %.1e would be noise; "+
			"it has units that output %d does not show: identify it with --output-index %d", len(o.Weights), first.Index, o.RelativeError, allowed, first.Index, o.Index)
	default:
		o.Identified = true
		o.Reason = fmt.Sprintf("fresh answers agree to %.1e of their standard deviation", o.RelativeError)
	}
}
