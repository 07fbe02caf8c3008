package host

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// logLine is a line of hclog's JSON format.
type logLine struct {
	level   hclog.Level
	message string
	module  string
	fields  []any
}

func parseLogLine(line string) (logLine, bool) {
	if !strings.HasPrefix(line, "{") {
		return logLine{}, false
	}
	var values map[string]any
	if err := json.Unmarshal([]byte(line), &values); err != nil {
		return logLine{}, false
	}
	take := func(key string) string {
		text, _ := values[key].(string)
		delete(values, key)
		return text
	}
	entry := logLine{level: hclog.LevelFromString(take("@level")), message: take("@message"), module: take("@module")}
	take("@timestamp")
	take("@caller")
	if entry.level == hclog.NoLevel {
		return logLine{}, false
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		entry.fields = append(entry.fields, key, values[key])
	}
	return entry, true
}

func (l logLine) String() string {
	text := l.message
	for k := 0; k+1 < len(l.fields); k += 2 {
		if l.fields[k] != "stack" { // in the log, where there is room
			text += fmt.Sprintf(" %v=%v", l.fields[k], l.fields[k+1])
		}
	}
	return text
}

const (
	wordLines  = 8
	wordLength = 300
)

// lastWords keeps the end of what a plugin wrote to standard error; of a crash of Go's runtime, the beginning, which has
// the reason.
type lastWords struct {
	mu    sync.Mutex
	lines []string
	crash bool
}

func (w *lastWords) add(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.TrimSpace(line) == "" {
		return
	}
	if len(line) > wordLength {
		line = line[:wordLength] + "..."
	}
	if !w.crash && (strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")) {
		w.crash, w.lines = true, nil
	}
	if len(w.lines) == wordLines {
		if w.crash {
			return
		}
		w.lines = w.lines[1:]
	}
	w.lines = append(w.lines, line)
}

// String is empty, or begins a new part of a sentence.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) == 0 {
		return ""
	}
	return "; its last words:\n  " + strings.ToValidUTF8(strings.Join(w.lines, "\n  "), "\uFFFD")
}

// quietLogger is what go-plugin gets: its own messages are about itself, and errors tell users all they need.
type quietLogger struct{ hclog.Logger }

func (l quietLogger) Info(message string, fields ...any)  { l.Logger.Debug(message, fields...) }
func (l quietLogger) Warn(message string, fields ...any)  { l.Logger.Debug(message, fields...) }
func (l quietLogger) Error(message string, fields ...any) { l.Logger.Debug(message, fields...) }
func (l quietLogger) Debug(message string, fields ...any) { l.Logger.Trace(message, fields...) }

func (l quietLogger) Named(name string) hclog.Logger  { return quietLogger{l.Logger.Named(name)} }
func (l quietLogger) With(fields ...any) hclog.Logger { return quietLogger{l.Logger.With(fields...)} }
