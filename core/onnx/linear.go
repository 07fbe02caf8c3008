package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// matmul is NumPy's: the last two dimensions are matrices, those before broadcast, vectors are rows or columns.
func matmul(c *call) ([]*Tensor, error) {
	a, err := c.floating(0)
	if err != nil {
		return nil, err
	}
	b, err := c.floating(1)
	if err != nil {
		return nil, err
	}
	if len(a.Shape) == 0 || len(b.Shape) == 0 {
		return nil, errors.New("one of its inputs is a single number")
	}
	row, column := len(a.Shape) == 1, len(b.Shape) == 1
	if row {
		a = a.reshaped([]int{1, a.Shape[0]})
	}
	if column {
		b = b.reshaped([]int{b.Shape[0], 1})
	}
	ra, rb := len(a.Shape), len(b.Shape)
	m, k, n := a.Shape[ra-2], a.Shape[ra-1], b.Shape[rb-1]
	if b.Shape[rb-2] != k {
		return nil, fmt.Errorf("its inputs, %s and %s, do not fit each other", shapeText(c.in[0].Shape), shapeText(c.in[1].Shape))
	}
	batch, err := broadcast(a.Shape[:ra-2], b.Shape[:rb-2])
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(batch)
	if !row {
		shape = append(shape, m)
	}
	if !column {
		shape = append(shape, n)
	}
	out, err := c.alloc(shape, false)
	if err != nil {
		return nil, err
	}
	if err := c.spendProduct(volumeOf(batch), m, k, n); err != nil {
		return nil, err
	}
	if len(out.Floats) == 0 {
		return []*Tensor{out}, nil
	}
	// A last dimension of 1 makes every matrix of the batch a line of its own.
	sa, sb := strides(a.Shape[:ra-2], batch), strides(b.Shape[:rb-2], batch)
	product := 0
	walk(append(slices.Clone(batch), 1), [][]int{append(sa, 0), append(sb, 0)}, func(_, _ int, from []int) {
		multiply(out.Floats[product*m*n:(product+1)*m*n], a.Floats[from[0]*m*k:], b.Floats[from[1]*k*n:], m, k, n)
		product++
	})
	return []*Tensor{out}, nil
}

func volumeOf(shape []int) int {
	n, _ := volume(shape, math.MaxInt)
	return n
}

// spendProduct counts a product of matrices, without overflow.
func (c *call) spendProduct(sizes ...int) error {
	work, ok := volume(sizes, math.MaxInt)
	if !ok {
		work = math.MaxInt
	}
	return c.spend(int64(work))
}

// multiply adds the product of a, m x k, and b, k x n, to out. The order of summation is the same for every row, whatever m.
func multiply(out, a, b []float64, m, k, n int) {
	for i := range m {
		row := out[i*n : (i+1)*n]
		for l, v := range a[i*k : (i+1)*k] {
			for j, w := range b[l*n : (l+1)*n] {
				row[j] += v * w
			}
		}
	}
}

func gemm(c *call) ([]*Tensor, error) {
	alpha, beta := c.float("alpha", 1), c.float("beta", 1)
	var factors [2]*Tensor
	for i, name := range []string{"transA", "transB"} {
		t, err := c.floating(i)
		if err != nil {
			return nil, err
		}
		if len(t.Shape) != 2 {
			return nil, fmt.Errorf("its input %d has %d dimensions instead of 2", i, len(t.Shape))
		}
		if c.int(name, 0) != 0 {
			if t, err = c.transposed(t, []int{1, 0}); err != nil {
				return nil, err
			}
		}
		factors[i] = t
	}
	a, b := factors[0], factors[1]
	m, k, n := a.Shape[0], a.Shape[1], b.Shape[1]
	if b.Shape[0] != k {
		return nil, fmt.Errorf("its inputs, %s and %s, do not fit each other", shapeText(c.in[0].Shape), shapeText(c.in[1].Shape))
	}
	out, err := c.alloc([]int{m, n}, false)
	if err != nil {
		return nil, err
	}
	if err := c.spendProduct(m, k, n); err != nil {
		return nil, err
	}
	multiply(out.Floats, a.Floats, b.Floats, m, k, n)
	if alpha != 1 {
		for i := range out.Floats {
			out.Floats[i] *= alpha
		}
	}
	bias := c.input(2)
	if bias == nil {
		return []*Tensor{out}, nil
	}
	sum, err := c.pair(out, bias, func(a, b float64) float64 { return a + beta*b }, nil)
	if err == nil && !slices.Equal(sum.Shape, out.Shape) {
		err = fmt.Errorf("its input 2, %s, does not fit into the product, %s", shapeText(bias.Shape), shapeText(out.Shape))
	}
	return one(sum, err)
}

