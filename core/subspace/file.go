package subspace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"codeberg.org/sbinet/npyio/npy"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// largestEntries bounds what a header may make us allocate: 2 GiB of float64.
const largestEntries = 1 << 28

// ReadBasis reads a NumPy array (.npy) of shape (m, d, d), float64 or float32, in either order: m orthonormal symmetric
// matrices. That they are is checked, to 1e-6; the error is a [fault.Usage].
func ReadBasis(r io.Reader) (*Subspace, error) {
	shape, data, err := readArray(r)
	if err != nil {
		return nil, err
	}
	if len(shape) != 3 || shape[1] != shape[2] {
		return nil, fault.New(fault.Usage, "a basis is an array of shape (m, d, d), but this one has shape %s", describe(shape))
	}
	m, d := shape[0], shape[1]
	full := mat.NewDense(d*d, m, nil)
	for k := range m {
		full.SetCol(k, data[k*d*d:(k+1)*d*d])
	}
	return FromProblem(core.Problem{Dim: d, Basis: full})
}

// WriteBasis writes the basis as a NumPy array (.npy, float64) of shape (m, d, d).
func WriteBasis(w io.Writer, s *Subspace) error {
	m, d := s.Dimension(), s.Dim
	data := make([]float64, 0, m*d*d)
	for k := range m {
		data = append(data, Vec(s.Element(k))...)
	}
	// The library writes arrays of one or two dimensions only; a header is little work.
	return writeArray(w, []int{m, d, d}, data)
}

// ReadVectors reads a NumPy array (.npy) of shape (d, k), float64 or float32: one vector a column.
func ReadVectors(r io.Reader) (*mat.Dense, error) {
	shape, data, err := readArray(r)
	if err != nil {
		return nil, err
	}
	if len(shape) != 2 {
		return nil, fault.New(fault.Usage, "vectors are an array of shape (d, k), but this one has shape %s", describe(shape))
	}
	return mat.NewDense(shape[0], shape[1], data), nil
}

// WriteVectors writes vectors (d x k) as a NumPy array (.npy, float64). With vectors nil it writes the shape (d, 0).
func WriteVectors(w io.Writer, d int, vectors *mat.Dense) error {
	if vectors == nil || vectors.IsEmpty() {
		return writeArray(w, []int{d, 0}, nil)
	}
	return npy.Write(w, vectors)
}

// readArray returns shape and entries, in C order, of an array without empty dimensions.
func readArray(r io.Reader) (shape []int, data []float64, err error) {
	defer func() {
		if p := recover(); p != nil { // the library indexes into what it reads
			shape, data, err = nil, nil, fault.New(fault.Usage, "the file is not a valid NumPy array: %v", p)
		}
	}()
	reader, err := npy.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, nil, fault.New(fault.Usage, "the file is not a NumPy array (.npy): %w", err)
	}
	shape = reader.Header.Descr.Shape
	entries := 1
	for _, n := range shape {
		if n < 1 || n > largestEntries/entries {
			return nil, nil, fault.New(fault.Usage, "the array has shape %s: every dimension must be at least 1, and the array at most %d entries", describe(shape), largestEntries)
		}
		entries *= n
	}
	switch kind := strings.TrimLeft(strings.Trim(reader.Header.Descr.Type, "'"), "<>=|"); kind {
	case "f8":
		err = reader.Read(&data)
	case "f4":
		var single []float32
		err = reader.Read(&single)
		for _, value := range single {
			data = append(data, float64(value))
		}
	default:
		return nil, nil, fault.New(fault.Usage, "the array holds %q, but float64 (or float32) is needed", reader.Header.Descr.Type)
	}
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil, fault.New(fault.Usage, "the array is cut short: shape %s needs %d entries", describe(shape), entries)
		}
		return nil, nil, fault.New(fault.Usage, "the array can't be read: %w", err)
	}
	if len(data) != entries {
		return nil, nil, fault.New(fault.Usage, "the array is cut short: shape %s needs %d entries, not %d", describe(shape), entries, len(data))
	}
	for i, value := range data {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil, nil, fault.New(fault.Usage, "entry %d of the array is not finite", i)
		}
	}
	if reader.Header.Descr.Fortran && len(shape) > 1 {
		data = cOrder(shape, data)
	}
	return shape, data, nil
}

// cOrder reorders entries from Fortran order, first index fastest, to C order, last index fastest.
func cOrder(shape []int, data []float64) []float64 {
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

// writeArray writes version 1.0 of the format (NumPy Enhancement Proposal 1): magic, header padded to 64 bytes, entries.
func writeArray(w io.Writer, shape []int, data []float64) error {
	header := fmt.Sprintf("{'descr': '<f8', 'fortran_order': False, 'shape': %s, }", describe(shape))
	header += strings.Repeat(" ", (64-(10+len(header)+1)%64)%64) + "\n"
	buffered := bufio.NewWriter(w)
	buffered.Write(npy.Magic[:])
	buffered.Write([]byte{1, 0})
	buffered.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	buffered.WriteString(header)
	var eight [8]byte
	for _, value := range data {
		binary.LittleEndian.PutUint64(eight[:], math.Float64bits(value))
		buffered.Write(eight[:])
	}
	return buffered.Flush() // a bufio.Writer keeps its first error
}

func describe(shape []int) string {
	text := make([]string, len(shape))
	for i, n := range shape {
		text[i] = fmt.Sprint(n)
	}
	if len(text) == 1 {
		return "(" + text[0] + ",)"
	}
	return "(" + strings.Join(text, ", ") + ")"
}
