package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/nnid/nnid/core"
)

// What is read at most: a server gone wild must not fill the memory.
const (
	metadataLimit = 1 << 20
	answerLimit   = 256 << 20
	errorLimit    = 64 << 10
)

var (
	errEOF   = io.EOF
	errLimit = errors.New("too long")
)

func readAll(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		return body[:limit], errLimit
	}
	return body, err
}

// metadata is the answer to GET v2/models/MODEL.
type metadata struct {
	Name    string   `json:"name"`
	Inputs  []tensor `json:"inputs"`
	Outputs []tensor `json:"outputs"`
}

type tensor struct {
	Name     string          `json:"name"`
	Datatype string          `json:"datatype"`
	Shape    []int64         `json:"shape"`
	Data     json.RawMessage `json:"data"`
}

func decodeMetadata(body []byte) (*metadata, error) {
	var m metadata
	if err := decode(body, &m); err != nil {
		return nil, err
	}
	for _, t := range append(m.Inputs, m.Outputs...) {
		if t.Name == "" {
			return nil, errors.New("not that of the protocol: a tensor has no name")
		}
	}
	return &m, nil
}

// decode says of a body that is not JSON how it begins.
func decode(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		for _, literal := range []string{"NaN", "Infinity"} {
			if bytes.Contains(body, []byte(literal)) {
				return fmt.Errorf("holds %s, which is no number (the model overflows there?)", literal)
			}
		}
		text := strings.ToValidUTF8(string(body[:min(len(body), 80)]), "?")
		return fmt.Errorf("not the JSON that the protocol wants (%w); it begins %q", err, text)
	}
	return fmt.Errorf("not the JSON that the protocol wants (%w)", err)
}

// answer is one output tensor, rows x columns.
type answer struct {
	values  []float64
	columns int
	version string
}

// decodeAnswer reads the answer to an inference of the given number of rows. name is the output wanted, or "" for the
// only one. Errors continue the sentence "its answer ...".
func decodeAnswer(body []byte, name string, rows int) (*answer, error) {
	var r struct {
		Version json.RawMessage `json:"model_version"`
		Outputs []tensor        `json:"outputs"`
	}
	if err := decode(body, &r); err != nil {
		if strings.HasPrefix(err.Error(), "not ") {
			return nil, fmt.Errorf("is %w", err)
		}
		return nil, err
	}
	if len(r.Outputs) == 0 {
		return nil, fmt.Errorf("has no outputs; it says %q", strings.ToValidUTF8(string(body[:min(len(body), 80)]), "?"))
	}
	names := make([]string, len(r.Outputs))
	output := -1
	for i, t := range r.Outputs {
		names[i] = t.Name
		if t.Name == name {
			output = i
		}
	}
	switch {
	case output >= 0:
	case name != "":
		return nil, fmt.Errorf("has no output %q; it has: %s", name, strings.Join(names, ", "))
	case len(r.Outputs) > 1:
		return nil, fmt.Errorf("has the outputs %s: choose one with the option output-name", strings.Join(names, ", "))
	default:
		output = 0
	}
	t := r.Outputs[output]
	if err := checkDatatype(t.Datatype); err != nil {
		return nil, err
	}
	if len(t.Shape) == 0 || t.Shape[0] != int64(rows) {
		return nil, fmt.Errorf("has the shape %v; its first dimension must be %d, one row each", t.Shape, rows)
	}
	values, err := numbers(t.Data)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 || len(values)%rows != 0 {
		return nil, fmt.Errorf("has %d values for the shape %v", len(values), t.Shape)
	}
	// The product of the dimensions must be the number of values; dividing cannot overflow.
	left := int64(len(values))
	for _, n := range t.Shape {
		if n <= 0 || left%n != 0 {
			return nil, fmt.Errorf("has %d values for the shape %v", len(values), t.Shape)
		}
		left /= n
	}
	if left != 1 {
		return nil, fmt.Errorf("has %d values for the shape %v", len(values), t.Shape)
	}
	for i, v := range values {
		if t.Datatype == string(core.FP32) {
			v = float64(float32(v)) // some servers print the shortest digits, some all: both are the same number
			values[i] = v
		}
		if math.IsInf(v, 0) {
			return nil, fmt.Errorf("has a value at row %d that is too large for %s", i*rows/len(values), t.Datatype)
		}
	}
	version := ""
	if len(r.Version) > 0 && string(r.Version) != "null" {
		version = strings.Trim(string(r.Version), `"`)
	}
	return &answer{values: values, columns: len(values) / rows, version: version}, nil
}

func checkDatatype(datatype string) error {
	switch core.DType(datatype) {
	case core.FP64, core.FP32:
		return nil
	}
	return fmt.Errorf("has the data type %q; FP64 or FP32 is needed (a regression output, no labels)", datatype)
}

// numbers reads an array of numbers, flat or nested, row by row. data is valid JSON already.
func numbers(data json.RawMessage) ([]float64, error) {
	if len(data) == 0 || data[0] != '[' {
		return nil, errors.New("has no array of data (binary data was not asked for)")
	}
	values := make([]float64, 0, bytes.Count(data, []byte{','})+1)
	for i := 0; i < len(data); {
		switch c := data[i]; {
		case c == '[' || c == ']' || c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
		case c == '-' || c >= '0' && c <= '9':
			end := i
			for end < len(data) && strings.IndexByte("+-.eE0123456789", data[end]) >= 0 {
				end++
			}
			v, err := strconv.ParseFloat(string(data[i:end]), 64)
			if err != nil {
				return nil, fmt.Errorf("has the value %.40s, which is too large for FP64", data[i:end])
			}
			values = append(values, v)
			i = end
		case c == 'n':
			return nil, fmt.Errorf("has null for value %d, where the model's is probably NaN or infinite", len(values))
		default:
			return nil, fmt.Errorf("has something other than numbers as value %d", len(values))
		}
	}
	return values, nil
}

// errorText returns the field "error" of the protocol's errors, "detail" of others, or else the body.
func errorText(body []byte) string {
	var e struct {
		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &e) == nil {
		for _, raw := range []json.RawMessage{e.Error, e.Detail} {
			var text string
			if len(raw) > 0 && string(raw) != "null" {
				if json.Unmarshal(raw, &text) == nil {
					return text
				}
				return string(raw)
			}
		}
	}
	return string(body)
}

func quoteJSON(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return `""` // strings always marshal
	}
	return string(quoted)
}
