package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// copyElement copies one element.
func (t *Tensor) copyElement(to int, from *Tensor, at int) {
	if t.Integer {
		t.Ints[to] = from.Ints[at]
	} else {
		t.Floats[to] = from.Floats[at]
	}
}

func constant(c *call) ([]*Tensor, error) {
	if len(c.node.Attributes) != 1 {
		return nil, fmt.Errorf("it has %d attributes instead of 1", len(c.node.Attributes))
	}
	switch a := &c.node.Attributes[0]; {
	case a.Name == "value" && a.Type == AttributeTensor:
		return one(a.Tensor.Tensor())
	case a.Name == "value_float" && a.Type == AttributeFloat:
		return one(NewFloats([]float64{a.Float}), nil)
	case a.Name == "value_int" && a.Type == AttributeInt:
		return one(NewInts([]int64{a.Int}), nil)
	case a.Name == "value_floats" && a.Type == AttributeFloats:
		return one(NewFloats(a.Floats, len(a.Floats)), nil)
	case a.Name == "value_ints" && a.Type == AttributeInts:
		return one(NewInts(a.Ints, len(a.Ints)), nil)
	default:
		return nil, fmt.Errorf("its attribute %q is of a type that is not read", a.Name)
	}
}

// sizes reads a shape from input i.
func (c *call) sizes(i int, name string) ([]int, error) {
	list, err := c.integers(i, name)
	if err != nil {
		return nil, err
	}
	if len(list) > largestRank {
		return nil, fmt.Errorf("it asks for %d dimensions; %d is the most", len(list), largestRank)
	}
	shape := make([]int, len(list))
	for k, n := range list {
		if n < -1 || n > math.MaxInt32 {
			return nil, fmt.Errorf("it asks for a dimension of size %d", n)
		}
		shape[k] = int(n)
	}
	return shape, nil
}

func constantOfShape(c *call) ([]*Tensor, error) {
	shape, err := c.sizes(0, "shape")
	if err != nil {
		return nil, err
	}
	value := NewFloats([]float64{0}, 1)
	if a := c.attribute("value", AttributeTensor); a != nil {
		if value, err = a.Tensor.Tensor(); err != nil {
			return nil, err
		}
		if value.Len() != 1 {
			return nil, fmt.Errorf("its value has %d elements instead of 1", value.Len())
		}
	}
	out, err := c.alloc(shape, value.Integer)
	if err != nil {
		return nil, err
	}
	for i := range out.Len() {
		out.copyElement(i, value, 0)
	}
	return []*Tensor{out}, nil
}

// dropout is that of a trained network, which does nothing; the mask, if it is asked for, is all true.
func dropout(c *call) ([]*Tensor, error) {
	if t := c.input(2); t != nil && (t.Len() != 1 || t.at(0) != 0) {
		return nil, errors.New("it is in training mode, in which answers are random; export the model in evaluation mode")
	}
	out := []*Tensor{c.in[0]}
	if len(c.node.Outputs) > 1 {
		mask, err := c.alloc(c.in[0].Shape, true)
		if err != nil {
			return nil, err
		}
		for i := range mask.Ints {
			mask.Ints[i] = 1
		}
		out = append(out, mask)
	}
	return out, nil
}

func reshape(c *call) ([]*Tensor, error) {
	t := c.in[0]
	shape, err := c.sizes(1, "shape")
	if err != nil {
		return nil, err
	}
	open, known := -1, 1
	for k, n := range shape {
		switch {
		case n == 0 && c.int("allowzero", 0) == 0:
			if k >= len(t.Shape) {
				return nil, fmt.Errorf("it keeps dimension %d of %d", k, len(t.Shape))
			}
			shape[k] = t.Shape[k]
		case n == -1 && open >= 0:
			return nil, errors.New("it leaves two dimensions open")
		case n == -1:
			open = k
			continue
		}
		if shape[k] > 0 && known > math.MaxInt/shape[k] {
			return nil, errors.New("it asks for too large a shape")
		}
		known *= shape[k]
	}
	if open >= 0 {
		if known == 0 {
			return nil, errors.New("it leaves a dimension open beside one of size 0")
		}
		shape[open] = t.Len() / known
	}
	if n, ok := volume(shape, math.MaxInt); !ok || n != t.Len() {
		return nil, fmt.Errorf("%s can't be brought into the shape %s", shapeText(t.Shape), shapeText(shape))
	}
	return []*Tensor{t.reshaped(shape)}, nil
}

