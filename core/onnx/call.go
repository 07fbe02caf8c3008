package onnx

import (
	"context"
	"fmt"
	"slices"

	"github.com/nnid/nnid/core/fault"
)

// budget is what one evaluation may still take.
type budget struct {
	ctx            context.Context
	work, elements int64
}

// spend takes from the work that is left.
func (b *budget) spend(work int64) error {
	if b.work -= work; b.work < 0 || work < 0 {
		return fault.New(fault.Unsupported, "it takes more arithmetic than is granted to a dense network")
	}
	return nil
}

// operator evaluates nodes of one kind, which have least to most inputs.
type operator struct {
	evaluate    func(*call) ([]*Tensor, error)
	least, most int
}

// call is one evaluation of a node. Omitted inputs are nil.
type call struct {
	*budget
	node  *Node
	opset int64
	in    []*Tensor
	err   error // the first attribute of a wrong type
}

// one is what most operators return.
func one(t *Tensor, err error) ([]*Tensor, error) {
	if err != nil {
		return nil, err
	}
	return []*Tensor{t}, nil
}

// alloc returns a new tensor of zeros. It counts as work, an element each.
func (c *call) alloc(shape []int, integer bool) (*Tensor, error) {
	if len(shape) > largestRank {
		return nil, fault.New(fault.Usage, "its result has %d dimensions; %d is the most", len(shape), largestRank)
	}
	n, ok := volume(shape, int(c.elements))
	if !ok {
		return nil, fault.New(fault.Unsupported, "its result, %s, takes more memory than is granted to a dense network", shapeText(shape))
	}
	c.elements -= int64(n)
	if err := c.spend(int64(n)); err != nil {
		return nil, err
	}
	t := &Tensor{Shape: shape, Integer: integer}
	if integer {
		t.Ints = make([]int64, n)
	} else {
		t.Floats = make([]float64, n)
	}
	return t, nil
}

func (c *call) input(i int) *Tensor {
	if i < len(c.in) {
		return c.in[i]
	}
	return nil
}

// floating returns input i, which must be of floating point.
func (c *call) floating(i int) (*Tensor, error) {
	t := c.in[i]
	if t.Integer {
		return nil, fmt.Errorf("its input %d holds integers where floating point is needed", i)
	}
	return t, nil
}

// attribute returns the attribute, which must be of the type, or nil.
func (c *call) attribute(name string, kind AttributeType) *Attribute {
	i := slices.IndexFunc(c.node.Attributes, func(a Attribute) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	a := &c.node.Attributes[i]
	if a.Type != kind {
		if c.err == nil {
			c.err = fmt.Errorf("its attribute %q is of type %d instead of %d", name, a.Type, kind)
		}
		return nil
	}
	return a
}

func (c *call) int(name string, otherwise int64) int64 {
	if a := c.attribute(name, AttributeInt); a != nil {
		return a.Int
	}
	return otherwise
}

func (c *call) float(name string, otherwise float64) float64 {
	if a := c.attribute(name, AttributeFloat); a != nil {
		return a.Float
	}
	return otherwise
}

// integers returns what newer opsets have as input i and older ones as an attribute; nil where there is neither.
func (c *call) integers(i int, name string) ([]int64, error) {
	if t := c.input(i); t != nil {
		if !t.Integer {
			return nil, fmt.Errorf("its input %d, %s, must hold integers", i, name)
		}
		if len(t.Ints) > 1<<16 {
			return nil, fmt.Errorf("its input %d, %s, has %d elements", i, name, len(t.Ints))
		}
		if t.Ints == nil {
			return []int64{}, nil
		}
		return t.Ints, nil
	}
	if a := c.attribute(name, AttributeInts); a != nil {
		if a.Ints == nil {
			return []int64{}, nil
		}
		return a.Ints, nil
	}
	return nil, nil
}

// axis returns axis as an index below rank; negative ones count from the end.
func axis(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("there is no axis %d in %d dimensions", axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// axes is the set of some axes: marked[k] says whether axis k is one.
func axes(list []int64, rank int) (marked []bool, err error) {
	marked = make([]bool, rank)
	for _, a := range list {
		k, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if marked[k] {
			return nil, fmt.Errorf("the axis %d is named twice", k)
		}
		marked[k] = true
	}
	return marked, nil
}

// broadcast returns the shape that tensors of these shapes have together.
func broadcast(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for k := range out {
		out[k] = 1
		for _, s := range shapes {
			at := k - rank + len(s)
			if at < 0 || s[at] == 1 {
				continue
			}
			if out[k] != 1 && out[k] != s[at] {
				return nil, fmt.Errorf("its inputs, %s and %s, do not fit each other", shapeText(shapes[0]), shapeText(shapes[len(shapes)-1]))
			}
			out[k] = s[at]
		}
	}
	return out, nil
}

// strides returns how far one step along each dimension of out moves in a tensor of the shape: 0 where it is broadcast.
func strides(shape, out []int) []int {
	s := make([]int, len(out))
	step := 1
	for k := len(shape) - 1; k >= 0; k-- {
		if shape[k] != 1 {
			s[len(out)-len(shape)+k] = step
		}
		step *= shape[k]
	}
	return s
}

// walk calls row for every line of the shape along its last dimension: with where it begins in row-major order and where it
// begins in tensors of the strides given. A scalar is one line of one element.
func walk(shape []int, strides [][]int, row func(at, n int, from []int)) {
	n, lines := 1, 1
	outer := shape
	if len(shape) > 0 {
		n, outer = shape[len(shape)-1], shape[:len(shape)-1]
	}
	for _, size := range outer {
		lines *= size
	}
	if n == 0 {
		return
	}
	index, from := make([]int, len(outer)), make([]int, len(strides))
	for line := range lines {
		row(line*n, n, from)
		for k := len(outer) - 1; k >= 0; k-- {
			index[k]++
			for i, s := range strides {
				from[i] += s[k]
			}
			if index[k] < outer[k] {
				break
			}
			for i, s := range strides {
				from[i] -= s[k] * outer[k]
			}
			index[k] = 0
		}
	}
}

// last is the step along the last dimension.
func last(strides []int) int {
	if len(strides) == 0 {
		return 0
	}
	return strides[len(strides)-1]
}
