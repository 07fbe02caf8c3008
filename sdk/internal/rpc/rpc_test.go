package rpc

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gonum.org/v1/gonum/mat"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/internal/wire"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect serves what register registers, through memory.
func connect(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	server, listener, done := grpc.NewServer(), bufconn.Listen(1<<16), make(chan struct{})
	register(server)
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is stopped
	}()
	conn, err := grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-done
	})
	return conn
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// tensor is a chunk in one piece.
func tensor(shape []int64, data ...float64) *nnidv1.TensorChunk {
	return &nnidv1.TensorChunk{Shape: shape, Data: wire.AppendFloats(nil, data)}
}

// liar answers what it is told to, whatever is asked.
type liar struct {
	nnidv1.UnimplementedSolverServer
	solve []*nnidv1.SolveResponse
}

func (l *liar) Open(context.Context, *nnidv1.OpenRequest) (*nnidv1.OpenSolverResponse, error) {
	return &nnidv1.OpenSolverResponse{}, nil
}

func (l *liar) Solve(stream grpc.BidiStreamingServer[nnidv1.SolveRequest, nnidv1.SolveResponse]) error {
	for {
		if _, err := stream.Recv(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	for _, message := range l.solve {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

func summary(found int64, objective ...float64) *nnidv1.SolveResponse {
	return &nnidv1.SolveResponse{Event: &nnidv1.SolveResponse_Summary{Summary: &nnidv1.SolveSummary{Found: found, Objective: wire.AppendFloats(nil, objective)}}}
}

func vectors(chunk *nnidv1.TensorChunk) *nnidv1.SolveResponse {
	return &nnidv1.SolveResponse{Event: &nnidv1.SolveResponse_Vectors{Vectors: chunk}}
}

func progress() *nnidv1.SolveResponse {
	return &nnidv1.SolveResponse{Event: &nnidv1.SolveResponse_Progress{Progress: &nnidv1.SolveProgress{}}}
}

// A solver's answer that breaks a promise is an error that names the plugin.
func TestSolverAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer []*nnidv1.SolveResponse
		want   string // in the error; empty for none
	}{
		{"right", []*nnidv1.SolveResponse{progress(), summary(2, 1, 0.5), vectors(tensor([]int64{2, 2}, 1, 0, 0, 1))}, ""},
		{"right, in chunks", []*nnidv1.SolveResponse{summary(2, 1, 0.5), vectors(tensor([]int64{2, 2}, 1, 0)), vectors(tensor(nil, 0, 1))}, ""},
		{"nothing found", []*nnidv1.SolveResponse{progress(), progress(), summary(0)}, ""},
		{"an event of a later version", []*nnidv1.SolveResponse{{}, summary(0)}, ""},
		{"nothing at all", nil, "without a solution"},
		{"progress only", []*nnidv1.SolveResponse{progress()}, "without a solution"},
		{"vectors first", []*nnidv1.SolveResponse{vectors(tensor([]int64{2, 1}, 1, 0))}, "before the summary"},
		{"negative count", []*nnidv1.SolveResponse{summary(-1)}, "-1 vectors"},
		{"objectives missing", []*nnidv1.SolveResponse{summary(2, 1), vectors(tensor([]int64{2, 2}, 1, 0, 0, 1))}, "2 vectors were found and gives 1 objectives"},
		{"half an objective", []*nnidv1.SolveResponse{{Event: &nnidv1.SolveResponse_Summary{Summary: &nnidv1.SolveSummary{Found: 1, Objective: []byte{1, 2}}}}}, "objective"},
		{"infinite objective", []*nnidv1.SolveResponse{summary(1, math.Inf(1)), vectors(tensor([]int64{2, 1}, 1, 0))}, "+Inf"},
		{"no vectors", []*nnidv1.SolveResponse{summary(1, 1)}, "no array"},
		{"too few rows", []*nnidv1.SolveResponse{summary(1, 1), vectors(tensor([]int64{1, 1}, 1))}, "it must be 2 x 1"},
		{"transposed", []*nnidv1.SolveResponse{summary(1, 1), vectors(tensor([]int64{1, 2}, 1, 0))}, "it must be 2 x 1"},
		{"too long", []*nnidv1.SolveResponse{summary(1, 1), vectors(tensor([]int64{2, 1}, 1, 0)), vectors(tensor(nil, 1))}, "more than"},
		{"too short", []*nnidv1.SolveResponse{summary(1, 1), vectors(tensor([]int64{2, 1}, 1))}, "stopped after 1 of 2"},
		{"NaN", []*nnidv1.SolveResponse{summary(1, 1), vectors(tensor([]int64{2, 1}, 1, math.NaN()))}, "NaN"},
		{"not a unit vector", []*nnidv1.SolveResponse{summary(1, 1), vectors(tensor([]int64{2, 1}, 3, 4))}, "length 5"},
		{"overflowing length", []*nnidv1.SolveResponse{summary(1, 1), vectors(tensor([]int64{2, 1}, math.MaxFloat64, math.MaxFloat64))}, "length"},
		{"vectors of nothing", []*nnidv1.SolveResponse{summary(0), vectors(tensor([]int64{2, 1}, 1, 0))}, "nothing was found"},
		{"two summaries", []*nnidv1.SolveResponse{summary(1, 1), summary(1, 1)}, "something else"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := testContext(t)
			conn := connect(t, func(s *grpc.Server) { nnidv1.RegisterSolverServer(s, &liar{solve: c.answer}) })
			solver, err := NewClient(conn, "liar").Solver(ctx, "bad", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = solver.Solve(ctx, core.Problem{Dim: 2, Basis: mat.NewDense(4, 1, []float64{1, 0, 0, 0})}, nil)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !fault.Is(err, fault.Plugin) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `plugin "liar"`) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

// A service that the plugin lacks is a plugin of another version.
func TestMissingService(t *testing.T) {
	conn := connect(t, func(*grpc.Server) {})
	client := NewClient(conn, "old")
	_, err := client.Oracle(testContext(t), "x", nil)
	if !fault.Is(err, fault.Plugin) || !strings.Contains(err.Error(), "build it again") {
		t.Error(err)
	}
	if _, err := client.Describe(testContext(t)); !fault.Is(err, fault.Plugin) {
		t.Error(err)
	}
}

// sleepy is an oracle that counts.
type sleepy struct {
	started, ended chan struct{}
	closed         chan struct{}
}

func (s *sleepy) Info(context.Context) (core.OracleInfo, error) {
	return core.OracleInfo{Outputs: 2}, nil
}

func (s *sleepy) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if x.At(0, 0) == 0 {
		close(s.started)
		<-ctx.Done()
		close(s.ended)
		return nil, errors.New("whatever the backend says when it is cut off")
	}
	return x, nil
}

func (s *sleepy) Close() error {
	close(s.closed)
	return errors.New("could not say goodbye")
}

func TestOracle(t *testing.T) {
	ctx := testContext(t)
	o := &sleepy{started: make(chan struct{}), ended: make(chan struct{}), closed: make(chan struct{})}
	server := NewServer(Plugin{Name: "p", Oracles: []core.OracleFactory{{Component: core.Component{Name: "sleepy"}, Open: func(core.Options) (core.Oracle, error) { return o, nil }}}}, "test", 1)
	conn := connect(t, func(s *grpc.Server) { server.Register(s) })
	client := NewClient(conn, "p")
	if _, err := client.Oracle(ctx, "other", nil); !fault.Is(err, fault.Usage) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := client.Oracle(ctx, "sleepy", core.Options{"x": "y"}); !fault.Is(err, fault.Usage) {
		t.Errorf("unknown option: %v", err)
	}
	remote, err := client.Oracle(ctx, "sleepy", nil)
	if err != nil {
		t.Fatal(err)
	}
	if y, err := remote.Query(ctx, mat.NewDense(1, 3, []float64{1, 2, 3})); err != nil || y.At(0, 2) != 3 {
		t.Errorf("%v, %v", y, err)
	}
	// Once it has declared two outputs, three are wrong.
	if _, err := remote.Info(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Query(ctx, mat.NewDense(1, 3, []float64{1, 2, 3})); !fault.Is(err, fault.Plugin) {
		t.Errorf("three outputs: %v", err)
	}
	if y, err := remote.Query(ctx, &mat.Dense{}); err != nil || !y.IsEmpty() {
		t.Errorf("no points: %v, %v", y, err)
	}
	// The caller's end reaches the backend, and the caller gets its own error back.
	short, cancel := context.WithCancel(ctx)
	go func() { <-o.started; cancel() }()
	if _, err := remote.Query(short, mat.NewDense(1, 1, []float64{0})); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	<-o.ended
	if err := remote.Close(); err == nil || !strings.Contains(err.Error(), "goodbye") {
		t.Errorf("closing: %v", err)
	}
	<-o.closed
	if _, err := remote.Query(ctx, mat.NewDense(1, 1, []float64{1})); !fault.Is(err, fault.Internal) {
		t.Errorf("closed: %v", err)
	}
}

// Requests of a broken host are refused, before the plugin's code sees them.
func TestRequests(t *testing.T) {
	ctx := testContext(t)
	solver := solverFunc(func(context.Context, core.Problem, func(core.SolverProgress)) (*core.Solution, error) {
		t.Error("the solver was called")
		return nil, nil
	})
	server := NewServer(Plugin{Name: "p", Solvers: []core.SolverFactory{{Component: core.Component{Name: "s"}, Open: func(core.Options) (core.Solver, error) { return solver, nil }}}}, "test", 1)
	conn := connect(t, func(s *grpc.Server) { server.Register(s) })
	client := nnidv1.NewSolverClient(conn)
	opened, err := client.Open(ctx, &nnidv1.OpenRequest{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		messages []*nnidv1.SolveRequest
	}{
		{"no message", nil},
		{"no instance", []*nnidv1.SolveRequest{{Instance: 99, Dim: 1, Basis: tensor([]int64{1, 1}, 1)}}},
		{"no basis", []*nnidv1.SolveRequest{{Instance: opened.Instance, Dim: 1}}},
		{"no order", []*nnidv1.SolveRequest{{Instance: opened.Instance, Basis: tensor([]int64{1, 1}, 1)}}},
		{"negative order", []*nnidv1.SolveRequest{{Instance: opened.Instance, Dim: -1, Basis: tensor([]int64{1, 1}, 1)}}},
		{"overflowing order", []*nnidv1.SolveRequest{{Instance: opened.Instance, Dim: 1 << 32, Basis: tensor([]int64{0, 1})}}},
		{"no columns", []*nnidv1.SolveRequest{{Instance: opened.Instance, Dim: 1, Basis: tensor([]int64{1, 0})}}},
		{"too many columns", []*nnidv1.SolveRequest{{Instance: opened.Instance, Dim: 1, Basis: tensor([]int64{1, 2}, 1, 1)}}},
		{"NaN", []*nnidv1.SolveRequest{{Instance: opened.Instance, Dim: 1, Basis: tensor([]int64{1, 1}, math.NaN())}}},
		{"negative count", []*nnidv1.SolveRequest{{Instance: opened.Instance, Dim: 1, Count: -1, Basis: tensor([]int64{1, 1}, 1)}}},
		{"cut short", []*nnidv1.SolveRequest{{Instance: opened.Instance, Dim: 2, Basis: tensor([]int64{4, 1}, 1)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stream, err := client.Solve(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, message := range c.messages {
				if err := stream.Send(message); err != nil && err != io.EOF {
					t.Fatal(err)
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			if remote, ok := wire.FromStatus(ctx, err).(*wire.Remote); !ok || remote.Kind != fault.Internal {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := client.Close(ctx, &nnidv1.CloseRequest{Instance: opened.Instance}); err != nil {
		t.Error(err)
	}
	if _, err := client.Close(ctx, &nnidv1.CloseRequest{Instance: opened.Instance}); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

type solverFunc func(context.Context, core.Problem, func(core.SolverProgress)) (*core.Solution, error)

func (f solverFunc) Solve(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	return f(ctx, p, progress)
}
