package paper

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// Name is the recipe's name.
const Name = "paper"

// DefaultSolver is the paper's own program.
const DefaultSolver = "spectral"

// Declared are the recipe's options. The defaults are the paper's own choices, all of them; method=extended makes them ours.
var Declared = core.Component{
	Name:      Name,
	Summary:   "the published method, stage by stage",
	Reference: "Fornasier, Klock, Rauchensteiner, arXiv 1907.00485",
	Options: []core.Option{
		{Name: "method", Usage: "published (the paper alone) or extended (what is ours where it does better: joint=auto and attribution=both, unless they are given)", Default: "published"},
		{Name: "reduce", Usage: "dimension reduction from: auto (gradients where m0 is less than d or not given), gradients, hessians (by central differences at least), none", Default: "auto"},
		{Name: "reduce-points", Usage: "points whose gradients or Hessians span the reduced space; 0 is twice the dimension wanted, and 10", Default: "0"},
		{Name: "reduce-radius", Usage: "standard deviation of each coordinate of those points", Default: "1"},
		{Name: "sampling", Usage: "distribution of the points: sphere, ball (uniform) or gaussian (of standard deviation radius/sqrt(d))", Default: "sphere"},
		{Name: "radius", Usage: "radius of the points; 0 is the paper's 1/sqrt(d)", Default: "0"},
		{Name: "hessians", Usage: "number of Hessians N; 0 is 20 (m0+m1); adaptive doubles 2 (m0+m1) until held-out ones gain nothing; bound takes the least N for which the matrix Chernoff bound holds with probability 0.95", Default: "0"},
		{Name: "stencil", Usage: "forward (the paper's, d(d+3)/2+1 points), central (d^2+d+1 points) or cross (2d^2+1 points)", Default: "forward"},
		{Name: "step", Usage: "step of the differences; 0 balances truncation against the noise of the answers", Default: "0"},
		{Name: "dimension", Usage: "dimension of the subspace: a number, spectrum (where the gap is, or none), or auto: m0+m1 where both are given, else spectrum", Default: "auto"},
		{Name: "gap-bound", Usage: "least ratio of consecutive singular values that counts as a gap of the spectrum", Default: "10"},
		{Name: "rounds", Usage: "calls of the solver, each with another seed, whose vectors are pooled", Default: "1"},
		{Name: "joint", Usage: "ours: fit all rank-ones to the samples jointly. never; auto: where the conditions accept fewer than m0+m1; always", Default: "never"},
		{Name: "joint-starts", Usage: "most starts of the joint fit", Default: "6"},
		{Name: "rank-one-bound", Usage: "condition: least spectral norm lambda_1 of a unit matrix that counts as near rank one", Default: "0.9"},
		{Name: "stability-bound", Usage: "condition: largest error bound of a vector, its matrix's distance from the subspace over the strictness of the maximum", Default: "3"},
		{Name: "displacement-bound", Usage: "condition: how far a vector may move when the subspace loses the singular vectors beyond d+1", Default: "0.2"},
		{Name: "bar-bound", Usage: "condition after a joint fit: largest error bar of a vector over strictness", Default: "0.5"},
		{Name: "alignment-bound", Usage: "condition: least part along a vector of the gradient of its coefficient; 0 for activations whose third derivative vanishes at 0", Default: "0.9"},
		{Name: "misfit-bound", Usage: "condition: most that a joint fit may leave of what the samples show beyond their leading singular vector", Default: "0.03"},
		{Name: "attribution", Usage: "saturation (the paper's: gradients along t w), drift (ours: from base point to base point a_i stay, v_l move) or both (compares them and follows drift)", Default: "saturation"},
		{Name: "saturation-reach", Usage: "saturation: largest t", Default: "10"},
		{Name: "drift-radius", Usage: "drift: radius of the base points; 0 is sqrt(d)/2", Default: "0"},
		{Name: "saturation-points", Usage: "saturation: values of t on either side of 0", Default: "10"},
		{Name: "drift-points", Usage: "drift: base points; 0 is 2d", Default: "0"},
		{Name: "class", Usage: "paper (|a_i| = |b_l| = c_l = 1, c0 = 0) or general (norms and output weights are found too)", Default: "paper"},
		{Name: "descent", Usage: "for the shifts and G0: gradient (the paper's) or lm (Levenberg-Marquardt)", Default: "gradient"},
		{Name: "descent-points", Usage: "queries for it; 0 is 10 an unknown", Default: "0"},
		{Name: "descent-iterations", Usage: "most iterations", Default: "1000"},
		{Name: "uniform-points", Usage: "fresh points on which the final network's error is measured", Default: "500"},
		{Name: "uniform-radius", Usage: "they are uniform in the ball of this radius; 0 is sqrt(d)", Default: "0"},
	},
}

// Options are the recipe's choices, as Declared.
type Options struct {
	Reduce                     string
	ReducePoints               int
	ReduceRadius               float64
	Sampling                   string
	Radius                     float64
	Hessians                   int
	Bound                      bool // choose Hessians by the sample-complexity bound
	Adaptive                   bool // double them until held-out ones gain nothing
	Stencil                    string
	Step                       float64
	Dimension                  int  // 0 where it is not a number
	Spectrum                   bool // from the spectrum, also where the sizes are given
	GapMin                     float64
	Rounds                     int
	Joint                      string
	JointStarts                int
	RankOneBound, StabilityMax float64
	MovedMax, BarMax           float64
	AlignMin, MisfitMax        float64
	Attribution                string
	SaturationReach            float64
	SaturationPoints           int
	DriftRadius                float64
	DriftPoints                int
	Class, Descent             string
	DescentPoints              int
	DescentIterations          int
	UniformPoints              int
	UniformRadius              float64
}

