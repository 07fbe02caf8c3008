// Package onnx is an oracle that evaluates an ONNX file in float64, without ONNX Runtime.
package onnx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/onnx"
)

// Factory makes the oracle "onnx".
var Factory = core.OracleFactory{
	Component: core.Component{
		Name:      "onnx",
		Summary:   "evaluates an ONNX file of a dense network in float64 in this machine",
		Reference: "https://onnx.ai/onnx/operators",
		Options: []core.Option{
			{Name: "file", Usage: "path of the ONNX file", Required: true},
			{Name: "output", Usage: "name of the output asked, or of a value between the nodes; needed only where not exactly one output holds floating point"},
		},
	},
	Open: open,
}

// largestInput is the most numbers that are given to a model at once.
const largestInput = 1 << 24

type oracle struct {
	program *onnx.Program
	info    core.OracleInfo
	// row is the shape in which one row of a query is given to the model, a 0 in the place of the number of inputs where the
	// file does not say it; copies of the row make up a batch whose size the file fixes.
	row    []int
	copies int
}

func open(options core.Options) (core.Oracle, error) {
	path := options["file"]
	m, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	o, err := newOracle(m, options["output"])
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "ONNX file %s: %w", path, err)
	}
	return o, nil
}

func newOracle(m *onnx.Model, output string) (*oracle, error) {
	// Nothing can end this but its own limits, which amount to seconds.
	ctx := context.Background()
	p, err := onnx.NewProgram(ctx, m, output, onnx.Limits{})
	if err != nil {
		return nil, err
	}
	o := &oracle{program: p}
	if err := o.setRow(); err != nil {
		return nil, err
	}
	// Written again, the model has its constants with it, also those from other files.
	sum := sha256.Sum256(m.Bytes())
	o.info.Model = fmt.Sprintf("sha256:%s output=%s", hex.EncodeToString(sum[:]), p.Output.Name)
	o.info.DType = core.FP64
	if o.info.Inputs > 0 {
		// What the nodes make of a row is found out before the first query.
		y, err := o.evaluate(ctx, make([]float64, o.info.Inputs))
		if err != nil {
			return nil, err
		}
		o.info.Outputs = len(y)
	}
	return o, nil
}

// setRow finds out from the model's input how a row is given to it.
func (o *oracle) setRow() error {
	if len(o.program.Inputs) != 1 {
		var names []string
		for _, v := range o.program.Inputs {
			names = append(names, v.String())
		}
		return fault.New(fault.Unsupported, "the output %q depends on %d inputs instead of one (%s); join them into one vector before the export",
			o.program.Output.Name, len(names), strings.Join(names, "; "))
	}
	v := o.program.Inputs[0]
	if !v.Element.Floating() {
		return fault.New(fault.Unsupported, "the input %s is not of floating point, so it can't be asked at points between", v)
	}
	o.copies = 1
	switch {
	case !v.Ranked:
		o.row = []int{1, 0}
	case len(v.Shape) == 0:
		return fault.New(fault.Unsupported, "the input %s is a single number and not a vector", v)
	case len(v.Shape) == 1:
		o.row = []int{max(v.Shape[0], 1)} // a vector, or where any number goes, rows of one number
		o.info.Inputs = o.row[0]
	case len(v.Shape) == 2 && v.Shape[1] < 0:
		o.row = []int{1, 0}
	case slices.Min(v.Shape[1:]) < 1:
		return fault.New(fault.Unsupported, "the input %s does not say how many numbers make a row", v)
	default:
		o.row, o.info.Inputs = append([]int{1}, v.Shape[1:]...), 1
		for _, n := range v.Shape[1:] {
			if o.info.Inputs *= n; o.info.Inputs > largestInput {
				break
			}
		}
	}
	if v.Ranked && len(v.Shape) > 1 && v.Shape[0] > 1 {
		o.copies, o.row[0] = v.Shape[0], v.Shape[0]
	}
	if o.copies > largestInput/max(o.info.Inputs, 1) {
		return fault.New(fault.Unsupported, "the input %s is too large", v)
	}
	return nil
}

func (o *oracle) Info(ctx context.Context) (core.OracleInfo, error) { return o.info, ctx.Err() }

func (o *oracle) Close() error { return nil }

// Query evaluates row by row, so that no answer depends on the batch.
func (o *oracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if x == nil || x.IsEmpty() {
		return &mat.Dense{}, nil
	}
	rows, columns := x.Dims()
	if o.info.Inputs > 0 && columns != o.info.Inputs {
		return nil, fault.New(fault.Usage, "the model has %d inputs but the query has %d columns", o.info.Inputs, columns)
	}
	var y *mat.Dense
	for i := range rows {
		values, err := o.evaluate(ctx, x.RawRowView(i))
		if err != nil {
			return nil, err
		}
		if y == nil {
			y = mat.NewDense(rows, len(values), nil)
		}
		if _, outputs := y.Dims(); len(values) != outputs {
			return nil, fault.New(fault.Oracle, "the output %q has %d numbers for one row and %d for another", o.program.Output.Name, outputs, len(values))
		}
		y.SetRow(i, values)
	}
	return y, nil
}

// evaluate returns the model's output at one row.
func (o *oracle) evaluate(ctx context.Context, row []float64) ([]float64, error) {
	shape := slices.Clone(o.row)
	if at := slices.Index(shape, 0); at >= 0 {
		shape[at] = len(row)
	}
	values := make([]float64, 0, o.copies*len(row))
	for range o.copies {
		values = append(values, row...)
	}
	y, err := o.program.Run(ctx, onnx.NewFloats(values, shape...))
	if err != nil {
		return nil, err
	}
	switch {
	case y.Integer:
		return nil, fault.New(fault.Unsupported, "the output %q holds integers; identification needs numbers of floating point", o.program.Output.Name)
	case y.Len() == 0 || o.copies > 1 && (len(y.Shape) == 0 || y.Shape[0] != o.copies):
		return nil, fault.New(fault.Unsupported, "the output %q is of shape %v for %d rows: it does not hold something for each row", o.program.Output.Name, y.Shape, o.copies)
	}
	return y.Floats[:y.Len()/o.copies], nil
}
