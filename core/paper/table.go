package paper

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Heading returns the short name of a condition of candidates.
func Heading(condition string) string {
	if h := headings[condition]; h != "" {
		return h
	}
	return condition
}

// headings are the conditions' names in the table of candidates.
var headings = map[string]string{
	CondRankOne: "lambda_1", CondGap: "gap", CondStationary: "1st order", CondStrict: "2nd order", CondStable: "stability", CondBar: "error bar",
	CondResidual: "residual", CondMoved: "displaced", CondAlign: "symmetry", CondMisfit: "misfit", CondNetwork: "network",
}

// WriteTable writes a line for every candidate: each of its conditions, in the order in which they are explained, below the bound it
// is held against, what fails marked by !, what is printed without deciding in brackets, and what became of the candidate: its layer
// where it was attributed (1, 2; 0 or missing where it was not), accepted or rejected.
func WriteTable(out io.Writer, candidates []Verified, layers []int) error {
	var names []string
	bounds := map[string]Condition{}
	for _, v := range candidates {
		for _, c := range v.Conditions {
			if _, ok := bounds[c.Name]; !ok {
				names = append(names, c.Name)
				bounds[c.Name] = c
			}
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(cells ...string) { fmt.Fprintf(w, "%s\t\n", strings.Join(cells, "\t")) }
	head, limit := []string{"candidate"}, []string{"bound"}
	for _, name := range names {
		c := bounds[name]
		relation := ">="
		if c.Upper {
			relation = "<="
		}
		text := fmt.Sprintf("%s %.3g", relation, c.Bound)
		if !c.Decides {
			text = "(" + text + ")"
		}
		head, limit = append(head, Heading(name)), append(limit, text)
	}
	line(append(head, "verdict")...)
	line(append(limit, "")...)
	for j, v := range candidates {
		row := []string{fmt.Sprint(j)}
		values := map[string]Condition{}
		for _, c := range v.Conditions {
			values[c.Name] = c
		}
		for _, name := range names {
			c, ok := values[name]
			text := "-"
			if ok {
				text = number(c.Value)
				switch {
				case !c.Decides:
					text = "(" + text + ")"
				case !c.Holds:
					text += " !"
				}
			}
			row = append(row, text)
		}
		verdict := "rejected"
		if v.Accepted {
			verdict = "accepted"
			if j < len(layers) && layers[j] > 0 {
				verdict = fmt.Sprintf("accepted, layer %d", layers[j])
			}
		}
		line(append(row, verdict)...)
	}
	return w.Flush()
}

// number prints a value, and what stands for one that could not be computed.
func number(v float64) string {
	if v > 1e300 || v < -1e300 {
		return "none"
	}
	return fmt.Sprintf("%.3g", v)
}

// Worst says for each condition of single matrices what the worst of the accepted candidates has, and how many of all
// candidates it rejects.
func Worst(candidates []Verified) []string {
	type line struct {
		worst    Condition
		any      bool
		rejected int
	}
	var order []string
	lines := map[string]*line{}
	for _, v := range candidates {
		for _, c := range v.Conditions {
			l := lines[c.Name]
			if l == nil {
				l = &line{}
				lines[c.Name] = l
				order = append(order, c.Name)
			}
			if c.Decides && !c.Holds {
				l.rejected++
			}
			if v.Accepted && (!l.any || (c.Upper && c.Value > l.worst.Value) || (!c.Upper && c.Value < l.worst.Value)) {
				l.worst, l.any = c, true
			}
		}
	}
	var out []string
	for _, name := range order {
		l := lines[name]
		text := fmt.Sprintf("%s: no candidate is accepted", name)
		if l.any {
			text = "worst accepted: " + l.worst.String()
		}
		out = append(out, fmt.Sprintf("%s; rejects %d", text, l.rejected))
	}
	return out
}
