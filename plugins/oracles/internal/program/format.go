package program

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// Format is how rows and values are written.
type Format string

const (
	// Lines is a line of decimal numbers for every row, and one for every answer. Rows are separated by spaces; answers
	// by spaces, tabs or commas. A line that begins with "error:" refuses the batch.
	Lines Format = "lines"
	// Binary is frames, all little-endian: uint64 rows, uint64 columns, rows x columns float64. An answer with rows =
	// 2^64 - 1 refuses the batch: columns is then the length of a text in UTF-8 that follows and says why.
	Binary Format = "binary"
)

// What a program may answer at most: one gone wild must not fill the memory.
const (
	maxLine    = 16 << 20 // bytes
	maxColumns = 1 << 20
	maxRefusal = 64 << 10 // bytes
)

// refusal stands for the number of rows in the binary format.
const refusal = math.MaxUint64

type format interface {
	write(*bufio.Writer, *mat.Dense) error
	// read fills the answer. Where it fails, the values it has read by then are there. An error that says what is wrong
	// with the answer continues a sentence that begins with the program's name.
	read(*bufio.Reader, *answer) error
}

// answer is what is read: rows is known, columns 0 before the first answer ever.
type answer struct {
	rows, columns int
	values        []float64
}

// saidError is the program's own reason for refusing a batch.
type saidError string

func (e saidError) Error() string { return string(e) }

func (f Format) codec() (format, error) {
	switch f {
	case Lines:
		return lines{}, nil
	case Binary:
		return frames{}, nil
	}
	return nil, fault.New(fault.Usage, "option format=%q must be %s or %s", string(f), Lines, Binary)
}

type lines struct{}

func (lines) write(w *bufio.Writer, x *mat.Dense) error {
	rows, _ := x.Dims()
	for i := range rows {
		for j, v := range x.RawRowView(i) {
			if j > 0 {
				_ = w.WriteByte(' ') // the writer keeps its first error, which Flush returns
			}
			_, _ = w.Write(strconv.AppendFloat(w.AvailableBuffer(), v, 'g', -1, 64))
		}
		if err := w.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}

func (lines) read(r *bufio.Reader, a *answer) error {
	for i := range a.rows {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		if text, ok := strings.CutPrefix(line, "error:"); ok {
			return saidError(text)
		}
		before := len(a.values)
		for field := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' || c == '\r' }) {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				return fmt.Errorf("answered row %d of %d by %s, where a number was expected; whatever is not an answer belongs on its standard error", i+1, a.rows, quote(line))
			}
			if len(a.values)-before == maxColumns {
				return fmt.Errorf("answered row %d of %d by more than %d numbers", i+1, a.rows, maxColumns)
			}
			a.values = append(a.values, v)
		}
		if err := a.sameColumns(i, len(a.values)-before); err != nil {
			return err
		}
	}
	return nil
}

// sameColumns refuses a row that has another number of values than those before.
func (a *answer) sameColumns(row, columns int) error {
	if columns == 0 {
		return fmt.Errorf("answered row %d of %d by nothing", row+1, a.rows)
	}
	if a.columns == 0 {
		a.columns = columns
	}
	if a.columns != columns {
		return fmt.Errorf("answered row %d of %d by %s, and %d before", row+1, a.rows, count(columns, "number"), a.columns)
	}
	return nil
}

// readLine returns a line without its end. One that is cut short is an error.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return "", fmt.Errorf("wrote a line of more than %d MiB, which no answer needs", maxLine>>20)
		}
		switch {
		case err == nil:
			return string(line[:len(line)-1]), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

type frames struct{}

func (frames) write(w *bufio.Writer, x *mat.Dense) error {
	rows, columns := x.Dims()
	head := binary.LittleEndian.AppendUint64(nil, uint64(rows))
	_, _ = w.Write(binary.LittleEndian.AppendUint64(head, uint64(columns))) // the writer keeps its first error
	for i := range rows {
		for _, v := range x.RawRowView(i) {
			if _, err := w.Write(binary.LittleEndian.AppendUint64(w.AvailableBuffer(), math.Float64bits(v))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (frames) read(r *bufio.Reader, a *answer) error {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	rows, columns := binary.LittleEndian.Uint64(head[:]), binary.LittleEndian.Uint64(head[8:])
	switch {
	case rows == refusal && columns <= maxRefusal:
		text := make([]byte, columns)
		if _, err := io.ReadFull(r, text); err != nil {
			return err
		}
		return saidError(strings.ToValidUTF8(string(text), "?"))
	case rows != uint64(a.rows) || columns > maxColumns:
		return fmt.Errorf("announced an answer of %d x %d to %s; what it wrote begins %s: whatever is not an answer belongs on its standard error",
			rows, columns, count(a.rows, "row"), quote(string(head[:])))
	case columns == 0:
		return a.sameColumns(0, 0)
	}
	if err := a.sameColumns(0, int(columns)); err != nil {
		return err
	}
	var word [8]byte
	for range a.rows * a.columns {
		if _, err := io.ReadFull(r, word[:]); err != nil {
			return err
		}
		a.values = append(a.values, math.Float64frombits(binary.LittleEndian.Uint64(word[:])))
	}
	return nil
}

// parse reads the greeting.
func (g *Greeting) parse(line string) error {
	if err := json.Unmarshal([]byte(line), g); err != nil {
		return fmt.Errorf("began with %s, where its greeting was expected, a line of JSON such as {\"inputs\": 6}", quote(line))
	}
	if g.Inputs < 0 || g.Outputs < 0 || g.MaxBatch < 0 || g.Inputs > maxColumns || g.Outputs > maxColumns {
		return fmt.Errorf("declares %d inputs, %d outputs and batches of %d rows; they must be between 0 and %d", g.Inputs, g.Outputs, g.MaxBatch, maxColumns)
	}
	return nil
}

// quote returns the beginning of what a program wrote, in quotes.
func quote(text string) string {
	const most = 80
	text = strings.ToValidUTF8(text, "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strconv.Quote(text)
}
