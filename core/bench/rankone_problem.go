package bench

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// RankOneProblem is a subspace with what decides whether a solution is right.
type RankOneProblem struct {
	Problem core.Problem
	// Vectors are what is to be found, d x m; nil where only the subspace itself can tell.
	Vectors *mat.Dense
	// Tolerance is the largest error of each vector found.
	Tolerance []float64
}

const (
	// rounding is the error that is allowed of a well conditioned vector in an exact subspace.
	rounding = 1e-12
	// farthest is the error beyond which a vector is another one, whatever the noise.
	farthest = 0.3
	// member is the largest distance of w w^T from the subspace of a pipeline, which is known to finite differences: to
	// 1e-4 with five vectors, to 1e-2 with twenty.
	member = 0.05
	// distinct is the distance below which two vectors found in the subspace of a pipeline are one.
	distinct = 0.1
)

// plantSubspace makes the subspace of a spec of any family but the pipeline.
func plantSubspace(s RankOneSpec) (*RankOneProblem, error) {
	random := rand.New(rand.NewPCG(s.Seed, 0x72616e6b))
	vectors := plantVectors(s, random)
	d, m := s.Dim, s.Count
	span := mat.NewDense(d*d, m, nil)
	for k := range m {
		for i := range d {
			for j := range d {
				span.Set(i*d+j, k, vectors.At(i, k)*vectors.At(j, k))
			}
		}
	}
	if err := orthonormalise(span); err != nil {
		return nil, fault.New(fault.Usage, "family %s with d=%d, m=%d, angle %g: the matrices w w^T are linearly dependent to rounding", s.Family, d, m, s.Angle)
	}
	p := &RankOneProblem{Vectors: vectors}
	for k := range m {
		// The error that a subspace error leads to, to first order, and a factor for what is beyond.
		condition := 1 / sensitivity(span, d, mat.Col(nil, k, vectors))
		p.Tolerance = append(p.Tolerance, math.Min(farthest, (rounding+2*s.Perturbation)*math.Max(1, condition)))
	}
	if s.Perturbation > 0 {
		if err := perturb(span, d, s.Perturbation, random); err != nil {
			return nil, err
		}
	}
	// Any orthonormal basis is as good: a random one hides how it was made.
	rotation := mat.NewDense(m, m, nil)
	for i := range m {
		for j := range m {
			rotation.Set(i, j, random.NormFloat64())
		}
	}
	if err := orthonormalise(rotation); err != nil {
		return nil, err
	}
	var basis mat.Dense
	basis.Mul(span, rotation)
	p.Problem = core.Problem{Dim: d, Basis: &basis, Seed: s.Seed + 1}
	return p, nil
}

func plantVectors(s RankOneSpec, random *rand.Rand) *mat.Dense {
	d, m := s.Dim, s.Count
	gaussian := func() []float64 {
		x := make([]float64, d)
		for i := range x {
			x[i] = random.NormFloat64()
		}
		return unit(x)
	}
	// near returns a unit vector at the angle from x, in a random direction.
	near := func(x []float64, angle float64) []float64 {
		y := gaussian()
		along := dotProduct(x, y)
		for i := range y {
			y[i] -= along * x[i]
		}
		unit(y)
		for i := range y {
			y[i] = math.Cos(angle)*x[i] + math.Sin(angle)*y[i]
		}
		return unit(y)
	}
	vectors := mat.NewDense(d, m, nil)
	var centre []float64
	var block *mat.Dense
	for k := range m {
		switch s.Family {
		case SubspacePairs:
			if k%2 == 0 {
				centre = gaussian()
				vectors.SetCol(k, centre)
			} else {
				vectors.SetCol(k, near(centre, s.Angle))
			}
		case SubspaceClusters:
			if k%4 == 0 {
				centre = gaussian()
			}
			vectors.SetCol(k, near(centre, s.Angle))
		case SubspaceOrthonormal:
			if k%d == 0 {
				for orthonormal := false; !orthonormal; {
					block = mat.NewDense(d, d, nil)
					for i := range d {
						block.SetCol(i, gaussian())
					}
					orthonormal = orthonormalise(block) == nil
				}
			}
			vectors.SetCol(k, mat.Col(nil, k%d, block))
		default:
			vectors.SetCol(k, gaussian())
		}
	}
	return vectors
}

// orthonormalise replaces the columns by an orthonormal basis of their span: Cholesky QR, thrice for what is lost of
// orthogonality before (Fukaya et al., SIAM J. Sci. Comput. 42, 2020).
func orthonormalise(a *mat.Dense) error {
	_, m := a.Dims()
	raw := a.RawMatrix()
	for round := range 3 {
		gram := mat.NewSymDense(m, nil)
		blas64.Syrk(blas.Trans, 1, raw, 0, gram.RawSymmetric())
		if round == 0 {
			for i := range m {
				gram.SetSym(i, i, gram.At(i, i)*(1+1e-15*float64(m)))
			}
		}
		var cholesky mat.Cholesky
		if !cholesky.Factorize(gram) {
			return fault.New(fault.Internal, "the columns are linearly dependent to rounding")
		}
		var upper mat.TriDense
		cholesky.UTo(&upper)
		blas64.Trsm(blas.Right, blas.NoTrans, 1, upper.RawTriangular(), raw)
	}
	return nil
}

