package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nnid/nnid/core/fault"
)

// Tensor is an array in row-major order: of floating point (Floats) or of integers and truth values (Ints). Operators never
// change their inputs, so that tensors may share elements.
type Tensor struct {
	Shape   []int
	Integer bool
	Floats  []float64 // unless Integer
	Ints    []int64   // if Integer; truth values are 0 and 1
}

// NewFloats returns a tensor of the given elements, which it keeps.
func NewFloats(values []float64, shape ...int) *Tensor { return &Tensor{Shape: shape, Floats: values} }

// NewInts returns a tensor of the given elements, which it keeps.
func NewInts(values []int64, shape ...int) *Tensor {
	return &Tensor{Shape: shape, Ints: values, Integer: true}
}

// Len returns the number of elements.
func (t *Tensor) Len() int {
	if t.Integer {
		return len(t.Ints)
	}
	return len(t.Floats)
}

// reshaped returns the same elements in another shape of as many.
func (t *Tensor) reshaped(shape []int) *Tensor {
	return &Tensor{Shape: shape, Integer: t.Integer, Floats: t.Floats, Ints: t.Ints}
}

// at returns an element as a number.
func (t *Tensor) at(i int) float64 {
	if t.Integer {
		return float64(t.Ints[i])
	}
	return t.Floats[i]
}

func shapeText(shape []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", " x ")
}

// volume multiplies the sizes of a shape; false when one is negative or the product is more than limit.
func volume(shape []int, limit int) (int, bool) {
	if slices.ContainsFunc(shape, func(n int) bool { return n < 0 }) {
		return 0, false
	}
	if slices.Contains(shape, 0) {
		return 0, true
	}
	product := 1
	for _, n := range shape {
		if product > limit/n {
			return 0, false
		}
		product *= n
	}
	return product, true
}

// NewConstant returns a constant that holds t, its elements as float64 or int64, or as float32 where single is set.
func NewConstant(name string, t *Tensor, single bool) Constant {
	c := Constant{Name: name, Element: Float64}
	for _, n := range t.Shape {
		c.Shape = append(c.Shape, int64(n))
	}
	switch {
	case t.Integer:
		c.Element = Int64
		for _, v := range t.Ints {
			c.raw = binary.LittleEndian.AppendUint64(c.raw, uint64(v))
		}
	case single:
		c.Element = Float32
		for _, v := range t.Floats {
			c.raw = binary.LittleEndian.AppendUint32(c.raw, math.Float32bits(float32(v)))
		}
	default:
		for _, v := range t.Floats {
			c.raw = binary.LittleEndian.AppendUint64(c.raw, math.Float64bits(v))
		}
	}
	return c
}

// Tensor decodes the constant. What it takes is in proportion to what the file has.
func (c *Constant) Tensor() (*Tensor, error) {
	switch {
	case c.sparse:
		return nil, fault.New(fault.Usage, "the constant %q is sparse, which is not read; write the model with dense ones", c.Name)
	case c.external != nil:
		return nil, fault.New(fault.Usage, "the data of the constant %q is in a file of its own, %q, that was not read", c.Name, c.external["location"])
	case c.Element.Size() == 0:
		return nil, fault.New(fault.Usage, "the constant %q is of %s, which is not read", c.Name, c.Element)
	case len(c.Shape) > largestRank:
		return nil, fault.New(fault.Usage, "the constant %q has %d dimensions; %d is the most", c.Name, len(c.Shape), largestRank)
	}
	shape := make([]int, len(c.Shape))
	for i, n := range c.Shape {
		if n < 0 || n > LargestFile {
			return nil, fault.New(fault.Usage, "the constant %q has a dimension of size %d", c.Name, n)
		}
		shape[i] = int(n)
	}
	count, ok := volume(shape, LargestFile)
	if !ok {
		return nil, fault.New(fault.Usage, "the constant %q, %s, is too large", c.Name, shapeText(shape))
	}
	t := &Tensor{Shape: shape, Integer: !c.Element.Floating()}
	switch {
	case c.raw != nil || len(c.floats)+len(c.ints) == 0:
		if len(c.raw) != count*c.Element.Size() {
			return nil, fault.New(fault.Usage, "the constant %q, %s, has %d bytes instead of %d", c.Name, shapeText(shape), len(c.raw), count*c.Element.Size())
		}
		t.fill(c.raw, c.Element, count)
		return t, nil
	case t.Integer:
		t.Ints = c.ints
	case c.Element == Float32 || c.Element == Float64:
		t.Floats = c.floats
	default: // the bits of narrow floats are in the field of integers
		t.Floats = make([]float64, len(c.ints))
		for i, v := range c.ints {
			t.Floats[i] = narrow(uint16(v), c.Element)
		}
	}
	if t.Len() != count {
		return nil, fault.New(fault.Usage, "the constant %q, %s, has %d elements instead of %d", c.Name, shapeText(shape), t.Len(), count)
	}
	return t, nil
}

// fill decodes raw data, which is little-endian.
func (t *Tensor) fill(raw []byte, element Element, count int) {
	if t.Integer {
		t.Ints = make([]int64, count)
	} else {
		t.Floats = make([]float64, count)
	}
	size := element.Size()
	for i := range count {
		b := raw[i*size : (i+1)*size]
		switch element {
		case Float64:
			t.Floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		case Float32:
			t.Floats[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case Float16, BFloat16:
			t.Floats[i] = narrow(binary.LittleEndian.Uint16(b), element)
		case Int64, Uint64:
			t.Ints[i] = int64(binary.LittleEndian.Uint64(b))
		case Int32:
			t.Ints[i] = int64(int32(binary.LittleEndian.Uint32(b)))
		case Uint32:
			t.Ints[i] = int64(binary.LittleEndian.Uint32(b))
		case Int16:
			t.Ints[i] = int64(int16(binary.LittleEndian.Uint16(b)))
		case Uint16:
			t.Ints[i] = int64(binary.LittleEndian.Uint16(b))
		case Int8:
			t.Ints[i] = int64(int8(b[0]))
		case Uint8, Bool:
			t.Ints[i] = int64(b[0])
		}
	}
}

// narrow decodes float16 and bfloat16, which is the upper half of a float32.
func narrow(bits uint16, element Element) float64 {
	if element == BFloat16 {
		return float64(math.Float32frombits(uint32(bits) << 16))
	}
	return Half(bits)
}

// Half decodes float16, IEEE 754 binary16.
func Half(bits uint16) float64 {
	sign, exponent, fraction := 1-2*float64(bits>>15), int(bits>>10&31), float64(bits&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
