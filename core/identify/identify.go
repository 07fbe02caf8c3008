// Package identify is the pipeline: it composes the stages into recipes, reports progress as events and gives the
// result its form.
package identify

import (
	"time"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/paper"
	"github.com/nnid/nnid/core/query"
)

// RecipeExact is the name of the default recipe (docs/exact.md).
const RecipeExact = "exact"

// Candidate is one activation family that the hidden network may have in both layers.
type Candidate struct {
	Name     string
	Function core.Function
}

// Problem is what is to be identified and what is known of it.
type Problem struct {
	Oracle     query.Asker
	Info       core.OracleInfo // Inputs must be set
	Candidates []Candidate     // one when the activation is given, several for --activation auto
	Second     []Candidate     // of the second layer; nil: the same as of the first
	M0, M1     int             // sizes of the hidden layers; 0 when not known
	Domain     float64         // no query leaves |x|_inf <= Domain; 0 when unbounded
	Solver     core.Solver
	SolverName string
}

// Settings are how the run goes about it. The zero value is the default.
type Settings struct {
	Recipe  string // RecipeExact when empty
	Seed    uint64
	Observe func(Event)   // called from one goroutine at a time; may be nil
	Paper   PaperSettings // of the recipe paper
}

// Event is a sign of progress.
type Event struct {
	Stage   string  `json:"stage"`
	Text    string  `json:"text"`            // a plain line
	Queries int64   `json:"queries"`         // rows answered so far
	Loss    float64 `json:"loss,omitempty"`  // relative residual of the fit, where there is one
	Done    int     `json:"done,omitempty"`  // units of work done and in all, where known
	Total   int     `json:"total,omitempty"` //
	Final   bool    `json:"final,omitempty"` // the stage's last event
}

// Result is what result.json holds, and the network found.
type Result struct {
	Identified  bool                 `json:"identified"`
	Reason      string               `json:"reason"` // one sentence: why identified or why not
	Queries     int64                `json:"queries"`
	Parameters  int                  `json:"parameters"`
	M0          int                  `json:"m0"`
	M1          int                  `json:"m1"`
	Activation  string               `json:"activation"`         // of both layers; "G,H" where they differ
	Evidence    []Evidence           `json:"evidence,omitempty"` // how well each candidate explains a layer
	Remark      string               `json:"remark,omitempty"`   // what else the user should know, such as an equivalent activation
	Recipe      string               `json:"recipe"`
	Solver      string               `json:"solver"`
	Validation  Validation           `json:"validation"`
	Certificate *certify.Certificate `json:"certificate"` // nil when no network could be fitted
	Stages      []StageBill          `json:"stages"`
	Seconds     float64              `json:"seconds"`
	Seed        uint64               `json:"seed"`
	Paper       *paper.Result        `json:"paper,omitempty"` // what the recipe paper found, stage by stage

	Network *network.Network `json:"-"` // nil when nothing was found
}

// Evidence is how well a candidate explains what was seen of a layer's units.
type Evidence struct {
	Layer      int    `json:"layer"` // 1 or 2; 0: both at once
	Activation string `json:"activation"`
	// Misfit is what the candidate leaves unexplained, over the size of what there is to explain: rounding for the one that the
	// layer has. At most 1.
	Misfit float64 `json:"misfit"`
}

// Validation compares the network found with fresh held-out queries.
type Validation struct {
	Queries       int     `json:"queries"`
	MaxError      float64 `json:"max_error"`      // largest |f - found|
	RelativeError float64 `json:"relative_error"` // root mean square of f - found over the standard deviation of f
}

// StageBill is what one stage cost.
type StageBill struct {
	Stage   string        `json:"stage"`
	Queries int64         `json:"queries"`
	Time    time.Duration `json:"nanoseconds"`
}
