package identify

import (
	"context"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/fronts"
	"github.com/nnid/nnid/core/kinks"
	"github.com/nnid/nnid/core/refine"
)

// fronted identifies a network whose first layer is asymptotically linear and whose second saturates, from its fronts far out; done is false,
// and the error nil, where they do not lead to it.
func (e *bends) fronted(ctx context.Context) (done bool, err error) {
	first := bending(e.problem.Candidates)
	var second []fronts.Candidate
	for _, c := range exponentially(e.problem.second()) {
		second = append(second, fronts.Candidate(c))
	}
	if e.problem.Domain > 0 || len(first) == 0 || len(second) == 0 {
		return false, nil
	}
	if saturates, err := e.saturates(ctx); !saturates || err != nil {
		return err != nil, err
	}
	if e.scales.Algebraic || e.scales.Noise > stepsNoise*e.scales.Value {
		return false, nil
	}
	e.report.start("fronts")
	unexplained := 0
	if e.problem.Second == nil { // most likely f saturates because its first layer does: one step tells
		unexplained = 1
	}
	for range frontAttempts {
		var found *kinks.Result
		found, err = fronts.Find(ctx, e.log, e.problem.Info.Inputs, *e.scales, first, second, e.rng, fronts.Settings{
			M0: e.problem.M0, M1: e.problem.M1, Unexplained: unexplained, Observe: func(text string) { e.report.progress(0, 0, 0, "%s", text) },
		})
		another := err == nil // attempt may do better
		if err == nil {
			err = e.adopt(ctx, found, first, second, refine.Settings{Iterations: patience, Tolerance: 1e-3, Damping: 1e-6}) // shifts are known to a hundredth, some worse
		}
		if err == nil && len(e.certificate.Undetermined) > 0 {
			err = fault.New(fault.Unsupported, "units were found more than once: the answers leave open %s", e.certificate.Undetermined[0])
		}
		if err == nil || ctx.Err() != nil || !fault.Is(err, fault.Unsupported) {
			return true, err
		}
		e.report.finish("%v", err)
		e.found, e.certificate, e.h, e.evidence = nil, nil, Candidate{}, nil
		if !another {
			break
		}
	}
	return false, nil
}

// frontAttempts is how often fronts are followed, along other ways each time, where what was found does not explain the answers.
const frontAttempts = 2

// exponentially returns the candidates that approach two different limits exponentially or faster.
func exponentially(candidates []Candidate) []Candidate {
	var all []Candidate
	for _, c := range stepping(candidates) {
		if !algebraic(c.Function.Facts()) {
			all = append(all, c)
		}
	}
	return all
}
