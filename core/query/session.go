package query

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// A batch is what one call of the oracle carries and what a crash between answer and journal can lose, so it is kept
// moderate: 256 KiB of coordinates are enough to make the cost of a call vanish beside that of its rows.
const (
	defaultBatchBytes = 256 << 10
	defaultBatchRows  = 4096
)

// Settings are how a session asks. The zero value of a field means the default, or no limit.
type Settings struct {
	Inputs     int           // d; needed when the oracle does not declare it, and must agree when it does
	Output     int           // which component of f is identified, counted from 0
	Outputs    int           // how many components f has, all of which are to be kept; 0: only that one is
	MaxQueries int64         // most rows that may be answered, those in the journal included; 0: no limit
	Domain     float64       // no query leaves |x|_inf <= Domain; 0: unbounded
	Journal    *Journal      // where answers are kept; nil: nowhere
	BatchRows  int           // most rows in one call of the oracle; 0: a sane default
	TuneBatch  bool          // find the fastest batch of at most so many rows by trying
	Parallel   int           // most calls of the oracle at the same time, which then share what one Ask asks; 0: one for each Ask
	Rate       float64       // most rows a second; 0: no limit
	Timeout    time.Duration // longest time of one call of the oracle; 0: no limit
	RowCost    float64       // price of a row, in any unit
	MaxCost    float64       // most that all answered rows may cost, those in the journal included; 0: no limit
	Observe    func(n int64) // called with Queries() after every batch, from the goroutine that asked; may be nil
}

// Batch returns the most rows that one call of such an oracle has. Inputs must be known, from either.
func (s Settings) Batch(info core.OracleInfo) int {
	batch := max(1, min(defaultBatchRows, defaultBatchBytes/(8*max(1, s.Inputs, info.Inputs, s.Outputs))))
	if s.BatchRows > 0 {
		batch = s.BatchRows
	}
	if info.MaxBatch > 0 {
		batch = min(batch, info.MaxBatch)
	}
	if s.Rate > 0 {
		batch = min(batch, int(max(1, min(s.Rate, defaultBatchRows)))) // a second's worth, and no burst
	}
	return batch
}

// Session puts queries to an oracle: it implements [Asker]. It is safe for concurrent calls.
type Session struct {
	oracle   core.Oracle
	info     core.OracleInfo
	settings Settings
	batch    *tuner
	pace     pace
	turns    chan struct{} // one for each call under way; nil: no limit

	mu       sync.Mutex
	kept     map[rowKey][]float64 // answers paid for and not yet given, oldest first
	given    int64                // rows given to callers
	answered int64                // rows the oracle answered, in earlier runs too
	reserved int64                // rows that are being asked
}

// rowKey stands for the exact bits of a row. A digest keeps the journal of a long run from being held in memory twice.
type rowKey [16]byte

var _ Asker = (*Session)(nil)

