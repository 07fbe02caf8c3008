package query

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// fake is an oracle whose answer to a row is its sum plus the number of rows answered before: a repeated row gets
// another answer, so that replay in the wrong order shows.
type fake struct {
	info  core.OracleInfo
	rows  atomic.Int64
	calls atomic.Int64
	bend  func(call int64, x, y *mat.Dense) (*mat.Dense, error) // changes an answer; may be nil
}

func (f *fake) Info(context.Context) (core.OracleInfo, error) { return f.info, nil }
func (f *fake) Close() error                                  { return nil }
func (f *fake) Query(_ context.Context, x *mat.Dense) (*mat.Dense, error) {
	n, _ := x.Dims()
	y := mat.NewDense(n, 1, nil)
	for i := range n {
		y.Set(i, 0, mat.Sum(x.RowView(i))+1e3*float64(f.rows.Load()+int64(i)))
	}
	call := f.calls.Add(1)
	if f.bend != nil {
		bent, err := f.bend(call, x, y)
		if err != nil {
			return nil, err
		}
		y = bent
	}
	f.rows.Add(int64(n))
	return y, nil
}

func newFake(inputs int) *fake {
	return &fake{info: core.OracleInfo{Inputs: inputs, Outputs: 1, Model: "fake"}}
}

func random(rng *rand.Rand, rows, d int) *mat.Dense {
	x := mat.NewDense(rows, d, nil)
	for i := range rows {
		for k := range d {
			x.Set(i, k, rng.NormFloat64())
		}
	}
	return x
}

func identity(d int) Identity {
	return Identity{Oracle: "fake", Model: "fake", Inputs: d, Seed: 7}
}

func wantFault(t *testing.T, err error, kind fault.Kind, text string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Fatalf("got error %v (kind %v); want kind %v with %q", err, fault.KindOf(err), kind, text)
	}
}

func TestBatchesKeepToWhatTheOracleTakes(t *testing.T) {
	oracle := newFake(3)
	oracle.info.MaxBatch = 4
	oracle.bend = func(_ int64, x, y *mat.Dense) (*mat.Dense, error) {
		if n, _ := x.Dims(); n > 4 {
			t.Errorf("a batch of %d rows; the oracle takes 4", n)
		}
		return y, nil
	}
	var seen []int64
	s, err := Open(t.Context(), oracle, Settings{Observe: func(n int64) { seen = append(seen, n) }})
	if err != nil {
		t.Fatal(err)
	}
	x := random(rand.New(rand.NewPCG(1, 1)), 10, 3)
	y, err := s.Ask(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range y {
		if want := mat.Sum(x.RowView(i)) + 1e3*float64(i); y[i] != want {
			t.Fatalf("row %d: %v, want %v", i, y[i], want)
		}
	}
	if len(seen) != 3 || seen[2] != 10 || s.Queries() != 10 || s.Answered() != 10 || oracle.calls.Load() != 3 {
		t.Fatalf("seen %v, queries %d, calls %d", seen, s.Queries(), oracle.calls.Load())
	}
	if y, err := s.Ask(t.Context(), &mat.Dense{}); err != nil || y != nil {
		t.Fatalf("no rows: %v, %v", y, err)
	}
}

func TestOpenRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		info     core.OracleInfo
		settings Settings
		text     string
	}{
		{core.OracleInfo{}, Settings{}, "give the number of inputs"},
		{core.OracleInfo{Inputs: 3}, Settings{Inputs: 4}, "has 3 inputs, not 4"},
		{core.OracleInfo{Inputs: 3, Outputs: 2}, Settings{Output: 2}, "no output 2"},
		{core.OracleInfo{Inputs: 3}, Settings{Output: -1}, "no output -1"},
		{core.OracleInfo{Inputs: 3}, Settings{MaxQueries: -1}, "budget"},
		{core.OracleInfo{Inputs: 3}, Settings{Domain: math.NaN()}, "domain"},
		{core.OracleInfo{Inputs: 3}, Settings{Domain: -1}, "domain"},
	} {
		_, err := Open(t.Context(), &fake{info: c.info}, c.settings)
		wantFault(t, err, fault.Usage, c.text)
	}
	_, err := Open(t.Context(), &fake{info: core.OracleInfo{Inputs: -1}}, Settings{})
	wantFault(t, err, fault.Oracle, "negative")
}

