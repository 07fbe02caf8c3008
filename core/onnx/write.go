package onnx

import (
	"maps"
	"slices"
	"strings"
)

// Bytes encodes the model as a file. The same model gives the same bytes.
func (m *Model) Bytes() []byte {
	var out message
	out.integer(modelIRVersion, m.IRVersion)
	producer, version, _ := strings.Cut(m.Producer, " ")
	out.text(modelProducer, producer)
	out.text(modelProducerVersion, version)
	out.bytes(modelGraph, m.Graph.bytes())
	for _, domain := range slices.Sorted(maps.Keys(m.Opsets)) {
		var opset message
		opset.text(opsetDomain, domain)
		opset.integer(opsetVersion, m.Opsets[domain])
		out.bytes(modelOpset, opset)
	}
	return out
}

func (g *Graph) bytes() []byte {
	var out message
	for _, n := range g.Nodes {
		out.bytes(graphNode, n.bytes())
	}
	out.text(graphName, g.Name)
	for _, c := range g.Initializers {
		out.bytes(graphInitializer, c.bytes())
	}
	for _, v := range g.Inputs {
		out.bytes(graphInput, v.bytes())
	}
	for _, v := range g.Outputs {
		out.bytes(graphOutput, v.bytes())
	}
	return out
}

func (n *Node) bytes() []byte {
	var out message
	for _, name := range n.Inputs {
		out.bytes(nodeInput, []byte(name)) // "" keeps its place
	}
	for _, name := range n.Outputs {
		out.bytes(nodeOutput, []byte(name))
	}
	out.text(nodeName, n.Name)
	out.text(nodeOp, n.Op)
	for _, a := range n.Attributes {
		out.bytes(nodeAttribute, a.bytes())
	}
	out.text(nodeDomain, n.Domain)
	return out
}

func (a *Attribute) bytes() []byte {
	var out message
	out.text(attributeName, a.Name)
	switch a.Type {
	case AttributeFloat:
		out.float32(attributeF, float32(a.Float))
	case AttributeInt:
		out.integer(attributeI, a.Int)
	case AttributeText:
		out.bytes(attributeS, []byte(a.Text))
	case AttributeTensor:
		out.bytes(attributeT, a.Tensor.bytes())
	case AttributeFloats:
		for _, v := range a.Floats {
			out.float32(attributeFloats, float32(v))
		}
	case AttributeInts:
		for _, v := range a.Ints {
			out.integer(attributeInts, v)
		}
	}
	out.integer(attributeType, int64(a.Type))
	return out
}

func (v *Value) bytes() []byte {
	var shape message
	for _, n := range v.Shape {
		var dimension message
		if n < 0 {
			dimension.text(dimensionName, "rows")
		} else {
			dimension.integer(dimensionValue, int64(n))
		}
		shape.bytes(shapeDimension, dimension)
	}
	var tensor, kind, out message
	tensor.integer(tensorTypeElement, int64(v.Element))
	if v.Ranked {
		tensor.bytes(tensorTypeShape, shape)
	}
	kind.bytes(typeTensor, tensor)
	out.text(valueName, v.Name)
	out.bytes(valueType, kind)
	return out
}

// bytes encodes the constant in the fields that it was read from.
func (c *Constant) bytes() []byte {
	var out message
	for _, n := range c.Shape {
		out.integer(tensorDims, n)
	}
	out.integer(tensorElement, int64(c.Element))
	out.text(tensorName, c.Name)
	switch {
	case c.floats != nil:
		id, single := tensorDoubles, c.Element == Float32
		if single {
			id = tensorFloats
		}
		for _, v := range c.floats {
			if single {
				out.float32(id, float32(v))
			} else {
				out.float64(id, v)
			}
		}
	case c.ints != nil:
		id := tensorInt32s
		switch c.Element {
		case Int64:
			id = tensorInt64s
		case Uint32, Uint64:
			id = tensorUint64s
		}
		for _, v := range c.ints {
			out.integer(id, v)
		}
	default:
		out.bytes(tensorRaw, c.raw)
	}
	return out
}
