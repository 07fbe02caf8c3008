//go:build linux

package host

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/nnid/nnid/sdk"
)

var update = flag.Bool("update", false, "write the golden files")

// The test binary is every plugin that the tests need: called by a name of the museum it behaves as that exhibit does.
func TestMain(m *testing.M) {
	if base := filepath.Base(os.Args[0]); strings.HasPrefix(base, filePrefix) {
		exhibit, ok := museum()[pluginName(base)]
		if !ok {
			os.Exit(99)
		}
		exhibit()
		os.Exit(0)
	}
	if sdk.InPluginProcess() {
		sdk.Serve(decent("nnid"))
	}
	if os.Getenv("TEST_HOST_FOLDER") != "" {
		hostToBeKilled()
	}
	goleak.VerifyTestMain(m)
}

// folder makes a plugin folder with the given exhibits.
func folder(t testing.TB, exhibits ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	for _, name := range exhibits {
		if err := os.Symlink(self, filepath.Join(path, filePrefix+name)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// newHost returns a host without built-ins that searches one folder, and closes it with the test.
func newHost(t testing.TB, search string, change ...func(*Settings)) *Host {
	t.Helper()
	settings := Settings{
		SearchPath: []string{search},
		LockFile:   filepath.Join(t.TempDir(), "plugins.lock"),
		Logger:     testLogger(t),
	}
	for _, c := range change {
		c(&settings)
	}
	h := New(settings)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// logBuffer collects log lines; plugins write to it until their last breath.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func testLogger(t testing.TB) hclog.Logger {
	log := &logBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace})
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// golden compares text with a file in testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s:\ngot  %s\nwant %s", name, text, want)
	}
}
