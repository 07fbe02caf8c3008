package wire

import (
	"fmt"
	"math"

	"github.com/nnid/nnid/core"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// Component encodes a component's description.
func Component(kind core.Kind, c core.Component) *nnidv1.Component {
	message := &nnidv1.Component{Kind: string(kind), Name: c.Name, Summary: Text(c.Summary), Reference: Text(c.Reference)}
	for _, o := range c.Options {
		message.Options = append(message.Options, &nnidv1.Option{
			Name: Text(o.Name), Usage: Text(o.Usage), Default: Text(o.Default), Required: o.Required, Secret: o.Secret,
		})
	}
	return message
}

// FromComponent decodes a component's description.
func FromComponent(message *nnidv1.Component) (core.Kind, core.Component) {
	c := core.Component{Name: message.GetName(), Summary: message.GetSummary(), Reference: message.GetReference()}
	for _, o := range message.GetOptions() {
		c.Options = append(c.Options, core.Option{
			Name: o.GetName(), Usage: o.GetUsage(), Default: o.GetDefault(), Required: o.GetRequired(), Secret: o.GetSecret(),
		})
	}
	return core.Kind(message.GetKind()), c
}

// Facts encodes an activation's facts.
func Facts(f core.Facts) *nnidv1.Facts {
	tail := func(t core.Tail) *nnidv1.Tail {
		return &nnidv1.Tail{Asymptotic: t.Asymptotic, Slope: t.Slope, Intercept: t.Intercept, Rate: t.Rate}
	}
	return &nnidv1.Facts{Left: tail(f.Left), Right: tail(f.Right), Symmetry: int32(f.Symmetry)}
}

// FromFacts decodes an activation's facts.
func FromFacts(message *nnidv1.Facts) (core.Facts, error) {
	tail := func(side string, t *nnidv1.Tail) (core.Tail, error) {
		tail := core.Tail{Asymptotic: t.GetAsymptotic(), Slope: t.GetSlope(), Intercept: t.GetIntercept(), Rate: t.GetRate()}
		if Finite([]float64{tail.Slope, tail.Intercept}) >= 0 {
			return tail, fmt.Errorf("the %s tail has slope %g and intercept %g; both must be finite", side, tail.Slope, tail.Intercept)
		}
		if tail.Rate < 0 || math.IsNaN(tail.Rate) {
			return tail, fmt.Errorf("the %s tail has rate %g; it must be 0 or more", side, tail.Rate)
		}
		return tail, nil
	}
	var facts core.Facts
	var err error
	if message == nil {
		return facts, fmt.Errorf("the facts are missing")
	}
	if facts.Left, err = tail("left", message.GetLeft()); err != nil {
		return facts, err
	}
	if facts.Right, err = tail("right", message.GetRight()); err != nil {
		return facts, err
	}
	facts.Symmetry = core.Symmetry(message.GetSymmetry())
	switch facts.Symmetry {
	case core.SymmetryNone, core.SymmetryPoint, core.SymmetryEven:
		return facts, nil
	}
	return facts, fmt.Errorf("the symmetry %d is not known here; it must be 0 (none), 1 (point) or 2 (even)", facts.Symmetry)
}

// OracleInfo encodes an oracle's declaration.
func OracleInfo(info core.OracleInfo) *nnidv1.InfoResponse {
	return &nnidv1.InfoResponse{
		Inputs: int64(info.Inputs), Outputs: int64(info.Outputs), Dtype: Text(string(info.DType)),
		MaxBatch: int64(info.MaxBatch), Model: Text(info.Model),
	}
}

// FromOracleInfo decodes an oracle's declaration.
func FromOracleInfo(message *nnidv1.InfoResponse) (core.OracleInfo, error) {
	info := core.OracleInfo{
		Inputs: int(message.GetInputs()), Outputs: int(message.GetOutputs()), DType: core.DType(message.GetDtype()),
		MaxBatch: int(message.GetMaxBatch()), Model: message.GetModel(),
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"inputs", info.Inputs}, {"outputs", info.Outputs}, {"max_batch", info.MaxBatch}} {
		if n.value < 0 || n.value > maxElements {
			return info, fmt.Errorf("%s is declared as %d; it must be 0 (not known) or positive", n.name, n.value)
		}
	}
	switch info.DType {
	case "", core.FP64, core.FP32:
		return info, nil
	}
	return info, fmt.Errorf("the dtype %q is not known; it must be FP64, FP32 or empty", info.DType)
}
