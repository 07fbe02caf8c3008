package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// maxLine bounds a line of a plugin's output; the rest of a longer one is dropped.
	maxLine = 64 << 10
	// drainTime is how long output is still read after the process has ended: something that it started may hold the pipe
	// open for ever.
	drainTime = 500 * time.Millisecond
	// maxPrints is how many lines on standard output are reported.
	maxPrints = 20
)

// runner is a plugin's process: go-plugin's runner.Runner, with what go-plugin's own keeps to itself, namely the exit
// status, the last words, and the first line printed.
type runner struct {
	cmd    *exec.Cmd
	logger hclog.Logger // under the plugin's name
	words  *lastWords

	// For go-plugin: the handshake line, and nothing. The end of both is the end of the process.
	handshake, nothing     *io.PipeReader
	handshakeIn, nothingIn *io.PipeWriter

	lifeline *os.File // open as long as this process lives
	// plainText says that there is no TLS: go-plugin must not see a certificate then, for it panics.
	plainText bool

	mu        sync.Mutex
	startErr  error
	firstLine string
	hasLine   bool
	pid       int  // 0 until it runs
	killed    bool // by this host, while it ran

	done chan struct{} // closed when the process has ended and its output is read
}

func newRunner(cmd *exec.Cmd, logger hclog.Logger) *runner {
	r := &runner{cmd: cmd, logger: logger, words: &lastWords{}, done: make(chan struct{})}
	r.handshake, r.handshakeIn = io.Pipe()
	r.nothing, r.nothingIn = io.Pipe()
	return r
}

// Start implements runner.Runner.
func (r *runner) Start(context.Context) error {
	err := r.start()
	if err != nil {
		r.mu.Lock()
		r.startErr = err
		r.mu.Unlock()
		close(r.done)
	}
	return err
}

func (r *runner) start() error {
	var files []*os.File
	closeFiles := func() {
		for _, file := range files {
			_ = file.Close() // of pipes of which the other end is all that counts
		}
	}
	pipe := func() (reader, writer *os.File, err error) {
		if reader, writer, err = os.Pipe(); err == nil {
			files = append(files, reader, writer)
		}
		return reader, writer, err
	}
	stdout, stdoutIn, err := pipe()
	if err != nil {
		return err
	}
	stderr, stderrIn, err := pipe()
	if err != nil {
		closeFiles()
		return err
	}
	lifelineOut, lifeline, err := pipe()
	if err != nil {
		closeFiles()
		return err
	}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = nil, stdoutIn, stderrIn
	if passesFiles {
		r.cmd.ExtraFiles = []*os.File{lifelineOut}
	}
	setAttributes(r.cmd)

	r.lifeline = lifeline
	started := make(chan error)
	go func() {
		// Linux sends the signal of the parent's death when the thread that started the child ends: this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			r.wait(stdout, stderr)
		}
	}()
	if err := <-started; err != nil {
		closeFiles()
		return err
	}
	r.mu.Lock()
	r.pid = r.cmd.Process.Pid
	r.mu.Unlock()
	for _, file := range []*os.File{stdoutIn, stderrIn, lifelineOut} {
		_ = file.Close() // the child has its own
	}
	return nil
}

// wait reads the process's output and sees to its end.
func (r *runner) wait(stdout, stderr *os.File) {
	var readers sync.WaitGroup
	readers.Go(func() { r.readStdout(stdout) })
	readers.Go(func() { r.readStderr(stderr) })
	waitAndKillGroup(r.cmd)
	read := make(chan struct{})
	go func() { readers.Wait(); close(read) }()
	select {
	case <-read:
	case <-time.After(drainTime):
	}
	_, _, _ = stdout.Close(), stderr.Close(), r.handshake.Close()
	<-read
	_ = r.lifeline.Close()
	close(r.done)
	_, _ = r.handshakeIn.Close(), r.nothingIn.Close()
}

