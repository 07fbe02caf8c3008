// Package program keeps a program running that answers queries: rows go to its standard input, values come back on its
// standard output, in one of two formats. docs/backends.md describes them for those who write such programs.
package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// Settings say which program, and how it is talked to.
type Settings struct {
	Args    []string // the program, found in PATH where it has no slash, and its arguments
	Name    string   // what errors call it; the words of Args where empty
	Format  Format
	Greets  bool          // the program's first line is a Greeting
	Start   time.Duration // longest time to the greeting
	Timeout time.Duration // longest time for the answer to one batch
	Env     []string      // as in exec.Cmd: nil is this process's own
}

// Greeting is what a program that greets says of itself, as JSON, in its first line. Zero values are "not known".
type Greeting struct {
	Inputs   int    `json:"inputs"`
	Outputs  int    `json:"outputs"`
	DType    string `json:"dtype"`
	MaxBatch int    `json:"max_batch"`
	Model    string `json:"model"`
	Error    string `json:"error"` // why the program cannot answer at all: a sentence for the user
}

// grace is how long a program that was told to end, by the end of its input, may take to do so.
const grace = 2 * time.Second

// Program is a program that is started when first needed, and again after one that has failed. One batch is asked at a
// time; further calls wait.
type Program struct {
	settings Settings
	format   format
	turn     chan struct{} // holds a token while nobody talks to the process
	process  *process      // nil when none runs
	greeting Greeting
	outputs  int // values a row, as the first answer had
}

