//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// tiny is a network whose identification is over in a moment.
const tiny = `{"format": "nnid/network/v1", "layers": [
	{"weight": [[0.9, -0.4, 0.2], [0.3, 0.8, -0.6]], "bias": [0.1, -0.3], "activation": "tanh"},
	{"weight": [[0.7, -0.9]], "bias": [0.2], "activation": "tanh"},
	{"weight": [[1.5]], "bias": [0.4], "activation": "identity"}]}`

// deadly is a model server that kills whoever asks it, at a moment that is set.
type deadly struct {
	*modelServer
	mu       sync.Mutex
	left     int           // requests until it strikes; below 0 never
	before   bool          // strikes before it answers, not after
	delay    time.Duration // after the answer
	strike   func()        // the process to kill
	underway []string      // the rows of the latest request
	requests int
}

func (d *deadly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		d.modelServer.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // killed while it was writing
	}
	d.mu.Lock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	x, err := readTensor(r, "FP64", d.net.Inputs())
	d.underway = nil
	if err == nil {
		rows, _ := x.Dims()
		for i := range rows {
			d.underway = append(d.underway, rowName(x.RawRowView(i)))
		}
	}
	d.requests++
	d.left--
	now, before, delay, strike := d.left == 0, d.before, d.delay, d.strike
	d.mu.Unlock()
	if now && before {
		strike()
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	d.modelServer.ServeHTTP(w, r)
	if now {
		time.AfterFunc(delay, strike)
	}
}

// run starts the command, to be killed after so many requests and the delay, and waits for its end. killed is false when
// it was done before that.
func (d *deadly) run(t *testing.T, folder string, random *rand.Rand, requests int) (killed bool) {
	t.Helper()
	var stderr bytes.Buffer
	command := exec.Command(binary, "identify", "-q", "--activation", "tanh", "--run-dir", folder,
		"--oracle", "oip", "--oracle-option", "url="+d.URL, "--oracle-option", "model=good")
	command.Stderr = &stderr
	command.Env = append(os.Environ(), "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder, "NNID_PLUGIN_PATH=")
	started := make(chan struct{})
	d.mu.Lock()
	d.left, d.before, d.delay, d.underway = requests, random.IntN(3) == 0, time.Duration(random.IntN(3000))*time.Microsecond, nil
	d.strike = func() { <-started; _ = command.Process.Kill() }
	d.mu.Unlock()
	if err := command.Start(); err != nil {
		t.Error(err)
		close(started)
		return false
	}
	close(started)
	if requests == 0 { // before it has asked anything, or while it reads the journal
		time.AfterFunc(time.Duration(random.IntN(300))*time.Millisecond, d.strike)
	}
	err := command.Wait()
	if err != nil { // the oracle's own process outlives the command by moments, and its last request with it
		time.Sleep(50 * time.Millisecond)
	}
	d.mu.Lock()
	d.left = -1
	d.mu.Unlock()
	switch {
	case err == nil:
		return false
	case !strings.Contains(err.Error(), "killed"):
		t.Errorf("ended with %v, %s", err, stderr.String())
	}
	return true
}

// TestKilledAtRandom kills -9 the command at 200 random moments of its runs, each time repeating it: a row is asked again only
// if its request was the one under way when the process died, and the result is that of a run nobody disturbed.
func TestKilledAtRandom(t *testing.T) {
	const kills, workers, killsARun = 200, 2, 20
	file := filepath.Join(t.TempDir(), "tiny.json")
	if err := os.WriteFile(file, []byte(tiny), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(t *testing.T) *deadly {
		d := &deadly{modelServer: newModelServer(t, file), left: -1}
		d.Server = httptest.NewServer(d)
		t.Cleanup(d.Close)
		return d
	}
	outcome := func(t *testing.T, folder string) (network string, queries int) {
		var result struct {
			Identified bool
			Queries    int
		}
		if err := json.Unmarshal([]byte(readFile(t, filepath.Join(folder, fileResult))), &result); err != nil || !result.Identified {
			t.Errorf("%+v, %v", result, err)
		}
		return readFile(t, filepath.Join(folder, fileNetwork)), result.Queries
	}
	whole := start(t)
	folder := filepath.Join(t.TempDir(), "run")
	if whole.run(t, folder, rand.New(rand.NewPCG(1, 1)), -1) {
		t.Fatal("the run that nobody disturbs was killed")
	}
	wantNetwork, wantQueries := outcome(t, folder)
	wantSeen := whole.seen["good"]
	t.Logf("%d queries in %d requests", wantQueries, whole.requests)

	for worker := range workers {
		t.Run("worker", func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(200, uint64(worker)))
			d := start(t)
			lost, runs := 0, 0
			for killed := 0; killed < kills/workers; {
				folder := filepath.Join(t.TempDir(), "run")
				d.modelServer.mu.Lock()
				clear(d.seen["good"])
				d.modelServer.mu.Unlock()
				allowed := maps.Clone(wantSeen) // how often each row may be answered
				for inRun := 0; ; inRun++ {
					requests := -1
					if killed < kills/workers && inRun < 2*killsARun {
						requests = random.IntN(2 * whole.requests / killsARun)
					}
					if !d.run(t, folder, random, requests) {
						break
					}
					killed++
					for _, row := range d.underway {
						allowed[row]++
					}
				}
				runs++
				network, queries := outcome(t, folder)
				if network != wantNetwork || queries != wantQueries {
					t.Errorf("another result: %d queries, not %d, or another network", queries, wantQueries)
				}
				d.modelServer.mu.Lock()
				for row, times := range d.seen["good"] {
					if times > allowed[row] {
						t.Errorf("the row %s was answered %d times; %d would have done", row, times, allowed[row])
					}
					lost += times - wantSeen[row]
				}
				for row := range wantSeen {
					if d.seen["good"][row] == 0 {
						t.Errorf("the row %s was not asked", row)
					}
				}
				d.modelServer.mu.Unlock()
			}
			t.Logf("%d runs, killed %d times; %d of their answers were under way and paid for twice", runs, kills/workers, lost)
		})
	}
}

