package bench

import (
	"image/color"
	"io"
	"math"

	"github.com/nnid/nnid/core/fault"
)

// Colours that readers who see no red tell apart (Okabe and Ito), and shades for axes.
var (
	successColour = color.RGBA{0, 114, 178, 255}
	failureColour = color.RGBA{213, 94, 0, 255}
	gridColour    = color.RGBA{225, 225, 225, 255}
	textColour    = color.RGBA{40, 40, 40, 255}
)

// Measures of the figure, in units of which an SVG viewer makes pixels.
const (
	rowHeight  = 16.0
	fontSize   = 11.0
	panelWidth = 340.0
	margin     = 12.0
	dotRadius  = 2.4
)

// WriteFigure draws every run as a point, a row a cell: its parameter error on the left and its queries per parameter
// on the right; blue dots succeeded, orange crosses did not. A run that found no network of the right size is on the
// right edge. format is "svg" or "png".
func (s *Summary) WriteFigure(w io.Writer, format string) error {
	var cells []*CellSummary
	for i := range s.Cells {
		if len(s.Cells[i].Records) > 0 {
			cells = append(cells, &s.Cells[i])
		}
	}
	if len(cells) == 0 {
		return fault.New(fault.Usage, "there is nothing to draw: no run of the suite is finished")
	}
	d := drawing{}
	names := 0.0
	for _, c := range cells {
		names = math.Max(names, textWidth(c.Cell.Name, fontSize))
	}
	left, top := margin+names+margin, 2.6*fontSize
	for k, c := range cells {
		d.text(left-margin/2, top+(float64(k)+0.5)*rowHeight+0.35*fontSize, right, c.Cell.Name)
	}
	d.panel(cells, left, top, "largest relative parameter error", decades, func(r *Record) float64 { return r.MaxError })
	d.panel(cells, left+panelWidth+4*margin, top, "queries / P", fromZero, (*Record).PerParameter)
	d.width = left + 2*panelWidth + 6*margin
	d.height = top + float64(len(cells))*rowHeight + 2.2*fontSize
	switch format {
	case "svg":
		return d.writeSVG(w)
	case "png":
		return d.writePNG(w)
	}
	return fault.New(fault.Usage, "there is no figure format %q; there are svg and png", format)
}

// axis maps values to [0, 1] and has ticks.
type axis struct {
	place  func(v float64) float64
	ticks  []float64
	format string
}

// decades is a logarithmic axis from and to whole powers of ten. What is below the first, such as 0, lies on the edge.
func decades(values []float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v > 0 {
			low, high = math.Min(low, math.Floor(math.Log10(v))), math.Max(high, math.Ceil(math.Log10(v)))
		}
	}
	if low > high {
		low, high = -16, 0
	}
	low = math.Max(low, -17)
	high = math.Min(math.Max(high, low+1), 3) // an error of a thousand times the weights is as bad as any other
	a := axis{format: "%.0e", place: func(v float64) float64 {
		return math.Max(0, math.Min(1, (math.Log10(v)-low)/(high-low)))
	}}
	for e := low; e <= high; e += math.Ceil((high - low) / 7) {
		a.ticks = append(a.ticks, math.Pow(10, e))
	}
	return a
}

// fromZero is a linear axis.
func fromZero(values []float64) axis {
	most := largest(values)
	if !(most > 0) {
		most = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, factor := range []float64{0.2, 0.5, 1} {
		if most/(step*factor) <= 7 {
			step *= factor
			break
		}
	}
	end := step * math.Ceil(most/step)
	a := axis{format: "%g", place: func(v float64) float64 { return math.Min(v/end, 1) }}
	for k := 0.0; k*step <= end*(1+1e-9); k++ {
		a.ticks = append(a.ticks, k*step)
	}
	return a
}

func (d *drawing) panel(cells []*CellSummary, x, y float64, title string, scale func([]float64) axis, of func(*Record) float64) {
	var values []float64
	for _, c := range cells {
		for _, v := range c.values(of) {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				values = append(values, v)
			}
		}
	}
	a := scale(values)
	bottom := y + float64(len(cells))*rowHeight
	d.text(x+panelWidth/2, y-1.4*fontSize, middle, title)
	for _, tick := range a.ticks {
		at := x + a.place(tick)*panelWidth
		d.line(at, y, at, bottom, gridColour)
		d.text(at, bottom+1.3*fontSize, middle, number(a.format, tick))
	}
	for k := range len(cells) + 1 {
		d.line(x, y+float64(k)*rowHeight, x+panelWidth, y+float64(k)*rowHeight, gridColour)
	}
	for k, c := range cells {
		for j, r := range c.Records {
			v := of(r)
			if math.IsNaN(v) || math.IsInf(v, 0) {
				v = math.Inf(1)
			}
			// Runs of a cell one below the other, so that equal ones do not hide each other.
			row := y + (float64(k)+0.15+0.7*(float64(j)+0.5)/float64(len(c.Records)))*rowHeight
			if c.Cell.Success(r) {
				d.dot(x+a.place(v)*panelWidth, row, successColour)
			} else {
				d.cross(x+a.place(v)*panelWidth, row, failureColour)
			}
		}
	}
}
