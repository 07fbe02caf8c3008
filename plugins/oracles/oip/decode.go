package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
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

var errLimit = errors.New("too long")

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
	if err := m.check(); err != nil {
		return nil, err
	}
	return &m, nil
}

func (m *metadata) check() error {
	for _, t := range append(m.Inputs[:len(m.Inputs):len(m.Inputs)], m.Outputs...) {
		if t.Name == "" {
			return errors.New("not that of the protocol: a tensor has no name")
		}
	}
	return nil
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

// answer is one output tensor, or several beside each other, rows x columns.
type answer struct {
	values  []float64
	columns int
	version string
}

// add puts an output of the given shape beside those that are there.
func (a *answer) add(shape []int64, values []float64, rows int) error {
	columns, err := checkAnswer(shape, values, rows)
	if err != nil {
		return err
	}
	if a.columns == 0 {
		a.values, a.columns = values, columns
		return nil
	}
	joined := make([]float64, 0, rows*(a.columns+columns))
	for r := range rows {
		joined = append(append(joined, a.values[r*a.columns:][:a.columns]...), values[r*columns:][:columns]...)
	}
	a.values, a.columns = joined, a.columns+columns
	return nil
}

// decodeAnswer reads the answer to an inference of the given number of rows. wanted are the outputs wanted, or none for the
// only one. Errors continue the sentence "its answer ...".
func decodeAnswer(body []byte, wanted []string, rows int) (*answer, error) {
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
	for i, t := range r.Outputs {
		names[i] = t.Name
	}
	chosen, err := chooseOutputs(names, wanted)
	if err != nil {
		return nil, err
	}
	a := &answer{}
	if len(r.Version) > 0 && string(r.Version) != "null" {
		a.version = strings.Trim(string(r.Version), `"`)
	}
	for _, output := range chosen {
		t := r.Outputs[output]
		values, err := tensorValues(t)
		if err != nil {
			return nil, err
		}
		if err := a.add(t.Shape, values, rows); err != nil {
			return nil, err
		}
		for i, v := range values {
			if math.IsInf(v, 0) { // JSON has none
				return nil, fmt.Errorf("has a value at row %d that is too large for %s", i/max(1, len(values)/rows), t.Datatype)
			}
		}
	}
	return a, nil
}

// tensorValues reads one output.
func tensorValues(t tensor) ([]float64, error) {
	if err := checkDatatype(t.Datatype); err != nil {
		return nil, err
	}
	values, err := numbers(t.Data)
	if err != nil {
		return nil, err
	}
	if t.Datatype == string(core.FP32) {
		for i, v := range values {
			values[i] = float64(float32(v)) // some servers print the shortest digits, some all: both are the same number
		}
	}
	return values, nil
}

// chooseOutputs returns which of the outputs are meant: those of the wanted names, or the only one where there are none.
func chooseOutputs(names, wanted []string) ([]int, error) {
	switch {
	case len(names) == 0:
		return nil, errors.New("has no outputs")
	case len(wanted) == 0 && len(names) == 1:
		return []int{0}, nil
	case len(wanted) == 0:
		return nil, fmt.Errorf("has the outputs %s: choose one, or several with commas between them, with the option output-name", strings.Join(names, ", "))
	}
	var chosen []int
	for _, name := range wanted {
		i := slices.Index(names, name)
		if i < 0 {
			return nil, fmt.Errorf("has no output %q; it has: %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, i)
	}
	return chosen, nil
}

// checkAnswer returns how many values a row has. The first dimension is the batch's, but one value a row may come in any shape, and one
// row may be without that dimension. The product of the dimensions must be the number of values.
func checkAnswer(shape []int64, values []float64, rows int) (columns int, err error) {
	if rows > 1 && (len(shape) == 0 || shape[0] != int64(rows) && len(values) != rows) {
		return 0, fmt.Errorf("has the shape %v; its first dimension must be %d, one row each", shape, rows)
	}
	left := int64(len(values)) // dividing cannot overflow
	for _, n := range shape {
		if n <= 0 || left == 0 || left%n != 0 {
			return 0, fmt.Errorf("has %d values for the shape %v", len(values), shape)
		}
		left /= n
	}
	if left != 1 {
		return 0, fmt.Errorf("has %d values for the shape %v", len(values), shape)
	}
	return len(values) / rows, nil
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
