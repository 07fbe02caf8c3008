package sample

import (
	"context"
	"math"
	"slices"
	"sort"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/query"
)

// line is x(t) = Origin + t Direction, Direction a unit vector.
type line struct {
	Origin, Direction []float64
}

func (l line) at(t float64) []float64 { return along(l.Origin, t, l.Direction) }

// interval is a piece of a line with f at its ends.
type interval struct {
	a, b, fa, fb float64
}

func (i interval) change() float64 { return math.Abs(i.fb - i.fa) }

// ask evaluates f at the given positions of the line.
func (l line) ask(ctx context.Context, oracle query.Asker, ts []float64) ([]float64, error) {
	points := make([][]float64, len(ts))
	for i, t := range ts {
		points[i] = l.at(t)
	}
	return Points(ctx, oracle, points)
}

// mostPieces is how many pieces of a line are bisected at one level. Each of the m0 steps is in one or two of them, and seldom has
// a network more than a few times as many units as inputs; a noise that is missed makes twice as many with every level.
func mostPieces(d int) int { return 128 + 16*d }

// fineness is how far the changes of f along a line are followed.
type fineness struct {
	change float64 // of f over a piece from which on it is looked into
	width  float64 // of the pieces in the end
	slow   float64 // runs of many pieces that are at most so wide are left out: the line crosses their step slowly
	parts  int     // a step that is in so many such pieces is not divided further; 0: all are, to the end
}

// changes bisects the given intervals, all at once level by level, until the pieces over which f changes are as fine as wanted. Pieces that touch are joined into one
// group; groups are in order of position. Steps that the line crosses too slowly are left out, and counted. It fails with an
// Unsupported fault where f changes nearly everywhere, as it does where it is not constant between steps, or noisier than it seemed.
func (l line) changes(ctx context.Context, oracle query.Asker, pieces []interval, fine fineness) (groups [][]interval, slow int, err error) {
	var narrow, crawls []interval
	active := pieces
	for len(active) > 0 {
		var split []interval
		var mids []float64
		for _, p := range active {
			switch {
			case p.change() <= fine.change:
			case p.b-p.a <= fine.width:
				narrow = append(narrow, p)
			default:
				split = append(split, p)
				mids = append(mids, (p.a+p.b)/2)
			}
		}
		y, err := l.ask(ctx, oracle, mids)
		if err != nil {
			return nil, 0, err
		}
		active = active[:0:0]
		for i, p := range split {
			active = append(active, interval{p.a, mids[i], p.fa, y[i]}, interval{mids[i], p.b, y[i], p.fb})
		}
		var tails []interval
		active, tails = cores(active, fine.change)
		narrow = append(narrow, tails...)
		if len(active) > 0 && active[0].b-active[0].a <= fine.slow {
			var long []interval
			active, long = runs(active, fine.change, slowPieces)
			crawls = append(crawls, joined(long)...)
			if fine.parts > 0 {
				active, long = runs(active, fine.change, fine.parts)
				narrow = append(narrow, long...)
			}
		}
		if most := mostPieces(len(l.Origin)); len(split) > most {
			return nil, 0, fault.New(fault.Unsupported, "far out, f changes in more than %d pieces of one line: it is not constant between the steps of a first layer that saturates, or its answers drift or are noisier than they seemed at first", most)
		}
	}
	sort.Slice(narrow, func(i, j int) bool { return narrow[i].a < narrow[j].a })
	for _, p := range narrow {
		if n := len(groups); n > 0 && groups[n-1][len(groups[n-1])-1].b >= p.a {
			groups[n-1] = append(groups[n-1], p)
		} else {
			groups = append(groups, []interval{p})
		}
	}
	// Their tails go with them.
	groups = slices.DeleteFunc(groups, func(g []interval) bool {
		return slices.ContainsFunc(crawls, func(c interval) bool { return g[0].a <= c.b && g[len(g)-1].b >= c.a })
	})
	return groups, len(crawls), nil
}

