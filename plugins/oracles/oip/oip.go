// Package oip is an oracle that asks a model server by the Open Inference Protocol (V2) over REST, as MLServer, Triton,
// KServe and OpenVINO Model Server speak it.
//
// It reads the model's metadata once (GET v2/models/MODEL) and infers with POST v2/models/MODEL/infer, JSON with numbers
// that round-trip exactly. Servers may leave inputs and outputs out of the metadata, as MLServer does: then the input is
// named "input-0", the data type is FP64, the only output answered is taken, and the option inputs says what d is.
// Requests are repeated, a few times and with pauses, when the server could not be reached or says that it is
// overloaded; inference has no effect on the server, so that this is safe. A server that finds a request too large
// (status 413) is asked in smaller batches from then on.
package oip

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-retryablehttp"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
)

const (
	defaultInput = "input-0"
	// requestValues bounds the numbers of one request, about 5 MB of JSON.
	requestValues = 1 << 18
	// retryPause is the longest pause before a repetition, whatever the server's Retry-After says.
	retryPause = 30 * time.Second
)

// firstPause is a variable for the tests alone.
var firstPause = 250 * time.Millisecond

// Factory makes the oracle "oip".
var Factory = core.OracleFactory{
	Component: core.Component{
		Name:      "oip",
		Summary:   "asks a model server by the Open Inference Protocol (V2, REST)",
		Reference: "Open Inference Protocol, specification/protocol/inference_rest.md",
		Options: []core.Option{
			{Name: "url", Usage: "address of the server, such as http://localhost:8080, without v2/", Required: true},
			{Name: "model", Usage: "name of the model", Required: true},
			{Name: "version", Usage: "version of the model; the server chooses when empty"},
			{Name: "inputs", Usage: "d, for servers whose metadata does not say; 0 takes the metadata's", Default: "0"},
			{Name: "input-name", Usage: "name of the input tensor; the metadata's, or else " + defaultInput},
			{Name: "output-name", Usage: "name of the output tensor; needed when there are several"},
			{Name: "datatype", Usage: "FP64 or FP32; the metadata's, or else FP64"},
			{Name: "timeout", Usage: "longest time for one request, such as 30s", Default: "60s"},
			{Name: "retries", Usage: "repetitions of a request that the server could not take", Default: "4"},
			{Name: "max-batch", Usage: "most rows of a query; 0 is no limit", Default: "0"},
			{Name: "token-env", Usage: "name of the environment variable that holds a bearer token, if there is one; a name that does not begin with NNID_ needs --pass-env too", Default: "NNID_OIP_TOKEN"},
			{Name: "ca-file", Usage: "PEM file of the authorities to trust; the system's when empty"},
		},
	},
	Open: open,
}

type oracle struct {
	base     *url.URL // .../v2/models/MODEL[/versions/VERSION]
	model    string
	options  core.Options
	inputs   int
	datatype core.DType // "" takes the metadata's
	maxBatch int
	token    string
	client   *retryablehttp.Client

	mu      sync.Mutex // of what the server has told
	tensors *tensors
	version string

	rows atomic.Int64 // most rows of a request, learnt from the server; 0 when it has not complained
}

// tensors are the input and the output used.
type tensors struct {
	input, output string // output is "" when the metadata does not say
	datatype      core.DType
	info          core.OracleInfo
}

