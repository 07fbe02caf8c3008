package local

import (
	"fmt"
	"math"
	"strings"
)

// Unexplained is the error of [Second] where no student arrived: how close those of each size came. It is evidence of what lies behind the first
// layer: students of a network of this form meet local minima, of which some are far better than others, and arrive; those of another function,
// one of more layers say, only approximate it, all equally well, and little better with more units.
type Unexplained struct {
	Units  int     `json:"units"` // of the first layer
	Stages []Stage `json:"students"`
	// Even says that the search ended early, since students left about the same and larger ones not much less.
	Even bool `json:"even"`
	// Axes is how many units of the first layer see one input each, where the caller has counted them.
	Axes int `json:"along_axes,omitempty"`
}

// Stage is what the students of one size left.
type Stage struct {
	Units    int     `json:"units"`    // of the second layer, before any was split
	Students int     `json:"students"` // how many were fitted
	Least    float64 `json:"least"`    // of them left, over the standard deviation of the answers
	Most     float64 `json:"most"`
	next     float64 // what the second best left
}

func (u *Unexplained) Error() string {
	var sizes, least []string
	students := 0
	for _, s := range u.Stages {
		sizes = append(sizes, fmt.Sprint(s.Units))
		least = append(least, fmt.Sprintf("%.1e", s.Least))
		students += s.Students
	}
	if students == 0 {
		return fmt.Sprintf("no second layer was looked for behind the %d units of the first: students would have more parameters than can be fitted in reasonable time (%d)", u.Units, mostParameters)
	}
	text := fmt.Sprintf("no second layer could be found behind the %d units of the first: of %d students, those of %s units leave %s of the answers' standard deviation at best",
		u.Units, students, enumerate(sizes), enumerate(least))
	if u.Even {
		text += "; they differ little, so these are approximations, not local minima: what comes after the first layer is not one layer of this activation, or a unit of the first is not as it seems"
	}
	if u.Axes > 1 {
		text += fmt.Sprintf("; %d units of the first layer see one input each, as steps far out do where inputs are clipped: then ask within the bounds, with --domain", u.Axes)
	}
	return text
}

// enumerate joins a list as a sentence does.
func enumerate(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// add counts a student of k1 units, not counting those that splitting has added, that left so much of the standard deviation.
func (u *Unexplained) add(k1 int, left float64) {
	if n := len(u.Stages); n == 0 || u.Stages[n-1].Units != k1 {
		u.Stages = append(u.Stages, Stage{Units: k1, Least: math.Inf(1), next: math.Inf(1)})
	}
	last := &u.Stages[len(u.Stages)-1]
	last.Students++
	last.next = min(last.next, max(last.Least, left))
	last.Least, last.Most = min(last.Least, left), max(last.Most, left)
}

// Students are even that are within evenFactor of each other, all of the two largest sizes or the best two of the three largest, while each size leaves
// more than the size before over evenFactor, and none is closer than evenLeast.
const (
	evenFactor = 2
	evenLeast  = 1e-5
	evenAll    = 2
	evenBest   = 3
	fewest     = 3 // students of a size
)

// even reports whether the students so far are: then larger ones are not worth their time, which grows with the cube of the units.
func (u *Unexplained) even() bool {
	return u.evenly(evenAll, func(s Stage) float64 { return s.Most }) || u.evenly(evenBest, func(s Stage) float64 { return s.next })
}

// evenly reports whether those up to worst are, of so many sizes.
func (u *Unexplained) evenly(sizes int, worst func(Stage) float64) bool {
	n := len(u.Stages)
	if n < sizes {
		return false
	}
	for k, s := range u.Stages[n-sizes:] {
		if s.Students < fewest || s.Least < evenLeast || worst(s) > evenFactor*s.Least {
			return false
		}
		if k > 0 && u.Stages[n-sizes+k-1].Least >= evenFactor*s.Least {
			return false
		}
	}
	return true
}
