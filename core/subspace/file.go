package subspace

import (
	"io"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/core/npy"
)

// ReadBasis reads a NumPy array (.npy) of shape (m, d, d), in either order: m orthonormal symmetric
// matrices. That they are is checked, to 1e-6; the error is a [fault.Usage].
func ReadBasis(r io.Reader) (*Subspace, error) {
	shape, data, err := readArray(r)
	if err != nil {
		return nil, err
	}
	return FromArray(shape, data)
}

// FromArray makes a subspace of an array of shape (m, d, d): m orthonormal symmetric matrices, which is checked, to 1e-6.
func FromArray(shape []int, data []float64) (*Subspace, error) {
	if len(shape) != 3 || shape[1] != shape[2] || shape[0] < 1 || shape[1] < 1 {
		return nil, fault.New(fault.Usage, "a basis is an array of shape (m, d, d), but this one has shape %s", npy.Describe(shape))
	}
	m, d := shape[0], shape[1]
	full := mat.NewDense(d*d, m, nil)
	for k := range m {
		full.SetCol(k, data[k*d*d:(k+1)*d*d])
	}
	return FromProblem(core.Problem{Dim: d, Basis: full})
}

// WriteBasis writes the basis as a NumPy array (.npy, float64) of shape (m, d, d).
func WriteBasis(w io.Writer, s *Subspace) error {
	m, d := s.Dimension(), s.Dim
	data := make([]float64, 0, m*d*d)
	for k := range m {
		data = append(data, Vec(s.Element(k))...)
	}
	return npy.Write(w, &npy.Array{Shape: []int{m, d, d}, Data: data})
}

// ReadVectors reads a NumPy array (.npy) of shape (d, k), float64 or float32: one vector a column.
func ReadVectors(r io.Reader) (*mat.Dense, error) {
	shape, data, err := readArray(r)
	if err != nil {
		return nil, err
	}
	if len(shape) != 2 {
		return nil, fault.New(fault.Usage, "vectors are an array of shape (d, k), but this one has shape %s", npy.Describe(shape))
	}
	return mat.NewDense(shape[0], shape[1], data), nil
}

// WriteVectors writes vectors (d x k) as a NumPy array (.npy, float64). With vectors nil it writes the shape (d, 0).
func WriteVectors(w io.Writer, d int, vectors *mat.Dense) error {
	if vectors == nil || vectors.IsEmpty() {
		return npy.Write(w, &npy.Array{Shape: []int{d, 0}})
	}
	rows, columns := vectors.Dims()
	data := make([]float64, 0, rows*columns)
	for i := range rows {
		data = append(data, vectors.RawRowView(i)...)
	}
	return npy.Write(w, &npy.Array{Shape: []int{rows, columns}, Data: data})
}

// readArray returns shape and entries, in row-major order, of an array of finite numbers without empty dimensions.
func readArray(r io.Reader) (shape []int, data []float64, err error) {
	a, err := npy.Read(r)
	switch {
	case err != nil:
		return nil, nil, err
	case a.Text != nil:
		return nil, nil, fault.New(fault.Usage, "the array holds texts, but float64 (or float32) is needed")
	case len(a.Data) == 0:
		return nil, nil, fault.New(fault.Usage, "the array has shape %s: every dimension must be at least 1", npy.Describe(a.Shape))
	}
	for i, value := range a.Data {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil, nil, fault.New(fault.Usage, "entry %d of the array is not finite", i)
		}
	}
	return a.Shape, a.Data, nil
}
