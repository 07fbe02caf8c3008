package bench

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

func TestRankOneSuites(t *testing.T) {
	if _, err := StandardRankOneSuite(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../suites/rank-one/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no suites: %v", err)
	}
	for _, file := range files {
		if _, err := ReadRankOneSuite(file); err != nil {
			t.Error(err)
		}
	}
	head := "format: nnid/rank-one-suite/v1\nname: s\nseeds: 1\n"
	for text, want := range map[string]string{
		"format: nnid/suite/v1\nname: s\nseeds: 1":           "format",
		"format: nnid/rank-one-suite/v1\nname: s\ncells: []": "seeds",
		head + "cells: []": "no cells",
		head + "timeout: soon\ncells: [{name: a, family: random, sizes: 4-4}]":                                "timeout",
		head + "cells: [{name: a, family: random}]":                                                           "sizes are missing",
		head + "cells: [{name: a, family: random, sizes: 4}]":                                                 "20-30",
		head + "cells: [{name: a, family: random, sizes: 4-7}]":                                               "20-30",
		head + "cells: [{name: a, family: random, sizes: 1-1}]":                                               "20-30",
		head + "cells: [{name: a, family: odd, sizes: 4-4}]":                                                  "family",
		head + "cells: [{name: a, family: pairs, sizes: 4-4}]":                                                "angle",
		head + "cells: [{name: a, family: random, sizes: 4-4, angle: 1}]":                                     "angle",
		head + "cells: [{name: a, family: random, sizes: 4-4, perturbation: 1}]":                              "perturbation",
		head + "cells: [{name: a, family: random, sizes: 4-4, activation: tanh}]":                             "activation",
		head + "cells: [{name: a, family: random, sizes: 4-4, shift: 1}]":                                     "shift",
		head + "cells: [{name: a, family: pipeline, sizes: 4-4, activation: tanh}]":                           "20-20-10",
		head + "cells: [{name: a, family: pipeline, sizes: 4-4-2}]":                                           "activation",
		head + "cells: [{name: a, family: random, sizes: 4-4}, {name: a, family: random, sizes: 4-4}]":        "twice",
		head + "cells: [{family: random, sizes: 4-4}]":                                                        "needs a name",
		head + "cells: [{name: a, family: random, sizes: 4-4, color: red}]":                                   "color",
		head + "cells: [{name: a, family: pipeline, sizes: 4-4-2, activation: tanh, perturbation: [0, 0.1]}]": "perturbation",
	} {
		if _, err := parseRankOne([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something on %q", text, err, want)
		}
	}
	if _, err := ReadRankOneSuite("nowhere.yaml"); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

// FuzzRankOneSuite: whatever a file holds, it is a suite or an error.
func FuzzRankOneSuite(f *testing.F) {
	f.Add(standardRankOne)
	f.Add([]byte("format: nnid/rank-one-suite/v1\nname: s\nseeds: 1\ncells: [{name: a, family: pairs, sizes: 9-9, angle: [.1, 1e-3]}]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		suite, err := parseRankOne(content)
		if err == nil && (len(suite.Cells) == 0 || suite.Seeds < 1 || suite.Timeout <= 0) {
			t.Errorf("%+v", suite)
		}
	})
}

// TestPlantSubspace: the basis is orthonormal, at the distance asked for from what was planted.
func TestPlantSubspace(t *testing.T) {
	for _, spec := range []RankOneSpec{
		{Family: SubspaceRandom, Dim: 8, Count: 12}, {Family: SubspaceRandom, Dim: 8, Count: 12, Perturbation: 1e-2},
		{Family: SubspaceOrthonormal, Dim: 6, Count: 10}, {Family: SubspaceClusters, Dim: 8, Count: 12, Angle: 0.3},
		{Family: SubspacePairs, Dim: 8, Count: 8, Angle: 1e-3}, {Family: SubspacePairs, Dim: 8, Count: 8, Angle: 1e-4},
	} {
		p, err := plantSubspace(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Problem.Check(); err != nil {
			t.Errorf("%+v: %v", spec, err)
		}
		for k := range spec.Count {
			if e := outside(p.Problem.Basis, mat.Col(nil, k, p.Vectors)); e > 1e-14+spec.Perturbation {
				t.Errorf("%+v: vector %d is %g from the subspace", spec, k, e)
			}
		}
		if spec.Family == SubspacePairs {
			x, y := mat.Col(nil, 0, p.Vectors), mat.Col(nil, 1, p.Vectors)
			if angle := 2 * math.Asin(apart(x, y)/2); math.Abs(angle/spec.Angle-1) > 1e-6 {
				t.Errorf("the angle is %g, not %g", angle, spec.Angle)
			}
			// Two at an angle e make each other's direction uncertain by 1/e.
			if p.Tolerance[0] < 0.1*rounding/spec.Angle || p.Tolerance[0] > 10*rounding/spec.Angle {
				t.Errorf("angle %g: tolerance %g", spec.Angle, p.Tolerance[0])
			}
		}
	}
	if _, err := plantSubspace(RankOneSpec{Family: SubspaceRandom, Dim: 3, Count: 7}); err == nil {
		t.Error("seven independent matrices of order three")
	}
}

func TestJudge(t *testing.T) {
	p, err := plantSubspace(RankOneSpec{Family: SubspacePairs, Dim: 6, Count: 4, Angle: 1e-3, Perturbation: 1e-5})
	if err != nil {
		t.Fatal(err)
	}
	solution := func(columns ...[]float64) *core.Solution {
		s := &core.Solution{Vectors: mat.NewDense(6, len(columns), nil)}
		for k, c := range columns {
			s.Vectors.SetCol(k, c)
		}
		return s
	}
	column := func(k int) []float64 { return mat.Col(nil, k, p.Vectors) }
	negative := column(1)
	for i := range negative {
		negative[i] *= -2
	}
	for name, c := range map[string]struct {
		solution *core.Solution
		found    int
		complete bool
	}{
		"all":       {solution(column(3), column(2), negative, column(0)), 4, true},
		"one twice": {solution(column(0), column(0), column(2), column(2)), 4, false}, // tolerances of a pair overlap at this noise
		"too many":  {solution(column(0), column(1), column(2), column(3), []float64{1, 0, 0, 0, 0, 0}), 4, false},
		"too few":   {solution(column(0), column(1)), 2, false},
		"nothing":   {&core.Solution{}, 0, false},
		"nil":       {nil, 0, false},
		"NaN":       {solution([]float64{math.NaN(), 0, 0, 0, 0, 0}), 0, false},
	} {
		if name == "one twice" && p.Tolerance[0] < 1e-3 {
			c.found = 2
		}
		if v := p.judge(c.solution); v.found != c.found || name != "one twice" && v.complete(4) != c.complete {
			t.Errorf("%s: %+v", name, v)
		}
	}
	twice := solution(column(0), column(0), column(2))
	p.Vectors = nil // only the subspace tells: what lies in it and is distinct
	if v := p.judge(twice); v.found != 2 {
		t.Errorf("%+v", v)
	}
}

type rankOneComponents struct{ Components }

func (rankOneComponents) Solver(_ context.Context, name string, _ core.Options) (core.Solver, error) {
	return scripted(name), nil
}

// scripted is a solver that behaves as its name says.
type scripted string

func (s scripted) Solve(ctx context.Context, problem core.Problem, _ func(core.SolverProgress)) (*core.Solution, error) {
	switch s {
	case "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	case "panics":
		panic("at once")
	case "fails":
		return nil, errors.New("no wish to")
	case "modest":
		return nil, fault.New(fault.Unsupported, "too large")
	case "silent":
		return nil, nil
	}
	return &core.Solution{Statistics: map[string]float64{"cpu_seconds": 0.5, "odd": math.NaN()}}, nil
}

// TestRankOneRun: every way to end is a record, kept and not repeated; the summary has them all, best first.
func TestRankOneRun(t *testing.T) {
	suite, err := parseRankOne([]byte("format: nnid/rank-one-suite/v1\nname: s\nseeds: 2\ntimeout: 400ms\ncells: [{name: a, family: random, sizes: [4-3, 4-5]}]"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := OpenRankOneStore(filepath.Join(t.TempDir(), "r.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	want := map[string]Outcome{"hangs": TimedOut, "panics": Failed, "fails": Failed, "modest": Unsupported, "silent": Failed, "finds-nothing": Incomplete}
	runs := 0
	r := &RankOneRunner{
		Runner:  &Runner{Components: rankOneComponents{}, Workers: 2},
		Solvers: []string{"fails", "finds-nothing", "hangs", "modest", "panics", "silent"},
		Observe: func(_ RankOneCell, record *RankOneRecord, _, _ int) {
			runs++
			if record.Outcome != want[record.Spec.Solver] {
				t.Errorf("%s: %s (%s)", record.Spec.Solver, record.Outcome, record.Reason)
			}
		},
	}
	for range 2 {
		if err := r.Run(t.Context(), suite, suite.Seeds, store); err != nil {
			t.Fatal(err)
		}
	}
	if all := 2 * 2 * len(want); runs != all {
		t.Errorf("%d runs, want %d: each once", runs, all)
	}
	r.Runner.Timeout = 800 * time.Millisecond // more time: what timed out is tried again
	if runs = 0; r.Run(t.Context(), suite, suite.Seeds, store) != nil || runs != 4 {
		t.Errorf("%d runs with more time", runs)
	}
	summary, err := SummariseRankOne(suite, r.Solvers, suite.Seeds, store)
	if err != nil {
		t.Fatal(err)
	}
	record := summary.Cells[0].Records[1]
	if record.Statistics["cpu_seconds"] != 0.5 || record.ownSeconds() != 0.5 || !math.IsNaN(record.MaxError) || record.Wanted != 3 {
		t.Errorf("%+v", record)
	}
	var text, csv, svg, picture bytes.Buffer
	if err := errors.Join(summary.WriteMarkdown(&text, "command", "f.svg"), summary.WriteCSV(&csv), summary.WriteFigure(&svg, "svg"), summary.WriteFigure(&picture, "png")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "| modest | 4 | 0 | 4 | 4 |") || strings.Count(csv.String(), "\n") != 25 || !strings.Contains(svg.String(), "performance profiles") {
		t.Errorf("%s\n%s\n%s", &text, &csv, &svg)
	}
	if _, err := png.Decode(&picture); err != nil {
		t.Error(err)
	}
	if summary.WriteFigure(&svg, "gif") == nil {
		t.Error("a gif")
	}
}

// TestStandings: by failures, then by time; ratios are to the fastest that solved the same problem.
func TestStandings(t *testing.T) {
	record := func(solver string, seed uint64, outcome Outcome, seconds float64) *RankOneRecord {
		return &RankOneRecord{Spec: RankOneSpec{Solver: solver, Seed: seed}, Outcome: outcome, Seconds: seconds}
	}
	all := standings([]string{"a", "b", "c"}, []*RankOneRecord{
		record("a", 0, Solved, 4), record("b", 0, Solved, 1), record("c", 0, Incomplete, 0.1),
		record("a", 1, Solved, 2), record("b", 1, Incomplete, 1), record("c", 1, Solved, 1),
	})
	if all[0].solver != "a" || all[1].solver != "c" || all[2].solver != "b" || all[0].ratios[0] != 4 || all[0].ratios[1] != 2 || all[1].ratios[0] != 1 {
		t.Errorf("%+v", all)
	}
}

// TestChoice: the best solver but auto, the next, and what auto takes beside the best.
func TestChoice(t *testing.T) {
	cell := RankOneCellSummary{Cell: RankOneCell{Name: "c"}}
	for solver, seconds := range map[string]float64{"auto": 3e-3, "fast": 1e-3, "good": 2e-3, "never": 1e-4} {
		for seed := range uint64(2) {
			outcome := Solved
			if solver == "never" || (solver == "fast" && seed == 1) {
				outcome = Incomplete
			}
			cell.Records = append(cell.Records, &RankOneRecord{Spec: RankOneSpec{Solver: solver, Seed: seed}, Outcome: outcome, Seconds: seconds})
		}
	}
	s := &RankOneSummary{Suite: &RankOneSuite{}, Solvers: []string{"auto", "fast", "good", "never"}, Cells: []RankOneCellSummary{cell}}
	if rows := s.choice(); len(rows) != 1 || strings.Join(rows[0], ", ") != "c, good, 2, fast (1 of 2), 1, 3, 1.50" {
		t.Errorf("%q", rows)
	}
	s.Solvers = []string{"fast", "good", "never"}
	if rows := s.choice(); len(rows) != 0 {
		t.Errorf("without auto: %q", rows)
	}
}

// TestGrowth: exponents and rates of runs whose cost is known.
func TestGrowth(t *testing.T) {
	s := &RankOneSummary{Suite: &RankOneSuite{}, Solvers: []string{"a"}, Peak: 4e9}
	for _, d := range []int{8, 16, 32, 64} {
		var c RankOneCellSummary
		for _, m := range []int{d / 2, d, 2 * d} {
			work := math.Pow(float64(d), 2) * float64(m)
			c.Records = append(c.Records, &RankOneRecord{
				Spec: RankOneSpec{Family: SubspaceRandom, Solver: "a"}, Outcome: Solved, Dim: d, Subspace: m,
				Seconds: 1e-9 * work, Statistics: map[string]float64{"flops": 3 * work},
			})
		}
		s.Cells = append(s.Cells, c)
	}
	rows := s.growth()
	if len(rows) != 1 || strings.Join(rows[0], " ") != "a 12 d^2.0 m^1.0 d^2.0 m^1.0 3.0 75 %" {
		t.Errorf("%q", rows)
	}
	if rate := PeakRate(); !(rate > 1e7) {
		t.Errorf("%g flops a second", rate)
	}
}
