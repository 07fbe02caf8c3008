package paper

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/subspace"
)

// Condition is one a-posteriori condition: something computed from the samples alone, beside its bound.
type Condition struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Bound float64 `json:"bound"`
	Upper bool    `json:"upper"` // the value must not be above the bound; else not below it
	Holds bool    `json:"holds"`
	// Decides tells the conditions that decide from those that are printed to be looked at: no bound is known for these.
	Decides bool `json:"decides"`
}

func upper(name string, value, bound float64) Condition {
	value = clampFinite(value)
	return Condition{Name: name, Value: value, Bound: bound, Upper: true, Holds: value <= bound, Decides: true}
}

// clampFinite: JSON has no infinities.
func clampFinite(v float64) float64 {
	if math.IsNaN(v) {
		return math.MaxFloat64 // what could not be computed is as bad as can be
	}
	return math.Max(-math.MaxFloat64, math.Min(math.MaxFloat64, v))
}

func lower(name string, value, bound float64) Condition {
	if math.IsNaN(value) {
		value = -math.MaxFloat64
	}
	value = clampFinite(value)
	return Condition{Name: name, Value: value, Bound: bound, Holds: value >= bound, Decides: true}
}

func shown(c Condition) Condition { c.Decides = false; return c }

// String prints the value beside its bound.
func (c Condition) String() string {
	relation := ">="
	if c.Upper {
		relation = "<="
	}
	state := "holds"
	if !c.Holds {
		state = "fails"
	}
	if !c.Decides {
		state += ", does not decide"
	}
	return fmt.Sprintf("%s = %s, %s %.3g: %s", c.Name, number(c.Value), relation, c.Bound, state)
}

// The names of the conditions, after the paper's notions.
const (
	CondRankOne    = "near rank one: spectral norm lambda_1"
	CondGap        = "spectral gap lambda_1 - max |lambda_k|"
	CondStationary = "first-order optimality |P_W(u u^T) - lambda_1 M|_F"
	CondStrict     = "second-order optimality max 2 sum_k (u^T X u_k)^2 / (lambda_1 (lambda_1 - lambda_k))"
	CondStable     = "stability: error bound of the vector"
	CondBar        = "stability after the joint fit: error bar of the vector over strictness"
	CondResidual   = "subspace residual |(I - P_W) u u^T|_F"

	CondMoved   = "displacement: distance to the maximum over the leading d+1 singular vectors"
	CondAlign   = "symmetry of the third derivative: part of grad c_j along w_j"
	CondMisfit  = "misfit of the joint fit: unexplained share of what varies"
	CondNetwork = "agreement with the network found: largest |cos|"

	CondSetCount = "number of accepted vectors"
	CondSetRiesz = "Riesz constant: least eigenvalue of the Gram matrix of the w_j w_j^T"
	CondSetFrame = "frame constants of the w_j: C_F - 1"
	CondSetAngle = "subspace error |P_W - P_W~|, sine of the largest angle"
	CondSetGap   = "singular gap sigma_m / sigma_m+1"

	CondSetObjective = "extraction objective, 1 at most: least |P_W(w w^T)|_F"
	CondSetMinors    = "rank-ones in the subspace: dimension of the null space of the 2x2 minors"
	CondSetIsolated  = "no further rank-one: least other eigenvalue of the minors on the span of the w_j w_j^T"
)

// Bounds that have no option. A local maximum to which the ascent has not quite converged is off by its tolerance over
// its strictness, hence 1e-3; M has norm one, so that a gap of 0.5 puts lambda_2 below 0.5; a Riesz constant of 1e-3 is two
// vectors 2 degrees apart, which no sample of ours tells apart.
const (
	boundGap        = 0.5
	boundStationary = 1e-3
	boundRiesz      = 1e-3
	boundMinors     = 4 * sameVector * sameVector // the eigenvalue of a rank-one at that distance from the subspace
	boundNetwork    = 0.95                        // what counts as found wherever results are compared
)

// Verified is what is known of one candidate.
type Verified struct {
	Conditions []Condition `json:"conditions"`
	Accepted   bool        `json:"accepted"`
	Error      float64     `json:"error"` // bound of the vector's error, the value of CondStable or CondBar
}

