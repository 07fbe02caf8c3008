package oip

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/plugintest"
)

func TestMain(m *testing.M) {
	firstPause = time.Millisecond
	os.Exit(m.Run())
}

// server is a model server written from the protocol's specification: f(x) = (sum_k (k+1) x_k, x_0 / 3), 3 inputs.
// Its fields make it deviate.
type server struct {
	prefix   string // of the model's path
	metadata string // "" is the full one
	nested   bool   // data of the answer as rows
	before   func(w http.ResponseWriter, r *http.Request, call int64) (done bool)
	answer   func(rows int) string // instead of the right answer
	most     int                   // rows before status 413
	seen     func(r *http.Request, body map[string]any)
	calls    atomic.Int64
}

const fullMetadata = `{"name": "m", "versions": ["1"], "platform": "x", "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 3]}],
	"outputs": [{"name": "y", "datatype": "FP64", "shape": [-1, 2]}]}`

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := s.calls.Add(1)
	if s.before != nil && s.before(w, r, call) {
		return
	}
	prefix := s.prefix
	if prefix == "" {
		prefix = "/v2/models/m"
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodGet && r.URL.Path == prefix:
		if s.metadata != "" {
			io.WriteString(w, s.metadata)
			return
		}
		io.WriteString(w, fullMetadata)
		return
	case r.Method != http.MethodPost || r.URL.Path != prefix+"/infer":
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"error": "no such model"}`)
		return
	}
	body := decodeBody(r)
	if body == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if s.seen != nil {
		s.seen(r, body)
	}
	input := body["inputs"].([]any)[0].(map[string]any)
	shape := input["shape"].([]any)
	rows, columns := int(shape[0].(float64)), int(shape[1].(float64))
	if columns != 3 {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error": "X has `+fmt.Sprint(columns)+` features, but 3 are expected"}`)
		return
	}
	if s.most > 0 && rows > s.most {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if s.answer != nil {
		io.WriteString(w, s.answer(rows))
		return
	}
	data := input["data"].([]any)
	flat, nested := []float64{}, [][]float64{}
	for i := range rows {
		sum := 0.0
		for k := range 3 {
			sum += float64(k+1) * data[3*i+k].(float64)
		}
		row := []float64{sum, data[3*i].(float64) / 3}
		flat, nested = append(flat, row...), append(nested, row)
	}
	output := map[string]any{"name": "y", "datatype": "FP64", "shape": []int{rows, 2}, "data": flat}
	if s.nested {
		output["data"] = nested
	}
	json.NewEncoder(w).Encode(map[string]any{"model_name": "m", "model_version": "1", "outputs": []any{output}})
}

// decodeBody is nil where the body is not the JSON of an object.
func decodeBody(r *http.Request) map[string]any {
	var body map[string]any
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return nil
	}
	return body
}

