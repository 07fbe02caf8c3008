package query

import (
	"context"
	"errors"
	"sync"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// askAll puts the rows of x named by missing to the oracle, in as many calls as it takes, several at the same time where
// the settings say so. Every answer is in y and the journal when it returns, even with an error; left is how many rows
// are still reserved and were not asked.
func (s *Session) askAll(ctx context.Context, x *mat.Dense, keys []rowKey, missing []int, y []float64, have []bool) (left int, err error) {
	if s.settings.Parallel > 1 && len(missing) > 1 && !repeated(keys, missing) {
		return s.askParallel(ctx, x, missing, y, have)
	}
	for first := 0; first < len(missing); {
		part := missing[first:min(first+s.batch.rows(), len(missing))]
		first += len(part)
		if err := s.askBatch(ctx, x, part, y, have); err != nil {
			return len(missing) - first, err
		}
		if s.settings.Observe != nil && first < len(missing) {
			s.settings.Observe(s.Queries() + int64(first))
		}
	}
	return 0, nil
}

// repeated reports whether a row is asked twice: which answer is the first one must then not depend on which call is
// the faster, or a resumed run would go another way.
func repeated(keys []rowKey, missing []int) bool {
	seen := make(map[rowKey]bool, len(missing))
	for _, i := range missing {
		if seen[keys[i]] {
			return true
		}
		seen[keys[i]] = true
	}
	return false
}

// askParallel shares the rows out evenly among as many calls as may be under way.
func (s *Session) askParallel(ctx context.Context, x *mat.Dense, missing []int, y []float64, have []bool) (left int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := s.settings.Parallel
	var (
		mu   sync.Mutex
		next int
		errs error // the first one: the others were cut off by it
		all  sync.WaitGroup
	)
	take := func() []int {
		mu.Lock()
		defer mu.Unlock()
		if errs != nil || next == len(missing) {
			return nil
		}
		rows := min(s.batch.rows(), max(1, (len(missing)+n-1)/n), len(missing)-next)
		part := missing[next : next+rows]
		next += rows
		return part
	}
	for range min(n, len(missing)) {
		all.Go(func() {
			for part := take(); part != nil; part = take() {
				if err := s.askBatch(ctx, x, part, y, have); err != nil {
					mu.Lock()
					if errs == nil {
						errs = err
					}
					mu.Unlock()
					cancel()
				}
			}
		})
	}
	all.Wait()
	return len(missing) - next, errs
}

// call is one call of the oracle: when its turn has come, at the rate and within the time that the settings allow.
func (s *Session) call(ctx context.Context, batch *mat.Dense) (*mat.Dense, error) {
	rows, _ := batch.Dims()
	if s.turns != nil {
		select {
		case s.turns <- struct{}{}:
			defer func() { <-s.turns }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := s.pace.wait(ctx, rows); err != nil {
		return nil, err
	}
	if s.settings.Journal != nil {
		if err := s.settings.Journal.announce(rows); err != nil {
			return nil, err
		}
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	started := time.Now()
	if s.settings.Timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, s.settings.Timeout)
	}
	defer cancel()
	answer, err := s.oracle.Query(limited, batch)
	if errors.Is(err, context.DeadlineExceeded) {
		expire(limited)
	}
	switch {
	case err == nil:
		s.batch.observe(rows, time.Since(started))
		return answer, nil
	case ctx.Err() == nil && limited.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		return nil, fault.New(fault.Oracle, "the oracle did not answer %d rows within %s; raise --timeout or lower --batch", rows, s.settings.Timeout)
	}
	return nil, oracleFault(ctx, err)
}

// expire waits for a deadline that is at hand to pass. A call that finds its deadline gone says so before the context's timer
// has fired, and so does a plugin whose clock is a little ahead; only then does the context itself say whose deadline it was.
func expire(ctx context.Context) {
	const atHand = time.Second
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < atHand {
		<-ctx.Done()
	}
}

// askBatch puts the given rows of x to the oracle in one call. Whatever comes of it, their reservation is settled.
func (s *Session) askBatch(ctx context.Context, x *mat.Dense, rows []int, y []float64, have []bool) error {
	settle := func(answered int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reserved -= int64(len(rows))
		s.answered += answered
	}
	if err := ctx.Err(); err != nil {
		settle(0)
		return err
	}
	batch := mat.NewDense(len(rows), s.info.Inputs, nil)
	for k, i := range rows {
		batch.SetRow(k, x.RawRowView(i))
	}
	answer, err := s.call(ctx, batch)
	if err != nil {
		settle(0)
		return err
	}
	var n, outputs int
	if answer != nil && !answer.IsEmpty() {
		n, outputs = answer.Dims()
	}
	if all := s.settings.Outputs; all > 0 && n == len(rows) && outputs != all {
		settle(0)
		return fault.New(fault.Oracle, "the oracle answered with %d outputs; %d were wanted: give the number that the model has", outputs, all)
	}
	if n != len(rows) || outputs <= s.settings.Output {
		settle(0)
		return fault.New(fault.Oracle, "the oracle answered %d rows of %d outputs to %d queries; output %d was wanted of each", n, outputs, len(rows), s.settings.Output)
	}
	settle(int64(n))
	kept := answer.Slice(0, n, s.settings.Output, s.settings.Output+1).(*mat.Dense)
	if s.settings.Outputs > 0 {
		kept = answer
	}
	var bad error
	for k, i := range rows {
		if at := notFinite(kept.RawRowView(k)); at >= 0 {
			if bad == nil {
				bad = fault.New(fault.Oracle, "the oracle answered %v at query %d of %d (first coordinates %.4g); the model must be finite everywhere it is asked: check its input range, or bound it with --domain",
					kept.At(k, at), k, n, batch.RawRowView(k)[:min(3, s.info.Inputs)])
			}
			continue
		}
		y[i], have[i] = answer.At(k, s.settings.Output), true
	}
	// Written even when the context has ended meanwhile or an answer was bad: these answers are paid for.
	if s.settings.Journal != nil {
		if err := s.settings.Journal.append(batch, kept); err != nil {
			return err
		}
	}
	return bad
}
