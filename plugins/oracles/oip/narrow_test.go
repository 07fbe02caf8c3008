package oip

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// picky is a model server, f(x) = sum_k (k+1) x_k, that takes requests of some shapes alone.
type picky struct {
	metadata string // "" has status 404
	takes    func(shape []any) bool
	status   int    // of requests that it does not take
	shape    string // of answers, with %d for the number of rows

	mu      sync.Mutex
	answers int // rows
	refused int // requests
}

func (p *picky) server() *server {
	s := &server{}
	s.before = func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		if r.Method == http.MethodGet {
			if p.metadata == "" {
				w.WriteHeader(http.StatusNotFound)
			}
			io.WriteString(w, p.metadata)
			return true
		}
		input := decodeBody(r)["inputs"].([]any)[0].(map[string]any)
		shape, data := input["shape"].([]any), input["data"].([]any)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.takes(shape) {
			p.refused++
			w.WriteHeader(p.status)
			io.WriteString(w, `{"error": "not of this shape"}`)
			return true
		}
		rows := len(data) / 3
		p.answers += rows
		sums := make([]string, rows)
		for i := range rows {
			sums[i] = fmt.Sprint(data[3*i].(float64) + 2*data[3*i+1].(float64) + 3*data[3*i+2].(float64))
		}
		text := p.shape
		if strings.Contains(text, "%d") {
			text = fmt.Sprintf(text, rows)
		}
		fmt.Fprintf(w, `{"outputs": [{"name": "y", "datatype": "FP64", "shape": %s, "data": [%s]}]}`, text, strings.Join(sums, ","))
		return true
	}
	return s
}

// Servers that take one row at a time, batches of a size that they do not declare, or that describe nothing, are asked as they want it, and
// no row is answered twice.
func TestShapes(t *testing.T) {
	metadata := func(input, output string) string {
		return `{"inputs": [{"name": "x", "datatype": "FP64", "shape": ` + input + `}], "outputs": [{"name": "y", "datatype": "FP64", "shape": ` + output + `}]}`
	}
	batches := func(shape []any) bool { return len(shape) == 2 }
	ones := func(shape []any) bool { return len(shape) == 2 && shape[0] == 1.0 }
	few := func(shape []any) bool { return len(shape) == 2 && shape[0].(float64) <= 3 }
	vectors := func(shape []any) bool { return reflect.DeepEqual(shape, []any{3.0}) }
	for name, c := range map[string]struct {
		*picky
		options []string
		refused int
	}{
		"a row in a batch of one": {&picky{metadata: metadata("[1, 3]", "[1, 1]"), takes: ones, status: 400, shape: "[1, %d]"}, nil, 1},
		"and it fails over more":  {&picky{metadata: metadata("[1, 3]", "[1, 1]"), takes: ones, status: 500, shape: "[1, %d]"}, nil, 1},
		"a row without a batch":   {&picky{metadata: metadata("[3]", "[1]"), takes: vectors, status: 400, shape: "[%d]"}, nil, 2},
		"and without any shape":   {&picky{metadata: metadata("[3]", "[]"), takes: vectors, status: 422, shape: "[]"}, nil, 2},
		"a batch all the same":    {&picky{metadata: metadata("[3]", "[1]"), takes: batches, shape: "[%d, 1]"}, nil, 0},
		"values in one row":       {&picky{metadata: metadata("[-1, 3]", "[-1, 1]"), takes: batches, shape: "[1, %d]"}, nil, 0},
		"a limit in words":        {&picky{metadata: metadata("[-1, 3]", "[-1]"), takes: few, status: 400, shape: "[%d]"}, nil, 2},
		"no metadata":             {&picky{takes: batches, shape: "[%d, 1]"}, []string{"inputs=3"}, 0},
	} {
		o := connect(t, start(t, c.server()), c.options...)
		for range 2 {
			y, err := o.Query(t.Context(), mat.NewDense(10, 3, []float64{
				1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 5, 0, 0, 6, 0, 0, 7, 0, 0, 8, 0, 0, 9, 0, 0, 10, 0, 0}))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			for i := range 10 {
				if y.At(i, 0) != float64(i+1) {
					t.Errorf("%s: row %d is %g", name, i, y.At(i, 0))
				}
			}
		}
		if info, err := o.Info(t.Context()); err != nil || info.Inputs != 3 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if c.answers != 20 || c.refused != c.picky.refused {
			t.Errorf("%s: %d rows were answered, not 20; %d requests refused, not %d", name, c.answers, c.picky.refused, c.refused)
		}
	}
	o := connect(t, start(t, (&picky{}).server()))
	if _, err := o.Info(t.Context()); !fault.Is(err, fault.Oracle) || !strings.Contains(err.Error(), "give the option inputs") {
		t.Errorf("without metadata and inputs: %v", err)
	}
}
