package network

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// faultOptions make the oracle misbehave as backends are known to, for experiments and tests.
var faultOptions = []core.Option{
	{Name: "latency-row", Usage: "time that every row takes in addition, such as 1ms", Default: "0s"},
	{Name: "fail", Usage: "probability that a query fails, 0 to 1", Default: "0"},
	{Name: "jitter", Usage: "standard deviation of noise that differs every time a row is asked", Default: "0"},
	{Name: "drift", Usage: "what the answers grow by in 1000 rows answered", Default: "0"},
	{Name: "order", Usage: "what an answer grows by with every row before it in its batch", Default: "0"},
	{Name: "stale", Usage: "probability that a row gets the answer to the row asked before it, 0 to 1", Default: "0"},
	{Name: "clip", Usage: "largest |x_k| that the model sees; larger ones are cut to it without a word; 0 cuts none", Default: "0"},
	{Name: "step", Usage: "answers are rounded to multiples of this; 1 makes labels of them; 0 does not round", Default: "0"},
}

// faults are what is wrong with a backend. The zero value is nothing.
type faults struct {
	latencyRow                 time.Duration
	fail, jitter, drift, order float64
	stale, clip, step          float64

	mu       sync.Mutex
	random   *rand.Rand
	answered int     // rows
	last     float64 // the answer before, for stale
}

func (f *faults) open(options core.Options, seed uint64) error {
	var err error
	if f.latencyRow, err = time.ParseDuration(options["latency-row"]); err != nil || f.latencyRow < 0 {
		return fault.New(fault.Usage, "option latency-row=%q must be a duration such as 1ms", options["latency-row"])
	}
	for _, o := range []struct {
		value *float64
		name  string
		low   float64
		high  float64
	}{
		{&f.fail, "fail", 0, 1}, {&f.stale, "stale", 0, 1}, {&f.jitter, "jitter", 0, math.MaxFloat64}, {&f.clip, "clip", 0, math.MaxFloat64},
		{&f.step, "step", 0, math.MaxFloat64}, {&f.drift, "drift", -math.MaxFloat64, math.MaxFloat64}, {&f.order, "order", -math.MaxFloat64, math.MaxFloat64},
	} {
		if *o.value, err = options.Float(o.name, o.low, o.high); err != nil {
			return err
		}
	}
	f.random = rand.New(rand.NewPCG(seed, 0x6661756c7473))
	return nil
}

// identity names what changes the answers.
func (f *faults) identity(options core.Options) string {
	text := ""
	for _, name := range []string{"jitter", "drift", "order", "stale", "clip", "step"} {
		if options[name] != "0" {
			text += fmt.Sprintf(" %s=%s", name, options[name])
		}
	}
	return text
}

// before is what happens to a query of the given number of rows before it is answered.
func (f *faults) before(ctx context.Context, latency time.Duration, rows int) error {
	if wait := latency + time.Duration(rows)*f.latencyRow; wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	if f.fail > 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.random.Float64() < f.fail {
			return fault.New(fault.Oracle, "the network's oracle fails on purpose, with the probability %g (option fail)", f.fail)
		}
	}
	return nil
}

// cut makes the coordinates what the model sees of them.
func (f *faults) cut(x []float64) {
	for k, v := range x {
		x[k] = max(-f.clip, min(f.clip, v))
	}
}

// after is what becomes of the answers to a batch.
func (f *faults) after(y []float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range y {
		y[i] += f.drift*float64(f.answered)/1000 + f.order*float64(i)
		if f.jitter > 0 {
			y[i] += f.jitter * f.random.NormFloat64()
		}
		if f.step > 0 {
			y[i] = f.step * math.Round(y[i]/f.step)
		}
		if f.stale > 0 && f.answered > 0 && f.random.Float64() < f.stale {
			y[i] = f.last
		}
		f.last = y[i]
		f.answered++
	}
}

// gaussian is the standard normal noise of a row: the same for the same seed and row, so that answers depend neither on
// the order nor on the batches of the queries, and a run can be repeated.
func gaussian(seed uint64, row []float64) float64 {
	hash := fnv.New64a()
	var word [8]byte
	for _, v := range row {
		binary.LittleEndian.PutUint64(word[:], math.Float64bits(v))
		_, _ = hash.Write(word[:])
	}
	return rand.New(rand.NewPCG(seed, hash.Sum64())).NormFloat64()
}