// Words that options take.
const (
	wordAuto      = "auto"
	wordNone      = "none"
	wordGradients = "gradients"
	wordHessians  = "hessians"
	wordSphere    = "sphere"
	wordBall      = "ball"
	wordGaussian  = "gaussian"
	wordForward   = "forward"
	wordCentral   = "central"
	wordCross     = "cross"
	wordAlways    = "always"
	wordNever     = "never"
	wordGeneral   = "general"
	wordGradient  = "gradient"
	wordLM        = "lm"
	wordBound     = "bound"
	wordSpectrum  = "spectrum"
	wordAdaptive  = "adaptive"
	wordPublished = "published"
	wordExtended  = "extended"
)

// extended are the choices that method=extended makes in place of the paper's.
var extended = core.Options{"joint": wordAuto, "attribution": AttributeBoth}

// SolverOptions completes the options given for the solver: the recipe wants every local maximum of the paper's program, since
// it is for the conditions to say which of them are near enough to rank one. On the nearly flat ridges of a subspace that drift has
// spoilt an ascent ends anywhere: limits closer than the displacement that counts as none are one, lest they take the others' places.
func SolverOptions(solver string, given core.Options) core.Options {
	if solver != DefaultSolver {
		return given
	}
	options := core.Options{"threshold": "0.3", "cluster": "0.2"}
	maps.Copy(options, given)
	return options
}

// Attributions.
const (
	AttributeSaturation = "saturation"
	AttributeDrift      = "drift"
	AttributeBoth       = "both"
)

// Parse reads given options; what is not given has its default. The error is a [fault.Usage] that names the option.
func Parse(given core.Options) (Options, error) {
	values, err := Declared.Resolve("recipe", given)
	if err != nil {
		return Options{}, err
	}
	switch method := values["method"]; method {
	case wordPublished:
	case wordExtended:
		values = maps.Clone(values)
		for name, value := range extended {
			if _, ok := given[name]; !ok {
				values[name] = value
			}
		}
	default:
		return Options{}, fault.New(fault.Usage, "option method=%q must be %s or %s", method, wordPublished, wordExtended)
	}
	var o Options
	fail := func(e error) {
		if err == nil {
			err = e
		}
	}
	word := func(name string, words ...string) string {
		if !slices.Contains(words, values[name]) {
			fail(fault.New(fault.Usage, "option %s=%q must be one of %s", name, values[name], strings.Join(words, ", ")))
		}
		return values[name]
	}
	number := func(name string, low, high float64) float64 {
		v, e := values.Float(name, low, high)
		fail(e)
		return v
	}
	whole := func(name string, least int) int {
		v, e := values.Int(name, least)
		fail(e)
		if v > 1e7 {
			fail(fault.New(fault.Usage, "option %s=%d is more than 10 million", name, v))
		}
		return v
	}
	o.Reduce = word("reduce", wordAuto, wordGradients, wordHessians, wordNone)
	o.ReducePoints = whole("reduce-points", 0)
	o.ReduceRadius = number("reduce-radius", 1e-12, 1e12)
	o.Sampling = word("sampling", wordSphere, wordBall, wordGaussian)
	o.Radius = number("radius", 0, 1e12)
	switch text := values["hessians"]; text {
	case wordBound:
		o.Bound = true
	case wordAdaptive:
		o.Adaptive = true
	default:
		n, e := strconv.Atoi(text)
		if e != nil || n < 0 || n > 1e6 {
			fail(fault.New(fault.Usage, "option hessians=%q must be a whole number up to a million, %s or %s", text, wordAdaptive, wordBound))
		}
		o.Hessians = n
	}
	o.Stencil = word("stencil", wordForward, wordCentral, wordCross)
	o.Step = number("step", 0, 1e6)
	switch word := values["dimension"]; word {
	case wordAuto:
	case wordSpectrum:
		o.Spectrum = true
	default:
		n, e := strconv.Atoi(word)
		if e != nil || n < 0 || n > 1e7 {
			fail(fault.New(fault.Usage, "option dimension=%q must be a whole number, %s or %s", word, wordAuto, wordSpectrum))
		}
		o.Dimension = n // 0 is auto as well
	}
	o.GapMin = number("gap-bound", 1, math.MaxFloat64)
	o.Rounds = whole("rounds", 1)
	o.Joint = word("joint", wordAuto, wordAlways, wordNever)
	o.JointStarts = whole("joint-starts", 1)
	o.RankOneBound = number("rank-one-bound", 0, 1)
	o.StabilityMax = number("stability-bound", 0, math.MaxFloat64)
	o.MovedMax = number("displacement-bound", 0, math.MaxFloat64)
	o.BarMax = number("bar-bound", 0, math.MaxFloat64)
	o.AlignMin = number("alignment-bound", 0, 1)
	o.MisfitMax = number("misfit-bound", 0, math.MaxFloat64)
	o.Attribution = word("attribution", AttributeBoth, AttributeSaturation, AttributeDrift)
	o.SaturationReach = number("saturation-reach", 1e-12, 1e12)
	o.SaturationPoints = whole("saturation-points", 1)
	o.DriftRadius = number("drift-radius", 0, 1e12)
	o.DriftPoints = whole("drift-points", 0)
	o.Class = word("class", Name, wordGeneral)
	o.Descent = word("descent", wordGradient, wordLM)
	o.DescentPoints = whole("descent-points", 0)
	o.DescentIterations = whole("descent-iterations", 1)
	o.UniformPoints = whole("uniform-points", 2)
	o.UniformRadius = number("uniform-radius", 0, 1e12)
	return o, err
}
