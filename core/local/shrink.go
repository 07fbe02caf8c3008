package local

import (
	"context"
	"math"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/refine"
)

// Shrunk is what [Shrink] has found.
type Shrunk struct {
	Network *network.Network // without spare units; nil where Fitted leaves more than the noise can be
	Fitted  *network.Network // with all units, fitted to the answers
	Noise   float64          // of the answers, as Fitted leaves it, over data.Sigma
	// Margin is the rise of the loss with a unit less than Network has, over the largest that noise explains: near one, there may be fewer units.
	Margin float64
	// Doubt is by how many standard deviations the loss of Network is more than noise explains: from a few on there may be more units.
	Doubt float64
}

// A parameter takes up the noise of one answer; those of a unit that is not there, which goes where noise by chance looks like it, up to
// mostTaken, and a few standard deviations more.
const (
	mostTaken  = 3
	manySigmas = 5
)

// beyond is by how much more than noise explains a unit of the second layer is missed, behind the first layer as it is, for other weights there to be of no help.
const beyond = 1e4

// stuckAt is how many times the expected noise a student leaves that has not arrived: to remove units for that would remove those that are there.
const stuckAt = 10

// Shrink fits all parameters of a student with spare units to noisy answers, and removes those units that noise explains: what the student
// with all of them leaves, less what its parameters take up, is the noise as it is, and a unit is removed where the loss rises by no more than
// what its parameters had taken up of that. data.Sigma says about what the noise of each answer is; a fit need not go far below. m0 and m1 are the least numbers of units that may remain; 0: one.
func Shrink(ctx context.Context, n *network.Network, g, h core.Function, data refine.Data, m0, m1 int) (*Shrunk, error) {
	s := &search{d: n.Inputs(), r: n.Inputs(), g: g, h: h, variance: variance(data.Y)}
	n, loss, err := s.fit(ctx, n, data, fitSettings{iterations: 200, target: 1. / 9, patience: 4, gain: 0.01, damping: 1e-5})
	if err != nil {
		return nil, err
	}
	count := float64(len(data.Y))
	// What is left of noise of variance one, and its standard deviation.
	left := func(n *network.Network) float64 { return math.Max(1-float64(n.Parameters())/count, 1/count) }
	deviation := math.Sqrt(2 / count)
	noise := loss / left(n)
	shrunk := &Shrunk{Fitted: n, Noise: math.Sqrt(noise)}
	if shrunk.Noise > stuckAt {
		return shrunk, nil
	}
	least := [2]int{max(1, m0), max(1, m1)}
	for removed := true; removed; {
		removed = false
		shrunk.Margin = math.Inf(1)
		k0, k1 := n.Sizes()
		sizes, tried := [2]int{k0, k1}, [2]int{}
		for _, r := range removals(n, g, h, data.X) {
			if tried[r.layer]++; sizes[r.layer] <= least[r.layer] || tried[r.layer] > tries {
				continue
			}
			trial := r.apply(n)
			freed := float64(n.Parameters() - trial.Parameters())
			rise := noise / count // of the loss, for one parameter less
			most := loss + rise*(mostTaken*freed+manySigmas*math.Sqrt(2*freed))
			effort := fitSettings{iterations: 100, target: loss + rise*freed, patience: 4, gain: 0.01, damping: 1e-5}
			// Behind the first layer as it is, which takes a fraction of the time, and then with it.
			s.frozen = true
			trial, l, err := s.fit(ctx, trial, data, effort)
			s.frozen = false
			if err == nil && (r.layer == 0 || l <= beyond*most) {
				trial, l, err = s.fit(ctx, trial, data, effort)
			}
			if err != nil {
				return nil, err
			}
			if l <= most {
				n, loss, removed = trial, l, true
				break
			}
			shrunk.Margin = math.Min(shrunk.Margin, (l-loss)/(most-loss))
		}
	}
	shrunk.Network, shrunk.Doubt = n, (loss/(noise*left(n))-1)/deviation
	return shrunk, nil
}

func variance(y []float64) float64 {
	mean, total := 0.0, 0.0
	for _, v := range y {
		mean += v / float64(len(y))
	}
	for _, v := range y {
		total += (v - mean) * (v - mean) / float64(len(y))
	}
	return total
}