func TestBudgetIsNeverExceededAndNothingPaidIsLost(t *testing.T) {
	oracle := newFake(2)
	oracle.info.MaxBatch = 4
	s, err := Open(t.Context(), oracle, Settings{MaxQueries: 10})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	if _, err := s.Ask(t.Context(), random(rng, 7, 2)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Ask(t.Context(), random(rng, 4, 2))
	wantFault(t, err, fault.Budget, "budget of 10 queries")
	if oracle.rows.Load() != 7 {
		t.Fatalf("the oracle answered %d rows; the batch that overran should not have been sent", oracle.rows.Load())
	}
	if _, err := s.Ask(t.Context(), random(rng, 3, 2)); err != nil {
		t.Fatal(err)
	}
	if s.Queries() != 10 || oracle.rows.Load() != 10 {
		t.Fatalf("%d queries, %d rows", s.Queries(), oracle.rows.Load())
	}
}

func TestAnswersOfAFailedCallAreKept(t *testing.T) {
	oracle := newFake(2)
	oracle.info.MaxBatch = 4
	fail := true
	oracle.bend = func(call int64, _, y *mat.Dense) (*mat.Dense, error) {
		if fail && call == 3 {
			return nil, errors.New("connection reset")
		}
		return y, nil
	}
	s, err := Open(t.Context(), oracle, Settings{MaxQueries: 12})
	if err != nil {
		t.Fatal(err)
	}
	x := random(rand.New(rand.NewPCG(1, 3)), 12, 2)
	x.SetRow(5, x.RawRowView(0)) // a repeated row, answered twice
	_, err = s.Ask(t.Context(), x)
	wantFault(t, err, fault.Oracle, "connection reset")
	if s.Answered() != 8 || s.Queries() != 0 {
		t.Fatalf("answered %d, given %d", s.Answered(), s.Queries())
	}
	fail = false
	y, err := s.Ask(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if oracle.rows.Load() != 12 || s.Queries() != 12 {
		t.Fatalf("the oracle answered %d rows, %d were given", oracle.rows.Load(), s.Queries())
	}
	for i := range y {
		if want := mat.Sum(x.RowView(i)) + 1e3*float64(i); y[i] != want {
			t.Fatalf("row %d: %v, want %v", i, y[i], want)
		}
	}
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		name, text string
		answered   int64
		bend       func(int64, *mat.Dense, *mat.Dense) (*mat.Dense, error)
	}{
		{"NaN", "NaN at query 2 of 5", 5, func(_ int64, _, y *mat.Dense) (*mat.Dense, error) { y.Set(2, 0, math.NaN()); return y, nil }},
		{"Inf", "-Inf at query 4 of 5", 5, func(_ int64, _, y *mat.Dense) (*mat.Dense, error) { y.Set(4, 0, math.Inf(-1)); return y, nil }},
		{"rows", "answered 3 rows", 0, func(int64, *mat.Dense, *mat.Dense) (*mat.Dense, error) { return mat.NewDense(3, 1, nil), nil }},
		{"nil", "answered 0 rows", 0, func(int64, *mat.Dense, *mat.Dense) (*mat.Dense, error) { return nil, nil }},
		{"outputs", "1 outputs to 5", 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			oracle := newFake(2)
			oracle.info.Outputs = 0
			oracle.bend = c.bend
			settings := Settings{}
			if c.name == "outputs" {
				settings.Output = 1
			}
			s, err := Open(t.Context(), oracle, settings)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Ask(t.Context(), random(rand.New(rand.NewPCG(1, 4)), 5, 2))
			wantFault(t, err, fault.Oracle, c.text)
			if s.Answered() != c.answered {
				t.Fatalf("%d rows answered, want %d", s.Answered(), c.answered)
			}
		})
	}
}

func TestQueriesThatNoStageMayAsk(t *testing.T) {
	oracle := newFake(2)
	s, err := Open(t.Context(), oracle, Settings{Domain: 1})
	if err != nil {
		t.Fatal(err)
	}
	for text, x := range map[string]*mat.Dense{
		"outside the domain": mat.NewDense(1, 2, []float64{0, -1.5}),
		"finite":             mat.NewDense(1, 2, []float64{0, math.Inf(1)}),
		"coordinates":        mat.NewDense(1, 3, nil),
	} {
		_, err := s.Ask(t.Context(), x)
		wantFault(t, err, fault.Internal, text)
	}
	if oracle.calls.Load() != 0 {
		t.Fatal("the oracle was asked")
	}
	if _, err := s.Ask(t.Context(), mat.NewDense(1, 2, []float64{1, -1})); err != nil {
		t.Fatalf("the border belongs to the domain: %v", err)
	}
}

