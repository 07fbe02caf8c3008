package program

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for command, want := range map[string][]string{
		"":                        nil,
		"  a  b\tc\n":             {"a", "b", "c"},
		`python3 'my model.py'`:   {"python3", "my model.py"},
		`a "b c" d\ e ''`:         {"a", "b c", "d e", ""},
		`sh -c 'echo "$HOME"'`:    {"sh", "-c", `echo "$HOME"`},
		`"a\"b" "c\d" 'e\f' g\\h`: {`a"b`, `c\d`, `e\f`, `g\h`},
		`x'y'"z"`:                 {"xyz"},
	} {
		got, err := Words(command)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", command, got, err, want)
		}
	}
}

// FuzzWords: words that are quoted come back as they were.
func FuzzWords(f *testing.F) {
	f.Add(`a "b\" c`)
	f.Add(`'`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Words(text); err != nil {
			return
		}
		text = strings.ToValidUTF8(text, "?")
		words, err := Words("x '" + strings.ReplaceAll(text, "'", `'\''`) + "' y")
		if err != nil || !slices.Equal(words, []string{"x", text, "y"}) {
			t.Errorf("%q: %q, %v", text, words, err)
		}
	})
}

// FuzzAnswers reads whatever a program may write, in either format: no panic, and an answer without an error is whole.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("1\n2\n"), 2)
	f.Add([]byte("1 2\nnan, -inf\n"), 2)
	f.Add([]byte("error: no\n"), 1)
	f.Add(append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8)...), 1)
	f.Add(append(bytes.Repeat([]byte{255}, 8), 2, 0, 0, 0, 0, 0, 0, 0, 'n', 'o'), 1)
	f.Fuzz(func(t *testing.T, text []byte, rows int) {
		if rows < 1 || rows > 100 {
			return
		}
		for _, format := range []format{lines{}, frames{}} {
			a := &answer{rows: rows}
			if err := format.read(bufio.NewReader(bytes.NewReader(text)), a); err == nil && (a.columns < 1 || len(a.values) != a.columns*rows) {
				t.Errorf("%T: %d values of %d columns for %d rows", format, len(a.values), a.columns, rows)
			}
		}
		var g Greeting
		if err := g.parse(string(text)); err == nil && (g.Inputs < 0 || g.Outputs < 0) {
			t.Errorf("%+v", g)
		}
	})
}