// Open asks the oracle what it is, checks that it fits the settings and takes over the answers in the journal.
func Open(ctx context.Context, oracle core.Oracle, settings Settings) (*Session, error) {
	info, err := oracle.Info(ctx)
	if err != nil {
		return nil, oracleFault(ctx, err)
	}
	switch {
	case info.Inputs < 0 || info.Outputs < 0 || info.MaxBatch < 0:
		return nil, fault.New(fault.Oracle, "the oracle declares %d inputs, %d outputs and batches of %d rows; none may be negative", info.Inputs, info.Outputs, info.MaxBatch)
	case info.Inputs == 0 && settings.Inputs <= 0:
		return nil, fault.New(fault.Usage, "the oracle does not say how many inputs the model has; give the number of inputs")
	case info.Inputs != 0 && settings.Inputs > 0 && info.Inputs != settings.Inputs:
		return nil, fault.New(fault.Usage, "the model has %d inputs, not %d", info.Inputs, settings.Inputs)
	case settings.Output < 0 || (info.Outputs != 0 && settings.Output >= info.Outputs):
		return nil, fault.New(fault.Usage, "there is no output %d: the model has %d outputs, counted from 0", settings.Output, info.Outputs)
	case settings.Outputs < 0 || settings.Outputs > 0 && settings.Output >= settings.Outputs:
		return nil, fault.New(fault.Usage, "there is no output %d among %d, counted from 0", settings.Output, settings.Outputs)
	case info.Outputs != 0 && settings.Outputs > 0 && info.Outputs != settings.Outputs:
		return nil, fault.New(fault.Usage, "the model has %d output(s), not %d", info.Outputs, settings.Outputs)
	case settings.MaxQueries < 0:
		return nil, fault.New(fault.Usage, "the query budget is %d; it must not be negative (0 means no limit)", settings.MaxQueries)
	case settings.BatchRows < 0 || settings.Parallel < 0 || settings.Timeout < 0:
		return nil, fault.New(fault.Usage, "batches of %d rows, %d at the same time, each within %s: none may be negative (0 means the default)", settings.BatchRows, settings.Parallel, settings.Timeout)
	case !finite(settings.Rate) || settings.Rate < 0:
		return nil, fault.New(fault.Usage, "the rate is %v queries a second; it must be positive (0 means no limit)", settings.Rate)
	case !finite(settings.RowCost) || !finite(settings.MaxCost) || settings.RowCost < 0 || settings.MaxCost < 0:
		return nil, fault.New(fault.Usage, "a query costs %v and all of them at most %v; neither may be negative (0 means no limit)", settings.RowCost, settings.MaxCost)
	case settings.MaxCost > 0 && settings.RowCost == 0:
		return nil, fault.New(fault.Usage, "a limit of the cost, %v, needs the cost of a query", settings.MaxCost)
	case math.IsNaN(settings.Domain) || math.IsInf(settings.Domain, 0) || settings.Domain < 0:
		return nil, fault.New(fault.Usage, "the domain is %v; it must be a positive number (0 means no bound)", settings.Domain)
	}
	if info.Inputs == 0 {
		info.Inputs = settings.Inputs
	}
	s := &Session{
		oracle: oracle, info: info, settings: settings,
		pace: pace{rate: settings.Rate},
		kept: map[rowKey][]float64{},
	}
	s.batch = newTuner(settings.Batch(info), settings.TuneBatch)
	if settings.Parallel > 0 {
		s.turns = make(chan struct{}, settings.Parallel)
	}
	if settings.Journal == nil {
		return s, nil
	}
	if d := settings.Journal.identity.Inputs; d != info.Inputs {
		return nil, fault.New(fault.Usage, "the journal %s is for a model of %d inputs; this one has %d", settings.Journal.path, d, info.Inputs)
	}
	if k := settings.Journal.identity.Outputs; k != settings.Outputs {
		return nil, fault.New(fault.Usage, "the journal %s keeps %s of every answer, not %s", settings.Journal.path, keeps(k), keeps(settings.Outputs))
	}
	wanted := 0 // the place of the output in what is kept
	if settings.Outputs > 0 {
		wanted = settings.Output
	}
	s.answered, err = settings.Journal.replay(func(row, y []float64) {
		// An answer that is no number was paid for, but asking again may go better.
		if notFinite(y) < 0 {
			key := keyOf(row)
			s.kept[key] = append(s.kept[key], y[wanted])
		}
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Info returns what the oracle declared, with the number of inputs filled in.
func (s *Session) Info() core.OracleInfo { return s.info }

// Queries implements [Asker]. Rows answered from the journal count as they are given, so that a resumed run counts as
// the uninterrupted one would have.
func (s *Session) Queries() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// Answered returns the number of rows the oracle was paid for, in this run and those it resumes, whether or not
// anyone asked for them again. It is what the budget is compared with.
func (s *Session) Answered() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

// Answers returns all outputs at points that have been asked, a row for each: the first answer that the journal holds. It asks nothing.
func (s *Session) Answers(points [][]float64) ([][]float64, error) {
	if s.settings.Journal == nil || s.settings.Outputs == 0 {
		return nil, fault.New(fault.Internal, "all outputs of earlier answers are wanted, but they are not kept")
	}
	places := make(map[rowKey][]int, len(points))
	for i, p := range points {
		key := keyOf(p)
		places[key] = append(places[key], i)
	}
	answers := make([][]float64, len(points))
	_, err := s.settings.Journal.replay(func(row, y []float64) {
		key := keyOf(row)
		if at, ok := places[key]; ok && notFinite(y) < 0 {
			delete(places, key)
			for _, i := range at {
				answers[i] = slices.Clone(y)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if len(places) > 0 {
		return nil, fault.New(fault.Internal, "%d of %d points were never answered", len(places), len(points))
	}
	return answers, nil
}

// Ask implements [Asker]. A row asked before gets the kept answer if one is kept: a row repeated on purpose, within a
// run, is a new query, and gets its own answer when the run is resumed.
func (s *Session) Ask(ctx context.Context, x *mat.Dense) ([]float64, error) {
	if x == nil || x.IsEmpty() {
		return nil, nil
	}
	if err := s.check(x); err != nil {
		return nil, err
	}
	rows, _ := x.Dims()
	keys := make([]rowKey, rows)
	for i := range keys {
		keys[i] = keyOf(x.RawRowView(i))
	}
	y := make([]float64, rows)
	have := make([]bool, rows)
	missing, err := s.take(keys, y, have)
	if err != nil {
		return nil, err
	}
	if left, err := s.askAll(ctx, x, keys, missing, y, have); err != nil {
		s.giveBack(keys, y, have, left)
		return nil, err
	}
	s.mu.Lock()
	s.given += int64(rows)
	given := s.given
	s.mu.Unlock()
	if s.settings.Observe != nil {
		s.settings.Observe(given)
	}
	return y, nil
}

// check refuses rows that no caller may ask: these are defects of a stage, not of the oracle.
func (s *Session) check(x *mat.Dense) error {
	rows, d := x.Dims()
	if d != s.info.Inputs {
		return fault.New(fault.Internal, "a query has %d coordinates; the model has %d inputs", d, s.info.Inputs)
	}
	for i := range rows {
		for j, v := range x.RawRowView(i) {
			if !finite(v) {
				return fault.New(fault.Internal, "coordinate %d of query %d is %v; queries are finite", j, i, v)
			}
			if s.settings.Domain > 0 && math.Abs(v) > s.settings.Domain {
				return fault.New(fault.Internal, "coordinate %d of query %d is %v, outside the domain |x| <= %v", j, i, v, s.settings.Domain)
			}
		}
	}
	return nil
}

// take fills y where answers are kept and returns the indices of the rows to ask, which it reserves from the budget.
func (s *Session) take(keys []rowKey, y []float64, have []bool) (missing []int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range keys {
		queue := s.kept[key]
		if len(queue) == 0 {
			missing = append(missing, i)
			continue
		}
		y[i], have[i] = queue[0], true
		if len(queue) == 1 {
			delete(s.kept, key)
		} else {
			s.kept[key] = queue[1:]
		}
	}
	wanted := int64(len(missing))
	if err := s.spend(wanted); err != nil {
		s.keep(keys, y, have)
		return nil, err
	}
	return missing, nil
}

// spend reserves rows from the budget. The caller holds the lock.
func (s *Session) spend(wanted int64) error {
	if wanted == 0 {
		return nil
	}
	after := s.answered + s.reserved + wanted
	if most := s.settings.MaxQueries; most > 0 && after > most {
		return fault.New(fault.Budget, "the budget of %d queries is spent: %d are answered and %d more were needed; raise --max-queries to go on",
			most, s.answered, wanted)
	}
	if most := s.settings.MaxCost; most > 0 && float64(after)*s.settings.RowCost > most {
		return fault.New(fault.Budget, "the budget of %g is spent: the %d answered queries cost %g and %d more were needed, at %g each; raise --max-cost to go on",
			most, s.answered, float64(s.answered)*s.settings.RowCost, wanted, s.settings.RowCost)
	}
	s.reserved += wanted
	return nil
}

// giveBack keeps the answers of a call that failed, for the next time they are asked, and frees what it had reserved.
func (s *Session) giveBack(keys []rowKey, y []float64, have []bool, reserved int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(keys, y, have)
	s.reserved -= int64(reserved)
}

// keep puts answers back to the front, the first row's foremost.
func (s *Session) keep(keys []rowKey, y []float64, have []bool) {
	for i := len(keys) - 1; i >= 0; i-- {
		if have[i] {
			s.kept[keys[i]] = append([]float64{y[i]}, s.kept[keys[i]]...)
		}
	}
}

func oracleFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fault.New(fault.Oracle, "the oracle failed: %w", err)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// notFinite returns the place of the first value that is no finite number, or -1.
func notFinite(values []float64) int {
	return slices.IndexFunc(values, func(v float64) bool { return !finite(v) })
}

func keyOf(row []float64) rowKey {
	buffer := make([]byte, 0, 512)
	for _, v := range row {
		buffer = binary.LittleEndian.AppendUint64(buffer, math.Float64bits(v))
	}
	sum := sha256.Sum256(buffer)
	return rowKey(sum[:16])
}
