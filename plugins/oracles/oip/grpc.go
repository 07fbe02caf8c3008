package oip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"

	"gonum.org/v1/gonum/mat"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/oracles/oip/inference"
)

// rpc speaks the protocol over gRPC, with tensors in raw binary.
type rpc struct {
	*backend
	connection *grpc.ClientConn
	client     inference.GRPCInferenceServiceClient
	encrypted  bool
}

func newGRPC(b *backend, address *url.URL) (*rpc, error) {
	r := &rpc{backend: b, encrypted: address.Scheme == "grpcs"}
	b.address = address.Scheme + "://" + address.Host + "/" + url.PathEscape(b.model)
	if b.modelVersion != "" {
		b.address += "/versions/" + url.PathEscape(b.modelVersion)
	}
	security := insecure.NewCredentials()
	if r.encrypted {
		security = credentials.NewTLS(b.security.tls)
	}
	var err error
	r.connection, err = grpc.NewClient("dns:///"+address.Host,
		grpc.WithTransportCredentials(security),
		grpc.WithDisableServiceConfig(), // what is repeated, and when, is decided here
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(answerLimit), grpc.MaxCallSendMsgSize(answerLimit)),
	)
	if err != nil {
		return nil, fault.New(fault.Usage, "option url=%q does not do: %w", address.String(), err)
	}
	r.client = inference.NewGRPCInferenceServiceClient(r.connection)
	return r, nil
}

func (r *rpc) close() error { return r.connection.Close() }

func (r *rpc) metadata(ctx context.Context) (*metadata, error) {
	var reply *inference.ModelMetadataResponse
	err := r.call(ctx, func(ctx context.Context) (err error) {
		reply, err = r.client.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: r.model, Version: r.modelVersion})
		return err
	})
	if err != nil {
		return nil, err
	}
	m := &metadata{Name: reply.GetName(), Inputs: describeTensors(reply.GetInputs()), Outputs: describeTensors(reply.GetOutputs())}
	if err := m.check(); err != nil {
		return nil, r.fault("its metadata is %w", err)
	}
	return m, nil
}

func describeTensors(tensors []*inference.ModelMetadataResponse_TensorMetadata) []tensor {
	described := make([]tensor, len(tensors))
	for i, t := range tensors {
		described[i] = tensor{Name: t.GetName(), Datatype: t.GetDatatype(), Shape: t.GetShape()}
	}
	return described
}

