package paper

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/npy"
	"github.com/nnid/nnid/core/subspace"
)

// Stages, in order.
const (
	StageReduce    = "reduce"
	StageSample    = "sample"
	StageSubspace  = "subspace"
	StageExtract   = "extract"
	StageVerify    = "verify"
	StageAttribute = "attribute"
	StageAssemble  = "assemble"
)

// Stages are the names of the stages, in order.
var Stages = []string{StageReduce, StageSample, StageSubspace, StageExtract, StageVerify, StageAttribute, StageAssemble}

// CheckStage refuses a name that is no stage's.
func CheckStage(name string) error {
	if !slices.Contains(Stages, name) {
		return fault.New(fault.Usage, "there is no stage %q; there are: %s", name, strings.Join(Stages, ", "))
	}
	return nil
}

// Files of the states after the stages; the last stage's result is the network.
var stageFiles = map[string]string{
	StageReduce: "reduction.npz", StageSample: "hessians.npz", StageSubspace: "subspace.npz", StageExtract: "vectors.npz",
	StageVerify: "verified.npz", StageAttribute: "layers.npz",
}

// StageFile returns the name of the file with the state after the stage; empty where there is none.
func StageFile(stage string) string { return stageFiles[stage] }

// State is what the stages hand on. Arrays of files are named as in the comments.
type State struct {
	Reduction         *mat.Dense         // "reduction", d x r: orthonormal basis Q; nil where there is none
	ReductionSpectrum []float64          // "reduction_spectrum"
	Points            *mat.Dense         // "points", N x r
	Hessians          []*mat.SymDense    // "hessians", N x r x r
	Subspace          *subspace.Subspace // "basis", m x r x r, and "spectrum"
	Vectors           *mat.Dense         // "vectors", r x k, unit columns: the candidates
	Bars              []float64          // "bars", k: error bars, after a joint fit
	Joint             bool
	Accepted          []int      // "accepted", k: 1 or 0
	Verified          bool       // whether Accepted says something
	First, Second     *mat.Dense // "a", r x m0, and "v", r x m1: unit columns
	Attributed        bool
}

// done returns the last stage whose result the state holds; empty when there is none.
func (s *State) done() string {
	switch {
	case s.Attributed:
		return StageAttribute
	case s.Verified:
		return StageVerify
	case s.Vectors != nil:
		return StageExtract
	case s.Subspace != nil:
		return StageSubspace
	case s.Hessians != nil:
		return StageSample
	case s.Reduction != nil:
		return StageReduce
	}
	return ""
}

// Write writes the state as a NumPy archive. Hessians are left out once the conditions are checked, which need them last.
func (s *State) Write(w io.Writer) error {
	var arrays []npy.Member
	add := func(name string, data []float64, shape ...int) {
		arrays = append(arrays, npy.Member{Name: name, Array: &npy.Array{Shape: shape, Data: data}})
	}
	dense := func(name string, m *mat.Dense) {
		if m == nil {
			return
		}
		r, c := m.Dims()
		data := make([]float64, 0, r*c)
		for i := range r {
			data = append(data, m.RawRowView(i)...)
		}
		add(name, data, r, c)
	}
	vector := func(name string, v []float64) {
		if len(v) > 0 {
			add(name, v, len(v))
		}
	}
	dense("reduction", s.Reduction)
	vector("reduction_spectrum", s.ReductionSpectrum)
	stack := func(name string, count int, at func(k int) *mat.SymDense) {
		n := at(0).SymmetricDim()
		data := make([]float64, 0, count*n*n)
		for k := range count {
			data = append(data, subspace.Vec(at(k))...)
		}
		add(name, data, count, n, n)
	}
	if s.Hessians != nil && !s.Verified {
		dense("points", s.Points)
		stack("hessians", len(s.Hessians), func(k int) *mat.SymDense { return s.Hessians[k] })
	}
	if s.Subspace != nil {
		stack("basis", s.Subspace.Dimension(), s.Subspace.Element)
		vector("spectrum", s.Subspace.Spectrum)
	}
	dense("vectors", s.Vectors)
	vector("bars", finite(s.Bars))
	if s.Verified && s.Vectors != nil {
		_, k := s.Vectors.Dims()
		mask := make([]float64, k)
		for _, j := range s.Accepted {
			mask[j] = 1
		}
		vector("accepted", mask)
	}
	if s.Attributed {
		dense("a", s.First)
		dense("v", s.Second)
	}
	return npy.WriteArchive(w, arrays)
}

// finite replaces what a reader would refuse.
func finite(v []float64) []float64 {
	v = slices.Clone(v)
	for k := range v {
		if math.IsInf(v[k], 0) || math.IsNaN(v[k]) {
			v[k] = math.MaxFloat64
		}
	}
	return v
}

