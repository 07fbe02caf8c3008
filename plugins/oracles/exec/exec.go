// Package exec is an oracle that asks any program: it writes rows to the program's standard input and reads values from
// its standard output, as lines of text or in binary. docs/backends.md describes both formats.
package exec

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/oracles/internal/program"
)

// Factory makes the oracle "exec".
var Factory = core.OracleFactory{
	Component: core.Component{
		Name:    "exec",
		Summary: "asks any program: rows on its standard input, values on its standard output",
		Options: []core.Option{
			{Name: "command", Usage: "the program and its arguments, in quotes where a word has spaces; no shell sees it", Required: true},
			{Name: "inputs", Usage: "d, the numbers in a row; 0 leaves it to --inputs", Default: "0"},
			{Name: "format", Usage: "lines (a line of decimal numbers a row) or binary (frames of float64)", Default: "lines"},
			{Name: "dtype", Usage: "arithmetic of the model, FP64 or FP32", Default: "FP64"},
			{Name: "timeout", Usage: "longest time for the answer to one batch, such as 30s", Default: "60s"},
			{Name: "max-batch", Usage: "most rows of a query; 0 is no limit", Default: "0"},
			{Name: "processes", Usage: "copies of the program that answer at the same time, 1 to 256", Default: "1"},
			{Name: "model", Usage: "name and version of the model, which set its journal apart; the command and the checksums of the files it names when empty"},
		},
	},
	Open: open,
}

type oracle struct {
	pool *program.Pool
	info core.OracleInfo
}

func open(options core.Options) (core.Oracle, error) {
	o := &oracle{info: core.OracleInfo{Model: options["model"]}}
	args, err := program.Words(options["command"])
	if err != nil {
		return nil, fault.New(fault.Usage, "option command=%q cannot be read: %w", options["command"], err)
	}
	if o.info.Inputs, err = options.Int("inputs", 0); err != nil {
		return nil, err
	}
	if o.info.MaxBatch, err = options.Int("max-batch", 0); err != nil {
		return nil, err
	}
	switch o.info.DType = core.DType(options["dtype"]); o.info.DType {
	case core.FP64, core.FP32:
	default:
		return nil, fault.New(fault.Usage, "option dtype=%q must be FP64 or FP32", options["dtype"])
	}
	timeout, err := time.ParseDuration(options["timeout"])
	if err != nil || timeout <= 0 {
		return nil, fault.New(fault.Usage, "option timeout=%q must be a duration such as 30s", options["timeout"])
	}
	processes, err := options.Int("processes", 1)
	if err != nil {
		return nil, err
	}
	if processes > 256 {
		return nil, fault.New(fault.Usage, "option processes=%d must be at most 256", processes)
	}
	o.pool, err = program.NewPool(program.Settings{Args: args, Format: program.Format(options["format"]), Timeout: timeout}, processes)
	if err != nil {
		return nil, err
	}
	if o.info.Model == "" {
		o.info.Model = identity(args)
	}
	return o, nil
}

// identity is the command with the checksum of every file it names: a script that has changed is another model.
func identity(args []string) string {
	words := make([]string, len(args))
	for i, word := range args {
		words[i] = word
		if sum := checksum(word); sum != "" {
			words[i] += " (sha256 " + sum + ")"
		}
	}
	return strings.Join(words, " ")
}

func checksum(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return ""
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

func (o *oracle) Info(ctx context.Context) (core.OracleInfo, error) { return o.info, ctx.Err() }

func (o *oracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if x == nil || x.IsEmpty() {
		return &mat.Dense{}, nil
	}
	if err := program.CheckQuery(x, o.info); err != nil {
		return nil, err
	}
	return o.pool.Ask(ctx, x)
}

func (o *oracle) Close() error { return o.pool.Close() }
