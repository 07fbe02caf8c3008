// Package npy reads and writes NumPy's files: arrays (.npy) and archives of them (.npz), of numbers and of short texts.
// The format is that of NumPy Enhancement Proposal 1. A header can't make a reader take more memory than the file has bytes,
// a few times over; objects, which NumPy would run code for, are refused.
package npy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/nnid/nnid/core/fault"
)

const (
	magic = "\x93NUMPY"
	// LargestEntries bounds an array: 2 GiB of float64.
	LargestEntries = 1 << 28
	largestHeader  = 1 << 16
	largestText    = 1 << 12 // characters of a text
)

// Array is an array in row-major order, of numbers or of texts. A single entry has the empty shape.
type Array struct {
	Shape []int
	Data  []float64 // unless it holds texts
	Text  []string
}

// header is what stands before the entries.
type header struct {
	kind    byte // f, i, u, b or U, as NumPy names them
	size    int  // bytes of an entry, or characters of a text
	order   binary.ByteOrder
	fortran bool
	shape   []int
	descr   string
}

// Read reads one array: floating point of 4 or 8 bytes, integers, truth values or texts, in either byte order and either order
// of indices. Errors are usage faults.
func Read(r io.Reader) (*Array, error) {
	buffered := bufio.NewReader(r)
	h, err := readHeader(buffered)
	if err != nil {
		return nil, err
	}
	entries := 1
	for _, n := range h.shape {
		if n > 0 && entries > LargestEntries/n {
			return nil, fault.New(fault.Usage, "the array has shape %s; the largest that is read has %d entries", Describe(h.shape), LargestEntries)
		}
		entries *= n
	}
	a := &Array{Shape: h.shape}
	width := h.size
	if h.kind == 'U' {
		width *= 4
	}
	entry := make([]byte, width)
	for range entries {
		if _, err := io.ReadFull(buffered, entry); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, fault.New(fault.Usage, "the array is cut short: shape %s needs %d entries", Describe(h.shape), entries)
			}
			return nil, fault.New(fault.Usage, "the array can't be read: %w", err)
		}
		if h.kind == 'U' {
			a.Text = append(a.Text, text(entry, h.order))
		} else {
			a.Data = append(a.Data, number(entry, h))
		}
	}
	if h.fortran && len(h.shape) > 1 {
		if h.kind == 'U' {
			return nil, fault.New(fault.Usage, "the array of texts is in Fortran order, which is not read")
		}
		a.Data = rowMajor(h.shape, a.Data)
	}
	return a, nil
}

// number decodes an entry.
func number(b []byte, h *header) float64 {
	var bits uint64
	switch len(b) {
	case 1:
		bits = uint64(b[0])
	case 2:
		bits = uint64(h.order.Uint16(b))
	case 4:
		bits = uint64(h.order.Uint32(b))
	case 8:
		bits = h.order.Uint64(b)
	}
	switch {
	case h.kind == 'f' && len(b) == 4:
		return float64(math.Float32frombits(uint32(bits)))
	case h.kind == 'f':
		return math.Float64frombits(bits)
	case h.kind == 'i':
		shift := 64 - 8*len(b)
		return float64(int64(bits<<shift) >> shift)
	}
	return float64(bits)
}

// text decodes code points of 4 bytes, padded with zeros.
func text(b []byte, order binary.ByteOrder) string {
	var s strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		s.WriteRune(rune(order.Uint32(b)))
	}
	return strings.TrimRight(s.String(), "\x00")
}

// rowMajor reorders entries from Fortran order, first index fastest.
func rowMajor(shape []int, data []float64) []float64 {
	out := make([]float64, len(data))
	index := make([]int, len(shape))
	for at := range out {
		from := 0
		for k := len(shape) - 1; k >= 0; k-- {
			from = from*shape[k] + index[k]
		}
		out[at] = data[from]
		for k := len(shape) - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return out
}

func readHeader(r io.Reader) (*header, error) {
	start := make([]byte, len(magic)+2)
	if _, err := io.ReadFull(r, start); err != nil || string(start[:len(magic)]) != magic {
		return nil, fault.New(fault.Usage, "the file is not a NumPy array (.npy)")
	}
	length := make([]byte, 2)
	switch version := start[len(magic)]; {
	case version == 2 || version == 3:
		length = make([]byte, 4)
	case version != 1:
		return nil, fault.New(fault.Usage, "the file is a NumPy array of version %d of the format; 1 to 3 are read", version)
	}
	if _, err := io.ReadFull(r, length); err != nil {
		return nil, fault.New(fault.Usage, "the NumPy array is cut short in its header")
	}
	size := uint32(binary.LittleEndian.Uint16(length))
	if len(length) == 4 {
		size = binary.LittleEndian.Uint32(length)
	}
	if size > largestHeader {
		return nil, fault.New(fault.Usage, "the header of the NumPy array has %d bytes; that of a plain array is shorter than %d", size, largestHeader)
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fault.New(fault.Usage, "the NumPy array is cut short in its header")
	}
	h, err := parseHeader(string(content))
	if err != nil {
		return nil, fault.New(fault.Usage, "the header of the NumPy array, %.100q, is not understood: %w", strings.TrimSpace(string(content)), err)
	}
	return h, h.setType()
}

// parseHeader reads a Python dictionary of the three keys that a plain array has.
func parseHeader(text string) (*header, error) {
	h := &header{}
	seen := map[string]bool{}
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "{")
	if !ok {
		return nil, errors.New("it does not begin with a brace")
	}
	for {
		rest = strings.TrimLeft(rest, " \n")
		if after, ok := strings.CutPrefix(rest, "}"); ok {
			if after != "" || len(seen) != 3 {
				return nil, errors.New("it must have descr, fortran_order, shape and nothing else")
			}
			return h, nil
		}
		key, after, err := quoted(rest)
		if err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, fmt.Errorf("it has %q twice", key)
		}
		seen[key] = true
		if rest, ok = strings.CutPrefix(strings.TrimLeft(after, " "), ":"); !ok {
			return nil, fmt.Errorf("there is no colon after %q", key)
		}
		rest = strings.TrimLeft(rest, " ")
		switch key {
		case "descr":
			h.descr, rest, err = quoted(rest)
		case "fortran_order":
			if after, ok := strings.CutPrefix(rest, "True"); ok {
				h.fortran, rest = true, after
			} else if rest, ok = strings.CutPrefix(rest, "False"); !ok {
				err = errors.New("fortran_order is neither True nor False")
			}
		case "shape":
			h.shape, rest, err = tuple(rest)
		default:
			err = fmt.Errorf("%q is unknown", key)
		}
		if err != nil {
			return nil, err
		}
		rest = strings.TrimPrefix(strings.TrimLeft(rest, " "), ",")
	}
}

