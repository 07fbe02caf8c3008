package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/identify"
)

// expand returns the cells of the grid.
func (c cellFile) expand(defaults limitsFile, folder string, tables fs.FS) ([]Cell, error) {
	if c.Name == "" {
		return nil, errors.New("a cell needs a name")
	}
	limits, err := c.limits(defaults)
	if err != nil {
		return nil, err
	}
	networks, err := c.Network.expand(folder, tables)
	if err != nil {
		return nil, err
	}
	var cells []Cell
	for _, spec := range networks {
		err := c.conditions(spec, func(spec Spec) error {
			if err := spec.check(); err != nil {
				return err
			}
			cell := limits
			cell.Name, cell.Group, cell.Spec = spec.label(c.Name), c.Name, spec
			cells = append(cells, cell)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return cells, nil
}

func (c cellFile) limits(defaults limitsFile) (Cell, error) {
	first := func(values ...float64) float64 {
		for _, v := range values {
			if v != 0 {
				return v
			}
		}
		return 0
	}
	cell := Cell{Bound: first(c.Limits.Bound, defaults.Bound, 1e-6), Require: first(c.Limits.Require, defaults.Require), Timeout: 5 * time.Minute}
	goal := c.Limits.Success
	if goal == "" {
		goal = defaults.Success
	}
	var err error
	if cell.Goal, err = parseGoal(goal); err != nil {
		return cell, err
	}
	text := c.Limits.Timeout
	if text == "" {
		text = defaults.Timeout
	}
	if text != "" {
		if cell.Timeout, err = time.ParseDuration(text); err != nil || cell.Timeout <= 0 {
			return cell, fmt.Errorf("timeout is %q; it must be a duration such as 90s", text)
		}
	}
	switch {
	case !(cell.Bound > 0):
		return cell, fmt.Errorf("bound is %g; it must be positive", cell.Bound)
	case !(cell.Require >= 0 && cell.Require <= 1):
		return cell, fmt.Errorf("require is %g; it must be a success rate between 0 and 1", cell.Require)
	}
	return cell, nil
}

// expand returns the networks of the grid.
func (n networkFile) expand(folder string, tables fs.FS) ([]Spec, error) {
	unused := func(names ...string) error {
		set := map[string]bool{
			"file": len(n.File) > 0, "data": len(n.Data) > 0, "case": len(n.Case) > 0, "sizes": len(n.Sizes) > 0,
			"shift": len(n.Shift) > 0, "activation": len(n.Activation) > 0,
		}
		for _, name := range names {
			if set[name] {
				return fmt.Errorf("network: the family %s has no %s", n.Family, name)
			}
		}
		return nil
	}
	var specs []Spec
	switch n.Family {
	case FamilyFile:
		if err := unused("data", "case", "sizes", "shift", "activation"); err != nil {
			return nil, err
		}
		for _, pattern := range n.File {
			files, err := filepath.Glob(filepath.Join(folder, pattern))
			if err != nil || len(files) == 0 {
				return nil, fmt.Errorf("network: no file matches %q, which is relative to the folder of the suite file", pattern)
			}
			for _, file := range files {
				content, err := os.ReadFile(file)
				if err != nil {
					return nil, fmt.Errorf("network: %w", err)
				}
				specs = append(specs, Spec{Family: n.Family, File: file, Digest: digest(content)})
			}
		}
	case FamilyTrained:
		if err := unused("file", "case", "shift"); err != nil {
			return nil, err
		}
		for _, data := range n.Data {
			content, err := fs.ReadFile(tables, data+".csv")
			if err != nil {
				return nil, fmt.Errorf("network: there is no table %q; there are: %s", data, strings.Join(tableNames(tables), ", "))
			}
			inputs := bytes.Count(content[:max(0, bytes.IndexByte(content, '\n'))], []byte(","))
			for _, text := range n.Sizes {
				size, err := parseSize(strconv.Itoa(inputs) + "-" + text)
				if err != nil {
					return nil, fmt.Errorf("network: sizes: %q must be like 8-4: the neurons of the first and of the second hidden layer", text)
				}
				for _, activation := range n.Activation {
					specs = append(specs, Spec{Family: n.Family, Data: data, Digest: digest(content), Size: size, Activation: activation})
				}
			}
		}
	case FamilyShallow:
		if err := unused("file", "data", "case"); err != nil {
			return nil, err
		}
		for _, text := range n.Sizes {
			size, err := parseSize(text + "-1")
			if err != nil {
				return nil, fmt.Errorf("network: sizes: %q must be like 20-30: inputs and neurons of the hidden layer", text)
			}
			size.M1 = 0
			for _, activation := range n.Activation {
				for _, shift := range n.Shift.or(0) {
					specs = append(specs, Spec{Family: n.Family, Size: size, Activation: activation, Shift: shift})
				}
			}
		}
	case FamilyPlanted, FamilyFrozen, FamilyDegenerate:
		if err := unused("file", "data"); err != nil {
			return nil, err
		}
		cases := []string{""}
		if n.Family != FamilyDegenerate {
			if err := unused("case"); err != nil {
				return nil, err
			}
		} else {
			var err error
			if cases, err = caseNames(n.Case.or(all)); err != nil {
				return nil, err
			}
		}
		for _, name := range cases {
			for _, text := range n.Sizes {
				size, err := parseSize(text)
				if err != nil {
					return nil, fmt.Errorf("network: sizes: %q must be like 20-20-5: inputs, neurons of the first and of the second hidden layer", text)
				}
				for _, activation := range n.Activation {
					for _, shift := range n.Shift.or(0) {
						specs = append(specs, Spec{Family: n.Family, Case: name, Size: size, Activation: activation, Shift: shift})
					}
				}
			}
		}
	default:
		return nil, fmt.Errorf("network: family is %q; it must be one of %s, %s, %s, %s, %s, %s", n.Family, FamilyPlanted, FamilyTrained, FamilyDegenerate, FamilyFile, FamilyShallow, FamilyFrozen)
	}
	if len(specs) == 0 {
		needs := map[string]string{
			FamilyFile: "file", FamilyTrained: "data, sizes and activation", FamilyPlanted: "sizes and activation", FamilyDegenerate: "sizes and activation",
			FamilyShallow: "sizes and activation", FamilyFrozen: "sizes and activation",
		}
		return nil, fmt.Errorf("network: the family %s needs %s", n.Family, needs[n.Family])
	}
	return n.weigh(specs)
}

// conditions calls yield with every combination of the oracle's conditions and the run's settings.
func (c cellFile) conditions(spec Spec, yield func(Spec) error) error {
	var err error
	each := func(next func()) {
		if err == nil {
			next()
		}
	}
	for _, spec.DType = range c.Oracle.DType.or(string(core.FP64)) {
		for _, spec.Digits = range c.Oracle.Digits.or(0) {
			for _, spec.Noise = range c.Oracle.Noise.or(0) {
				for _, spec.Candidates = range c.Run.Activation.or(given) {
					for _, spec.Sizes = range c.Run.Sizes.or(unknown) {
						for _, spec.Solver = range c.Run.Solver.or(auto) {
							for _, spec.Recipe = range c.Run.Recipe.or(identify.RecipeExact) {
								for _, spec.Domain = range c.Run.Domain.or(0) {
									for _, spec.MaxQueries = range c.Run.MaxQueries.or(0) {
										each(func() { err = c.Run.recipe(spec, yield) })
									}
								}
							}
						}
					}
				}
			}
		}
	}
	return err
}