func start(t *testing.T, s *server) string {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

func connect(t *testing.T, url string, options ...string) core.Oracle {
	t.Helper()
	o, err := attempt(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func attempt(url string, options ...string) (core.Oracle, error) {
	given := core.Options{"url": url, "model": "m"}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		given[name] = value
	}
	resolved, err := Factory.Resolve(core.KindOracle, given)
	if err != nil {
		return nil, err
	}
	return Factory.Open(resolved)
}

func TestConformance(t *testing.T) {
	for name, s := range map[string]*server{
		"full": {}, "nested": {nested: true}, "small batches": {most: 3},
		"bare metadata": {metadata: `{"name": "m", "inputs": [], "outputs": []}`},
		"null metadata": {metadata: `{"name": "m", "inputs": null, "platform": ""}`},
	} {
		if err := plugintest.CheckOracle(t.Context(), connect(t, start(t, s)), 3); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValuesRoundTrip(t *testing.T) {
	o := connect(t, start(t, &server{}))
	// Numbers that a lossy printer would change.
	x := mat.NewDense(3, 3, []float64{0.1, 1.0 / 3, 5e-324, math.Nextafter(1, 2), 0x1p-1022, -1e300, 1e21, math.Copysign(0, -1), 123456789.123456789})
	y, err := o.Query(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		sum := 0.0
		for k := range 3 {
			sum += float64(k+1) * x.At(i, k)
		}
		if y.At(i, 0) != sum || y.At(i, 1) != x.At(i, 0)/3 {
			t.Errorf("row %d: %v", i, y.RawRowView(i))
		}
	}
	info, err := o.Info(t.Context())
	if err != nil || info.Inputs != 3 || info.Outputs != 2 || info.DType != core.FP64 || !strings.HasSuffix(info.Model, "/v2/models/m") {
		t.Errorf("%+v, %v", info, err)
	}
}

// FP32: the inputs go out in as many digits as FP32 has, and the answers are FP32 whatever their printed digits.
func TestFP32(t *testing.T) {
	var sent map[string]any
	s := &server{
		metadata: strings.ReplaceAll(fullMetadata, "FP64", "FP32"),
		seen:     func(_ *http.Request, body map[string]any) { sent = body["inputs"].([]any)[0].(map[string]any) },
		answer: func(int) string {
			return `{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.1, 0.10000000149011612]}]}`
		},
	}
	o := connect(t, start(t, s))
	y, err := o.Query(t.Context(), mat.NewDense(1, 3, []float64{0.1, 1 + 1e-12, 1e4 + 1e-5}))
	if err != nil {
		t.Fatal(err)
	}
	if y.At(0, 0) != float64(float32(0.1)) || y.At(0, 0) != y.At(0, 1) {
		t.Errorf("answer %v", y.RawRowView(0))
	}
	if fmt.Sprint(sent["data"]) != "[0.1 1 10000]" || sent["datatype"] != "FP32" {
		t.Errorf("sent %v", sent)
	}
	if info, _ := o.Info(t.Context()); info.DType != core.FP32 {
		t.Errorf("%+v", info)
	}
}

func TestOptions(t *testing.T) {
	var path, authorization, name string
	s := &server{
		prefix: "/base/v2/models/a b/versions/2", metadata: `{"name": "m"}`,
		seen: func(r *http.Request, body map[string]any) {
			path, authorization = r.URL.Path, r.Header.Get("Authorization")
			name = body["inputs"].([]any)[0].(map[string]any)["name"].(string)
		},
	}
	t.Setenv("THE_TOKEN", "s3cret\n")
	url := start(t, s)
	for _, address := range []string{url + "/base", url + "/base/", url + "/base/v2", url + "/base/v2/"} {
		o := connect(t, address, "model=a b", "version=2", "token-env=THE_TOKEN", "input-name=in", "output-name=y", "inputs=3")
		if _, err := o.Query(t.Context(), mat.NewDense(1, 3, nil)); err != nil {
			t.Fatal(err)
		}
		if path != s.prefix+"/infer" || authorization != "Bearer s3cret" || name != "in" {
			t.Errorf("asked %q with %q for the input %q", path, authorization, name)
		}
		if info, err := o.Info(t.Context()); err != nil || info.Inputs != 3 || strings.Contains(info.Model, "s3cret") {
			t.Errorf("%+v, %v", info, err)
		}
	}
}

func TestUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string][]string{
		"must begin with http":         {"ftp://host"},
		"name a host":                  {"http://"},
		"name or a password":           {"http://joe:pa55@host"},
		"is not an address":            {"http://joe:pa55@host:port\x7f"},
		"query or a fragment":          {"http://host?key=pa55"},
		`option model=""`:              {"http://host", "model="},
		"option inputs=":               {"http://host", "inputs=-1"},
		"option timeout=":              {"http://host", "timeout=0"},
		"option retries=":              {"http://host", "retries=x"},
		"option max-batch=":            {"http://host", "max-batch=x"},
		"must be FP64 or FP32":         {"http://host", "datatype=INT8"},
		"cannot be read: no such file": {"http://host", "ca-file=/nowhere"},
		"no certificate":               {"http://host", "ca-file=" + empty},
	} {
		_, err := attempt(c[0], c[1:]...)
		if err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Usage) || strings.Contains(err.Error(), "pa55") {
			t.Errorf("want a usage fault with %q, got %v", want, err)
		}
	}
}

func query(ctx context.Context, o core.Oracle) (*mat.Dense, error) {
	return o.Query(ctx, mat.NewDense(2, 3, []float64{1, 2, 3, 4, 5, 6}))
}

// TestFaults has one sentence for everything that a server can do wrong.
func TestFaults(t *testing.T) {
	status := func(code int, body string) func(http.ResponseWriter, *http.Request, int64) bool {
		return func(w http.ResponseWriter, r *http.Request, _ int64) bool {
			if r.Method == http.MethodGet {
				return false
			}
			w.WriteHeader(code)
			io.WriteString(w, body)
			return true
		}
	}
	says := func(text string) func(int) string { return func(int) string { return text } }
	output := func(text string) func(int) string { return says(`{"outputs": [{"name": "y", ` + text + `}]}`) }
	t.Setenv("NNID_OIP_TOKEN", "s3cret")
	for want, c := range map[string]struct {
		*server
		options []string
	}{
		`status 400 (Bad Request): "bad tensor"`:           {&server{before: status(400, `{"error": "bad tensor"}`)}, nil},
		`status 422 (Unprocessable Entity): "[{\"a\":1}]"`: {&server{before: status(422, `{"detail": [{"a":1}]}`)}, nil},
		`NNID_OIP_TOKEN does not do`:                       {&server{before: status(401, `no, not *** s3cret`)}, nil},
		`status 404 (Not Found): "no such model"; check`:   {&server{}, []string{"model=other"}},
		`status 500 (Internal Server Error): "boom boom"`:  {&server{before: status(500, "boom\n  boom")}, nil},
		`status 503`:                {&server{before: status(503, "")}, nil},
		"even one row is too large": {&server{before: status(413, "")}, nil},
		"it redirects to http": {&server{before: func(w http.ResponseWriter, r *http.Request, _ int64) bool {
			http.Redirect(w, r, "/login", http.StatusFound)
			return true
		}}, nil},
		"its metadata is not the JSON":         {&server{metadata: "<html>"}, nil},
		"a tensor has no name":                 {&server{metadata: `{"inputs": [{}]}`}, nil},
		`how many columns its input "a" takes`: {&server{metadata: `{"inputs": [{"name": "a"}, {"name": "b"}]}`}, nil},
		`has no input "c"; it has: a, b`:       {&server{metadata: `{"inputs": [{"name": "a"}, {"name": "b"}]}`}, []string{"input-name=a,c"}},
		"outputs a, b: choose one":             {&server{metadata: `{"outputs": [{"name": "a"}, {"name": "b"}]}`}, nil},
		`no output "z"; it has: y`:             {&server{}, []string{"output-name=z"}},
		"takes the data type BYTES":            {&server{metadata: strings.Replace(fullMetadata, "FP64", "BYTES", 1)}, nil},
		`output "y" has the data type "INT64"`: {&server{metadata: `{"outputs": [{"name": "y", "datatype": "INT64"}]}`}, nil},
		"contradicts":                          {&server{}, []string{"inputs=4"}},
		"it begins \"<html>\"":                 {&server{answer: says("<html>")}, nil},
		"holds NaN":                            {&server{answer: output(`"datatype": "FP64", "shape": [2, 1], "data": [NaN, 1]`)}, nil},
		"holds Infinity":                       {&server{answer: output(`"datatype": "FP64", "shape": [2, 1], "data": [-Infinity, 1]`)}, nil},
		"has null for value 1":                 {&server{answer: output(`"datatype": "FP64", "shape": [2, 1], "data": [1, null]`)}, nil},
		"other than numbers as value 0":        {&server{answer: output(`"datatype": "FP64", "shape": [2, 1], "data": ["1", 2]`)}, nil},
		"too large for FP64":                   {&server{answer: output(`"datatype": "FP64", "shape": [2, 1], "data": [1e999, 2]`)}, nil},
		"row 1 that is too large for FP32":     {&server{answer: output(`"datatype": "FP32", "shape": [2, 1], "data": [1, 1e99]`)}, nil},
		"no array of data":                     {&server{answer: output(`"datatype": "FP64", "shape": [2, 1]`)}, nil},
		"has the shape [3 1]; its first":       {&server{answer: output(`"datatype": "FP64", "shape": [3, 1], "data": [1, 2, 3]`)}, nil},
		"has the shape []":                     {&server{answer: output(`"datatype": "FP64", "data": [1, 2]`)}, nil},
		"has 3 values for the shape [2 2]":     {&server{answer: output(`"datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3]`)}, nil},
		"has 4 values for the shape [2 1]":     {&server{answer: output(`"datatype": "FP64", "shape": [2, 1], "data": [1, 2, 3, 4]`)}, nil},
		"has 2 values for the shape [2 -1]":    {&server{answer: output(`"datatype": "FP64", "shape": [2, -1], "data": [1, 2]`)}, nil},
		`has the data type "INT64"`:            {&server{answer: output(`"datatype": "INT64", "shape": [2, 1], "data": [1, 2]`)}, nil},
		"has no outputs":                       {&server{answer: says(`{"error": "x"}`)}, nil},
		"1 outputs a row; its metadata says 2": {&server{answer: output(`"datatype": "FP64", "shape": [2, 1], "data": [1, 2]`)}, nil},
		`has no output "y"; it has: q`:         {&server{answer: says(`{"outputs": [{"name": "q"}]}`)}, nil},
		"has the outputs p, q":                 {&server{metadata: "{}", answer: says(`{"outputs": [{"name": "p"}, {"name": "q"}]}`)}, nil},
		"within the timeout of 50ms":           {&server{before: func(_ http.ResponseWriter, r *http.Request, _ int64) bool { <-r.Context().Done(); return true }}, []string{"timeout=50ms"}},
	} {
		t.Run(want, func(t *testing.T) {
			o := connect(t, start(t, c.server), c.options...)
			_, err := query(t.Context(), o)
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			if !strings.Contains(text, want) {
				t.Errorf("got: %v", err)
			}
			if !strings.Contains(text, "127.0.0.1") || strings.ContainsAny(text, "\n") || strings.Contains(text, "s3cret") || fault.Is(err, fault.Internal) {
				t.Errorf("the error must be one line with the address and without the token, and of a kind: %q", text)
			}
		})
	}
}

func TestServerAway(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	listener.Close()
	_, err = query(t.Context(), connect(t, address))
	if !fault.Is(err, fault.Oracle) || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), "is the server running?") {
		t.Errorf("refused: %v", err)
	}
	_, err = query(t.Context(), connect(t, "http://no-such-host.invalid", "retries=0"))
	if !fault.Is(err, fault.Oracle) || !strings.Contains(err.Error(), "no-such-host.invalid") {
		t.Errorf("no host: %v", err)
	}
}

