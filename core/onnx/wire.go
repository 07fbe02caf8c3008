package onnx

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/nnid/nnid/core/fault"
)

// The encoding of Protocol Buffers: a message is a sequence of fields, each a key (number and wire type) and a value.
// https://protobuf.dev/programming-guides/encoding

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errCut = errors.New("it is cut short")

// field is one field of a message: number holds varints and fixed widths, bytes the rest, which is not copied.
type field struct {
	id     int
	wire   int
	number uint64
	bytes  []byte
}

// eachField calls do for the fields of a message in their order, until one fails.
func eachField(data []byte, do func(field) error) error {
	for len(data) > 0 {
		key, n := binary.Uvarint(data)
		if n <= 0 {
			return errCut
		}
		data = data[n:]
		f := field{id: int(key >> 3), wire: int(key & 7)}
		if key>>3 == 0 || key>>3 >= 1<<29 {
			return fault.New(fault.Usage, "it has a field with the number %d, which there is not", key>>3)
		}
		switch f.wire {
		case wireVarint:
			if f.number, n = binary.Uvarint(data); n <= 0 {
				return errCut
			}
			data = data[n:]
		case wireFixed64:
			if len(data) < 8 {
				return errCut
			}
			f.number, data = binary.LittleEndian.Uint64(data), data[8:]
		case wireFixed32:
			if len(data) < 4 {
				return errCut
			}
			f.number, data = uint64(binary.LittleEndian.Uint32(data)), data[4:]
		case wireBytes:
			length, n := binary.Uvarint(data)
			if n <= 0 || length > uint64(len(data)-n) {
				return errCut
			}
			f.bytes, data = data[n:n+int(length)], data[n+int(length):]
		default:
			return fault.New(fault.Usage, "field %d is of wire type %d, which ONNX has not", f.id, f.wire)
		}
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

// need reports a field of another wire type than its number has in onnx.proto.
func (f field) need(wire int) error {
	if f.wire != wire {
		return fault.New(fault.Usage, "field %d is of wire type %d instead of %d", f.id, f.wire, wire)
	}
	return nil
}

func (f field) text(to *string) error {
	*to = string(f.bytes)
	return f.need(wireBytes)
}

func (f field) integer(to *int64) error {
	*to = int64(f.number)
	return f.need(wireVarint)
}

// integers appends a repeated field of varints, packed or not.
func (f field) integers(to *[]int64) error {
	if f.wire != wireBytes {
		*to = append(*to, int64(f.number))
		return f.need(wireVarint)
	}
	for data := f.bytes; len(data) > 0; {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			return errCut
		}
		*to, data = append(*to, int64(v)), data[n:]
	}
	return nil
}

// float32s appends a repeated field of floats, packed or not.
func (f field) float32s(to *[]float64) error {
	if f.wire != wireBytes {
		*to = append(*to, float64(math.Float32frombits(uint32(f.number))))
		return f.need(wireFixed32)
	}
	if len(f.bytes)%4 != 0 {
		return errCut
	}
	for data := f.bytes; len(data) > 0; data = data[4:] {
		*to = append(*to, float64(math.Float32frombits(binary.LittleEndian.Uint32(data))))
	}
	return nil
}

// float64s appends a repeated field of doubles, packed or not.
func (f field) float64s(to *[]float64) error {
	if f.wire != wireBytes {
		*to = append(*to, math.Float64frombits(f.number))
		return f.need(wireFixed64)
	}
	if len(f.bytes)%8 != 0 {
		return errCut
	}
	for data := f.bytes; len(data) > 0; data = data[8:] {
		*to = append(*to, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return nil
}

// message is an encoded message under construction.
type message []byte

func (m *message) key(id, wire int) { *m = binary.AppendUvarint(*m, uint64(id)<<3|uint64(wire)) }

func (m *message) integer(id int, v int64) {
	m.key(id, wireVarint)
	*m = binary.AppendUvarint(*m, uint64(v))
}

func (m *message) float32(id int, v float32) {
	m.key(id, wireFixed32)
	*m = binary.LittleEndian.AppendUint32(*m, math.Float32bits(v))
}

func (m *message) float64(id int, v float64) {
	m.key(id, wireFixed64)
	*m = binary.LittleEndian.AppendUint64(*m, math.Float64bits(v))
}

func (m *message) bytes(id int, v []byte) {
	m.key(id, wireBytes)
	*m = append(binary.AppendUvarint(*m, uint64(len(v))), v...)
}

// text leaves out what is empty, as onnx does.
func (m *message) text(id int, v string) {
	if v != "" {
		m.bytes(id, []byte(v))
	}
}
