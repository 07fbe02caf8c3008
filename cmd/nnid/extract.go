package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/subspace"
)

type extractFlags struct {
	common
	basis, solver, out string
	options            []string
	count              int
	seed               uint64
	json               bool
}

func newExtract(s *streams) *cobra.Command {
	f := &extractFlags{common: common{streams: s}}
	command := &cobra.Command{
		Use:   "extract",
		Short: "Run one solver alone: find the rank-one matrices in a subspace",
		Long: `extract reads a subspace of symmetric matrices and finds the rank-one matrices w w^T in it, with one solver and
nothing else: no oracle, no network.

The subspace is a NumPy array (.npy) of shape m x d x d, m orthonormal symmetric matrices. The vectors are written as
a NumPy array of shape d x found, unit columns; what was not found is missing, never invented.

Exit status: 0 done, however many were found; 2 the command line or a file is wrong; 1 anything else.`,
		Example: `  nnid extract --subspace basis.npy --solver spm --out vectors.npy
  nnid extract --subspace basis.npy --solver spectral --count 10 --seed 7 --out vectors.npy --json`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error { return f.run(command.Context()) },
	}
	flags := command.Flags()
	flags.StringVar(&f.basis, "subspace", "", "file of the subspace, m x d x d (.npy); required")
	flags.StringVar(&f.solver, "solver", "auto", "solver, as shown by: nnid plugins list")
	flags.StringArrayVar(&f.options, "solver-option", nil, "option of the solver, K=V; may be repeated")
	flags.IntVar(&f.count, "count", 0, "rank-one matrices wanted; 0: as many as there are")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of all random choices")
	flags.StringVar(&f.out, "out", "", "file for the vectors, d x found (.npy); required")
	flags.BoolVar(&f.json, "json", false, "print the outcome as JSON")
	f.register(command)
	complete(command, "solver", completeComponents(&f.common, core.KindSolver))
	complete(command, "subspace", cobra.FixedCompletions([]string{"npy"}, cobra.ShellCompDirectiveFilterFileExt))
	return command
}

// extraction is what --json prints.
type extraction struct {
	Solver     string             `json:"solver"`
	Seed       uint64             `json:"seed"`
	Dimension  int                `json:"dimension"` // d
	Subspace   int                `json:"subspace"`  // m
	Wanted     int                `json:"wanted"`    // 0: as many as there are
	Found      int                `json:"found"`
	Objective  []float64          `json:"objective"`
	Statistics map[string]float64 `json:"statistics"`
	Seconds    float64            `json:"seconds"`
}

func (f *extractFlags) run(ctx context.Context) (err error) {
	switch {
	case f.basis == "":
		return fault.New(fault.Usage, "extract needs a subspace: give --subspace BASIS.npy")
	case f.out == "":
		return fault.New(fault.Usage, "extract needs a place for the vectors: give --out VECTORS.npy")
	case f.count < 0:
		return fault.New(fault.Usage, "--count %d must be positive, or 0 for as many as there are", f.count)
	}
	options, err := parseOptions("solver-option", f.options)
	if err != nil {
		return err
	}
	space, err := readSubspace(f.basis)
	if err != nil {
		return err
	}
	problem := space.Problem(f.count, f.seed)
	if info, err := os.Stat(filepath.Dir(f.out)); err != nil || !info.IsDir() { // before the work, not after it
		return fault.New(fault.Usage, "--out %s: there is no folder %s", f.out, filepath.Dir(f.out))
	}
	h, logger, err := f.host()
	if err != nil {
		return err
	}
	defer closing(&err, h.Close)
	solver, err := h.Solver(ctx, f.solver, options)
	if err != nil {
		return err
	}
	started := time.Now()
	solution, err := solver.Solve(ctx, problem, func(p core.SolverProgress) {
		logger.Info("extracting", "found", p.Found, "wanted", p.Wanted, "starts", p.Starts)
	})
	if interrupted(ctx, err) {
		return fault.New(fault.Internal, "interrupted; nothing was written")
	} else if err != nil {
		return err
	}
	var vectors bytes.Buffer
	if err := subspace.WriteVectors(&vectors, problem.Dim, solution.Vectors); err != nil {
		return err
	}
	if err := (&runDirectory{path: filepath.Dir(f.out)}).write(filepath.Base(f.out), vectors.Bytes()); err != nil {
		return err
	}
	outcome := extraction{
		Solver: f.solver, Seed: f.seed, Dimension: problem.Dim, Subspace: space.Dimension(), Wanted: f.count,
		Found: len(solution.Objective), Objective: solution.Objective, Statistics: solution.Statistics, Seconds: time.Since(started).Seconds(),
	}
	return f.print(outcome)
}

func readSubspace(path string) (*subspace.Subspace, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "subspace file %s cannot be read: %w", path, pathCause(err))
	}
	space, err := subspace.ReadBasis(bytes.NewReader(data))
	if err != nil {
		return nil, fault.New(fault.Usage, "subspace file %s: %w", path, err)
	}
	return space, nil
}

func (f *extractFlags) print(e extraction) error {
	if f.json {
		data, err := marshal(e)
		if err == nil {
			_, err = fmt.Fprintf(f.streams.out, "%s\n", data)
		}
		return err
	}
	w := tabwriter.NewWriter(f.streams.out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "subspace\t%d matrices of order %d\n", e.Subspace, e.Dimension)
	fmt.Fprintf(w, "solver\t%s, seed %d\n", e.Solver, e.Seed)
	fmt.Fprintf(w, "found\t%s\n", strconv.Itoa(e.Found)+" rank-one")
	if e.Found > 0 {
		fmt.Fprintf(w, "farthest\t%.1e from the subspace (1 - objective)\n", 1-slices.Min(e.Objective))
	}
	fmt.Fprintf(w, "time\t%.2f s\n", e.Seconds)
	fmt.Fprintf(w, "file\t%s\n", f.out)
	return nil
}
