//go:build linux

package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"gonum.org/v1/gonum/mat"
	"google.golang.org/grpc"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
	sdkhost "github.com/nnid/nnid/sdk/host"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

var tanhFacts = core.Facts{
	Left:     core.Tail{Asymptotic: true, Intercept: -1, Rate: 2},
	Right:    core.Tail{Asymptotic: true, Intercept: 1, Rate: 2},
	Symmetry: core.SymmetryPoint,
}

// activation answers with a function of the batch.
type activation func(ctx context.Context, order int, t []float64) ([]float64, error)

func (activation) Facts() core.Facts { return tanhFacts }
func (a activation) Derivative(ctx context.Context, order int, t []float64) ([]float64, error) {
	return a(ctx, order, t)
}

type solver func(context.Context, core.Problem, func(core.SolverProgress)) (*core.Solution, error)

func (s solver) Solve(ctx context.Context, p core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
	return s(ctx, p, progress)
}

type oracle struct {
	info  core.OracleInfo
	query func(context.Context, *mat.Dense) (*mat.Dense, error)
}

func (o oracle) Info(context.Context) (core.OracleInfo, error) { return o.info, nil }
func (o oracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	return o.query(ctx, x)
}
func (o oracle) Close() error { return nil }

func activations(name string, a activation) []core.ActivationFactory {
	return []core.ActivationFactory{{
		Component: core.Component{Name: name, Summary: "for tests"},
		Open:      func(core.Options) (core.Activation, error) { return a, nil },
	}}
}

func solvers(name string, s solver) []core.SolverFactory {
	return []core.SolverFactory{{
		Component: core.Component{Name: name},
		Open:      func(core.Options) (core.Solver, error) { return s, nil },
	}}
}

func oracles(name string, o oracle) []core.OracleFactory {
	return []core.OracleFactory{{
		Component: core.Component{Name: name, Options: []core.Option{{Name: "file", Usage: "a file"}}},
		Open:      func(core.Options) (core.Oracle, error) { return o, nil },
	}}
}

// decent is a plugin that does everything right.
func decent(name string) sdk.Plugin {
	p := sdk.Plugin{Name: name, Version: "1.2.3"}
	p.Activations = activations("tanh", func(_ context.Context, _ int, t []float64) ([]float64, error) {
		y := make([]float64, len(t))
		for k := range t {
			y[k] = math.Tanh(t[k])
		}
		return y, nil
	})
	p.Activations = append(p.Activations, activations("wait", func(ctx context.Context, _ int, _ []float64) ([]float64, error) {
		<-ctx.Done()
		// Seen by the host only if the cancellation has crossed.
		sdk.Logger().Warn("cancelled", "reason", ctx.Err().Error())
		return nil, ctx.Err()
	})...)
	p.Activations = append(p.Activations, activations("faults", func(_ context.Context, order int, t []float64) ([]float64, error) {
		return nil, fault.New(fault.Kind(int(t[0])), "a fault of kind %v", t[0])
	})...)
	// The first columns of the basis come back as vectors, so that a large problem makes for a large answer.
	p.Solvers = solvers("echo", func(_ context.Context, problem core.Problem, progress func(core.SolverProgress)) (*core.Solution, error) {
		progress(core.SolverProgress{Found: 1, Wanted: problem.Count, Starts: int(problem.Seed)})
		rows, _ := problem.Basis.Dims()
		found := problem.Count
		vectors := mat.NewDense(problem.Dim, found, nil)
		for j := range found {
			vectors.Set(j%problem.Dim, j, 1)
		}
		return &core.Solution{Vectors: vectors, Objective: make([]float64, found), Statistics: map[string]float64{"rows": float64(rows), "last": problem.Basis.At(rows-1, 0)}}, nil
	})
	p.Oracles = oracles("sum", oracle{info: core.OracleInfo{Inputs: 3, Outputs: 1, DType: core.FP64, Model: "sum"}, query: func(_ context.Context, x *mat.Dense) (*mat.Dense, error) {
		n, _ := x.Dims()
		y := mat.NewDense(n, 1, nil)
		for i := range n {
			y.Set(i, 0, mat.Sum(x.RowView(i)))
		}
		return y, nil
	}})
	return p
}

