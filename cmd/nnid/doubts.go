package main

import (
	"context"
	"strings"
	"time"

	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/probe"
	"github.com/nnid/nnid/core/query"
)

// doubt takes back a claim about all x where f is another function far out, as it is behind a backend that clips its inputs, and any
// claim where the answers drift; it adds to the reason which answers were not f's, and, where a run failed, what is wrong with
// the oracle's answers, as far as that can be found.
func (f *identifyFlags) doubt(ctx context.Context, session *query.Session, o *opened, identity query.Identity, result *identify.Result) error {
	bill := identify.StageBill{Stage: "doubts", Queries: -session.Queries()}
	started := time.Now()
	var err error
	claimed := result.Identified
	if claimed {
		err = f.doubtClaim(ctx, session, o, result)
	}
	// The published method fails for reasons of its own, and may have been asked to stop half-way.
	if err == nil && !result.Identified && f.recipe == identify.RecipeExact {
		findings, err := probe.Answers(ctx, session, probe.Settings{Inputs: identity.Inputs, Domain: f.domain, Seed: f.seed})
		if err == nil && len(findings) == 0 && !claimed && result.Asked != nil {
			var text string
			var closest *probe.Found
			if found, ok := o.found(result); ok {
				closest = &found
			}
			if text, err = probe.Failure(ctx, session, closest, probe.Asked{X: result.Asked.X, Y: result.Asked.Y}, f.seed); text != "" {
				findings = append(findings, text)
			}
		}
		if err != nil && ctx.Err() == nil {
			findings = append(findings, "and when it was asked some points more to find out why: "+err.Error())
		}
		if text := noisy(result); text != "" && (len(findings) == 0 || strings.HasPrefix(findings[0], probe.NotRepeatable)) { // steps and labels look noisy, and are not
			findings = append(findings, text)
		}
		result.Reason = strings.Join(append([]string{result.Reason}, findings...), "; ")
	}
	bill.Queries += session.Queries()
	bill.Time = time.Since(started)
	if bill.Queries > 0 {
		result.Stages = append(result.Stages, bill)
	}
	return err
}

// noisy says what is known where noise keeps a network from being identified.
func noisy(result *identify.Result) string {
	if result.Asked == nil {
		return ""
	}
	known := probe.Known{Units: result.M0, Error: result.Validation.RelativeError, Noise: result.Noise, Answers: result.Asked.Y}
	if result.Network != nil {
		known.M0, known.M1 = result.M0, result.M1
	}
	return probe.Noisy(known)
}

func (f *identifyFlags) doubtClaim(ctx context.Context, session *query.Session, o *opened, result *identify.Result) error {
	found, ok := o.found(result)
	if !ok {
		return nil
	}
	if f.domain == 0 {
		text, err := probe.Beyond(ctx, session, found, f.seed)
		if text != "" {
			result.Identified, result.Reason = false, text
		}
		if err != nil || text != "" {
			return err
		}
	}
	if result.Asked == nil {
		return nil
	}
	asked := probe.Asked{X: result.Asked.X, Y: result.Asked.Y}
	result.NoiseByScale = probe.Levels(found, asked)
	doubt, err := probe.Claim(ctx, session, found, asked)
	switch {
	case doubt.Wrong:
		result.Identified, result.Reason = false, doubt.Text
	case doubt.Text != "":
		result.Reason += "; but " + doubt.Text
	}
	return err
}

// found is the network of a result for those who look for doubts of it; ok is false where there is none.
func (o *opened) found(result *identify.Result) (found probe.Found, ok bool) {
	if result.Network == nil || result.Certificate == nil {
		return probe.Found{}, false
	}
	g, h, ok := o.functions(result.Network)
	return probe.Found{
		Network: result.Network, G: g, H: h,
		MaxError: result.Validation.MaxError, ErrorBar: result.Certificate.ErrorBar, Noise: result.Noise, DType: o.info.DType,
	}, ok
}
