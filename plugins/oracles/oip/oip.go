// Package oip is an oracle that asks a model server by the Open Inference Protocol (V2), as MLServer, Triton, KServe and
// OpenVINO Model Server speak it: over REST where the address begins with http:// or https://, over gRPC where it begins with
// grpc:// or grpcs://.
//
// It reads the model's metadata once and infers, over REST in JSON with numbers that round-trip exactly, over gRPC in raw
// binary. Servers may leave inputs and outputs out of the metadata, as MLServer does: then the input is named "input-0", the
// data type is FP64, the only output answered is taken, and the option inputs says what d is; so too where a server has no
// metadata at all. Requests are repeated, a few times and with pauses, when the server could not be reached or says that it
// is overloaded; inference has no effect on the server, so that this is safe. A server that finds a request too large, or
// takes one row at a time, is asked in smaller batches from then on (narrow.go).
package oip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
)

const (
	defaultInput = "input-0"
	// requestValues bounds the numbers of one request, about 5 MB of JSON.
	requestValues = 1 << 18
	// retryPause is the longest pause before a repetition, whatever the server asks for.
	retryPause = 30 * time.Second
)

// firstPause is a variable for the tests alone.
var firstPause = 250 * time.Millisecond

// Factory makes the oracle "oip".
var Factory = core.OracleFactory{
	Component: core.Component{
		Name:      "oip",
		Summary:   "asks a model server by the Open Inference Protocol (V2, REST or gRPC)",
		Reference: "Open Inference Protocol, specification/protocol/inference_rest.md and inference_grpc.md",
		Options: append([]core.Option{
			{Name: "url", Usage: "address of the server, such as http://localhost:8080, without v2/, or grpc://localhost:8081; https and grpcs are encrypted", Required: true},
			{Name: "model", Usage: "name of the model", Required: true},
			{Name: "version", Usage: "version of the model; the server chooses when empty"},
			{Name: "inputs", Usage: "d, for servers whose metadata does not say; 0 takes the metadata's", Default: "0"},
			{Name: "input-name", Usage: "name of the input tensor, or of several in the order of a row's columns, with commas between; the metadata's, or else " + defaultInput},
			{Name: "output-name", Usage: "name of the output tensor, or of several, whose values follow each other; needed when there are several"},
			{Name: "datatype", Usage: "FP64 or FP32; the metadata's, or else FP64"},
			{Name: "timeout", Usage: "longest time for one request, such as 30s", Default: "60s"},
			{Name: "retries", Usage: "repetitions of a request that the server could not take", Default: "4"},
			{Name: "max-batch", Usage: "most rows of a query; 0 is no limit", Default: "0"},
		}, securityOptions...),
	},
	Open: open,
}

// backend is what both transports know of the server.
type backend struct {
	model, modelVersion string
	address             string // of the model, for people and for the journal
	timeout             time.Duration
	retries             int
	security            *security
}

// transport puts the two requests of the protocol.
type transport interface {
	// metadata returns a noMetadataError where the server has none, of this model or at all.
	metadata(ctx context.Context) (*metadata, error)
	// infer returns a tooLargeError where fewer rows might do, and a refusedError where it does not like the request.
	infer(ctx context.Context, t *tensors, x *mat.Dense, shape []int) (*answer, error)
	close() error
}

type oracle struct {
	*backend
	transport transport
	options   core.Options
	inputs    int
	datatype  core.DType // "" takes the metadata's
	maxBatch  int

	mu      sync.Mutex // of what the server has told
	tensors *tensors
	version string

	rows   atomic.Int64 // most rows of a request, learnt from the server; 0 when it has not complained
	vector atomic.Bool  // whether a row is sent without a dimension for the batch, learnt from the server
}

// tensors are the inputs and the outputs used.
type tensors struct {
	inputs  []part
	outputs []string // none when the metadata does not say
	single  bool     // by the metadata, a request has one row,
	flat    bool     // and no dimension for a batch either
	info    core.OracleInfo
}

// part is an input tensor: some of a row's columns, in their order.
type part struct {
	name     string
	width    int // columns; 0, of the only one: all
	datatype core.DType
}