// museum has plugins that each do one thing wrong.
func museum() map[string]func() {
	name := pluginName(os.Args[0])
	bad := func(a activation) func() {
		return func() { sdk.Serve(sdk.Plugin{Name: name, Version: "0.1.0", Activations: activations("bad", a)}) }
	}
	return map[string]func(){
		"decent":  func() { sdk.Serve(decent(name)) },
		"another": func() { sdk.Serve(decent(name)) },
		"prints": func() {
			fmt.Println("welcome!")
			defer fmt.Println("never reached")
			bad(func(_ context.Context, _ int, t []float64) ([]float64, error) {
				fmt.Println("called")
				return t, nil
			})()
		},
		"garbage": func() {
			if sdk.InPluginProcess() {
				fmt.Fprintln(os.NewFile(1, "stdout"), "banner!") // as a library in C would, past the guard
				time.Sleep(time.Minute)
			}
			bad(nil)()
		},
		"exits": func() {
			if sdk.InPluginProcess() {
				fmt.Fprintln(os.Stderr, "the licence has expired")
				os.Exit(3)
			}
			bad(nil)()
		},
		"slow": func() {
			if sdk.InPluginProcess() {
				fmt.Fprintln(os.Stderr, "loading 7 GB of weights")
				time.Sleep(time.Minute)
			}
			bad(nil)()
		},
		"newer": func() { describeAs(name, []int{2, 3}) },
		"older": func() { describeAs(name, []int{0}) },
		"future": func() {
			if sdk.InPluginProcess() {
				fmt.Fprintln(os.NewFile(1, "stdout"), "1|2|unix|/nowhere|grpc|")
				time.Sleep(time.Minute)
			}
			bad(nil)()
		},
		"plaintext": func() {
			if sdk.InPluginProcess() {
				fmt.Fprintln(os.NewFile(1, "stdout"), "1|1|unix|/nowhere|grpc|")
				time.Sleep(time.Minute)
			}
			bad(nil)()
		},
		"no-tls": func() {
			if sdk.InPluginProcess() {
				if os.Getenv("PLUGIN_CLIENT_CERT") != "" {
					os.Exit(5)
				}
				sdk.Serve(decent(name))
			}
			describePlainText(name)
		},
		"misnamed": func() { sdk.Serve(decent("somebody-else")) },
		"noplugin": func() { fmt.Println("usage: noplugin FILE") },
		"fails": func() {
			fmt.Fprintln(os.Stderr, "unknown command \"describe\"")
			os.Exit(2)
		},
		"panics": bad(func(_ context.Context, _ int, t []float64) ([]float64, error) { return t[: len(t)+1 : 1], nil }),
		"panics-elsewhere": bad(func(ctx context.Context, _ int, _ []float64) ([]float64, error) {
			go panic("in a goroutine")
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		"quits": bad(func(context.Context, int, []float64) ([]float64, error) {
			fmt.Fprintln(os.Stderr, "cannot go on:\nout of licences")
			os.Exit(7)
			return nil, nil
		}),
		"killed": bad(func(context.Context, int, []float64) ([]float64, error) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}),
		"stops": bad(func(context.Context, int, []float64) ([]float64, error) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			select {}
		}),
		"hangs": bad(func(context.Context, int, []float64) ([]float64, error) { select {} }),
		"short": bad(func(_ context.Context, _ int, t []float64) ([]float64, error) { return t[1:], nil }),
		"nan": func() {
			sdk.Serve(sdk.Plugin{Name: name, Version: "0.1.0",
				Solvers: solvers("bad", func(_ context.Context, p core.Problem, _ func(core.SolverProgress)) (*core.Solution, error) {
					return &core.Solution{Vectors: mat.NewDense(p.Dim, 1, []float64{1, math.NaN()}), Objective: []float64{1}}, nil
				}),
				Oracles: oracles("bad", oracle{query: func(_ context.Context, x *mat.Dense) (*mat.Dense, error) {
					n, _ := x.Dims()
					y := mat.NewDense(n, 1, nil)
					y.Set(0, 0, math.NaN())
					return y, nil
				}}),
			})
		},
		"dims": func() {
			sdk.Serve(sdk.Plugin{Name: name, Version: "0.1.0",
				Solvers: solvers("bad", func(_ context.Context, p core.Problem, _ func(core.SolverProgress)) (*core.Solution, error) {
					return &core.Solution{Vectors: mat.NewDense(p.Dim+1, 1, nil), Objective: []float64{1}}, nil
				}),
				Oracles: oracles("bad", oracle{query: func(_ context.Context, x *mat.Dense) (*mat.Dense, error) {
					return mat.NewDense(1, 1, nil), nil
				}}),
			})
		},
		"huge":  func() { serveRaw(name, raw{data: make([]byte, sdkhost.MaxMessage+8)}) },
		"liar":  func() { serveRaw(name, raw{shape: 7, data: make([]byte, 56)}) },
		"cut":   func() { serveRaw(name, raw{shape: 2, data: make([]byte, 8)}) },
		"odd":   func() { serveRaw(name, raw{shape: 2, data: make([]byte, 17)}) },
		"empty": func() { serveRaw(name, raw{}) },
		"family": func() {
			bad(func(_ context.Context, _ int, t []float64) ([]float64, error) {
				// A child that holds on to the output for ever.
				child := exec.Command("sleep", "300")
				child.Stdout, child.Stderr = os.Stdout, os.Stderr
				if err := child.Start(); err != nil {
					return nil, err
				}
				return []float64{float64(child.Process.Pid)}, nil
			})()
		},
		"environment": bad(func(_ context.Context, _ int, t []float64) ([]float64, error) {
			return nil, fault.New(fault.Usage, "%s", strings.Join(os.Environ(), "\n"))
		}),
	}
}

