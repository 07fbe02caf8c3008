package files

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/onnx"
)

// The format of safetensors (https://github.com/huggingface/safetensors): the length of a header in 8 bytes, the header, a JSON
// object of tensors by name, and the data, without gaps.

const largestHeader = 1 << 24

// The metadata in which a file written by nnid says its activations: state dicts don't.
const metaFirst, metaSecond = "nnid.activation.first", "nnid.activation.second"

// stored is a tensor as the header has it.
type stored struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

// widths are the bytes of an element of the types that are read; the file may hold others beside the weights.
var widths = map[string]int{"F64": 8, "F32": 4, "F16": 2, "BF16": 2}

// tensors reads the header and checks that every tensor lies within the data. meta is what else a header may hold, texts.
func tensors(data []byte) (all map[string]stored, meta map[string]string, content []byte, err error) {
	if len(data) < 8 {
		return nil, nil, nil, fault.New(fault.Usage, "this is no safetensors file: it is cut short")
	}
	length, rest := binary.LittleEndian.Uint64(data), data[8:]
	if length > largestHeader || length > uint64(len(rest)) {
		return nil, nil, nil, fault.New(fault.Usage, "this is no safetensors file, or it is cut short: its header would have %d bytes", length)
	}
	content, all = rest[length:], map[string]stored{}
	decoder := json.NewDecoder(bytes.NewReader(rest[:length]))
	err = eachMember(decoder, func(name string) error {
		if name == "__metadata__" {
			return decoder.Decode(&meta)
		}
		if _, twice := all[name]; twice {
			return fmt.Errorf("the tensor %q is there twice", name)
		}
		var t stored
		if err := decoder.Decode(&t); err != nil {
			return err
		}
		if len(t.Offsets) != 2 || t.Offsets[0] < 0 || t.Offsets[1] < t.Offsets[0] || t.Offsets[1] > int64(len(content)) {
			return fmt.Errorf("the tensor %q is at %v of %d bytes of data: the file is cut short", name, t.Offsets, len(content))
		}
		all[name] = t
		return nil
	})
	if err != nil {
		return nil, nil, nil, fault.New(fault.Usage, "this is no safetensors file: %w", err)
	}
	return all, meta, content, nil
}

// eachMember calls value for every member of a JSON object, which value decodes.
func eachMember(decoder *json.Decoder, value func(name string) error) error {
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return errors.New("its header is no JSON object")
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return errors.New("its header is no JSON object")
		}
		if err := value(name); err != nil {
			return err
		}
	}
	_, err := decoder.Token()
	return err
}

// values decodes a tensor.
func (t stored) values(name string, content []byte) ([]float64, error) {
	width, ok := widths[t.DType]
	if !ok {
		return nil, fault.New(fault.Usage, "the tensor %q is of type %s; F64, F32, F16 and BF16 are read", name, t.DType)
	}
	raw := content[t.Offsets[0]:t.Offsets[1]]
	entries := int64(1)
	for _, n := range t.Shape {
		if n < 1 || entries > int64(len(raw))/n {
			return nil, fault.New(fault.Usage, "the tensor %q has shape %v but %d bytes", name, t.Shape, len(raw))
		}
		entries *= n
	}
	if entries*int64(width) != int64(len(raw)) {
		return nil, fault.New(fault.Usage, "the tensor %q of type %s has shape %v but %d bytes", name, t.DType, t.Shape, len(raw))
	}
	out := make([]float64, entries)
	for i := range out {
		b := raw[i*width:]
		switch t.DType {
		case "F64":
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		case "F32":
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case "BF16":
			out[i] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
		case "F16":
			out[i] = onnx.Half(binary.LittleEndian.Uint16(b))
		}
	}
	return out, nil
}

// readSafetensors reads the state dict of three linear layers, as PyTorch names it: NAME.weight of one row for each neuron and
// NAME.bias, which may be missing.
func readSafetensors(path string, s Settings) (*network.Network, error) {
	file, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, fault.New(fault.Usage, "it cannot be read: %w", err)
	}
	return parseSafetensors(data, s)
}

func parseSafetensors(data []byte, s Settings) (*network.Network, error) {
	all, meta, content, err := tensors(data)
	if err != nil {
		return nil, err
	}
	if s.First == "" && s.Second == "" {
		s.First, s.Second = meta[metaFirst], meta[metaSecond]
	}
	found, err := linearLayers(all, content, s.Layers)
	if err != nil {
		return nil, err
	}
	ordered, err := order(found, s.Layers)
	if err != nil {
		return nil, err
	}
	return assemble(ordered, s.First, s.Second, s.Output)
}

