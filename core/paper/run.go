package paper

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/refine"
)

// Candidate is one activation that both layers may have.
type Candidate struct {
	Name     string
	Function core.Function
}

// Problem is what is to be identified and what is known of it.
type Problem struct {
	Oracle     query.Asker
	Inputs     int
	Candidates []Candidate
	M0, M1     int
	Shallow    bool    // one hidden layer of M0 units: there are no v_l (arXiv 2211.04589)
	Domain     float64 // no query leaves |x|_inf <= Domain; 0 when unbounded
	Solver     core.Solver
	SolverName string
}

// Settings are how the run goes about it.
type Settings struct {
	Options   Options
	Seed      uint64
	From      *State                                 // entered after the last stage that it holds; nil starts from the beginning
	StopAfter string                                 // stage; empty goes to the end
	Refine    bool                                   // polish the network by least squares on all parameters
	Save      func(stage string, state *State) error // called after every stage; may be nil
	Start     func(stage string)                     // called as a stage begins; may be nil
	Progress  func(done, total int, text string)     // within a stage; may be nil
	Finish    func(text string)                      // called as it ends; may be nil
}

// Result is what a run found.
type Result struct {
	Stage string `json:"stage"` // the last one finished
	// Metrics are what the stages measured of themselves, by name.
	Metrics map[string]float64 `json:"metrics"`
	// Extracted are the conditions of what the solver found, where a joint fit has replaced it; Candidates those of the
	// candidates as they are.
	Extracted  []Verified  `json:"extracted,omitempty"`
	Candidates []Verified  `json:"candidates"`
	Set        []Condition `json:"set"`
	// Unchecked is a condition of candidates that could not be computed; empty where there is none.
	Unchecked string `json:"unchecked,omitempty"`
	Accepted  []int  `json:"accepted"` // indices of candidates
	Layers    []int  `json:"layers"`   // of each candidate: 1, 2, or 0 where rejected
	// Criteria are the layers by each criterion of attribution that was asked.
	Criteria map[string][]int `json:"criteria,omitempty"`
	// Uniform is the error of the network on fresh points, uniform in a ball.
	Uniform    *Uniform         `json:"uniform,omitempty"`
	Network    *network.Network `json:"-"`
	Shallow    *network.Shallow `json:"shallow,omitempty"`
	Activation string           `json:"-"`
	State      *State           `json:"-"`
}

// measure keeps a measurement; JSON has no infinities.
func (r *Result) measure(name string, v float64) {
	if r.Metrics == nil {
		r.Metrics = map[string]float64{}
	}
	if math.IsNaN(v) {
		return
	}
	r.Metrics[name] = math.Max(-math.MaxFloat64, math.Min(math.MaxFloat64, v))
}

// Uniform is an error measured on fresh points.
type Uniform struct {
	Points   int     `json:"points"`
	Radius   float64 `json:"radius"`
	Max      float64 `json:"max"`      // largest |f - found|
	Relative float64 `json:"relative"` // root mean square over the standard deviation of f
}

// Allowed is the relative error up to which a network agrees with fresh answers: noise, or 1e-9.
func (r *Result) Allowed() float64 { return math.Max(1e-9, 30*math.Max(r.Metrics["noise"], 1e-14)) }

// Exact reports whether the network found agrees with fresh answers.
func (r *Result) Exact() bool {
	return r.Network != nil && r.Uniform != nil && r.Uniform.Relative <= r.Allowed()
}

// run is one run.
type run struct {
	problem  Problem
	settings Settings
	options  Options
	rng      *rand.Rand
	state    *State
	result   *Result
	report   report
	noise    float64 // of the answers; 0 until measured
	third    float64 // size of the third derivatives; 0 until measured
	function core.Function
}

// report passes on what the stages say.
type report struct{ s *Settings }

func (r report) start(stage string) {
	if r.s.Start != nil {
		r.s.Start(stage)
	}
}

func (r report) progress(done, total int, text string) {
	if r.s.Progress != nil {
		r.s.Progress(done, total, text)
	}
}

func (r report) finish(format string, args ...any) {
	if r.s.Finish != nil {
		r.s.Finish(fmt.Sprintf(format, args...))
	}
}