func TestCancelledContext(t *testing.T) {
	oracle := newFake(2)
	oracle.info.MaxBatch = 1
	ctx, cancel := context.WithCancel(t.Context())
	oracle.bend = func(call int64, _, y *mat.Dense) (*mat.Dense, error) {
		if call == 2 {
			cancel() // the answer arrives all the same, and is paid for
		}
		return y, nil
	}
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path, identity(2))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	s, err := Open(t.Context(), oracle, Settings{Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask(ctx, random(rand.New(rand.NewPCG(1, 5)), 5, 2)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if s.Answered() != 2 || j.rows != 2 {
		t.Fatalf("answered %d, journal %d", s.Answered(), j.rows)
	}
}

func TestConcurrentCallsKeepToTheBudget(t *testing.T) {
	oracle := newFake(3)
	oracle.info.MaxBatch = 8
	j, err := OpenJournal(filepath.Join(t.TempDir(), "journal"), identity(3))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	const budget = 500
	s, err := Open(t.Context(), oracle, Settings{MaxQueries: budget, Journal: j, Observe: func(int64) {}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(worker)))
			for range 10 {
				_, err := s.Ask(t.Context(), random(rng, 1+rng.IntN(20), 3))
				if err != nil && !fault.Is(err, fault.Budget) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s.Answered() > budget || s.Answered() != oracle.rows.Load() || s.Queries() != s.Answered() || j.rows != s.Answered() {
		t.Fatalf("answered %d, given %d, oracle %d, journal %d, budget %d", s.Answered(), s.Queries(), oracle.rows.Load(), j.rows, budget)
	}
}

// script is a run: what it asks follows from the answers, as in a real one, and rows recur.
func script(ctx context.Context, s *Session) ([]float64, error) {
	rng := rand.New(rand.NewPCG(3, 3))
	var all []float64
	shift := 0.0
	first := random(rng, 3, 2)
	for range 6 {
		x := random(rng, 1+rng.IntN(9), 2)
		x.Set(0, 0, math.Mod(shift, 1))
		for _, x := range []*mat.Dense{x, first} {
			y, err := s.Ask(ctx, x)
			if err != nil {
				return nil, err
			}
			all = append(all, y...)
			shift = y[0]
		}
	}
	return all, nil
}

func runScript(t *testing.T, path string, oracle *fake) ([]float64, *Session, Recovery) {
	t.Helper()
	j, err := OpenJournal(path, identity(2))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	s, err := Open(t.Context(), oracle, Settings{Journal: j, BatchRows: 4})
	if err != nil {
		t.Fatal(err)
	}
	all, err := script(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return all, s, j.Recovery()
}

// TestResume cuts the journal at every byte, which is what a kill at any moment leaves, and runs again: the answers are
// the same, and every row whose record is whole is not asked again.
func TestResume(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "journal")
	oracle := newFake(2)
	want, s, _ := runScript(t, whole, oracle)
	total := oracle.rows.Load()
	if s.Queries() != total {
		t.Fatalf("%d queries, %d rows", s.Queries(), total)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	// Where records end, and how many rows there are by then.
	header, err := encodeHeader(identity(2))
	if err != nil {
		t.Fatal(err)
	}
	rowsAt := func(length int) (rows int64, torn bool) {
		at := len(header)
		if length < at {
			return 0, false
		}
		for at < length {
			if at += noticeLength; at > length {
				return rows, true
			}
			if at == length {
				return rows, false
			}
			n := int(data[at+8])
			next := at + recordHead + 24*n + recordTail
			if next > length {
				return rows, true
			}
			rows, at = rows+int64(n), next
		}
		return rows, false
	}
	path := filepath.Join(t.TempDir(), "cut")
	for length := 0; length <= len(data); length += 1 + length/97 {
		if err := os.WriteFile(path, data[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		kept, torn := rowsAt(length)
		again := newFake(2)
		again.rows.Store(kept) // the answers depend on how many were given
		got, s, recovery := runScript(t, path, again)
		if again.rows.Load() != total || s.Queries() != total || s.Answered() != total {
			t.Fatalf("cut at %d: %d rows asked beyond the %d kept, of %d in all; queries %d", length, again.rows.Load()-kept, kept, total, s.Queries())
		}
		if recovery.Rows != kept || (recovery.CutBytes > 0) != torn || recovery.LostRecords != 0 {
			t.Fatalf("cut at %d: recovery %+v, kept %d, torn %v", length, recovery, kept, torn)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("cut at %d: answer %d is %v, was %v", length, i, got[i], want[i])
			}
		}
	}
}

// What was asked and not answered is counted, over all runs: the rows of a call that failed, and those under way in a kill.
func TestUnanswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	_, _, _ = runScript(t, path, newFake(2))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header, err := encodeHeader(identity(2))
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(data[len(header)+noticeLength+8])
	for length, want := range map[int]int64{
		len(data): 0, len(header): 0, len(header) + noticeLength - 1: 0, len(header) + noticeLength: rows, len(header) + noticeLength + recordHead: rows,
	} {
		if err := os.WriteFile(path, data[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the torn record is cut off the first time
			j, err := OpenJournal(path, identity(2))
			if err != nil {
				t.Fatal(err)
			}
			if got := j.Unanswered(); got != want {
				t.Errorf("cut at %d: %d rows, want %d", length, got, want)
			}
			j.Close()
		}
	}
}

func TestDamageInTheMiddleCostsOneRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	oracle := newFake(2)
	runScript(t, path, oracle)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header, err := encodeHeader(identity(2))
	if err != nil {
		t.Fatal(err)
	}
	first := len(header) + noticeLength
	second := first + recordHead + 24*int(data[first+8]) + recordTail + noticeLength
	rows := int64(data[second+8])
	for offset := range recordHead + 24*int(rows) + recordTail { // every byte of the second record
		bad := append([]byte(nil), data...)
		bad[second+offset] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, identity(2))
		if err != nil {
			t.Fatal(err)
		}
		r := j.Recovery()
		if r.LostRecords != 1 || r.LostRows != rows || r.CutBytes != 0 || r.Rows != oracle.rows.Load()-rows || !strings.Contains(r.String(), "1 damaged") {
			t.Fatalf("byte %d: %+v; the record held %d rows of %d", offset, r, rows, oracle.rows.Load())
		}
		s, err := Open(t.Context(), newFake(2), Settings{Journal: j})
		if err != nil {
			t.Fatal(err)
		}
		if s.Answered() != oracle.rows.Load() {
			t.Fatalf("byte %d: %d rows count as paid for, of %d", offset, s.Answered(), oracle.rows.Load())
		}
		// What is appended behind the damage is found again.
		if _, err := s.Ask(t.Context(), mat.NewDense(1, 2, []float64{99, 99})); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if j, err = OpenJournal(path, identity(2)); err != nil || j.Recovery().Rows != r.Rows+1 {
			t.Fatalf("byte %d: reopened: %v", offset, err)
		}
		j.Close()
	}
}

func TestAnswersThatAreNoNumbersAreCountedButAskedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	x := random(rand.New(rand.NewPCG(1, 6)), 3, 2)
	oracle := newFake(2)
	oracle.bend = func(call int64, _, y *mat.Dense) (*mat.Dense, error) {
		if call == 1 {
			y.Set(1, 0, math.NaN())
		}
		return y, nil
	}
	for round := range 2 {
		j, err := OpenJournal(path, identity(2))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), oracle, Settings{Journal: j})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Ask(t.Context(), x)
		if round == 0 {
			wantFault(t, err, fault.Oracle, "NaN at query 1")
		} else if err != nil {
			t.Fatal(err)
		}
		if want := int64(3 + round); s.Answered() != want || oracle.rows.Load() != want {
			t.Fatalf("round %d: answered %d, oracle %d", round, s.Answered(), oracle.rows.Load())
		}
		j.Close()
	}
}

func TestJournalOfAnotherRunIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path, identity(2))
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenJournal(path, identity(2))
	wantFault(t, err, fault.Usage, "in use by another process")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	change := func(f func(*Identity)) Identity { i := identity(2); f(&i); return i }
	for text, other := range map[string]Identity{
		`of the oracle "fake", not "oip"`: change(func(i *Identity) { i.Oracle = "oip" }),
		`of the model "fake", not "new"`:  change(func(i *Identity) { i.Model = "new" }),
		"with 2 inputs, not 3":            change(func(i *Identity) { i.Inputs = 3 }),
		"of output 0, not 1":              change(func(i *Identity) { i.Output = 1 }),
		"of seed 7, not 8":                change(func(i *Identity) { i.Seed = 8 }),
	} {
		_, err := OpenJournal(path, other)
		wantFault(t, err, fault.Usage, text)
	}
	// Options set journals apart only where the model does not say what it is.
	j, err = OpenJournal(path, change(func(i *Identity) { i.Options = map[string]string{"timeout": "9s"} }))
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	nameless := Identity{Oracle: "fake", Inputs: 2, Options: map[string]string{"url": "a"}}
	path = filepath.Join(t.TempDir(), "nameless")
	if j, err = OpenJournal(path, nameless); err != nil {
		t.Fatal(err)
	}
	j.Close()
	_, err = OpenJournal(path, Identity{Oracle: "fake", Inputs: 2, Options: map[string]string{"url": "b"}})
	wantFault(t, err, fault.Usage, "options")
}

