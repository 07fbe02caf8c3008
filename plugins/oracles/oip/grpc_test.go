package oip

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/oracles/oip/inference"
	"github.com/nnid/nnid/sdk/plugintest"
)

// rpcServer is the model of server, f(x) = (sum_k (k+1) x_k, x_0 / 3), over gRPC. Its fields make it deviate.
type rpcServer struct {
	inference.UnimplementedGRPCInferenceServiceServer
	datatype string // of inputs and outputs; FP64 when empty
	typed    bool   // answers in typed contents, not in raw ones
	silent   bool   // has no tensors in its metadata
	before   func(ctx context.Context, call int64) error
	change   func(*inference.ModelInferResponse)
	most     int // rows before it finds a request too large
	calls    atomic.Int64
	largest  atomic.Int64
}

func (s *rpcServer) kind() string {
	if s.datatype == "" {
		return "FP64"
	}
	return s.datatype
}

func (s *rpcServer) ModelMetadata(ctx context.Context, request *inference.ModelMetadataRequest) (*inference.ModelMetadataResponse, error) {
	if s.before != nil {
		if err := s.before(ctx, s.calls.Add(1)); err != nil {
			return nil, err
		}
	}
	if request.Name != "m" {
		return nil, status.Error(codes.NotFound, "no such model")
	}
	if s.silent {
		return &inference.ModelMetadataResponse{Name: "m"}, nil
	}
	return &inference.ModelMetadataResponse{
		Name:    "m",
		Inputs:  []*inference.ModelMetadataResponse_TensorMetadata{{Name: "x", Datatype: s.kind(), Shape: []int64{-1, 3}}},
		Outputs: []*inference.ModelMetadataResponse_TensorMetadata{{Name: "y", Datatype: s.kind(), Shape: []int64{-1, 2}}},
	}, nil
}

func (s *rpcServer) ModelInfer(ctx context.Context, request *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	if s.before != nil {
		if err := s.before(ctx, s.calls.Add(1)); err != nil {
			return nil, err
		}
	}
	in := request.Inputs[0]
	rows := int(in.Shape[0])
	if s.most > 0 && rows > s.most {
		return nil, status.Errorf(codes.ResourceExhausted, "Received message larger than max (%d vs. 4194304)", len(request.RawInputContents[0]))
	}
	s.largest.Store(max(s.largest.Load(), int64(rows)))
	size := map[string]int{"FP64": 8, "FP32": 4}[in.Datatype]
	if in.Name != "x" || in.Datatype != s.kind() || len(request.RawInputContents) != 1 || len(request.RawInputContents[0]) != size*3*rows {
		return nil, status.Errorf(codes.InvalidArgument, "a strange request: %v", in)
	}
	reply := &inference.ModelInferResponse{ModelName: "m", ModelVersion: "1", Outputs: []*inference.ModelInferResponse_InferOutputTensor{{
		Name: "y", Datatype: s.kind(), Shape: []int64{int64(rows), 2}, Contents: &inference.InferTensorContents{},
	}}}
	var raw []byte
	for i := range rows {
		var x [3]float64
		for k := range x {
			at := request.RawInputContents[0][size*(3*i+k):]
			if size == 4 {
				x[k] = float64(math.Float32frombits(binary.LittleEndian.Uint32(at)))
			} else {
				x[k] = math.Float64frombits(binary.LittleEndian.Uint64(at))
			}
		}
		for _, y := range []float64{x[0] + 2*x[1] + 3*x[2], x[0] / 3} {
			contents := reply.Outputs[0].Contents
			if size == 4 {
				contents.Fp32Contents = append(contents.Fp32Contents, float32(y))
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(y)))
			} else {
				contents.Fp64Contents = append(contents.Fp64Contents, y)
				raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(y))
			}
		}
	}
	if !s.typed {
		reply.Outputs[0].Contents, reply.RawOutputContents = nil, [][]byte{raw}
	}
	if s.change != nil {
		s.change(reply)
	}
	return reply, nil
}

