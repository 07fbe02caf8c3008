package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/identify"
	"github.com/nnid/nnid/core/paper"
	"github.com/nnid/nnid/core/teachers"
)

// SuiteFormat is the value of the "format" field of a suite file.
const SuiteFormat = "nnid/suite/v1"

// Suite is a suite file, expanded: every setting is a cell.
type Suite struct {
	Name  string
	Title string
	Seeds int    // every cell is run with this many seeds
	First uint64 // the first of them
	Cells []Cell
	// Columns are the metrics that the table has a column for, Charts the figures over them; without any, table and figure
	// are about parameter errors and queries.
	Columns []string
	Charts  []Chart
}

// Cell is one setting, to be tried with every seed.
type Cell struct {
	Name    string        // tells all that sets the cell apart
	Group   string        // what the suite calls it
	Bound   float64       // the largest parameter error of a success
	Require float64       // success rate below which the suite counts as failed
	Timeout time.Duration // of one run
	Goal    Goal          // what a success is, instead of parameters within Bound; the zero Goal is none
	Spec    Spec          // of its runs, Seed aside
}

// Spec is all that decides what a run does. Its hash identifies the run in the database.
type Spec struct {
	Family     string        `json:"family"`
	File       string        `json:"file,omitempty"`   // family file: path of the network file
	Digest     string        `json:"digest,omitempty"` // of the network file or table, so that another content is another run
	Data       string        `json:"data,omitempty"`   // family trained: name of the table
	Case       string        `json:"case,omitempty"`   // family degenerate: name of the case
	Size       teachers.Size `json:"size"`
	Shift      float64       `json:"shift"`
	Activation string        `json:"activation,omitempty"` // empty for family file: the file says

	DType  string  `json:"dtype"`
	Digits int     `json:"digits"`
	Noise  float64 `json:"noise"`

	Candidates string  `json:"candidates"` // given, auto, or the name of an activation
	Sizes      string  `json:"sizes"`      // given or unknown
	Solver     string  `json:"solver"`
	Recipe     string  `json:"recipe"`
	Domain     float64 `json:"domain"`
	MaxQueries int64   `json:"max_queries"`

	// What only some suites set; left out of the hash where it is not set.
	Weights string            `json:"weights,omitempty"` // orthonormal or a perturbation; empty: uniform on the sphere
	Options map[string]string `json:"options,omitempty"` // of the recipe
	Refine  bool              `json:"refine,omitempty"`
	StopAt  string            `json:"stop_after,omitempty"`

	Seed uint64 `json:"seed"`
}

// Families of networks.
const (
	FamilyPlanted    = "planted"
	FamilyTrained    = "trained"
	FamilyDegenerate = "degenerate"
	FamilyFile       = "file"
	FamilyShallow    = "shallow" // one hidden layer
	FamilyFrozen     = "frozen"  // the ridge functions of a planted network, without the drift of the v_l
)

// Words for what a run is told.
const (
	given   = "given"
	unknown = "unknown"
	auto    = "auto"
	all     = "all"
)

// grid is one value or a list of values to try.
type grid[T any] []T

// UnmarshalYAML reads a value or a list.
func (g *grid[T]) UnmarshalYAML(read func(any) error) error {
	var list []T
	if err := read(&list); err == nil {
		*g = list
		return nil
	}
	var one T
	if err := read(&one); err != nil {
		return err
	}
	*g = grid[T]{one}
	return nil
}

func (g grid[T]) or(values ...T) grid[T] {
	if len(g) == 0 {
		return values
	}
	return g
}

type suiteFile struct {
	Format   string     `yaml:"format"`
	Name     string     `yaml:"name"`
	Title    string     `yaml:"title"`
	Seeds    int        `yaml:"seeds"`
	Defaults limitsFile `yaml:"defaults"`
	Columns  []string   `yaml:"columns"`
	Charts   []Chart    `yaml:"charts"`
	Cells    []cellFile `yaml:"cells"`
}

type limitsFile struct {
	Bound   float64 `yaml:"bound"`
	Require float64 `yaml:"require"`
	Timeout string  `yaml:"timeout"`
	Success string  `yaml:"success"`
}

type cellFile struct {
	Name    string      `yaml:"name"`
	Network networkFile `yaml:"network"`
	Oracle  oracleFile  `yaml:"oracle"`
	Run     runFile     `yaml:"run"`
	Limits  limitsFile  `yaml:",inline"`
}

