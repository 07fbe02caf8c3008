package compile

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

const (
	nodes      = 20 // Chebyshev nodes of a panel; more than the degree needs, so that rounding averages out
	basis      = 16 // Chebyshev polynomials fitted; those above noiseFrom hold nothing but the activation's rounding
	noiseFrom  = 11
	checks     = 8 // random points of a panel
	perPanel   = nodes + 1 + checks
	minLevel   = 2  // an octave has at least 4 panels
	maxLevel   = 11 // and at most 2048
	unbounded  = 12 // octaves tried where there is no asymptote: |t| < 4095
	batch      = 1 << 16
	probes     = 8          // points an octave to find where the asymptote is reached
	scaleFloor = 1.0 / 1024 // see the package comment
	seed       = 0x6e6e6964 // of the random points: any will do, the same every time
)

// builder builds the table of one derivative.
type builder struct {
	ctx        context.Context
	activation core.Activation
	facts      core.Facts
	order      int
	scale      float64 // largest magnitude in |t| < 3
}

// ask returns the values at t, in batches that a plugin can take at ease.
func (b *builder) ask(t []float64) ([]float64, error) {
	values := make([]float64, 0, len(t))
	for len(t) > 0 {
		part := t[:min(batch, len(t))]
		v, err := b.activation.Derivative(b.ctx, b.order, part)
		if err != nil {
			return nil, err
		}
		if len(v) != len(part) {
			return nil, wrongLength(b.order, len(part), len(v))
		}
		for i := range v {
			if math.IsNaN(v[i]) {
				return nil, fault.New(fault.Plugin, "the activation's derivative of order %d is NaN at t = %g: its author must mend it, every finite t has a value", b.order, part[i])
			}
		}
		values = append(values, v...)
		t = t[len(part):]
	}
	return values, nil
}

// asymptote returns the tail of this derivative.
func (b *builder) asymptote(side int) tail {
	t := b.facts.Right
	if side == 1 {
		t = b.facts.Left
	}
	switch {
	case !t.Asymptotic:
		return tail{}
	case b.order == 0:
		return tail{true, t.Slope, t.Intercept}
	case b.order == 1:
		return tail{true, 0, t.Slope}
	}
	return tail{true, 0, 0}
}

func sign(side int) float64 { return 1 - 2*float64(side) }

// ends finds the octave from which the asymptote is the value to rounding, for both sides, and the scale.
func (b *builder) ends(t *table) error {
	var points []float64
	for side := range 2 {
		for e := range octaves {
			for j := range probes {
				points = append(points, sign(side)*(math.Ldexp(1+float64(j)/probes, e)-1))
			}
		}
		for _, far := range []float64{1e30, 1e100, 1e300} { // part of the last octave
			points = append(points, sign(side)*far)
		}
	}
	values, err := b.ask(points)
	if err != nil {
		return err
	}
	half := len(points) / 2
	for i, x := range points {
		if math.Abs(x) < 3 {
			b.scale = math.Max(b.scale, math.Abs(values[i]))
		}
	}
	if math.IsInf(b.scale, 0) {
		b.scale = math.MaxFloat64
	}
	for side := range 2 {
		t.end[side] = unbounded
		line := b.asymptote(side)
		if !line.known {
			continue
		}
		// First to the last bit; then as far off as the target allows, for activations that are not rounded correctly.
		for _, tolerance := range []float64{1.2e-16, Tolerance} {
			first := half // every point from here on is on the asymptote
			for first > 0 {
				want, got := line.at(points[side*half+first-1]), values[side*half+first-1]
				if !(math.Abs(got-want) <= math.Max(tolerance*math.Abs(want), 1e-17*b.scale)) {
					break
				}
				first--
			}
			end := (first + probes - 1) / probes
			if end < octaves {
				t.end[side], t.tails[side] = uint64(end), line
				break
			}
		}
	}
	return nil
}