func TestFilesThatAreNoJournal(t *testing.T) {
	header, err := encodeHeader(identity(2))
	if err != nil {
		t.Fatal(err)
	}
	spoilt := append([]byte(nil), header...)
	spoilt[len(JournalFormat)+6] ^= 1
	for name, c := range map[string]struct {
		data []byte
		text string
	}{
		"text":    {[]byte("a shopping list that is quite long, so that it cannot be a torn header of a journal at all"), "is not a journal"},
		"short":   {[]byte("hm"), "is not a journal"},
		"version": {append([]byte("nnid/journal/v9\n"), header[len(JournalFormat):]...), "another version"},
		"header":  {spoilt, "header"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenJournal(path, identity(2))
		wantFault(t, err, fault.Usage, c.text)
		if data, _ := os.ReadFile(path); string(data) != string(c.data) {
			t.Fatalf("%s: the file was changed", name)
		}
	}
	_, err = OpenJournal(t.TempDir(), identity(2))
	wantFault(t, err, fault.Usage, "cannot be opened")
}

func TestAFullDiskStopsTheRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path, identity(2))
	if err != nil {
		t.Fatal(err)
	}
	oracle := newFake(2)
	s, err := Open(t.Context(), oracle, Settings{Journal: j, BatchRows: 1})
	if err != nil {
		t.Fatal(err)
	}
	j.file.Close() // every write fails from here on
	_, err = s.Ask(t.Context(), random(rand.New(rand.NewPCG(1, 8)), 5, 2))
	wantFault(t, err, fault.Internal, "cannot be written")
	if oracle.rows.Load() != 0 {
		t.Fatalf("%d rows were paid for after the journal failed", oracle.rows.Load())
	}
}

// FuzzJournal opens whatever follows, or has become of, a good header: it must not panic, and opening twice must
// find the same.
func FuzzJournal(f *testing.F) {
	header, err := encodeHeader(identity(2))
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "seed")
	j, err := OpenJournal(path, identity(2))
	if err != nil {
		f.Fatal(err)
	}
	for k := range 3 {
		if err := j.append(mat.NewDense(k+1, 2, nil), mat.NewDense(k+1, 1, nil)); err != nil {
			f.Fatal(err)
		}
	}
	j.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), data[len(header):])
	f.Add(uint16(3), data[len(header):])
	f.Add(uint16(0), data[len(header):len(data)-5])
	f.Add(uint16(0), append(recordMark, recordMark...))
	f.Fuzz(func(t *testing.T, flip uint16, tail []byte) {
		content := append(append([]byte(nil), header...), tail...)
		content[int(flip)%len(content)] ^= byte(flip >> 8)
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, identity(2))
		if err != nil {
			return
		}
		first := j.Recovery()
		j.Close()
		if j, err = OpenJournal(path, identity(2)); err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		second := j.Recovery()
		first.CutBytes = 0
		if first != second {
			t.Fatalf("first %+v, then %+v", first, second)
		}
		if _, err := Open(t.Context(), newFake(2), Settings{Journal: j}); err != nil {
			t.Fatal(err)
		}
	})
}
