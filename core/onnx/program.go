package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nnid/nnid/core/fault"
)

const (
	// OldestOpset and NewestOpset bound the versions of ONNX's own operators that are evaluated. Before version 7, arithmetic
	// did not broadcast; what a later version than the newest changes can't be known.
	OldestOpset = 7
	NewestOpset = 28

	// DefaultWork is the number of multiplications and of elements written that one evaluation may take, a few seconds' worth.
	DefaultWork = 1 << 32
	// DefaultElements is the number of elements, of 8 bytes, that one evaluation may allocate.
	DefaultElements = 1 << 26
)

// Limits bound what one evaluation may take, whatever the file says; 0 stands for the default.
type Limits struct {
	Work     int64
	Elements int64
}

// Program is what it takes to compute one output of a model, ready to run. It is safe for concurrent use.
type Program struct {
	Inputs []Value // those of the model that the output depends on
	Output Value

	limits Limits
	steps  []step
	values []*Tensor // a slot for each value; those known before the inputs are
	inputs []int     // slots, in the order of Inputs
	output int
}

// step is a node with its operator and the slots that it reads and writes; -1 for what it omits.
type step struct {
	node     Node
	operator operator
	opset    int64
	in, out  []int
}

// NewProgram prepares the computation of the output named, or of the model's only output of floating point where output is
// "". A name may also be that of a value between the nodes, such as the scores before the last Sigmoid. Nodes that it does not depend on are left aside: they may be of any operator. What depends on no input is computed here.
func NewProgram(ctx context.Context, m *Model, output string, limits Limits) (*Program, error) {
	opset, err := m.opset()
	if err != nil {
		return nil, err
	}
	value, err := m.output(output)
	if err != nil {
		return nil, err
	}
	if limits.Work == 0 {
		limits.Work = DefaultWork
	}
	if limits.Elements == 0 {
		limits.Elements = DefaultElements
	}
	p := &Program{Output: value, limits: limits}
	return p, p.build(ctx, m, opset)
}

// opset returns the version of ONNX's own operators.
func (m *Model) opset() (int64, error) {
	version, ok := m.Opsets[""]
	if !ok && len(m.Opsets) > 0 {
		version = NewestOpset // a model of other domains' operators only
	}
	switch {
	case version < OldestOpset:
		return 0, fault.New(fault.Unsupported, "the model is of opset %d, older than %d, the first that is evaluated; export it again with a newer one", version, OldestOpset)
	case version > NewestOpset:
		return 0, fault.New(fault.Unsupported, "the model is of opset %d, newer than %d, the last that is known here; export it with opset_version=%d or older", version, NewestOpset, NewestOpset)
	}
	return version, nil
}

// output finds the output named, or the only one of numbers.
func (m *Model) output(name string) (Value, error) {
	var all []string
	var numbers []Value
	for _, v := range m.Graph.Outputs {
		if name != "" && v.Name == name {
			return v, nil
		}
		all = append(all, v.String())
		if v.Element.Floating() {
			numbers = append(numbers, v)
		}
	}
	list := strings.Join(all, "; ")
	between := slices.ContainsFunc(m.Graph.Nodes, func(n Node) bool { return name != "" && slices.Contains(n.Outputs, name) })
	switch {
	case between:
		return Value{Name: name}, nil
	case len(all) == 0:
		return Value{}, fault.New(fault.Usage, "the model has no output")
	case name != "":
		return Value{}, fault.New(fault.Usage, "the model has no output %q; it has: %s", name, list)
	case len(numbers) == 0:
		return Value{}, fault.New(fault.Unsupported, "the model has no output of floating point, only: %s. "+labels, list)
	case len(numbers) > 1:
		return Value{}, fault.New(fault.Usage, "the model has more than one output; say which is meant: %s", list)
	}
	return numbers[0], nil
}

