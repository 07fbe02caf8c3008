// Package network is an oracle that evaluates a network file, for trials and comparisons: with single precision,
// rounded answers, noise and latency it stands in for servers that have them, and with faults for servers that lie.
package network

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	model "github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/plugins/activations"
)

// Factory makes the oracle "network".
var Factory = core.OracleFactory{
	Component: core.Component{
		Name:    "network",
		Summary: "evaluates a network file (nnid/network/v1) in this machine",
		Options: append([]core.Option{
			{Name: "file", Usage: "path of the network file", Required: true},
			{Name: "dtype", Usage: "arithmetic: FP64, or FP32, which rounds the inputs too", Default: "FP64"},
			{Name: "digits", Usage: "significant decimal digits of the answers, 1 to 17; 0 does not round", Default: "0"},
			{Name: "noise", Usage: "standard deviation of Gaussian noise added to the answers", Default: "0"},
			{Name: "seed", Usage: "seed of the noise; the noise of a row depends on the seed and the row alone", Default: "0"},
			{Name: "latency", Usage: "time that every query takes at least, such as 20ms", Default: "0s"},
			{Name: "max-batch", Usage: "most rows of a query; 0 is no limit", Default: "0"},
		}, faultOptions...),
	},
	Open: open,
}

type oracle struct {
	network *model.Network
	g, h    core.Activation
	info    core.OracleInfo
	single  bool
	digits  int
	noise   float64
	seed    uint64
	latency time.Duration
	faults  faults
}

func open(options core.Options) (core.Oracle, error) {
	o := &oracle{}
	var err error
	switch core.DType(options["dtype"]) {
	case core.FP64:
	case core.FP32:
		o.single = true
	default:
		return nil, fault.New(fault.Usage, "option dtype=%q must be FP64 or FP32", options["dtype"])
	}
	if o.digits, err = options.Int("digits", 0); err != nil {
		return nil, err
	}
	if o.digits > 17 {
		return nil, fault.New(fault.Usage, "option digits=%d must be at most 17, which is all that a float64 has", o.digits)
	}
	if o.noise, err = options.Float("noise", 0, math.MaxFloat64); err != nil {
		return nil, err
	}
	if o.seed, err = strconv.ParseUint(options["seed"], 10, 64); err != nil {
		return nil, fault.New(fault.Usage, "option seed=%q must be a whole number of at least 0", options["seed"])
	}
	if o.latency, err = time.ParseDuration(options["latency"]); err != nil || o.latency < 0 {
		return nil, fault.New(fault.Usage, "option latency=%q must be a duration such as 20ms", options["latency"])
	}
	if err := o.faults.open(options, o.seed); err != nil {
		return nil, err
	}
	maxBatch, err := options.Int("max-batch", 0)
	if err != nil {
		return nil, err
	}

	path := options["file"]
	content, err := os.ReadFile(path)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil { // without the path, which is named here already
			err = cause
		}
		return nil, fault.New(fault.Usage, "network file %s cannot be read: %w", path, err)
	}
	if o.network, err = model.Read(bytes.NewReader(content)); err != nil {
		return nil, fault.New(fault.Usage, "network file %s: %w", path, err)
	}
	if o.g, err = activation(path, o.network.First.Activation); err != nil {
		return nil, err
	}
	if o.h, err = activation(path, o.network.Second.Activation); err != nil {
		return nil, err
	}
	if o.single {
		roundNetwork(o.network)
		if err := o.network.Check(); err != nil {
			return nil, fault.New(fault.Usage, "network file %s does not fit into FP32: %w", path, err)
		}
	}
	sum := sha256.Sum256(content)
	o.info = core.OracleInfo{
		Inputs: o.network.Inputs(), Outputs: 1, DType: core.DType(options["dtype"]), MaxBatch: maxBatch,
		Model: "sha256:" + hex.EncodeToString(sum[:]),
	}
	// What changes the answers makes another model.
	for _, name := range []string{"dtype", "digits", "noise"} {
		if value := options[name]; value != "0" && value != "FP64" {
			o.info.Model += fmt.Sprintf(" %s=%s", name, value)
		}
	}
	o.info.Model += o.faults.identity(options)
	if o.noise > 0 {
		o.info.Model += fmt.Sprintf(" seed=%d", o.seed)
	}
	return o, nil
}

