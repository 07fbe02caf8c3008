package query

import (
	"context"
	"sync"
	"time"
)

// pace spreads rows over time: no more than rate a second, whoever asks.
type pace struct {
	rate float64 // 0: no limit

	mu   sync.Mutex
	free time.Time // when what has been let through so far is within the rate
}

// wait returns when so many rows may be asked.
func (p *pace) wait(ctx context.Context, rows int) error {
	if p.rate <= 0 {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	at := p.free
	if at.Before(now) {
		at = now
	}
	// In seconds first: rows over a tiny rate are more than a Duration holds.
	p.free = at.Add(time.Duration(min(float64(rows)/p.rate, 1e9) * float64(time.Second)))
	p.mu.Unlock()
	if at == now {
		return nil
	}
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// What a tuner begins with, and what a batch twice as large must bring: rows a second, over the smaller one.
const (
	firstBatch = 16
	tunerGain  = 1.1
)

// tuner is how many rows a call should have. It doubles them for as long as that answers more rows a second.
type tuner struct {
	mu      sync.Mutex
	size    int
	most    int
	before  int     // the size before, and
	speed   float64 // the rows a second that it answered
	settled bool
}

func newTuner(most int, tune bool) *tuner {
	if !tune || most <= firstBatch {
		return &tuner{size: most, most: most, settled: true}
	}
	return &tuner{size: firstBatch, most: most}
}

func (t *tuner) rows() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.size
}

// observe learns from a call. One of other than the present size says nothing.
func (t *tuner) observe(rows int, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.settled || rows != t.size {
		return
	}
	speed := float64(rows) / max(took.Seconds(), 1e-9)
	switch {
	case speed < tunerGain*t.speed:
		t.size, t.settled = t.before, true
	case t.size == t.most:
		t.settled = true
	default:
		t.before, t.speed = t.size, speed
		t.size = min(2*t.size, t.most)
	}
}
