package plugintest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
)

// An oracleCheck is one rule of the contract of core.Oracle.
type oracleCheck struct {
	name  string
	check func(ctx context.Context, oracle core.Oracle, info core.OracleInfo) error
}

// OracleChecks are the names of the rules that CheckOracle tests, in their order.
func OracleChecks() []string {
	names := []string{"info"}
	for _, c := range oracleChecks {
		names = append(names, c.name)
	}
	return names
}

var oracleChecks = []oracleCheck{
	{"empty query", checkEmptyQuery},
	{"shape", checkAnswerShape},
	{"input unchanged", checkQueryUnchanged},
	{"deterministic", checkDeterministic},
	{"batches", checkRowByRow},
	{"wrong width", checkWidth},
	{"concurrency", checkConcurrentQueries},
	{"cancellation", checkQueryCancellation},
}

// CheckOracle tests an oracle against the contract of [core.Oracle], with a few hundred rows near 0. inputs is d, for
// oracles whose backend does not say; otherwise 0. It returns one joined error of all rules broken, each beginning with
// the rule's name and saying what was expected; nil when the oracle conforms. A backend that adds noise of its own, and
// so answers the same row differently, breaks "deterministic" and "batches". The oracle is not closed.
func CheckOracle(ctx context.Context, oracle core.Oracle, inputs int) error {
	info, err := oracleInfo(ctx, oracle)
	if err != nil {
		return fmt.Errorf("info: %w", err)
	}
	switch {
	case info.Inputs == 0 && inputs <= 0:
		return errors.New("info: the backend does not say how many inputs it has, and no number was given for the check")
	case info.Inputs == 0:
		info.Inputs = inputs
	case inputs > 0 && inputs != info.Inputs:
		return fmt.Errorf("info: the oracle has %d inputs, but %d were given for the check", info.Inputs, inputs)
	}
	var broken []error
	for _, c := range oracleChecks {
		if err := c.check(ctx, oracle, info); err != nil {
			broken = append(broken, fmt.Errorf("%s: %w", c.name, err))
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(append(broken, fmt.Errorf("the checks were cut short: %w", err))...)
		}
	}
	return errors.Join(broken...)
}

func oracleInfo(ctx context.Context, oracle core.Oracle) (core.OracleInfo, error) {
	info, err := oracle.Info(ctx)
	if err != nil {
		return info, err
	}
	again, err := oracle.Info(ctx)
	switch {
	case err != nil:
		return info, fmt.Errorf("the second call of Info fails: %w", err)
	case info != again:
		return info, fmt.Errorf("what Info answers must not change; it was %+v, then %+v", info, again)
	case info.Inputs < 0 || info.Outputs < 0 || info.MaxBatch < 0:
		return info, fmt.Errorf("a number that is not known is 0; Info answers %+v", info)
	case info.DType != "" && info.DType != core.FP64 && info.DType != core.FP32:
		return info, fmt.Errorf("the dtype is %q; it is FP64, FP32, or empty when not known", info.DType)
	case info.Model == "":
		return info, errors.New("the field Model is empty; it must identify the model, so that paid answers of two models are never mixed up")
	}
	return info, nil
}

// queries are rows near 0, the same every time (any seed will do), and exact in single precision.
func queries(rows, columns int) *mat.Dense {
	random := rand.New(rand.NewPCG(6, 28))
	x := mat.NewDense(rows, columns, nil)
	for i := range rows {
		for j := range columns {
			x.Set(i, j, float64(float32(random.NormFloat64()/2)))
		}
	}
	return x
}

func rowsAllowed(info core.OracleInfo, rows int) int {
	if info.MaxBatch > 0 {
		return min(rows, info.MaxBatch)
	}
	return rows
}

// answer asks and checks what every answer must be.
func answer(ctx context.Context, oracle core.Oracle, info core.OracleInfo, x *mat.Dense) (*mat.Dense, error) {
	rows, columns := x.Dims()
	y, err := oracle.Query(ctx, x)
	if err != nil {
		return nil, fmt.Errorf("a query of %d x %d fails: %w", rows, columns, err)
	}
	if y == nil || y.IsEmpty() {
		return nil, fmt.Errorf("a query of %d x %d is answered by nothing", rows, columns)
	}
	r, c := y.Dims()
	if r != rows || info.Outputs > 0 && c != info.Outputs {
		return nil, fmt.Errorf("a query of %d rows is answered by %d x %d values; it must be one row each, with the %d outputs that Info declares (0: any)", rows, r, c, info.Outputs)
	}
	for i := range r {
		for j := range c {
			if v := y.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("output %d of row %d is %g; an oracle that has no number answers an error", j, i, v)
			}
		}
	}
	return y, nil
}

func checkEmptyQuery(ctx context.Context, oracle core.Oracle, _ core.OracleInfo) error {
	y, err := oracle.Query(ctx, &mat.Dense{})
	if err != nil {
		return fmt.Errorf("a query without rows fails; it must be answered by an empty matrix: %w", err)
	}
	if y != nil && !y.IsEmpty() {
		r, c := y.Dims()
		return fmt.Errorf("a query without rows is answered by %d x %d values", r, c)
	}
	return nil
}

