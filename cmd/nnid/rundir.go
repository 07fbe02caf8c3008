package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/query"
)

// Files of a run directory, part of the command's contract.
const (
	fileNetwork = "network.json" // the network found
	fileOutputs = "outputs.npz"  // with --outputs: the network with all its outputs
	fileResult  = "result.json"  // identify.Result
	fileJournal = "journal"      // queries and answers, see query.JournalFormat
	fileRun     = "run.json"     // what was run: versions, flags, plugins
	fileEvents  = "events.jsonl" // progress, a JSON object a line
	fileReport  = "report.html"  // all of it for people
)

// runDirectory is where a run keeps its files.
type runDirectory struct {
	path   string
	stages []string // files that the stages of this run of the recipe paper wrote

	mu     sync.Mutex
	events *os.File
	failed bool // writing events failed; they are dropped from then on, the run matters more
}

// defaultRunDirectory follows from what is asked, so that the same command finds its journal again and another one
// gets a folder of its own.
func defaultRunDirectory(identity query.Identity) (string, error) {
	data, err := json.Marshal(identity)
	if err != nil {
		return "", fault.New(fault.Internal, "the run cannot be named: %w", err)
	}
	sum := sha256.Sum256(data)
	return "nnid-run-" + path.Base(identity.Oracle) + "-" + hex.EncodeToString(sum[:4]), nil // Base: of PLUGIN/NAME
}

func openRunDirectory(path string) (*runDirectory, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fault.New(fault.Usage, "the run directory %s cannot be made: %w; choose another with --run-dir", path, pathCause(err))
	}
	events, err := os.OpenFile(filepath.Join(path, fileEvents), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fault.New(fault.Usage, "the run directory %s cannot be written: %w; choose another with --run-dir", path, pathCause(err))
	}
	return &runDirectory{path: path, events: events}, nil
}

func (d *runDirectory) file(name string) string { return filepath.Join(d.path, name) }

func (d *runDirectory) close() error { return d.events.Close() }

// eventLine is a line of events.jsonl and of --json.
type eventLine struct {
	Time time.Time `json:"time"`
	Kind string    `json:"event"` // start, progress, result or error
	*identify.Event
	RunDir string           `json:"run_dir,omitempty"`
	Result *identify.Result `json:"result,omitempty"`
	Error  string           `json:"error,omitempty"`
}

func (d *runDirectory) event(line eventLine) {
	data, err := marshal(line)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed {
		return
	}
	_, err = d.events.Write(append(data, '\n'))
	d.failed = err != nil
}

func (d *runDirectory) writeJSON(name string, value any) error {
	data, err := marshal(value)
	if err != nil {
		return fault.New(fault.Internal, "%s cannot be written as JSON: %w", name, err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return fault.New(fault.Internal, "%s cannot be written as JSON: %w", name, err)
	}
	indented.WriteByte('\n')
	return d.write(name, indented.Bytes())
}

// write replaces a file as a whole: a run cut off here leaves the old one or the new one.
func (d *runDirectory) write(name string, data []byte) error {
	temporary, err := os.CreateTemp(d.path, "."+name+"-*")
	if err != nil {
		return fault.New(fault.Internal, "%s cannot be written: %w", d.file(name), pathCause(err))
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), d.file(name))
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return fault.New(fault.Internal, "%s cannot be written: %w", d.file(name), err)
	}
	return nil
}

// pathCause strips the path that os errors repeat.
func pathCause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// runRecord is what run.json holds: what it takes to know what was run, and to run it again. It holds no secrets.
type runRecord struct {
	Format   string            `json:"format"`
	Version  string            `json:"version"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Started  time.Time         `json:"started"`
	Flags    map[string]any    `json:"flags"`
	Seed     uint64            `json:"seed"`
	Oracle   oracleRecord      `json:"oracle"`
	Solver   componentRecord   `json:"solver"`
	Families []componentRecord `json:"activations"`
	Plugins  []pluginRecord    `json:"plugins"`
	Journal  journalRecord     `json:"journal"`
}

type componentRecord struct {
	Name    string            `json:"name"`
	Options map[string]string `json:"options,omitempty"`
}

type oracleRecord struct {
	componentRecord
	Inputs   int    `json:"inputs"`
	Outputs  int    `json:"outputs,omitempty"`
	Output   int    `json:"output"`
	DType    string `json:"dtype,omitempty"`
	MaxBatch int    `json:"max_batch,omitempty"`
	Model    string `json:"model"`
}

type pluginRecord struct {
	Plugin   string `json:"plugin"`
	Version  string `json:"version"`
	SDK      string `json:"sdk"`
	Origin   string `json:"origin"`
	Path     string `json:"path,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	Verified bool   `json:"verified"`
}

type journalRecord struct {
	Format      string `json:"format"`
	Replayed    int64  `json:"rows_from_earlier_runs"`
	LostRecords int    `json:"lost_records,omitempty"`
	LostRows    int64  `json:"lost_rows,omitempty"`
	CutBytes    int64  `json:"cut_bytes,omitempty"`
}

const runFormat = "nnid/run/v1"

func plural(n int64, one string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}