func flatten(c *call) ([]*Tensor, error) {
	t := c.in[0]
	k := c.int("axis", 1)
	if k != int64(len(t.Shape)) { // which is allowed here, and leaves one column
		at, err := axis(k, len(t.Shape))
		if err != nil {
			return nil, err
		}
		k = int64(at)
	}
	return []*Tensor{t.reshaped([]int{volumeOf(t.Shape[:k]), volumeOf(t.Shape[k:])})}, nil
}

func squeeze(c *call) ([]*Tensor, error) {
	t := c.in[0]
	list, err := c.integers(1, "axes")
	if err != nil {
		return nil, err
	}
	marked, err := axes(list, len(t.Shape))
	if err != nil {
		return nil, err
	}
	shape := []int{}
	for k, n := range t.Shape {
		switch {
		case list == nil && n == 1:
		case !marked[k]:
			shape = append(shape, n)
		case n != 1:
			return nil, fmt.Errorf("it removes dimension %d of %s, which is not 1", k, shapeText(t.Shape))
		}
	}
	return []*Tensor{t.reshaped(shape)}, nil
}

func unsqueeze(c *call) ([]*Tensor, error) {
	t := c.in[0]
	list, err := c.integers(1, "axes")
	if err != nil {
		return nil, err
	}
	rank := len(t.Shape) + len(list)
	if rank > largestRank {
		return nil, fmt.Errorf("its result has %d dimensions; %d is the most", rank, largestRank)
	}
	marked, err := axes(list, rank)
	if err != nil {
		return nil, err
	}
	shape, next := make([]int, rank), 0
	for k := range shape {
		if marked[k] {
			shape[k] = 1
		} else {
			shape[k] = t.Shape[next]
			next++
		}
	}
	return []*Tensor{t.reshaped(shape)}, nil
}

func transpose(c *call) ([]*Tensor, error) {
	t := c.in[0]
	order := make([]int, len(t.Shape))
	for k := range order {
		order[k] = len(order) - 1 - k
	}
	if a := c.attribute("perm", AttributeInts); a != nil {
		if marked, err := axes(a.Ints, len(t.Shape)); err != nil || len(a.Ints) != len(t.Shape) || slices.Contains(marked, false) {
			return nil, fmt.Errorf("its attribute perm, %v, is no permutation of %d dimensions", a.Ints, len(t.Shape))
		}
		for k, from := range a.Ints {
			order[k] = int(from+int64(len(order))) % len(order)
		}
	}
	return one(c.transposed(t, order))
}

// transposed makes dimension order[k] the k-th.
func (c *call) transposed(t *Tensor, order []int) (*Tensor, error) {
	shape, steps := make([]int, len(order)), make([]int, len(order))
	for k, from := range order {
		shape[k], steps[k] = t.Shape[from], volumeOf(t.Shape[from+1:])
	}
	out, err := c.alloc(shape, t.Integer)
	if err != nil {
		return nil, err
	}
	walk(shape, [][]int{steps}, func(at, n int, from []int) {
		for k := range n {
			out.copyElement(at+k, t, from[0]+k*last(steps))
		}
	})
	return out, nil
}