// startRPC serves until the test ends and returns HOST:PORT.
func startRPC(t *testing.T, s *rpcServer, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	inference.RegisterGRPCInferenceServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func TestConformanceOverGRPC(t *testing.T) {
	for name, s := range map[string]*rpcServer{"raw": {}, "typed": {typed: true}, "single": {datatype: "FP32"}, "single typed": {datatype: "FP32", typed: true}} {
		t.Run(name, func(t *testing.T) {
			o := connect(t, "grpc://"+startRPC(t, s))
			if err := plugintest.CheckOracle(t.Context(), o, 0); err != nil {
				t.Error(err)
			}
			x := mat.NewDense(2, 3, []float64{0.1, 0.2, 0.3, -1e-3, 7, 1e10})
			y, err := o.Query(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			want := x.At(1, 0) / 3
			if s.datatype == "FP32" {
				want = float64(float32(float64(float32(x.At(1, 0))) / 3))
			}
			if y.At(1, 1) != want {
				t.Errorf("%v, not %v", y.At(1, 1), want)
			}
		})
	}
	// A server whose metadata says nothing is asked as the options say.
	o := connect(t, "grpc://"+startRPC(t, &rpcServer{silent: true}), "inputs=3", "input-name=x")
	if _, err := o.Query(t.Context(), mat.NewDense(1, 3, nil)); err != nil {
		t.Error(err)
	}
}

func TestLearnsTheBatchOverGRPC(t *testing.T) {
	s := &rpcServer{most: 10}
	o := connect(t, "grpc://"+startRPC(t, s))
	y, err := o.Query(t.Context(), mat.NewDense(100, 3, nil))
	if err != nil {
		t.Fatal(err)
	}
	if rows, _ := y.Dims(); rows != 100 || s.largest.Load() > 10 {
		t.Errorf("%d rows, batches of up to %d", rows, s.largest.Load())
	}
	s.most = -1
	s.before = func(context.Context, int64) error {
		return status.Error(codes.ResourceExhausted, "Sent message larger than max (8 vs. 4)")
	}
	if _, err := o.Query(t.Context(), mat.NewDense(1, 3, nil)); err == nil || !strings.Contains(err.Error(), "even one row is too large") {
		t.Error(err)
	}
}

// What is worth repeating is repeated, so many times and no more.
func TestRepetitionOverGRPC(t *testing.T) {
	for name, c := range map[string]struct {
		code     codes.Code
		message  string
		failures int64
		calls    int64 // with retries=2, the metadata's one included
		ok       bool
	}{
		"once away":     {codes.Unavailable, "restarting", 1, 3, true},
		"overloaded":    {codes.ResourceExhausted, "queue is full", 2, 4, true},
		"away for good": {codes.Unavailable, "restarting", 9, 4, false},
		"broken":        {codes.Internal, "bug", 9, 2, false},
		"wrong":         {codes.InvalidArgument, "no", 9, 3, false}, // both rows, then one
	} {
		s := &rpcServer{}
		s.before = func(_ context.Context, call int64) error {
			if call > 1 && call <= 1+c.failures {
				return status.Error(c.code, c.message)
			}
			return nil
		}
		_, err := query(t.Context(), connect(t, "grpc://"+startRPC(t, s), "retries=2"))
		if (err == nil) != c.ok || s.calls.Load() != c.calls {
			t.Errorf("%s: %d calls, %v", name, s.calls.Load(), err)
		}
		if err != nil && (!fault.Is(err, fault.Oracle) || !strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), `the model "m" at grpc://`)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFaultsOverGRPC(t *testing.T) {
	for want, change := range map[string]func(*inference.ModelInferResponse){
		`has the data type "INT64"`:        func(r *inference.ModelInferResponse) { r.Outputs[0].Datatype = "INT64" },
		"its first dimension must be 2":    func(r *inference.ModelInferResponse) { r.Outputs[0].Shape[0]-- },
		"has 4 values for the shape [2 3]": func(r *inference.ModelInferResponse) { r.Outputs[0].Shape[1]++ },
		"no whole number of values":        func(r *inference.ModelInferResponse) { r.RawOutputContents[0] = r.RawOutputContents[0][1:] },
		"has 0 values":                     func(r *inference.ModelInferResponse) { r.RawOutputContents = nil },
		`has no output "y"; it has: z`:     func(r *inference.ModelInferResponse) { r.Outputs[0].Name = "z" },
		"has no outputs":                   func(r *inference.ModelInferResponse) { r.Outputs = nil },
		"has 2 tensors and the contents of 1": func(r *inference.ModelInferResponse) {
			r.Outputs = append(r.Outputs[:0:0], &inference.ModelInferResponse_InferOutputTensor{Name: "a"}, r.Outputs[0])
		},
		"has 4 values for the shape [2 2 0 3]": func(r *inference.ModelInferResponse) { r.Outputs[0].Shape = append(r.Outputs[0].Shape, 0, 3) },
	} {
		_, err := connect(t, "grpc://"+startRPC(t, &rpcServer{change: change})).Query(t.Context(), mat.NewDense(2, 3, nil))
		if !fault.Is(err, fault.Oracle) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	versions := &rpcServer{}
	versions.change = func(r *inference.ModelInferResponse) {
		if versions.largest.Load() > 1 {
			r.ModelVersion = "2"
		}
	}
	o := connect(t, "grpc://"+startRPC(t, versions))
	if _, err := o.Query(t.Context(), mat.NewDense(1, 3, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Query(t.Context(), mat.NewDense(2, 3, nil)); err == nil || !strings.Contains(err.Error(), `from version "1" to version "2"`) {
		t.Error(err)
	}
	address := startRPC(t, &rpcServer{})
	if _, err := connect(t, "grpc://"+address, "model=other").Info(t.Context()); err == nil || !strings.Contains(err.Error(), "check the options url, model and version") {
		t.Error(err)
	}
	stuck := &rpcServer{before: func(ctx context.Context, _ int64) error { <-ctx.Done(); return ctx.Err() }}
	address = startRPC(t, stuck)
	if _, err := connect(t, "grpc://"+address, "timeout=50ms").Info(t.Context()); err == nil || !strings.Contains(err.Error(), "within the timeout of 50ms") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := connect(t, "grpc://"+address).Info(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	// A server for REST, or nothing at all, at the port.
	if _, err := connect(t, strings.Replace(start(t, &server{}), "http", "grpc", 1), "retries=0").Info(t.Context()); err == nil || !strings.Contains(err.Error(), "is this its port for gRPC?") {
		t.Error(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if _, err := connect(t, "grpc://"+listener.Addr().String(), "retries=1").Info(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
	if _, err := connect(t, "grpc://no-such-host.invalid:1").Info(t.Context()); err == nil || !strings.Contains(err.Error(), "host is not found") {
		t.Error(err)
	}
	for _, url := range []string{"grpc://host", "grpc://:80", "grpc://host:1/v2", "grpcs://"} {
		if _, err := attempt(url); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "HOST:PORT") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// authority writes a certificate with its key, signed by itself, for servers and clients at 127.0.0.1.
func authority(t *testing.T) (certificateFile, keyFile string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificateFile, keyFile = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	if err := errors.Join(os.WriteFile(certificateFile, certificatePEM, 0o600), os.WriteFile(keyFile, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(certificatePEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return certificateFile, keyFile, pair
}

// Encryption both ways: the server is known by its authority, the client by its certificate and its token.
func TestSecurityOverGRPC(t *testing.T) {
	certificate, key, pair := authority(t)
	clients := x509.NewCertPool()
	content, err := os.ReadFile(certificate)
	if err != nil || !clients.AppendCertsFromPEM(content) {
		t.Fatal(err)
	}
	const secret = "open-sesame"
	s := &rpcServer{before: func(ctx context.Context, _ int64) error {
		m, _ := grpcmetadata.FromIncomingContext(ctx)
		if given := m.Get("authorization"); !slices.Equal(given, []string{"Bearer " + secret}) {
			return status.Errorf(codes.Unauthenticated, "not with %v", given)
		}
		return nil
	}}
	url := "grpcs://" + startRPC(t, s, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12,
	})))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := []string{"ca-file=" + certificate, "cert-file=" + certificate, "key-file=" + key}
	o := connect(t, url, append(all, "token-file="+token)...)
	if _, err := query(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if info, err := o.Info(t.Context()); err != nil || strings.Contains(info.Model, secret) {
		t.Errorf("%+v, %v", info, err)
	}
	t.Setenv("NNID_OIP_TOKEN", "wrong-"+secret)
	for want, options := range map[string][]string{
		"ca-file": {"retries=0"},
		"the bearer token in the environment variable NNID_OIP_TOKEN does not do": all,
		"name an environment variable with a bearer token":                        append(all, "token-env="),
		"set the environment variable NNID_NONE to a bearer token":                append(all, "token-env=NNID_NONE"),
	} {
		_, err := query(t.Context(), connect(t, url, options...))
		if !fault.Is(err, fault.Oracle) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wrong-"+secret) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := query(t.Context(), connect(t, url, "ca-file="+certificate, "retries=0")); !fault.Is(err, fault.Oracle) {
		t.Errorf("without a client's certificate: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NNID_ODD", "two words")
	for want, options := range map[string][]string{
		"belong together":            {"cert-file=" + certificate},
		"do not do":                  {"cert-file=" + certificate, "key-file=" + certificate},
		"is empty":                   {"token-file=" + empty},
		"token-file /nowhere cannot": {"token-file=/nowhere"},
		"key-file /nowhere cannot":   {"cert-file=" + certificate, "key-file=/nowhere"},
		"NNID_ODD has a space":       {"token-env=NNID_ODD"},
	} {
		if _, err := attempt(url, options...); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "two words") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// FuzzDecodeReply: whatever a server answers, there is no panic, and an answer without an error is whole.
func FuzzDecodeReply(f *testing.F) {
	f.Add("FP64", int64(2), int64(1), []byte("0123456789abcdef"), 2, "")
	f.Add("FP32", int64(2), int64(2), []byte("0123456789abcdef"), 2, "y")
	f.Add("FP64", int64(-1), int64(0), []byte(nil), 1, "z")
	f.Fuzz(func(t *testing.T, datatype string, n, k int64, raw []byte, rows int, name string) {
		if rows < 1 || rows > 1000 {
			return
		}
		reply := &inference.ModelInferResponse{
			Outputs:           []*inference.ModelInferResponse_InferOutputTensor{{Name: "y", Datatype: datatype, Shape: []int64{n, k}}},
			RawOutputContents: [][]byte{raw},
		}
		a, err := decodeReply(reply, splitNames(name), rows)
		if err == nil && len(a.values) != rows*a.columns {
			t.Errorf("%d values for %d rows of %d", len(a.values), rows, a.columns)
		}
	})
}