func quoted(text string) (value, rest string, err error) {
	if text == "" || text[0] != '\'' && text[0] != '"' {
		return "", "", errors.New("a text in quotes is missing; entries with names or of Python objects are not read")
	}
	end := strings.IndexByte(text[1:], text[0])
	if end < 0 {
		return "", "", errors.New("a quote is not closed")
	}
	return text[1 : end+1], text[end+2:], nil
}

func tuple(text string) (values []int, rest string, err error) {
	inner, ok := strings.CutPrefix(text, "(")
	end := strings.IndexByte(inner, ')')
	if !ok || end < 0 {
		return nil, "", errors.New("the shape is not in parentheses")
	}
	for part := range strings.SplitSeq(inner[:end], ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || len(values) == 32 {
			return nil, "", fmt.Errorf("%q is no size of a dimension, or one too many", part)
		}
		values = append(values, n)
	}
	return values, inner[end+1:], nil
}

// setType understands descr, such as <f8.
func (h *header) setType() error {
	refused := fault.New(fault.Usage, "the array holds %q, but float64 is needed (or float32, integers, or texts where these are meant)", h.descr)
	if len(h.descr) < 3 {
		return refused
	}
	switch h.descr[0] {
	case '<', '|', '=':
		h.order = binary.LittleEndian
	case '>':
		h.order = binary.BigEndian
	default:
		return refused
	}
	h.kind = h.descr[1]
	var err error
	if h.size, err = strconv.Atoi(h.descr[2:]); err != nil {
		return refused
	}
	ok := false
	switch h.kind {
	case 'f':
		ok = h.size == 4 || h.size == 8
	case 'i', 'u':
		ok = h.size == 1 || h.size == 2 || h.size == 4 || h.size == 8
	case 'b':
		ok = h.size == 1
	case 'U':
		ok = h.size > 0 && h.size <= largestText // entries of no bytes could be any number
	}
	if !ok {
		return refused
	}
	return nil
}

// Write writes an array, of float64 or of texts, in version 1.0 of the format: the header padded to 64 bytes, then the entries.
func Write(w io.Writer, a *Array) error {
	descr, longest := "<f8", 1 // NumPy has no texts of 0 characters
	if a.Text != nil {
		for _, s := range a.Text {
			longest = max(longest, len([]rune(s)))
		}
		descr = fmt.Sprintf("<U%d", longest)
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, Describe(a.Shape))
	header += strings.Repeat(" ", (64-(10+len(header)+1)%64)%64) + "\n"
	buffered := bufio.NewWriter(w)
	buffered.WriteString(magic + "\x01\x00")
	buffered.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	buffered.WriteString(header)
	var eight [8]byte
	for _, value := range a.Data {
		binary.LittleEndian.PutUint64(eight[:], math.Float64bits(value))
		buffered.Write(eight[:])
	}
	for _, s := range a.Text {
		runes := append([]rune(s), make([]rune, longest)...)
		for _, r := range runes[:longest] {
			binary.LittleEndian.PutUint32(eight[:4], uint32(r))
			buffered.Write(eight[:4])
		}
	}
	return buffered.Flush() // a bufio.Writer keeps its first error
}

// Describe writes a shape as Python does.
func Describe(shape []int) string {
	text := make([]string, len(shape))
	for i, n := range shape {
		text[i] = fmt.Sprint(n)
	}
	if len(text) == 1 {
		return "(" + text[0] + ",)"
	}
	return "(" + strings.Join(text, ", ") + ")"
}
