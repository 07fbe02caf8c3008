// Package paper is the method of Fornasier, Klock and Rauchensteiner, "Robust and resource efficient identification of
// two hidden layer neural networks" (arXiv 1907.00485), as published, stage by stage, with every choice an option:
//
//	reduce     from d to m0 dimensions, by the span of gradients or Hessians (reduce.go)
//	sample     Hessians by finite differences at points near 0 (hessian.go)
//	subspace   the span of m0+m1 dimensions closest to them (space.go)
//	extract    the rank-one matrices in it, by any solver (extract.go), and a joint fit of them (joint.go, ours)
//	verify     the a-posteriori conditions, which decide what is accepted (conditions.go)
//	attribute  which vectors are an a_i and which a v_l (attribute.go)
//	assemble   shifts, G0, B: the network (assemble.go)
//
// A stage reads and writes [State], which can be saved after any stage and entered again. Only docs/paper.md says what of
// this is the paper's and what is ours; it also has the measurements.
package paper
