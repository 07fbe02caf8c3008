package bench

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// drawing is what a figure consists of. It is small enough not to need a plotting library, whose dependencies would
// outweigh all of nnid's.
type drawing struct {
	width, height float64
	lines         []stroke
	dots          []dot
	texts         []label
}

type (
	stroke struct {
		x1, y1, x2, y2, width float64
		colour                color.RGBA
	}
	dot struct {
		x, y   float64
		colour color.RGBA
	}
	label struct {
		x, y   float64 // of the base line
		anchor anchor
		text   string
	}
	anchor int // where x is in the text
)

const (
	middle anchor = iota
	right
)

func (d *drawing) line(x1, y1, x2, y2 float64, c color.RGBA) {
	d.lines = append(d.lines, stroke{x1, y1, x2, y2, 1, c})
}

func (d *drawing) dot(x, y float64, c color.RGBA) { d.dots = append(d.dots, dot{x, y, c}) }

func (d *drawing) cross(x, y float64, c color.RGBA) {
	d.lines = append(d.lines, stroke{x - dotRadius, y - dotRadius, x + dotRadius, y + dotRadius, 1.4, c},
		stroke{x - dotRadius, y + dotRadius, x + dotRadius, y - dotRadius, 1.4, c})
}

func (d *drawing) text(x, y float64, a anchor, text string) {
	d.texts = append(d.texts, label{x, y, a, text})
}

func (d *drawing) writeSVG(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="Go, Helvetica, Arial, sans-serif" font-size="%g">`+"\n",
		d.width, d.height, d.width, d.height, fontSize)
	fmt.Fprintf(out, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for _, l := range d.lines {
		fmt.Fprintf(out, `<path d="M%.1f %.1fL%.1f %.1f" stroke="%s" stroke-width="%g"/>`+"\n", l.x1, l.y1, l.x2, l.y2, hexColour(l.colour), l.width)
	}
	for _, c := range d.dots {
		fmt.Fprintf(out, `<circle cx="%.1f" cy="%.1f" r="%g" fill="%s"/>`+"\n", c.x, c.y, dotRadius, hexColour(c.colour))
	}
	for _, t := range d.texts {
		var escaped strings.Builder
		if err := xml.EscapeText(&escaped, []byte(t.text)); err != nil {
			return err
		}
		fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n",
			t.x, t.y, map[anchor]string{middle: "middle", right: "end"}[t.anchor], hexColour(textColour), escaped.String())
	}
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
}

func hexColour(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// pixelScale makes the picture sharp on screens of twice the usual resolution.
const pixelScale = 2

func (d *drawing) writePNG(w io.Writer) error {
	width, height := int(math.Ceil(d.width*pixelScale)), int(math.Ceil(d.height*pixelScale))
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(picture, picture.Bounds(), image.White, image.Point{}, draw.Src)
	// A shape is rasterised in a box of its own: the whole picture for every dot would take minutes.
	fill := func(c color.RGBA, points [][2]float64) {
		x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
		for _, p := range points {
			x0, y0 = math.Min(x0, math.Floor(p[0]*pixelScale)), math.Min(y0, math.Floor(p[1]*pixelScale))
			x1, y1 = math.Max(x1, math.Ceil(p[0]*pixelScale)), math.Max(y1, math.Ceil(p[1]*pixelScale))
		}
		r := vector.NewRasterizer(int(x1-x0)+1, int(y1-y0)+1)
		for k, p := range points {
			x, y := float32(p[0]*pixelScale-x0), float32(p[1]*pixelScale-y0)
			if k == 0 {
				r.MoveTo(x, y)
			} else {
				r.LineTo(x, y)
			}
		}
		r.ClosePath()
		at := image.Pt(int(x0), int(y0))
		r.Draw(picture, r.Bounds().Add(at), image.NewUniform(c), image.Point{})
	}
	for _, l := range d.lines {
		length := math.Hypot(l.x2-l.x1, l.y2-l.y1)
		nx, ny := -(l.y2-l.y1)/length*l.width/2, (l.x2-l.x1)/length*l.width/2
		fill(l.colour, [][2]float64{{l.x1 + nx, l.y1 + ny}, {l.x2 + nx, l.y2 + ny}, {l.x2 - nx, l.y2 - ny}, {l.x1 - nx, l.y1 - ny}})
	}
	for _, c := range d.dots {
		var circle [][2]float64
		for k := range 24 {
			angle := 2 * math.Pi * float64(k) / 24
			circle = append(circle, [2]float64{c.x + dotRadius*math.Cos(angle), c.y + dotRadius*math.Sin(angle)})
		}
		fill(c.colour, circle)
	}
	face, err := opentype.NewFace(typeface(), &opentype.FaceOptions{Size: fontSize * pixelScale, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return err
	}
	defer face.Close()
	for _, t := range d.texts {
		pen := font.Drawer{Dst: picture, Src: image.NewUniform(textColour), Face: face}
		x := fixed.Int26_6(t.x * pixelScale * 64)
		switch length := pen.MeasureString(t.text); t.anchor {
		case middle:
			x -= length / 2
		case right:
			x -= length
		}
		pen.Dot = fixed.Point26_6{X: x, Y: fixed.Int26_6(t.y * pixelScale * 64)}
		pen.DrawString(t.text)
	}
	return png.Encode(w, picture)
}

// typeface is the font of the figures. SVG viewers that lack it take one about as wide.
var typeface = sync.OnceValue(func() *opentype.Font {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err) // the font is part of the program
	}
	return f
})

// textWidth is the width of the text in the figure's units.
func textWidth(text string, size float64) float64 {
	face, err := opentype.NewFace(typeface(), &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		panic(err) // the options are constants
	}
	defer face.Close()
	return float64(font.MeasureString(face, text)) / 64
}
