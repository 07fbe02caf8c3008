package probe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/query"
)

// Found is a network that was identified, and how well.
type Found struct {
	Network  *network.Network
	G, H     core.Function
	MaxError float64 // largest |f - found| on fresh points
	ErrorBar float64 // largest relative standard deviation of a parameter
	Noise    float64 // standard deviation of the answers' error, as the run has estimated it
	DType    core.DType
}

// unit is the relative error of a number rounded to the backend's precision.
func (f Found) unit() float64 {
	if f.DType == core.FP32 {
		return singleUnit
	}
	return doubleUnit
}

var radii = []float64{3, 10, 100, 1e3, 1e4}

const (
	rowsARadius = 3
	// Errors grow with the distance, and error bars are standard deviations: what is far beyond them is no error of theirs.
	manyBars = 100
	// vague is how much of its spread f may be off before nothing could be said.
	vague = 0.1
	// singleUnit and doubleUnit are the relative errors of a number rounded to the precision.
	singleUnit, doubleUnit = 6e-8, 1.2e-16
)

// Beyond compares the network found with f at points farther and farther out, for a claim about all of R^d: it returns a
// sentence that says where they differ, or "". Only such differences count as neither the network's error bars nor the
// oracle's noise explain. It asks up to 15 points; a spent budget ends the search early.
func Beyond(ctx context.Context, asker query.Asker, found Found, seed uint64) (string, error) {
	random := rand.New(rand.NewPCG(seed, 0x6265796f6e64))
	d := found.Network.Inputs()
	gaussian := func(rows int, radius float64) *mat.Dense {
		x := mat.NewDense(rows, d, nil)
		for i := range rows {
			for k := range d {
				x.Set(i, k, radius*random.NormFloat64())
			}
		}
		return x
	}
	spread := deviation(found.Network.Evaluate(found.G, found.H, gaussian(64, 1)))
	unit := found.unit()
	for _, radius := range radii {
		allowed := spread*max(1e-6, manyBars*radius*max(found.ErrorBar, unit)) + 10*found.MaxError
		if !(allowed < vague*spread) {
			break
		}
		x := gaussian(rowsARadius, radius)
		y, err := asker.Ask(ctx, x)
		if fault.Is(err, fault.Budget) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		for i, want := range found.Network.Evaluate(found.G, found.H, x) {
			if off := math.Abs(y[i] - want); off > allowed+1e-6*math.Abs(want) {
				return fmt.Sprintf("the network found explains f near the origin, but not at a point with |x_k| of about %g, where f is %.6g and the network %.6g: "+
					"inputs are clipped there, or f is another function; if only |x_k| <= R matters, say so with --domain R", radius, y[i], want), nil
			}
		}
	}
	return "", nil
}

func deviation(y []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range y {
		sum += v
	}
	for _, v := range y {
		squares += (v - sum/float64(len(y))) * (v - sum/float64(len(y)))
	}
	return math.Sqrt(squares / float64(len(y)))
}