// Run runs the stages. The result holds what was found, also where err says why the run went no further.
func Run(ctx context.Context, problem Problem, settings Settings) (*Result, error) {
	r := &run{problem: problem, settings: settings, options: settings.Options, state: settings.From, result: &Result{}}
	r.report = report{&r.settings}
	if r.state == nil {
		r.state = &State{}
	}
	r.result.State = r.state
	if r.state.Reduction != nil {
		if d, _ := r.state.Reduction.Dims(); d != problem.Inputs {
			return r.result, fault.New(fault.Usage, "the array reduction has %d rows, but the model has %d inputs", d, problem.Inputs)
		}
	} else if r.state.done() != "" {
		if n := r.stateOrder(); n != problem.Inputs {
			return r.result, fault.New(fault.Usage, "the arrays are of order %d, but the model has %d inputs", n, problem.Inputs)
		}
	}
	r.result.Accepted = r.state.Accepted
	from := slices.Index(Stages, r.state.done()) + 1
	r.result.Stage = r.state.done()
	for k, stage := range Stages {
		if k < from {
			continue
		}
		// A stage's choices do not depend on how many numbers earlier ones drew: a run entered later takes the same.
		r.rng = rand.New(rand.NewPCG(settings.Seed, 0x7061706572+uint64(k)))
		r.report.start(stage)
		if err := r.stage(ctx, stage); err != nil {
			return r.result, err
		}
		r.result.Stage = stage
		if settings.Save != nil {
			if err := settings.Save(stage, r.state); err != nil {
				return r.result, err
			}
		}
		if stage == settings.StopAfter {
			return r.result, nil
		}
	}
	return r.result, nil
}

func (r *run) stateOrder() int {
	for _, m := range []*mat.Dense{r.state.Vectors, r.state.First} {
		if m != nil {
			n, _ := m.Dims()
			return n
		}
	}
	if r.state.Subspace != nil {
		return r.state.Subspace.Dim
	}
	if len(r.state.Hessians) > 0 {
		return r.state.Hessians[0].SymmetricDim()
	}
	return r.problem.Inputs
}

func (r *run) stage(ctx context.Context, stage string) error {
	switch stage {
	case StageReduce:
		return r.reduce(ctx)
	case StageSample:
		return r.sample(ctx)
	case StageSubspace:
		return r.span()
	case StageExtract:
		return r.extract(ctx)
	case StageVerify:
		return r.verify(ctx)
	case StageAttribute:
		if err := r.attribute(ctx); err != nil {
			return err
		}
		r.state.Attributed = true
		return nil
	}
	var err error
	if r.problem.Shallow {
		err = r.assembleShallow(ctx)
	} else {
		err = r.assemble(ctx)
	}
	if err == nil && r.settings.Refine && !r.problem.Shallow {
		err = r.polish(ctx)
	}
	if err != nil {
		return err
	}
	if err := r.uniform(ctx); err != nil || !r.settings.Refine || r.problem.Shallow {
		return err
	}
	return r.confirm()
}

// verify checks the conditions, and where they reject too much lets the joint fit have its turn.
func (r *run) verify(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	again := r.options.Joint == wordAlways || (r.options.Joint == wordAuto && len(r.state.Accepted) < r.wanted())
	if again && !r.state.Joint {
		before, extracted, set := *r.state, r.result.Candidates, r.result.Set
		r.result.measure("extracted_accepted", float64(len(r.state.Accepted)))
		if err := r.fitJointly(ctx); err != nil {
			return err
		}
		if r.state.Joint {
			if err := r.check(); err != nil {
				return err
			}
			r.result.Extracted = extracted
			if len(r.state.Accepted) < len(before.Accepted) && r.options.Joint == wordAuto {
				// The samples do not determine so many unknowns: the paper's own candidates are the better ones.
				*r.state, r.result.Candidates, r.result.Set, r.result.Extracted = before, extracted, set, nil
				r.result.Accepted = before.Accepted
				r.result.measure("accepted", float64(len(before.Accepted)))
				why := "of the joint fit's vectors even fewer are accepted"
				if misfit := r.result.Metrics["joint_misfit"]; misfit > r.options.MisfitMax && !r.settings.Refine {
					why = fmt.Sprintf("the joint fit leaves %.1e of what varies unexplained, more than %.3g", misfit, r.options.MisfitMax)
				}
				r.report.finish("%s: %d of the solver's %d stay", why, len(before.Accepted), len(extracted))
			}
		}
	}
	r.state.Verified = true
	r.result.Accepted = r.state.Accepted
	return nil
}