func open(options core.Options) (core.Oracle, error) {
	o := &oracle{options: options, model: options["model"]}
	base, err := url.Parse(options["url"])
	switch {
	case err != nil:
		// The parser's error quotes the address, which may hold a password.
		return nil, fault.New(fault.Usage, "option url is not an address; it looks like http://localhost:8080")
	case base.User != nil:
		return nil, fault.New(fault.Usage, "option url holds a name or a password; put a bearer token into the environment variable named by token-env instead")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fault.New(fault.Usage, "option url has a query or a fragment; it looks like http://localhost:8080")
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fault.New(fault.Usage, "option url=%q must begin with http:// or https:// and name a host", options["url"])
	case o.model == "" || o.model == "." || o.model == "..":
		return nil, fault.New(fault.Usage, "option model=%q does not name a model", o.model)
	}
	path := []string{"v2", "models", url.PathEscape(o.model)}
	if strings.HasSuffix(strings.TrimRight(base.Path, "/"), "/v2") {
		path = path[1:]
	}
	if v := options["version"]; v != "" {
		path = append(path, "versions", url.PathEscape(v))
	}
	o.base = base.JoinPath(path...)

	if o.inputs, err = options.Int("inputs", 0); err != nil {
		return nil, err
	}
	if o.maxBatch, err = options.Int("max-batch", 0); err != nil {
		return nil, err
	}
	retries, err := options.Int("retries", 0)
	if err != nil {
		return nil, err
	}
	timeout, err := time.ParseDuration(options["timeout"])
	if err != nil || timeout <= 0 {
		return nil, fault.New(fault.Usage, "option timeout=%q must be a duration such as 30s", options["timeout"])
	}
	switch o.datatype = core.DType(options["datatype"]); o.datatype {
	case "", core.FP64, core.FP32:
	default:
		return nil, fault.New(fault.Usage, "option datatype=%q must be FP64 or FP32", options["datatype"])
	}
	if name := options["token-env"]; name != "" {
		o.token = strings.TrimSpace(os.Getenv(name))
	}

	transport := cleanhttp.DefaultPooledTransport()
	if file := options["ca-file"]; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			if cause := errors.Unwrap(err); cause != nil {
				err = cause
			}
			return nil, fault.New(fault.Usage, "the ca-file %s cannot be read: %w", file, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fault.New(fault.Usage, "the ca-file %s holds no certificate in PEM", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	o.client = retryablehttp.NewClient()
	o.client.HTTPClient = &http.Client{
		Transport: transport,
		Timeout:   timeout,
		// A redirected POST may lose its body or its method; the user had better give the right address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	o.client.RetryMax, o.client.RetryWaitMin, o.client.RetryWaitMax = retries, firstPause, retryPause
	o.client.CheckRetry = retry
	o.client.Backoff = func(low, high time.Duration, attempt int, response *http.Response) time.Duration {
		return min(retryablehttp.DefaultBackoff(low, high, attempt, response), high) // Retry-After included
	}
	o.client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	o.client.Logger = nil // the library's own lines name neither the model nor the remedy
	o.client.RequestLogHook = func(_ retryablehttp.Logger, request *http.Request, attempt int) {
		if attempt > 0 {
			sdk.Logger().Warn("the model server could not take the request; asking again", "url", request.URL.String(), "repetition", attempt)
		}
	}
	return o, nil
}

// retry says whether to ask again: when the connection was refused, or broke before the answer, or the server says
// that it could not take the request for the moment. Timeouts are not repeated: the server is likely still at work.
func retry(ctx context.Context, response *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return false, err
		}
		if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.IsTemporary {
			return false, err
		}
		if _, ok := errors.AsType[*net.OpError](err); ok {
			var verification *tls.CertificateVerificationError
			return !errors.As(err, &verification), nil
		}
		return errors.Is(err, errEOF), nil
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

func (o *oracle) Close() error {
	o.client.HTTPClient.CloseIdleConnections()
	return nil
}

// Info asks for the model's metadata, the first time only.
func (o *oracle) Info(ctx context.Context) (core.OracleInfo, error) {
	t, err := o.describe(ctx)
	if err != nil {
		return core.OracleInfo{}, err
	}
	return t.info, nil
}

func (o *oracle) describe(ctx context.Context) (*tensors, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tensors != nil {
		return o.tensors, nil
	}
	body, status, err := o.do(ctx, http.MethodGet, "", nil, metadataLimit)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, o.refused(status, body)
	}
	m, err := decodeMetadata(body)
	if err != nil {
		return nil, o.fault("its metadata is %w", err)
	}
	t, err := o.choose(m)
	if err != nil {
		return nil, err
	}
	o.tensors = t
	return t, nil
}

// choose settles on the input, the output and the data type, from the options and the metadata.
func (o *oracle) choose(m *metadata) (*tensors, error) {
	t := &tensors{input: o.options["input-name"], output: o.options["output-name"], datatype: o.datatype}
	input, err := o.pick("input", t.input, m.Inputs)
	if err != nil {
		return nil, err
	}
	output, err := o.pick("output", t.output, m.Outputs)
	if err != nil {
		return nil, err
	}
	t.info = core.OracleInfo{Inputs: o.inputs, MaxBatch: o.maxBatch, Model: o.base.String()}
	if input != nil {
		t.input = input.Name
		if t.datatype == "" {
			t.datatype = core.DType(input.Datatype)
		}
		d := width(input.Shape)
		switch {
		case o.inputs == 0:
			t.info.Inputs = d
		case d != 0 && d != o.inputs:
			return nil, fault.New(fault.Usage, "option inputs=%d contradicts %s, whose input %q has %d: leave the option out", o.inputs, o, input.Name, d)
		}
	}
	if t.input == "" {
		t.input = defaultInput
	}
	switch t.datatype {
	case "":
		t.datatype = core.FP64
	case core.FP64, core.FP32:
	default:
		return nil, fault.New(fault.Unsupported, "%s takes the data type %s; nnid can ask in FP64 and FP32 only (if it takes one of these, say so with the option datatype)", o, t.datatype)
	}
	t.info.DType = t.datatype
	if output != nil {
		t.output = output.Name
		if err := checkDatatype(output.Datatype); err != nil && output.Datatype != "" {
			return nil, fault.New(fault.Unsupported, "%s: its output %q %w", o, output.Name, err)
		}
		t.info.Outputs = width(output.Shape)
		if output.Datatype == string(core.FP32) {
			t.info.DType = core.FP32 // the coarser of the two is what differences of answers see
		}
	}
	return t, nil
}

// pick returns the tensor of the given name, or the only one; nil when the metadata has none.
func (o *oracle) pick(kind, name string, among []tensor) (*tensor, error) {
	if len(among) == 0 {
		return nil, nil
	}
	names := make([]string, len(among))
	for i := range among {
		names[i] = among[i].Name
		if names[i] == name || name == "" && len(among) == 1 {
			return &among[i], nil
		}
	}
	if name == "" {
		if kind == "input" {
			return nil, fault.New(fault.Unsupported, "%s has the inputs %s; a model with one input is needed", o, strings.Join(names, ", "))
		}
		return nil, fault.New(fault.Usage, "%s has the outputs %s: choose one with the option output-name", o, strings.Join(names, ", "))
	}
	return nil, fault.New(fault.Usage, "%s has no %s %q; it has: %s", o, kind, name, strings.Join(names, ", "))
}

// width is the number of values a row of a tensor of the given shape has; 0 when it is not known. The first dimension
// is the batch.
func width(shape []int64) int {
	if len(shape) < 2 {
		return 0
	}
	w := int64(1)
	for _, n := range shape[1:] {
		if n <= 0 || n > math.MaxInt32 || w > math.MaxInt32 {
			return 0
		}
		w *= n
	}
	if w > math.MaxInt32 {
		return 0
	}
	return int(w)
}

// Query asks the server, in as many requests as it needs.
func (o *oracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if x == nil || x.IsEmpty() {
		return &mat.Dense{}, nil
	}
	t, err := o.describe(ctx)
	if err != nil {
		return nil, err
	}
	rows, columns := x.Dims()
	switch {
	case t.info.Inputs > 0 && columns != t.info.Inputs:
		return nil, fault.New(fault.Usage, "%s has %d inputs but the query has %d columns", o, t.info.Inputs, columns)
	case o.maxBatch > 0 && rows > o.maxBatch:
		return nil, fault.New(fault.Usage, "the query has %d rows; max-batch is %d", rows, o.maxBatch)
	}
	var y []float64
	outputs := 0
	for from := 0; from < rows; {
		count := min(rows-from, max(1, requestValues/columns))
		if learnt := int(o.rows.Load()); learnt > 0 {
			count = min(count, learnt)
		}
		part, width, err := o.infer(ctx, t, x.Slice(from, from+count, 0, columns).(*mat.Dense))
		if _, ok := errors.AsType[tooLargeError](err); ok && count > 1 {
			o.rows.Store(int64(count / 2))
			sdk.Logger().Info("the model server finds the request too large; asking in smaller ones", "url", o.base.String(), "rows", count/2)
			continue
		}
		if err != nil {
			return nil, err
		}
		if from > 0 && width != outputs {
			return nil, o.fault("it answered %d outputs a row, and %d before", width, outputs)
		}
		outputs = width
		y = append(y, part...)
		from += count
	}
	if t.info.Outputs > 0 && outputs != t.info.Outputs {
		return nil, o.fault("it answered %d outputs a row; its metadata says %d", outputs, t.info.Outputs)
	}
	return mat.NewDense(rows, outputs, y), nil
}

// tooLargeError is status 413.
type tooLargeError struct{ error }

func (e tooLargeError) Unwrap() error { return e.error }

// infer makes one request.
func (o *oracle) infer(ctx context.Context, t *tensors, x *mat.Dense) ([]float64, int, error) {
	request, err := encode(t, x)
	if err != nil {
		return nil, 0, fault.New(fault.Usage, "%s cannot be asked: %w", o, err)
	}
	body, status, err := o.do(ctx, http.MethodPost, "infer", request, answerLimit)
	switch {
	case err != nil:
		return nil, 0, err
	case status == http.StatusRequestEntityTooLarge:
		return nil, 0, tooLargeError{o.refused(status, body)}
	case status != http.StatusOK:
		return nil, 0, o.refused(status, body)
	}
	rows, _ := x.Dims()
	a, err := decodeAnswer(body, t.output, rows)
	if err != nil {
		return nil, 0, o.fault("its answer to %d rows %w", rows, err)
	}
	if err := o.sameVersion(a.version); err != nil {
		return nil, 0, err
	}
	return a.values, a.columns, nil
}

// sameVersion refuses answers of two versions: they are two functions.
func (o *oracle) sameVersion(version string) error {
	if version == "" {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.version == "" {
		o.version = version
	}
	if o.version != version {
		return o.fault("it changed from version %q to version %q between queries: choose one with the option version", o.version, version)
	}
	return nil
}

// do makes one request, with repetitions, and reads the answer up to limit bytes.
func (o *oracle) do(ctx context.Context, method, path string, content []byte, limit int64) ([]byte, int, error) {
	target := o.base
	if path != "" {
		target = o.base.JoinPath(path)
	}
	var raw any
	if content != nil {
		raw = content
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, method, target.String(), raw)
	if err != nil {
		return nil, 0, o.fault("the request cannot be made: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if o.token != "" {
		request.Header.Set("Authorization", "Bearer "+o.token)
	}
	response, err := o.client.Do(request)
	if err != nil {
		if response != nil {
			_ = response.Body.Close()
		}
		return nil, 0, o.unreachable(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return nil, 0, o.fault("it redirects to %s: give the address it redirects to in the option url", redirected(response))
	}
	if response.StatusCode != http.StatusOK {
		limit = errorLimit
	}
	body, err := readAll(response.Body, limit)
	if response.StatusCode != http.StatusOK {
		return body, response.StatusCode, nil // what there is of the body is only quoted
	}
	if errors.Is(err, errLimit) {
		return nil, 0, o.fault("its answer is longer than %d MiB, which no answer needs", limit>>20)
	}
	if err != nil {
		return nil, 0, o.unreachable(ctx, err)
	}
	return body, response.StatusCode, nil
}

// String names the model and the server in errors.
func (o *oracle) String() string { return fmt.Sprintf("the model %q at %s", o.model, o.base) }

func (o *oracle) fault(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return fault.New(fault.Oracle, "%s cannot be used: %w", o, err)
}

// unreachable says why there is no answer.
func (o *oracle) unreachable(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the method and the address, which is named here already
	}
	var timeout net.Error
	var verification *tls.CertificateVerificationError
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS:
		return fault.New(fault.Oracle, "%s cannot be asked: the host %q is not found (%w); mend the option url", o, dns.Name, err)
	case errors.As(err, &verification):
		return fault.New(fault.Oracle, "%s cannot be asked: its certificate is not trusted (%w); name its authority with the option ca-file", o, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fault.New(fault.Oracle, "%s did not answer within the timeout of %s; raise the option timeout or lower max-batch", o, o.options["timeout"])
	}
	return fault.New(fault.Oracle, "%s cannot be asked: %w; is the server running?", o, err)
}

// refused says what the server said instead of an answer.
func (o *oracle) refused(status int, body []byte) error {
	remedy := ""
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		remedy = fmt.Sprintf("; set the environment variable %s to a bearer token that may use the model", o.options["token-env"])
		if o.token != "" {
			remedy = fmt.Sprintf("; the bearer token in the environment variable %s does not do", o.options["token-env"])
		}
		if o.options["token-env"] == "" {
			remedy = "; name an environment variable with a bearer token in the option token-env"
		}
	case http.StatusNotFound:
		remedy = "; check the options url, model and version"
	case http.StatusRequestEntityTooLarge:
		remedy = "; even one row is too large for it"
	}
	return fault.New(fault.Oracle, "%s answers with status %d (%s)%s%s", o, status, http.StatusText(status), o.quote(body), remedy)
}

// quote returns the beginning of an error's body, on one line; never the token, should the server echo it.
func (o *oracle) quote(body []byte) string {
	text := errorText(body)
	if o.token != "" {
		text = strings.ReplaceAll(text, o.token, "***")
	}
	if strings.HasPrefix(text, "Traceback (most recent call last)") {
		// Of what servers in Python answer to an exception, as MLServer does, the last line says what it was.
		lines := strings.Split(strings.TrimSpace(text), "\n")
		text = lines[len(lines)-1]
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if text == "" {
		return ""
	}
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return ": " + strconv.Quote(text)
}

func redirected(response *http.Response) string {
	location, err := response.Location()
	if err != nil {
		return "nowhere"
	}
	return location.Redacted()
}

// encode writes the request. Every number has the digits that make it come out the same, in the data type.
func encode(t *tensors, x *mat.Dense) ([]byte, error) {
	rows, columns := x.Dims()
	bits := 64
	if t.datatype == core.FP32 {
		bits = 32
	}
	var b bytes.Buffer
	b.Grow(64 + len(t.input) + 20*rows*columns)
	fmt.Fprintf(&b, `{"inputs":[{"name":%s,"shape":[%d,%d],"datatype":"%s","data":[`, quoteJSON(t.input), rows, columns, t.datatype)
	for i := range rows {
		for j, v := range x.RawRowView(i) {
			if i+j > 0 {
				b.WriteByte(',')
			}
			if bits == 32 {
				v = float64(float32(v))
			}
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("entry %d of row %d is not a finite %s", j, i, t.datatype)
			}
			b.Write(strconv.AppendFloat(b.AvailableBuffer(), v, 'g', -1, bits))
		}
	}
	b.WriteString("]}]")
	if t.output != "" {
		fmt.Fprintf(&b, `,"outputs":[{"name":%s}]`, quoteJSON(t.output))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
