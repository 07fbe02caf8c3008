package plugintest

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
)

// sumOracle conforms: f(x) = (x1 + 2 x2, x1 x2). Its fields break one rule each.
type sumOracle struct {
	info  func() (core.OracleInfo, error)
	query func(ctx context.Context, x *mat.Dense) (y *mat.Dense, err error, done bool)
	// end answers after the context's end, width takes more columns, empty refuses queries without rows.
	end, width, empty bool
}

func sumInfo() core.OracleInfo {
	return core.OracleInfo{Inputs: 2, Outputs: 2, DType: core.FP64, Model: "sum"}
}

func (o sumOracle) Info(context.Context) (core.OracleInfo, error) {
	if o.info != nil {
		return o.info()
	}
	return sumInfo(), nil
}

func (o sumOracle) Close() error { return nil }

func sum(x *mat.Dense) *mat.Dense {
	rows, _ := x.Dims()
	y := mat.NewDense(rows, 2, nil)
	for i := range rows {
		y.Set(i, 0, x.At(i, 0)+2*x.At(i, 1))
		y.Set(i, 1, x.At(i, 0)*x.At(i, 1))
	}
	return y
}

func (o sumOracle) Query(ctx context.Context, x *mat.Dense) (*mat.Dense, error) {
	if err := ctx.Err(); err != nil && !o.end {
		return nil, err
	}
	if x.IsEmpty() {
		if o.empty {
			return nil, errors.New("no rows")
		}
		return &mat.Dense{}, nil
	}
	if o.query != nil {
		if y, err, done := o.query(ctx, x); done {
			return y, err
		}
	}
	if _, columns := x.Dims(); columns != 2 {
		if !o.width || columns < 2 {
			return nil, errors.New("two columns are needed")
		}
	}
	return sum(x), nil
}

func valid(x *mat.Dense) bool { _, columns := x.Dims(); return columns == 2 }

func TestOracleConforms(t *testing.T) {
	if err := CheckOracle(t.Context(), sumOracle{}, 0); err != nil {
		t.Error(err)
	}
	silent := sumOracle{info: func() (core.OracleInfo, error) { return core.OracleInfo{Model: "sum"}, nil }}
	if err := CheckOracle(t.Context(), silent, 2); err != nil {
		t.Error(err)
	}
}

// TestOracleChecksCanFail shows of every check that it finds what it is there for.
func TestOracleChecksCanFail(t *testing.T) {
	var calls, running atomic.Int64
	info := func(change func(*core.OracleInfo)) sumOracle {
		return sumOracle{info: func() (core.OracleInfo, error) { i := sumInfo(); change(&i); return i, nil }}
	}
	query := func(answer func(x *mat.Dense) (*mat.Dense, error)) sumOracle {
		return sumOracle{query: func(_ context.Context, x *mat.Dense) (*mat.Dense, error, bool) {
			if !valid(x) {
				return nil, nil, false
			}
			y, err := answer(x)
			return y, err, true
		}}
	}
	cases := []struct {
		rule, says string
		inputs     int
		oracle     core.Oracle
	}{
		{"info", "unreachable", 0, sumOracle{info: func() (core.OracleInfo, error) { return core.OracleInfo{}, errors.New("unreachable") }}},
		{"info", "must not change", 0, info(func(i *core.OracleInfo) { i.MaxBatch = int(calls.Add(1)) })},
		{"info", "not known is 0", 0, info(func(i *core.OracleInfo) { i.Outputs = -1 })},
		{"info", "dtype", 0, info(func(i *core.OracleInfo) { i.DType = "BF16" })},
		{"info", "Model is empty", 0, info(func(i *core.OracleInfo) { i.Model = "" })},
		{"info", "does not say", 0, info(func(i *core.OracleInfo) { i.Inputs = 0 })},
		{"info", "has 2 inputs, but 3", 3, sumOracle{}},
		{"empty query", "fails", 0, sumOracle{empty: true}},
		{"shape", "2 x 1", 0, query(func(x *mat.Dense) (*mat.Dense, error) { return mat.DenseCopyOf(sum(x).T()), nil })},
		{"shape", "answered by nothing", 0, query(func(*mat.Dense) (*mat.Dense, error) { return nil, nil })},
		{"shape", "is NaN", 0, query(func(x *mat.Dense) (*mat.Dense, error) {
			y := sum(x)
			y.Set(0, 1, math.NaN())
			return y, nil
		})},
		{"input unchanged", "must not be changed", 0, query(func(x *mat.Dense) (*mat.Dense, error) {
			y := sum(x)
			x.Copy(y)
			return y, nil
		})},
		{"input unchanged", "stride", 0, query(func(x *mat.Dense) (*mat.Dense, error) { // reads the raw data
			rows, columns := x.Dims()
			return sum(mat.NewDense(rows, columns, x.RawMatrix().Data[:rows*columns])), nil
		})},
		{"deterministic", "repeated", 0, query(func(x *mat.Dense) (*mat.Dense, error) {
			y := sum(x)
			y.Set(0, 0, y.At(0, 0)+1e-15*float64(calls.Add(1)))
			return y, nil
		})},
		{"batches", "depend on each other", 0, query(func(x *mat.Dense) (*mat.Dense, error) { // rows in reverse
			y := sum(x)
			rows, _ := y.Dims()
			turned := mat.NewDense(rows, 2, nil)
			for i := range rows {
				turned.SetRow(rows-1-i, y.RawRowView(i))
			}
			return turned, nil
		})},
		{"wrong width", "3 columns", 0, sumOracle{width: true}},
		{"concurrency", "busy", 0, query(func(x *mat.Dense) (*mat.Dense, error) {
			defer running.Add(-1)
			if running.Add(1) > 1 {
				return nil, errors.New("busy")
			}
			for range 3000000 {
				running.Load()
			}
			return sum(x), nil
		})},
		{"concurrency", "differs", 0, query(func(x *mat.Dense) (*mat.Dense, error) { // a buffer shared between calls
			y := sum(x)
			if n := running.Add(1); n > 1 {
				y.Scale(2, y)
			}
			for range 3000000 {
				running.Load()
			}
			running.Add(-1)
			return y, nil
		})},
		{"cancellation", "has ended", 0, sumOracle{end: true}},
	}
	found := map[string]bool{}
	for _, c := range cases {
		t.Run(c.rule+" "+c.says, func(t *testing.T) {
			err := CheckOracle(t.Context(), c.oracle, c.inputs)
			if err == nil {
				t.Fatal("the suite passes it")
			}
			for line := range strings.Lines(err.Error()) {
				if strings.HasPrefix(line, c.rule+": ") && strings.Contains(line, c.says) {
					found[c.rule] = true
					return
				}
			}
			t.Errorf("no line with %q and %q in:\n%v", c.rule, c.says, err)
		})
	}
	for _, rule := range OracleChecks() {
		if !found[rule] {
			t.Errorf("no broken oracle shows that the check %q can fail", rule)
		}
	}
}

func TestOracleChecksStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := CheckOracle(ctx, sumOracle{}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