// describePlainText describes a plugin that can't do TLS, as those in other languages may be.
func describePlainText(name string) {
	description := decent(name).Describe()
	description.PlainText = true
	_ = json.NewEncoder(os.Stdout).Encode(description) // the test reads it
}

// describeAs describes a plugin of other protocols, and is never launched.
func describeAs(name string, protocols []int) {
	description := sdk.Plugin{Name: name, Version: "0.1.0", Activations: activations("bad", nil)}.Describe()
	description.Protocols = protocols
	_ = json.NewEncoder(os.Stdout).Encode(description) // the test reads it
}

// raw is a plugin without the SDK's checks: it answers what it is told to.
type raw struct {
	nnidv1.UnimplementedActivationServer
	nnidv1.UnimplementedMetaServer
	plugin.NetRPCUnsupportedPlugin
	name  string
	shape int64
	data  []byte
}

func (r raw) Describe(context.Context, *nnidv1.DescribeRequest) (*nnidv1.DescribeResponse, error) {
	return &nnidv1.DescribeResponse{Plugin: r.name, Version: "0.1.0", Components: []*nnidv1.Component{{Kind: "activation", Name: "bad"}, {Kind: "telepathy", Name: "x"}}}, nil
}

func (r raw) Open(context.Context, *nnidv1.OpenRequest) (*nnidv1.OpenActivationResponse, error) {
	return &nnidv1.OpenActivationResponse{Facts: &nnidv1.Facts{Left: &nnidv1.Tail{}, Right: &nnidv1.Tail{}}}, nil
}

func (r raw) Derivative(stream grpc.BidiStreamingServer[nnidv1.DerivativeRequest, nnidv1.DerivativeResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	if r.data == nil {
		return nil
	}
	return stream.Send(&nnidv1.DerivativeResponse{Values: &nnidv1.TensorChunk{Shape: []int64{r.shape}, Data: r.data}})
}

func (r raw) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	nnidv1.RegisterMetaServer(server, r)
	nnidv1.RegisterActivationServer(server, rawActivation{raw: r})
	return nil
}

func (raw) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("the plugin's end")
}

// rawActivation resolves the two embedded Unimplemented types.
type rawActivation struct {
	nnidv1.UnimplementedActivationServer
	raw raw
}

func (r rawActivation) Open(ctx context.Context, m *nnidv1.OpenRequest) (*nnidv1.OpenActivationResponse, error) {
	return r.raw.Open(ctx, m)
}

func (r rawActivation) Derivative(s grpc.BidiStreamingServer[nnidv1.DerivativeRequest, nnidv1.DerivativeResponse]) error {
	return r.raw.Derivative(s)
}

func serveRaw(name string, r raw) {
	if !sdk.InPluginProcess() {
		describeAs(name, sdkhost.Protocols)
		return
	}
	r.name = name
	os.Stdout = os.NewFile(1, "stdout")
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  sdkhost.Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{sdk.Protocol: {sdkhost.SetName: r}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxSendMsgSize(math.MaxInt32))...)
		},
	})
}