func expand(c *call) ([]*Tensor, error) {
	t := c.in[0]
	asked, err := c.sizes(1, "shape")
	if err != nil {
		return nil, err
	}
	shape, err := broadcast(t.Shape, asked)
	if err != nil {
		return nil, err
	}
	out, err := c.alloc(shape, t.Integer)
	if err != nil {
		return nil, err
	}
	s := strides(t.Shape, shape)
	walk(shape, [][]int{s}, func(at, n int, from []int) {
		for k := range n {
			out.copyElement(at+k, t, from[0]+k*last(s))
		}
	})
	return []*Tensor{out}, nil
}

func concat(c *call) ([]*Tensor, error) {
	first := c.in[0]
	k, err := axis(c.int("axis", 1), len(first.Shape))
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(first.Shape)
	shape[k] = 0
	for _, t := range c.in {
		if t == nil || t.Integer != first.Integer || len(t.Shape) != len(first.Shape) {
			return nil, errors.New("its inputs are of different types or numbers of dimensions")
		}
		for i, n := range t.Shape {
			if i == k {
				shape[k] += n
			} else if n != first.Shape[i] {
				return nil, fmt.Errorf("its inputs, %s and %s, do not fit each other", shapeText(first.Shape), shapeText(t.Shape))
			}
		}
	}
	out, err := c.alloc(shape, first.Integer)
	if err != nil {
		return nil, err
	}
	if out.Len() == 0 {
		return []*Tensor{out}, nil
	}
	outer, line, done := volumeOf(shape[:k]), volumeOf(shape[k:]), 0
	for _, t := range c.in {
		width := volumeOf(t.Shape[k:])
		for i := range outer {
			for j := range width {
				out.copyElement(i*line+done+j, t, i*width+j)
			}
		}
		done += width
	}
	return []*Tensor{out}, nil
}

// gather takes slices along one axis, by indices of any shape.
func gather(c *call) ([]*Tensor, error) {
	t, indices := c.in[0], c.in[1]
	if !indices.Integer {
		return nil, errors.New("its indices are no integers")
	}
	k, err := axis(c.int("axis", 0), len(t.Shape))
	if err != nil {
		return nil, err
	}
	shape := slices.Concat(t.Shape[:k], indices.Shape, t.Shape[k+1:])
	out, err := c.alloc(shape, t.Integer)
	if err != nil {
		return nil, err
	}
	inner, to := volumeOf(t.Shape[k+1:]), 0
	if out.Len() == 0 {
		return []*Tensor{out}, nil
	}
	for i := range volumeOf(t.Shape[:k]) {
		for _, index := range indices.Ints {
			at, err := axis(index, t.Shape[k]) // negative ones count from the end, as with axes
			if err != nil {
				return nil, fmt.Errorf("the index %d is out of range for a dimension of size %d", index, t.Shape[k])
			}
			for j := range inner {
				out.copyElement(to, t, (i*t.Shape[k]+at)*inner+j)
				to++
			}
		}
	}
	return []*Tensor{out}, nil
}

func shapeOf(c *call) ([]*Tensor, error) {
	shape := c.in[0].Shape
	rank := int64(len(shape))
	bound := func(name string, otherwise int64) int64 {
		v := c.int(name, otherwise)
		if v < 0 {
			v += rank
		}
		return min(max(v, 0), rank)
	}
	from, to := bound("start", 0), bound("end", rank)
	sizes := []int64{}
	for _, n := range shape[from:max(from, to)] {
		sizes = append(sizes, int64(n))
	}
	return []*Tensor{NewInts(sizes, len(sizes))}, nil
}

func size(c *call) ([]*Tensor, error) {
	return []*Tensor{NewInts([]int64{int64(c.in[0].Len())})}, nil
}