type networkFile struct {
	Family     string        `yaml:"family"`
	File       grid[string]  `yaml:"file"`
	Data       grid[string]  `yaml:"data"`
	Case       grid[string]  `yaml:"case"`
	Sizes      grid[string]  `yaml:"sizes"`
	Shift      grid[float64] `yaml:"shift"`
	Activation grid[string]  `yaml:"activation"`
	Weights    grid[string]  `yaml:"weights"`
}

type oracleFile struct {
	DType  grid[string]  `yaml:"dtype"`
	Digits grid[int]     `yaml:"digits"`
	Noise  grid[float64] `yaml:"noise"`
}

type runFile struct {
	Activation grid[string]  `yaml:"activation"`
	Sizes      grid[string]  `yaml:"sizes"`
	Solver     grid[string]  `yaml:"solver"`
	Recipe     grid[string]  `yaml:"recipe"`
	Domain     grid[float64] `yaml:"domain"`
	MaxQueries grid[int64]   `yaml:"max-queries"`

	Options   map[string]grid[string] `yaml:"options"`
	Refine    grid[bool]              `yaml:"refine"`
	StopAfter grid[string]            `yaml:"stop-after"`
}

// ReadSuite reads a suite file and expands its grids. Paths in it are relative to the file's folder; tables holds the
// data sets of the family "trained". Errors are usage faults that show the place.
func ReadSuite(path string, tables fs.FS) (*Suite, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, fault.New(fault.Usage, "suite file %s cannot be read: %w", path, err)
	}
	suite, err := parseSuite(content, filepath.Dir(path), tables)
	if err != nil {
		return nil, fault.New(fault.Usage, "suite file %s: %w", path, err)
	}
	return suite, nil
}