// batchNormalization is that of a trained network: an affine function of each channel, the dimension 1.
func batchNormalization(c *call) ([]*Tensor, error) {
	if c.int("training_mode", 0) != 0 {
		return nil, errors.New("it is in training mode, in which answers depend on the batch; export the model in evaluation mode")
	}
	epsilon := c.float("epsilon", float64(float32(1e-5)))
	x, err := c.floating(0)
	if err != nil {
		return nil, err
	}
	if len(x.Shape) < 2 {
		return nil, errors.New("its input has no channels")
	}
	channels := x.Shape[1]
	for i := 1; i < 5; i++ {
		if t, err := c.floating(i); err != nil || t.Len() != channels {
			return nil, fmt.Errorf("its input %d must have a number for each of %d channels", i, channels)
		}
	}
	out, err := c.alloc(x.Shape, false)
	if err != nil {
		return nil, err
	}
	inner := volumeOf(x.Shape[2:])
	for i, v := range x.Floats {
		k := i / inner % channels
		out.Floats[i] = (v-c.in[3].Floats[k])/math.Sqrt(c.in[4].Floats[k]+epsilon)*c.in[1].Floats[k] + c.in[2].Floats[k]
	}
	return []*Tensor{out}, nil
}

// scaler is scikit-learn's StandardScaler: (x - offset) scale, for each feature or with one number for all.
func scaler(c *call) ([]*Tensor, error) {
	x, err := c.asFloats(c.in[0])
	if err != nil {
		return nil, err
	}
	if len(x.Shape) == 0 {
		return nil, errors.New("its input has no features")
	}
	features := x.Shape[len(x.Shape)-1]
	var parts [2][]float64
	for i, name := range []string{"offset", "scale"} {
		a := c.attribute(name, AttributeFloats)
		if a == nil || len(a.Floats) != 1 && len(a.Floats) != features {
			return nil, fmt.Errorf("its attribute %q must have a number for each of %d features", name, features)
		}
		parts[i] = a.Floats
	}
	out, err := c.alloc(x.Shape, false)
	if err != nil {
		return nil, err
	}
	for i, v := range x.Floats {
		out.Floats[i] = (v - parts[0][i%features%len(parts[0])]) * parts[1][i%features%len(parts[1])]
	}
	return []*Tensor{out}, nil
}

// reduction joins the elements along some axes, or along all: from start on with step, and at last finish with their number.
func reduction(start float64, step func(sum, v float64) float64, finish func(sum float64, n int) float64) operator {
	return operator{least: 1, most: 2, evaluate: func(c *call) ([]*Tensor, error) {
		t := c.in[0]
		list, err := c.integers(1, "axes")
		if err != nil {
			return nil, err
		}
		marked, err := axes(list, len(t.Shape))
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			if c.int("noop_with_empty_axes", 0) != 0 {
				return c.in[:1], nil
			}
			for k := range marked {
				marked[k] = true
			}
		}
		kept, shape := slices.Clone(t.Shape), []int{}
		count := 1
		for k, n := range t.Shape {
			if marked[k] {
				count, kept[k] = count*n, 1
			}
			if !marked[k] || c.int("keepdims", 1) != 0 {
				shape = append(shape, kept[k])
			}
		}
		sums, err := c.alloc(kept, false)
		if err != nil {
			return nil, err
		}
		if err := c.spend(int64(t.Len())); err != nil {
			return nil, err
		}
		for i := range sums.Floats {
			sums.Floats[i] = start
		}
		s := strides(kept, t.Shape)
		walk(t.Shape, [][]int{s}, func(at, n int, from []int) {
			for k := range n {
				sum := &sums.Floats[from[0]+k*last(s)]
				*sum = step(*sum, t.at(at+k))
			}
		})
		if finish != nil {
			for i, sum := range sums.Floats {
				sums.Floats[i] = finish(sum, count)
			}
		}
		if t.Integer {
			if sums, err = c.asInts(sums, Int64); err != nil {
				return nil, err
			}
		}
		return []*Tensor{sums.reshaped(shape)}, nil
	}}
}

// softmax is along one axis; before opset 13, over all dimensions from that axis on.
func softmax(logarithm bool) func(*call) ([]*Tensor, error) {
	return func(c *call) ([]*Tensor, error) {
		t, err := c.floating(0)
		if err != nil {
			return nil, err
		}
		otherwise := int64(-1)
		if c.opset < 13 {
			otherwise = 1
		}
		k, err := axis(c.int("axis", otherwise), max(len(t.Shape), 1))
		if err != nil {
			return nil, err
		}
		n, inner := t.Len(), 1 // of a single number
		if len(t.Shape) > 0 {
			n, inner = t.Shape[k], volumeOf(t.Shape[k+1:])
			if c.opset < 13 {
				n, inner = n*inner, 1
			}
		}
		out, err := c.alloc(t.Shape, false)
		if err != nil {
			return nil, err
		}
		if t.Len() == 0 {
			return []*Tensor{out}, nil
		}
		for start := 0; start < t.Len(); start += n * inner {
			for lane := start; lane < start+inner; lane++ {
				top, sum := math.Inf(-1), 0.0
				for i := range n {
					top = maximum(top, t.Floats[lane+i*inner])
				}
				for i := range n {
					sum += math.Exp(t.Floats[lane+i*inner] - top)
				}
				for i := range n {
					v := t.Floats[lane+i*inner] - top
					if logarithm {
						out.Floats[lane+i*inner] = v - math.Log(sum)
					} else {
						out.Floats[lane+i*inner] = math.Exp(v) / sum
					}
				}
			}
		}
		return []*Tensor{out}, nil
	}
}
