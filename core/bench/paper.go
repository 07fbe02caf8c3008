package bench

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/paper"
	"github.com/nnid/nnid/core/subspace"
	"github.com/nnid/nnid/core/teachers"
)

// recipe calls yield with every combination of the recipe's options.
func (f runFile) recipe(spec Spec, yield func(Spec) error) error {
	names := slices.Sorted(maps.Keys(f.Options))
	if spec.Recipe == identify.RecipePaper && len(f.Solver) == 0 {
		spec.Solver = paper.DefaultSolver
	}
	var each func(k int, chosen map[string]string) error
	each = func(k int, chosen map[string]string) error {
		if k < len(names) {
			for _, value := range f.Options[names[k]] {
				next := maps.Clone(chosen)
				next[names[k]] = value
				if err := each(k+1, next); err != nil {
					return err
				}
			}
			return nil
		}
		for _, refine := range f.Refine.or(false) {
			for _, stop := range f.StopAfter.or("") {
				spec.Options, spec.Refine, spec.StopAt = nil, refine, stop
				if len(chosen) > 0 {
					spec.Options = chosen
				}
				if err := yield(spec); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return each(0, map[string]string{})
}

// weigh multiplies the specs by the distributions of the weights.
func (n networkFile) weigh(specs []Spec) ([]Spec, error) {
	if len(n.Weights) == 0 {
		return specs, nil
	}
	if n.Family != FamilyPlanted && n.Family != FamilyFrozen && n.Family != FamilyShallow {
		return nil, fmt.Errorf("network: the family %s has no weights", n.Family)
	}
	var out []Spec
	for _, s := range specs {
		for _, w := range n.Weights {
			if _, err := perturbation(w); err != nil {
				return nil, err
			}
			s.Weights = w
			if w == "sphere" {
				s.Weights = ""
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// perturbation reads the distribution of the weights: negative for the uniform one.
func perturbation(weights string) (float64, error) {
	switch weights {
	case "", "sphere":
		return -1, nil
	case "orthonormal":
		return 0, nil
	}
	v, err := strconv.ParseFloat(weights, 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("network: weights is %q; it must be sphere, orthonormal, or the perturbation of orthonormal ones, a number", weights)
	}
	return v, nil
}

// checkPaper refuses settings of the recipe paper that it would refuse only when it is its turn.
func (s Spec) checkPaper() error {
	if s.Recipe != identify.RecipePaper {
		switch {
		case len(s.Options) > 0 || s.Refine || s.StopAt != "":
			return fmt.Errorf("run: options, refine and stop-after belong to the recipe %s", identify.RecipePaper)
		case s.Family == FamilyShallow || s.Family == FamilyFrozen:
			return fmt.Errorf("network: the family %s is for the recipe %s", s.Family, identify.RecipePaper)
		}
		return nil
	}
	if _, err := paper.Parse(s.Options); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if s.StopAt != "" {
		if err := paper.CheckStage(s.StopAt); err != nil {
			return fmt.Errorf("run: stop-after: %w", err)
		}
	}
	if s.Refine && (s.Family == FamilyShallow || s.Family == FamilyFrozen) {
		return fmt.Errorf("run: refine is for networks of two hidden layers, not for the family %s", s.Family)
	}
	if (s.Family == FamilyShallow || s.Family == FamilyFrozen) && (s.DType != string(core.FP64) || s.Digits != 0 || s.Noise != 0) {
		return fmt.Errorf("oracle: the family %s answers exactly: no dtype, digits or noise", s.Family)
	}
	return nil
}

// paperTeacher makes the networks that only the recipe paper is measured on; nil when the spec's is another one.
func paperTeacher(spec Spec, g func() (core.Function, error)) (*teachers.Teacher, error) {
	eps, err := perturbation(spec.Weights)
	if err != nil {
		return nil, err
	}
	switch {
	case spec.Family == FamilyShallow:
		s, err := teachers.PlantedShallow(spec.Size.Inputs, spec.Size.M0, spec.Shift, eps, spec.Activation, spec.Seed)
		if err != nil {
			return nil, err
		}
		return &teachers.Teacher{Shallow: s}, nil
	case spec.Family == FamilyPlanted && spec.Weights != "":
		return teachers.NearlyOrthonormal(spec.Size, spec.Shift, eps, spec.Activation, spec.Seed)
	case spec.Family == FamilyFrozen:
		t := teachers.Planted(spec.Size, spec.Shift, spec.Activation, spec.Seed)
		if spec.Weights != "" {
			if t, err = teachers.NearlyOrthonormal(spec.Size, spec.Shift, eps, spec.Activation, spec.Seed); err != nil {
				return nil, err
			}
		}
		function, err := g()
		if err != nil {
			return nil, err
		}
		t.Shallow = teachers.Frozen(t.Network, function)
		return t, nil
	}
	return nil, nil
}

// Two vectors are the same where |w -+ w'| <= near, the authors' own test; loose is for tables beside the prototype's.
const (
	near  = 0.05
	loose = 0.3162 // |cos| > 0.95
)

// paperMetrics measures what the recipe paper found against the truth:
//
//	recall_a, recall_v          share of the a_i, of the v_l(0), that some candidate is nearer to than 0.05
//	found, found_accepted       how many of all have |cos| > 0.95 with a candidate, with an accepted one
//	recall_a_loose, _v_loose    shares likewise
//	all_found                   1 where every a_i and v_l is recalled (to 0.05)
//	minors, objective           of the certificates: rank-ones that the SVD's subspace has, least objective of the accepted
//	wrong, wrong_accepted       candidates, and accepted ones, with |cos| <= 0.95 to all; right_rejected the converse
//	rejects_right_CONDITION, rejects_wrong_CONDITION   how many right and wrong candidates fail a condition that decides, by its heading
//	                            in the table of candidates, as displaced or 2nd_order
//	sin_angle, sin_angle_median largest and median sine of the angles between W and the SVD's subspace
//	attribution_saturation, attribution_drift   share of the right accepted candidates that the criterion puts where they belong
//	weight_error                Frobenius norm of A - A^ up to order and sign (shallow networks)
//	cpu_seconds, peak_mib       of the process, where no other run goes on in it (--workers 1)
//	shift_error, g0_error       largest errors of theta_i and, relative, of g'(theta_i), over units found to 0.95
func paperMetrics(truth *network.Network, shallow *network.Shallow, g core.Function, r *paper.Result) map[string]float64 {
	m := maps.Clone(r.Metrics)
	if m == nil {
		m = map[string]float64{}
	}
	var a, v [][]float64
	if truth != nil {
		a, v = directionsOf(truth, g)
	} else {
		for _, w := range shallow.Weight {
			a = append(a, normalised(w))
		}
	}
	all := slices.Concat(a, v)
	state := r.State
	if state == nil || state.Vectors == nil {
		m["recall_a"], m["recall_v"], m["found"], m["all_found"], m["accepted"] = 0, 0, 0, 0, 0
		if len(v) == 0 {
			delete(m, "recall_v")
		}
		subspaceMetrics(m, all, state)
		return m
	}
	candidates := lifted(state.Reduction, state.Vectors)
	closest := func(w []float64, list [][]float64) (int, float64) {
		at, best := -1, math.Inf(1)
		for j, c := range list {
			if d := math.Sqrt(math.Max(0, 2-2*math.Abs(floats.Dot(w, c)))); d < best {
				at, best = j, d
			}
		}
		return at, best
	}
	count := func(wanted, list [][]float64, within float64) float64 {
		n := 0.0
		for _, w := range wanted {
			if _, d := closest(w, list); d < within {
				n++
			}
		}
		return n
	}
	var accepted [][]float64
	isAccepted := make([]bool, len(candidates))
	for _, j := range r.Accepted {
		isAccepted[j] = true
		accepted = append(accepted, candidates[j])
	}
	m["recall_a"] = count(a, candidates, near) / float64(len(a))
	if len(v) > 0 {
		m["recall_v"] = count(v, candidates, near) / float64(len(v))
		m["recall_v_loose"] = count(v, candidates, loose) / float64(len(v))
	}
	m["recall_a_loose"] = count(a, candidates, loose) / float64(len(a))
	m["found"], m["found_accepted"] = count(all, candidates, loose), count(all, accepted, loose)
	m["all_found"] = 0
	if count(all, candidates, near) == float64(len(all)) {
		m["all_found"] = 1
	}
	right := map[string]float64{}
	rights := 0.0
	for j, c := range candidates {
		at, d := closest(c, all)
		if j < len(r.Candidates) {
			countRejections(m, r.Candidates[j], d < loose)
		}
		switch {
		case d >= loose:
			m["wrong"]++
			if isAccepted[j] {
				m["wrong_accepted"]++
			}
		case !isAccepted[j]:
			m["right_rejected"]++
		default:
			rights++
			for criterion, layers := range r.Criteria {
				if j < len(layers) && (layers[j] == 2) == (at >= len(a)) {
					right[criterion]++
				}
			}
		}
	}
	for _, name := range []string{"wrong", "wrong_accepted", "right_rejected"} {
		m[name] += 0 // present, also where it is none
	}
	for criterion := range r.Criteria {
		if rights > 0 {
			m["attribution_"+criterion] = right[criterion] / rights
		}
	}
	if shallow != nil && truth == nil {
		total := 0.0
		for _, w := range a {
			_, d := closest(w, candidates)
			total += d * d
		}
		m["weight_error"] = math.Sqrt(total)
	}
	subspaceMetrics(m, all, state)
	if truth != nil && r.Network != nil {
		shiftMetrics(m, truth, r.Network, g)
	}
	return m
}

// countRejections counts the conditions that a right or wrong candidate fails; all of them are there, also where it fails none.
func countRejections(m map[string]float64, candidate paper.Verified, right bool) {
	kind := "rejects_wrong_"
	if right {
		kind = "rejects_right_"
	}
	for _, c := range candidate.Conditions {
		name := strings.ReplaceAll(paper.Heading(c.Name), " ", "_")
		m["rejects_right_"+name] += 0
		m["rejects_wrong_"+name] += 0
		if c.Decides && !c.Holds {
			m[kind+name]++
		}
	}
}

func normalised(w []float64) []float64 {
	w = slices.Clone(w)
	floats.Scale(1/floats.Norm(w, 2), w)
	return w
}

// directionsOf returns the a_i and the v_l(0) of the network as unit vectors.
func directionsOf(n *network.Network, g core.Function) (a, v [][]float64) {
	frozen := teachers.Frozen(n, g)
	m0, _ := n.Sizes()
	for k, w := range frozen.Weight {
		if k < m0 {
			a = append(a, normalised(w))
		} else {
			v = append(v, normalised(w))
		}
	}
	return a, v
}

func lifted(reduction, vectors *mat.Dense) [][]float64 {
	if reduction != nil {
		var out mat.Dense
		out.Mul(reduction, vectors)
		vectors = &out
	}
	_, k := vectors.Dims()
	list := make([][]float64, k)
	for j := range list {
		list[j] = mat.Col(nil, j, vectors)
	}
	return list
}

// subspaceMetrics compares the subspace of the samples with the true one.
func subspaceMetrics(m map[string]float64, all [][]float64, state *paper.State) {
	if state == nil || state.Subspace == nil {
		return
	}
	w := mat.NewDense(len(all[0]), len(all), nil)
	for j, x := range all {
		w.SetCol(j, x)
	}
	if state.Reduction != nil {
		var inside mat.Dense
		inside.Mul(state.Reduction.T(), w)
		w = &inside
	}
	truth, err := subspace.FromRankOne(w)
	if err != nil {
		return
	}
	angles, err := subspace.Angles(truth, state.Subspace)
	if err != nil || len(angles) == 0 {
		return
	}
	m["sin_angle"], m["sin_angle_median"] = math.Sin(angles[len(angles)-1]), math.Sin(angles[len(angles)/2])
}

// shiftMetrics compares shifts and G0 of the units found, each with the sign that its weights have.
func shiftMetrics(m map[string]float64, truth, found *network.Network, g core.Function) {
	m0, _ := truth.Sizes()
	k0, _ := found.Sizes()
	worst, worstSlope, matched := 0.0, 0.0, false
	for i := range m0 {
		w := normalised(truth.First.Weight.RawRowView(i))
		for j := range k0 {
			x := found.First.Weight.RawRowView(j)
			if floats.Norm(x, 2) == 0 {
				continue
			}
			c := floats.Dot(w, normalised(x))
			if math.Abs(c) < 0.95 {
				continue
			}
			matched = true
			shift := found.First.Bias[j] * math.Copysign(1, c)
			slopes := []float64{truth.First.Bias[i], shift}
			worst = math.Max(worst, math.Abs(slopes[0]-slopes[1]))
			g.Apply(1, slopes, slopes)
			worstSlope = math.Max(worstSlope, math.Abs(slopes[1]/slopes[0]-1))
			break
		}
	}
	if matched {
		m["shift_error"], m["g0_error"] = worst, worstSlope
	}
}

// Goal is a condition on a metric that makes a run a success.
type Goal struct {
	Metric string
	Least  bool // the metric must be at least Value; else at most
	Value  float64
}

// parseGoal reads "metric >= value" or "metric <= value".
func parseGoal(text string) (Goal, error) {
	if text == "" {
		return Goal{}, nil
	}
	parts := strings.Fields(text)
	if len(parts) == 3 && (parts[1] == ">=" || parts[1] == "<=") {
		if v, err := strconv.ParseFloat(parts[2], 64); err == nil {
			return Goal{parts[0], parts[1] == ">=", v}, nil
		}
	}
	return Goal{}, fmt.Errorf("success is %q; it must be like \"all_found >= 1\"", text)
}

func (g Goal) String() string {
	relation := "<="
	if g.Least {
		relation = ">="
	}
	return fmt.Sprintf("%s %s %g", g.Metric, relation, g.Value)
}

// Success reports whether the run reached the cell's goal: by default that it identified the network and every parameter
// is within the bound.
func (c Cell) Success(r *Record) bool {
	if c.Goal.Metric == "" {
		return r.Success(c.Bound)
	}
	v := r.Metric(c.Goal.Metric)
	if c.Goal.Least {
		return v >= c.Goal.Value
	}
	return v <= c.Goal.Value
}

// Metric returns a measurement by name: one of the recipe's, or queries, seconds, max_error and validation_error; NaN
// where there is none.
func (r *Record) Metric(name string) float64 {
	switch name {
	case "queries":
		return float64(r.Queries)
	case "seconds":
		return r.Seconds
	case "max_error":
		return r.MaxError
	case "validation_error":
		return r.ValidationError
	}
	if v, ok := r.Metrics[name]; ok {
		return v
	}
	return math.NaN()
}

// metricNames are the names of all metrics in the summary, in order.
func (s *Summary) metricNames() []string {
	names := map[string]bool{}
	for _, c := range s.Cells {
		for _, r := range c.Records {
			for name := range r.Metrics {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
