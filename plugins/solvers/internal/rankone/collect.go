package rankone

import (
	"math"
	"sort"
	"strconv"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// Acceptance decides which local maxima of F are rank-one matrices of W.
type Acceptance struct {
	Deficit float64 // the largest 1 - F accepted; 0 adapts to the noise
}

// AcceptOption declares the option that [ParseAcceptance] reads.
var AcceptOption = core.Option{
	Name:    "accept",
	Usage:   "largest 1 - |P_W(w w^T)|^2 of an accepted vector, between 0 and 1, or auto: 30 times the lower quartile of all maxima found, but between 1e-3 and 0.1",
	Default: "auto",
}

// ParseAcceptance reads the option accept.
func ParseAcceptance(options core.Options) (Acceptance, error) {
	if options[AcceptOption.Name] == "auto" {
		return Acceptance{}, nil
	}
	value, err := strconv.ParseFloat(options[AcceptOption.Name], 64)
	if err != nil || !(value > 0 && value <= 1) {
		return Acceptance{}, fault.New(fault.Usage, "option accept=%q must be auto or a number above 0 and at most 1", options[AcceptOption.Name])
	}
	return Acceptance{Deficit: value}, nil
}

// Largest returns the largest deficit accepted, given the deficits of all maxima in ascending order. Noise of size s
// in W makes deficits of about s^2, much alike for all true vectors, while maxima that are none have deficits of order
// one; so the lower quartile, which tolerates three in four false maxima, tells the noise. At least 1e-3 because true
// vectors may be known unequally well, at most 0.1 because beyond that the word rank-one means little.
func (a Acceptance) Largest(ascending []float64) float64 {
	if a.Deficit > 0 {
		return a.Deficit
	}
	if len(ascending) == 0 {
		return 0
	}
	return min(0.1, max(1e-3, adaptive*ascending[(len(ascending)-1)/4]))
}

const (
	// adaptive times the lower quartile of the deficits is what noise explains.
	adaptive = 30
	// exact is a deficit that only rounding explains.
	exact = 1e-12
)

// same is the distance below which two converged maxima are one: far above what Newton's method leaves, far below the
// angle of any two vectors that double precision can tell apart in W.
const same = 1e-6

type maximum struct {
	x       []float64
	deficit float64
}

// Collector gathers local maxima of F. It belongs to one goroutine.
type Collector struct {
	space      *Space
	count      int // as in core.Problem
	acceptance Acceptance
	maxima     []maximum
	found      [][]float64 // orthonormal coordinates (length m) of the span of all P_W(x x^T) found
	Statistics map[string]float64
}

// NewCollector returns an empty collector; count is that of the problem.
func NewCollector(space *Space, count int, acceptance Acceptance) *Collector {
	return &Collector{space: space, count: count, acceptance: acceptance, Statistics: map[string]float64{}}
}

// Wanted returns how many vectors are asked for: count, or m when count is 0.
func (c *Collector) Wanted() int {
	if c.count > 0 {
		return c.count
	}
	return c.space.M
}

// Add takes a converged maximum and reports whether it is new.
func (c *Collector) Add(x []float64, deficit float64) bool {
	deficit = max(0, deficit) // rounding
	for i := range c.maxima {
		if Distance(c.maxima[i].x, x) < same {
			if deficit < c.maxima[i].deficit {
				c.maxima[i] = maximum{append([]float64(nil), x...), deficit}
			}
			return false
		}
	}
	c.maxima = append(c.maxima, maximum{append([]float64(nil), x...), deficit})
	y := c.space.Project(x)
	Normalize(y)
	c.orthogonalize(y)
	c.orthogonalize(y)
	if blas64.Nrm2(vector(y)) > 1e-7 {
		Normalize(y)
		c.found = append(c.found, y)
	}
	return true
}

// rest returns the elements of W that are orthogonal to every x x^T found so far, or all of W when nothing else is left.
// This is what replaces deflation when only W is known, and spares most of the coupon collector's repetitions.
func (c *Collector) rest() view {
	m, n := c.space.M, len(c.found)
	if n == 0 || n >= m {
		return c.space.whole
	}
	found := mat.NewDense(m, n, nil)
	for k, y := range c.found {
		found.SetCol(k, y)
	}
	var qr mat.QR
	qr.Factorize(found)
	var q, complement mat.Dense
	qr.QTo(&q)
	complement.CloneFrom(q.Slice(0, m, n, m).T())
	return c.space.part(complement.RawMatrix())
}

func (c *Collector) orthogonalize(y []float64) {
	for _, q := range c.found {
		blas64.Axpy(-blas64.Dot(vector(q), vector(y)), vector(q), vector(y))
	}
}

// Floor returns a value of F below which no maximum can be accepted.
func (c *Collector) Floor() float64 {
	if c.acceptance.Deficit > 0 {
		return min(0.5, 1-c.acceptance.Deficit)
	}
	return 0.5
}

// Accepted returns how many of the maxima are accepted so far.
func (c *Collector) Accepted() int { return len(c.accepted()) }

// Maxima returns how many different maxima were found, accepted or not.
func (c *Collector) Maxima() int { return len(c.maxima) }

// Done reports whether the search may end: as many maxima are accepted without doubt as W has dimensions, or as many as
// are wanted if these are exact. With noise the best ones are only known among all. In doubt is a maximum whose deficit
// stands out from the others': when m is close to the largest possible, false maxima come close to 1.
func (c *Collector) Done() bool {
	accepted := c.accepted()
	if m := c.space.M; len(accepted) >= m {
		return accepted[m-1].deficit <= max(exact, adaptive*accepted[(m-1)/4].deficit)
	}
	return c.count > 0 && len(accepted) >= c.count && accepted[c.count-1].deficit < exact
}

func (c *Collector) accepted() []maximum {
	sorted := append([]maximum(nil), c.maxima...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].deficit < sorted[j].deficit })
	deficits := make([]float64, len(sorted))
	for i := range sorted {
		deficits[i] = sorted[i].deficit
	}
	largest := c.acceptance.Largest(deficits)
	n := sort.Search(len(sorted), func(i int) bool { return deficits[i] > largest })
	return sorted[:n]
}

// Solution returns the accepted maxima, best first, no more than wanted.
func (c *Collector) Solution() *core.Solution {
	accepted := c.accepted()
	c.Statistics["maxima"] = float64(len(c.maxima))
	c.Statistics["rejected"] = float64(len(c.maxima) - len(accepted))
	if len(accepted) > c.Wanted() {
		accepted = accepted[:c.Wanted()]
	}
	c.Statistics["found"] = float64(len(accepted))
	solution := &core.Solution{Statistics: c.Statistics}
	if len(accepted) == 0 {
		return solution
	}
	solution.Vectors = mat.NewDense(c.space.D, len(accepted), nil)
	for k, found := range accepted {
		Orient(found.x)
		solution.Vectors.SetCol(k, found.x)
		solution.Objective = append(solution.Objective, max(0, 1-found.deficit))
	}
	return solution
}

// Orient flips x so that its entry of largest magnitude, the first of them, is positive.
func Orient(x []float64) {
	at := 0
	for i := range x {
		if math.Abs(x[i]) > math.Abs(x[at]) {
			at = i
		}
	}
	if x[at] < 0 {
		for i := range x {
			x[i] = -x[i]
		}
	}
}
