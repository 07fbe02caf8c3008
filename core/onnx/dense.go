package onnx

import (
	"context"
	"slices"
	"strings"

	"github.com/nnid/nnid/core/fault"
)

// Layer is one dense layer that a program was recognised to consist of: v -> activation(Weight v + Bias).
type Layer struct {
	Weight [][]float64 // a row for each neuron
	Bias   []float64
	// Activation are its values at Probes and Operators what it is made of. The last layer has none.
	Activation []float64
	Operators  []string
	// Entries are what linear operators make of t before the first nonlinear ones. Whether a factor or a summand there belongs to the
	// layer or to the activation, as the root in GELU does, can't be told by the nodes: the activation may be known as that of an
	// entry.
	Entries []Entry
}

// largestEntries bounds those of a layer; activations have a few.
const largestEntries = 16

// Entry is Alpha t + Beta.
type Entry struct{ Alpha, Beta float64 }

// Probes are the points at which activations are sampled, for comparison with known ones: enough of them, unevenly spaced, that
// two activations can't agree by chance; within 8, for PyTorch's Softplus is another function beyond 20.
func Probes() []float64 {
	points := make([]float64, 48)
	for k := range points {
		t := float64(k-24) / 24
		points[k] = 8*t*(0.25+0.75*t*t) + 0.01
	}
	return points
}

// symbol stands for what a node gives as long as the input is not known: phi, element by element, of an affine function of the
// base, which is the input or the output of the layer before.
type symbol struct {
	base  int // 0 is the input, k the output of layer k
	id    int // of the affine function: nodes of one activation share it
	shape []int
	// The affine function: columns[i] is what it adds for the i-th number of the base, as it stands in the tensor.
	columns [][]float64
	offset  []float64

	phi         *Tensor // at the probes
	linear      bool    // phi(t) = alpha t + beta
	alpha, beta float64
	entries     []Entry
	operators   []string
}

// Dense recognises a program as a sequence of dense layers, whatever nodes they are written with: products and sums with
// constants are gathered into the layers, and what works element by element into activations, which are sampled. inputs is the
// number of inputs, needed only where the model does not say it. An error names the node that is not of this kind.
func (p *Program) Dense(ctx context.Context, inputs int) ([]Layer, error) {
	if len(p.Inputs) != 1 {
		return nil, fault.New(fault.Unsupported, "the output %q depends on %d inputs instead of one", p.Output.Name, len(p.Inputs))
	}
	shape, err := p.Inputs[0].one(inputs)
	if err != nil {
		return nil, err
	}
	d := &denser{budget: &budget{ctx: ctx, work: p.limits.Work, elements: p.limits.Elements}, closed: map[*symbol]*symbol{}}
	values := make([]any, len(p.values)) // *Tensor or *symbol
	for at, t := range p.values {
		if t != nil {
			values[at] = t
		}
	}
	if values[p.inputs[0]], err = d.base(0, shape); err != nil {
		return nil, err
	}
	for i := range p.steps {
		s := &p.steps[i]
		in := make([]any, len(s.in))
		for k, at := range s.in {
			if at < 0 {
				continue
			}
			if in[k] = values[at]; in[k] == nil {
				return nil, fault.New(fault.Unsupported, "%s takes %q, a second output that has no value here", s.node, s.node.Inputs[k])
			}
		}
		out, err := d.step(s, in)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "%s: %w", s.node, err)
		}
		for k, at := range s.out {
			if at >= 0 && k < len(out) {
				values[at] = out[k]
			}
		}
	}
	last, ok := values[p.output].(*symbol)
	if !ok {
		return nil, fault.New(fault.Unsupported, "the output %q does not depend on the input", p.Output.Name)
	}
	if !last.linear {
		return nil, fault.New(fault.Unsupported, "the output %q is not linear in the last hidden layer: it goes through %s; what goes into that has a name of its own, which --output takes too", p.Output.Name, strings.Join(last.operators, ", "))
	}
	if last.base != len(d.layers) {
		return nil, fault.New(fault.Unsupported, "the output %q leaves out a layer", p.Output.Name)
	}
	return append(d.layers, last.folded(0).layer()), nil
}

