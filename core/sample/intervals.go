package sample

import "sort"

// intervals is a set of closed intervals of the real line, overlapping or not.
type intervals [][2]float64

// complement returns the parts of [low, high] that no interval covers, in order.
func (s intervals) complement(low, high float64) [][2]float64 {
	sorted := append(intervals(nil), s...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i][0] < sorted[j][0] })
	var gaps [][2]float64
	at := low
	for _, i := range sorted {
		if i[0] >= high {
			break
		}
		if i[0] > at {
			gaps = append(gaps, [2]float64{at, i[0]})
		}
		if i[1] > at {
			at = i[1]
		}
	}
	if at < high {
		gaps = append(gaps, [2]float64{at, high})
	}
	return gaps
}
