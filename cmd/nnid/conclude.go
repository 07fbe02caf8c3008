package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/files"
	"github.com/nnid/nnid/core/host"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/paper"
	"github.com/nnid/nnid/core/query"
)

func (f *identifyFlags) record(ctx context.Context, h *host.Host, flags *pflag.FlagSet, o *opened, identity query.Identity, recovery query.Recovery,
	started time.Time, activationOptions, solverOptions core.Options) runRecord {
	record := runRecord{
		Format: runFormat, Version: versionText(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Started: started.UTC(), Flags: map[string]any{}, Seed: f.seed,
		Oracle: oracleRecord{
			componentRecord: componentRecord{identity.Oracle, identity.Options},
			Inputs:          identity.Inputs, Outputs: o.info.Outputs, Output: f.output,
			DType: string(o.info.DType), MaxBatch: o.info.MaxBatch, Model: identity.Model,
		},
		Solver: componentRecord{o.solverName, publicOptions(ctx, h, core.KindSolver, o.solverName, solverOptions)},
		Journal: journalRecord{
			Format: strings.TrimSpace(query.JournalFormat), Replayed: recovery.Rows,
			LostRecords: recovery.LostRecords, LostRows: recovery.LostRows, CutBytes: recovery.CutBytes,
		},
	}
	for _, candidate := range slices.Concat(o.candidates, o.second) {
		record.Families = append(record.Families, componentRecord{candidate.Name, publicOptions(ctx, h, core.KindActivation, f.activation, activationOptions)})
	}
	flags.Visit(func(flag *pflag.Flag) {
		if !strings.HasSuffix(flag.Name, "-option") { // options are above, secrets left out
			record.Flags[flag.Name] = flag.Value.String()
		}
	})
	if listings, err := h.List(ctx); err == nil {
		for _, l := range listings {
			if l.Err == nil && !l.Shadowed {
				record.Plugins = append(record.Plugins, pluginRecord{l.Plugin, l.Version, l.SDK, string(l.Origin), l.Path, l.SHA256, l.Verified})
			}
		}
	}
	return record
}

func (f *identifyFlags) progress() progress {
	switch {
	case f.quiet || f.json:
		return noProgress{f.streams.err}
	case isTerminal(f.streams.err):
		return newBarProgress(f.streams.err)
	}
	return &linesProgress{out: f.streams.err, every: 5 * time.Second}
}

// emit puts an event into the run directory and, with --json, on stdout.
func (f *identifyFlags) emit(directory *runDirectory, line eventLine) {
	line.Time = time.Now().UTC()
	directory.event(line)
	if !f.json {
		return
	}
	if data, err := marshal(line); err == nil {
		fmt.Fprintf(f.streams.out, "%s\n", data)
	}
}

// conclude writes the files and, where wanted, prints the summary.
func (f *identifyFlags) conclude(ctx context.Context, h *host.Host, directory *runDirectory, record runRecord, result *identify.Result, summary bool) error {
	var errs []error
	files := []string{fileResult, fileReport}
	if result.Network != nil {
		var text strings.Builder
		err := result.Network.Write(&text)
		if err == nil {
			err = directory.write(fileNetwork, []byte(text.String()))
		}
		errs = append(errs, err)
		files = append([]string{fileNetwork}, files...)
	} else if err := os.Remove(directory.file(fileNetwork)); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err) // one of an earlier run would contradict result.json
	}
	if result.Outputs != nil {
		errs = append(errs, writeOutputs(directory, result))
		files = append([]string{fileOutputs}, files...)
	} else if err := os.Remove(directory.file(fileOutputs)); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	errs = append(errs, directory.writeJSON(fileResult, result))
	report, err := renderReport(record, result)
	if err == nil {
		err = directory.write(fileReport, report)
	}
	errs = append(errs, err)
	f.emit(directory, eventLine{Kind: "result", RunDir: directory.path, Result: result})
	files = append(files, directory.stages...)
	if summary && !f.json {
		if result.Paper != nil && len(result.Paper.Candidates) > 0 {
			errs = append(errs, paper.WriteTable(f.streams.out, result.Paper.Candidates, result.Paper.Layers))
			fmt.Fprintln(f.streams.out)
		}
		f.summarise(ctx, h, directory, files, result)
	}
	return errors.Join(errs...)
}