// one returns the shape of one row.
func (v Value) one(inputs int) ([]int, error) {
	if !v.Ranked {
		v.Shape = []int{1, -1}
	}
	shape := slices.Clone(v.Shape)
	if len(shape) == 0 {
		return nil, fault.New(fault.Unsupported, "the input %s is a single number and not a vector", v)
	}
	if len(shape) > 1 {
		if shape[0] > 1 {
			return nil, fault.New(fault.Unsupported, "the input %s is a batch of fixed size; export the model for batches of any size, or of one row", v)
		}
		shape[0] = 1
	}
	if at := slices.Index(shape, -1); at >= 0 {
		shape[at] = inputs
	}
	if n, ok := volume(shape, 1<<16); !ok || n < 1 {
		return nil, fault.New(fault.Unsupported, "the input %s does not say how many numbers make a row, or too many", v)
	}
	return shape, nil
}

// denser is one recognition.
type denser struct {
	budget *budget
	layers []Layer
	ids    int
	closed map[*symbol]*symbol // what nonlinear symbols became as the base of the next layer
}

// base is the identity on a base of this shape.
func (d *denser) base(k int, shape []int) (*symbol, error) {
	n := volumeOf(shape)
	if d.budget.elements -= int64(n) * int64(n); d.budget.elements < 0 {
		return nil, fault.New(fault.Unsupported, "a layer of %d neurons is too wide", n)
	}
	s := d.affine(k, shape)
	s.offset = make([]float64, n)
	s.columns = make([][]float64, n)
	for i := range s.columns {
		s.columns[i] = make([]float64, n)
		s.columns[i][i] = 1
	}
	return s, nil
}

// affine begins an affine function.
func (d *denser) affine(base int, shape []int) *symbol {
	d.ids++
	probes := Probes()
	return &symbol{base: base, id: d.ids, shape: shape, phi: NewFloats(probes, len(probes)), linear: true, alpha: 1}
}

// folded includes a linear phi in the affine function.
func (s *symbol) folded(id int) *symbol {
	f := *s
	f.id, f.alpha, f.beta, f.entries, f.operators = id, 1, 0, nil, nil
	f.columns = make([][]float64, len(s.columns))
	scaled := func(values []float64, beta float64) []float64 {
		out := make([]float64, len(values))
		for i, v := range values {
			out[i] = s.alpha*v + beta
		}
		return out
	}
	for i, column := range s.columns {
		f.columns[i] = scaled(column, 0)
	}
	f.offset = scaled(s.offset, s.beta)
	return &f
}

// layer is the affine function with phi as its activation.
func (s *symbol) layer() Layer {
	l := Layer{Bias: s.offset, Operators: s.operators, Entries: s.entries, Weight: make([][]float64, len(s.offset))}
	if !s.linear {
		l.Activation = s.phi.Floats
	}
	for i := range l.Weight {
		l.Weight[i] = make([]float64, len(s.columns))
		for k, column := range s.columns {
			l.Weight[i][k] = column[i]
		}
	}
	return l
}

// kernelWork is what a call takes however little it computes: a graph can ask for many.
const kernelWork = 1 << 8

// kernel runs the operator of a node on tensors.
func (d *denser) kernel(s *step, node *Node, in []*Tensor) ([]*Tensor, error) {
	if err := d.budget.ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.budget.spend(kernelWork); err != nil {
		return nil, err
	}
	c := &call{budget: d.budget, node: node, opset: s.opset, in: in}
	out, err := s.operator.evaluate(c)
	if c.err != nil {
		err = c.err
	}
	return out, err
}

// elementwise are the operators that may be part of an activation. The others are of layers: affine, with the inputs named that are
// added and so count for the offset alone, and homogeneous.
var (
	elementwise = setOf(`Abs Acos Acosh Add And Asin Asinh Atan Atanh Cast Ceil Celu Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu
		Greater GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mul Neg Not Or PRelu Pow
		Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where`)
	affine      = map[string][]int{"Add": {0, 1}, "Sub": {0, 1}, "Gemm": {2}, "BatchNormalization": {2, 3}}
	homogeneous = setOf(`Mul Div MatMul ReduceSum ReduceMean Concat Expand Flatten Gather Reshape Slice Split Squeeze Transpose Unsqueeze
		ai.onnx.ml.Scaler`)
)

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