func (r *rpc) infer(ctx context.Context, t *tensors, x *mat.Dense, shape []int) (*answer, error) {
	rows, _ := x.Dims()
	request := &inference.ModelInferRequest{ModelName: r.model, ModelVersion: r.modelVersion}
	from := 0
	for _, p := range t.inputs {
		values, dimensions := p.of(x, from, shape)
		raw, err := encodeRaw(p.datatype, values)
		if err != nil {
			return nil, fault.New(fault.Usage, "%s cannot be asked: %w", r, err)
		}
		request.Inputs = append(request.Inputs, &inference.ModelInferRequest_InferInputTensor{Name: p.name, Datatype: string(p.datatype), Shape: int64s(dimensions)})
		request.RawInputContents = append(request.RawInputContents, raw)
		_, width := values.Dims()
		from += width
	}
	for _, name := range t.outputs {
		request.Outputs = append(request.Outputs, &inference.ModelInferRequest_InferRequestedOutputTensor{Name: name})
	}
	var reply *inference.ModelInferResponse
	err := r.call(ctx, func(ctx context.Context) (err error) {
		reply, err = r.client.ModelInfer(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	a, err := decodeReply(reply, t.outputs, rows)
	if err != nil {
		return nil, r.fault("its answer to %d rows %w", rows, err)
	}
	return a, nil
}

func int64s(shape []int) []int64 {
	wide := make([]int64, len(shape))
	for i, n := range shape {
		wide[i] = int64(n)
	}
	return wide
}

// encodeRaw is the tensor's contents, row by row, little-endian.
func encodeRaw(datatype core.DType, x *mat.Dense) ([]byte, error) {
	rows, columns := x.Dims()
	raw := make([]byte, 0, 8*rows*columns)
	for i := range rows {
		for j, v := range x.RawRowView(i) {
			if datatype == core.FP32 {
				v = float64(float32(v))
			}
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("entry %d of row %d is not a finite %s", j, i, datatype)
			}
			if datatype == core.FP32 {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
			} else {
				raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
			}
		}
	}
	return raw, nil
}

// decodeReply reads the answer to an inference, as decodeAnswer does over REST.
func decodeReply(reply *inference.ModelInferResponse, wanted []string, rows int) (*answer, error) {
	names := make([]string, len(reply.GetOutputs()))
	for i, t := range reply.GetOutputs() {
		names[i] = t.GetName()
	}
	chosen, err := chooseOutputs(names, wanted)
	if err != nil {
		return nil, err
	}
	a := &answer{version: reply.GetModelVersion()}
	for _, output := range chosen {
		values, err := replyValues(reply, output)
		if err != nil {
			return nil, err
		}
		if err := a.add(reply.GetOutputs()[output].GetShape(), values, rows); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// replyValues reads one output.
func replyValues(reply *inference.ModelInferResponse, output int) ([]float64, error) {
	t := reply.GetOutputs()[output]
	if err := checkDatatype(t.GetDatatype()); err != nil {
		return nil, err
	}
	single := t.GetDatatype() == string(core.FP32)
	raw := reply.GetRawOutputContents()
	switch {
	case len(raw) > 0 && output >= len(raw):
		return nil, fmt.Errorf("has %d tensors and the contents of %d", len(reply.GetOutputs()), len(raw))
	case len(raw) > 0:
		return decodeRaw(raw[output], single)
	case !single:
		return t.GetContents().GetFp64Contents(), nil
	}
	var values []float64
	for _, v := range t.GetContents().GetFp32Contents() {
		values = append(values, float64(v))
	}
	return values, nil
}

func decodeRaw(raw []byte, single bool) ([]float64, error) {
	size := 8
	if single {
		size = 4
	}
	if len(raw)%size != 0 {
		return nil, fmt.Errorf("has %d bytes, which is no whole number of values", len(raw))
	}
	values := make([]float64, len(raw)/size)
	for i := range values {
		if single {
			values[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		} else {
			values[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	}
	return values, nil
}

// call makes one call, repeats it when the server was not there or could not take it, and says what went wrong.
func (r *rpc) call(ctx context.Context, f func(context.Context) error) error {
	if r.security.token != "" {
		ctx = grpcmetadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+r.security.token)
	}
	for attempt := 0; ; attempt++ {
		limited, cancel := context.WithTimeout(ctx, r.timeout)
		err := f(limited)
		cancel()
		callers, ok := ctx.Deadline()
		deadline, _ := limited.Deadline()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case status.Code(err) == codes.DeadlineExceeded && ok && callers.Equal(deadline):
			return context.DeadlineExceeded // the server's clock was a little faster than the caller's
		case attempt == r.retries || !repeatable(err):
			return r.failed(err)
		}
		r.logRepetition(attempt + 1)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// repeatable says whether the server was not there, or could not take the call for the moment.
func repeatable(err error) bool {
	switch s := status.Convert(err); s.Code() {
	case codes.Unavailable:
		return !untrusted(s.Message()) && !strings.Contains(s.Message(), "produced zero addresses") && !strings.Contains(s.Message(), "no such host")
	case codes.ResourceExhausted:
		return !tooLarge(s.Message())
	}
	return false
}

// gRPC has no kinds for these, only words: of the library for Go, and of that for C++ and Python.
func untrusted(message string) bool {
	return strings.Contains(message, "x509: ") || strings.Contains(message, "tls: ")
}

func tooLarge(message string) bool {
	return strings.Contains(message, "larger than max") || strings.Contains(message, "too large")
}

// failed says in a sentence why there is no answer.
func (r *rpc) failed(err error) error {
	s := status.Convert(err)
	text := r.quote(s.Message())
	switch s.Code() {
	case codes.DeadlineExceeded:
		return fault.New(fault.Oracle, "%s did not answer within the timeout of %s; raise the option timeout or lower max-batch", r, r.timeout)
	case codes.Unavailable:
		switch {
		case untrusted(s.Message()):
			return fault.New(fault.Oracle, "%s cannot be asked: the encrypted connection failed%s; name the authority of its certificate with the option ca-file, or use grpc:// for a server without encryption", r, text)
		case strings.Contains(s.Message(), "no such host") || strings.Contains(s.Message(), "produced zero addresses"):
			return fault.New(fault.Oracle, "%s cannot be asked: the host is not found%s; mend the option url", r, text)
		}
		return fault.New(fault.Oracle, "%s cannot be asked%s; is the server running, and is this its port for gRPC?", r, text)
	case codes.ResourceExhausted:
		refused := fault.New(fault.Oracle, "%s answers %s%s", r, s.Code(), text)
		if tooLarge(s.Message()) {
			return tooLargeError{fault.New(fault.Oracle, "%w; even one row is too large for it", refused)}
		}
		return refused
	}
	remedy := ""
	switch s.Code() {
	case codes.Unauthenticated, codes.PermissionDenied:
		remedy = r.security.remedy()
	case codes.NotFound:
		remedy = "; check the options url, model and version"
	case codes.Unimplemented:
		remedy = "; a server of the Open Inference Protocol (V2) over gRPC is needed"
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	refused := fault.New(fault.Oracle, "%s answers %s%s%s", r, s.Code(), text, remedy)
	switch s.Code() {
	case codes.InvalidArgument, codes.Internal:
		return refusedError{refused, s.Code() == codes.Internal}
	case codes.NotFound, codes.Unimplemented:
		return noMetadataError{refused}
	}
	return refused
}
