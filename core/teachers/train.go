package teachers

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Training says how a network is trained. The zero value of a field means the default, which is that of scikit-learn's
// MLPRegressor(solver="lbfgs"): what people who train small networks on tables use.
type Training struct {
	L2         float64 // weight decay: half of L2 times the squared weights, over the number of rows; default 1e-4
	Iterations int     // most iterations of L-BFGS; default 200
}

// Trained fits a network to the table by least squares with weight decay (L-BFGS), from Glorot's random start. g is the
// function of the activation.
func Trained(ctx context.Context, table *Table, m0, m1 int, activation string, g core.Function, seed uint64, training Training) (*Teacher, error) {
	rows, d := table.X.Dims()
	if err := (Size{d, m0, m1}).Check(); err != nil {
		return nil, err
	}
	if training.L2 == 0 {
		training.L2 = 1e-4
	}
	if training.Iterations == 0 {
		training.Iterations = 200
	}
	n := glorot(Size{d, m0, m1}, activation, seed)
	loss := &trainingLoss{table: table, n: n.Clone(), g: g, decay: training.L2 / float64(rows)}
	start := refine.Pack(n)
	problem := optimize.Problem{
		Func:   func(p []float64) float64 { loss.at(p); return loss.value },
		Grad:   func(gradient, p []float64) { loss.at(p); copy(gradient, loss.gradient) },
		Status: func() (optimize.Status, error) { return optimize.NotTerminated, ctx.Err() },
	}
	result, err := optimize.Minimize(problem, start, &optimize.Settings{
		MajorIterations: training.Iterations, GradientThreshold: 1e-8,
		Converger: &optimize.FunctionConverge{Relative: 1e-9, Iterations: 20},
	}, &optimize.LBFGS{Store: 10})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// A line search that makes no headway has reached rounding: what it had is the trained network.
	if result == nil {
		return nil, fault.New(fault.Internal, "training failed: %w", err)
	}
	refine.Unpack(n, result.X)
	if err := n.Check(); err != nil {
		return nil, fault.New(fault.Internal, "training diverged: %w", err)
	}
	return &Teacher{Network: n, Minimal: n}, nil
}

// glorot returns a network with weights and biases uniform in +-sqrt(6 / (inputs + outputs)) of their layer.
func glorot(size Size, activation string, seed uint64) *network.Network {
	rng := generator(seed, 0x747261696e)
	n := network.New(size.Inputs, size.M0, size.M1, activation, activation)
	fill := func(values []float64, bound float64) {
		for i := range values {
			values[i] = bound * (2*rng.Float64() - 1)
		}
	}
	first, second, output := math.Sqrt(6/float64(size.Inputs+size.M0)), math.Sqrt(6/float64(size.M0+size.M1)), math.Sqrt(6/float64(size.M1+1))
	fill(n.First.Weight.RawMatrix().Data, first)
	fill(n.First.Bias, first)
	fill(n.Second.Weight.RawMatrix().Data, second)
	fill(n.Second.Bias, second)
	fill(n.Output, output)
	return n
}

// trainingLoss is half the mean squared error plus the weight decay, with its gradient. It keeps the last point's, as
// the optimiser asks for value and gradient apart.
type trainingLoss struct {
	table *Table
	n     *network.Network
	g     core.Function
	decay float64

	point    []float64
	value    float64
	gradient []float64
}

func (t *trainingLoss) at(p []float64) {
	if slices.Equal(p, t.point) {
		return
	}
	t.point = append(t.point[:0], p...)
	refine.Unpack(t.n, p)
	n := t.n
	rows, _ := t.table.X.Dims()

	forward := func(in *mat.Dense, l network.Layer) (value, slope *mat.Dense) {
		var u mat.Dense
		u.Mul(in, l.Weight.T())
		for i := range rows {
			floats.Add(u.RawRowView(i), l.Bias)
		}
		slope = mat.DenseCopyOf(&u)
		t.g.Apply(1, slope.RawMatrix().Data, slope.RawMatrix().Data)
		t.g.Apply(0, u.RawMatrix().Data, u.RawMatrix().Data)
		return &u, slope
	}
	z, zSlope := forward(t.table.X, n.First)
	w, wSlope := forward(z, n.Second)

	gradient := network.New(n.Inputs(), n.First.Neurons(), n.Second.Neurons(), "", "")
	t.value = 0
	residual := make([]float64, rows)
	delta := wSlope // becomes the derivative by the pre-activations
	for i := range rows {
		residual[i] = floats.Dot(w.RawRowView(i), n.Output) + n.OutputBias - t.table.Y[i]
		t.value += residual[i] * residual[i] / 2 / float64(rows)
		r := residual[i] / float64(rows)
		floats.AddScaled(gradient.Output, r, w.RawRowView(i))
		gradient.OutputBias += r
		row := delta.RawRowView(i)
		floats.Mul(row, n.Output)
		floats.Scale(r, row)
		floats.Add(gradient.Second.Bias, row)
	}
	gradient.Second.Weight.Mul(delta.T(), z)
	var back mat.Dense
	back.Mul(delta, n.Second.Weight)
	back.MulElem(&back, zSlope)
	gradient.First.Weight.Mul(back.T(), t.table.X)
	for i := range rows {
		floats.Add(gradient.First.Bias, back.RawRowView(i))
	}
	for _, pair := range [][2][]float64{
		{gradient.First.Weight.RawMatrix().Data, n.First.Weight.RawMatrix().Data},
		{gradient.Second.Weight.RawMatrix().Data, n.Second.Weight.RawMatrix().Data},
		{gradient.Output, n.Output},
	} {
		t.value += t.decay / 2 * floats.Dot(pair[1], pair[1])
		floats.AddScaled(pair[0], t.decay, pair[1])
	}
	t.gradient = refine.Pack(gradient)
}