// slowPieces is how many neighbouring pieces a step is in at most: where it is in more the line runs nearly along its hyperplane. It would take as many answers as the
// step is long, and tell the direction badly.
const slowPieces = 32

// runs tells the pieces that are in a row of more than that many over which f changes from the others.
func runs(pieces []interval, tolerance float64, most int) (short, long []interval) {
	for from := 0; from < len(pieces); {
		to := from + 1
		for changes := pieces[from].change() > tolerance; to < len(pieces) && changes && pieces[to].a == pieces[to-1].b && pieces[to].change() > tolerance; {
			to++
		}
		if to-from > most {
			long = append(long, pieces[from:to]...)
		} else {
			short = append(short, pieces[from:to]...)
		}
		from = to
	}
	return short, long
}

// joined returns pieces that touch as one.
func joined(pieces []interval) (all []interval) {
	for _, p := range pieces {
		if n := len(all); n > 0 && all[n-1].b == p.a {
			all[n-1].b, all[n-1].fb = p.b, p.fb
		} else {
			all = append(all, p)
		}
	}
	return all
}

// steep is where a step is steep: over [center-half, center+half] f is monotone and nearly straight.
type steep struct {
	center, half float64
	jump         float64 // the change of f over the whole step
}

// tailPart of the change over a piece is what the next one has at most where it is a tail of the same step.
const tailPart = 1e-3

// cores tells the pieces in which f changes from the tails beside them: a step that the line crosses slowly has long ones, in which there is
// nothing to be found. A small step that hides there is left for another line.
func cores(pieces []interval, tolerance float64) (kept, tails []interval) {
	for i, p := range pieces {
		beside := 0.0
		if i > 0 && pieces[i-1].b == p.a {
			beside = pieces[i-1].change()
		}
		if i+1 < len(pieces) && pieces[i+1].a == p.b {
			beside = math.Max(beside, pieces[i+1].change())
		}
		if change := p.change(); change > tolerance && change < tailPart*beside {
			tails = append(tails, p)
		} else {
			kept = append(kept, p)
		}
	}
	return kept, tails
}

// straighten bisects every group towards its steepest part until f is nearly straight there, all groups at once; groups are given up as
// too faint where f changes by no more than that.
func (l line) straighten(ctx context.Context, oracle query.Asker, groups [][]interval, faint float64) ([]steep, error) {
	type work struct {
		piece    interval
		jump     float64
		balanced int
		group    int
	}
	var active []work
	cores := make([]steep, len(groups))
	for i, g := range groups {
		w := work{group: i}
		for _, p := range g {
			w.jump += p.fb - p.fa
			if p.change() > w.piece.change() {
				w.piece = p
			}
		}
		w.jump = math.Abs(w.jump)
		active = append(active, w)
	}
	for level := 0; len(active) > 0 && level < 60; level++ {
		mids := make([]float64, len(active))
		for i, w := range active {
			mids[i] = (w.piece.a + w.piece.b) / 2
		}
		y, err := l.ask(ctx, oracle, mids)
		if err != nil {
			return nil, err
		}
		next := active[:0:0]
		for i, w := range active {
			left := interval{w.piece.a, mids[i], w.piece.fa, y[i]}
			right := interval{mids[i], w.piece.b, y[i], w.piece.fb}
			larger, smaller := left, right
			if right.change() > left.change() {
				larger, smaller = right, left
			}
			monotone := (left.fb-left.fa)*(right.fb-right.fa) > 0
			if monotone && smaller.change() > 0.6*larger.change() {
				w.balanced++
			} else {
				w.balanced = 0
			}
			if w.balanced == 2 {
				cores[w.group] = steep{center: mids[i], half: (w.piece.b - w.piece.a) / 2, jump: w.jump}
				continue
			}
			if larger.change() <= faint || mids[i] == w.piece.a || mids[i] == w.piece.b {
				continue // too faint to follow: the zero core says so
			}
			w.piece = larger
			next = append(next, w)
		}
		active = next
	}
	return cores, nil
}