func activation(path, text string) (core.Activation, error) {
	name, options, err := core.ParseNamed(text)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, factory := range activations.All() {
		if factory.Name == name {
			resolved, err := factory.Resolve(core.KindActivation, options)
			if err != nil {
				return nil, fault.New(fault.Usage, "network file %s: %w", path, err)
			}
			return factory.Open(resolved)
		}
		known = append(known, factory.Name)
	}
	return nil, fault.New(fault.Usage, "network file %s has the activation %q, which is not built in; there are: %s", path, name, strings.Join(known, ", "))
}

func (o *oracle) Info(ctx context.Context) (core.OracleInfo, error) { return o.info, ctx.Err() }

func (o *oracle) Close() error { return nil }

func (o *oracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if x == nil || x.IsEmpty() {
		return &mat.Dense{}, nil
	}
	rows, columns := x.Dims()
	if columns != o.info.Inputs {
		return nil, fault.New(fault.Usage, "the network has %d inputs but the query has %d columns", o.info.Inputs, columns)
	}
	if o.info.MaxBatch > 0 && rows > o.info.MaxBatch {
		return nil, fault.New(fault.Usage, "the query has %d rows; max-batch is %d", rows, o.info.MaxBatch)
	}
	if err := o.faults.before(ctx, o.latency, rows); err != nil {
		return nil, err
	}
	y := mat.NewDense(rows, 1, nil)
	// Blocks bound the memory and the time to a cancellation.
	const block = 1024
	for from := 0; from < rows; from += block {
		to := min(from+block, rows)
		if err := o.evaluate(ctx, y.Slice(from, to, 0, 1).(*mat.Dense), x.Slice(from, to, 0, columns).(*mat.Dense)); err != nil {
			return nil, err
		}
	}
	o.faults.after(y.RawMatrix().Data)
	return y, nil
}

// evaluate sets y to f at the rows of x. The rows are evaluated one by one, so that an answer does not depend on the
// batch to the last bit, as a blocked matrix product would.
func (o *oracle) evaluate(ctx context.Context, y, x *mat.Dense) error {
	rows, _ := x.Dims()
	z := x
	if o.single || o.faults.clip > 0 {
		z = mat.DenseCopyOf(x)
	}
	if o.single {
		round(z.RawMatrix().Data)
	}
	if o.faults.clip > 0 {
		o.faults.cut(z.RawMatrix().Data)
	}
	for _, layer := range []struct {
		model.Layer
		activation core.Activation
	}{{o.network.First, o.g}, {o.network.Second, o.h}} {
		neurons := layer.Neurons()
		next := mat.NewDense(rows, neurons, nil)
		for i := range rows {
			in, out := z.RawRowView(i), next.RawRowView(i)
			for j := range out {
				out[j] = o.affine(layer.Bias[j], layer.Weight.RawRowView(j), in)
			}
		}
		data := next.RawMatrix().Data
		values, err := layer.activation.Derivative(ctx, 0, data)
		if err != nil {
			return err
		}
		copy(data, values)
		if o.single {
			round(data)
		}
		z = next
	}
	for i := range rows {
		v := o.affine(o.network.OutputBias, o.network.Output, z.RawRowView(i))
		if o.noise > 0 {
			v += o.noise * gaussian(o.seed, x.RawRowView(i))
		}
		if o.single {
			v = float64(float32(v))
		}
		if o.digits > 0 {
			// Through the decimal text, which is what a server that prints so many digits does.
			v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'e', o.digits-1, 64), 64)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fault.New(fault.Oracle, "the network's value at %v is %g: the query is not finite or the network overflows there", x.RawRowView(i), v)
		}
		y.Set(i, 0, v)
	}
	return nil
}

// affine is bias + w.x in the oracle's arithmetic.
func (o *oracle) affine(bias float64, w, x []float64) float64 {
	if o.single {
		sum := float32(bias)
		for k, v := range w {
			sum += float32(float32(v) * float32(x[k])) // the conversion forbids a fused multiply-add
		}
		return float64(sum)
	}
	sum := 0.0
	for k, v := range w {
		sum += v * x[k]
	}
	return sum + bias
}

func round(values []float64) {
	for i, v := range values {
		values[i] = float64(float32(v))
	}
}

func roundNetwork(n *model.Network) {
	for _, values := range [][]float64{
		n.First.Weight.RawMatrix().Data, n.First.Bias, n.Second.Weight.RawMatrix().Data, n.Second.Bias, n.Output,
	} {
		round(values)
	}
	n.OutputBias = float64(float32(n.OutputBias))
}