// A journal whose end is torn or whose middle is damaged is cut and reported; what was lost is asked again, and the result is
// the same.
func TestTornJournal(t *testing.T) {
	server := startModelServer(t)
	args := func(run string, more ...string) []string {
		return append([]string{"identify", "--activation", "tanh", "--run-dir", run, "--oracle", "oip",
			"--oracle-option", "url=" + server.URL, "--oracle-option", "model=good"}, more...)
	}
	whole := filepath.Join(t.TempDir(), "run")
	if status, _, stderr := nnid(t, args(whole)...); status != 0 {
		t.Fatal(stderr)
	}
	for name, c := range map[string]struct {
		spoil func(journal []byte) []byte
		want  string
	}{
		"torn":    {func(j []byte) []byte { return j[:len(j)-7] }, "an incomplete record of "},
		"garbage": {func(j []byte) []byte { return append(j, bytes.Repeat([]byte("oops"), 100)...) }, "an incomplete record of 400 bytes at the end was cut off"},
		"damaged": {func(j []byte) []byte { j[len(j)/2] ^= 16; return j }, "1 damaged record(s) holding "},
	} {
		run := filepath.Join(t.TempDir(), "run")
		if status, _, _ := nnid(t, args(run, "--max-queries", "400")...); status != statusNotIdentified {
			t.Fatalf("status %d", status)
		}
		path := filepath.Join(run, fileJournal)
		if err := os.WriteFile(path, c.spoil([]byte(readFile(t, path))), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := nnid(t, args(run)...)
		if status != 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: status %d, %s", name, status, stderr)
		}
		if readFile(t, filepath.Join(run, fileNetwork)) != readFile(t, filepath.Join(whole, fileNetwork)) {
			t.Errorf("%s: another network", name)
		}
	}
}
