package bench

import (
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/nnid/nnid/core/fault"
)

// Colours that readers who see no red tell apart (Okabe and Ito).
var (
	successColour = color.RGBA{0, 114, 178, 255}
	failureColour = color.RGBA{213, 94, 0, 255}
)

// WriteFigure draws every run as a point, a line a cell: its parameter error on the left and its queries per parameter
// on the right; blue dots succeeded, orange crosses did not. format is "svg" or "png".
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
	errors := panel(cells, "largest parameter error", true, func(r *Record) float64 { return r.MaxError })
	costs := panel(cells, "queries / P", false, (*Record).PerParameter)

	width, height := 11*vg.Inch, vg.Length(len(cells))*0.22*vg.Inch+0.9*vg.Inch
	paint := func(c draw.Canvas) {
		c = draw.Crop(c, 0.1*vg.Inch, -0.15*vg.Inch, 0.05*vg.Inch, -0.1*vg.Inch)
		split := c.Min.X + 0.64*(c.Max.X-c.Min.X)
		left, right := c, c
		left.Max.X, right.Min.X = split-0.1*vg.Inch, split+0.1*vg.Inch
		errors.Draw(left)
		costs.Y.Tick.Marker = plot.ConstantTicks{} // the names are on the left
		costs.Draw(right)
	}
	switch format {
	case "svg":
		canvas := vgsvg.New(width, height)
		paint(draw.New(canvas))
		_, err := canvas.WriteTo(w)
		return err
	case "png":
		canvas := vgimg.PngCanvas{Canvas: vgimg.New(width, height)}
		paint(draw.New(canvas))
		_, err := canvas.WriteTo(w)
		return err
	}
	return fault.New(fault.Usage, "there is no figure format %q; there are svg and png", format)
}

func panel(cells []*CellSummary, title string, logarithmic bool, of func(*Record) float64) *plot.Plot {
	p := plot.New()
	p.X.Label.Text = title
	p.Y.Min, p.Y.Max = -0.5, float64(len(cells))-0.5
	var ticks plot.ConstantTicks
	var good, bad plotter.XYs
	least, most := math.Inf(1), math.Inf(-1)
	for k, c := range cells {
		y := float64(len(cells) - 1 - k) // the first cell at the top, as in the table
		ticks = append(ticks, plot.Tick{Value: y, Label: c.Cell.Name})
		for j, r := range c.Records {
			v := of(r)
			if math.IsNaN(v) || (logarithmic && v < 1e-17) {
				continue
			}
			least, most = math.Min(least, v), math.Max(most, v)
			// Runs of a cell side by side, so that equal ones do not hide each other.
			point := plotter.XY{X: v, Y: y + 0.6*((float64(j)+0.5)/float64(len(c.Records))-0.5)}
			if r.Success(c.Cell.Bound) {
				good = append(good, point)
			} else {
				bad = append(bad, point)
			}
		}
	}
	p.Y.Tick.Marker = ticks
	p.Y.Tick.Label.Font.Size = vg.Points(8)
	p.X.Tick.Label.Font.Size = vg.Points(8)
	add := func(points plotter.XYs, shape draw.GlyphDrawer, colour color.Color) {
		if len(points) == 0 {
			return
		}
		if scatter, err := plotter.NewScatter(points); err == nil { // the points are finite
			scatter.GlyphStyle = draw.GlyphStyle{Shape: shape, Color: colour, Radius: vg.Points(2)}
			p.Add(scatter)
		}
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color = color.Gray{230}
	grid.Vertical.Color = color.Gray{230}
	p.Add(grid)
	add(good, draw.CircleGlyph{}, successColour)
	add(bad, draw.CrossGlyph{}, failureColour)
	switch {
	case logarithmic && least <= most:
		// Whole decades, a tick every few of them: the default's minor ticks drown sixteen decades.
		low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
		if high == low {
			high++
		}
		p.X.Min, p.X.Max = math.Pow(10, low), math.Pow(10, high)
		p.X.Scale = plot.LogScale{}
		every := math.Max(1, math.Ceil((high-low)/8))
		var decades plot.ConstantTicks
		for e := low; e <= high; e += every {
			decades = append(decades, plot.Tick{Value: math.Pow(10, e), Label: number("%.0e", math.Pow(10, e))})
		}
		p.X.Tick.Marker = decades
	case logarithmic: // no run has an error
		p.X.Min, p.X.Max = 0, 1
		p.X.Tick.Marker = plot.ConstantTicks{}
	default:
		p.X.Min = 0
		if !(most > 0) {
			most = 1
		}
		p.X.Max = 1.05 * most
	}
	return p
}
