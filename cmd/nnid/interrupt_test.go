//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignals interrupts a run, as a terminal or a batch system does: it ends soon, with status 1 and a sentence that
// says how to go on, leaves no process behind, and the same command goes on without asking anything twice.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal syscall.Signal
	}{{"INT", syscall.SIGINT}, {"TERM", syscall.SIGTERM}, {"KILL", syscall.SIGKILL}} {
		t.Run(c.name, func(t *testing.T) {
			server := startModelServer(t)
			folder := filepath.Join(t.TempDir(), "run")
			args := []string{"identify", "--activation", "tanh", "--max-queries", "500", "--run-dir", folder,
				"--oracle", "oip", "--oracle-option", "url=" + server.URL, "--oracle-option", "model=slow"}
			var stderr bytes.Buffer
			command := exec.Command(binary, args...)
			command.Stderr = &stderr
			command.Env = append(os.Environ(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir(), "NNID_PLUGIN_PATH=")
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, time.Minute, "150 answers", func() bool { rows, _ := server.answered("slow"); return rows >= 150 })
			if err := command.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			sent := time.Now()
			err := command.Wait()
			if took := time.Since(sent); took > 15*time.Second {
				t.Errorf("it took %v to end", took)
			}
			if c.signal != syscall.SIGKILL {
				exit, ok := errors.AsType[*exec.ExitError](err)
				if !ok || exit.ExitCode() != statusFailed {
					t.Errorf("ended with %v", err)
				}
				lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
				last := lines[len(lines)-1]
				if !strings.HasPrefix(last, "nnid: interrupted after ") || !strings.Contains(last, "repeat the command to go on") {
					t.Errorf("last words: %q", last)
				}
			}
			waitFor(t, 10*time.Second, "the end of all plugin processes", func() bool { return len(childrenOfBinary(t)) == 0 })

			before, _ := server.answered("slow")
			status, _, words := nnid(t, args...)
			if status != statusNotIdentified {
				t.Fatalf("resumed: status %d, %s", status, words)
			}
			rows, again := server.answered("slow")
			// A request may have been answered whose answer nobody was left to write down.
			if lost := 100; again > lost || before < 150 || rows > 500+lost {
				t.Errorf("%d rows before, %d in the end, of which %d were asked twice", before, rows, again)
			}
		})
	}
}

// TestOneRunADirectory: a second run in a directory in use is refused, and the first does not mind. It waits for a
// server that has stopped answering, until Ctrl-C.
func TestOneRunADirectory(t *testing.T) {
	server := startModelServer(t)
	folder := filepath.Join(t.TempDir(), "run")
	args := []string{"identify", "--activation", "tanh", "--run-dir", folder,
		"--oracle", "oip", "--oracle-option", "url=" + server.URL, "--oracle-option", "model=stuck"}
	first := exec.Command(binary, args...)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, time.Minute, "40 answers", func() bool { rows, _ := server.answered("stuck"); return rows >= 40 })
	status, _, stderr := nnid(t, args...)
	if status != statusUsage || !strings.Contains(stderr, "in use by another process") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); first.ProcessState.ExitCode() != statusFailed {
		t.Errorf("the first run ended with %v", err)
	}
}

func waitFor(t *testing.T, patience time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// childrenOfBinary lists the processes that run the binary under test; empty where there is no /proc.
func childrenOfBinary(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var running []string
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == binary {
			running = append(running, link)
		}
	}
	return running
}

// TestNoProgramIsLeft interrupts and kills a run whose oracle waits for a program that does not answer: the program is gone with it.
func TestNoProgramIsLeft(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"INT": syscall.SIGINT, "KILL": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, "pid")
			command := exec.Command(binary, "identify", "-q", "--activation", "tanh", "--run-dir", filepath.Join(folder, "run"), "--oracle", "exec",
				"--oracle-option", "inputs=2", "--oracle-option", `command=sh -c 'echo $$ > "`+file+`.new"; mv "`+file+`.new" "`+file+`"; exec sleep 1000'`)
			command.Env = append(os.Environ(), "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder, "NNID_PLUGIN_PATH=")
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, time.Minute, "program", func() bool { _, err := os.Stat(file); return err == nil })
			pid, err := strconv.Atoi(strings.TrimSpace(readFile(t, file)))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, 0); err != nil {
				t.Fatalf("the program does not run: %v", err)
			}
			if err := command.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := command.Wait(); err == nil {
				t.Error("the run ended well")
			}
			waitFor(t, 10*time.Second, "end of the program", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
		})
	}
}