// span is one octave of one side while it is being subdivided.
type span struct {
	side, octave, level int
	panels              []panel
	scale               [1 << minLevel]float64 // largest magnitude in each quarter of the octave
	resolved            int                    // levels at which most panels had nothing but rounding left to miss
	failed              int
	hopeless            bool    // no level that there is will do
	err                 float64 // largest error over scale of the panels kept
}

// bounds returns the ends of panel j of 2^level, nearer end first.
func (s *span) bounds(j int) (near, far float64) {
	at := func(j int) float64 {
		return sign(s.side) * (math.Ldexp(1+math.Ldexp(float64(j), -s.level), s.octave) - 1)
	}
	return at(j), at(j + 1)
}

func (b *builder) build() (*table, OrderReport, error) {
	t := &table{}
	if err := b.ends(t); err != nil {
		return nil, OrderReport{}, err
	}
	zero, err := b.ask([]float64{0})
	if err != nil {
		return nil, OrderReport{}, err
	}
	t.zero = zero[0]

	var all, open []*span
	for side := range 2 {
		for e := range int(t.end[side]) {
			all = append(all, &span{side: side, octave: e})
		}
	}
	open = all
	random := rand.New(rand.NewPCG(seed, uint64(b.order)))
	for level := minLevel; level <= maxLevel && len(open) > 0; level++ {
		var points []float64
		for _, s := range open {
			s.level = level
			for j := range 1 << level {
				near, far := s.bounds(j)
				points = appendPoints(points, near, far, random)
			}
		}
		values, err := b.ask(points)
		if err != nil {
			return nil, OrderReport{}, err
		}
		var next []*span
		for _, s := range open {
			count := perPanel << level
			b.subdivide(s, points[:count], values[:count], t.zero)
			points, values = points[count:], values[count:]
			if s.failed > 0 && !s.hopeless {
				next = append(next, s)
			}
		}
		open = next
	}
	return t, b.assemble(t, all), nil
}

// subdivide fits the panels of one octave and keeps those that are accurate.
func (b *builder) subdivide(s *span, points, values []float64, zero float64) {
	n := 1 << s.level
	if s.level == minLevel {
		for j := range s.scale {
			s.scale[j] = scaleFloor * b.scale
			for _, v := range values[j*perPanel : (j+1)*perPanel] {
				if !math.IsInf(v, 0) {
					s.scale[j] = math.Max(s.scale[j], math.Abs(v))
				}
			}
		}
	}
	s.panels, s.failed, s.err = make([]panel, n), 0, 0
	misses, noises, exact := make([]float64, n), make([]float64, n), make([]bool, n)
	for j := range n {
		near, far := s.bounds(j)
		part := values[j*perPanel : (j+1)*perPanel]
		s.panels[j], misses[j], noises[j], exact[j] = b.fit(near, far, points[j*perPanel:(j+1)*perPanel], part, zero)
	}
	scales := make([]float64, n)
	for j := range n {
		quarter := j >> (s.level - minLevel)
		scales[j] = s.scale[quarter]
		if quarter > 0 {
			scales[j] = math.Max(scales[j], s.scale[quarter-1])
		}
		if quarter < len(s.scale)-1 {
			scales[j] = math.Max(scales[j], s.scale[quarter+1])
		}
		if scales[j] > 0 {
			misses[j] /= scales[j]
			noises[j] /= scales[j]
		}
	}
	// The scatter seen in one panel is a poor estimate; the median of the octave is a good one, and robust to kinks.
	accepted := math.Max(Tolerance, 8*median(noises))
	if s.resolved > 0 || median(misses) <= NoiseLimit {
		// What finer panels do not mend is the activation's own rounding: from level to level, accept more of it.
		accepted = math.Max(accepted, math.Ldexp(Tolerance, s.resolved))
		s.resolved++
	}
	accepted = math.Min(accepted, NoiseLimit)
	// Halving a panel divides the error by 2^(degree+1) at best.
	s.hopeless = median(misses) > math.Ldexp(NoiseLimit, (degree+1)*(maxLevel-s.level))
	for j := range n {
		if !exact[j] && !(misses[j] <= accepted) { // also NaN
			s.panels[j] = nothing
			s.failed++
		} else {
			s.err = math.Max(s.err, misses[j])
		}
	}
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)/2]
}

