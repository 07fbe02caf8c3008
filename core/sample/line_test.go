package sample

import "testing"

// TestBrisk: a run of pieces over which f changes that is longer than steps are is left out, and nothing else.
func TestBrisk(t *testing.T) {
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
	kept, dropped := brisk(pieces, 0.5)
	if len(kept) != 5+1+slowPieces || len(dropped) != 1 || dropped[0].a != 10 || dropped[0].b != 10+slowPieces+8 {
		t.Errorf("%d pieces kept, dropped: %v", len(kept), dropped)
	}
}