func checkAnswerShape(ctx context.Context, oracle core.Oracle, info core.OracleInfo) error {
	columns := 0
	for _, rows := range []int{1, 2, 7, 100} {
		y, err := answer(ctx, oracle, info, queries(rowsAllowed(info, rows), info.Inputs))
		if err != nil {
			return err
		}
		_, c := y.Dims()
		if columns != 0 && c != columns {
			return fmt.Errorf("there are %d outputs with %d rows, and there were %d with fewer rows", c, rows, columns)
		}
		columns = c
	}
	return nil
}

func checkQueryUnchanged(ctx context.Context, oracle core.Oracle, info core.OracleInfo) error {
	rows := rowsAllowed(info, 20)
	x := queries(rows, info.Inputs)
	y, err := answer(ctx, oracle, info, x)
	if err != nil {
		return err
	}
	y.Zero() // an answer that shares the memory of the query shows
	if !mat.Equal(x, queries(rows, info.Inputs)) {
		return errors.New("the query has changed; it must not be changed, nor shared with the answer")
	}
	// A view into a larger matrix has gaps between its rows.
	wide := mat.NewDense(rows, info.Inputs+3, nil)
	for i := range rows {
		for j := range info.Inputs + 3 {
			wide.Set(i, j, 1e3)
		}
	}
	view := wide.Slice(0, rows, 1, 1+info.Inputs).(*mat.Dense)
	view.Copy(x)
	want, err := answer(ctx, oracle, info, x)
	if err != nil {
		return err
	}
	got, err := answer(ctx, oracle, info, view)
	if err != nil {
		return err
	}
	if !sameAnswer(got, want, info) {
		return errors.New("a view into a larger matrix is answered differently from a copy of it; the stride of the rows must be heeded")
	}
	return nil
}

// sameAnswer reports whether two answers are the same up to the order of summation in the backend's arithmetic.
func sameAnswer(a, b *mat.Dense, info core.OracleInfo) bool {
	tolerance := 1e-12
	if info.DType != core.FP64 {
		tolerance = 1e-4
	}
	scale := math.Max(mat.Norm(a, 1), 1)
	var difference mat.Dense
	difference.Sub(a, b)
	return mat.Max(&difference) <= tolerance*scale && mat.Min(&difference) >= -tolerance*scale
}

func checkDeterministic(ctx context.Context, oracle core.Oracle, info core.OracleInfo) error {
	x := queries(rowsAllowed(info, 20), info.Inputs)
	first, err := answer(ctx, oracle, info, x)
	if err != nil {
		return err
	}
	second, err := answer(ctx, oracle, info, x)
	if err != nil {
		return err
	}
	rows, columns := first.Dims()
	for i := range rows {
		for j := range columns {
			if first.At(i, j) != second.At(i, j) {
				return fmt.Errorf("output %d of row %d is %g, and %g when the query is repeated; the same query must have the same answer", j, i, first.At(i, j), second.At(i, j))
			}
		}
	}
	return nil
}

func checkRowByRow(ctx context.Context, oracle core.Oracle, info core.OracleInfo) error {
	rows := rowsAllowed(info, 12)
	x := queries(rows, info.Inputs)
	all, err := answer(ctx, oracle, info, x)
	if err != nil {
		return err
	}
	_, columns := all.Dims()
	for i := range rows {
		one, err := answer(ctx, oracle, info, mat.NewDense(1, info.Inputs, mat.Row(nil, i, x)))
		if err != nil {
			return err
		}
		if !sameAnswer(one, all.Slice(i, i+1, 0, columns).(*mat.Dense), info) {
			return fmt.Errorf("row %d is %v alone and %v in a batch of %d; rows must not depend on each other (are they transposed or reordered?)", i, one.RawRowView(0), all.RawRowView(i), rows)
		}
	}
	return nil
}

func checkWidth(ctx context.Context, oracle core.Oracle, info core.OracleInfo) error {
	for _, columns := range []int{info.Inputs + 1, info.Inputs - 1} {
		if columns == 0 {
			continue
		}
		if _, err := oracle.Query(ctx, queries(1, columns)); err == nil {
			return fmt.Errorf("a query of %d columns is answered, but there are %d inputs; it must be an error", columns, info.Inputs)
		}
	}
	return nil
}

func checkConcurrentQueries(ctx context.Context, oracle core.Oracle, info core.OracleInfo) error {
	const callers = 6
	rows := rowsAllowed(info, 10)
	x := queries(rows, info.Inputs)
	want, err := answer(ctx, oracle, info, x)
	if err != nil {
		return err
	}
	broken := make([]error, callers)
	var wait sync.WaitGroup
	for k := range callers {
		wait.Go(func() {
			x := mat.DenseCopyOf(x) // its own, so that an oracle that changes queries is blamed for that alone
			for range 3 {
				y, err := answer(ctx, oracle, info, x)
				if err != nil {
					broken[k] = err
				} else if !sameAnswer(y, want, info) {
					broken[k] = fmt.Errorf("with %d callers at once an answer differs from the one given alone; queries must be safe at the same time", callers)
				}
			}
		})
	}
	wait.Wait()
	for _, err := range broken {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkQueryCancellation(ctx context.Context, oracle core.Oracle, info core.OracleInfo) error {
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := oracle.Query(cancelled, queries(1, info.Inputs)); err == nil {
		return errors.New("a query whose context has ended is answered; it must stop with the context's error")
	}
	return nil
}
