package query

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// slow answers a row by its sum, after a time for the call and one for every row.
type slow struct {
	call, row time.Duration
	fail      func(x *mat.Dense) error // may be nil
	under     atomic.Int64             // calls under way
	most      atomic.Int64             // most of them
	rows      atomic.Int64
	largest   atomic.Int64
}

func (s *slow) Info(context.Context) (core.OracleInfo, error) {
	return core.OracleInfo{Inputs: 2, Outputs: 1, Model: "slow"}, nil
}
func (s *slow) Close() error { return nil }
func (s *slow) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	s.most.Store(max(s.most.Load(), s.under.Add(1)))
	defer s.under.Add(-1)
	n, _ := x.Dims()
	s.largest.Store(max(s.largest.Load(), int64(n)))
	select {
	case <-time.After(s.call + time.Duration(n)*s.row):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.fail != nil {
		if err := s.fail(x); err != nil {
			return nil, err
		}
	}
	y := mat.NewDense(n, 1, nil)
	for i := range n {
		y.Set(i, 0, mat.Sum(x.RowView(i)))
	}
	s.rows.Add(int64(n))
	return y, nil
}

// asked opens a session, asks rows and checks the answers.
func asked(t *testing.T, oracle core.Oracle, settings Settings, rows int) (*Session, time.Duration) {
	t.Helper()
	s, err := Open(t.Context(), oracle, settings)
	if err != nil {
		t.Fatal(err)
	}
	x := random(rand.New(rand.NewPCG(9, 9)), rows, 2)
	started := time.Now()
	y, err := s.Ask(t.Context(), x)
	took := time.Since(started)
	if err != nil {
		t.Fatal(err)
	}
	for i := range y {
		if y[i] != mat.Sum(x.RowView(i)) {
			t.Fatalf("row %d has the answer of another one", i)
		}
	}
	if s.Queries() != int64(rows) || s.Answered() != int64(rows) {
		t.Fatalf("%d rows: %d given, %d answered", rows, s.Queries(), s.Answered())
	}
	return s, took
}

func TestSeveralCallsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oracle := &slow{row: time.Second}
		_, took := asked(t, oracle, Settings{Parallel: 4}, 101)
		if oracle.most.Load() != 4 || took > 26*time.Second {
			t.Errorf("%d calls at the same time, %s", oracle.most.Load(), took)
		}
		// The limit is for all callers together.
		s, err := Open(t.Context(), oracle, Settings{Parallel: 3})
		if err != nil {
			t.Fatal(err)
		}
		oracle.most.Store(0)
		done := make(chan error)
		for k := range 5 {
			go func() {
				_, err := s.Ask(t.Context(), random(rand.New(rand.NewPCG(1, uint64(k))), 7, 2))
				done <- err
			}()
		}
		for range 5 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if oracle.most.Load() != 3 {
			t.Errorf("%d calls at the same time", oracle.most.Load())
		}
	})
}

// When one of several calls fails, the others' answers are kept, and none is asked again.
func TestOneOfSeveralCallsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		oracle := &slow{row: time.Second}
		var unlucky float64
		oracle.fail = func(x *mat.Dense) error {
			if broken && x.At(0, 0) == unlucky {
				return errors.New("out of order")
			}
			return nil
		}
		journal, err := OpenJournal(filepath.Join(t.TempDir(), "journal"), identity(2))
		if err != nil {
			t.Fatal(err)
		}
		defer journal.Close()
		s, err := Open(t.Context(), oracle, Settings{Parallel: 4, BatchRows: 5, Journal: journal, MaxQueries: 40})
		if err != nil {
			t.Fatal(err)
		}
		x := random(rand.New(rand.NewPCG(2, 2)), 40, 2)
		unlucky = x.At(15, 0)
		_, err = s.Ask(t.Context(), x)
		wantFault(t, err, fault.Oracle, "out of order")
		if s.Answered() != oracle.rows.Load() || s.Answered() < 15 || s.Queries() != 0 {
			t.Fatalf("%d answered, %d of the session's, %d given", oracle.rows.Load(), s.Answered(), s.Queries())
		}
		broken = false
		if _, err = s.Ask(t.Context(), x); err != nil || oracle.rows.Load() != 40 || s.Answered() != 40 || journal.rows != 40 {
			t.Fatalf("%v; %d rows answered in all, %d in the journal", err, oracle.rows.Load(), journal.rows)
		}
	})
}

