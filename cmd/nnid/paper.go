package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/paper"
)

// paperFlags are the flags of the recipe paper.
type paperFlags struct {
	options         []string
	from, stopAfter string
	refine, shallow bool
}

func (p *paperFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVar(&p.options, "recipe-option", nil, "option of the recipe paper, K=V; may be repeated; see docs/paper.md, or give K=help for a list")
	flags.StringVar(&p.from, "from", "", "recipe paper: go on from this file of an earlier stage, such as subspace.npz")
	flags.StringVar(&p.stopAfter, "stop-after", "", "recipe paper: stop after this stage: "+strings.Join(paper.Stages, ", "))
	flags.BoolVar(&p.refine, "refine", false, "recipe paper: polish the network by least squares on all parameters")
	flags.BoolVar(&p.shallow, "shallow", false, "recipe paper: the network has one hidden layer, of --m0 neurons")
}

func (p *paperFlags) complete(command *cobra.Command) {
	complete(command, "stop-after", cobra.FixedCompletions(paper.Stages, cobra.ShellCompDirectiveNoFileComp))
	complete(command, "from", cobra.FixedCompletions([]string{"npz", "npy"}, cobra.ShellCompDirectiveFilterFileExt))
	var names []string
	for _, o := range paper.Declared.Options {
		names = append(names, o.Name+"=\t"+o.Usage)
	}
	complete(command, "recipe-option", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
}

// settings checks the flags and reads the file to go on from.
func (p *paperFlags) settings(recipe string) (s identify.PaperSettings, err error) {
	if recipe != identify.RecipePaper {
		for name, given := range map[string]bool{"recipe-option": len(p.options) > 0, "from": p.from != "", "stop-after": p.stopAfter != "", "refine": p.refine, "shallow": p.shallow} {
			if given {
				return s, fault.New(fault.Usage, "--%s belongs to the recipe paper: give --recipe paper too", name)
			}
		}
		return s, nil
	}
	if p.refine && p.shallow {
		return s, fault.New(fault.Usage, "--refine polishes networks of two hidden layers; without it, --shallow ends with least squares on biases and output weights")
	}
	if s.Options, err = parseOptions("recipe-option", p.options); err != nil {
		return s, err
	}
	if _, asked := s.Options["help"]; asked || anyHelp(s.Options) {
		return s, fault.New(fault.Usage, "the recipe paper has these options:\n%s", optionList())
	}
	if _, err = paper.Parse(s.Options); err != nil {
		return s, err
	}
	if p.stopAfter != "" {
		if err := paper.CheckStage(p.stopAfter); err != nil {
			return s, fault.New(fault.Usage, "--stop-after: %w", err)
		}
	}
	if p.from != "" {
		if s.From, err = paper.ReadFile(p.from); err != nil {
			return s, fault.New(fault.KindOf(err), "--from: %w", err)
		}
	}
	s.StopAfter, s.Refine, s.Shallow = p.stopAfter, p.refine, p.shallow
	return s, nil
}

func anyHelp(options core.Options) bool {
	for _, v := range options {
		if v == "help" {
			return true
		}
	}
	return false
}

func optionList() string {
	var text strings.Builder
	for _, o := range paper.Declared.Options {
		fmt.Fprintf(&text, "  %-20s %s (default %s)\n", o.Name, o.Usage, o.Default)
	}
	return strings.TrimRight(text.String(), "\n")
}

// saveStage writes what a stage of the recipe paper has found, for NumPy and for --from.
func (d *runDirectory) saveStage(stage string, state *paper.State) error {
	name := paper.StageFile(stage)
	if name == "" {
		return nil
	}
	if stage == paper.StageReduce && state.Reduction == nil {
		return nil
	}
	var content bytes.Buffer
	if err := state.Write(&content); err != nil {
		return err
	}
	if err := d.write(name, content.Bytes()); err != nil {
		return err
	}
	d.stages = append(d.stages, name)
	return nil
}

// summarisePaper prints what became of the candidates and the conditions of the set and of the worst accepted, beside their bounds.
func summarisePaper(w io.Writer, r *paper.Result) {
	if r == nil {
		return
	}
	fmt.Fprintf(w, "stage\t%s\n", r.Stage)
	if u := r.Uniform; u != nil {
		fmt.Fprintf(w, "uniform error\t%.1e on %s of the ball of radius %.3g\n", u.Max, plural(int64(u.Points), "fresh point"), u.Radius)
	}
	if r.Candidates == nil {
		return
	}
	if r.Extracted != nil {
		accepted := 0
		for _, v := range r.Extracted {
			if v.Accepted {
				accepted++
			}
		}
		fmt.Fprintf(w, "extracted\t%d candidates, %d accepted by the conditions; the joint fit replaced them\n", len(r.Extracted), accepted)
	}
	fmt.Fprintf(w, "candidates\t%d, %d accepted\n", len(r.Candidates), len(r.Accepted))
	if r.Layers != nil {
		fmt.Fprintf(w, "layers\t%s\n", layersOf(r))
	}
	for _, c := range r.Set {
		fmt.Fprintf(w, "condition\t%s\n", c)
	}
	if r.Unchecked != "" {
		fmt.Fprintf(w, "not checked\t%s\n", r.Unchecked)
	}
	for _, line := range paper.Worst(r.Candidates) {
		fmt.Fprintf(w, "condition\t%s\n", line)
	}
}

// layersOf says how many of the accepted vectors are of which layer, and by which criterion.
func layersOf(r *paper.Result) string {
	count := [3]int{}
	for _, layer := range r.Layers {
		count[layer]++
	}
	text := fmt.Sprintf("%d of the accepted are a_i, %d are v_l", count[1], count[2])
	_, saturation := r.Criteria[paper.AttributeSaturation]
	_, drift := r.Criteria[paper.AttributeDrift]
	switch {
	case saturation && drift:
		return fmt.Sprintf("%s, by %s; %s agrees on %.0f %%", text, paper.AttributeDrift, paper.AttributeSaturation, 100*r.Metrics["attribution_agreement"])
	case drift:
		return text + ", by " + paper.AttributeDrift
	case saturation:
		return text + ", by " + paper.AttributeSaturation
	}
	return text
}
