package bench

import (
	"fmt"
	"image/color"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/paper"
)

// Chart is a figure over the metrics of a suite: lines of means with their confidence intervals, or a heat map.
type Chart struct {
	Name   string `yaml:"name"`   // of the file
	Title  string `yaml:"title"`  //
	Cells  string `yaml:"cells"`  // only cells whose suite name is this; empty: all
	X      string `yaml:"x"`      // a setting: an option's name, d, m0, m1, ratio (m1/m0), shift, noise, weights
	Y      string `yaml:"y"`      // a metric for lines, a setting for a heat map
	Series string `yaml:"series"` // lines: settings that tell lines apart, with blanks between, or cell for the cells' names in the suite
	Value  string `yaml:"value"`  // heat map: the metric, or success
	Log    string `yaml:"log"`    // x, y or xy: logarithmic axes of lines
}

func (c Chart) check() error {
	switch {
	case c.Name == "" || c.X == "" || c.Y == "":
		return fmt.Errorf("charts: %q needs a name, x and y", c.Name)
	case c.Log != "" && c.Log != "x" && c.Log != "y" && c.Log != "xy":
		return fmt.Errorf("charts: log is %q; it must be x, y or xy", c.Log)
	}
	return nil
}

// of returns the suite's cells that the chart shows.
func (c Chart) of(cells []Cell) []Cell {
	var shown []Cell
	for _, cell := range cells {
		if c.Cells == "" || cell.Group == c.Cells {
			shown = append(shown, cell)
		}
	}
	return shown
}

// checkCells refuses a chart in which two cells would be one point, or that shows none.
func (c Chart) checkCells(all []Cell) error {
	cells, at := c.of(all), map[[2]string]string{}
	if len(cells) == 0 {
		return fmt.Errorf("charts: %s shows the cells %q, but there are none", c.Name, c.Cells)
	}
	for _, cell := range cells {
		key := [2]string{cell.setting(c.X), c.curve(cell)}
		if c.Value != "" {
			key[1] = cell.setting(c.Y)
		}
		if other, twice := at[key]; twice {
			return fmt.Errorf("charts: in %s the cells %q and %q are one point; let series, or cells, tell them apart", c.Name, other, cell.Name)
		}
		at[key] = cell.Name
	}
	return nil
}

// curve names the line that the cell is a point of.
func (c Chart) curve(cell Cell) string {
	var words []string
	for _, name := range strings.Fields(c.Series) {
		text := cell.setting(name)
		if name != "cell" && name != "activation" {
			text = name + " " + text
		}
		words = append(words, text)
	}
	return strings.Join(words, ", ")
}

// setting returns a setting of the cell as text.
func (c Cell) setting(name string) string {
	s := c.Spec
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	switch name {
	case "cell":
		return c.Group
	case "d":
		return strconv.Itoa(s.Size.Inputs)
	case "m0":
		return strconv.Itoa(s.Size.M0)
	case "m1":
		return strconv.Itoa(s.Size.M1)
	case "ratio":
		return number(math.Round(100*float64(s.Size.M1)/float64(s.Size.M0)) / 100)
	case "shift":
		return number(s.Shift)
	case "noise":
		return number(s.Noise)
	case "activation":
		return s.Activation
	case "solver":
		return s.Solver
	case "weights":
		if s.Weights == "" {
			return "sphere"
		}
		return s.Weights
	}
	if value, given := s.Options[name]; given || s.Recipe != identify.RecipePaper {
		return value
	}
	for _, o := range paper.Declared.Options {
		if o.Name == name {
			return o.Default
		}
	}
	return ""
}

// curve colours, that readers who see no red tell apart (Okabe and Ito).
var chartColours = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}, {0, 0, 0, 255}}

const chartWidth, chartHeight = 460.0, 260.0

