// Package core holds the three interfaces that nnid is built from, [Activation], [Solver] and [Oracle], and the words
// they share. It computes nothing and knows no transport: the stages (core/sample, core/recover, ...) use these
// interfaces, plugins implement them, and package sdk carries them between processes.
//
// The hidden network is
//
//	f(x) = c0 + sum_l c_l h(b_l . g(A^T x + theta) + tau_l)
//
// with A in R^{d x m0} (columns a_i), B in R^{m0 x m1} (columns b_l); d is the number of inputs, m0 and m1 the sizes
// of the two hidden layers. See Fornasier, Klock, Rauchensteiner, arXiv 1907.00485.
package core