// slice has its bounds as attributes before opset 10 and as inputs since.
func slice(c *call) ([]*Tensor, error) {
	t := c.in[0]
	rank := len(t.Shape)
	starts, err := c.integers(1, "starts")
	if err != nil {
		return nil, err
	}
	ends, err := c.integers(2, "ends")
	if err != nil {
		return nil, err
	}
	list, err := c.integers(3, "axes")
	if err != nil {
		return nil, err
	}
	steps, err := c.integers(4, "steps")
	if err != nil {
		return nil, err
	}
	if list == nil {
		for k := range starts {
			list = append(list, int64(k))
		}
	}
	if len(ends) != len(starts) || len(list) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, fmt.Errorf("it has %d starts, %d ends, %d axes and %d steps", len(starts), len(ends), len(list), len(steps))
	}
	if _, err := axes(list, rank); err != nil {
		return nil, err
	}
	shape, moves := slices.Clone(t.Shape), make([]int, rank)
	offset := 0
	for k := range moves {
		moves[k] = volumeOf(t.Shape[k+1:])
	}
	for i, a := range list {
		k, _ := axis(a, rank)
		step := int64(1)
		if steps != nil {
			step = steps[i]
		}
		from, count, err := span(starts[i], ends[i], step, int64(t.Shape[k]))
		if err != nil {
			return nil, err
		}
		if shape[k] = int(count); count > 0 {
			offset += int(from) * moves[k]
		}
		if count > 1 {
			moves[k] *= int(step)
		}
	}
	out, err := c.alloc(shape, t.Integer)
	if err != nil {
		return nil, err
	}
	walk(shape, [][]int{moves}, func(at, n int, from []int) {
		for k := range n {
			out.copyElement(at+k, t, offset+from[0]+k*last(moves))
		}
	})
	return []*Tensor{out}, nil
}

// span resolves start, end and step along a dimension as NumPy does: the first index and how many there are.
func span(start, end, step, size int64) (first, count int64, err error) {
	if step == 0 || step == math.MinInt64 {
		return 0, 0, fmt.Errorf("its step is %d", step)
	}
	clampTo := func(v, low, high int64) int64 {
		if v < 0 {
			v += size
		}
		return min(max(v, low), high)
	}
	if step > 0 {
		start, end = clampTo(start, 0, size), clampTo(end, 0, size)
		if end <= start {
			return start, 0, nil
		}
		return start, 1 + (end-start-1)/step, nil
	}
	start, end = clampTo(start, -1, size-1), clampTo(end, -1, size-1)
	if start <= end {
		return start, 0, nil
	}
	return start, 1 + (start-end-1)/-step, nil
}

// split cuts along an axis: into parts of sizes given (an input since opset 13), or into equal ones.
func split(c *call) ([]*Tensor, error) {
	t := c.in[0]
	k, err := axis(c.int("axis", 0), len(t.Shape))
	if err != nil {
		return nil, err
	}
	sizes, err := c.integers(1, "split")
	if err != nil {
		return nil, err
	}
	if sizes == nil {
		parts := int64(len(c.node.Outputs))
		each := (int64(t.Shape[k]) + parts - 1) / parts // the last is smaller where it does not come out even
		for left := int64(t.Shape[k]); parts > 0; parts-- {
			sizes = append(sizes, min(each, left))
			left -= min(each, left)
		}
	}
	var out []*Tensor
	from := int64(0)
	for _, n := range sizes {
		if n < 0 || n > int64(t.Shape[k])-from {
			return nil, fmt.Errorf("it cuts a dimension of size %d into %v", t.Shape[k], sizes)
		}
		shape := slices.Clone(t.Shape)
		shape[k] = int(n)
		part, err := c.alloc(shape, t.Integer)
		if err != nil {
			return nil, err
		}
		inner := volumeOf(t.Shape[k+1:])
		for to := range part.Len() {
			line := int(n) * inner
			part.copyElement(to, t, (to/line*t.Shape[k]+int(from))*inner+to%line)
		}
		out, from = append(out, part), from+n
	}
	if from != int64(t.Shape[k]) {
		return nil, fmt.Errorf("it cuts a dimension of size %d into %v", t.Shape[k], sizes)
	}
	return out, nil
}
