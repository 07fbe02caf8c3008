package sample

import (
	"math"
	"testing"
)

// TestRuns: a run of pieces over which f changes that is longer than steps are is told from the others, and is one piece when joined.
func TestRuns(t *testing.T) {
	var pieces []interval
	run := func(from, count int) {
		for k := range count {
			pieces = append(pieces, interval{float64(from + k), float64(from + k + 1), float64(k), float64(k + 1)})
		}
	}
	run(0, 5)
	run(10, slowPieces+8)
	pieces = append(pieces, interval{60, 61, 1, 1}) // beside the next, but f does not change over it
	run(61, slowPieces)
	kept, long := runs(pieces, 0.5, slowPieces)
	dropped := joined(long)
	if len(kept) != 5+1+slowPieces || len(dropped) != 1 || dropped[0].a != 10 || dropped[0].b != 10+slowPieces+8 {
		t.Errorf("%d pieces kept, dropped: %v", len(kept), dropped)
	}
}

// TestChangesOfWideStep: a step that is many times as wide as the finest pieces, beside a narrow one, is not divided to the end, where it would count as one that the line crosses slowly.
func TestChangesOfWideStep(t *testing.T) {
	search := func(slow float64, parts int) (groups [][]interval, crawls int, queries int64) {
		o := &function{f: func(x []float64) float64 { return math.Tanh((x[0]-300)/8) + math.Tanh(x[0]+500) }}
		l := line{Origin: []float64{0}, Direction: []float64{1}}
		groups, crawls, err := l.changes(t.Context(), o, []interval{{-1000, 1000, -2, 2}}, fineness{change: 1e-14, width: 1, slow: slow, parts: parts})
		if err != nil {
			t.Fatal(err)
		}
		return groups, crawls, o.queries
	}
	groups, crawls, queries := search(widePieces/finest, wideParts)
	if len(groups) != 2 || crawls != 0 {
		t.Fatalf("%d steps, %d crossed slowly", len(groups), crawls)
	}
	for i, at := range []float64{-500, 300} {
		if g := groups[i]; g[0].a > at || g[len(g)-1].b < at {
			t.Errorf("step %d is in [%g, %g], not around %g", i, g[0].a, g[len(g)-1].b, at)
		}
	}
	if groups, crawls, all := search(slowFrom/finest, 0); len(groups) != 1 || crawls != 1 || queries > all*2/3 {
		t.Errorf("%d queries; divided to the end %d steps, %d crossed slowly, %d queries", queries, len(groups), crawls, all)
	}
}
