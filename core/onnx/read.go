package onnx

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nnid/nnid/core/fault"
)

const (
	// LargestFile bounds the bytes that are read for a model. A layer of 8,192 x 8,192 weights in float64 has as many.
	LargestFile = 1 << 29
	// largestCount bounds nodes, constants and attributes, each, whose structures take more memory than the bytes of the file
	// that ask for them.
	largestCount = 1 << 16
	largestRank  = 16
)

// ReadFile reads a model, and the files beside it that hold its constants, if it says so; these must be in the model's folder or
// below it. Errors are usage faults that name the file.
func ReadFile(path string) (*Model, error) {
	data, err := readLimited(func() (*os.File, error) { return os.Open(path) }, 0, -1)
	if err != nil {
		return nil, fault.New(fault.Usage, "ONNX file %s cannot be read: %w", path, err)
	}
	m, err := Read(data)
	if err != nil {
		return nil, fault.New(fault.Usage, "ONNX file %s: %w", path, err)
	}
	total := int64(len(data))
	for _, c := range m.constants() {
		if c.external == nil {
			continue
		}
		if err := c.load(filepath.Dir(path), &total); err != nil {
			return nil, fault.New(fault.Usage, "ONNX file %s: the constant %q: %w", path, c.Name, err)
		}
	}
	return m, nil
}

// constants are all tensors of the model.
func (m *Model) constants() []*Constant {
	var all []*Constant
	for i := range m.Graph.Initializers {
		all = append(all, &m.Graph.Initializers[i])
	}
	for i := range m.Graph.Nodes {
		for k := range m.Graph.Nodes[i].Attributes {
			if a := &m.Graph.Nodes[i].Attributes[k]; a.Type == AttributeTensor {
				all = append(all, &a.Tensor)
			}
		}
	}
	return all
}

// load reads the data of a constant from the file that holds it. total is what the model has taken so far.
func (c *Constant) load(folder string, total *int64) error {
	// A root keeps a file of unknown origin from naming files elsewhere, links included.
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	location := c.external["location"]
	var offset, length int64 = 0, -1
	for key, to := range map[string]*int64{"offset": &offset, "length": &length} {
		if text := c.external[key]; text != "" {
			if *to, err = strconv.ParseInt(text, 10, 64); err != nil || *to < 0 {
				return fault.New(fault.Usage, "the %s of its data, %q, is no number of bytes", key, text)
			}
		}
	}
	if length > LargestFile-*total {
		return fault.New(fault.Usage, "the model has more than %d bytes, the most that is read", LargestFile)
	}
	data, err := readLimited(func() (*os.File, error) { return root.Open(location) }, offset, length)
	if err != nil {
		return fault.New(fault.Usage, "its data, in the file %q beside the model, cannot be read: %w", location, err)
	}
	if *total += int64(len(data)); *total > LargestFile {
		return fault.New(fault.Usage, "the model has more than %d bytes, the most that is read", LargestFile)
	}
	c.raw, c.external = data, nil
	return nil
}

// readLimited reads length bytes from offset on, or to the end where length is negative.
func readLimited(open func() (*os.File, error), offset, length int64) ([]byte, error) {
	file, err := open()
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil { // without the path, which the caller names
			err = cause
		}
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case offset > info.Size():
		return nil, errCut
	}
	if length < 0 {
		length = info.Size() - offset
	}
	switch {
	case length > info.Size()-offset:
		return nil, errCut
	case length > LargestFile:
		return nil, fmt.Errorf("it has %d bytes; %d is the most that is read", length, LargestFile)
	}
	data := make([]byte, length)
	_, err = file.ReadAt(data, offset)
	if err == io.EOF && length == 0 {
		err = nil
	}
	return data, err
}

// Read decodes a model from the bytes of a file, which it keeps. Constants in files of their own stay unread.
func Read(data []byte) (*Model, error) {
	if len(data) > LargestFile {
		return nil, fault.New(fault.Usage, "the model has %d bytes; %d is the most that is read", len(data), LargestFile)
	}
	d := &decoder{}
	m := &Model{Opsets: map[string]int64{}}
	graphs := 0
	var version string
	err := eachField(data, func(f field) error {
		switch f.id {
		case modelIRVersion:
			return f.integer(&m.IRVersion)
		case modelProducer:
			return f.text(&m.Producer)
		case modelProducerVersion:
			return f.text(&version)
		case modelGraph:
			graphs++
			return d.graph(f, &m.Graph)
		case modelOpset:
			var domain string
			var number int64
			err := d.message(f, func(f field) error {
				switch f.id {
				case opsetDomain:
					return f.text(&domain)
				case opsetVersion:
					return f.integer(&number)
				}
				return nil
			})
			m.Opsets[plainDomain(domain)] = number
			return err
		case modelFunction:
			var name, domain string
			err := d.message(f, func(f field) error {
				switch f.id {
				case functionName:
					return f.text(&name)
				case functionDomain:
					return f.text(&domain)
				}
				return nil
			})
			m.Functions = append(m.Functions, plainDomain(domain)+"."+name)
			return err
		}
		return nil
	})
	if err == nil && (graphs != 1 || m.IRVersion == 0 || len(m.Opsets) == 0) {
		err = errors.New("it has no graph, no version, or two of them")
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "this is no ONNX model: %w", err)
	}
	m.Producer = strings.TrimSpace(m.Producer + " " + version)
	m.Graph.dropInitialized()
	return m, nil
}

// dropInitialized removes the inputs that have an initializer: in old files every initializer is an input too.
func (g *Graph) dropInitialized() {
	initialized := map[string]bool{}
	for _, c := range g.Initializers {
		initialized[c.Name] = true
	}
	var inputs []Value
	for _, v := range g.Inputs {
		if !initialized[v.Name] {
			inputs = append(inputs, v)
		}
	}
	g.Inputs = inputs
}

func plainDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// decoder decodes messages and counts what takes more memory than it has bytes.
type decoder struct{ count int }

func (d *decoder) message(f field, do func(field) error) error {
	if err := f.need(wireBytes); err != nil {
		return err
	}
	if d.count++; d.count > largestCount {
		return fault.New(fault.Usage, "it has more than %d nodes, constants and attributes, too many for a dense network", largestCount)
	}
	return eachField(f.bytes, do)
}

func (d *decoder) graph(f field, g *Graph) error {
	return d.message(f, func(f field) error {
		switch f.id {
		case graphNode:
			n, err := d.node(f)
			g.Nodes = append(g.Nodes, n)
			return err
		case graphName:
			return f.text(&g.Name)
		case graphInitializer:
			c, err := d.constant(f)
			g.Initializers = append(g.Initializers, c)
			return err
		case graphSparse:
			c := Constant{sparse: true}
			err := d.message(f, func(f field) error {
				if f.id != sparseValues {
					return nil
				}
				values, err := d.constant(f)
				c.Name = values.Name
				return err
			})
			g.Initializers = append(g.Initializers, c)
			return err
		case graphInput:
			v, err := d.value(f)
			g.Inputs = append(g.Inputs, v)
			return err
		case graphOutput:
			v, err := d.value(f)
			g.Outputs = append(g.Outputs, v)
			return err
		}
		return nil
	})
}

func (d *decoder) node(f field) (Node, error) {
	var n Node
	err := d.message(f, func(f field) error {
		switch f.id {
		case nodeInput, nodeOutput:
			var name string
			err := f.text(&name)
			if f.id == nodeInput {
				n.Inputs = append(n.Inputs, name)
			} else {
				n.Outputs = append(n.Outputs, name)
			}
			return err
		case nodeName:
			return f.text(&n.Name)
		case nodeOp:
			return f.text(&n.Op)
		case nodeDomain:
			err := f.text(&n.Domain)
			n.Domain = plainDomain(n.Domain)
			return err
		case nodeAttribute:
			a, err := d.attribute(f)
			n.Attributes = append(n.Attributes, a)
			return err
		}
		return nil
	})
	return n, err
}

func (d *decoder) attribute(f field) (Attribute, error) {
	var a Attribute
	err := d.message(f, func(f field) error {
		switch f.id {
		case attributeName:
			return f.text(&a.Name)
		case attributeType:
			return f.integer((*int64)(&a.Type))
		case attributeF:
			a.Float = float64(math.Float32frombits(uint32(f.number)))
			return f.need(wireFixed32)
		case attributeI:
			return f.integer(&a.Int)
		case attributeS:
			return f.text(&a.Text)
		case attributeT:
			var err error
			a.Tensor, err = d.constant(f)
			return err
		case attributeFloats:
			return f.float32s(&a.Floats)
		case attributeInts:
			return f.integers(&a.Ints)
		}
		return nil
	})
	return a, err
}

func (d *decoder) value(f field) (Value, error) {
	var v Value
	err := d.message(f, func(f field) error {
		switch f.id {
		case valueName:
			return f.text(&v.Name)
		case valueType:
			return d.message(f, func(f field) error {
				if f.id != typeTensor {
					return nil // a sequence or a map: its element type stays unknown
				}
				return d.message(f, func(f field) error {
					switch f.id {
					case tensorTypeElement:
						return f.integer((*int64)(&v.Element))
					case tensorTypeShape:
						v.Ranked = true
						return d.message(f, func(f field) error {
							if f.id != shapeDimension {
								return nil
							}
							size := int64(-1)
							err := d.message(f, func(f field) error {
								if f.id == dimensionValue {
									return f.integer(&size)
								}
								return nil
							})
							if size < 0 || size > math.MaxInt32 {
								size = -1
							}
							v.Shape = append(v.Shape, int(size))
							return err
						})
					}
					return nil
				})
			})
		}
		return nil
	})
	return v, err
}

func (d *decoder) constant(f field) (Constant, error) {
	var c Constant
	var location int64
	var external map[string]string
	err := d.message(f, func(f field) error {
		switch f.id {
		case tensorDims:
			return f.integers(&c.Shape)
		case tensorElement:
			return f.integer((*int64)(&c.Element))
		case tensorFloats:
			return f.float32s(&c.floats)
		case tensorDoubles:
			return f.float64s(&c.floats)
		case tensorInt32s, tensorInt64s, tensorUint64s:
			return f.integers(&c.ints)
		case tensorName:
			return f.text(&c.Name)
		case tensorRaw:
			c.raw = f.bytes
			return f.need(wireBytes)
		case tensorLocation:
			return f.integer(&location)
		case tensorExternal:
			var key, value string
			err := d.message(f, func(f field) error {
				switch f.id {
				case entryKey:
					return f.text(&key)
				case entryValue:
					return f.text(&value)
				}
				return nil
			})
			if external == nil {
				external = map[string]string{}
			}
			external[key] = value
			return err
		}
		return nil
	})
	if location == locationExternal {
		if c.external = external; external == nil {
			err = fault.New(fault.Usage, "the constant %q does not say which file its data is in", c.Name)
		}
	}
	return c, err
}

// ReadTensor decodes a tensor that is a file of its own, as those of test data are (.pb).
func ReadTensor(data []byte) (*Tensor, error) {
	c, err := (&decoder{}).constant(field{wire: wireBytes, bytes: data})
	if err != nil {
		return nil, fault.New(fault.Usage, "this is no ONNX tensor: %w", err)
	}
	return c.Tensor()
}
