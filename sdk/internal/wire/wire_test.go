package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

func anyShape([]int) error { return nil }

func TestTensorRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 7, ChunkBytes/8 - 1, ChunkBytes / 8, ChunkBytes/8 + 1, 3*ChunkBytes/8 + 5} {
		data := make([]float64, n)
		for k := range data {
			data[k] = float64(k) * math.Pi
		}
		if n > 4 {
			data[1], data[2], data[3], data[4] = math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1)
		}
		r, chunks := NewReceiver(anyShape), 0
		err := Send([]int{n}, data, func(chunk *nnidv1.TensorChunk) error {
			chunks++
			if len(chunk.Data) > ChunkBytes {
				t.Errorf("a chunk of %d bytes", len(chunk.Data))
			}
			return r.Add(chunk)
		})
		if err != nil {
			t.Fatal(err)
		}
		shape, got, err := r.Array()
		if err != nil || !slices.Equal(shape, []int{n}) || len(got) != n {
			t.Fatalf("n %d: %v, %d, %v", n, shape, len(got), err)
		}
		for k := range got {
			if math.Float64bits(got[k]) != math.Float64bits(data[k]) {
				t.Fatalf("n %d: element %d is %g, want %g", n, k, got[k], data[k])
			}
		}
		if want := max(1, (8*n+ChunkBytes-1)/ChunkBytes); chunks != want {
			t.Errorf("n %d: %d chunks, want %d", n, chunks, want)
		}
	}
}

