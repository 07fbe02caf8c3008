package identify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/paper"
)

// RecipePaper is the name of the published method's recipe (docs/paper.md).
const RecipePaper = paper.Name

// Recipes are the names of the recipes.
var Recipes = []string{RecipeExact, RecipePaper}

// PaperSettings are what the recipe paper has beyond [Settings].
type PaperSettings struct {
	Options   core.Options // as declared by paper.Declared
	From      *paper.State // enter the run here
	StopAfter string       // stage
	Refine    bool
	Shallow   bool // one hidden layer
	Save      func(stage string, state *paper.State) error
}

// Plan returns the least and the most queries that a run of the recipe asks for a network of these sizes ([paper.Plan]).
func (s PaperSettings) Plan(inputs, m0, m1 int) ([2]int64, error) {
	options, err := paper.Parse(s.Options)
	if err != nil {
		return [2]int64{}, err
	}
	if s.Shallow {
		m1 = 0
	}
	least, most := paper.Plan(inputs, m0, m1, paper.Settings{Options: options, From: s.From, StopAfter: s.StopAfter, Refine: s.Refine})
	return [2]int64{least, most}, nil
}

// runPaper runs the published method.
func runPaper(ctx context.Context, problem Problem, settings Settings) (*Result, error) {
	started := time.Now()
	options, err := paper.Parse(settings.Paper.Options)
	if err != nil {
		return nil, err
	}
	report := &reporter{observe: settings.Observe, queries: problem.Oracle.Queries}
	var candidates []paper.Candidate
	for _, c := range problem.Candidates {
		candidates = append(candidates, paper.Candidate(c))
	}
	said := ""
	found, err := paper.Run(ctx, paper.Problem{
		Oracle: problem.Oracle, Inputs: problem.Info.Inputs, Candidates: candidates, M0: problem.M0, M1: problem.M1, Shallow: settings.Paper.Shallow,
		Domain: problem.Domain, Solver: problem.Solver, SolverName: problem.SolverName,
	}, paper.Settings{
		Options: options, Seed: settings.Seed, From: settings.Paper.From, StopAfter: settings.Paper.StopAfter, Refine: settings.Paper.Refine,
		Save: func(stage string, state *paper.State) error {
			// Stages may have had several things to say; the bill is one.
			report.finish("%s", said)
			if settings.Paper.Save == nil {
				return nil
			}
			return settings.Paper.Save(stage, state)
		},
		Start:    report.start,
		Progress: func(done, total int, text string) { report.progress(done, total, 0, "%s", text) },
		Finish: func(text string) {
			if said = text; settings.Observe != nil {
				report.emit(Event{Text: text})
			}
		},
	})
	result := &Result{
		Recipe: RecipePaper, Solver: problem.SolverName, Seed: settings.Seed, M0: problem.M0, M1: problem.M1, Stages: report.bills,
		Queries: problem.Oracle.Queries(), Seconds: time.Since(started).Seconds(), Paper: found,
	}
	if n := found.Network; n != nil {
		result.Network, result.Activation, result.Parameters = n, found.Activation, n.Parameters()
		result.M0, result.M1 = n.Sizes()
	}
	if u := found.Uniform; u != nil {
		result.Validation = Validation{Queries: u.Points, MaxError: u.Max, RelativeError: u.Relative}
	}
	switch {
	case err != nil:
		result.Reason = err.Error()
		if fault.Is(err, fault.Unsupported) {
			err = nil
		}
	case settings.Paper.StopAfter != "" && settings.Paper.StopAfter != paper.StageAssemble:
		result.Reason = fmt.Sprintf("stopped after the stage %s, as asked", found.Stage)
	default:
		result.Identified, result.Reason = paperVerdict(found)
	}
	return result, err
}

// paperVerdict is as strict as the exact recipe's: what the published method finds without refinement is a few percent
// off, and is not called identified. What it says of a run that failed is what was found and what is left to try.
func paperVerdict(r *paper.Result) (bool, string) {
	allowed := r.Allowed()
	if r.Uniform.Relative <= allowed {
		return true, fmt.Sprintf("fresh answers agree to %.1e of their standard deviation", r.Uniform.Relative)
	}
	more := []string{"--refine goes on from here"}
	if _, refined := r.Metrics["refine_loss"]; refined {
		more = []string{"least squares ended in a local minimum: another --seed may not, nor may --recipe exact"}
	}
	why := ""
	for _, c := range r.Set {
		if c.Decides && !c.Holds {
			why = fmt.Sprintf("the conditions do not hold: %s; ", c)
			if c.Name == paper.CondSetCount {
				why = fmt.Sprintf("the conditions accept %.0f of the %.0f vectors that there are; ", c.Value, c.Bound)
			}
			if !r.State.Joint {
				more = append(more, "--recipe-option method=extended looks for the rest")
			}
			break
		}
	}
	return false, fmt.Sprintf("%sthe network found differs from fresh answers by %.1e of their standard deviation, by at most %.1e in the ball of radius %.3g; %.1e would be noise (%s)",
		why, r.Uniform.Relative, r.Uniform.Max, r.Uniform.Radius, allowed, strings.Join(more, "; "))
}
