package query

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
)

// three makes the oracle answer with three outputs: 1, 2 and 3 times its own.
func three(oracle *fake) *fake {
	oracle.info.Outputs = 0
	oracle.bend = func(_ int64, _, y *mat.Dense) (*mat.Dense, error) {
		var all mat.Dense
		all.Mul(y, mat.NewDense(1, 3, []float64{1, 2, 3}))
		return &all, nil
	}
	return oracle
}

// All outputs of every answer are kept, over a crash in the middle of a record too; the one asked for is given.
func TestAllOutputsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	who := identity(2)
	who.Output, who.Outputs = 1, 3
	settings := Settings{Output: 1, Outputs: 3}
	open := func(oracle *fake) *Session {
		t.Helper()
		j, err := OpenJournal(path, who)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		settings.Journal = j
		s, err := Open(t.Context(), oracle, settings)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	oracle := three(newFake(2))
	s := open(oracle)
	x := random(rand.New(rand.NewPCG(1, 9)), 6, 2)
	x.SetRow(5, x.RawRowView(0)) // asked twice
	y, err := s.Ask(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask(t.Context(), mat.NewDense(1, 2, []float64{7, 8})); err != nil {
		t.Fatal(err)
	}
	points := [][]float64{x.RawRowView(3), x.RawRowView(5), x.RawRowView(0)}
	check := func(s *Session) {
		t.Helper()
		answers, err := s.Answers(points)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []float64{y[3], y[0], y[0]} { // the first answer of a point asked twice
			if got := answers[i]; !slices.Equal(got, []float64{want / 2, want, want / 2 * 3}) {
				t.Errorf("point %d: %v; the second is %v", i, got, want)
			}
		}
		if _, err := s.Answers([][]float64{{1, 1}}); !fault.Is(err, fault.Internal) {
			t.Errorf("a point never asked: %v", err)
		}
	}
	check(s)

	// The last record is torn: it is cut off, and what was before is given again without asking.
	settings.Journal.Close()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content[:len(content)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	later := three(newFake(2))
	s = open(later)
	again, err := s.Ask(t.Context(), x)
	if err != nil || !slices.Equal(again, y) || later.calls.Load() != 0 {
		t.Fatalf("%v, %v after %d calls; want %v after none", again, err, later.calls.Load(), y)
	}
	if r := settings.Journal.Recovery(); r.Rows != 6 || r.CutBytes == 0 {
		t.Errorf("%+v", r)
	}
	check(s)
}

// Another number of outputs than was said is refused, and so is a journal that keeps another number.
func TestOtherNumbersOfOutputs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	who := identity(2)
	who.Outputs = 2
	j, err := OpenJournal(path, who)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), three(newFake(2)), Settings{Outputs: 2, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Ask(t.Context(), mat.NewDense(1, 2, nil))
	wantFault(t, err, fault.Oracle, "answered with 3 outputs; 2 were wanted")
	_, err = Open(t.Context(), newFake(2), Settings{Journal: j})
	wantFault(t, err, fault.Usage, "keeps all 2 outputs of every answer, not one output")
	j.Close()
	_, err = OpenJournal(path, identity(2))
	wantFault(t, err, fault.Usage, "keeps all 2 outputs of every answer, not one output")
	oracle := newFake(2)
	oracle.info.Outputs = 4
	_, err = Open(t.Context(), oracle, Settings{Outputs: 3})
	wantFault(t, err, fault.Usage, "the model has 4 output(s), not 3")
	_, err = Open(t.Context(), three(newFake(2)), Settings{Output: 3, Outputs: 3})
	wantFault(t, err, fault.Usage, "no output 3 among 3")

	// An output that nobody identifies must be a number too.
	oracle = three(newFake(2))
	bend := oracle.bend
	oracle.bend = func(call int64, x, y *mat.Dense) (*mat.Dense, error) {
		y, err := bend(call, x, y)
		y.Set(0, 2, math.NaN())
		return y, err
	}
	if s, err = Open(t.Context(), oracle, Settings{Outputs: 3}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Ask(t.Context(), mat.NewDense(2, 2, nil))
	wantFault(t, err, fault.Oracle, "NaN at query 0 of 2")
}
