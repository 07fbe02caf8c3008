package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// each applies f to every element of the first input.
func (c *call) each(f func(float64) float64) ([]*Tensor, error) {
	t := c.in[0]
	if t.Integer && !slices.Contains([]string{"Abs", "Clip", "Neg", "Relu", "Sign"}, c.node.Op) {
		return nil, errors.New("its input holds integers where floating point is needed")
	}
	out, err := c.alloc(t.Shape, t.Integer)
	if err != nil {
		return nil, err
	}
	for i, v := range t.Floats {
		out.Floats[i] = f(v)
	}
	for i, v := range t.Ints {
		out.Ints[i] = int64(f(float64(v))) // exact to 2^53, beyond all shapes
	}
	return []*Tensor{out}, nil
}

func unary(f func(float64) float64) operator {
	return operator{evaluate: func(c *call) ([]*Tensor, error) { return c.each(f) }, least: 1, most: 1}
}

// shaped is a function that depends on attributes.
func shaped(f func(*call) func(float64) float64) operator {
	return operator{evaluate: func(c *call) ([]*Tensor, error) { return c.each(f(c)) }, least: 1, most: 1}
}

// pair applies f, or integers where both inputs are that, to the elements of a and b, broadcast.
func (c *call) pair(a, b *Tensor, f func(a, b float64) float64, integers func(a, b int64) int64) (*Tensor, error) {
	if a.Integer != b.Integer {
		return nil, errors.New("one of its inputs holds integers and another floating point")
	}
	if a.Integer && integers == nil {
		return nil, errors.New("its inputs hold integers where floating point is needed")
	}
	shape, err := broadcast(a.Shape, b.Shape)
	if err != nil {
		return nil, err
	}
	out, err := c.alloc(shape, a.Integer)
	if err != nil {
		return nil, err
	}
	sa, sb := strides(a.Shape, shape), strides(b.Shape, shape)
	da, db := last(sa), last(sb)
	walk(shape, [][]int{sa, sb}, func(at, n int, from []int) {
		ia, ib := from[0], from[1]
		for k := at; k < at+n; k++ {
			if a.Integer {
				out.Ints[k] = integers(a.Ints[ia], b.Ints[ib])
			} else {
				out.Floats[k] = f(a.Floats[ia], b.Floats[ib])
			}
			ia, ib = ia+da, ib+db
		}
	})
	return out, nil
}

func arithmetic(f func(a, b float64) float64, integers func(a, b int64) int64) operator {
	return operator{least: 2, most: 2, evaluate: func(c *call) ([]*Tensor, error) {
		if c.node.Op == "Div" && c.in[1].Integer && slices.Contains(c.in[1].Ints, 0) {
			return nil, errors.New("it divides an integer by 0")
		}
		return one(c.pair(c.in[0], c.in[1], f, integers))
	}}
}

func variadic(f func(a, b float64) float64, integers func(a, b int64) int64) operator {
	return operator{least: 1, most: anyNumber, evaluate: func(c *call) ([]*Tensor, error) { return one(c.fold(f, integers)) }}
}

