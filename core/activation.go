package core

import "context"

// MaxDerivative is the highest order of derivative that an [Activation] gives.
const MaxDerivative = 3

// Activation is a scalar function g with its derivatives to order [MaxDerivative] and a few facts about it.
// Implementations are safe for concurrent calls.
type Activation interface {
	// Facts returns what is known of the function as a whole. It does not change over the life of the value.
	Facts() Facts

	// Derivative returns the derivative of the given order (0 is the function itself, up to MaxDerivative) at
	// every t. It neither keeps nor changes t; the result has the length of t. It is accurate to a few units in the
	// last place for every finite t, has the limit's value at +-Inf, and NaN at NaN.
	Derivative(ctx context.Context, order int, t []float64) ([]float64, error)
}

// Facts are what the stages need to know of an activation beyond its values. Symmetries of networks follow from
// them, never from an activation's name.
type Facts struct {
	Left, Right Tail // behaviour for t -> -Inf and t -> +Inf
	Symmetry    Symmetry
}

// Saturates reports whether the function has finite limits on both sides.
func (f Facts) Saturates() bool {
	return f.Left.Asymptotic && f.Right.Asymptotic && f.Left.Slope == 0 && f.Right.Slope == 0
}

// Tail describes g at one end: g(t) = Slope t + Intercept + o(1) when Asymptotic.
type Tail struct {
	Asymptotic bool
	Slope      float64
	Intercept  float64
	// Rate is k when the distance to the asymptote decays like exp(-k |t|); 0 when it decays more slowly, +Inf when
	// faster than every exponential.
	Rate float64
}

// Symmetry is how g(-t) follows from g(t).
type Symmetry int

// The symmetries. The numbers are on the wire: append only.
const (
	SymmetryNone  Symmetry = 0
	SymmetryPoint Symmetry = 1 // g(-t) = 2 g(0) - g(t): odd functions, and sigmoid with g(0) = 1/2
	SymmetryEven  Symmetry = 2 // g(-t) = g(t)
)

func (s Symmetry) String() string {
	switch s {
	case SymmetryNone:
		return "none"
	case SymmetryPoint:
		return "point"
	case SymmetryEven:
		return "even"
	}
	return "unknown"
}

// Function is an activation within this process: no context, no error, no allocation. It is what hot loops call;
// package core/compile makes one of an [Activation].
type Function interface {
	Facts() Facts
	// Apply sets dst[k] to the derivative of the given order at t[k]. dst and t have the same length and may be the same
	// slice.
	Apply(order int, dst, t []float64)
}