func open(options core.Options) (core.Oracle, error) {
	address, err := parseURL(options["url"])
	if err != nil {
		return nil, err
	}
	b := &backend{model: options["model"], modelVersion: options["version"]}
	o := &oracle{backend: b, options: options}
	if b.model == "" || b.model == "." || b.model == ".." {
		return nil, fault.New(fault.Usage, "option model=%q does not name a model", b.model)
	}
	if o.inputs, err = options.Int("inputs", 0); err != nil {
		return nil, err
	}
	if o.maxBatch, err = options.Int("max-batch", 0); err != nil {
		return nil, err
	}
	if b.retries, err = options.Int("retries", 0); err != nil {
		return nil, err
	}
	if b.timeout, err = time.ParseDuration(options["timeout"]); err != nil || b.timeout <= 0 {
		return nil, fault.New(fault.Usage, "option timeout=%q must be a duration such as 30s", options["timeout"])
	}
	switch o.datatype = core.DType(options["datatype"]); o.datatype {
	case "", core.FP64, core.FP32:
	default:
		return nil, fault.New(fault.Usage, "option datatype=%q must be FP64 or FP32", options["datatype"])
	}
	if b.security, err = newSecurity(options); err != nil {
		return nil, err
	}
	if strings.HasPrefix(address.Scheme, "grpc") {
		o.transport, err = newGRPC(b, address)
	} else {
		o.transport = newREST(b, address)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

func parseURL(text string) (*url.URL, error) {
	address, err := url.Parse(text)
	switch {
	case err != nil:
		// The parser's error quotes the address, which may hold a password.
		return nil, fault.New(fault.Usage, "option url is not an address; it looks like http://localhost:8080 or grpc://localhost:8081")
	case address.User != nil:
		return nil, fault.New(fault.Usage, "option url holds a name or a password; put a bearer token into the environment variable named by token-env, or into a file named by token-file, instead")
	case address.RawQuery != "" || address.Fragment != "":
		return nil, fault.New(fault.Usage, "option url has a query or a fragment; it looks like http://localhost:8080 or grpc://localhost:8081")
	}
	switch address.Scheme {
	case "http", "https":
		if address.Host == "" {
			return nil, fault.New(fault.Usage, "option url=%q must name a host", text)
		}
	case "grpc", "grpcs":
		if address.Hostname() == "" || address.Port() == "" || strings.Trim(address.Path, "/") != "" {
			return nil, fault.New(fault.Usage, "option url=%q must be %s://HOST:PORT and no more", text, address.Scheme)
		}
	default:
		return nil, fault.New(fault.Usage, "option url=%q must begin with http://, https://, grpc:// or grpcs:// and name a host", text)
	}
	return address, nil
}

// Close implements [core.Oracle].
func (o *oracle) Close() error { return o.transport.close() }

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
	m, err := o.transport.metadata(ctx)
	if _, ok := errors.AsType[noMetadataError](err); ok {
		if o.inputs == 0 {
			return nil, fault.New(fault.Oracle, "%w; if the server does not describe its models, give the option inputs", err)
		}
		sdk.Logger().Info("the model server does not describe the model; asking by the options given", "model", o.address)
		m, err = &metadata{}, nil
	}
	if err != nil {
		return nil, err
	}
	t, err := o.choose(m)
	if err != nil {
		return nil, err
	}
	o.tensors = t
	return t, nil
}

// choose settles on the inputs, the outputs and the data types, from the options and the metadata.
func (o *oracle) choose(m *metadata) (*tensors, error) {
	t := &tensors{info: core.OracleInfo{Inputs: o.inputs, MaxBatch: o.maxBatch, Model: o.address}}
	inputs, err := o.pick("input", splitNames(o.options["input-name"]), m.Inputs)
	if err != nil {
		return nil, err
	}
	outputs, err := o.pick("output", splitNames(o.options["output-name"]), m.Outputs)
	if err != nil {
		return nil, err
	}
	if len(inputs) == 0 {
		if names := splitNames(o.options["input-name"]); len(names) > 1 {
			return nil, fault.New(fault.Unsupported, "%s does not describe its inputs %s: how many columns each of them takes is not known", o, strings.Join(names, ", "))
		}
		inputs = []tensor{{Name: cmp.Or(o.options["input-name"], defaultInput)}}
	}
	if err := o.takes(t, inputs); err != nil {
		return nil, err
	}
	if len(outputs) == 0 {
		t.outputs = splitNames(o.options["output-name"])
	}
	for _, output := range outputs {
		t.outputs = append(t.outputs, output.Name)
		if err := checkDatatype(output.Datatype); err != nil && output.Datatype != "" {
			return nil, fault.New(fault.Unsupported, "%s: its output %q %w", o, output.Name, err)
		}
		if output.Datatype == string(core.FP32) {
			t.info.DType = core.FP32 // the coarser of all is what differences of answers see
		}
	}
	for _, output := range outputs {
		w := width(output.Shape)
		if w == 0 {
			t.info.Outputs = 0
			break
		}
		t.info.Outputs += w
	}
	return t, nil
}

// takes settles on the parts of a row that the inputs take.
func (o *oracle) takes(t *tensors, inputs []tensor) error {
	total := 0
	t.info.DType = core.FP64
	t.flat = true
	for _, input := range inputs {
		p := part{name: input.Name, datatype: o.datatype}
		if p.datatype == "" {
			p.datatype = core.DType(input.Datatype)
		}
		switch p.datatype {
		case "":
			p.datatype = core.FP64
		case core.FP64, core.FP32:
		default:
			return fault.New(fault.Unsupported, "%s takes the data type %s for its input %q; nnid can ask in FP64 and FP32 only (if it takes one of these, say so with the option datatype)", o, p.datatype, input.Name)
		}
		if p.datatype == core.FP32 {
			t.info.DType = core.FP32
		}
		single, flat := oneRow(input.Shape)
		t.single, t.flat = t.single || single, t.flat && flat
		p.width = width(input.Shape)
		if flat {
			p.width = width([]int64{1, input.Shape[0]})
		}
		if p.width == 0 && len(inputs) > 1 {
			return fault.New(fault.Unsupported, "%s does not say how many columns its input %q takes: with several inputs, the metadata must", o, input.Name)
		}
		total += p.width
		t.inputs = append(t.inputs, p)
	}
	switch {
	case o.inputs == 0:
		t.info.Inputs = total
	case total != 0 && total != o.inputs && len(inputs) == 1:
		return fault.New(fault.Usage, "option inputs=%d contradicts %s, whose input %q has %d: leave the option out", o.inputs, o, inputs[0].Name, total)
	case total != 0 && total != o.inputs:
		return fault.New(fault.Usage, "option inputs=%d contradicts %s, whose %d inputs have %d: leave the option out", o.inputs, o, len(inputs), total)
	}
	return nil
}

// splitNames reads a list of tensors' names.
func splitNames(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// pick returns the tensors of the given names, in that order. Without names it returns the only one or, of inputs, which a request has to have, all;
// none when the metadata has none.
func (o *oracle) pick(kind string, names []string, among []tensor) ([]tensor, error) {
	if len(among) == 0 {
		return nil, nil
	}
	var known []string
	for _, t := range among {
		known = append(known, t.Name)
	}
	if len(names) == 0 {
		if kind == "output" && len(among) > 1 {
			return nil, fault.New(fault.Usage, "%s has the outputs %s: choose one, or several with commas between them, with the option output-name", o, strings.Join(known, ", "))
		}
		return among, nil
	}
	if slices.Contains(known, strings.Join(names, ",")) { // a name may have commas
		names = []string{strings.Join(names, ",")}
	}
	var picked []tensor
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, fault.New(fault.Usage, "%s has no %s %q; it has: %s", o, kind, name, strings.Join(known, ", "))
		}
		picked = append(picked, among[i])
	}
	return picked, nil
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
		shape := []int{count, columns}
		if o.vector.Load() {
			count, shape = 1, []int{columns}
		}
		a, err := o.transport.infer(ctx, t, x.Slice(from, from+count, 0, columns).(*mat.Dense), shape)
		if o.narrow(t, shape, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := o.sameVersion(a.version); err != nil {
			return nil, err
		}
		if from > 0 && a.columns != outputs {
			return nil, o.fault("it answered %d outputs a row, and %d before", a.columns, outputs)
		}
		outputs = a.columns
		y = append(y, a.values...)
		from += count
	}
	if t.info.Outputs > 0 && outputs != t.info.Outputs {
		return nil, o.fault("it answered %d outputs a row; its metadata says %d", outputs, t.info.Outputs)
	}
	return mat.NewDense(rows, outputs, y), nil
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

// String names the model and the server in errors.
func (b *backend) String() string { return fmt.Sprintf("the model %q at %s", b.model, b.address) }

func (b *backend) fault(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return fault.New(fault.Oracle, "%s cannot be used: %w", b, err)
}

func (b *backend) logRepetition(attempt int) {
	sdk.Logger().Warn("the model server could not take the request; asking again", "model", b.address, "repetition", attempt)
}

// pause waits before a repetition, the longer the more there were.
func pause(ctx context.Context, attempt int) error {
	timer := time.NewTimer(min(firstPause<<min(attempt, 20), retryPause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// quote returns the beginning of what the server said, on one line; never the token, should the server echo it.
func (b *backend) quote(text string) string {
	if b.security.token != "" {
		text = strings.ReplaceAll(text, b.security.token, "***")
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