// A row asked twice in one call of Ask has its answers in order, whatever is faster.
func TestRepeatedRowsStayInOrder(t *testing.T) {
	s, err := Open(t.Context(), newFake(2), Settings{Parallel: 8, BatchRows: 1})
	if err != nil {
		t.Fatal(err)
	}
	x := mat.NewDense(50, 2, nil) // all the same
	y, err := s.Ask(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range y {
		if y[i] != 1e3*float64(i) {
			t.Fatalf("row %d: %v", i, y[i])
		}
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			rate        float64
			rows        int
			least, most time.Duration
			largest     int64
		}{
			{10, 100, 9 * time.Second, 10 * time.Second, 10},
			{0.5, 4, 6 * time.Second, 8 * time.Second, 1},
			{1e9, 1000, 0, time.Second, 1000},
		} {
			oracle := &slow{}
			_, took := asked(t, oracle, Settings{Rate: c.rate, Parallel: 2}, c.rows)
			if took < c.least || took > c.most || oracle.largest.Load() > c.largest {
				t.Errorf("%d rows at %g a second took %s, in batches of up to %d", c.rows, c.rate, took, oracle.largest.Load())
			}
		}
		// Waiting for one's turn can be cut short.
		s, err := Open(t.Context(), &slow{}, Settings{Rate: 1e-6})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Ask(ctx, random(rand.New(rand.NewPCG(1, 1)), 3, 2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), &slow{call: time.Hour}, Settings{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		_, err = s.Ask(t.Context(), random(rand.New(rand.NewPCG(1, 1)), 3, 2))
		wantFault(t, err, fault.Oracle, "did not answer 3 rows within 1m0s; raise --timeout or lower --batch")
		if time.Since(started) != time.Minute || s.Answered() != 0 {
			t.Errorf("%s, %d answered", time.Since(started), s.Answered())
		}
	})
}

// A plugin whose clock is ahead of ours says that the time is over before our context does.
func TestTimeoutOfAClockAhead(t *testing.T) {
	early := func(*mat.Dense) error { return context.DeadlineExceeded }
	for name, c := range map[string]struct {
		timeout, left time.Duration // --timeout, and what is left of the caller's time
		want          func(error) bool
	}{
		"the caller's deadline":  {0, time.Minute, func(err error) bool { return err == context.DeadlineExceeded }},
		"the timeout of a call":  {time.Minute, time.Hour, func(err error) bool { return strings.Contains(err.Error(), "within 1m0s; raise --timeout") }},
		"no deadline in sight":   {0, time.Hour, func(err error) bool { return strings.Contains(err.Error(), "the oracle failed") }},
		"the deadline is sooner": {time.Hour, time.Minute, func(err error) bool { return err == context.DeadlineExceeded }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := Open(t.Context(), &slow{call: time.Minute - time.Millisecond, fail: early}, Settings{Timeout: c.timeout})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.left)
				defer cancel()
				if _, err := s.Ask(ctx, random(rand.New(rand.NewPCG(1, 1)), 3, 2)); err == nil || !c.want(err) {
					t.Error(err)
				}
			})
		})
	}
}

func TestCost(t *testing.T) {
	s, err := Open(t.Context(), newFake(2), Settings{RowCost: 0.25, MaxCost: 10})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 4))
	if _, err := s.Ask(t.Context(), random(rng, 40, 2)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Ask(t.Context(), random(rng, 1, 2))
	wantFault(t, err, fault.Budget, "the budget of 10 is spent: the 40 answered queries cost 10 and 1 more were needed, at 0.25 each; raise --max-cost")
	for text, settings := range map[string]Settings{
		"needs the cost of a query": {MaxCost: 1},
		"a query costs -1":          {RowCost: -1},
		"the rate is -1":            {Rate: -1},
		"none may be negative":      {Parallel: -1},
	} {
		_, err := Open(t.Context(), newFake(2), settings)
		wantFault(t, err, fault.Usage, text)
	}
}

// The batch grows while that pays, and no further.
func TestTunedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name      string
			call, row time.Duration
			want      int
		}{
			{"calls are dear", time.Second, 0, 4096},
			{"rows are dear", 0, time.Millisecond, 16},
			{"both", 64 * time.Millisecond, time.Millisecond, 512},
		} {
			oracle := &slow{call: c.call, row: c.row}
			s, _ := asked(t, oracle, Settings{TuneBatch: true}, 20000)
			if got := s.batch.rows(); got != c.want || oracle.largest.Load() > int64(2*c.want) {
				t.Errorf("%s: batches of %d rows, up to %d", c.name, got, oracle.largest.Load())
			}
		}
	})
	if s, _ := asked(t, &slow{}, Settings{BatchRows: 10, TuneBatch: true}, 25); s.batch.rows() != 10 {
		t.Error("the limit given was not kept to")
	}
}
