package paper

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/npy"
	"github.com/nnid/nnid/core/teachers"
)

// A run cut after a stage and entered again there ends as the run in one piece does, and stages ask exactly what the
// formulas say.
func TestStages(t *testing.T) {
	g := function(t, "tanh")
	n := teachers.Planted(teachers.Size{Inputs: 6, M0: 6, M1: 2}, 0.05, "tanh", 3).Network
	s := solver(t, "spectral")
	o := parse(t, core.Options{"hessians": "60", "stencil": "central", "step": "1e-3"})
	whole := hide(n, g)
	files := map[string][]byte{}
	one, err := Run(t.Context(), problem(whole, 6, 6, 2, g, "tanh", s), Settings{Options: o, Seed: 5, Save: func(stage string, state *State) error {
		var b bytes.Buffer
		if err := state.Write(&b); err != nil {
			return err
		}
		files[stage] = b.Bytes()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{StageSample, StageSubspace, StageExtract, StageVerify, StageAttribute} {
		state, err := Read(files[stage])
		if err != nil {
			t.Fatal(err)
		}
		if state.done() != stage {
			t.Errorf("the file after %s counts as one after %q", stage, state.done())
		}
		two, err := Run(t.Context(), problem(hide(n, g), 6, 6, 2, g, "tanh", s), Settings{Options: o, Seed: 5, From: state})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(two.Uniform.Max-one.Uniform.Max) > 1e-6*(1+one.Uniform.Max) {
			t.Errorf("entered after %s the uniform error is %g instead of %g", stage, two.Uniform.Max, one.Uniform.Max)
		}
		if slices.Index(Stages, stage) >= slices.Index(Stages, StageVerify) {
			continue // the conditions have been checked: only their verdict is in the file
		}
		if two.Unchecked != "" {
			t.Errorf("entered after %s: not checked: %s", stage, two.Unchecked)
		}
		if len(two.Candidates) != len(one.Candidates) {
			t.Fatalf("entered after %s there are %d candidates instead of %d", stage, len(two.Candidates), len(one.Candidates))
		}
		for j, v := range two.Candidates {
			for i, c := range one.Candidates[j].Conditions {
				if i >= len(v.Conditions) || v.Conditions[i].Name != c.Name || math.Abs(v.Conditions[i].Value-c.Value) > 1e-6 {
					t.Errorf("entered after %s candidate %d: %v instead of %s", stage, j, v.Conditions, c)
				}
			}
		}
	}
	bare, err := Run(t.Context(), problem(hide(n, g), 6, 6, 2, g, "tanh", s), Settings{Options: o, Seed: 5, From: &State{Subspace: one.State.Subspace}, StopAfter: StageVerify})
	if err != nil || !strings.HasPrefix(bare.Unchecked, CondAlign) {
		t.Errorf("a basis without Hessians: %q is not checked (%v)", bare.Unchecked, err)
	}
	counted := hide(n, g)
	if _, err := Run(t.Context(), problem(counted, 6, 6, 2, g, "tanh", s), Settings{Options: o, Seed: 5, StopAfter: StageSample}); err != nil {
		t.Fatal(err)
	}
	noise := 3*9 + 1
	if most := 60*stencilPoints(wordCentral, 6) + noise; len(counted.asked) > most || len(counted.asked) < 60*stencilPoints(wordCentral, 6) {
		t.Errorf("60 Hessians took %d queries", len(counted.asked))
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	s := &State{Vectors: directions(1, 3, 2), Verified: true, Accepted: []int{1}, Bars: []float64{1, 2}, Joint: true}
	if err := s.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := Read(content)
		if err == nil && s.done() == "" {
			t.Error("a state without anything is accepted")
		}
		if err != nil && !fault.Is(err, fault.Usage) {
			t.Errorf("not a usage fault: %v", err)
		}
	})
}

func TestReadRefuses(t *testing.T) {
	write := func(arrays map[string]npy.Array) []byte {
		var b bytes.Buffer
		var members []npy.Member
		for name, a := range arrays {
			members = append(members, npy.Member{Name: name, Array: &a})
		}
		if err := npy.WriteArchive(&b, members); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for text, arrays := range map[string]map[string]npy.Array{
		"knows":           {"weights": {Shape: []int{1}, Data: []float64{1}}},
		"unit vectors":    {"vectors": {Shape: []int{2, 1}, Data: []float64{1, 1}}},
		"not orthonormal": {"reduction": {Shape: []int{2, 1}, Data: []float64{1, 1}}},
		"has shape":       {"vectors": {Shape: []int{2}, Data: []float64{1, 0}}},
		"go on from":      {"spectrum": {Shape: []int{1}, Data: []float64{1}}},
		"descending":      {"basis": {Shape: []int{1, 1, 1}, Data: []float64{1}}, "spectrum": {Shape: []int{2}, Data: []float64{1, 2}}},
	} {
		if _, err := Read(write(arrays)); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v gives %v; wanted %q", arrays, err, text)
		}
	}
}