// fold joins all inputs.
func (c *call) fold(f func(a, b float64) float64, integers func(a, b int64) int64) (*Tensor, error) {
	result := c.in[0]
	for _, t := range c.in[1:] {
		if t == nil {
			return nil, errors.New("one of its inputs is left out")
		}
		var err error
		if result, err = c.pair(result, t, f, integers); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func mean(c *call) ([]*Tensor, error) {
	sum, err := c.fold(func(a, b float64) float64 { return a + b }, nil)
	if err != nil {
		return nil, err
	}
	n := float64(len(c.in))
	c.in = []*Tensor{sum}
	return c.each(func(t float64) float64 { return t / n })
}

// power has the type of its base; the exponent may be of any.
func power(c *call) ([]*Tensor, error) {
	base, err := c.asFloats(c.in[0])
	if err != nil {
		return nil, err
	}
	exponent, err := c.asFloats(c.in[1])
	if err != nil {
		return nil, err
	}
	result, err := c.pair(base, exponent, math.Pow, nil)
	if err == nil && c.in[0].Integer {
		result, err = c.asInts(result, Int64)
	}
	return one(result, err)
}

// asFloats returns t with its elements as floating point.
func (c *call) asFloats(t *Tensor) (*Tensor, error) {
	if !t.Integer {
		return t, nil
	}
	out, err := c.alloc(t.Shape, false)
	if err != nil {
		return nil, err
	}
	for i, v := range t.Ints {
		out.Floats[i] = float64(v)
	}
	return out, nil
}

// comparison gives truth values.
func comparison(f func(a, b float64) bool) operator {
	return operator{least: 2, most: 2, evaluate: func(c *call) ([]*Tensor, error) {
		a, err := c.asFloats(c.in[0])
		if err != nil {
			return nil, err
		}
		b, err := c.asFloats(c.in[1])
		if err != nil {
			return nil, err
		}
		truth, err := c.pair(a, b, func(a, b float64) float64 {
			if f(a, b) {
				return 1
			}
			return 0
		}, nil)
		if err != nil {
			return nil, err
		}
		return one(c.asInts(truth, Int64))
	}}
}

func not(c *call) ([]*Tensor, error) {
	t := c.in[0]
	if !t.Integer {
		return nil, errors.New("its input holds no truth values")
	}
	out, err := c.alloc(t.Shape, true)
	if err != nil {
		return nil, err
	}
	for i, v := range t.Ints {
		if v == 0 {
			out.Ints[i] = 1
		}
	}
	return []*Tensor{out}, nil
}

func where(c *call) ([]*Tensor, error) {
	condition, a, b := c.in[0], c.in[1], c.in[2]
	if !condition.Integer || a.Integer != b.Integer {
		return nil, errors.New("its condition holds no truth values, or its two other inputs are of different types")
	}
	shape, err := broadcast(condition.Shape, a.Shape, b.Shape)
	if err != nil {
		return nil, err
	}
	out, err := c.alloc(shape, a.Integer)
	if err != nil {
		return nil, err
	}
	s := [][]int{strides(condition.Shape, shape), strides(a.Shape, shape), strides(b.Shape, shape)}
	walk(shape, s, func(at, n int, from []int) {
		for k := range n {
			source, i := b, from[2]+k*last(s[2])
			if condition.Ints[from[0]+k*last(s[0])] != 0 {
				source, i = a, from[1]+k*last(s[1])
			}
			if out.Integer {
				out.Ints[at+k] = source.Ints[i]
			} else {
				out.Floats[at+k] = source.Floats[i]
			}
		}
	})
	return []*Tensor{out}, nil
}

// clip has its bounds as attributes before opset 11 and as inputs since.
func clip(c *call) ([]*Tensor, error) {
	low, high := c.float("min", math.Inf(-1)), c.float("max", math.Inf(1))
	for i, bound := range []*float64{&low, &high} {
		if t := c.input(i + 1); t != nil {
			if t.Len() != 1 {
				return nil, fmt.Errorf("its input %d, a bound, has %d elements", i+1, t.Len())
			}
			*bound = t.at(0)
		}
	}
	return c.each(func(t float64) float64 { return clamp(t, low, high) })
}

// cast leaves floating point as it is, whatever its width: evaluation is in float64 throughout.
func cast(c *call) ([]*Tensor, error) {
	return one(c.asElement(c.in[0], Element(c.int("to", 0))))
}

func castLike(c *call) ([]*Tensor, error) {
	if c.in[1].Integer && !c.in[0].Integer {
		return one(c.asInts(c.in[0], Int64))
	}
	if c.in[1].Integer {
		return c.in[:1], nil
	}
	return one(c.asFloats(c.in[0]))
}

func (c *call) asElement(t *Tensor, to Element) (*Tensor, error) {
	switch {
	case to.Floating():
		return c.asFloats(t)
	case to.Size() == 0:
		return nil, fmt.Errorf("it casts to %s, which is not evaluated", to)
	}
	return c.asInts(t, to)
}

// asInts casts to integers of the type, rounding towards 0 and wrapping, or to truth values.
func (c *call) asInts(t *Tensor, to Element) (*Tensor, error) {
	out, err := c.alloc(t.Shape, true)
	if err != nil {
		return nil, err
	}
	for i := range out.Ints {
		var v int64
		if t.Integer {
			v = t.Ints[i]
		} else if f := t.Floats[i]; to == Bool {
			if f != 0 {
				v = 1
			}
		} else if math.Abs(f) < 1<<63 {
			v = int64(f)
		} else {
			return nil, fmt.Errorf("%g is cast to %s, which has no such number", f, to)
		}
		switch to {
		case Bool:
			if v != 0 {
				v = 1
			}
		case Int8:
			v = int64(int8(v))
		case Uint8:
			v = int64(uint8(v))
		case Int16:
			v = int64(int16(v))
		case Uint16:
			v = int64(uint16(v))
		case Int32:
			v = int64(int32(v))
		case Uint32:
			v = int64(uint32(v))
		}
		out.Ints[i] = v
	}
	return out, nil
}
