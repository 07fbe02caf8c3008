// Package identify is the pipeline: it composes the stages into recipes, reports progress as events and gives the
// result its form.
package identify

import (
	"context"
	"time"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/certify"
	"github.com/nnid/nnid/core/heads"
	"github.com/nnid/nnid/core/local"
	"github.com/nnid/nnid/core/network"
	"github.com/nnid/nnid/core/paper"
	"github.com/nnid/nnid/core/probe"
	"github.com/nnid/nnid/core/query"
	"github.com/nnid/nnid/core/sample"
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

// How the recipe exact recovers the second layer (docs/exact.md).
const (
	SecondLayerStudents    = "students"    // by least squares on the known first layer
	SecondLayerDifferences = "differences" // from gradients and Hessians, whose rank-one matrices the solver extracts
)

// SecondLayers lists them, the default first.
var SecondLayers = []string{SecondLayerStudents, SecondLayerDifferences}

// Settings are how the run goes about it. The zero value is the default.
type Settings struct {
	Recipe string // RecipeExact when empty
	// SecondLayer is what is tried first; the other follows where it fails. SecondLayerStudents when empty.
	SecondLayer string
	Seed        uint64
	Observe     func(Event) // called from one goroutine at a time; may be nil
	// Doubt looks for evidence that the oracle is none of a function, or of another one far out, and returns "" where there is none. It
	// is called once at most, where the way from far out did not lead to a network, or its first steps are no units'; evidence
	// ends the run. May be nil.
	Doubt func(ctx context.Context) (evidence string, err error)
	Paper PaperSettings // of the recipe paper
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
	Unanswered  int64                `json:"queries_unanswered,omitempty"` // rows asked beside these whose answers never came: the run was killed, or a call failed
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
	// Unexplained says how close students came behind the first layer where none arrived.
	Unexplained *local.Unexplained `json:"unexplained,omitempty"`
	Stages      []StageBill        `json:"stages"`
	Seconds     float64            `json:"seconds"`
	Seed        uint64             `json:"seed"`
	Paper       *paper.Result      `json:"paper,omitempty"` // what the recipe paper found, stage by stage

	Outputs []heads.Output `json:"outputs,omitempty"` // all outputs of the model, where they were asked for

	Noise float64 `json:"noise,omitempty"` // standard deviation of an answer's error, as estimated; 0: not known
	// NoiseByScale is the noise of the answers at points of several scales, where the network was identified.
	NoiseByScale []probe.Level `json:"noise_by_scale,omitempty"`

	Network *network.Network `json:"-"` // nil when nothing was found
	Doubted bool             `json:"-"` // the reason is evidence against the oracle
	Asked   *sample.Log      `json:"-"` // the points asked, in their order, and the answers; nil where the recipe keeps none
	Fresh   [][]float64      `json:"-"` // the points of the validation, which are not among those
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