// New checks that there is such a program. Nothing is started yet.
func New(settings Settings) (*Program, error) {
	if len(settings.Args) == 0 {
		return nil, fault.New(fault.Usage, "the command is empty; it needs a program, such as: python3 model.py")
	}
	if settings.Name == "" {
		settings.Name = "the program " + quote(strings.Join(settings.Args, " "))
	}
	if _, err := exec.LookPath(settings.Args[0]); err != nil {
		if e, ok := errors.AsType[*exec.Error](err); ok {
			err = e.Err
		}
		return nil, fault.New(fault.Usage, "%s cannot be started: %q: %w; give its path, or put its folder into PATH", settings.Name, settings.Args[0], cause(err))
	}
	format, err := settings.Format.codec()
	if err != nil {
		return nil, err
	}
	p := &Program{settings: settings, format: format, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p, nil
}

// lock waits for the process to be free.
func (p *Program) lock(ctx context.Context) error {
	select {
	case <-p.turn:
		return ctx.Err()
	default:
	}
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Program) unlock() { p.turn <- struct{}{} }

// Greeting starts the program, unless it runs, and returns what it said of itself.
func (p *Program) Greeting(ctx context.Context) (Greeting, error) {
	if err := p.lock(ctx); err != nil {
		return Greeting{}, err
	}
	defer p.unlock()
	if err := p.start(ctx); err != nil {
		return Greeting{}, err
	}
	return p.greeting, nil
}

// Ask returns the program's answers to the rows of x.
func (p *Program) Ask(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	defer p.unlock()
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	if n := p.process.unread(); n > 0 {
		return nil, p.failed(ctx, "had written more than the answers it was asked for (%d bytes: %s), so that answers and queries may be out of step; answers kept so far are not to be trusted: mend the program and use another run directory",
			n, quote(p.process.peek(60)))
	}
	rows, _ := x.Dims()
	answer := &answer{rows: rows, columns: p.outputs}
	err := p.process.exchange(ctx, p.settings.Timeout,
		func(w *bufio.Writer) error { return p.format.write(w, x) },
		func(r *bufio.Reader) error { return p.format.read(r, answer) })
	if err == nil {
		p.outputs = answer.columns
		return mat.NewDense(rows, answer.columns, answer.values), nil
	}
	done := len(answer.values) / max(1, answer.columns)
	var said saidError
	switch {
	case ctx.Err() != nil:
		p.kill()
		return nil, ctx.Err()
	case errors.Is(err, errTimeout):
		return nil, p.failed(ctx, "did not answer %s within %s (%d answered by then); does it read line by line, and flush its output? If it is only slow, raise the option timeout or lower max-batch",
			count(rows, "row"), p.settings.Timeout, done)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, p.failed(ctx, "%s after answering %d of %s", p.process.end(), done, count(rows, "row"))
	case errors.As(err, &said):
		p.kill() // where its next answer would begin, nobody knows
		return nil, fault.New(fault.Oracle, "%s refused a batch of %s: %s", p.settings.Name, count(rows, "row"), strings.TrimSpace(string(said)))
	}
	return nil, p.failed(ctx, "%w", err)
}

// failed ends the process, whose answers can't be told apart any more, and returns the error: what happened, and the
// program's last words.
func (p *Program) failed(ctx context.Context, format string, args ...any) error {
	process := p.process
	p.kill()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := fault.New(fault.Oracle, "%s "+format, append([]any{p.settings.Name}, args...)...)
	if words := process.stderr.words(); words != "" {
		err = fault.New(fault.Oracle, "%w; its last words:\n%s", err, words)
	}
	return err
}

func (p *Program) kill() {
	p.process.kill()
	p.process = nil
}

// start starts the process unless it runs.
func (p *Program) start(ctx context.Context) error {
	if p.process != nil {
		return nil
	}
	process, err := launch(p.settings.Args, p.settings.Env)
	if err != nil {
		return fault.New(fault.Usage, "%s cannot be started: %w", p.settings.Name, cause(err))
	}
	p.process, p.outputs = process, 0
	if !p.settings.Greets {
		return nil
	}
	var g Greeting
	err = process.exchange(ctx, p.settings.Start, nil, func(r *bufio.Reader) error {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		return g.parse(line)
	})
	switch {
	case err == nil && g.Error != "":
		p.kill()
		return fault.New(fault.Usage, "%s", g.Error)
	case err == nil:
		p.greeting = g
		return nil
	case ctx.Err() != nil:
		p.kill()
		return ctx.Err()
	case errors.Is(err, errTimeout):
		return p.failed(ctx, "did not get ready within %s", p.settings.Start)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return p.failed(ctx, "%s before it was ready", process.end())
	}
	return p.failed(ctx, "%w", err)
}

// Close ends the program: by the end of its input, and by force where that does not do.
func (p *Program) Close() error {
	<-p.turn // an Ask that is under way ends with its context or its timeout; no call follows
	defer p.unlock()
	if p.process != nil {
		p.process.stop()
		p.process = nil
	}
	return nil
}

// Pool is several copies of one program, which answer at the same time.
type Pool struct {
	all  []*Program
	idle chan *Program
}

// NewPool makes a pool of n programs.
func NewPool(settings Settings, n int) (*Pool, error) {
	p := &Pool{idle: make(chan *Program, n)}
	for range n {
		program, err := New(settings)
		if err != nil {
			return nil, err
		}
		p.all = append(p.all, program)
		p.idle <- program
	}
	return p, nil
}

// Greeting is that of one of the programs.
func (p *Pool) Greeting(ctx context.Context) (Greeting, error) { return p.all[0].Greeting(ctx) }

// Ask asks whichever program is free.
func (p *Pool) Ask(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	select {
	case program := <-p.idle:
		defer func() { p.idle <- program }()
		return program.Ask(ctx, x)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends all of them.
func (p *Pool) Close() error {
	done := make(chan error, len(p.all))
	for _, program := range p.all {
		go func() { done <- program.Close() }()
	}
	var errs []error
	for range p.all {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

// CheckQuery refuses a query that does not fit what is declared.
func CheckQuery(x *mat.Dense, info core.OracleInfo) error {
	rows, columns := x.Dims()
	if info.Inputs > 0 && columns != info.Inputs {
		return fault.New(fault.Usage, "the model has %d inputs but the query has %d columns", info.Inputs, columns)
	}
	if info.MaxBatch > 0 && rows > info.MaxBatch {
		return fault.New(fault.Usage, "the query has %d rows; max-batch is %d", rows, info.MaxBatch)
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// cause strips the operation and path that os errors repeat.
func cause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