func (r *runner) readStdout(stdout io.Reader) {
	count := 0
	readLines(stdout, func(line string) {
		r.mu.Lock()
		first := !r.hasLine
		if first {
			r.firstLine, r.hasLine = line, true
		}
		r.mu.Unlock()
		if first {
			if fields := strings.Split(line, "|"); r.plainText && len(fields) > 5 {
				line = strings.Join(fields[:5], "|")
			}
			// Fails only when go-plugin has lost interest.
			_, _ = io.WriteString(r.handshakeIn, line+"\n")
			return
		}
		switch count++; {
		case count <= maxPrints:
			r.logger.Warn("the plugin printed to its standard output, which is not for printing", "line", line)
		case count == maxPrints+1:
			r.logger.Warn("the plugin goes on printing to its standard output; no more of it is shown")
		}
	})
}

func (r *runner) readStderr(stderr io.Reader) {
	readLines(stderr, func(line string) {
		entry, ok := parseLogLine(line)
		if !ok {
			r.words.add(line)
			r.logger.Debug(line)
			return
		}
		if entry.level >= hclog.Warn {
			r.words.add(entry.String())
		}
		logger := r.logger
		if entry.module != "" {
			logger = logger.Named(entry.module)
		}
		logger.Log(entry.level, entry.message, entry.fields...)
	})
}

// readLines calls line for every line until the end, which is any error.
func readLines(from io.Reader, line func(string)) {
	reader := bufio.NewReaderSize(from, maxLine)
	for {
		text, isPrefix, err := reader.ReadLine()
		if err != nil {
			return
		}
		line(string(text))
		for isPrefix && err == nil {
			_, isPrefix, err = reader.ReadLine()
		}
	}
}

// Wait implements runner.Runner.
func (r *runner) Wait(context.Context) error {
	<-r.done
	if r.cmd.ProcessState == nil || r.cmd.ProcessState.Success() {
		return nil
	}
	return &exec.ExitError{ProcessState: r.cmd.ProcessState}
}

// Kill implements runner.Runner.
func (r *runner) Kill(context.Context) error {
	select {
	case <-r.done:
		return nil
	default:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pid == 0 {
		return nil
	}
	switch err := killGroup(r.cmd); {
	case err == nil:
		r.killed = true
	case !errors.Is(err, os.ErrProcessDone):
		return err
	}
	return nil
}

// endedByItself reports whether the process ended without this host. It must have ended. Between a process's end and the
// moment when that is known here, go-plugin may kill what is dead already: the exit status tells.
func (r *runner) endedByItself() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.killed || signalName(r.cmd.ProcessState) == ""
}

// ended waits for the process to end, but not longer than given.
func (r *runner) ended(atMost time.Duration) bool {
	select {
	case <-r.done:
		return true
	default:
	}
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-r.done:
		return true
	case <-timer.C:
		return false
	}
}

// Stdout, Stderr, Name, ID and Diagnose implement runner.Runner.
func (r *runner) Stdout() io.ReadCloser           { return r.handshake }
func (r *runner) Stderr() io.ReadCloser           { return r.nothing }
func (r *runner) Name() string                    { return r.cmd.Path }
func (r *runner) Diagnose(context.Context) string { return "" }

func (r *runner) ID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pid == 0 {
		return ""
	}
	return strconv.Itoa(r.pid)
}

// PluginToHost implements runner.AddrTranslator: both are on one machine.
func (r *runner) PluginToHost(network, address string) (string, string, error) {
	switch network {
	case "unix", "tcp":
		return network, address, nil
	}
	return "", "", fmt.Errorf("unknown network %q", network)
}

// HostToPlugin implements runner.AddrTranslator.
func (r *runner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// exit says how the process ended, as in: "ended with exit status 3".
func exit(state *os.ProcessState) string {
	if state == nil {
		return "ended"
	}
	if name := signalName(state); name != "" {
		return "was killed by the signal " + name
	}
	return fmt.Sprintf("ended with exit status %d", state.ExitCode())
}