var nothing = func() panel {
	p := panel{centre: math.NaN()}
	for k := range p.c {
		p.c[k] = math.NaN()
	}
	return p
}()

// assemble puts the octaves into the table. An octave that failed more often than not ends its side: without an
// asymptote it is the reach of the table.
func (b *builder) assemble(t *table, all []*span) OrderReport {
	var report OrderReport
	for side := range 2 {
		for _, s := range all {
			if s.side != side || uint64(s.octave) >= t.end[side] {
				continue
			}
			if s.failed > len(s.panels)/2 {
				if !t.tails[side].known {
					t.end[side] = uint64(s.octave)
					break
				}
				// Between panels and the asymptote: one coarse panel that asks.
				s.level, s.panels = 0, []panel{nothing}
			}
			t.octaves[side][s.octave] = octave{base: int32(len(t.panels)), shift: uint8(mantissa - s.level)}
			t.panels = append(t.panels, s.panels...)
			report.Error = math.Max(report.Error, s.err)
			for j, p := range s.panels {
				if p.centre != p.centre {
					near, far := s.bounds(j)
					report.Through = append(report.Through, Interval{math.Min(near, far), math.Max(near, far)})
				}
			}
		}
		if !t.tails[side].known {
			reach := sign(side) * (math.Ldexp(1, int(t.end[side])) - 1)
			if side == 0 {
				report.Through = append(report.Through, Interval{reach, math.Inf(1)})
			} else {
				report.Through = append(report.Through, Interval{math.Inf(-1), reach})
			}
		}
	}
	report.Panels = len(t.panels)
	slices.SortFunc(report.Through, func(a, b Interval) int { return cmp.Compare(a.From, b.From) })
	merged := report.Through[:0]
	for _, part := range report.Through {
		if k := len(merged) - 1; k >= 0 && merged[k].To >= part.From {
			merged[k].To = part.To
			continue
		}
		merged = append(merged, part)
	}
	report.Through = merged
	return report
}

// appendPoints appends a panel's nodes, its middle and its random points. The points next to 0 spread over many
// magnitudes, because there the relative accuracy counts.
func appendPoints(points []float64, near, far float64, random *rand.Rand) []float64 {
	centre, half := (near+far)/2, (far-near)/2
	for _, x := range chebyshev.x {
		points = append(points, centre+half*x)
	}
	points = append(points, centre)
	for k := range checks {
		if near == 0 && k%2 == 0 {
			points = append(points, far*math.Exp(-40*random.Float64()))
		} else {
			points = append(points, near+(far-near)*random.Float64())
		}
	}
	return points
}

// fit fits one panel and compares it with all values. miss is the largest error; noise is the scatter of the values;
// exact says that the relative accuracy next to 0 is kept, so that the panel needs no other test.
func (b *builder) fit(near, far float64, points, values []float64, zero float64) (p panel, miss, noise float64, exact bool) {
	for _, v := range values {
		if math.IsInf(v, 0) {
			return p, math.Inf(1), 0, false
		}
	}
	centre, half := (near+far)/2, (far-near)/2
	var d [nodes]float64
	if near == 0 && zero == 0 {
		// g(t) = t q(t): q has the relative accuracy of the values, and so has t q.
		ok := true
		for i := range d {
			d[i] = values[i] / points[i]
			ok = ok && !math.IsInf(d[i], 0)
		}
		middle := d[nodes/2] // taken out, so that the fit's own rounding is small
		for i := range d {
			d[i] -= middle
		}
		m, _ := chebyshev.fit(&d, degree)
		q := about(m, centre, half)
		q[0] += middle
		copy(p.c[1:], q[:degree])
		for i, x := range points {
			err := math.Abs(p.at(x) - values[i])
			ok = ok && err <= 2*Tolerance*math.Abs(values[i])
			miss = math.Max(miss, err)
		}
		if ok {
			return p, miss, 0, true
		}
	}
	middle := values[nodes]
	for i := range d {
		d[i] = values[i] - middle
	}
	m, noise := chebyshev.fit(&d, degree+1)

	if near == 0 {
		p = panel{c: about(m, centre, half)}
	} else {
		p = panel{centre: centre}
		power := 1.0
		for k := range p.c {
			p.c[k] = m[k] / power
			power *= half
		}
	}
	p.c[0] += middle
	miss = 0
	for i, x := range points {
		miss = math.Max(miss, math.Abs(p.at(x)-values[i])) // stays NaN
	}
	return p, miss, noise, false
}

