package teachers

import (
	"encoding/csv"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// Table is a data set to train a network on, standardised: every column and the target have mean 0 and variance 1.
type Table struct {
	X *mat.Dense
	Y []float64
}

// ReadTable reads comma-separated numbers with a header, the target in the last column, and standardises them.
func ReadTable(r io.Reader) (*Table, error) {
	reader := csv.NewReader(r)
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		return nil, fault.New(fault.Usage, "the table has no header: %w", err)
	}
	if len(header) < 2 {
		return nil, fault.New(fault.Usage, "the table needs two columns at least, an input and the target")
	}
	width := len(header)
	var values []float64
	for {
		record, err := reader.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fault.New(fault.Usage, "the table cannot be read: %w", err)
		}
		for k, text := range record {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
				line, _ := reader.FieldPos(k)
				return nil, fault.New(fault.Usage, "line %d of the table, column %d: %q is no finite number", line, k+1, text)
			}
			values = append(values, v)
		}
	}
	rows := len(values) / width
	if rows < 2 {
		return nil, fault.New(fault.Usage, "the table needs two rows at least")
	}
	for k := range width {
		if !standardise(values[k:], width) {
			return nil, fault.New(fault.Usage, "column %d of the table is constant; leave it out", k+1)
		}
	}
	t := &Table{X: mat.NewDense(rows, width-1, nil), Y: make([]float64, rows)}
	for i := range rows {
		t.X.SetRow(i, values[i*width:(i+1)*width-1])
		t.Y[i] = values[(i+1)*width-1]
	}
	return t, nil
}

// standardise shifts and scales every stride-th value to mean 0 and variance 1. It reports false where all are equal.
func standardise(values []float64, stride int) bool {
	var count, mean, square float64
	for i := 0; i < len(values); i += stride {
		count++
		mean += values[i]
	}
	mean /= count
	for i := 0; i < len(values); i += stride {
		square += (values[i] - mean) * (values[i] - mean)
	}
	if square == 0 {
		return false
	}
	deviation := math.Sqrt(square / count)
	for i := 0; i < len(values); i += stride {
		values[i] = (values[i] - mean) / deviation
	}
	return true
}
