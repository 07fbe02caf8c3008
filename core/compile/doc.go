// Package compile turns an activation, which may live in another process, into a function of this process that the
// hot loops can call: no error, no allocation, safe for concurrent use.
//
// # Form
//
// Each derivative has its own table of polynomials of degree 7. The panel of t is found by arithmetic: s = |t| + 1 has
// an exponent, the octave, and the leading bits of its mantissa number the panel within the octave. So panels are
// equally wide in |t| < 1 and grow with |t| beyond, which is what algebraic tails (arctan, softsign) need; every octave
// is subdivided as finely as it needs. Past the octave where the function has reached its asymptote to rounding
// ([core.Facts]), the asymptote is the value. Nothing depends on an activation's name.
//
// # Accuracy
//
// Every panel is fitted at Chebyshev nodes and checked, there and at random points, against the activation. It is kept
// when no error exceeds [Tolerance] times the largest magnitude of the derivative nearby (in the same quarter of an
// octave and its neighbours; at least a thousandth of the largest in |t| < 3), or what the activation's own rounding
// scatters, up to [NoiseLimit]. Where the derivative vanishes at 0, the panels next to it
// keep the relative accuracy of the activation's values.
//
// # Where it cannot
//
// A kink other than at 0, noise, or growth without an asymptote cannot be tabulated. There the function is still right:
// it calls the activation. [Report] says where and [Function.Err] whether a call has failed.
package compile
