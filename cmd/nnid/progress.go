package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/nnid/nnid/core/identify"
)

// progress shows how a run is getting on. Its methods are safe for concurrent calls.
type progress interface {
	event(identify.Event)
	queries(n int64) // rows answered, between events
	// line shows a line of text amid the rest.
	line(text string)
	close()
}

type noProgress struct{ errors io.Writer }

func (noProgress) event(identify.Event) {}
func (noProgress) queries(int64)        {}
func (p noProgress) line(text string)   { fmt.Fprintln(p.errors, text) }
func (noProgress) close()               {}

// linesProgress prints a line when a stage begins or ends, and one now and then in between.
type linesProgress struct {
	out   io.Writer
	every time.Duration

	mu    sync.Mutex
	stage string
	last  time.Time
}

func (p *linesProgress) event(e identify.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Stage == p.stage && !e.Final && time.Since(p.last) < p.every {
		return
	}
	p.stage, p.last = e.Stage, time.Now()
	text := fmt.Sprintf("%-10s %8d queries", e.Stage, e.Queries)
	if e.Total > 0 {
		text += fmt.Sprintf("  %d/%d", e.Done, e.Total)
	}
	if e.Loss > 0 {
		text += fmt.Sprintf("  loss %.1e", e.Loss)
	}
	fmt.Fprintf(p.out, "%s  %s\n", text, e.Text)
}

func (p *linesProgress) queries(int64) {}

func (p *linesProgress) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, text)
}

func (p *linesProgress) close() {}

// barProgress shows a bar a stage on a terminal.
type barProgress struct {
	container *mpb.Progress

	mu    sync.Mutex
	bar   *mpb.Bar
	state *barState
	last  identify.Event
}

// barState is what the decorators of one bar show; they are called from mpb's goroutine.
type barState struct {
	mu sync.Mutex
	e  identify.Event
}

func (s *barState) set(e identify.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.e = e
}

func (s *barState) counts(decor.Statistics) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d queries ", s.e.Queries)
}

func (s *barState) text(decor.Statistics) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.e.Loss > 0 {
		return fmt.Sprintf(" loss %.1e  %s", s.e.Loss, s.e.Text)
	}
	return " " + s.e.Text
}

func newBarProgress(out io.Writer) *barProgress {
	return &barProgress{container: mpb.New(mpb.WithOutput(out), mpb.WithWidth(24), mpb.WithRefreshRate(120*time.Millisecond))}
}

func (p *barProgress) event(e identify.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil && e.Stage != p.last.Stage {
		p.finish()
	}
	p.last = e
	if p.bar == nil {
		// Each bar shows its own stage after the next one has begun.
		p.state = &barState{}
		state := p.state
		p.bar = p.container.New(0, mpb.BarStyle(),
			mpb.PrependDecorators(decor.Name(e.Stage, decor.WC{W: 11, C: decor.DindentRight}), decor.Any(state.counts, decor.WC{W: 18})),
			mpb.AppendDecorators(decor.Any(state.text)))
	}
	p.state.set(e)
	if e.Total > 0 {
		p.bar.SetTotal(int64(e.Total), false)
		p.bar.SetCurrent(int64(min(e.Done, e.Total)))
	}
	if e.Final {
		p.finish()
	}
}

func (p *barProgress) queries(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil || n < p.last.Queries {
		return
	}
	p.last.Queries = n
	p.state.set(p.last)
}

func (p *barProgress) finish() {
	if p.bar == nil {
		return
	}
	p.bar.SetTotal(1, false) // full, whatever was counted
	p.bar.SetCurrent(1)
	p.bar.SetTotal(-1, true)
	p.bar = nil
}

func (p *barProgress) line(text string) { fmt.Fprintln(p.container, text) }

func (p *barProgress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Abort(false)
		p.bar = nil
	}
	p.container.Wait()
}
