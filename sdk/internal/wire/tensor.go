package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"gonum.org/v1/gonum/mat"

	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

const (
	// ChunkBytes is how much data one message carries: throughput is flat beyond it, and it is far below the 4 MiB at
	// which gRPC implementations refuse messages by default.
	ChunkBytes = 1 << 20
	// maxElements bounds an array to 4 GiB, so that a broken header can't ask for all of memory.
	maxElements = 1 << 29
	// eagerElements is how much is allocated on the word of a header alone.
	eagerElements = 1 << 23
)

// Send passes an array in chunks to send, which must be done with a chunk when it returns. The first chunk has the
// shape.
func Send(shape []int, data []float64, send func(*nnidv1.TensorChunk) error) error {
	chunk := &nnidv1.TensorChunk{Shape: make([]int64, len(shape))}
	for k, n := range shape {
		chunk.Shape[k] = int64(n)
	}
	buffer := make([]byte, 0, min(8*len(data), ChunkBytes))
	for {
		n := min(len(data), ChunkBytes/8)
		chunk.Data = AppendFloats(buffer[:0], data[:n])
		if err := send(chunk); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
		chunk.Shape = nil
	}
}

// AppendFloats appends the little-endian bytes of values to dst.
func AppendFloats(dst []byte, values []float64) []byte {
	for _, v := range values {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

// Floats appends the numbers that the bytes stand for to dst.
func Floats(dst []float64, data []byte) ([]float64, error) {
	if len(data)%8 != 0 {
		return dst, fmt.Errorf("%d bytes are no whole number of float64", len(data))
	}
	for ; len(data) > 0; data = data[8:] {
		dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return dst, nil
}

// Receiver puts an array together from its chunks.
type Receiver struct {
	check func(shape []int) error
	shape []int
	size  int
	data  []float64
}

// NewReceiver returns a receiver of an array whose shape passes check.
func NewReceiver(check func(shape []int) error) *Receiver { return &Receiver{check: check} }

// Add takes the next chunk. It does not keep it.
func (r *Receiver) Add(chunk *nnidv1.TensorChunk) error {
	if r.shape == nil {
		if err := r.header(chunk.GetShape()); err != nil {
			return err
		}
	} else if len(chunk.GetShape()) != 0 {
		return errors.New("a second shape in the middle of an array")
	} else if len(chunk.GetData()) == 0 {
		return errors.New("an empty chunk in the middle of an array")
	}
	if extra := len(r.data) + len(chunk.GetData())/8 - r.size; extra > 0 {
		return fmt.Errorf("%d numbers more than the %d of the shape %v", extra, r.size, r.shape)
	}
	var err error
	r.data, err = Floats(r.data, chunk.GetData())
	return err
}

func (r *Receiver) header(dims []int64) error {
	if len(dims) == 0 || len(dims) > 4 {
		return fmt.Errorf("an array must begin with a shape of 1 to 4 numbers, not %d", len(dims))
	}
	size, shape := int64(1), make([]int, len(dims))
	for k, n := range dims {
		if n < 0 || n > maxElements {
			return fmt.Errorf("the shape %v has a number out of range", dims)
		}
		if size *= n; size > maxElements {
			return fmt.Errorf("an array of shape %v is too large", dims)
		}
		shape[k] = int(n)
	}
	if err := r.check(shape); err != nil {
		return err
	}
	r.shape, r.size = shape, int(size)
	r.data = make([]float64, 0, min(r.size, eagerElements))
	return nil
}

// Array returns the array once it is complete.
func (r *Receiver) Array() (shape []int, data []float64, err error) {
	if r.shape == nil {
		return nil, nil, errors.New("no array came")
	}
	if len(r.data) < r.size {
		return nil, nil, fmt.Errorf("the array stopped after %d of %d numbers", len(r.data), r.size)
	}
	return r.shape, r.data, nil
}

// Receive adds first and then what next returns, until io.EOF, and returns the array. An error for which it is to
// blame itself is a [Malformed]; others are next's.
func (r *Receiver) Receive(first *nnidv1.TensorChunk, next func() (*nnidv1.TensorChunk, error)) ([]int, []float64, error) {
	for chunk := first; ; {
		if err := r.Add(chunk); err != nil {
			return nil, nil, &Malformed{err}
		}
		var err error
		if chunk, err = next(); err == io.EOF {
			break
		} else if err != nil {
			return nil, nil, err
		}
	}
	shape, data, err := r.Array()
	if err != nil {
		return nil, nil, &Malformed{err}
	}
	return shape, data, nil
}

// Malformed says that the other side sent what the protocol does not allow.
type Malformed struct{ Err error }

func (m *Malformed) Error() string { return m.Err.Error() }

// Unwrap returns what was wrong.
func (m *Malformed) Unwrap() error { return m.Err }

// Vector is a check for one-dimensional arrays of any length.
func Vector(shape []int) error {
	if len(shape) != 1 {
		return fmt.Errorf("the shape %v is not that of a vector", shape)
	}
	return nil
}

// Exactly returns a check for one shape.
func Exactly(want ...int) func([]int) error {
	return func(shape []int) error {
		if len(shape) == len(want) {
			same := true
			for k := range want {
				same = same && shape[k] == want[k]
			}
			if same {
				return nil
			}
		}
		return fmt.Errorf("the shape is %s; it must be %s", Shape(shape), Shape(want))
	}
}

// Shape writes a shape as users read it.
func Shape(shape []int) string {
	text := ""
	for k, n := range shape {
		if k > 0 {
			text += " x "
		}
		text += fmt.Sprint(n)
	}
	return text
}

// Flat returns the elements of m row by row, without a copy where they lie so already.
func Flat(m *mat.Dense) []float64 {
	raw := m.RawMatrix()
	if raw.Rows == 0 || raw.Cols == 0 {
		return nil
	}
	if raw.Stride == raw.Cols {
		return raw.Data[:raw.Rows*raw.Cols]
	}
	data := make([]float64, 0, raw.Rows*raw.Cols)
	for i := range raw.Rows {
		data = append(data, raw.Data[i*raw.Stride:i*raw.Stride+raw.Cols]...)
	}
	return data
}

// Dense makes a matrix of data, without a copy. A matrix without elements is the empty one.
func Dense(rows, cols int, data []float64) *mat.Dense {
	if rows == 0 || cols == 0 {
		return &mat.Dense{}
	}
	return mat.NewDense(rows, cols, data)
}

// Finite returns the index of the first number that is not finite, or -1.
func Finite(data []float64) int {
	for k, v := range data {
		// True for NaN and infinities only.
		if v-v != 0 {
			return k
		}
	}
	return -1
}