// writeOutputs writes the outputs that were identified, and NaN for the weights of others: their columns keep their places.
func writeOutputs(directory *runDirectory, result *identify.Result) error {
	var weights [][]float64
	var biases []float64
	for _, output := range result.Outputs {
		w, bias := output.Weights, output.Bias
		if !output.Identified {
			w, bias = slices.Repeat([]float64{math.NaN()}, result.M1), math.NaN()
		}
		weights, biases = append(weights, w), append(biases, bias)
	}
	var data bytes.Buffer
	if err := files.WriteOutputs(&data, result.Network, weights, biases); err != nil {
		return err
	}
	return directory.write(fileOutputs, data.Bytes())
}

func (f *identifyFlags) summarise(ctx context.Context, h *host.Host, directory *runDirectory, files []string, result *identify.Result) {
	w := tabwriter.NewWriter(f.streams.out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	answer := "no"
	if result.Identified {
		answer = "yes"
	}
	fmt.Fprintf(w, "identified\t%s: %s\n", answer, result.Reason)
	if result.Network != nil {
		m0, m1 := result.Network.Sizes()
		fmt.Fprintf(w, "network\t%d inputs, %d + %d neurons, %s, %d parameters\n", result.Network.Inputs(), m0, m1, result.Activation, result.Parameters)
	}
	if result.Remark != "" {
		fmt.Fprintf(w, "activation\t%s\n", result.Remark)
	}
	fmt.Fprintf(w, "queries\t%d", result.Queries)
	if result.Parameters > 0 {
		fmt.Fprintf(w, ", %.1f a parameter", float64(result.Queries)/float64(result.Parameters))
	}
	if f.plan.rowCost > 0 {
		fmt.Fprintf(w, ", at a cost of %.6g", float64(result.Queries)*f.plan.rowCost)
	}
	if result.Unanswered > 0 {
		fmt.Fprintf(w, "; %d more were sent and no answer came back, as runs were killed or calls failed: the backend may have counted them", result.Unanswered)
	}
	fmt.Fprintln(w)
	if v := result.Validation; v.Queries > 0 {
		fmt.Fprintf(w, "error\trelative %.1e, largest %.1e, on %s held out\n", v.RelativeError, v.MaxError, plural(int64(v.Queries), "point"))
	}
	if c := result.Certificate; c != nil && c.Radius != nil && c.Radius.Given {
		fmt.Fprintf(w, "radius\t%.1e of each unit, by Newton and Kantorovich's theorem (docs/exact.md)\n", c.Radius.Within)
	}
	if levels := result.NoiseByScale; len(levels) > 0 {
		fmt.Fprint(w, "noise")
		separator := "\t"
		for _, l := range levels {
			noise := "none seen"
			if l.Noise > 0 {
				noise = fmt.Sprintf("at most %.1e", l.Noise)
			}
			fmt.Fprintf(w, "%s%s to |x| = %.3g", separator, noise, l.Radius)
			separator = ", "
		}
		fmt.Fprintln(w)
	}
	if n := len(result.Outputs); n > 0 {
		identified, worst := 0, 0.0
		for _, output := range result.Outputs {
			if output.Identified {
				identified, worst = identified+1, max(worst, output.RelativeError)
			}
		}
		fmt.Fprintf(w, "outputs\t%d of %d identified from the same queries, relative error at most %.1e\n", identified, n, worst)
	}
	if f.oracle == "" && result.Network != nil {
		if text, err := distanceToShipped(ctx, h, result); err == nil {
			fmt.Fprintf(w, "parameters\t%s\n", text)
		}
	}
	summarisePaper(w, result.Paper)
	fmt.Fprintf(w, "time\t%.1f s\n", result.Seconds)
	fmt.Fprintf(w, "files\t%s: %s\n", directory.path, strings.Join(files, ", "))
}
