package bench

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/teachers"
)

// RankOneFormat is the value of the "format" field of a suite of subspaces for solvers.
const RankOneFormat = "nnid/rank-one-suite/v1"

//go:embed rankone.yaml
var standardRankOne []byte

// RankOneSuite is a suite of subspaces, expanded: every setting is a cell.
type RankOneSuite struct {
	Name, Title string
	Seeds       int // every cell is run with the seeds 0 .. Seeds-1
	Timeout     time.Duration
	Cells       []RankOneCell
}

// RankOneCell is one kind of subspace.
type RankOneCell struct {
	Name string
	Spec RankOneSpec // of its runs, Solver and Seed aside
}

// RankOneSpec is all that decides what a run of a solver does. Its hash identifies the run in the database.
type RankOneSpec struct {
	Family       string        `json:"family"`
	Dim          int           `json:"d"`                      // order of the matrices; 0 for a pipeline
	Count        int           `json:"m"`                      // vectors planted; 0 for a pipeline
	Angle        float64       `json:"angle,omitempty"`        // pairs, clusters: between neighbours, in radians
	Perturbation float64       `json:"perturbation,omitempty"` // sine of the largest angle between W and what solvers get
	Network      teachers.Size `json:"network,omitzero"`       // pipeline: of the hidden network
	Activation   string        `json:"activation,omitempty"`
	Shift        float64       `json:"shift,omitempty"`
	Solver       string        `json:"solver"`
	Seed         uint64        `json:"seed"`
}

// Families of subspaces.
const (
	SubspaceRandom      = "random"      // vectors uniform on the sphere
	SubspacePairs       = "pairs"       // half of them, each with a neighbour at the angle
	SubspaceClusters    = "clusters"    // fours, each within about the angle of its centre
	SubspaceOrthonormal = "orthonormal" // an orthonormal basis, then as much of further ones as it takes
	SubspacePipeline    = "pipeline"    // what the recipe exact gives its solver while it identifies a planted network
)

// Hash identifies the run.
func (s RankOneSpec) Hash() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and finite numbers
	}
	sum := sha256.Sum256(append([]byte("rank-one "), text...))
	return hex.EncodeToString(sum[:12])
}

type rankOneFile struct {
	Format  string `yaml:"format"`
	Name    string `yaml:"name"`
	Title   string `yaml:"title"`
	Seeds   int    `yaml:"seeds"`
	Timeout string `yaml:"timeout"`
	Cells   []struct {
		Name         string        `yaml:"name"`
		Family       string        `yaml:"family"`
		Sizes        grid[string]  `yaml:"sizes"`
		Angle        grid[float64] `yaml:"angle"`
		Perturbation grid[float64] `yaml:"perturbation"`
		Activation   grid[string]  `yaml:"activation"`
		Shift        grid[float64] `yaml:"shift"`
	} `yaml:"cells"`
}

// StandardRankOneSuite returns the suite that solvers are compared with by default.
func StandardRankOneSuite() (*RankOneSuite, error) { return parseRankOne(standardRankOne) }

// ReadRankOneSuite reads a suite file and expands its grids. Errors are usage faults that show the place.
func ReadRankOneSuite(path string) (*RankOneSuite, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, fault.New(fault.Usage, "suite file %s cannot be read: %w", path, err)
	}
	suite, err := parseRankOne(content)
	if err != nil {
		return nil, fault.New(fault.Usage, "suite file %s: %w", path, err)
	}
	return suite, nil
}

