package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/plugins/activations"
)

// modelServer speaks the Open Inference Protocol (V2, REST), after its published specification, and serves one network
// under several names. A name says what is wrong with the model:
//
//	good          nothing
//	float32       datatype FP32
//	secret        wants the header Authorization: Bearer open-sesame
//	flaky         answers 503 to every third request
//	slow          takes 20 ms a request
//	stuck         answers nothing more after 40 rows
//	nan           answers NaN to every row whose first coordinate is above 1
//	shape         answers one row too few
//	garbage       answers a page in HTML
//	refuses       answers 400 and an error object
//	stringy       declares inputs of type BYTES
type modelServer struct {
	*httptest.Server
	net *network.Network
	g   core.Function

	mu       sync.Mutex
	asked    map[string]int64
	requests map[string]int
	seen     map[string]map[string]int // how often each row was answered
}

var modelNames = []string{"good", "float32", "secret", "flaky", "slow", "stuck", "nan", "shape", "garbage", "refuses", "stringy"}

func startModelServer(t *testing.T) *modelServer {
	t.Helper()
	s := newModelServer(t, "../../testdata/networks/diabetes-tanh-8-4.json")
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// newModelServer is one that does not listen yet.
func newModelServer(t *testing.T, file string) *modelServer {
	t.Helper()
	net, err := network.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &modelServer{net: net, asked: map[string]int64{}, requests: map[string]int{}, seen: map[string]map[string]int{}}
	for _, factory := range activations.All() {
		if factory.Name != net.First.Activation {
			continue
		}
		activation, err := factory.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.g, err = compile.Compile(context.Background(), activation); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// rowName stands for the exact row.
func rowName(row []float64) string { return fmt.Sprint(row) }

// rows returns how many rows the model answered since the last call.
func (s *modelServer) rows(model string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked[model]
	s.asked[model] = 0
	return n
}

// answered returns how many rows the model answered in all, and how many of them it had answered before.
func (s *modelServer) answered(model string) (rows, again int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.seen[model] {
		rows, again = rows+n, again+n-1
	}
	return rows, again
}

type tensor struct {
	Name     string          `json:"name"`
	Datatype string          `json:"datatype"`
	Shape    []int           `json:"shape"`
	Data     json.RawMessage `json:"data,omitempty"`
}

func (s *modelServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error": %q}`, text)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) > 4 && parts[3] == "versions" {
		parts = append(parts[:3:3], parts[5:]...)
	}
	switch {
	case r.URL.Path == "/v2" || (len(parts) == 3 && parts[1] == "health"):
		fmt.Fprint(w, `{"name": "test", "version": "1", "extensions": [], "live": true, "ready": true}`)
		return
	case len(parts) < 3 || parts[0] != "v2" || parts[1] != "models" || !slices.Contains(modelNames, parts[2]):
		fail(http.StatusNotFound, "model not found")
		return
	}
	model := parts[2]
	datatype := "FP64"
	switch model {
	case "float32":
		datatype = "FP32"
	case "stringy":
		datatype = "BYTES"
	}
	if model == "secret" && r.Header.Get("Authorization") != "Bearer open-sesame" {
		fail(http.StatusUnauthorized, "unauthorized")
		return
	}
	if len(parts) == 4 && parts[3] == "ready" {
		fmt.Fprint(w, `{"name": "`+model+`", "ready": true}`)
		return
	}
	if len(parts) == 3 && r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"name": model, "versions": []string{"1"}, "platform": "test",
			"inputs":  []tensor{{Name: "x", Datatype: datatype, Shape: []int{-1, s.net.Inputs()}}},
			"outputs": []tensor{{Name: "y", Datatype: datatype, Shape: []int{-1, 1}}},
		})
		return
	}
	if len(parts) != 4 || parts[3] != "infer" || r.Method != http.MethodPost {
		fail(http.StatusNotFound, "no such resource")
		return
	}
	s.mu.Lock()
	s.requests[model]++
	request, asked := s.requests[model], s.asked[model]
	s.mu.Unlock()
	switch {
	case model == "refuses":
		fail(http.StatusBadRequest, "the model is out of order")
		return
	case model == "garbage":
		fmt.Fprint(w, "<html>hello</html>")
		return
	case model == "flaky" && request%3 == 0:
		w.Header().Set("Retry-After", "0")
		fail(http.StatusServiceUnavailable, "busy")
		return
	case model == "slow":
		select {
		case <-time.After(20 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	x, err := readTensor(r, datatype, s.net.Inputs())
	if err != nil {
		fail(http.StatusBadRequest, err.Error())
		return
	}
	if model == "stuck" && asked >= 40 {
		<-r.Context().Done()
		return
	}
	y := s.net.Evaluate(s.g, s.g, x)
	rows, _ := x.Dims()
	s.mu.Lock()
	s.asked[model] += int64(rows)
	if s.seen[model] == nil {
		s.seen[model] = map[string]int{}
	}
	for i := range rows {
		s.seen[model][rowName(x.RawRowView(i))]++
	}
	s.mu.Unlock()
	texts := make([]string, 0, rows)
	for i, v := range y {
		switch {
		case model == "nan" && math.Abs(x.At(i, 0)) > 1:
			texts = append(texts, "NaN")
		case datatype == "FP32":
			texts = append(texts, fmt.Sprint(float32(v)))
		default:
			texts = append(texts, fmt.Sprint(v))
		}
	}
	if model == "shape" {
		rows, texts = rows-1, texts[:rows-1]
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"model_name": %q, "model_version": "1", "outputs": [{"name": "y", "datatype": %q, "shape": [%d, 1], "data": [%s]}]}`,
		model, datatype, rows, strings.Join(texts, ","))
}

// readTensor reads the one input of an inference request, whose data may be flat or nested.
func readTensor(r *http.Request, datatype string, inputs int) (*mat.Dense, error) {
	var request struct{ Inputs []tensor }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	if len(request.Inputs) != 1 || request.Inputs[0].Name != "x" || request.Inputs[0].Datatype != datatype {
		return nil, fmt.Errorf("one input x of type %s is needed", datatype)
	}
	in := request.Inputs[0]
	if len(in.Shape) != 2 || in.Shape[1] != inputs || in.Shape[0] < 1 {
		return nil, fmt.Errorf("unexpected shape %v", in.Shape)
	}
	var flat []float64
	if err := json.Unmarshal(in.Data, &flat); err != nil {
		var nested [][]float64
		if err := json.Unmarshal(in.Data, &nested); err != nil {
			return nil, err
		}
		flat = slices.Concat(nested...)
	}
	if len(flat) != in.Shape[0]*in.Shape[1] {
		return nil, fmt.Errorf("%d numbers for shape %v", len(flat), in.Shape)
	}
	if datatype == "FP32" {
		for i, v := range flat {
			flat[i] = float64(float32(v))
		}
	}
	return mat.NewDense(in.Shape[0], in.Shape[1], flat), nil
}