// paddings is how many random completions of an incomplete network the polish tries.
const paddings = 6

// polish is the exact recipe's least squares on all parameters. Units that the sizes say are missing start small and at
// random, a few times where that leads nowhere.
func (r *run) polish(ctx context.Context) error {
	incomplete := r.result.Network
	padded := func() *network.Network { return pad(incomplete, r.problem.M0, r.problem.M1, r.rng) }
	start := padded()
	data, err := r.answers(ctx, wordGaussian, 4*start.Parameters()+50)
	if err != nil {
		return err
	}
	fit := refine.Levenberg
	if start.Parameters() > 3000 {
		fit = refine.GaussNewton
	}
	spread := stat.Variance(data.Y, nil)
	enough := math.Max(1e-16*spread, 10*r.noise*r.noise)
	least := math.Inf(1)
	for try := range paddings {
		fitted, stats, err := fit(ctx, start, r.function, r.function, data, refine.Settings{Iterations: 200, Tolerance: 1e-4, Observe: func(iteration int, loss float64) {
			r.report.progress(0, 0, fmt.Sprintf("iteration %d: root mean square residual %.1e", iteration, math.Sqrt(loss)))
		}})
		if err != nil {
			return err
		}
		if stats.Loss < least {
			least = stats.Loss
			r.result.Network = fitted
		}
		if start = padded(); least <= enough || start == incomplete || try == paddings-1 {
			break
		}
	}
	r.result.measure("refine_loss", math.Sqrt(least))
	r.report.finish("least squares on all %d parameters: root mean square residual %.1e", r.result.Network.Parameters(), math.Sqrt(least))
	return nil
}

// pad returns n with small random units where a layer has fewer than wanted.
func pad(n *network.Network, m0, m1 int, rng *rand.Rand) *network.Network {
	k0, k1 := n.Sizes()
	m0, m1 = max(m0, k0), max(m1, k1)
	if m0 == k0 && m1 == k1 {
		return n
	}
	out := network.New(n.Inputs(), m0, m1, n.First.Activation, n.Second.Activation)
	for i := range m0 {
		if i < k0 {
			out.First.Weight.SetRow(i, n.First.Weight.RawRowView(i))
			out.First.Bias[i] = n.First.Bias[i]
			continue
		}
		row := out.First.Weight.RawRowView(i)
		for j := range row {
			row[j] = rng.NormFloat64() / math.Sqrt(float64(len(row)))
		}
	}
	for l := range m1 {
		row := out.Second.Weight.RawRowView(l)
		for i := range row {
			row[i] = 0.03 * rng.NormFloat64()
		}
		out.Output[l] = 1
		if l < k1 {
			copy(row, n.Second.Weight.RawRowView(l))
			out.Second.Bias[l], out.Output[l] = n.Second.Bias[l], n.Output[l]
		}
	}
	out.OutputBias = n.OutputBias
	return out
}

// uniform measures the network on fresh points.
func (r *run) uniform(ctx context.Context) error {
	data, err := r.answers(ctx, wordBall, r.options.UniformPoints)
	if err != nil {
		return err
	}
	var found []float64
	if r.result.Shallow != nil {
		found = r.result.Shallow.Evaluate(r.function, data.X)
	} else {
		found = r.result.Network.Evaluate(r.function, r.function, data.X)
	}
	u := &Uniform{Points: len(data.Y), Radius: r.options.UniformRadius}
	if u.Radius == 0 {
		u.Radius = math.Sqrt(float64(r.problem.Inputs))
	}
	var squares, mean, variance float64
	for i, y := range data.Y {
		e := math.Abs(y - found[i])
		u.Max = math.Max(u.Max, e)
		squares += e * e
		mean += y / float64(len(data.Y))
	}
	for _, y := range data.Y {
		variance += (y - mean) * (y - mean)
	}
	u.Relative = math.Sqrt(squares / math.Max(variance, 1e-300))
	r.result.measure("noise", r.noise/math.Sqrt(math.Max(variance/float64(len(data.Y)), 1e-300)))
	r.result.Uniform = u
	r.result.measure("uniform_error", u.Max)
	r.result.measure("uniform_relative", u.Relative)
	r.report.finish("uniform error %.1e, relative %.1e, on %d fresh points in the ball of radius %.3g", u.Max, u.Relative, u.Points, u.Radius)
	return nil
}