func parseSuite(content []byte, folder string, tables fs.FS) (*Suite, error) {
	var file suiteFile
	decoder := yaml.NewDecoder(bytes.NewReader(content), yaml.Strict(), yaml.DisallowUnknownField())
	if err := decoder.Decode(&file); err != nil {
		// With the line of the file and a mark below the culprit.
		return nil, errors.New(strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	switch {
	case file.Format != SuiteFormat:
		return nil, fmt.Errorf("the format is %q; it must be %q", file.Format, SuiteFormat)
	case core.CheckName(file.Name) != nil:
		return nil, fmt.Errorf("name: %w", core.CheckName(file.Name))
	case file.Seeds < 1:
		return nil, fmt.Errorf("seeds is %d; it must be at least 1", file.Seeds)
	case len(file.Cells) == 0:
		return nil, errors.New("there are no cells; a suite needs one at least")
	}
	suite := &Suite{Name: file.Name, Title: file.Title, Seeds: file.Seeds, Columns: file.Columns, Charts: file.Charts}
	for _, c := range suite.Charts {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	if suite.Title == "" {
		suite.Title = file.Name
	}
	names := map[string]bool{}
	for k, cell := range file.Cells {
		cells, err := cell.expand(file.Defaults, folder, tables)
		if err != nil {
			return nil, fmt.Errorf("cell %d (%s): %w", k+1, cell.Name, err)
		}
		for _, c := range cells {
			if names[c.Name] {
				return nil, fmt.Errorf("cell %d (%s): the setting %q is there twice; give one of the two cells another name", k+1, cell.Name, c.Name)
			}
			names[c.Name] = true
		}
		suite.Cells = append(suite.Cells, cells...)
	}
	for _, c := range suite.Charts {
		if err := c.checkCells(suite.Cells); err != nil {
			return nil, err
		}
	}
	return suite, nil
}

// check refuses what the stages would refuse only when it is their turn.
func (s Spec) check() error {
	switch {
	case s.DType != string(core.FP64) && s.DType != string(core.FP32):
		return fmt.Errorf("oracle: dtype is %q; it must be %s or %s", s.DType, core.FP64, core.FP32)
	case s.Digits < 0 || s.Digits > 17:
		return fmt.Errorf("oracle: digits is %d; it must be between 1 and 17, or 0 for no rounding", s.Digits)
	case !(s.Noise >= 0) || math.IsInf(s.Noise, 0):
		return fmt.Errorf("oracle: noise is %g; it must be a standard deviation", s.Noise)
	case s.Sizes != given && s.Sizes != unknown:
		return fmt.Errorf("run: sizes is %q; it must be %s or %s", s.Sizes, given, unknown)
	case !named(s.Solver):
		return fmt.Errorf("run: solver is %q; it must be NAME or NAME(OPTION=VALUE,...)", s.Solver)
	case !slices.Contains(identify.Recipes, s.Recipe):
		return fmt.Errorf("run: recipe is %q; there are: %s", s.Recipe, strings.Join(identify.Recipes, ", "))
	case !(s.Domain >= 0) || math.IsInf(s.Domain, 0):
		return fmt.Errorf("run: domain is %g; it must be positive, or 0 for no bound", s.Domain)
	case s.MaxQueries < 0:
		return fmt.Errorf("run: max-queries is %d; it must be positive, or 0 for no limit", s.MaxQueries)
	case !(s.Shift >= 0) || math.IsInf(s.Shift, 0):
		return fmt.Errorf("network: shift is %g; it must be a standard deviation", s.Shift)
	}
	for _, text := range []string{s.Activation, s.Candidates} {
		switch _, h, err := core.SplitLayers(text); {
		case err != nil:
			return err
		case h == "":
		case s.Family != FamilyPlanted && s.Family != FamilyFile:
			return fmt.Errorf("activation %q: the family %s has the same in both layers", text, s.Family)
		case s.Recipe != identify.RecipeExact:
			return fmt.Errorf("activation %q: the recipe %s is for one activation in both layers", text, s.Recipe)
		}
	}
	return s.checkPaper()
}

// named tells what can be the name of a component, with options or without.
func named(text string) bool {
	_, _, err := core.ParseNamed(text)
	return err == nil
}

// label names a setting: what the suite calls it, the network, then all that is not the default.
func (s Spec) label(name string) string {
	words := []string{name}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	switch s.Family {
	case FamilyFile:
		add("%s", strings.TrimSuffix(filepath.Base(s.File), ".json"))
	case FamilyTrained:
		add("%s %d-%d %s", s.Data, s.Size.M0, s.Size.M1, s.Activation)
	default:
		if s.Case != "" {
			add("%s", s.Case)
		}
		size := s.Size.String()
		if s.Family == FamilyShallow {
			size = fmt.Sprintf("%d-%d", s.Size.Inputs, s.Size.M0)
		}
		add("%s %s", size, s.Activation)
		if s.Weights != "" {
			add("weights %s", s.Weights)
		}
		if s.Shift != 0 {
			add("shift %g", s.Shift)
		}
	}
	if s.DType != string(core.FP64) {
		add("%s", s.DType)
	}
	if s.Digits != 0 {
		add("%d digits", s.Digits)
	}
	if s.Noise != 0 {
		add("noise %g", s.Noise)
	}
	if s.Candidates != given {
		add("as %s", s.Candidates)
	}
	// What is usual for a recipe goes without saying.
	usual, solver := unknown, auto
	if s.Recipe == identify.RecipePaper {
		usual, solver = given, paper.DefaultSolver
		add("paper")
	}
	if s.Sizes != usual {
		add("sizes %s", s.Sizes)
	}
	if s.Solver != solver {
		add("%s", s.Solver)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		add("%s %s", name, s.Options[name])
	}
	if s.Refine {
		add("refined")
	}
	if s.StopAt != "" {
		add("to %s", s.StopAt)
	}
	if s.Domain != 0 {
		add("domain %g", s.Domain)
	}
	if s.MaxQueries != 0 {
		add("at most %d queries", s.MaxQueries)
	}
	return strings.Join(words, " ")
}

func parseSize(text string) (teachers.Size, error) {
	parts := strings.Split(text, "-")
	var values [3]int
	if len(parts) != 3 {
		return teachers.Size{}, errors.New("three numbers are needed")
	}
	for k, part := range parts {
		v, err := strconv.Atoi(part)
		if err != nil {
			return teachers.Size{}, err
		}
		values[k] = v
	}
	size := teachers.Size{Inputs: values[0], M0: values[1], M1: values[2]}
	return size, size.Check()
}

func caseNames(wanted []string) ([]string, error) {
	var known []string
	for _, c := range teachers.Cases() {
		known = append(known, c.Name)
	}
	if slices.Equal(wanted, []string{all}) {
		return known, nil
	}
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("network: there is no degenerate case %q; there are: %s, or %s for all", name, strings.Join(known, ", "), all)
		}
	}
	return wanted, nil
}

func tableNames(tables fs.FS) []string {
	files, _ := fs.Glob(tables, "*.csv")
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".csv")
	}
	return files
}

// Only keeps the cells whose names contain one of the given texts.
func (s *Suite) Only(texts []string) error {
	if len(texts) == 0 {
		return nil
	}
	var kept []Cell
	for _, c := range s.Cells {
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(c.Name, text) }) {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		names := make([]string, 0, len(s.Cells))
		for _, c := range s.Cells {
			names = append(names, c.Name)
		}
		return fault.New(fault.Usage, "no cell has %q in its name; there are:\n  %s", strings.Join(texts, `" or "`), strings.Join(names, "\n  "))
	}
	s.Cells = kept
	return nil
}