// build collects the nodes that the output depends on, in the order of the file.
func (p *Program) build(ctx context.Context, m *Model, opset int64) error {
	g := &m.Graph
	producer := map[string]int{}
	for i, n := range g.Nodes {
		for _, name := range n.Outputs {
			if name == "" {
				continue
			}
			if _, twice := producer[name]; twice {
				return fault.New(fault.Usage, "the value %q is the output of two nodes", name)
			}
			producer[name] = i
		}
	}
	// Nodes are in topological order, as ONNX demands: one sweep from the back marks what is needed.
	needed := map[string]bool{p.Output.Name: true}
	var nodes []Node
	for i, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(name string) bool { return name != "" && needed[name] }) {
			continue
		}
		nodes = append(nodes, n)
		for _, name := range n.Inputs {
			if at, ok := producer[name]; ok && at >= i {
				return fault.New(fault.Usage, "%s takes %q, which only a later node gives: the nodes are out of order", n, name)
			}
			needed[name] = true
		}
	}
	slices.Reverse(nodes)

	slot := map[string]int{}
	take := func(name string, known *Tensor) int {
		slot[name] = len(p.values)
		p.values = append(p.values, known)
		return slot[name]
	}
	for _, v := range g.Inputs {
		if needed[v.Name] {
			p.Inputs = append(p.Inputs, v)
			p.inputs = append(p.inputs, take(v.Name, nil))
		}
	}
	for i := range g.Initializers {
		c := &g.Initializers[i]
		if !needed[c.Name] {
			continue
		}
		t, err := c.Tensor()
		if err != nil {
			return err
		}
		take(c.Name, t)
	}
	b := &budget{ctx: ctx, work: p.limits.Work, elements: p.limits.Elements}
	for _, n := range nodes {
		s, err := newStep(m, n, opset)
		if err != nil {
			return err
		}
		known := true
		for _, name := range n.Inputs {
			at := -1
			if name != "" {
				var ok bool
				if at, ok = slot[name]; !ok {
					return fault.New(fault.Usage, "%s takes %q, which is neither an input, a constant nor the output of an earlier node", n, name)
				}
				known = known && p.values[at] != nil
			}
			s.in = append(s.in, at)
		}
		for _, name := range n.Outputs {
			if name == "" {
				s.out = append(s.out, -1)
			} else {
				s.out = append(s.out, take(name, nil))
			}
		}
		if !known {
			p.steps = append(p.steps, s)
			continue
		}
		if err := s.run(b, p.values); err != nil {
			return err
		}
	}
	var ok bool
	if p.output, ok = slot[p.Output.Name]; !ok {
		return fault.New(fault.Usage, "no node gives the output %q", p.Output.Name)
	}
	return nil
}

func newStep(m *Model, n Node, opset int64) (step, error) {
	key := n.Op
	if n.Domain != "" {
		key = n.Domain + "." + n.Op
	}
	if slices.Contains(m.Functions, n.Domain+"."+n.Op) {
		return step{}, fault.New(fault.Unsupported, "%s calls a function that the model defines itself, which is not evaluated; replace such calls with onnx.inliner.inline_local_functions(model)", n)
	}
	if _, ok := labelOperators[key]; ok {
		return step{}, fault.New(fault.Unsupported, "%s gives labels of %s. "+labels, n, strings.Join(n.Inputs, ", "))
	}
	o, ok := operators[key]
	if !ok {
		return step{}, fault.New(fault.Unsupported, "%s: this operator is none of those of dense networks that are evaluated here in float64; ONNX Runtime may know it (the oracle onnxruntime)", n)
	}
	switch {
	case len(n.Inputs) < o.least || len(n.Inputs) > o.most:
		return step{}, fault.New(fault.Usage, "%s has %d inputs; it takes %d to %d", n, len(n.Inputs), o.least, o.most)
	case len(n.Outputs) == 0:
		return step{}, fault.New(fault.Usage, "%s has no output", n)
	}
	for i, name := range n.Inputs[:o.least] {
		if name == "" {
			return step{}, fault.New(fault.Usage, "%s lacks its input %d", n, i)
		}
	}
	for i, a := range n.Attributes {
		if slices.ContainsFunc(n.Attributes[:i], func(b Attribute) bool { return a.Name == b.Name }) {
			return step{}, fault.New(fault.Usage, "%s has two attributes %q", n, a.Name)
		}
	}
	return step{node: n, operator: o, opset: opset}, nil
}

// run evaluates one node, from and to the slots of values.
func (s *step) run(b *budget, values []*Tensor) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	c := &call{budget: b, node: &s.node, opset: s.opset}
	for _, at := range s.in {
		var t *Tensor
		if at >= 0 {
			t = values[at]
		}
		c.in = append(c.in, t)
	}
	out, err := s.operator.evaluate(c)
	if c.err != nil {
		err = c.err
	}
	if err == nil && len(out) < len(s.out) {
		err = fmt.Errorf("it has %d outputs; this version gives %d", len(s.out), len(out))
	}
	if err != nil {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		kind := fault.Usage
		if f, ok := errors.AsType[*fault.Error](err); ok {
			kind = f.Kind
		}
		return fault.New(kind, "%s: %w", s.node, err)
	}
	for i, at := range s.out {
		if at >= 0 {
			values[at] = out[i]
		}
	}
	return nil
}

// Run computes the output. There is one input tensor for each of p.Inputs, of shapes that the nodes accept; they are not changed.
func (p *Program) Run(ctx context.Context, inputs ...*Tensor) (*Tensor, error) {
	if len(inputs) != len(p.inputs) {
		return nil, fault.New(fault.Usage, "the output depends on %d inputs, but %d are given", len(p.inputs), len(inputs))
	}
	values := slices.Clone(p.values)
	for i, at := range p.inputs {
		values[at] = inputs[i]
	}
	b := &budget{ctx: ctx, work: p.limits.Work, elements: p.limits.Elements}
	for i := range p.steps {
		if err := p.steps[i].run(b, values); err != nil {
			return nil, err
		}
	}
	return values[p.output], nil
}
