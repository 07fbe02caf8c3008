package paper

import "slices"

// Plan returns the least and the most queries that a run asks, for a model of that many inputs and for sizes that are given. The
// two differ by what answers decide: how many vectors are accepted and attributed, how often the noise is measured again, and how
// many Hessians hessians=adaptive or bound takes. A run that ends early, as one that accepts nothing, asks less.
func Plan(inputs, m0, m1 int, s Settings) (least, most int64) {
	o, m := s.Options, m0+m1
	add := func(low, high int) { least, most = least+int64(low), most+int64(high) }
	exactly := func(n int) { add(n, n) }
	measured := false
	noise := func() {
		if !measured {
			add(10, 28) // nine points in a row, once or at three steps, and one
			measured = true
		}
	}
	bent := false
	step := func() {
		noise()
		if o.Stencil == wordForward && o.Step == 0 && !bent {
			exactly(thirdLines * thirdPoints)
			bent = true
		}
	}
	done, r := 0, inputs
	if s.From != nil {
		done = slices.Index(Stages, s.From.done()) + 1
		if s.From.Reduction != nil {
			_, r = s.From.Reduction.Dims()
		}
	}
	for _, stage := range Stages[done:] {
		if s.StopAfter != "" && slices.Index(Stages, stage) > slices.Index(Stages, s.StopAfter) {
			break
		}
		switch stage {
		case StageReduce:
			how := o.Reduce
			if how == wordAuto && m0 < inputs {
				how = wordGradients
			}
			n := o.ReducePoints
			if n == 0 {
				n = 2*min(m0, inputs) + 10
			}
			switch how {
			case wordGradients:
				noise()
				exactly(n * 2 * inputs)
			case wordHessians:
				noise()
				exactly(n * stencilPoints(atLeastCentral(o.Stencil), inputs))
			}
			if (how == wordGradients || how == wordHessians) && m0 < inputs {
				r = m0
			}
		case StageSample:
			step()
			each := stencilPoints(o.Stencil, r)
			switch {
			case o.Bound || o.Adaptive:
				add(4*m*each, mostBound*each)
			case o.Hessians > 0:
				exactly(o.Hessians * each)
			default:
				exactly(20 * m * each)
			}
		case StageAttribute:
			if m1 == 0 {
				break
			}
			step()
			if o.Attribution != AttributeDrift {
				each := 2 * o.SaturationPoints * 2 * r
				add(each, o.Rounds*m*each)
			}
			if o.Attribution != AttributeSaturation {
				n := o.DriftPoints
				if n == 0 {
					n = 2 * r
				}
				exactly(n * stencilPoints(o.Stencil, r))
			}
		case StageAssemble:
			unknowns := m0 + 2*m1 + 1
			few := 4 // one vector of either layer
			switch {
			case m1 == 0:
				unknowns, few = 2*m0+1, 3
			case o.Class == wordGeneral:
				unknowns, few = unknowns+m, few+2
			}
			if o.DescentPoints > 0 {
				exactly(o.DescentPoints)
			} else {
				add(10*few, 10*o.Rounds*unknowns)
			}
			if s.Refine && m1 > 0 {
				exactly(4*(m0*(inputs+1)+m1*(m0+1)+m1+1) + 50)
			}
			exactly(o.UniformPoints)
		}
	}
	return least, most
}

// atLeastCentral replaces forward differences, whose errors fill all dimensions and leave no gap.
func atLeastCentral(stencil string) string {
	if stencil == wordForward {
		return wordCentral
	}
	return stencil
}