func useActivation(ctx context.Context, h *Host) error {
	a, err := h.Activation(ctx, "bad", nil)
	if err != nil {
		return err
	}
	_, err = a.Derivative(ctx, 0, []float64{1, 2})
	return err
}

func useSolver(ctx context.Context, h *Host) error {
	s, err := h.Solver(ctx, "bad", nil)
	if err != nil {
		return err
	}
	_, err = s.Solve(ctx, core.Problem{Dim: 2, Basis: mat.NewDense(4, 1, []float64{1, 0, 0, 0})}, func(core.SolverProgress) {})
	return err
}

func useOracle(ctx context.Context, h *Host) error {
	o, err := h.Oracle(ctx, "bad", nil)
	if err != nil {
		return err
	}
	_, err = o.Query(ctx, mat.NewDense(2, 2, nil))
	return err
}

// Every broken plugin is one clear sentence that names it, and leaves neither process nor goroutine behind.
func TestMuseum(t *testing.T) {
	patient := func(*Settings) {}
	for _, exhibit := range []struct {
		name   string
		use    func(context.Context, *Host) error
		change func(*Settings)
		kind   fault.Kind
		fine   bool
	}{
		{name: "prints", use: useActivation, fine: true},
		{name: "garbage", use: useActivation, kind: fault.Plugin},
		{name: "exits", use: useActivation, kind: fault.Plugin},
		{name: "slow", use: useActivation, kind: fault.Plugin, change: func(s *Settings) { s.StartTimeout = 3 * time.Second }},
		{name: "newer", use: useActivation, kind: fault.Usage},
		{name: "older", use: useActivation, kind: fault.Usage},
		{name: "future", use: useActivation, kind: fault.Plugin},
		{name: "plaintext", use: useActivation, kind: fault.Plugin},
		{name: "misnamed", use: useActivation, kind: fault.Usage},
		{name: "noplugin", use: useActivation, kind: fault.Usage},
		{name: "fails", use: useActivation, kind: fault.Usage},
		{name: "panics", use: useActivation, kind: fault.Internal},
		{name: "panics-elsewhere", use: useActivation, kind: fault.Plugin},
		{name: "quits", use: useActivation, kind: fault.Plugin},
		{name: "killed", use: useActivation, kind: fault.Plugin},
		{name: "stops", use: useActivation, kind: fault.Plugin, change: func(s *Settings) { s.PingTimeout = 2 * time.Second }},
		{name: "hangs", use: useActivation, kind: fault.Plugin, change: func(s *Settings) { s.CallTimeout = 2 * time.Second }},
		{name: "short", use: useActivation, kind: fault.Internal},
		{name: "nan", use: useSolver, kind: fault.Plugin},
		{name: "nan", use: useOracle, fine: true}, // refused by core/query, which knows what to do about it
		{name: "dims", use: useSolver, kind: fault.Internal},
		{name: "dims", use: useOracle, kind: fault.Internal},
		{name: "huge", use: useActivation, kind: fault.Plugin},
		{name: "liar", use: useActivation, kind: fault.Plugin},
		{name: "cut", use: useActivation, kind: fault.Plugin},
		{name: "odd", use: useActivation, kind: fault.Plugin},
		{name: "empty", use: useActivation, kind: fault.Plugin},
	} {
		title := exhibit.name
		switch fmt.Sprintf("%p", exhibit.use) {
		case fmt.Sprintf("%p", useSolver):
			title += "-solver"
		case fmt.Sprintf("%p", useOracle):
			title += "-oracle"
		}
		t.Run(title, func(t *testing.T) {
			if exhibit.change == nil {
				exhibit.change = patient
			}
			path := folder(t, exhibit.name)
			h := newHost(t, path, exhibit.change)
			err := exhibit.use(testContext(t), h)
			if exhibit.fine {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			if got := fault.KindOf(err); got != exhibit.kind {
				t.Errorf("the kind is %v, want %v", got, exhibit.kind)
			}
			text := strings.ReplaceAll(err.Error(), path, "FOLDER")
			// Numbers that differ from machine to machine, and from run to run.
			text = regexp.MustCompile(`goroutine \d+`).ReplaceAllString(text, "goroutine N")
			text = regexp.MustCompile(`(?s)goroutine N .*`).ReplaceAllString(text, "goroutine N ...")
			golden(t, filepath.Join("museum", title+".txt"), text+"\n")
		})
	}
}