// WriteChart draws the chart; format is "svg" or "png". It reports false where no run that it would show is finished.
func (s *Summary) WriteChart(w io.Writer, chart Chart, format string) (bool, error) {
	var cells []*CellSummary
	for i := range s.Cells {
		if c := &s.Cells[i]; len(c.Records) > 0 && (chart.Cells == "" || c.Cell.Group == chart.Cells) {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		return false, nil
	}
	var d *drawing
	if chart.Value != "" {
		d = heatMap(chart, cells)
	} else {
		d = lines(chart, cells)
	}
	switch format {
	case "svg":
		return true, d.writeSVG(w)
	case "png":
		return true, d.writePNG(w)
	}
	return false, fault.New(fault.Usage, "there is no figure format %q; there are svg and png", format)
}

// of is the metric's mean over the cell's runs, or the success rate, with the ends of its interval.
func (c *CellSummary) of(metric string) (mean, low, high float64) {
	if metric == "success" {
		low, high := Wilson(c.Successes(), len(c.Records))
		return float64(c.Successes()) / float64(len(c.Records)), low, high
	}
	mean, half := Mean(c.values(func(r *Record) float64 { return r.Metric(metric) }))
	if math.IsNaN(half) {
		half = 0
	}
	low, high = mean-half, mean+half
	if strings.HasPrefix(metric, "recall_") || strings.HasPrefix(metric, "attribution_") { // shares
		low, high = math.Max(0, low), math.Min(1, high)
	}
	return mean, low, high
}

type curvePoint struct{ x, y, low, high float64 }

func lines(chart Chart, cells []*CellSummary) *drawing {
	curves := map[string][]curvePoint{}
	var names []string
	xNames := map[float64]string{}
	numeric := true
	var texts []string
	for _, c := range cells {
		text := c.Cell.setting(chart.X)
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			numeric = false
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	var xs, ys []float64
	for _, c := range cells {
		text := c.Cell.setting(chart.X)
		x := float64(slices.Index(texts, text))
		if numeric {
			x, _ = strconv.ParseFloat(text, 64)
		}
		if x <= 0 && numeric && (chart.Log == "x" || chart.Log == "xy") {
			continue // a logarithmic axis has no place for it
		}
		xNames[x] = text
		mean, low, high := c.of(chart.Y)
		if math.IsNaN(mean) {
			continue
		}
		name := chart.curve(c.Cell)
		if _, ok := curves[name]; !ok {
			names = append(names, name)
		}
		curves[name] = append(curves[name], curvePoint{x, mean, low, high})
		xs, ys = append(xs, x), append(ys, mean, high)
		if low > 0 || chart.Log != "y" && chart.Log != "xy" {
			ys = append(ys, low)
		}
	}
	d := &drawing{}
	left, top := 62.0, 3*fontSize
	xAt := place(xs, chart.Log == "x" || chart.Log == "xy", false)
	yAt := place(ys, chart.Log == "y" || chart.Log == "xy", true)
	px := func(x float64) float64 { return left + 14 + (chartWidth-28)*xAt.place(x) }
	// The end of a wide interval may lie far outside the axis; it is drawn to its edge.
	py := func(y float64) float64 { return top + chartHeight*(1-math.Max(0, math.Min(1, yAt.place(y)))) }
	title := chart.Title
	if title == "" {
		title = chart.Y
	}
	d.text(left+chartWidth/2, 1.4*fontSize, middle, title)
	for _, tick := range yAt.ticks {
		d.line(left, py(tick), left+chartWidth, py(tick), gridColour)
		d.text(left-6, py(tick)+0.35*fontSize, right, number(yAt.format, tick))
	}
	for _, x := range slices.Sorted(maps.Keys(xNames)) {
		d.line(px(x), top, px(x), top+chartHeight, gridColour)
		d.text(px(x), top+chartHeight+1.4*fontSize, middle, xNames[x])
	}
	d.text(left+chartWidth/2, top+chartHeight+2.9*fontSize, middle, chart.X)
	most := 0.0
	for k, name := range names {
		c := chartColours[k%len(chartColours)]
		points := curves[name]
		slices.SortStableFunc(points, func(a, b curvePoint) int {
			switch {
			case a.x < b.x:
				return -1
			case a.x > b.x:
				return 1
			}
			return 0
		})
		for i, p := range points {
			x := px(p.x) + 2*(float64(k)-float64(len(names)-1)/2) // intervals of several curves do not hide each other
			d.line(x, py(p.low), x, py(p.high), c)
			d.dot(x, py(p.y), c)
			if i > 0 {
				q := points[i-1]
				d.line(px(q.x)+2*(float64(k)-float64(len(names)-1)/2), py(q.y), x, py(p.y), c)
			}
		}
		if name != "" {
			at := top + 6 + float64(k)*1.5*fontSize
			d.line(left+chartWidth+12, at, left+chartWidth+30, at, c)
			width := textWidth(name, fontSize)
			d.text(left+chartWidth+36+width, at+0.35*fontSize, right, name)
			most = math.Max(most, width+48)
		}
	}
	d.width, d.height = left+chartWidth+most+16, top+chartHeight+4*fontSize
	return d
}

// place is the axis for the values: logarithmic, from zero, or over their range.
func place(values []float64, logarithmic, fromLow bool) axis {
	if logarithmic {
		low, high := math.Inf(1), math.Inf(-1)
		for _, v := range values {
			if v > 0 {
				low, high = math.Min(low, math.Log10(v)), math.Max(high, math.Log10(v))
			}
		}
		if low > high {
			low, high = 0, 1
		}
		if fromLow {
			low, high = math.Floor(low), math.Ceil(high)
		}
		if high == low {
			high++
		}
		a := axis{format: "%.0e", place: func(v float64) float64 {
			if !(v > 0) {
				return 0
			}
			return math.Max(0, math.Min(1, (math.Log10(v)-low)/(high-low)))
		}}
		step := math.Max(1, math.Ceil((high-low)/7))
		for e := math.Ceil(low); e <= high; e += step {
			a.ticks = append(a.ticks, math.Pow(10, e))
		}
		return a
	}
	if fromLow {
		if most := largest(values); most <= 1.0001 && most > 0.3 {
			a := axis{format: "%.1f", place: func(v float64) float64 { return math.Max(0, math.Min(1, v/1.02)) }}
			for k := range 6 {
				a.ticks = append(a.ticks, float64(k)*2/10)
			}
			return a
		}
		a := fromZero(values)
		a.format = "%.3g" // multiples of 0.2 are not exact
		return a
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = math.Min(low, v), math.Max(high, v)
	}
	if !(high > low) {
		high = low + 1
	}
	return axis{format: "%g", place: func(v float64) float64 { return (v - low) / (high - low) }}
}

func heatMap(chart Chart, cells []*CellSummary) *drawing {
	var xs, ys []string
	for _, c := range cells {
		if x := c.Cell.setting(chart.X); !slices.Contains(xs, x) {
			xs = append(xs, x)
		}
		if y := c.Cell.setting(chart.Y); !slices.Contains(ys, y) {
			ys = append(ys, y)
		}
	}
	const size, tall = 46.0, 26.0
	d := &drawing{}
	left, top := 60.0, 3*fontSize
	for _, y := range ys {
		left = math.Max(left, textWidth(chart.Y+" "+y, fontSize)+24)
	}
	centre := math.Max(left+size*float64(len(xs))/2, textWidth(chart.Title, fontSize)/2+margin)
	d.text(centre, 1.4*fontSize, middle, chart.Title)
	for _, c := range cells {
		i, j := slices.Index(xs, c.Cell.setting(chart.X)), slices.Index(ys, c.Cell.setting(chart.Y))
		v, _, _ := c.of(chart.Value)
		x, y := left+size*float64(i), top+tall*float64(j)
		shade := func(a, b uint8) uint8 {
			t := math.Max(0, math.Min(1, v))
			return uint8(float64(a)*(1-t) + float64(b)*t)
		}
		// A wide stroke is a filled box.
		d.lines = append(d.lines, stroke{x + size/2, y + 1, x + size/2, y + tall - 1, size - 2, color.RGBA{shade(250, 86), shade(235, 180), shade(220, 233), 255}})
		d.text(x+size/2, y+tall/2+0.35*fontSize, middle, short(v))
	}
	for j, y := range ys {
		d.text(left-8, top+tall*(float64(j)+0.5)+0.35*fontSize, right, chart.Y+" "+y)
	}
	for i, x := range xs {
		d.text(left+size*(float64(i)+0.5), top+tall*float64(len(ys))+1.4*fontSize, middle, x)
	}
	d.text(left+size*float64(len(xs))/2, top+tall*float64(len(ys))+2.9*fontSize, middle, chart.X)
	d.width = math.Max(left+size*float64(len(xs))+16, centre+textWidth(chart.Title, fontSize)/2+margin)
	d.height = top + tall*float64(len(ys)) + 4*fontSize
	return d
}
