package bench

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"

	"github.com/nnid/nnid/core/fault"
)

// curveColours are told apart by readers who see no red (Okabe and Ito).
var curveColours = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255}, {90, 90, 90, 255}, {200, 190, 40, 255},
}

// plot is a panel of curves with values between 0 and 1.
type plot struct {
	title, below string
	ticks        []float64 // where, between 0 and 1
	labels       []string
	curves       [][][2]float64 // one a solver, x and y between 0 and 1
}

const plotHeight = 220.0

// WriteFigure draws performance profiles (Dolan and More, Math. Program. 91, 2002): the share of all problems that a solver
// solves in at most a factor times the fastest solver's time; and its success against perturbation and against the number of
// vectors. format is "svg" or "png".
func (s *RankOneSummary) WriteFigure(w io.Writer, format string) error {
	if len(s.records()) == 0 {
		return fault.New(fault.Usage, "there is nothing to draw: no run of the suite is finished")
	}
	plots := []plot{s.profile()}
	levels := s.levels()
	if p, ok := s.success("perturbation, sizes that have several", func(r RankOneSpec) (float64, bool) {
		return r.Perturbation, r.Family == SubspaceRandom && len(levels[[2]int{r.Dim, r.Count}]) > 1
	}); ok {
		plots = append(plots, p)
	}
	if p, ok := s.success("vectors / dimension, exact subspaces", func(r RankOneSpec) (float64, bool) {
		return math.Round(100*float64(r.Count)/float64(r.Dim)) / 100, r.Family == SubspaceRandom && r.Perturbation == 0
	}); ok {
		plots = append(plots, p)
	}
	d := drawing{}
	const left, top = 4 * margin, 2.6 * fontSize
	for k, p := range plots {
		d.plot(p, left+float64(k)*(panelWidth+5*margin), top)
	}
	names := 0.0
	for _, name := range s.Solvers {
		names = math.Max(names, textWidth(name, fontSize))
	}
	x := left + float64(len(plots))*(panelWidth+5*margin) - 3*margin
	for k, name := range s.Solvers {
		y := top + (float64(k)+0.5)*rowHeight
		d.text(x+names, y+0.35*fontSize, right, name)
		d.thick(x+names+margin/2, y, x+names+3*margin, y, solverColour(k))
	}
	d.width, d.height = x+names+4*margin, top+math.Max(plotHeight+3*fontSize, float64(len(s.Solvers)+1)*rowHeight)
	switch format {
	case "svg":
		return d.writeSVG(w)
	case "png":
		return d.writePNG(w)
	}
	return fault.New(fault.Usage, "there is no figure format %q; there are svg and png", format)
}

// levels returns the perturbations of random subspaces by their d and m: only sizes with several tell what one of them does.
func (s *RankOneSummary) levels() map[[2]int]map[float64]bool {
	levels := map[[2]int]map[float64]bool{}
	for _, r := range s.records() {
		size := [2]int{r.Spec.Dim, r.Spec.Count}
		if r.Spec.Family != SubspaceRandom {
			continue
		}
		if levels[size] == nil {
			levels[size] = map[float64]bool{}
		}
		levels[size][r.Spec.Perturbation] = true
	}
	return levels
}

func solverColour(k int) color.RGBA { return curveColours[k%len(curveColours)] }

func (d *drawing) thick(x1, y1, x2, y2 float64, c color.RGBA) {
	if x1 != x2 || y1 != y2 {
		d.lines = append(d.lines, stroke{x1, y1, x2, y2, 1.8, c})
	}
}

func (d *drawing) plot(p plot, x, y float64) {
	d.text(x+panelWidth/2, y-1.4*fontSize, middle, p.title)
	for k := range 6 {
		at := y + plotHeight*(1-float64(k)/5)
		d.line(x, at, x+panelWidth, at, gridColour)
		d.text(x-margin/2, at+0.35*fontSize, right, fmt.Sprintf("%.1f", float64(k)/5))
	}
	for k, tick := range p.ticks {
		at := x + tick*panelWidth
		d.line(at, y, at, y+plotHeight, gridColour)
		d.text(at, y+plotHeight+1.3*fontSize, middle, p.labels[k])
	}
	d.text(x+panelWidth/2, y+plotHeight+2.6*fontSize, middle, p.below)
	for k, curve := range p.curves {
		// A little apart, so that equal curves do not hide each other.
		shift := 1.2 * (float64(k) - float64(len(p.curves)-1)/2)
		for i := 1; i < len(curve); i++ {
			a, b := curve[i-1], curve[i]
			d.thick(x+a[0]*panelWidth, y+plotHeight*(1-a[1])+shift, x+b[0]*panelWidth, y+plotHeight*(1-b[1])+shift, solverColour(k))
		}
	}
}

// profile has the factor on a logarithmic axis, to 2^14.
func (s *RankOneSummary) profile() plot {
	const octaves = 14.0
	p := plot{title: "performance profiles: share of problems solved", below: "within this factor of the fastest solver's time"}
	for e := 0.0; e <= octaves; e += 2 {
		p.ticks, p.labels = append(p.ticks, e/octaves), append(p.labels, fmt.Sprintf("%g", math.Pow(2, e)))
	}
	all := standings(s.Solvers, s.records())
	for _, solver := range s.Solvers {
		var curve [][2]float64
		at := slices.IndexFunc(all, func(t standing) bool { return t.solver == solver })
		if at >= 0 {
			ratios := slices.Sorted(slices.Values(all[at].ratios))
			level := 0.0
			curve = append(curve, [2]float64{0, 0})
			for k, ratio := range ratios {
				x := math.Min(1, math.Log2(ratio)/octaves)
				curve = append(curve, [2]float64{x, level})
				level = float64(k+1) / float64(all[at].runs)
				curve = append(curve, [2]float64{x, level})
			}
			curve = append(curve, [2]float64{1, level})
		}
		p.curves = append(p.curves, curve)
	}
	return p
}

// success has one value of the axis a tick, evenly spaced, and is nothing where there are fewer than two.
func (s *RankOneSummary) success(below string, axis func(RankOneSpec) (float64, bool)) (plot, bool) {
	var values []float64
	for _, r := range s.records() {
		if v, ok := axis(r.Spec); ok && !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	if len(values) < 2 {
		return plot{}, false
	}
	slices.Sort(values)
	p := plot{title: "share of runs that found everything and invented nothing", below: below}
	for k, v := range values {
		p.ticks, p.labels = append(p.ticks, float64(k)/float64(len(values)-1)), append(p.labels, fmt.Sprintf("%g", v))
	}
	for _, solver := range s.Solvers {
		var curve [][2]float64
		for k, v := range values {
			runs, solved := 0, 0
			for _, r := range s.records() {
				if at, ok := axis(r.Spec); ok && at == v && r.Spec.Solver == solver {
					runs++
					if r.Outcome == Solved {
						solved++
					}
				}
			}
			if runs > 0 {
				curve = append(curve, [2]float64{p.ticks[k], float64(solved) / float64(runs)})
			}
		}
		p.curves = append(p.curves, curve)
	}
	return p, true
}
