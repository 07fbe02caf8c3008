package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"path/filepath"
	"time"

	"github.com/nnid/nnid/core/teachers"
)

// Outcome is how a run ended.
type Outcome string

// The outcomes. Only a run that ended by itself can be identified.
const (
	Identified    Outcome = "identified"     // the run says that it identified the network
	NotIdentified Outcome = "not identified" // it says that it did not
	TimedOut      Outcome = "timed out"
	Failed        Outcome = "failed" // it ended with an error, which is the reason
)

// Record is what is kept of a finished run. Numbers that there are none of are NaN.
type Record struct {
	Hash string
	Spec Spec

	Outcome Outcome
	Stage   string // the last stage the run had reached
	Reason  string // why identified or not, in the run's own words

	// The truth: that of the smallest network which computes what the oracle does.
	Size       teachers.Size
	Parameters int
	Activation string
	// What was found; zero where nothing was.
	FoundM0, FoundM1 int
	FoundActivation  string

	// Errors of parameters, by network.Compare; NaN where sizes or activation are wrong.
	MaxError, FirstError, SecondError, OutputError float64

	ErrorBar        float64 // the run's own estimate of the largest error
	ValidationError float64 // relative, on fresh queries
	Queries         int64
	Seconds         float64

	// Metrics are what else was measured, by name: of the recipe paper, see paperMetrics.
	Metrics map[string]float64

	Timeout  time.Duration
	Version  string // of nnid
	Finished time.Time
}

// SizesRight reports whether both hidden layers of the network found have their true sizes.
func (r *Record) SizesRight() bool { return r.FoundM0 == r.Size.M0 && r.FoundM1 == r.Size.M1 }

// ActivationRight reports whether the activation found is the true one, or one that describes the same networks: only
// then is there an error of the parameters.
func (r *Record) ActivationRight() bool {
	return r.FoundActivation == r.Activation || !math.IsNaN(r.MaxError)
}

// Success reports whether the run identified the network and every parameter is within the bound.
func (r *Record) Success(bound float64) bool {
	return r.Outcome == Identified && r.SizesRight() && r.ActivationRight() && r.MaxError <= bound
}

// barSlack is how many of its error bars a parameter may be off before the run's word is held against it: the largest
// of P normal errors is within 5 standard deviations, and bars are no better than the noise estimate behind them.
const barSlack = 10

// ClaimedWrongly reports whether the run says that it identified the network while the parameters are neither within
// the bound nor within its own error bars.
func (r *Record) ClaimedWrongly(bound float64) bool {
	return r.Outcome == Identified && !r.Success(bound) && !(r.MaxError <= barSlack*r.ErrorBar)
}

// PerParameter returns the queries over the number of parameters.
func (r *Record) PerParameter() float64 { return float64(r.Queries) / float64(r.Parameters) }

// Hash identifies the run: specs differ in their hashes when anything differs that decides what a run does.
func (s Spec) Hash() string {
	s.File = filepath.Base(s.File) // the content counts, not where it lies
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers that are not finite were refused when the suite was read
	}
	return digest(text)
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:12])
}

func newRecord(spec Spec) *Record {
	nan := math.NaN()
	return &Record{Hash: spec.Hash(), Spec: spec, MaxError: nan, FirstError: nan, SecondError: nan, OutputError: nan, ErrorBar: nan, ValidationError: nan}
}
