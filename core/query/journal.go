package query

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"sync"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// JournalFormat is the format and version of a journal file: a header, then records, all integers little-endian.
//
//	header: "nnid/journal/v1\n", uint32 length, identity as JSON, uint32 CRC-32C of all before
//	record: 8 bytes mark, uint32 rows, uint32 d, uint64 rows in all records before,
//	        rows x d float64 (queries), rows x k float64 (answers), uint32 CRC-32C of the record up to here
//	notice: 8 bytes mark of its own, uint32 rows, uint32 CRC-32C of the notice up to here
//
// A notice stands before each call: rows that were asked and have no record were under way when the run was killed, or their call failed.
//
// k is the identity's number of outputs, or 1 where it has none: then answers are those of one output.
// The mark and the count of rows before let a reader find the next whole record behind a damaged stretch, and say how
// many rows the stretch held.
const JournalFormat = "nnid/journal/v1\n"

var (
	recordMark = []byte{0xa7, 'n', 'n', 'i', 'd', 0xf1, 0x5e, 0x0d}
	noticeMark = []byte{0xa7, 'n', 'n', 'i', 'd', 0xf1, 0x5e, 0x0a}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const (
	recordHead        = 8 + 4 + 4 + 8
	recordTail        = 4
	noticeLength      = 8 + 4 + 4
	maxIdentity       = 1 << 20
	maxInputs         = 1 << 24
	maxOutputs        = 1 << 20
	maxRecordPayload  = 1 << 30
	journalPermission = 0o600 // queries and answers may be confidential
)

// Identity says whose answers a journal holds. Answers of one model are never taken for those of another.
type Identity struct {
	Oracle  string            `json:"oracle"`            // the oracle's name
	Model   string            `json:"model"`             // as the oracle declares it
	Options map[string]string `json:"options,omitempty"` // no secrets; they identify the model where Model is empty
	Inputs  int               `json:"inputs"`
	Output  int               `json:"output"`            // the one that is identified
	Outputs int               `json:"outputs,omitempty"` // how many are kept of each answer, all that the model has; 0: the one above
	Seed    uint64            `json:"seed"`
}

// Recovery is what opening a journal found.
type Recovery struct {
	Rows        int64 // rows read back
	LostRecords int   // records in damaged stretches, at least
	LostRows    int64 // rows in them: paid for, but not legible any more
	CutBytes    int64 // length of a torn end, cut off
}

// String is empty when nothing was lost.
func (r Recovery) String() string {
	text := ""
	if r.LostRecords > 0 {
		text = fmt.Sprintf("%d damaged record(s) holding %d answered queries could not be read and were skipped", r.LostRecords, r.LostRows)
	}
	if r.CutBytes > 0 {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("an incomplete record of %d bytes at the end was cut off", r.CutBytes)
	}
	return text
}

// Journal is an append-only file of queries and their answers, synced to disk after every batch.
type Journal struct {
	path     string
	identity Identity
	file     *os.File
	start    int64 // where records begin
	recovery Recovery

	mu     sync.Mutex
	end    int64 // where the next record goes
	rows   int64 // rows in all records, lost ones included
	asked  int64 // rows in all notices
	broken error // set when a write failed: nothing is appended after a torn record
}

// OpenJournal opens or creates the journal at path and holds it until Close: a second process is refused. A torn end,
// left by a crash or a full disk, is cut off and damaged stretches are passed over; see [Journal.Recovery]. A journal of
// another model, output or seed is refused.
func OpenJournal(path string, identity Identity) (*Journal, error) {
	if identity.Inputs < 1 || identity.Inputs > maxInputs {
		return nil, fault.New(fault.Usage, "a journal of %d inputs cannot be kept; the number must be between 1 and %d", identity.Inputs, maxInputs)
	}
	if identity.Outputs < 0 || identity.Outputs > maxOutputs {
		return nil, fault.New(fault.Usage, "a journal of %d outputs cannot be kept; the number must be between 1 and %d", identity.Outputs, maxOutputs)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, journalPermission)
	if err != nil {
		return nil, fault.New(fault.Usage, "the journal %s cannot be opened: %w", path, cause(err))
	}
	j := &Journal{path: path, identity: identity, file: file}
	if err := j.open(); err != nil {
		file.Close()
		return nil, err
	}
	return j, nil
}

func (j *Journal) open() error {
	if err := lock(j.file); err != nil {
		return fault.New(fault.Usage, "the journal %s is in use by another process; wait for it, or choose another run directory", j.path)
	}
	info, err := j.file.Stat()
	if err != nil {
		return fault.New(fault.Usage, "the journal %s cannot be read: %w", j.path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return fault.New(fault.Usage, "the journal %s is not a regular file", j.path)
	}
	header, err := encodeHeader(j.identity)
	if err != nil {
		return err
	}
	size := info.Size()
	old := make([]byte, min(size, int64(len(header))))
	if _, err := io.ReadFull(io.NewSectionReader(j.file, 0, size), old); err != nil {
		return fault.New(fault.Usage, "the journal %s cannot be read: %w", j.path, cause(err))
	}
	// An empty file, or one whose making was cut short, is begun anew: no answer can be in it.
	if size < int64(len(header)) && bytes.HasPrefix(header, old) {
		return j.create(header)
	}
	if err := j.readHeader(size); err != nil {
		return err
	}
	end, err := j.scan(size, func([]byte, int) {})
	if err != nil {
		return err
	}
	j.end = end
	if end == size {
		return nil
	}
	j.recovery.CutBytes = size - end
	if err := j.file.Truncate(end); err != nil {
		return fault.New(fault.Usage, "the torn end of the journal %s cannot be cut off: %w", j.path, cause(err))
	}
	return j.sync()
}

func (j *Journal) create(header []byte) error {
	if err := j.file.Truncate(0); err != nil {
		return fault.New(fault.Usage, "the journal %s cannot be written: %w", j.path, cause(err))
	}
	if _, err := j.file.WriteAt(header, 0); err != nil {
		return fault.New(fault.Usage, "the journal %s cannot be written: %w", j.path, cause(err))
	}
	j.start, j.end = int64(len(header)), int64(len(header))
	if err := j.sync(); err != nil {
		return err
	}
	// The file's name must survive a crash as well as its content. Not every file system can sync a directory.
	if dir, err := os.Open(filepath.Dir(j.path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

func encodeHeader(identity Identity) ([]byte, error) {
	data, err := json.Marshal(identity)
	if err != nil {
		return nil, fault.New(fault.Internal, "the journal's identity cannot be written as JSON: %w", err)
	}
	if len(data) > maxIdentity {
		return nil, fault.New(fault.Usage, "the oracle's options are too long to be kept in a journal (%d bytes)", len(data))
	}
	header := []byte(JournalFormat)
	header = binary.LittleEndian.AppendUint32(header, uint32(len(data)))
	header = append(header, data...)
	return binary.LittleEndian.AppendUint32(header, crc32.Checksum(header, castagnoli)), nil
}

// readHeader checks that the file is a journal, of this version and of this identity.
func (j *Journal) readHeader(size int64) error {
	head := make([]byte, len(JournalFormat)+4)
	if size < int64(len(head)) || j.readAt(head, 0) != nil || string(head[:len("nnid/journal/")]) != "nnid/journal/" {
		return fault.New(fault.Usage, "%s is not a journal of nnid; move it away, or choose another run directory", j.path)
	}
	if string(head[:len(JournalFormat)]) != JournalFormat {
		return fault.New(fault.Usage, "the journal %s is of another version than %s; use the nnid that wrote it, or choose another run directory", j.path, "nnid/journal/v1")
	}
	damaged := fault.New(fault.Usage, "the header of the journal %s is damaged, so it cannot be told whose answers it holds; choose another run directory", j.path)
	length := binary.LittleEndian.Uint32(head[len(JournalFormat):])
	if length > maxIdentity || size < int64(len(head))+int64(length)+4 {
		return damaged
	}
	whole := make([]byte, len(head)+int(length)+4)
	if err := j.readAt(whole, 0); err != nil {
		return err
	}
	body := whole[:len(whole)-4]
	var found Identity
	if binary.LittleEndian.Uint32(whole[len(body):]) != crc32.Checksum(body, castagnoli) || json.Unmarshal(body[len(head):], &found) != nil {
		return damaged
	}
	if text := found.differs(j.identity); text != "" {
		return fault.New(fault.Usage, "the journal %s is %s; repeat the command that began it, or choose another run directory", j.path, text)
	}
	j.start = int64(len(whole))
	return nil
}

// differs says in words what sets the journal's identity apart from the wanted one.
func (i Identity) differs(wanted Identity) string {
	switch {
	case i.Oracle != wanted.Oracle:
		return fmt.Sprintf("of the oracle %q, not %q", i.Oracle, wanted.Oracle)
	case i.Model != wanted.Model:
		return fmt.Sprintf("of the model %q, not %q", i.Model, wanted.Model)
	case i.Model == "" && !maps.Equal(i.Options, wanted.Options):
		return fmt.Sprintf("of the oracle options %v, not %v", i.Options, wanted.Options)
	case i.Inputs != wanted.Inputs:
		return fmt.Sprintf("of a model with %d inputs, not %d", i.Inputs, wanted.Inputs)
	case i.Output != wanted.Output:
		return fmt.Sprintf("of output %d, not %d", i.Output, wanted.Output)
	case i.Outputs != wanted.Outputs:
		return fmt.Sprintf("one that keeps %s of every answer, not %s", keeps(i.Outputs), keeps(wanted.Outputs))
	case i.Seed != wanted.Seed:
		return fmt.Sprintf("of seed %d, not %d", i.Seed, wanted.Seed)
	}
	return ""
}

func keeps(outputs int) string {
	if outputs == 0 {
		return "one output"
	}
	return fmt.Sprintf("all %d outputs", outputs)
}

// outputs is how many numbers are kept of an answer.
func (j *Journal) outputs() int { return max(1, j.identity.Outputs) }

// Recovery returns what opening the journal found.
func (j *Journal) Recovery() Recovery { return j.recovery }

// Unanswered returns how many rows were asked whose answers never came, in all runs: these were killed, or calls failed. The backend may
// have answered them all the same.
func (j *Journal) Unanswered() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return max(0, j.asked-j.rows)
}

// Path returns the journal's path.
func (j *Journal) Path() string { return j.path }

// replay visits every answer in the order it was given, and returns the number of rows paid for, lost ones included. What it
// visits with is used again for the next answer.
func (j *Journal) replay(visit func(row, y []float64)) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer func(found Recovery) { j.recovery = found }(j.recovery)
	d, k := j.identity.Inputs, j.outputs()
	row, y := make([]float64, d), make([]float64, k)
	_, err := j.scan(j.end, func(payload []byte, rows int) {
		answers := payload[8*rows*d:]
		for i := range rows {
			numbers(row, payload[8*i*d:])
			numbers(y, answers[8*i*k:])
			visit(row, y)
		}
	})
	return j.rows, err
}

// numbers reads as many as dst holds.
func numbers(dst []float64, data []byte) {
	for i := range dst {
		dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
}

// announce writes that so many rows are about to be asked. It is not synced: it outlives the process, and a machine that fails takes the
// backend's client with it.
func (j *Journal) announce(rows int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	notice := binary.LittleEndian.AppendUint32(append(make([]byte, 0, noticeLength), noticeMark...), uint32(rows))
	notice = binary.LittleEndian.AppendUint32(notice, crc32.Checksum(notice, castagnoli))
	if _, err := j.file.WriteAt(notice, j.end); err != nil {
		return j.fails(err)
	}
	j.end += noticeLength
	j.asked += int64(rows)
	return nil
}

// fails notes that a write has failed, for good.
func (j *Journal) fails(err error) error {
	j.broken = fault.New(fault.Internal, "the journal %s cannot be written (%w), so the run stops before it pays for answers it would lose; make room and repeat the command", j.path, cause(err))
	_ = j.file.Truncate(j.end) // else the next opening cuts it off
	return j.broken
}

// append writes one batch and returns when it is on disk.
func (j *Journal) append(x, y *mat.Dense) error {
	rows, d := x.Dims()
	answers, k := y.Dims()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	size := recordHead + 8*rows*(d+k) + recordTail
	if d != j.identity.Inputs || answers != rows || k != j.outputs() || size > maxRecordPayload {
		return fault.New(fault.Internal, "a batch of %d x %d queries and %d x %d answers does not fit a journal of %d inputs and %d outputs", rows, d, answers, k, j.identity.Inputs, j.outputs())
	}
	record := make([]byte, 0, size)
	record = append(record, recordMark...)
	record = binary.LittleEndian.AppendUint32(record, uint32(rows))
	record = binary.LittleEndian.AppendUint32(record, uint32(d))
	record = binary.LittleEndian.AppendUint64(record, uint64(j.rows))
	for _, m := range []*mat.Dense{x, y} {
		for i := range rows {
			for _, v := range m.RawRowView(i) {
				record = binary.LittleEndian.AppendUint64(record, math.Float64bits(v))
			}
		}
	}
	record = binary.LittleEndian.AppendUint32(record, crc32.Checksum(record, castagnoli))
	if _, err := j.file.WriteAt(record, j.end); err != nil {
		return j.fails(err)
	}
	if err := j.sync(); err != nil {
		j.broken = err
		return err
	}
	j.end += int64(len(record))
	j.rows += int64(rows)
	return nil
}

func (j *Journal) sync() error {
	if err := j.file.Sync(); err != nil {
		return fault.New(fault.Internal, "the journal %s cannot be brought to disk: %w", j.path, cause(err))
	}
	return nil
}

// Close releases the journal for other processes.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = fault.New(fault.Internal, "the journal %s is closed", j.path)
	}
	if err := j.file.Close(); err != nil {
		return fault.New(fault.Internal, "the journal %s cannot be closed: %w", j.path, cause(err))
	}
	return nil
}

// cause strips the path that os errors repeat.
func cause(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}
