package program

import (
	"errors"
	"strings"
)

// Words splits a command as a POSIX shell would, with quotes and backslashes, but expands nothing: what needs a shell
// names one, as in sh -c '...'.
func Words(command string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	quoted := rune(0) // ' or " while inside of one
	escaped := false
	for _, c := range command {
		switch {
		case escaped:
			if quoted == '"' && c != '"' && c != '\\' && c != '$' && c != '`' {
				word.WriteRune('\\') // in double quotes only these can be escaped
			}
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quoted != '\'':
			inWord, escaped = true, true
		case quoted != 0:
			if c == quoted {
				quoted = 0
			} else {
				word.WriteRune(c)
			}
		case c == '\'' || c == '"':
			inWord, quoted = true, c
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			inWord = true
			word.WriteRune(c)
		}
	}
	switch {
	case quoted != 0:
		return nil, errors.New("a quote is opened and not closed")
	case escaped:
		return nil, errors.New("it ends in a backslash")
	case inWord:
		words = append(words, word.String())
	}
	return words, nil
}
