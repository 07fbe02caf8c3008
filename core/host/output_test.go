package host

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestReadLines(t *testing.T) {
	var lines []string
	readLines(strings.NewReader("one\n\n"+strings.Repeat("x", 3*maxLine)+"\nafter\nlast, cut short"), func(line string) { lines = append(lines, line) })
	if len(lines) != 5 || lines[0] != "one" || lines[1] != "" || lines[3] != "after" || lines[4] != "last, cut short" {
		t.Errorf("%d lines", len(lines))
	}
	// The beginning of a long line is kept, its rest dropped, and the lines after it are read all the same.
	if n := len(lines[2]); n != maxLine {
		t.Errorf("the long line has %d bytes", n)
	}
}

func TestParseLogLine(t *testing.T) {
	entry, ok := parseLogLine(`{"@level":"warn","@message":"low on memory","@module":"gpu","@timestamp":"2026","free":3,"stack":"long"}`)
	if !ok || entry.level != hclog.Warn || entry.module != "gpu" || entry.String() != "low on memory free=3" {
		t.Errorf("%+v %v", entry, ok)
	}
	for _, line := range []string{"", "text", "{", "{}", `{"@level":"loud","@message":"x"}`, `{"level":"info","msg":"another logger's"}`} {
		if _, ok := parseLogLine(line); ok {
			t.Errorf("%q was taken for a log line", line)
		}
	}
}

func TestLastWords(t *testing.T) {
	w := &lastWords{}
	if w.String() != "" {
		t.Errorf("%q", w)
	}
	for k := range 20 {
		w.add(fmt.Sprint("line ", k))
		w.add("")
	}
	// The end of what was said.
	if got := w.String(); !strings.HasPrefix(got, "; its last words:\n  line 12\n") || !strings.HasSuffix(got, "line 19") {
		t.Errorf("%q", got)
	}
	// Of a crash, the beginning, which has the reason.
	w.add("panic: " + strings.Repeat("very ", 100) + "bad")
	for k := range 20 {
		w.add(fmt.Sprint("frame ", k))
	}
	got := w.String()
	if !strings.HasPrefix(got, "; its last words:\n  panic: very") || !strings.HasSuffix(got, "frame 6") || len(got) > 600 {
		t.Errorf("%q", got)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"arctan", "gelu", "sigmoid", "tanh"}
	for name, want := range map[string]string{"tahn": "tanh", "Tanh": "tanh", "sigmoide": "sigmoid", "atan": "arctan", "xyz": "", "": "", "jelu": "gelu"} {
		if got := nearest(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