func (p *panel) at(x float64) float64 {
	u := x - p.centre
	v := p.c[degree]
	for k := degree - 1; k >= 0; k-- {
		v = v*u + p.c[k]
	}
	return v
}

// about turns the coefficients in x = (t - centre)/half into those in t.
func about(m [degree + 1]float64, centre, half float64) [degree + 1]float64 {
	x := -centre / half // t = 0; the fit is one-sided, so this is -1 or 1
	for i := range degree {
		for k := degree - 1; k >= i; k-- { // Horner's scheme, repeated: Taylor's shift
			m[k] += x * m[k+1]
		}
	}
	power := 1.0
	for k := range m {
		m[k] /= power
		power *= half
	}
	return m
}

// chebyshev holds the nodes of a panel in [-1, 1] and the least-squares fit at them.
var chebyshev = newFitter()

type fitter struct {
	x        [nodes]float64
	solve    [basis][nodes]float64           // values at the nodes -> Chebyshev coefficients
	monomial [degree + 1][degree + 1]float64 // T_j = sum_k monomial[j][k] x^k
}

func newFitter() *fitter {
	f := &fitter{}
	design := mat.NewDense(nodes, basis, nil)
	for i := range nodes {
		// Rounded to 20 bits, so that centre + half x, with dyadic ends, is exact: rounded nodes would cost a steep
		// function far from 0 its accuracy.
		f.x[i] = math.Round(math.Cos(math.Pi*(float64(i)+0.5)/nodes)*(1<<20)) / (1 << 20)
		previous, current := 1.0, f.x[i]
		for j := range basis {
			design.Set(i, j, previous)
			previous, current = current, 2*f.x[i]*current-previous
		}
	}
	identity := mat.NewDiagDense(nodes, nil)
	for i := range nodes {
		identity.SetDiag(i, 1)
	}
	var inverse mat.Dense
	if err := inverse.Solve(design, identity); err != nil {
		// The matrix is a constant whose condition number is 1.4, so no input leads here.
		panic("compile: the Chebyshev fit is singular: " + err.Error())
	}
	for j := range basis {
		mat.Row(f.solve[j][:], j, &inverse)
	}
	f.monomial[0][0], f.monomial[1][1] = 1, 1
	for j := 2; j <= degree; j++ {
		for k := range degree + 1 {
			f.monomial[j][k] = -f.monomial[j-2][k]
			if k > 0 {
				f.monomial[j][k] += 2 * f.monomial[j-1][k-1]
			}
		}
	}
	return f
}

// fit returns the coefficients of x^0 ... of the fit of the given number of terms (the rest are 0), and the standard
// deviation of the scatter of the values.
func (f *fitter) fit(d *[nodes]float64, terms int) (m [degree + 1]float64, noise float64) {
	for j := range basis {
		var c float64
		for i, v := range d {
			c += f.solve[j][i] * v
		}
		if j >= noiseFrom {
			noise += c * c
		}
		if j < terms {
			for k := range m {
				m[k] += c * f.monomial[j][k]
			}
		}
	}
	// A coefficient has 2/nodes of the variance of a value.
	return m, math.Sqrt(noise / (basis - noiseFrom) * nodes / 2)
}