// verify checks the conditions of the stable-recovery theorem for every candidate w in the subspace s. With
//
//	M = P_W(w w^T) / |P_W(w w^T)|_F,  lambda_1 > lambda_2 >= .. its eigenvalues, u_k its eigenvectors,
//
// M is a local maximiser of the spectral norm over W and the unit sphere only if P_W(u_1 u_1^T) = lambda_1 M (first
// order) and, for all X in W orthogonal to M, 2 sum_{k>1} (u_1^T X u_k)^2 / (lambda_1 - lambda_k) <= lambda_1 |X|_F^2
// (second order). How far the quotient of the two sides stays below 1 says how strict the maximum is, and so how far an
// error of the subspace can move it: a w with w w^T at a distance rho from W is within about rho / (1 - quotient).
// bars, where given, are the error bars of a joint fit, which replace that estimate.
func verify(s *subspace.Subspace, vectors *mat.Dense, bars []float64, o Options) ([]Verified, error) {
	if vectors == nil {
		return nil, nil
	}
	d, k := vectors.Dims()
	if d != s.Dim {
		return nil, fault.New(fault.Usage, "vectors of length %d do not go with matrices of order %d", d, s.Dim)
	}
	elements := make([]*mat.SymDense, s.Dimension())
	for j := range elements {
		elements[j] = s.Element(j)
	}
	out := make([]Verified, k)
	for j := range out {
		w := mat.Col(nil, j, vectors)
		v, err := examine(elements, w, o)
		if err != nil {
			return nil, err
		}
		if bars != nil {
			// In the span of the vectors themselves every w w^T is rank one: what is uncertain of it is its error bar.
			for i, c := range v.Conditions {
				switch c.Name {
				case CondStrict:
					v.Error = math.MaxFloat64
					if c.Value < 1 {
						v.Error = bars[j] / (1 - c.Value)
					}
				case CondStable:
					v.Conditions[i] = upper(CondBar, v.Error, o.BarMax)
				}
			}
		}
		v.Accepted = true
		for _, c := range v.Conditions {
			v.Accepted = v.Accepted && (c.Holds || !c.Decides)
		}
		out[j] = v
	}
	return out, nil
}

