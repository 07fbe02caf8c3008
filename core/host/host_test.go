//go:build linux

package host

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
	sdkhost "github.com/nnid/nnid/sdk/host"
)

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(status), ") ")
	return !strings.HasPrefix(after, "Z")
}

// eventually waits for something that another process brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 500 {
		if holds() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("it never came about that %s", what)
}

// pids returns the processes that run for a host.
func (h *Host) pids(t *testing.T) []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	var pids []int
	for _, s := range h.processes {
		if s.process == nil {
			continue
		}
		pid, err := strconv.Atoi(s.process.runner.ID())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func withSelf(s *Settings) {
	p := decent("nnid")
	s.Self = &p
}

// The built-ins are served by the running binary itself, one process for each kind.
func TestBuiltIn(t *testing.T) {
	ctx := testContext(t)
	h := newHost(t, t.TempDir(), withSelf)
	a, err := h.Activation(ctx, "tanh", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Facts() != tanhFacts {
		t.Errorf("facts %+v", a.Facts())
	}
	y, err := a.Derivative(ctx, 0, []float64{-1, 0, 2, math.Inf(1)})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(y, []float64{math.Tanh(-1), 0, math.Tanh(2), 1}) {
		t.Errorf("values %v", y)
	}
	if y, err := a.Derivative(ctx, 0, nil); err != nil || len(y) != 0 {
		t.Errorf("of nothing: %v, %v", y, err)
	}
	if _, err := a.Derivative(ctx, 4, []float64{1}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("order 4: %v", err)
	}

	o, err := h.Oracle(ctx, "sum", core.Options{"file": "x"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := o.Info(ctx)
	if err != nil || info != (core.OracleInfo{Inputs: 3, Outputs: 1, DType: core.FP64, Model: "sum"}) {
		t.Errorf("info %+v, %v", info, err)
	}
	// A view, whose rows don't lie together.
	x := mat.NewDense(2, 5, []float64{1, 2, 3, 9, 9, 4, 5, 6, 9, 9}).Slice(0, 2, 0, 3).(*mat.Dense)
	answers, err := o.Query(ctx, x)
	if err != nil || answers.At(0, 0) != 6 || answers.At(1, 0) != 15 {
		t.Errorf("answers %v, %v", answers, err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := o.Query(ctx, x); err == nil {
		t.Error("a closed oracle answered")
	}
	if n := len(h.pids(t)); n != 2 {
		t.Errorf("%d processes, want one for the activation and one for the oracle", n)
	}
}

func TestLargeSubspaceBothWays(t *testing.T) {
	ctx := testContext(t)
	h := newHost(t, t.TempDir(), withSelf)
	s, err := h.Solver(ctx, "echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	const dim, columns, found = 128, 512, 1 << 16 // 64 MiB there, 64 MiB back
	basis := mat.NewDense(dim*dim, columns, nil)
	basis.Set(dim*dim-1, 0, 42)
	var reports []core.SolverProgress
	solution, err := s.Solve(ctx, core.Problem{Dim: dim, Basis: basis, Count: found, Seed: 17}, func(p core.SolverProgress) { reports = append(reports, p) })
	if err != nil {
		t.Fatal(err)
	}
	if rows, cols := solution.Vectors.Dims(); rows != dim || cols != found || len(solution.Objective) != found {
		t.Errorf("%d x %d vectors, %d objectives", rows, cols, len(solution.Objective))
	}
	if solution.Statistics["rows"] != dim*dim || solution.Statistics["last"] != 42 {
		t.Errorf("the basis did not arrive: %v", solution.Statistics)
	}
	if len(reports) != 1 || reports[0] != (core.SolverProgress{Found: 1, Wanted: found, Starts: 17}) {
		t.Errorf("progress %v", reports)
	}
}

func TestContextsCross(t *testing.T) {
	log := &logBuffer{}
	h := newHost(t, t.TempDir(), withSelf, func(s *Settings) {
		s.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Info})
	})
	a, err := h.Activation(testContext(t), "wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := a.Derivative(ctx, 0, []float64{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	ctx, cancel = context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Derivative(ctx, 0, []float64{1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	// The plugin has seen both, and what it logs arrives under its name.
	eventually(t, "the plugin logs both ends", func() bool { return strings.Count(log.String(), "nnid: cancelled") == 2 })
}

// Kinds and texts of faults cross unchanged; a kind that the receiver does not know is internal.
func TestFaultsCross(t *testing.T) {
	ctx := testContext(t)
	h := newHost(t, t.TempDir(), withSelf)
	a, err := h.Activation(ctx, "faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	for kind := fault.Internal; kind <= fault.Unsupported+2; kind++ {
		_, err := a.Derivative(ctx, 0, []float64{float64(kind)})
		want := kind
		if kind > fault.Unsupported {
			want = fault.Internal
		}
		if !fault.Is(err, want) || !strings.Contains(err.Error(), fmt.Sprintf("a fault of kind %d", kind)) {
			t.Errorf("kind %d: got %v: %v", kind, fault.KindOf(err), err)
		}
	}
}

func TestPrecedence(t *testing.T) {
	ctx := testContext(t)
	search := folder(t, "decent", "another")
	h := newHost(t, search)

	_, err := h.Activation(ctx, "tanh", nil)
	if !fault.Is(err, fault.Usage) {
		t.Errorf("two plugins offer it: %v", err)
	} else {
		golden(t, "clash.txt", strings.ReplaceAll(err.Error(), search, "FOLDER")+"\n")
	}
	if _, err := h.Activation(ctx, "decent/tanh", nil); err != nil {
		t.Error(err)
	}
	if _, err := h.Activation(ctx, "nobody/tanh", nil); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
	_, err = h.Activation(ctx, "tahn", nil)
	golden(t, "unknown.txt", err.Error()+"\n")
	_, err = h.Oracle(ctx, "decent/sum", core.Options{"flie": "x"})
	golden(t, "option.txt", err.Error()+"\n")

	// Built-ins come before the search path, and run nothing of it; what the user names comes before both.
	h = newHost(t, search, withSelf)
	if c, err := h.find(ctx, core.KindActivation, "tanh"); err != nil || c.listing.Origin != OriginSelf {
		t.Errorf("%+v, %v", c.listing, err)
	}
	for _, c := range h.found {
		if c.origin == OriginSearch && c.known != nil {
			t.Errorf("%s was looked at for nothing", c.path)
		}
	}
	h = newHost(t, search, withSelf, func(s *Settings) { s.PluginPath = []string{filepath.Join(search, "nnid-plugin-decent")} })
	if c, err := h.find(ctx, core.KindActivation, "tanh"); err != nil || c.listing.Origin != OriginExplicit {
		t.Errorf("%+v, %v", c.listing, err)
	}
	listings, err := h.List(ctx)
	if err != nil || len(listings) != 4 {
		t.Fatalf("%d listings, %v", len(listings), err)
	}
	for k, want := range []struct {
		plugin   string
		origin   Origin
		shadowed bool
	}{{"decent", OriginExplicit, false}, {"nnid", OriginSelf, false}, {"another", OriginSearch, false}, {"decent", OriginSearch, true}} {
		if l := listings[k]; l.Plugin != want.plugin || l.Origin != want.origin || l.Shadowed != want.shadowed || l.Err != nil || len(l.Components) != 5 {
			t.Errorf("listing %d: %+v", k, l)
		}
	}

	// A broken plugin that the user names is an error; one in a folder keeps nobody from using the others.
	mixed := folder(t, "decent", "older")
	h = newHost(t, t.TempDir(), func(s *Settings) { s.PluginPath = []string{mixed} })
	if _, err := h.Activation(ctx, "tanh", nil); err != nil {
		t.Error(err)
	}
	h = newHost(t, mixed, func(s *Settings) { s.PluginPath = []string{filepath.Join(mixed, "nnid-plugin-older")} })
	if _, err := h.Activation(ctx, "tanh", nil); !fault.Is(err, fault.Plugin) {
		t.Error(err)
	}

	h = newHost(t, search, func(s *Settings) { s.PluginPath = []string{"/does/not/exist"} })
	if _, err := h.Activation(ctx, "tanh", nil); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

func TestTimeLimits(t *testing.T) {
	t.Setenv(CallTimeoutVariable, "30m")
	if got := New(Settings{StartTimeout: time.Second}).settings; got.CallTimeout != 30*time.Minute || got.StartTimeout != time.Second {
		t.Errorf("%v, %v", got.CallTimeout, got.StartTimeout)
	}
	t.Setenv(CallTimeoutVariable, "30")
	if _, err := newHost(t, t.TempDir()).List(testContext(t)); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), CallTimeoutVariable) {
		t.Error(err)
	}
}

func TestSearchPath(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/data")
	t.Setenv(PathVariable, strings.Join([]string{"/a", "", ".", "relative", "/b/"}, string(os.PathListSeparator)))
	// Never the current folder, whoever asks for it.
	if got := searchPath(); !slices.Equal(got, []string{"/a", "/b", "/data/nnid/plugins"}) {
		t.Error(got)
	}
	t.Setenv("XDG_DATA_HOME", "relative")
	t.Setenv("HOME", "/home/x")
	if got := DataFolder(); got != "/home/x/.local/share/nnid" {
		t.Error(got)
	}
}

// A file that can't run is one sentence, and nothing is run that others could have put there.
func TestFiles(t *testing.T) {
	ctx := testContext(t)
	path := t.TempDir()
	write := func(name, content string, mode fs.FileMode) {
		file := filepath.Join(path, filePrefix+name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("format", "\x7fELF, as it were", 0o755)
	write("interpreter", "#!/no/such/python\n", 0o755)
	write("mode", "#!/bin/sh\n", 0o644)
	write("public", "#!/bin/sh\n", 0o757)
	h := newHost(t, path)
	listings, err := h.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, l := range listings {
		text += fmt.Sprintf("%s: %v\n", l.Plugin, l.Err)
	}
	golden(t, "files.txt", strings.ReplaceAll(text, path, "FOLDER"))
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := mayRun(filepath.Join(path, filePrefix+"format")); err == nil {
		t.Error("a plugin in a folder that everybody can write to")
	}
}

func TestVerification(t *testing.T) {
	ctx := testContext(t)
	data := t.TempDir()
	given := folder(t, "decent")
	lock := func(s *Settings) {
		s.LockFile = filepath.Join(data, "plugins.lock")
		s.SearchPath = []string{filepath.Join(data, "plugins")}
	}
	log := &logBuffer{}
	logging := func(s *Settings) { s.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Warn}) }

	// What nobody has verified runs with a warning, or not at all.
	h := newHost(t, given, logging)
	if _, err := h.Activation(ctx, "tanh", nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "not verified") {
		t.Errorf("no warning: %s", log)
	}
	h = newHost(t, given, func(s *Settings) { s.RequireVerified = true })
	if l, err := h.List(ctx); err != nil || len(l) != 1 || l[0].Err == nil {
		t.Errorf("%v, %v", l, err)
	}

	h = newHost(t, given, lock)
	added, err := h.Add(ctx, filepath.Join(given, "nnid-plugin-decent"), true)
	if err != nil {
		t.Fatal(err)
	}
	if added.Path != filepath.Join(data, "plugins", "nnid-plugin-decent") || len(added.SHA256) != 64 {
		t.Errorf("%+v", added)
	}
	log2 := &logBuffer{}
	h = newHost(t, given, lock, func(s *Settings) {
		s.RequireVerified = true
		s.Logger = hclog.New(&hclog.LoggerOptions{Output: log2, Level: hclog.Warn})
	})
	a, err := h.Activation(ctx, "decent/tanh", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Derivative(ctx, 0, []float64{0}); err != nil {
		t.Error(err)
	}
	if log2.String() != "" {
		t.Errorf("a verified plugin is warned of: %s", log2)
	}
	if l, err := h.Verify(); err != nil || len(l) != 1 || !l[0].Verified || l[0].Err != nil {
		t.Errorf("%+v, %v", l, err)
	}

	// Another host has looked at it; then it is replaced, before the launch.
	late := newHost(t, given, lock)
	if l, err := late.List(ctx); err != nil || !l[0].Verified {
		t.Fatalf("%+v, %v", l, err)
	}
	if err := replaceFile(added.Path, []byte("#!/bin/sh\ntouch "+data+"/ran\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = late.Activation(ctx, "tanh", nil)
	if !fault.Is(err, fault.Plugin) || !strings.Contains(err.Error(), "nnid plugins add") {
		t.Errorf("replaced after the look: %v", err)
	}
	h = newHost(t, given, lock)
	if l, err := h.List(ctx); err != nil || l[0].Err == nil || l[0].Verified {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := h.Verify(); err != nil || l[0].Err == nil || l[0].Verified {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := os.Stat(filepath.Join(data, "ran")); err == nil {
		t.Error("the replaced plugin was run")
	}
	if err := os.WriteFile(filepath.Join(data, "plugins.lock"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Verify(); !fault.Is(err, fault.Usage) {
		t.Errorf("a damaged lock file: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("NNID_TOKEN", "for the oracle")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not for plugins")
	t.Setenv("CHOSEN_TOKEN", "as the user asked")
	t.Setenv("https_proxy", "http://proxy")
	t.Setenv(sdkhost.CookieKey, "inherited")
	h := newHost(t, folder(t, "environment"), func(s *Settings) {
		s.PassEnv, s.Env = []string{"CHOSEN_*"}, []string{"EXTRA=1"}
	})
	text := useActivation(testContext(t), h).Error()
	variables := strings.Split(text, "\n")
	for _, want := range []string{"NNID_TOKEN=for the oracle", "CHOSEN_TOKEN=as the user asked", "https_proxy=http://proxy", "EXTRA=1"} {
		if !slices.Contains(variables, want) {
			t.Errorf("%s is missing", want)
		}
	}
	// The secret of others stays; and what the plugin starts is no plugin, and has no lifeline to hold.
	for _, never := range []string{"AWS_", sdkhost.CookieKey, sdkhost.LifelineVariable, "PLUGIN_CLIENT_CERT"} {
		if strings.Contains(text, never) {
			t.Errorf("%s gets through", never)
		}
	}
}

func TestSockets(t *testing.T) {
	base := t.TempDir()
	stale, fresh := filepath.Join(base, socketPrefix+"1"), filepath.Join(base, socketPrefix+"2")
	for _, path := range []string{stale, fresh} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(base, strings.Repeat("x", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := newSockets([]string{"", long, "/does/not/exist", base})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(s.path) != base {
		t.Errorf("%s %v %v", s.path, info.Mode(), err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("what a killed host left is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("what may be another's was removed")
	}
	// Ours is old now, but locked.
	if err := os.Chtimes(s.path, old, old); err != nil {
		t.Fatal(err)
	}
	sweep(base)
	if _, err := os.Stat(s.path); err != nil {
		t.Error("a folder in use was removed")
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.path); err == nil {
		t.Error("the folder was not removed")
	}
	if _, err := newSockets([]string{long}); !fault.Is(err, fault.Plugin) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("only a long path: %v", err)
	}
}

// What was opened in a process that crashed stays dead, with the reason; what is opened afterwards lives.
func TestKilledInCall(t *testing.T) {
	ctx := testContext(t)
	h := newHost(t, folder(t, "decent"))
	a, err := h.Activation(ctx, "wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	pids := h.pids(t)
	time.AfterFunc(100*time.Millisecond, func() { _ = syscall.Kill(pids[0], syscall.SIGKILL) })
	for range 2 {
		_, err = a.Derivative(ctx, 0, []float64{1})
		if !fault.Is(err, fault.Plugin) || !strings.Contains(err.Error(), "SIGKILL") {
			t.Fatalf("killed: %v", err)
		}
	}
	a, err = h.Activation(ctx, "tanh", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Derivative(ctx, 0, []float64{1}); err != nil {
		t.Error(err)
	}
	if now := h.pids(t); len(now) != 1 || now[0] == pids[0] {
		t.Errorf("processes %v, before %v", now, pids)
	}
}

func TestClose(t *testing.T) {
	ctx := testContext(t)
	h := newHost(t, folder(t, "decent", "slow"))
	a, err := h.Activation(ctx, "wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	pids, sockets := h.pids(t), h.sockets.path
	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := a.Derivative(ctx, 0, []float64{1}); !fault.Is(err, fault.Plugin) {
			t.Errorf("a call when the host is closed: %v", err)
		}
	})
	calls.Go(func() {
		if _, err := h.Activation(ctx, "slow/bad", nil); !fault.Is(err, fault.Plugin) {
			t.Errorf("a launch when the host is closed: %v", err)
		}
	})
	time.Sleep(500 * time.Millisecond)
	began := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
	calls.Wait()
	if alive(pids[0]) {
		t.Error("the process lives on")
	}
	if _, err := os.Stat(sockets); err == nil {
		t.Error("the sockets are still there")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if _, err := h.Activation(ctx, "tanh", nil); !fault.Is(err, fault.Plugin) {
		t.Errorf("opened after Close: %v", err)
	}
	if _, err := a.Derivative(ctx, 0, []float64{1}); !fault.Is(err, fault.Plugin) {
		t.Errorf("called after Close: %v", err)
	}
}

func TestLaunchIsCancelled(t *testing.T) {
	h := newHost(t, folder(t, "slow"))
	if _, err := h.List(testContext(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := useActivation(ctx, h); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestConcurrentUse(t *testing.T) {
	ctx := testContext(t)
	h := newHost(t, t.TempDir(), withSelf)
	var group sync.WaitGroup
	for k := range 16 {
		group.Go(func() {
			a, err := h.Activation(ctx, "tanh", nil)
			if err != nil {
				t.Error(err)
				return
			}
			y, err := a.Derivative(ctx, 0, []float64{float64(k)})
			if err != nil || y[0] != math.Tanh(float64(k)) {
				t.Errorf("%v, %v", y, err)
			}
		})
	}
	group.Wait()
	if n := len(h.pids(t)); n != 1 {
		t.Errorf("%d processes", n)
	}
}

// What a plugin has started ends with it, even if it keeps the plugin's output open.
func TestFamily(t *testing.T) {
	ctx := testContext(t)
	h := newHost(t, folder(t, "family"), func(s *Settings) { s.StopTimeout = time.Minute })
	a, err := h.Activation(ctx, "bad", nil)
	if err != nil {
		t.Fatal(err)
	}
	child, err := a.Derivative(ctx, 0, []float64{0})
	if err != nil {
		t.Fatal(err)
	}
	if !alive(int(child[0])) {
		t.Fatal("no child")
	}
	began := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("closing took %v", took)
	}
	eventually(t, "the child ends", func() bool { return !alive(int(child[0])) })
}

// hostToBeKilled is the main function of a host that opens a plugin, says which process that is, and waits for its end.
func hostToBeKilled() {
	self := decent("nnid")
	h := New(Settings{SearchPath: []string{os.Getenv("TEST_HOST_FOLDER")}, Self: &self})
	for _, name := range []string{"nnid/tanh", "decent/tanh"} {
		if _, err := h.Activation(context.Background(), name, nil); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	for _, s := range h.processes {
		fmt.Println("plugin", s.process.runner.ID())
	}
	fmt.Println("sockets", h.sockets.path)
	select {}
}

// A host that is killed, by whatever signal, leaves no process behind.
func TestNoOrphans(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			host := exec.Command(self)
			host.Env = append(os.Environ(), "TEST_HOST_FOLDER="+folder(t, "decent"))
			stdout, err := host.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := host.Start(); err != nil {
				t.Fatal(err)
			}
			var pids []int
			sockets := ""
			for lines := bufio.NewScanner(stdout); sockets == "" && lines.Scan(); {
				switch fields := strings.Fields(lines.Text()); fields[0] {
				case "plugin":
					pid, err := strconv.Atoi(fields[1])
					if err != nil {
						t.Fatal(err)
					}
					pids = append(pids, pid)
				case "sockets":
					sockets = fields[1]
				default:
					t.Error(lines.Text())
				}
			}
			if len(pids) != 2 || !alive(pids[0]) || !alive(pids[1]) {
				t.Fatalf("processes %v", pids)
			}
			if err := host.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = host.Wait() // killed, as it was to be
			for _, pid := range pids {
				eventually(t, "the plugin ends", func() bool { return !alive(pid) })
			}
			_ = os.RemoveAll(sockets) // the next host would, but only when it is old
		})
	}
}

// Where the kernel does not end a plugin with its host, the SDK does: when the lifeline is cut, or the parent is another.
func TestLifeline(t *testing.T) {
	path := filepath.Join(folder(t, "decent"), "nnid-plugin-decent")
	start := func(variables ...string) (*exec.Cmd, *os.File) {
		end, lifeline, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path)
		cmd.Env = append(append(os.Environ(), sdkhost.CookieKey+"="+sdkhost.CookieValue, "PLUGIN_PROTOCOL_VERSIONS=1"), variables...)
		cmd.ExtraFiles = []*os.File{end}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = end.Close() // the child has its own
		if !bufio.NewScanner(stdout).Scan() && !strings.Contains(strings.Join(variables, ""), "=1") {
			t.Fatal("no handshake")
		}
		return cmd, lifeline
	}
	ended := func(cmd *exec.Cmd) {
		t.Helper()
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait() // the state says it
		if cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("it %s", exit(cmd.ProcessState))
		}
	}
	cmd, lifeline := start(sdkhost.LifelineVariable + "=3")
	if !alive(cmd.Process.Pid) {
		t.Fatal("it ended with the lifeline whole")
	}
	if err := lifeline.Close(); err != nil {
		t.Fatal(err)
	}
	ended(cmd)

	cmd, lifeline = start(sdkhost.ParentVariable + "=1") // whose child it is not
	defer lifeline.Close()
	ended(cmd)
}

// A plugin that can't say goodbye is killed.
func TestStopTimeout(t *testing.T) {
	h := newHost(t, folder(t, "decent"), func(s *Settings) { s.StopTimeout = 300 * time.Millisecond })
	if _, err := h.Activation(testContext(t), "tanh", nil); err != nil {
		t.Fatal(err)
	}
	pid := h.pids(t)[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second || alive(pid) {
		t.Errorf("closing took %v; alive: %v", took, alive(pid))
	}
}

// A plugin that somebody runs, in a debugger for instance, is used where it is, and left running.
func TestReattach(t *testing.T) {
	ctx := testContext(t)
	path := folder(t, "decent")
	running := exec.Command(filepath.Join(path, "nnid-plugin-decent"), "--nnid-debug")
	stdout, err := running.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), sdkhost.ReattachVariable+"="); ok {
			t.Setenv(sdkhost.ReattachVariable, strings.Trim(text, "'"))
			break
		}
	}
	h := newHost(t, path)
	a, err := h.Activation(ctx, "tanh", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if y, err := a.Derivative(ctx, 0, []float64{1}); err != nil || y[0] != math.Tanh(1) {
			t.Errorf("%v, %v", y, err)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if !alive(running.Process.Pid) {
		t.Error("the process was ended with the host")
	}
	if err := running.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := running.Wait(); err != nil {
		t.Errorf("after the interrupt: %v", err)
	}

	t.Setenv(sdkhost.ReattachVariable, "{")
	if err := useActivationNamed(ctx, newHost(t, path), "tanh"); !fault.Is(err, fault.Usage) {
		t.Errorf("a damaged variable: %v", err)
	}
}

func useActivationNamed(ctx context.Context, h *Host, name string) error {
	_, err := h.Activation(ctx, name, nil)
	return err
}

// Log lines and prints reach the host's log, at their level, under the plugin's name.
func TestLog(t *testing.T) {
	log := &logBuffer{}
	ctx := testContext(t)
	h := newHost(t, folder(t, "prints", "panics"), func(s *Settings) {
		s.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug, Name: "nnid"})
	})
	for _, name := range []string{"prints/bad", "panics/bad"} {
		a, err := h.Activation(ctx, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = a.Derivative(ctx, 0, []float64{1}) // what becomes of it, TestMuseum says
	}
	for _, want := range []string{"[DEBUG] nnid.prints: welcome!", "[DEBUG] nnid.prints: called", "[ERROR] nnid.panics: the plugin panicked", "museum_test.go"} {
		eventually(t, want, func() bool { return strings.Contains(log.String(), want) })
	}
}

// A plugin that says that it can't do TLS is not asked for it.
func TestPlainText(t *testing.T) {
	ctx := testContext(t)
	a, err := newHost(t, folder(t, "no-tls")).Activation(ctx, "tanh", nil)
	if err != nil {
		t.Fatal(err)
	}
	if y, err := a.Derivative(ctx, 0, []float64{1}); err != nil || y[0] != math.Tanh(1) {
		t.Errorf("%v, %v", y, err)
	}
}

func TestInProcess(t *testing.T) {
	ctx := testContext(t)
	p := InProcess{decent("nnid")}
	if _, err := p.Activation(ctx, "tanh", nil); err != nil {
		t.Error(err)
	}
	if _, err := p.Solver(ctx, "echo", nil); err != nil {
		t.Error(err)
	}
	if _, err := p.Oracle(ctx, "sum", core.Options{"x": "y"}); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
	if _, err := p.Oracle(ctx, "summ", nil); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), `did you mean "sum"?`) {
		t.Error(err)
	}
}

func TestDescriptionRoundTrip(t *testing.T) {
	want := decent("nnid").Describe()
	want.Components[0].Options = []core.Option{{Name: "a", Usage: "b", Default: "c", Required: true, Secret: true}}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got sdk.Description
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// What the process boundary costs.
func BenchmarkDerivative(b *testing.B) {
	ctx := context.Background()
	h := newHost(b, b.TempDir(), withSelf, func(s *Settings) { s.Logger = nil })
	outside, err := h.Activation(ctx, "tanh", nil)
	if err != nil {
		b.Fatal(err)
	}
	inside, err := InProcess{decent("nnid")}.Activation(ctx, "tanh", nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 1000, 100000} {
		t := make([]float64, n)
		for _, form := range []struct {
			name string
			a    core.Activation
		}{{"process", outside}, {"inside", inside}} {
			b.Run(fmt.Sprintf("%s/%d", form.name, n), func(b *testing.B) {
				b.SetBytes(int64(16 * n))
				for b.Loop() {
					if _, err := form.a.Derivative(ctx, 0, t); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
