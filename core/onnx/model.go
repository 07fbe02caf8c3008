package onnx

import (
	"fmt"
	"strings"
)

// Model is an ONNX model: what ModelProto has of use here.
type Model struct {
	IRVersion int64
	Producer  string           // name and version of the program that wrote the file
	Opsets    map[string]int64 // version of the operators by domain; "" is ONNX's own
	Functions []string         // operators that the model defines itself; they are not evaluated
	Graph     Graph
}

// Graph is a sequence of nodes, each after those whose outputs it takes.
type Graph struct {
	Name         string
	Nodes        []Node
	Initializers []Constant
	Inputs       []Value // those that an initializer stands in for are not among them
	Outputs      []Value
}

// Node is one application of an operator. Omitted inputs and outputs have the name "".
type Node struct {
	Name, Op, Domain string
	Inputs, Outputs  []string
	Attributes       []Attribute
}

func (n Node) String() string {
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + n.Op
	}
	switch {
	case n.Name != "":
		return fmt.Sprintf("node %q (%s)", n.Name, op)
	case len(n.Outputs) > 0:
		return fmt.Sprintf("the node of %q (%s)", n.Outputs[0], op)
	}
	return fmt.Sprintf("a node without a name (%s)", op)
}

// Attribute is a named constant of a node.
type Attribute struct {
	Name   string
	Type   AttributeType
	Float  float64
	Int    int64
	Text   string
	Floats []float64
	Ints   []int64
	Tensor Constant
}

// AttributeType says which field of an attribute counts.
type AttributeType int64

// The types of attributes that dense networks use; the rest are subgraphs, strings and the like.
const (
	AttributeFloat  AttributeType = 1
	AttributeInt    AttributeType = 2
	AttributeText   AttributeType = 3
	AttributeTensor AttributeType = 4
	AttributeFloats AttributeType = 6
	AttributeInts   AttributeType = 7
)

// Value describes an input or an output of the graph.
type Value struct {
	Name    string
	Element Element
	Shape   []int // -1 where the size is not fixed
	Ranked  bool  // whether the file says the shape at all
}

func (v Value) String() string {
	if !v.Ranked {
		return fmt.Sprintf("%q of %s", v.Name, v.Element)
	}
	sizes := make([]string, len(v.Shape))
	for i, n := range v.Shape {
		if sizes[i] = fmt.Sprint(n); n < 0 {
			sizes[i] = "any"
		}
	}
	return fmt.Sprintf("%q of %s, shape (%s)", v.Name, v.Element, strings.Join(sizes, ", "))
}

// Element is the type of a tensor's elements, TensorProto.DataType.
type Element int64

// The types of elements that are read. Quantised and complex ones are not.
const (
	Unknown  Element = 0
	Float32  Element = 1
	Uint8    Element = 2
	Int8     Element = 3
	Uint16   Element = 4
	Int16    Element = 5
	Int32    Element = 6
	Int64    Element = 7
	Text     Element = 8
	Bool     Element = 9
	Float16  Element = 10
	Float64  Element = 11
	Uint32   Element = 12
	Uint64   Element = 13
	BFloat16 Element = 16
)

// Floating reports whether the type is one of floating point.
func (e Element) Floating() bool {
	return e == Float16 || e == BFloat16 || e == Float32 || e == Float64
}

// Size returns the bytes of an element in raw data; 0 for types that are not read.
func (e Element) Size() int {
	switch e {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float32, Int32, Uint32:
		return 4
	case Float64, Int64, Uint64:
		return 8
	}
	return 0
}

func (e Element) String() string {
	names := map[Element]string{
		Unknown: "unknown type", Float32: "float32", Uint8: "uint8", Int8: "int8", Uint16: "uint16", Int16: "int16", Int32: "int32",
		Int64: "int64", Text: "string", Bool: "bool", Float16: "float16", Float64: "float64", Uint32: "uint32", Uint64: "uint64",
		BFloat16: "bfloat16",
	}
	if name, ok := names[e]; ok {
		return name
	}
	return fmt.Sprintf("element type %d", int64(e))
}

// Constant is a tensor as the file has it, decoded when it is needed.
type Constant struct {
	Name    string
	Element Element
	Shape   []int64
	raw     []byte
	floats  []float64
	ints    []int64
	// external says where the data is when it is in a file of its own; ReadFile has replaced it by raw.
	external map[string]string
	sparse   bool
}
