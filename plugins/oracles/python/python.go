// Package python is an oracle that asks anything callable in Python: a function, a scikit-learn estimator, a PyTorch module.
//
// It starts a Python of the user's choice with a program that it carries along, so that this Python needs nothing of
// nnid's: only NumPy and whatever the model is made of. The program and this package talk as docs/backends.md describes for
// the oracle "exec", in binary, after a greeting.
package python

import (
	"context"
	"os"
	"strconv"
	"sync"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/plugins/oracles/internal/program"
	"github.com/nnid/nnid/sdk/python"
)

// Factory makes the oracle "python".
var Factory = core.OracleFactory{
	Component: core.Component{
		Name:    "python",
		Summary: "asks a Python function, a scikit-learn estimator or a PyTorch module",
		Options: []core.Option{
			{Name: "call", Usage: "MODULE:NAME, FILE.py:NAME, FILE.joblib, FILE.pkl, FILE.pt or FILE.pt2; its code runs with your rights", Required: true},
			{Name: "method", Usage: "method that answers, such as predict_proba; predict, or else a plain call, when empty"},
			{Name: "inputs", Usage: "d, where the model does not say; 0 leaves it to the model or to --inputs", Default: "0"},
			{Name: "python", Usage: "the Python to run, one that has NumPy and what the model needs", Default: "python3"},
			{Name: "timeout", Usage: "longest time for the answer to one batch, such as 30s", Default: "60s"},
			{Name: "start-timeout", Usage: "longest time to load the model", Default: "120s"},
			{Name: "max-batch", Usage: "most rows of a query; 0 is no limit", Default: "0"},
			{Name: "processes", Usage: "copies of the model that answer at the same time, 1 to 256", Default: "1"},
		},
	},
	Open: open,
}

// The program travels in a variable of the environment: a file could be left behind, and an argument is in every listing of
// processes.
const (
	variable = "NNID_PYTHON_MODEL"
	loader   = "import os; exec(compile(os.environ.pop('" + variable + "'), 'nnid_model.py', 'exec'))"
)

type oracle struct {
	pool     *program.Pool
	maxBatch int

	mu   sync.Mutex
	info *core.OracleInfo
}

func open(options core.Options) (core.Oracle, error) {
	o := &oracle{}
	inputs, err := options.Int("inputs", 0)
	if err != nil {
		return nil, err
	}
	if o.maxBatch, err = options.Int("max-batch", 0); err != nil {
		return nil, err
	}
	processes, err := options.Int("processes", 1)
	if err != nil {
		return nil, err
	}
	if processes > 256 {
		return nil, fault.New(fault.Usage, "option processes=%d must be at most 256", processes)
	}
	var durations [2]time.Duration
	for i, name := range []string{"timeout", "start-timeout"} {
		if durations[i], err = time.ParseDuration(options[name]); err != nil || durations[i] <= 0 {
			return nil, fault.New(fault.Usage, "option %s=%q must be a duration such as 30s", name, options[name])
		}
	}
	if options["call"] == "" {
		return nil, fault.New(fault.Usage, "option call is empty; it is MODULE:NAME, FILE.py:NAME or the file of a model")
	}
	o.pool, err = program.NewPool(program.Settings{
		Args:   []string{options["python"], "-u", "-c", loader, options["call"], options["method"], strconv.Itoa(inputs)},
		Name:   "the Python model " + strconv.Quote(options["call"]),
		Env:    append(os.Environ(), variable+"="+python.Model),
		Format: program.Binary, Greets: true, Start: durations[1], Timeout: durations[0],
	}, processes)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Info starts the model and asks what it says of itself.
func (o *oracle) Info(ctx context.Context) (core.OracleInfo, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.info != nil {
		return *o.info, ctx.Err()
	}
	g, err := o.pool.Greeting(ctx)
	if err != nil {
		return core.OracleInfo{}, err
	}
	// outputs stays unknown: it would cost a query.
	o.info = &core.OracleInfo{Inputs: g.Inputs, DType: core.DType(g.DType), MaxBatch: o.maxBatch, Model: g.Model}
	return *o.info, nil
}

// Query implements [core.Oracle].
func (o *oracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if x == nil || x.IsEmpty() {
		return &mat.Dense{}, nil
	}
	info, err := o.Info(ctx)
	if err != nil {
		return nil, err
	}
	if err := program.CheckQuery(x, info); err != nil {
		return nil, err
	}
	return o.pool.Ask(ctx, x)
}

// Close implements [core.Oracle].
func (o *oracle) Close() error { return o.pool.Close() }
