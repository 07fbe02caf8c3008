package recover

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"github.com/nnid/nnid/core"
)

// fitSlope finds scale > 0, shift and weight such that weight scale h'(scale q_k + shift) = slope_k: one second-layer
// unit seen along its own pre-activation. The amplitude is linear; scale and shift are scanned, then refined by
// shrinking pattern search.
func fitSlope(h core.Function, q, slope []float64) (scale, shift, weight float64) {
	low, high := floats.Min(q), floats.Max(q)
	width := high - low
	buffer := make([]float64, len(q))
	// In terms of where the unit's centre lies on the q axis: shift = -scale * centre.
	misfit := func(logScale, centre float64) (residual, amplitude float64) {
		s := math.Exp(logScale)
		for k, v := range q {
			buffer[k] = s * (v - centre)
		}
		h.Apply(1, buffer, buffer)
		hh, hy := floats.Dot(buffer, buffer), floats.Dot(buffer, slope)
		if hh == 0 {
			return math.Inf(1), 0
		}
		amplitude = hy / hh
		for k := range buffer {
			r := slope[k] - amplitude*buffer[k]
			residual += r * r
		}
		return residual, amplitude
	}
	type candidate struct{ residual, logScale, centre float64 }
	var best candidate
	best.residual = math.Inf(1)
	const scales, centres = 40, 120
	logLow, logHigh := math.Log(0.03/width), math.Log(120/width)
	stepScale, stepCentre := (logHigh-logLow)/scales, 3*width/centres
	// The best few cells of the grid are refined: near-ties are common when few points are alive.
	var grid []candidate
	for i := range scales + 1 {
		for j := range centres + 1 {
			c := candidate{0, logLow + float64(i)*stepScale, low - width + float64(j)*stepCentre}
			c.residual, _ = misfit(c.logScale, c.centre)
			grid = append(grid, c)
		}
	}
	for range 8 {
		at := 0
		for k, c := range grid {
			if c.residual < grid[at].residual {
				at = k
			}
		}
		c := grid[at]
		for k := range grid { // its neighbourhood is spoken for
			if math.Abs(grid[k].logScale-c.logScale) < 1.5*stepScale && math.Abs(grid[k].centre-c.centre) < 3*stepCentre {
				grid[k].residual = math.Inf(1)
			}
		}
		ds, dc := stepScale, stepCentre
		// With an activation that is not the hidden one the residual may creep downhill for ever, towards scale 0: the
		// search is cut off long after any that converges.
		for range 2000 {
			if ds <= 1e-10 {
				break
			}
			improved := false
			for _, move := range [][2]float64{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {1, -1}, {-1, 1}, {-1, -1}} {
				n := candidate{0, c.logScale + move[0]*ds, c.centre + move[1]*dc}
				n.residual, _ = misfit(n.logScale, n.centre)
				if n.residual < c.residual {
					c, improved = n, true
				}
			}
			if !improved {
				ds, dc = ds/2, dc/2
			}
		}
		if c.residual < best.residual {
			best = c
		}
	}
	_, amplitude := misfit(best.logScale, best.centre)
	scale = math.Exp(best.logScale)
	return scale, -scale * best.centre, amplitude / scale
}