// step interprets one node.
func (d *denser) step(s *step, in []any) ([]any, error) {
	key := s.node.Op
	if s.node.Domain != "" {
		key = s.node.Domain + "." + s.node.Op
	}
	var symbols []*symbol
	known := make([]*Tensor, len(in))
	for k, v := range in {
		switch v := v.(type) {
		case *symbol:
			symbols = append(symbols, v)
			known[k] = NewFloats(v.offset, v.shape...)
		case *Tensor:
			known[k] = v
		}
	}
	if len(symbols) == 0 || key == "Shape" || key == "Size" {
		out, err := d.kernel(s, &s.node, known)
		return anyOf(out), err
	}
	if elementwise[key] && d.oneActivation(symbols, in) {
		return d.activation(s, in, symbols)
	}
	// Everything else takes the layers so far as they are.
	args := slices.Clone(in)
	for k, v := range args {
		v, ok := v.(*symbol)
		if !ok {
			continue
		}
		settled, err := d.settle(v)
		if err != nil {
			return nil, err
		}
		args[k] = settled
	}
	return d.linear(s, key, args)
}

func anyOf(tensors []*Tensor) []any {
	var out []any
	for _, t := range tensors {
		out = append(out, t)
	}
	return out
}

// oneActivation reports whether the inputs are functions of one affine function, and single numbers.
func (d *denser) oneActivation(symbols []*symbol, in []any) bool {
	for _, s := range symbols[1:] {
		if s.id != symbols[0].id || !slices.Equal(s.shape, symbols[0].shape) {
			return false
		}
	}
	for _, v := range in {
		if t, ok := v.(*Tensor); ok && (t.Len() != 1 || len(t.Shape) > len(symbols[0].shape)) {
			return false
		}
	}
	return true
}

// activation makes a node a part of phi.
func (d *denser) activation(s *step, in []any, symbols []*symbol) ([]any, error) {
	args := make([]*Tensor, len(in))
	numbers := make([]float64, len(in)) // of the constants
	for k, v := range in {
		switch v := v.(type) {
		case *symbol:
			args[k] = v.phi
		case *Tensor:
			args[k], numbers[k] = v.reshaped(nil), v.at(0)
		}
	}
	out, err := d.kernel(s, &s.node, args)
	if err != nil {
		return nil, err
	}
	result := *symbols[0]
	result.phi, result.linear = out[0], false
	result.operators = nil
	for _, v := range symbols {
		for _, o := range v.operators {
			if !slices.Contains(result.operators, o) {
				result.operators = append(result.operators, o)
			}
		}
	}
	result.operators = append(result.operators, s.node.Op)
	if !result.phi.Integer && !slices.ContainsFunc(symbols, func(v *symbol) bool { return !v.linear }) {
		result.keepLinear(s.node.Op, in, numbers)
	}
	result.entries = nil
	for _, v := range symbols {
		entries := v.entries
		if v.linear {
			entries = append(slices.Clone(entries), Entry{v.alpha, v.beta})
		}
		for _, e := range entries {
			if !slices.Contains(result.entries, e) && len(result.entries) < largestEntries {
				result.entries = append(result.entries, e)
			}
		}
	}
	return []any{&result}, nil
}

// keepLinear follows phi(t) = alpha t + beta through the operators that keep it so.
func (s *symbol) keepLinear(op string, in []any, numbers []float64) {
	part := func(k int) (alpha, beta float64, constant bool) {
		if v, ok := in[k].(*symbol); ok {
			return v.alpha, v.beta, false
		}
		return 0, numbers[k], true
	}
	a, b, constant := part(0)
	s.linear = true
	switch op {
	case "Identity", "Cast", "Dropout":
		s.alpha, s.beta = a, b
		return
	case "Neg":
		s.alpha, s.beta = -a, -b
		return
	case "Add", "Sub", "Mul", "Div":
		a2, b2, constant2 := part(1)
		switch {
		case op == "Add":
			s.alpha, s.beta = a+a2, b+b2
			return
		case op == "Sub":
			s.alpha, s.beta = a-a2, b-b2
			return
		case op == "Mul" && constant2:
			s.alpha, s.beta = a*b2, b*b2
			return
		case op == "Mul" && constant:
			s.alpha, s.beta = a2*b, b2*b
			return
		case op == "Div" && constant2:
			s.alpha, s.beta = a/b2, b/b2
			return
		}
	}
	s.linear = false
}