func TestTLS(t *testing.T) {
	h := httptest.NewUnstartedServer(&server{})
	h.Config.ErrorLog = nil
	h.StartTLS()
	defer h.Close()
	if _, err := query(t.Context(), connect(t, h.URL)); err == nil || !strings.Contains(err.Error(), "ca-file") {
		t.Errorf("an unknown authority: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := query(t.Context(), connect(t, h.URL, "ca-file="+file)); err != nil {
		t.Error(err)
	}
}

// What is worth repeating is repeated, so many times and no more.
func TestRepetition(t *testing.T) {
	hijack := func(w http.ResponseWriter) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			connection.Close()
		}
	}
	for name, fail := range map[string]func(http.ResponseWriter){
		"broken connection": hijack,
		"half an answer": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"outputs": [`)
		},
		"503": func(w http.ResponseWriter) { w.Header().Set("Retry-After", "0"); w.WriteHeader(503) },
		"429": func(w http.ResponseWriter) { w.WriteHeader(429) },
	} {
		s := &server{before: func(w http.ResponseWriter, r *http.Request, call int64) bool {
			if call == 2 || call == 3 { // the first two inferences
				fail(w)
				return true
			}
			return false
		}}
		if _, err := query(t.Context(), connect(t, start(t, s))); err != nil || s.calls.Load() != 4 {
			t.Errorf("%s: %v after %d calls", name, err, s.calls.Load())
		}
		always := &server{before: func(w http.ResponseWriter, _ *http.Request, _ int64) bool { fail(w); return true }}
		if _, err := query(t.Context(), connect(t, start(t, always), "retries=2")); err == nil || always.calls.Load() < 3 || always.calls.Load() > 6 {
			t.Errorf("%s: %v after %d calls", name, err, always.calls.Load()) // Go's client itself repeats a GET on a reused connection
		}
	}
	never := &server{before: func(w http.ResponseWriter, _ *http.Request, _ int64) bool { w.WriteHeader(500); return true }}
	if _, err := query(t.Context(), connect(t, start(t, never))); err == nil || never.calls.Load() != 1 {
		t.Errorf("500: %v after %d calls", err, never.calls.Load())
	}
}

func TestCancellation(t *testing.T) {
	s := &server{before: func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(503)
		return true
	}}
	o := connect(t, start(t, s))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := query(ctx, o); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
}

func TestLearnsTheBatch(t *testing.T) {
	s := &server{most: 7}
	o := connect(t, start(t, s))
	x := mat.NewDense(50, 3, nil)
	for i := range 50 {
		x.Set(i, 0, float64(i))
	}
	y, err := o.Query(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if y.At(i, 0) != float64(i) {
			t.Fatalf("row %d is %g", i, y.At(i, 0))
		}
	}
	calls := s.calls.Load()
	if _, err := o.Query(t.Context(), mat.NewDense(6, 3, nil)); err != nil || s.calls.Load() != calls+1 {
		t.Errorf("%v after %d more calls", err, s.calls.Load()-calls)
	}
}

func TestVersionChange(t *testing.T) {
	s := &server{}
	s.answer = func(int) string {
		return fmt.Sprintf(`{"model_version": "%d", "outputs": [{"name": "y", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}]}`, s.calls.Load())
	}
	o := connect(t, start(t, s))
	if _, err := query(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := query(t.Context(), o); err == nil || !strings.Contains(err.Error(), "changed from version") {
		t.Errorf("got %v", err)
	}
}

func TestReadAllIsBounded(t *testing.T) {
	if _, err := readAll(strings.NewReader("12345"), 4); !errors.Is(err, errLimit) {
		t.Errorf("5 bytes of 4: %v", err)
	}
	if body, err := readAll(strings.NewReader("1234"), 4); err != nil || string(body) != "1234" {
		t.Errorf("4 bytes of 4: %q, %v", body, err)
	}
}

// FuzzDecodeAnswer: whatever the server says, the answer has rows x columns finite numbers or is an error.
func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(`{"outputs": [{"name": "y", "datatype": "FP64", "shape": [2, 1], "data": [[1], [-2.5e-3]]}]}`), "y", 2)
	f.Add([]byte(`{"model_version": "3", "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3e38]}]}`), "", 1)
	f.Add([]byte(`{"outputs": [{"shape": [9223372036854775807, 4], "data": [null, NaN]}]}`), "", 3)
	f.Fuzz(func(t *testing.T, body []byte, name string, rows int) {
		if rows < 1 || rows > 1<<20 {
			return // encode has at least one row
		}
		a, err := decodeAnswer(body, splitNames(name), rows)
		if err != nil {
			return
		}
		if a.columns < 1 || len(a.values) != rows*a.columns {
			t.Fatalf("%d values for %d x %d", len(a.values), rows, a.columns)
		}
		for _, v := range a.values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("the value %g", v)
			}
		}
	})
}

func FuzzDecodeMetadata(f *testing.F) {
	f.Add([]byte(fullMetadata))
	f.Add([]byte(`{"inputs": [{"name": "x", "shape": [-1, 9223372036854775807, 9]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decodeMetadata(body)
		if err != nil {
			return
		}
		for _, x := range append(m.Inputs, m.Outputs...) {
			if width(x.Shape) < 0 {
				t.Fatalf("width of %v is negative", x.Shape)
			}
		}
	})
}