// sensitivity returns the smallest singular value of x -> (I - P)(w x^T + x w^T) on the tangent space of w, P the
// projection onto the span of the basis: a subspace error moves w by at most that much over it, to first order. The
// square is 2 (|x|^2 - 2 |S x|^2), S x = (E_k w . x)_k.
func sensitivity(basis *mat.Dense, d int, w []float64) float64 {
	_, m := basis.Dims()
	images := mat.NewDense(d, m, nil)
	for i := range d {
		for j := range d {
			row := basis.RawRowView(i*d + j)
			into := images.RawRowView(i)
			for k, v := range row {
				into[k] += v * w[j]
			}
		}
	}
	for k := range m { // the tangent part
		along := 0.0
		for i, v := range w {
			along += v * images.At(i, k)
		}
		for i, v := range w {
			images.Set(i, k, images.At(i, k)-along*v)
		}
	}
	gram := mat.NewSymDense(d, nil)
	gram.SymOuterK(1, images)
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, false) {
		return 1e-8
	}
	return math.Sqrt(math.Max(1e-16, 2*(1-2*eigen.Values(nil)[d-1])))
}

// perturb turns the subspace by the angle with the given sine, in a random direction of symmetric matrices.
func perturb(span *mat.Dense, d int, sine float64, random *rand.Rand) error {
	_, m := span.Dims()
	moved := mat.NewDense(d*d, m, nil)
	for k := range m {
		for i := range d {
			for j := range i + 1 {
				v := random.NormFloat64()
				moved.Set(i*d+j, k, v)
				moved.Set(j*d+i, k, v)
			}
		}
	}
	var along, within mat.Dense
	along.Mul(span.T(), moved)
	within.Mul(span, &along)
	moved.Sub(moved, &within)
	gram := mat.NewSymDense(m, nil)
	gram.SymOuterK(1, moved.T())
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, false) {
		return fault.New(fault.Internal, "the perturbation has no singular values")
	}
	size := math.Sqrt(eigen.Values(nil)[m-1])
	moved.Scale(math.Tan(math.Asin(sine))/size, moved)
	span.Add(span, moved)
	return orthonormalise(span)
}

func unit(x []float64) []float64 {
	length := math.Sqrt(dotProduct(x, x))
	for i := range x {
		x[i] /= length
	}
	return x
}

func dotProduct(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

// verdict is what is known of a solution without asking the solver.
type verdict struct {
	found    int     // vectors found, each within its tolerance
	returned int     // vectors returned
	worst    float64 // largest error of those found; NaN where none was
	median   float64
}

// complete reports whether everything was found and nothing else returned.
func (v verdict) complete(wanted int) bool { return v.found == wanted && v.returned == wanted }

// judge compares a solution with what is to be found: one returned vector can stand for one planted vector only. Where the
// vectors are not known, those count that lie in the subspace and are distinct.
func (p *RankOneProblem) judge(s *core.Solution) verdict {
	v := verdict{worst: math.NaN(), median: math.NaN()}
	if s == nil || s.Vectors == nil {
		return v
	}
	rows, n := s.Vectors.Dims()
	v.returned = n
	if rows != p.Problem.Dim {
		return v
	}
	found := make([][]float64, n)
	for k := range found {
		found[k] = unit(mat.Col(nil, k, s.Vectors))
	}
	var errs []float64
	if p.Vectors == nil {
		for k, x := range found {
			e := outside(p.Problem.Basis, x)
			alone := !slices.ContainsFunc(found[:k], func(y []float64) bool { return apart(x, y) < distinct })
			if e <= member && alone {
				errs = append(errs, e)
			}
		}
	} else {
		type pair struct {
			planted, found int
			distance       float64
		}
		var pairs []pair
		for i, tolerance := range p.Tolerance {
			w := mat.Col(nil, i, p.Vectors)
			for k, x := range found {
				if e := apart(w, x); e <= tolerance {
					pairs = append(pairs, pair{i, k, e})
				}
			}
		}
		slices.SortFunc(pairs, func(a, b pair) int {
			switch {
			case a.distance < b.distance:
				return -1
			case a.distance > b.distance:
				return 1
			}
			return (a.planted-b.planted)*n + a.found - b.found
		})
		planted, taken := make([]bool, len(p.Tolerance)), make([]bool, n)
		for _, q := range pairs {
			if !planted[q.planted] && !taken[q.found] {
				planted[q.planted], taken[q.found] = true, true
				errs = append(errs, q.distance)
			}
		}
	}
	v.found = len(errs)
	if len(errs) > 0 {
		v.worst, v.median = largest(errs), median(errs)
	}
	return v
}

// outside returns the distance of x x^T from the subspace, the unit vector x given.
func outside(basis *mat.Dense, x []float64) float64 {
	d := len(x)
	square := make([]float64, d*d)
	for i, v := range x {
		for j, w := range x {
			square[i*d+j] = v * w
		}
	}
	residual := mat.NewVecDense(d*d, square)
	for range 2 { // the second projection removes what rounding left of the first
		var y, inside mat.VecDense
		y.MulVec(basis.T(), residual)
		inside.MulVec(basis, &y)
		residual.SubVec(residual, &inside)
	}
	return mat.Norm(residual, 2)
}

// apart is min(|x - y|, |x + y|).
func apart(x, y []float64) float64 {
	minus, plus := 0.0, 0.0
	for i := range x {
		minus += (x[i] - y[i]) * (x[i] - y[i])
		plus += (x[i] + y[i]) * (x[i] + y[i])
	}
	return math.Sqrt(math.Min(minus, plus))
}
