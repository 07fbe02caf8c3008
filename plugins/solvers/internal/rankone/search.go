package rankone

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/nnid/nnid/core"
)

// Search adds to the collector the local maxima to which ascend takes batches of starts. It ends when the collector is
// done, when the starts are used up (0: twice the coupon collector's number), or when so many starts in a row brought no
// new accepted maximum that one with a third of the average chance would have been met with probability 0.95. Where
// nothing at all was accepted, fewer starts in a row settle it: on a subspace spanned by rank-one matrices hardly any
// start fails.
func (c *Collector) Search(ctx context.Context, random *rand.Rand, starts int, progress func(core.SolverProgress), ascend func(*Batch) error) error {
	m := c.space.M
	if starts == 0 {
		starts = 20 + int(math.Ceil(2*float64(m)*(math.Log(float64(m))+5)))
	}
	patience := 20 + 9*m
	used, fruitless := 0, 0
	for used < starts && fruitless < patience && !c.Done() {
		before := c.Accepted()
		if before == 0 && fruitless >= 16+m/2 {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// Two thirds of what is missing: many more, and most of a batch would meet in the same places.
		missing := max(1, c.Wanted()-before)
		n := min(BatchSize(c.space), max(4, missing*2/3), starts-used)
		// After a batch in vain all of W is searched, lest false or badly known maxima hide a true one.
		batch := c.Starts(random, n, fruitless > 0)
		used += n
		fruitless += n
		if err := ascend(batch); err != nil {
			return err
		}
		c.Statistics["flops"] += batch.Flops()
		if c.Accepted() > before {
			fruitless = 0
		}
		c.Statistics["unconverged"] += float64(len(batch.X))
		c.Statistics["starts"] = float64(used)
		progress(core.SolverProgress{Found: c.Accepted(), Wanted: c.Wanted(), Starts: used})
	}
	return nil
}

// Take adds the vectors of the batch that polishing brings to a local maximum, and returns for each whether that failed.
func (c *Collector) Take(ctx context.Context, polisher *Polisher, xs [][]float64, steps int) (failed []bool, err error) {
	polished, err := polisher.Polish(ctx, xs, steps)
	if err != nil {
		return nil, err
	}
	failed = make([]bool, len(xs))
	for k, p := range polished {
		if !p.Converged && p.Deficit < 1e-3 { // vectors close to each other make it slow, but worth while
			again, err := polisher.Polish(ctx, xs[k:k+1], 40)
			if err != nil {
				return nil, err
			}
			p = again[0]
		}
		if p.Converged {
			c.Add(xs[k], p.Deficit)
		}
		failed[k] = !p.Converged
	}
	return failed, nil
}
