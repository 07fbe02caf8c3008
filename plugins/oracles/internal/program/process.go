package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/nnid/nnid/sdk"
)

var errTimeout = errors.New("timeout")

// process is one run of the program.
type process struct {
	command *exec.Cmd
	stdin   *os.File
	out     *os.File
	stdout  *bufio.Reader
	stderr  *lastWords
	ended   chan struct{} // closed when the process has been waited for
}

// launch starts the program. It stays in this process's group, so that it is killed with it.
func launch(args, env []string) (*process, error) {
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), stdin.Close())
	}
	p := &process{
		command: exec.Command(args[0], args[1:]...), stdin: stdin, out: out, stdout: bufio.NewReaderSize(out, 1<<16),
		stderr: &lastWords{name: args[0]}, ended: make(chan struct{}),
	}
	p.command.Stdin, p.command.Stdout, p.command.Stderr, p.command.Env = in, stdout, p.stderr, env
	p.command.WaitDelay = grace // for what the program has started and left with its standard error
	setAttributes(p.command)
	err = p.command.Start()
	_ = in.Close() // the program has its own
	_ = stdout.Close()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), out.Close())
	}
	go func() {
		_ = p.command.Wait() // the state says what there is to say
		close(p.ended)
	}()
	return p, nil
}

// exchange writes and reads at the same time, for a program may answer before it has read everything, and both pipes
// are short. Unless it returns nil the process is of no use any more.
func (p *process) exchange(ctx context.Context, timeout time.Duration, write func(*bufio.Writer) error, read func(*bufio.Reader) error) error {
	written, answered := make(chan error, 1), make(chan error, 1)
	go func() {
		if write == nil {
			written <- nil
			return
		}
		w := bufio.NewWriterSize(p.stdin, 1<<16)
		err := write(w)
		if err == nil {
			err = w.Flush()
		}
		written <- err
	}()
	go func() { answered <- read(p.stdout) }()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case err := <-answered:
		if err != nil {
			p.closePipes() // else the writer may wait for ever
			<-written
			return err
		}
		// All is answered, so the program has read everything, unless it is out of its mind.
		select {
		case err := <-written:
			if err != nil {
				return errors.New("answered before it had read the whole batch")
			}
			return nil
		case <-ctx.Done():
		case <-timer.C:
		}
		p.closePipes()
		<-written
		return errTimeout
	case <-ctx.Done():
	case <-timer.C:
	}
	p.closePipes()
	<-written
	<-answered
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errTimeout
}

// unread returns how much the program has written that nobody has asked for.
func (p *process) unread() int {
	if p.stdout.Buffered() > 0 {
		return p.stdout.Buffered()
	}
	if readable(p.out) {
		_, _ = p.stdout.Peek(1) // an end is seen by the next exchange
	}
	return p.stdout.Buffered()
}

func (p *process) peek(n int) string {
	text, _ := p.stdout.Peek(min(n, p.stdout.Buffered()))
	return string(text)
}

func (p *process) closePipes() {
	_ = p.out.Close() // first, else a program that waits for the end of its input might still answer
	_ = p.stdin.Close()
}

// kill ends the process at once.
func (p *process) kill() {
	p.closePipes()
	_ = p.command.Process.Kill()
	<-p.ended
}

// stop ends the process by the end of its input.
func (p *process) stop() {
	_ = p.stdin.Close()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.ended:
		_ = p.out.Close()
	case <-timer.C:
		p.kill()
	}
}

// end says how a process ended that has closed its output.
func (p *process) end() string {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		return "closed its output"
	}
	state := p.command.ProcessState
	if state.Exited() {
		return fmt.Sprintf("exited with status %d", state.ExitCode())
	}
	return "was ended by a signal (" + state.String() + ")"
}

// lastWords keeps the end of what is written to it, and logs it line by line.
type lastWords struct {
	name string

	mu   sync.Mutex
	line []byte
	last []string
}

const (
	wordsKept = 12      // lines
	wordsLine = 4 << 10 // bytes; what is longer is cut
)

func (w *lastWords) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range text {
		switch {
		case c == '\n':
			w.finish()
		case len(w.line) < wordsLine:
			w.line = append(w.line, c)
		}
	}
	return len(text), nil
}

func (w *lastWords) finish() {
	line := strings.TrimRight(strings.ToValidUTF8(string(w.line), "?"), "\r ")
	w.line = w.line[:0]
	if line == "" {
		return
	}
	sdk.Logger().Debug(line, "program", w.name)
	if len(w.last) == wordsKept {
		w.last = append(w.last[:0], w.last[1:]...)
	}
	w.last = append(w.last, line)
}

// words returns the last lines, each indented.
func (w *lastWords) words() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finish()
	if len(w.last) == 0 {
		return ""
	}
	return "  " + strings.Join(w.last, "\n  ")
}