// settle makes a symbol affine: by folding phi into the layer, or by ending the layer with phi as its activation.
func (d *denser) settle(s *symbol) (*symbol, error) {
	if s.linear && s.alpha == 1 && s.beta == 0 {
		return s, nil
	}
	if known, ok := d.closed[s]; ok {
		return known, nil
	}
	if s.linear {
		d.ids++
		d.closed[s] = s.folded(d.ids)
		return d.closed[s], nil
	}
	if s.phi.Integer {
		return nil, fault.New(fault.Unsupported, "it takes integers that depend on the input, by %s", strings.Join(s.operators, ", "))
	}
	if s.base != len(d.layers) {
		return nil, fault.New(fault.Unsupported, "it takes an activation that stands beside another, not after it: these are not layers one after the other")
	}
	d.layers = append(d.layers, s.layer())
	next, err := d.base(len(d.layers), s.shape)
	d.closed[s] = next
	return next, err
}

// linear applies a node to the columns and the offset of affine functions of one base.
func (d *denser) linear(s *step, key string, in []any) ([]any, error) {
	var first *symbol
	count := 0
	for _, v := range in {
		v, ok := v.(*symbol)
		if !ok {
			continue
		}
		if count++; first == nil {
			first = v
		}
		if v.base != first.base {
			return nil, fault.New(fault.Unsupported, "it joins values of different layers: these are not layers one after the other")
		}
	}
	joins := key == "Add" || key == "Sub" || key == "Concat"
	isSum := affine[key] != nil
	refused := fault.New(fault.Unsupported, "it is no part of dense layers, each an affine function and an activation of every neuron by itself")
	switch {
	case !isSum && !homogeneous[key], count > 1 && !joins:
		return nil, refused
	case key == "Div" || key == "MatMul" || key == "Gemm" || key == "Mul":
		if _, ok := in[len(in)-1].(*symbol); ok && (key == "Div" || key == "Gemm" && len(in) == 3) {
			return nil, refused // the symbol divides, or is the bias
		}
	case key == "Concat" && count < len(in), key == "BatchNormalization" && in[0] != any(first), key == "Gather" && in[0] != any(first):
		return nil, refused
	}
	node := s.node
	run := func(pick func(*symbol) []float64, column bool) ([]*Tensor, error) {
		args := make([]*Tensor, len(in))
		for k, v := range in {
			switch v := v.(type) {
			case *symbol:
				args[k] = NewFloats(pick(v), v.shape...)
			case *Tensor:
				if args[k] = v; column && slices.Contains(affine[key], k) {
					args[k] = &Tensor{Shape: v.Shape, Floats: make([]float64, len(v.Floats)), Ints: make([]int64, len(v.Ints)), Integer: v.Integer}
				}
			}
		}
		current := &node
		if column && key == "ai.onnx.ml.Scaler" {
			current = withoutOffset(&node)
		}
		return d.kernel(s, current, args)
	}
	offsets, err := run(func(v *symbol) []float64 { return v.offset }, false)
	if err != nil {
		return nil, err
	}
	results := make([]*symbol, len(offsets))
	for k, t := range offsets {
		if t.Integer {
			return nil, refused
		}
		results[k] = d.affine(first.base, t.Shape)
		results[k].offset = t.Floats
	}
	for i := range first.columns {
		columns, err := run(func(v *symbol) []float64 { return v.columns[i] }, true)
		if err != nil {
			return nil, err
		}
		for k, t := range columns {
			results[k].columns = append(results[k].columns, t.Floats)
		}
	}
	var out []any
	for _, r := range results {
		out = append(out, r)
	}
	return out, nil
}

// withoutOffset is a Scaler that only scales.
func withoutOffset(n *Node) *Node {
	changed := *n
	changed.Attributes = slices.Clone(n.Attributes)
	for k, a := range changed.Attributes {
		if a.Name == "offset" {
			changed.Attributes[k].Floats = make([]float64, len(a.Floats))
		}
	}
	return &changed
}