func examine(elements []*mat.SymDense, w []float64, o Options) (Verified, error) {
	m, d := len(elements), len(w)
	y := quadratic(elements, w)
	norm := floats.Norm(y, 2)
	if norm < 1e-8 { // w w^T is orthogonal to W: nothing further can be said of it
		return Verified{Conditions: []Condition{lower(CondRankOne, 0, o.RankOneBound)}, Error: math.MaxFloat64}, nil
	}
	floats.Scale(1/norm, y)
	matrix := mat.NewSymDense(d, nil)
	for k, e := range elements {
		addScaled(matrix, y[k], e)
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(matrix, true) {
		return Verified{}, fault.New(fault.Internal, "the eigenvalues of a matrix in the subspace did not converge")
	}
	values := eigen.Values(nil) // ascending
	var u mat.Dense
	eigen.VectorsTo(&u)
	top := mat.Col(nil, d-1, &u)
	lambda := values[d-1]
	other := 0.0
	if d > 1 {
		other = math.Max(math.Abs(values[0]), math.Abs(values[d-2]))
	}
	// t = coordinates of P_W(u u^T).
	t := quadratic(elements, top)
	inside := floats.Norm(t, 2)
	residual := math.Sqrt(math.Max(0, 1-inside*inside))
	off := make([]float64, m)
	floats.AddScaledTo(off, t, -lambda, y)
	quotient := strictness(elements, &u, values, y)
	stable := math.Inf(1)
	if quotient < 1 {
		stable = residual / (1 - quotient)
	}
	return Verified{Error: clampFinite(stable), Conditions: []Condition{
		lower(CondRankOne, lambda, o.RankOneBound),
		lower(CondGap, lambda-other, boundGap),
		upper(CondStationary, floats.Norm(off, 2), boundStationary),
		upper(CondStrict, quotient, 1),
		upper(CondStable, stable, o.StabilityMax),
		shown(upper(CondResidual, residual, math.Sqrt(1-o.RankOneBound*o.RankOneBound))),
	}}, nil
}

// quadratic returns u^T E_k u for all k.
func quadratic(elements []*mat.SymDense, u []float64) []float64 {
	v := mat.NewVecDense(len(u), u)
	y := make([]float64, len(elements))
	for k, e := range elements {
		y[k] = mat.Inner(v, e, v)
	}
	return y
}

func addScaled(to *mat.SymDense, a float64, s *mat.SymDense) {
	n := to.SymmetricDim()
	for i := range n {
		for j := i; j < n; j++ {
			to.SetSym(i, j, to.At(i, j)+a*s.At(i, j))
		}
	}
}

// strictness is the largest quotient of the second-order condition over X in W orthogonal to M: the top eigenvalue of
// an m x m matrix.
func strictness(elements []*mat.SymDense, u *mat.Dense, values []float64, y []float64) float64 {
	m, d := len(elements), len(values)
	if m < 2 || d < 2 {
		return 0
	}
	top := mat.NewVecDense(d, mat.Col(nil, d-1, u))
	lambda := values[d-1]
	// Row k: (u_1^T E_k u_q) sqrt(2 / (lambda_1 (lambda_1 - lambda_q))) for q > 1.
	rows := mat.NewDense(m, d-1, nil)
	for k, e := range elements {
		var image, coordinates mat.VecDense
		image.MulVec(e, top)
		coordinates.MulVec(u.T(), &image)
		for q := range d - 1 {
			gap := lambda * (lambda - values[q])
			if !(gap > 0) {
				return math.Inf(1)
			}
			rows.Set(k, q, coordinates.AtVec(q)*math.Sqrt(2/gap))
		}
	}
	// Restrict to the complement of y.
	var along mat.VecDense
	along.MulVec(rows.T(), mat.NewVecDense(m, y))
	for k := range m {
		floats.AddScaled(rows.RawRowView(k), -y[k], along.RawVector().Data)
	}
	var svd mat.SVD
	if !svd.Factorize(rows, mat.SVDNone) {
		return math.Inf(1)
	}
	sigma := svd.Values(nil)[0]
	return sigma * sigma
}

// verifySet checks the conditions of the whole set of accepted vectors.
func verifySet(s *subspace.Subspace, accepted *mat.Dense, wanted int, o Options) ([]Condition, error) {
	conditions := []Condition{}
	count := 0
	if accepted != nil {
		_, count = accepted.Dims()
	}
	if wanted > 0 {
		conditions = append(conditions, lower(CondSetCount, float64(count), float64(wanted)))
	}
	if gap := s.Gap(); !math.IsNaN(gap) {
		conditions = append(conditions, shown(lower(CondSetGap, math.Min(gap, 1e16), 2)))
	}
	// The certificates that need no gap. What the minors count is the subspace's, whatever was found in it.
	if m := s.Dimension(); m <= subspace.MostMinors {
		values, err := subspace.Minors(s)
		if err != nil {
			return nil, err
		}
		rankOnes := 0
		for rankOnes < len(values) && values[rankOnes] <= boundMinors {
			rankOnes++
		}
		conditions = append(conditions, shown(lower(CondSetMinors, float64(rankOnes), float64(m))))
	}
	if accepted == nil {
		return conditions, nil
	}
	d, k := accepted.Dims()
	objective := 1.0
	for j := range k {
		inside, err := s.Project(outerProduct(mat.Col(nil, j, accepted)))
		if err != nil {
			return nil, err
		}
		objective = math.Min(objective, mat.Norm(inside, 2))
	}
	conditions = append(conditions, shown(lower(CondSetObjective, objective, o.RankOneBound)))
	gram, frame := mat.NewSymDense(k, nil), mat.NewSymDense(d, nil)
	for i := range k {
		v := mat.NewVecDense(d, mat.Col(nil, i, accepted))
		frame.SymRankOne(frame, 1, v)
		for j := i; j < k; j++ {
			c := mat.Dot(v, mat.NewVecDense(d, mat.Col(nil, j, accepted)))
			gram.SetSym(i, j, c*c)
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, false) {
		return nil, fault.New(fault.Internal, "the eigenvalues of the Gram matrix did not converge")
	}
	riesz := eigen.Values(nil)[0]
	if !eigen.Factorize(frame, false) {
		return nil, fault.New(fault.Internal, "the eigenvalues of the frame operator did not converge")
	}
	bounds := eigen.Values(nil)
	conditions = append(conditions, lower(CondSetRiesz, riesz, boundRiesz), shown(upper(CondSetFrame, bounds[d-1]-1, 1)))
	span, err := subspace.FromRankOne(accepted)
	if err != nil {
		return nil, err
	}
	if n := span.Dimension(); n <= subspace.MostMinors {
		values, err := subspace.Minors(span)
		if err != nil {
			return nil, err
		}
		if n < len(values) {
			conditions = append(conditions, shown(lower(CondSetIsolated, values[n], boundMinors)))
		}
	}
	angles, err := subspace.Angles(s, span)
	if err != nil {
		return nil, err
	}
	return append(conditions, shown(upper(CondSetAngle, math.Sin(angles[len(angles)-1]), 0.5))), nil
}

func outerProduct(w []float64) *mat.SymDense {
	h := mat.NewSymDense(len(w), nil)
	h.SymOuterK(1, mat.NewDense(len(w), 1, w))
	return h
}

// check is the stage: it verifies what the solver found and, where that is not enough, what the joint fit makes of it.
func (r *run) check() error {
	s := r.state.Subspace
	if s == nil {
		return fault.New(fault.Usage, "the stage verify needs the subspace that the vectors were found in")
	}
	within := s
	if r.state.Joint {
		// The joint fit replaced the subspace as well: by the span of its vectors.
		span, err := subspace.FromRankOne(r.state.Vectors)
		if err != nil {
			return err
		}
		within = span
	}
	verified, err := verify(within, r.state.Vectors, r.state.Bars, r.options)
	if err != nil {
		return err
	}
	if !r.state.Joint {
		for j, moved := range displacement(s, r.state.Vectors, r.options.GapMin) {
			c := upper(CondMoved, moved, r.options.MovedMax)
			verified[j].Conditions = append(verified[j].Conditions, c)
			verified[j].Accepted = verified[j].Accepted && c.Holds
		}
	}
	align := alignment(r.state.Points, r.state.Hessians, r.state.Vectors)
	r.result.Unchecked = ""
	if align == nil && r.options.AlignMin > 0 && len(verified) > 0 {
		r.result.Unchecked = CondAlign + "; it takes points and Hessians, at least 2d + 4 of them, and linearly independent candidates"
	}
	for j := range align {
		c := lower(CondAlign, align[j], r.options.AlignMin)
		verified[j].Conditions = append(verified[j].Conditions, c)
		verified[j].Accepted = verified[j].Accepted && c.Holds
	}
	if r.state.Joint && len(s.Spectrum) >= s.Dimension() {
		misfit := newJoint(s).misfit(r.state.Vectors)
		r.result.measure("joint_misfit", misfit)
		c := upper(CondMisfit, misfit, r.options.MisfitMax)
		if r.settings.Refine {
			c = shown(c) // until the network found decides
		}
		for j := range verified {
			verified[j].Conditions = append(verified[j].Conditions, c)
			verified[j].Accepted = verified[j].Accepted && (c.Holds || !c.Decides)
		}
	}
	accepted, err := r.accept(verified)
	if err != nil {
		return err
	}
	for _, c := range r.result.Set {
		r.report.progress(0, 0, c.String())
	}
	for j, v := range verified {
		for _, c := range v.Conditions {
			if !c.Holds && c.Decides {
				r.report.progress(0, 0, fmt.Sprintf("candidate %d is rejected: %s", j, c))
			}
		}
	}
	r.report.finish("%d of %d candidates accepted", accepted, len(verified))
	return nil
}

// accept keeps what was verified, checks the set of those accepted, and returns how many they are.
func (r *run) accept(verified []Verified) (int, error) {
	var accepted [][]float64
	r.state.Accepted = nil
	for j, v := range verified {
		if v.Accepted {
			r.state.Accepted = append(r.state.Accepted, j)
			accepted = append(accepted, mat.Col(nil, j, r.state.Vectors))
		}
	}
	s := r.state.Subspace
	set, err := verifySet(s, columns(accepted, s.Dim), r.wanted(), r.options)
	if err != nil {
		return 0, err
	}
	r.result.Candidates, r.result.Set, r.result.Accepted = verified, set, r.state.Accepted
	r.result.measure("accepted", float64(len(accepted)))
	r.result.measure("rejected", float64(len(verified)-len(accepted)))
	for name, condition := range map[string]string{"minors": CondSetMinors, "objective": CondSetObjective} {
		for _, c := range set {
			if c.Name == condition {
				r.result.measure(name, c.Value)
			}
		}
	}
	return len(accepted), nil
}