func TestReceiverRefuses(t *testing.T) {
	eight := make([]byte, 8)
	for _, c := range []struct {
		name   string
		chunks []*nnidv1.TensorChunk
	}{
		{"nothing", nil},
		{"no shape", []*nnidv1.TensorChunk{{Data: eight}}},
		{"nil chunk", []*nnidv1.TensorChunk{nil}},
		{"five dimensions", []*nnidv1.TensorChunk{{Shape: []int64{1, 1, 1, 1, 1}, Data: eight}}},
		{"negative", []*nnidv1.TensorChunk{{Shape: []int64{-1}}}},
		{"two negatives", []*nnidv1.TensorChunk{{Shape: []int64{-1, -1}, Data: eight}}},
		{"overflow", []*nnidv1.TensorChunk{{Shape: []int64{1 << 32, 1 << 32}}}},
		{"overflow to something small", []*nnidv1.TensorChunk{{Shape: []int64{math.MaxInt64, math.MaxInt64}, Data: eight}}},
		{"huge", []*nnidv1.TensorChunk{{Shape: []int64{1 << 28, 1 << 10}}}},
		{"half a number", []*nnidv1.TensorChunk{{Shape: []int64{1}, Data: eight[:4]}}},
		{"too much", []*nnidv1.TensorChunk{{Shape: []int64{1}, Data: make([]byte, 16)}}},
		{"too much later", []*nnidv1.TensorChunk{{Shape: []int64{1}, Data: eight}, {Data: eight}}},
		{"too little", []*nnidv1.TensorChunk{{Shape: []int64{3}, Data: eight}, {Data: eight}}},
		{"second shape", []*nnidv1.TensorChunk{{Shape: []int64{2}, Data: eight}, {Shape: []int64{2}, Data: eight}}},
		{"empty for ever", []*nnidv1.TensorChunk{{Shape: []int64{2}, Data: eight}, {}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.chunks) == 0 {
				if _, _, err := NewReceiver(anyShape).Array(); err == nil {
					t.Error("accepted")
				}
				return
			}
			rest := c.chunks[1:]
			_, _, err := NewReceiver(anyShape).Receive(c.chunks[0], func() (*nnidv1.TensorChunk, error) {
				if len(rest) == 0 {
					return nil, io.EOF
				}
				next := rest[0]
				rest = rest[1:]
				return next, nil
			})
			if _, ok := errors.AsType[*Malformed](err); !ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Whatever bytes come, the receiver neither panics nor accepts an array whose size is not that of its shape.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte{2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8})
	f.Add([]byte{0, 255, 255, 255, 255, 255, 255, 255, 255, 9, 9, 9})
	f.Fuzz(func(t *testing.T, input []byte) {
		r := NewReceiver(anyShape)
		for chunks := 0; len(input) > 0 && chunks < 8; chunks++ {
			chunk := &nnidv1.TensorChunk{}
			dims := int(input[0] % 6)
			input = input[1:]
			for ; dims > 0 && len(input) >= 8; dims-- {
				n := int64(binary.LittleEndian.Uint64(input))
				// Large ones too, but mostly small ones.
				if input[7] < 128 {
					n %= 16
				}
				chunk.Shape = append(chunk.Shape, n)
				input = input[8:]
			}
			size := 0
			if len(input) > 0 {
				size = min(int(input[0]), len(input)-1)
				chunk.Data = input[1 : 1+size]
				input = input[1+size:]
			}
			if r.Add(chunk) != nil {
				return
			}
		}
		shape, data, err := r.Array()
		if err != nil {
			return
		}
		size := 1
		for _, n := range shape {
			if n < 0 {
				t.Fatalf("shape %v", shape)
			}
			size *= n
		}
		if size != len(data) {
			t.Fatalf("shape %v with %d numbers", shape, len(data))
		}
		if len(shape) == 2 {
			Dense(shape[0], shape[1], data) // must not panic
		}
	})
}

// Whatever message comes, decoding it neither panics nor lets impossible facts through.
func FuzzWords(f *testing.F) {
	seed, err := proto.Marshal(Facts(core.Facts{Left: core.Tail{Asymptotic: true, Slope: 1, Rate: math.Inf(1)}, Symmetry: core.SymmetryEven}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	seed, err = proto.Marshal(OracleInfo(core.OracleInfo{Inputs: 3, DType: core.FP32, Model: "x"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var facts nnidv1.Facts
		if proto.Unmarshal(data, &facts) == nil {
			if got, err := FromFacts(&facts); err == nil && (Finite([]float64{got.Left.Slope, got.Right.Intercept}) >= 0 || !(got.Left.Rate >= 0)) {
				t.Errorf("facts %+v", got)
			}
		}
		var info nnidv1.InfoResponse
		if proto.Unmarshal(data, &info) == nil {
			if got, err := FromOracleInfo(&info); err == nil && (got.Inputs < 0 || got.Outputs < 0 || got.MaxBatch < 0) {
				t.Errorf("info %+v", got)
			}
		}
		var component nnidv1.Component
		if proto.Unmarshal(data, &component) == nil {
			FromComponent(&component)
		}
	})
}

func TestFactsRoundTrip(t *testing.T) {
	for _, want := range []core.Facts{
		{},
		{Left: core.Tail{Asymptotic: true, Slope: 0.5, Intercept: -1, Rate: 2}, Right: core.Tail{Asymptotic: true, Rate: math.Inf(1)}, Symmetry: core.SymmetryPoint},
		{Symmetry: core.SymmetryEven},
	} {
		if got, err := FromFacts(Facts(want)); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := FromFacts(nil); err == nil {
		t.Error("no facts were accepted")
	}
	for _, bad := range []*nnidv1.Facts{
		{Symmetry: 9},
		{Symmetry: -1},
		{Left: &nnidv1.Tail{Slope: math.NaN()}},
		{Right: &nnidv1.Tail{Intercept: math.Inf(1)}},
		{Right: &nnidv1.Tail{Rate: -1}},
		{Left: &nnidv1.Tail{Rate: math.NaN()}},
	} {
		if got, err := FromFacts(bad); err == nil {
			t.Errorf("accepted %+v", got)
		}
	}
}

func TestOracleInfoRoundTrip(t *testing.T) {
	want := core.OracleInfo{Inputs: 30, Outputs: 2, DType: core.FP32, MaxBatch: 64, Model: "m v1"}
	if got, err := FromOracleInfo(OracleInfo(want)); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []*nnidv1.InfoResponse{{Inputs: -1}, {Outputs: math.MaxInt64}, {MaxBatch: -5}, {Dtype: "INT8"}} {
		if got, err := FromOracleInfo(bad); err == nil {
			t.Errorf("accepted %+v", got)
		}
	}
}

// Every kind of fault arrives as it was sent.
func TestFaultRoundTrip(t *testing.T) {
	ctx := context.Background()
	kinds := 0
	for kind := fault.Internal; kind.String() != "unknown"; kind++ {
		kinds++
		for _, sent := range []error{fault.New(kind, "no %s", "luck"), fmt.Errorf("no luck%w", fault.New(kind, ""))} {
			got := FromStatus(ctx, Status(ctx, sent))
			remote, ok := got.(*Remote)
			if !ok || remote.Kind != kind || remote.Text != "no luck" || remote.Panicked {
				t.Errorf("%v came as %#v", kind, got)
			}
		}
	}
	if kinds != 6 {
		t.Errorf("%d kinds were tried; has fault.Kind.String fallen behind?", kinds)
	}
	for _, c := range []struct {
		name string
		sent error
		want Remote
	}{
		{"no kind", errors.New("oh"), Remote{Kind: fault.Internal, Text: "oh"}},
		{"a later kind", Status(ctx, fault.New(fault.Kind(99), "oh")), Remote{Kind: fault.Internal, Text: "oh"}},
		{"a negative kind", Status(ctx, fault.New(fault.Kind(-3), "oh")), Remote{Kind: fault.Internal, Text: "oh"}},
		{"a panic", Panicked("oh"), Remote{Kind: fault.Internal, Text: "oh", Panicked: true}},
		{"not UTF-8", Status(ctx, errors.New("a\xffb")), Remote{Kind: fault.Internal, Text: "a\uFFFDb"}},
		{"another language's", status.Error(codes.Unknown, "oh"), Remote{Kind: fault.Internal, Text: "oh"}},
		{"another language's usage", status.Error(codes.InvalidArgument, "oh"), Remote{Kind: fault.Usage, Text: "oh"}},
	} {
		if c.name == "no kind" {
			c.sent = Status(ctx, c.sent)
		}
		if got, ok := FromStatus(ctx, c.sent).(*Remote); !ok || *got != c.want {
			t.Errorf("%s: got %#v", c.name, got)
		}
	}
	if err := Status(ctx, nil); err != nil {
		t.Error(err)
	}
	if err := FromStatus(ctx, nil); err != nil {
		t.Error(err)
	}
	long := FromStatus(ctx, Status(ctx, errors.New(strings.Repeat("x", 1<<20)))).(*Remote)
	if len(long.Text) > 2000 {
		t.Errorf("a text of %d bytes would not fit in everybody's headers", len(long.Text))
	}

	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := FromStatus(ctx, Status(ended, errors.New("whatever"))); !errors.Is(err, context.Canceled) {
		t.Errorf("the call's context had ended: %v", err)
	}
	if err := FromStatus(ended, status.Error(codes.Unavailable, "")); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller's context has ended: %v", err)
	}
	lost := status.Error(codes.Unavailable, "gone")
	if err := FromStatus(ctx, lost); !errors.Is(err, lost) {
		t.Errorf("the connection's own error: %v", err)
	}
}

func TestComponentRoundTrip(t *testing.T) {
	want := core.Component{Name: "spm", Summary: "s", Reference: "r", Options: []core.Option{{Name: "a", Usage: "b", Default: "c", Required: true, Secret: true}, {Name: "z"}}}
	kind, got := FromComponent(Component(core.KindSolver, want))
	if kind != core.KindSolver || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %v %+v", kind, got)
	}
}

func TestFlat(t *testing.T) {
	m := mat.NewDense(2, 3, []float64{1, 2, 3, 4, 5, 6})
	if got := Flat(m.Slice(0, 2, 1, 3).(*mat.Dense)); !slices.Equal(got, []float64{2, 3, 5, 6}) {
		t.Error(got)
	}
	if got := Flat(m.Slice(0, 1, 0, 3).(*mat.Dense)); !slices.Equal(got, []float64{1, 2, 3}) {
		t.Error(got)
	}
	if got := Flat(&mat.Dense{}); len(got) != 0 {
		t.Error(got)
	}
}
