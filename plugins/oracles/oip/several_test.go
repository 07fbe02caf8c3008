package oip

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"google.golang.org/grpc"

	"github.com/nnid/nnid/plugins/oracles/oip/inference"
)

// The model of several tensors: inputs a, of two columns in FP64, and b, of one in FP32; outputs u = a_0 + 10 a_1 and v = (b, -b).
var severalShapes = map[string][]int64{"a": {-1, 2}, "b": {-1, 1}, "u": {-1, 1}, "v": {-1, 2}}

func severalAnswers(a, b []float64) (u, v []float64) {
	for i := range b {
		u = append(u, a[2*i]+10*a[2*i+1])
		v = append(v, b[i], -b[i])
	}
	return u, v
}

// overREST serves it over REST.
func overREST(w http.ResponseWriter, r *http.Request) {
	type tensor struct {
		Name     string    `json:"name"`
		Datatype string    `json:"datatype"`
		Shape    []int64   `json:"shape"`
		Data     []float64 `json:"data,omitempty"`
	}
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(map[string][]tensor{
			"inputs":  {{Name: "a", Datatype: "FP64", Shape: severalShapes["a"]}, {Name: "b", Datatype: "FP32", Shape: severalShapes["b"]}},
			"outputs": {{Name: "u", Datatype: "FP64", Shape: severalShapes["u"]}, {Name: "v", Datatype: "FP64", Shape: severalShapes["v"]}},
		})
		return
	}
	var request struct{ Inputs []tensor }
	_ = json.NewDecoder(r.Body).Decode(&request)
	given := map[string]tensor{}
	for _, in := range request.Inputs {
		given[in.Name] = in
	}
	a, b := given["a"], given["b"]
	rows := a.Shape[0]
	if !slices.Equal(a.Shape, []int64{rows, 2}) || !slices.Equal(b.Shape, []int64{rows, 1}) || a.Datatype != "FP64" || b.Datatype != "FP32" {
		http.Error(w, "a strange request", http.StatusBadRequest)
		return
	}
	u, v := severalAnswers(a.Data, b.Data)
	_ = json.NewEncoder(w).Encode(map[string][]tensor{"outputs": { // all outputs, whatever was asked for, as some servers do
		{Name: "v", Datatype: "FP64", Shape: []int64{rows, 2}, Data: v}, {Name: "u", Datatype: "FP64", Shape: []int64{rows, 1}, Data: u},
	}})
}

// overRPC serves it over gRPC.
type overRPC struct {
	inference.UnimplementedGRPCInferenceServiceServer
}

func (overRPC) ModelMetadata(context.Context, *inference.ModelMetadataRequest) (*inference.ModelMetadataResponse, error) {
	type tensor = inference.ModelMetadataResponse_TensorMetadata
	return &inference.ModelMetadataResponse{
		Inputs:  []*tensor{{Name: "a", Datatype: "FP64", Shape: severalShapes["a"]}, {Name: "b", Datatype: "FP32", Shape: severalShapes["b"]}},
		Outputs: []*tensor{{Name: "u", Datatype: "FP64", Shape: severalShapes["u"]}, {Name: "v", Datatype: "FP64", Shape: severalShapes["v"]}},
	}, nil
}

func (overRPC) ModelInfer(_ context.Context, request *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	var a, b []float64
	for i, in := range request.Inputs {
		values, err := decodeRaw(request.RawInputContents[i], in.Datatype == "FP32")
		if err != nil {
			return nil, err
		}
		if in.Name == "a" {
			a = values
		} else {
			b = values
		}
	}
	u, v := severalAnswers(a, b)
	raw := func(values []float64) (bytes []byte) {
		for _, v := range values {
			bytes = binary.LittleEndian.AppendUint64(bytes, math.Float64bits(v))
		}
		return bytes
	}
	rows := int64(len(b))
	type tensor = inference.ModelInferResponse_InferOutputTensor
	return &inference.ModelInferResponse{
		Outputs:           []*tensor{{Name: "u", Datatype: "FP64", Shape: []int64{rows, 1}}, {Name: "v", Datatype: "FP64", Shape: []int64{rows, 2}}},
		RawOutputContents: [][]byte{raw(u), raw(v)},
	}, nil
}

// The columns of a row are those of the inputs one after the other, in the order of the metadata or of input-name; so are the outputs that output-name lists.
func TestSeveralTensors(t *testing.T) {
	rest := httptest.NewServer(http.HandlerFunc(overREST))
	defer rest.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	inference.RegisterGRPCInferenceServiceServer(server, overRPC{})
	go server.Serve(listener)
	defer server.Stop()
	x := mat.NewDense(2, 3, []float64{1, 2, 0.5, 3, 4, 0.25})
	for _, url := range []string{rest.URL, "grpc://" + listener.Addr().String()} {
		for _, c := range []struct {
			options []string
			want    []float64
		}{
			{[]string{"output-name=u"}, []float64{21, 43}},
			{[]string{"output-name=v,u"}, []float64{0.5, -0.5, 21, 0.25, -0.25, 43}},
			{[]string{"output-name=u", "input-name=b,a"}, []float64{2 + 10*0.5, 4 + 10*0.25}},
		} {
			o := connect(t, url, c.options...)
			info, err := o.Info(t.Context())
			if err != nil || info.Inputs != 3 || info.Outputs != len(c.want)/2 {
				t.Fatalf("%s %v: %+v, %v", url, c.options, info, err)
			}
			y, err := o.Query(t.Context(), x)
			if err != nil || !slices.Equal(y.RawMatrix().Data, c.want) {
				t.Errorf("%s %v: %v, %v; want %v", url, c.options, y, err, c.want)
			}
		}
		if _, err := attempt(url, "output-name=u", "inputs=4"); err == nil {
			o := connect(t, url, "output-name=u", "inputs=4")
			if _, err := o.Info(t.Context()); err == nil {
				t.Error("a contradicting number of inputs was taken")
			}
		}
	}
}