// linearLayers collects the layers named, or all there are.
func linearLayers(all map[string]stored, content []byte, names []string) ([]dense, error) {
	used := map[string]bool{}
	var found []dense
	for _, name := range slices.Sorted(maps.Keys(all)) {
		layer, ok := strings.CutSuffix(name, "weight")
		layer = strings.TrimSuffix(layer, ".")
		if !ok || len(names) > 0 && !slices.Contains(names, layer) {
			continue
		}
		t := all[name]
		if len(t.Shape) != 2 {
			return nil, fault.New(fault.Unsupported, "the tensor %q has shape %v; a linear layer's has 2 dimensions. Fold other layers, such as normalisations, into linear ones first, or name the three layers meant with --layers", name, t.Shape)
		}
		weights, err := t.values(name, content)
		if err != nil {
			return nil, err
		}
		d := dense{name: layer, weight: mat.NewDense(int(t.Shape[0]), int(t.Shape[1]), weights), bias: make([]float64, t.Shape[0])}
		bias := strings.TrimSuffix(name, "weight") + "bias"
		if b, ok := all[bias]; ok {
			if d.bias, err = b.values(bias, content); err != nil {
				return nil, err
			}
			if len(b.Shape) != 1 || len(d.bias) != d.neurons() {
				return nil, fault.New(fault.Usage, "the tensor %q has shape %v, but %q has %d rows", bias, b.Shape, name, d.neurons())
			}
		}
		used[name], used[bias] = true, true
		found = append(found, d)
	}
	if len(names) == 0 {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if !used[name] {
				return nil, fault.New(fault.Unsupported, "the tensor %q is neither the weight nor the bias of a linear layer; name the three layers meant with --layers", name)
			}
		}
	}
	return found, nil
}

var digits = regexp.MustCompile("[0-9]+")

// order finds out which layer is which: as named, by numbers in the names, or because they fit in one order only.
func order(found []dense, names []string) ([3]dense, error) {
	list := make([]string, len(found))
	for i, d := range found {
		list[i] = fmt.Sprintf("%s (%d to %d)", d.name, d.inputs(), d.neurons())
	}
	text := strings.Join(list, ", ")
	switch {
	case len(names) > 0 && len(names) != 3:
		return [3]dense{}, fault.New(fault.Usage, "--layers names %d layers; a network of two hidden layers has 3", len(names))
	case len(found) != 3 && len(names) > 0:
		return [3]dense{}, fault.New(fault.Usage, "of the layers %s the file has: %s", strings.Join(names, ", "), text)
	case len(found) != 3:
		return [3]dense{}, fault.New(fault.Unsupported, "the file has %d linear layers (%s); a network of two hidden layers has 3. Name those meant with --layers", len(found), text)
	}
	fits := func(layers [3]dense) bool {
		return layers[1].inputs() == layers[0].neurons() && layers[2].inputs() == layers[1].neurons()
	}
	pattern := func(d dense) string { return digits.ReplaceAllString(d.name, "#") }
	if len(names) > 0 || pattern(found[0]) == pattern(found[1]) && pattern(found[1]) == pattern(found[2]) {
		if len(names) > 0 {
			slices.SortFunc(found, func(a, b dense) int { return slices.Index(names, a.name) - slices.Index(names, b.name) })
		} else {
			slices.SortStableFunc(found, func(a, b dense) int { return compareNumbers(a.name, b.name) })
		}
		layers := [3]dense(found)
		if !fits(layers) {
			return layers, fault.New(fault.Usage, "the layers do not follow each other in the order of their names: %s", text)
		}
		return layers, nil
	}
	var fitting [][3]dense
	for _, p := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		if layers := [3]dense{found[p[0]], found[p[1]], found[p[2]]}; fits(layers) {
			fitting = append(fitting, layers)
		}
	}
	switch len(fitting) {
	case 0:
		return [3]dense{}, fault.New(fault.Usage, "the layers do not follow each other in any order: %s", text)
	case 1:
		return fitting[0], nil
	}
	return [3]dense{}, fault.New(fault.Usage, "the layers (%s) fit in more than one order; give it with --layers", text)
}

// compareNumbers compares names of one pattern by the numbers in them.
func compareNumbers(a, b string) int {
	as, bs := digits.FindAllString(a, -1), digits.FindAllString(b, -1)
	for k := range min(len(as), len(bs)) {
		x, errX := strconv.ParseUint(as[k], 10, 64)
		y, errY := strconv.ParseUint(bs[k], 10, 64)
		switch {
		case errX != nil || errY != nil || x == y:
		case x < y:
			return -1
		default:
			return 1
		}
	}
	return strings.Compare(a, b)
}

// writeSafetensors writes a network as the state dict of torch.nn.Sequential(Linear, activation, Linear, activation, Linear).
func writeSafetensors(w io.Writer, n *network.Network) error {
	if err := n.Check(); err != nil {
		return err
	}
	m0, m1 := n.Sizes()
	header, data := map[string]any{}, []byte(nil)
	for _, t := range []struct {
		name   string
		shape  []int
		values []float64
	}{
		{"0.weight", []int{m0, n.Inputs()}, mat.DenseCopyOf(n.First.Weight).RawMatrix().Data}, {"0.bias", []int{m0}, n.First.Bias},
		{"2.weight", []int{m1, m0}, mat.DenseCopyOf(n.Second.Weight).RawMatrix().Data}, {"2.bias", []int{m1}, n.Second.Bias},
		{"4.weight", []int{1, m1}, n.Output}, {"4.bias", []int{1}, []float64{n.OutputBias}},
	} {
		from := len(data)
		for _, v := range t.values {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
		}
		header[t.name] = map[string]any{"dtype": "F64", "shape": t.shape, "data_offsets": []int{from, len(data)}}
	}
	header["__metadata__"] = map[string]string{metaFirst: n.First.Activation, metaSecond: n.Second.Activation}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 { // so that the data is aligned
		text = append(text, ' ')
	}
	_, err = w.Write(slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data))
	return err
}