// Read reads a state: what [State.Write] wrote, or what someone made in NumPy with the same names. What is missing is
// what earlier stages would have given; the run goes on after the last stage whose result is there.
func Read(content []byte) (*State, error) {
	known := []string{"reduction", "reduction_spectrum", "points", "hessians", "basis", "spectrum", "vectors", "bars", "accepted", "a", "v"}
	arrays, names, err := npy.ReadArchive(bytes.NewReader(content), int64(len(content)), func(name string) bool { return slices.Contains(known, name) })
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fault.New(fault.Usage, "the archive holds the array %q; the recipe knows: %s", name, strings.Join(known, ", "))
		}
	}
	for name, a := range arrays {
		if err := checkNumbers(name, a); err != nil {
			return nil, err
		}
	}
	s := &State{}
	order := -1
	dense := func(name string, rows int) (*mat.Dense, error) {
		a, ok := arrays[name]
		if !ok {
			return nil, nil
		}
		if err := checkShape(a, name, rows, -1); err != nil {
			return nil, err
		}
		return mat.NewDense(a.Shape[0], a.Shape[1], a.Data), nil
	}
	if s.Reduction, err = dense("reduction", -1); err != nil {
		return nil, err
	}
	if s.Reduction != nil {
		_, order = s.Reduction.Dims()
		var gram mat.Dense
		gram.Mul(s.Reduction.T(), s.Reduction)
		for i := range order {
			gram.Set(i, i, gram.At(i, i)-1)
		}
		if off := mat.Norm(&gram, 2); !(off < 1e-6) {
			return nil, fault.New(fault.Usage, "the columns of the array reduction are not orthonormal: off by %.1e", off)
		}
	}
	if a := arrays["reduction_spectrum"]; a != nil {
		s.ReductionSpectrum = a.Data
	}
	if a, ok := arrays["hessians"]; ok {
		if err := checkShape(a, "hessians", -1, order, order); err != nil {
			return nil, err
		}
		n := a.Shape[1]
		if a.Shape[2] != n {
			return nil, fault.New(fault.Usage, "the array hessians must hold square matrices")
		}
		order = n
		for k := range a.Shape[0] {
			s.Hessians = append(s.Hessians, subspace.Unvec(a.Data[k*n*n:(k+1)*n*n], n))
		}
		if s.Points, err = dense("points", len(s.Hessians)); err != nil {
			return nil, err
		}
	}
	if a, ok := arrays["basis"]; ok {
		if err := checkShape(a, "basis", -1, order, order); err != nil {
			return nil, err
		}
		if s.Subspace, err = subspace.FromArray(a.Shape, a.Data); err != nil {
			return nil, err
		}
		order = s.Subspace.Dim
		if a := arrays["spectrum"]; a != nil {
			s.Subspace.Spectrum = a.Data
		}
		if n := len(s.Subspace.Spectrum); n > 0 && (n < s.Subspace.Dimension() || !slices.IsSortedFunc(s.Subspace.Spectrum, func(a, b float64) int {
			if a < b {
				return 1
			}
			if a > b {
				return -1
			}
			return 0
		})) {
			return nil, fault.New(fault.Usage, "the array spectrum must hold the singular values, descending, at least one for each of the %d matrices of the basis", s.Subspace.Dimension())
		}
	}
	units := func(name string) (*mat.Dense, error) {
		m, err := dense(name, order)
		if m == nil || err != nil {
			return nil, err
		}
		order, _ = m.Dims()
		_, k := m.Dims()
		for j := range k {
			if n := mat.Norm(m.ColView(j), 2); math.Abs(n-1) > 1e-6 {
				return nil, fault.New(fault.Usage, "column %d of the array %s has norm %g; unit vectors are needed", j, name, n)
			}
		}
		return m, nil
	}
	if s.Vectors, err = units("vectors"); err != nil {
		return nil, err
	}
	if s.Vectors != nil {
		_, k := s.Vectors.Dims()
		if a, ok := arrays["bars"]; ok {
			if err := checkShape(a, "bars", k); err != nil {
				return nil, err
			}
			s.Bars, s.Joint = a.Data, true
		}
		if a, ok := arrays["accepted"]; ok {
			if err := checkShape(a, "accepted", k); err != nil {
				return nil, err
			}
			s.Verified = true
			for j, v := range a.Data {
				if v != 0 {
					s.Accepted = append(s.Accepted, j)
				}
			}
		}
	}
	if s.First, err = units("a"); err != nil {
		return nil, err
	}
	if s.Second, err = units("v"); err != nil {
		return nil, err
	}
	s.Attributed = s.First != nil && s.Second != nil
	if s.done() == "" {
		return nil, fault.New(fault.Usage, "the archive holds no array that a stage could go on from; name one of: %s", strings.Join(known, ", "))
	}
	return s, nil
}

// checkNumbers refuses an array that holds nothing to calculate with.
func checkNumbers(name string, a *npy.Array) error {
	if a.Text != nil || len(a.Data) == 0 {
		return fault.New(fault.Usage, "the array %s of shape %s holds no numbers", name, npy.Describe(a.Shape))
	}
	for i, v := range a.Data {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fault.New(fault.Usage, "entry %d of the array %s is not finite", i, name)
		}
	}
	return nil
}

// checkShape refuses an array whose shape is not the one wanted; -1 stands for any size.
func checkShape(a *npy.Array, name string, shape ...int) error {
	ok := len(a.Shape) == len(shape)
	wanted := make([]string, len(shape))
	for k, n := range shape {
		ok = ok && (n < 0 || a.Shape[k] == n)
		wanted[k] = fmt.Sprint(n)
		if n < 0 {
			wanted[k] = "any"
		}
	}
	if ok {
		return nil
	}
	return fault.New(fault.Usage, "the array %s has shape %s instead of (%s)", name, npy.Describe(a.Shape), strings.Join(wanted, ", "))
}

// ReadFile reads a state from a file: a NumPy archive, or (as nnid extract takes and writes them) a basis of shape
// (m, d, d) in a .npy file.
func ReadFile(path string) (*State, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "the file %s cannot be read: %w", path, err)
	}
	if strings.HasPrefix(string(content), "\x93NUMPY") {
		s, err := subspace.ReadBasis(strings.NewReader(string(content)))
		if err != nil {
			return nil, fault.New(fault.Usage, "file %s: %w", filepath.Base(path), err)
		}
		return &State{Subspace: s}, nil
	}
	s, err := Read(content)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "file %s: %w", filepath.Base(path), err)
	}
	return s, nil
}