func parseRankOne(content []byte) (*RankOneSuite, error) {
	var file rankOneFile
	decoder := yaml.NewDecoder(bytes.NewReader(content), yaml.Strict(), yaml.DisallowUnknownField())
	if err := decoder.Decode(&file); err != nil {
		return nil, errors.New(strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	suite := &RankOneSuite{Name: file.Name, Title: file.Title, Seeds: file.Seeds, Timeout: time.Minute}
	switch {
	case file.Format != RankOneFormat:
		return nil, fmt.Errorf("the format is %q; it must be %q", file.Format, RankOneFormat)
	case core.CheckName(file.Name) != nil:
		return nil, fmt.Errorf("name: %w", core.CheckName(file.Name))
	case file.Seeds < 1:
		return nil, fmt.Errorf("seeds is %d; it must be at least 1", file.Seeds)
	case len(file.Cells) == 0:
		return nil, errors.New("there are no cells; a suite needs one at least")
	}
	if file.Timeout != "" {
		var err error
		if suite.Timeout, err = time.ParseDuration(file.Timeout); err != nil || suite.Timeout <= 0 {
			return nil, fmt.Errorf("timeout is %q; it must be a time such as 30s", file.Timeout)
		}
	}
	if suite.Title == "" {
		suite.Title = suite.Name
	}
	names := map[string]bool{}
	for k, cell := range file.Cells {
		if cell.Name == "" {
			return nil, fmt.Errorf("cell %d needs a name", k+1)
		}
		before := len(suite.Cells)
		for _, size := range cell.Sizes {
			for _, angle := range cell.Angle.or(0) {
				for _, perturbation := range cell.Perturbation.or(0) {
					for _, activation := range cell.Activation.or("") {
						for _, shift := range cell.Shift.or(0) {
							spec := RankOneSpec{Family: cell.Family, Angle: angle, Perturbation: perturbation, Activation: activation, Shift: shift}
							err := spec.setSize(size)
							if err == nil {
								err = spec.check()
							}
							if err != nil {
								return nil, fmt.Errorf("cell %d (%s): %w", k+1, cell.Name, err)
							}
							name := spec.label(cell.Name)
							if names[name] {
								return nil, fmt.Errorf("cell %d (%s): the setting %q is there twice; give one of the two cells another name", k+1, cell.Name, name)
							}
							names[name] = true
							suite.Cells = append(suite.Cells, RankOneCell{Name: name, Spec: spec})
						}
					}
				}
			}
		}
		if len(suite.Cells) == before {
			return nil, fmt.Errorf("cell %d (%s): sizes are missing", k+1, cell.Name)
		}
	}
	return suite, nil
}

func (s *RankOneSpec) setSize(text string) error {
	var err error
	if s.Family == SubspacePipeline {
		if s.Network, err = parseSize(text); err != nil {
			return fmt.Errorf("sizes: %q must be like 20-20-10: inputs, neurons of the first and of the second hidden layer", text)
		}
		return nil
	}
	d, m, ok := strings.Cut(text, "-")
	if s.Dim, err = strconv.Atoi(d); err == nil && ok {
		s.Count, err = strconv.Atoi(m)
	}
	if err != nil || !ok || s.Dim < 2 || s.Dim > 512 || s.Count < 1 || s.Count > s.Dim*(s.Dim-1)/2 {
		return fmt.Errorf("sizes: %q must be like 20-30: the order d of the matrices, 2 to 512, and the number of vectors, at most d (d-1) / 2", text)
	}
	return nil
}

func (s RankOneSpec) check() error {
	families := []string{SubspaceRandom, SubspacePairs, SubspaceClusters, SubspaceOrthonormal, SubspacePipeline}
	close := s.Family == SubspacePairs || s.Family == SubspaceClusters
	switch {
	case !slices.Contains(families, s.Family):
		return fmt.Errorf("family is %q; it must be one of %s", s.Family, strings.Join(families, ", "))
	case close && !(s.Angle >= 1e-5 && s.Angle <= math.Pi/2):
		return fmt.Errorf("angle is %g; the family %s needs one between 1e-5 and pi/2", s.Angle, s.Family)
	case !close && s.Angle != 0:
		return fmt.Errorf("angle has no meaning for the family %s", s.Family)
	case !(s.Perturbation >= 0 && s.Perturbation <= 0.9):
		return fmt.Errorf("perturbation is %g; it must be between 0 and 0.9", s.Perturbation)
	case (s.Family == SubspacePipeline) != (s.Activation != ""):
		return fmt.Errorf("activation is %q; the family %s needs one, and no other has it", s.Activation, SubspacePipeline)
	case s.Family == SubspacePipeline && s.Perturbation != 0:
		return fmt.Errorf("perturbation has no meaning for the family %s", s.Family)
	case s.Family != SubspacePipeline && s.Shift != 0 || !(s.Shift >= 0):
		return fmt.Errorf("shift is %g; it is a standard deviation, for the family %s", s.Shift, SubspacePipeline)
	}
	return nil
}

func (s RankOneSpec) label(name string) string {
	text := name
	if s.Family == SubspacePipeline {
		text += fmt.Sprintf(" %s %s", s.Network, s.Activation)
		if s.Shift != 0 {
			text += fmt.Sprintf(" shift %g", s.Shift)
		}
		return text
	}
	text += fmt.Sprintf(" %d-%d", s.Dim, s.Count)
	if s.Angle != 0 {
		text += fmt.Sprintf(" angle %g", s.Angle)
	}
	if s.Perturbation != 0 {
		text += fmt.Sprintf(" perturbed %g", s.Perturbation)
	}
	return text
}

// Only keeps the cells whose names contain one of the given texts.
func (s *RankOneSuite) Only(texts []string) error {
	if len(texts) == 0 {
		return nil
	}
	var kept []RankOneCell
	var names []string
	for _, c := range s.Cells {
		names = append(names, c.Name)
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(c.Name, text) }) {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return fault.New(fault.Usage, "no cell has %q in its name; there are:\n  %s", strings.Join(texts, `" or "`), strings.Join(names, "\n  "))
	}
	s.Cells = kept
	return nil
}
