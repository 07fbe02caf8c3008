package network

import "math"

// Assign returns, for each row of the square cost matrix, the column assigned to it, so that the sum of the costs is
// least (the Hungarian method with potentials; Kuhn 1955, in the O(n^3) form of Jonker and Volgenant).
func Assign(cost [][]float64) []int {
	n := len(cost)
	u, v := make([]float64, n+1), make([]float64, n+1)
	owner := make([]int, n+1) // row (1-based) that has the column
	way := make([]int, n+1)
	for i := 1; i <= n; i++ {
		owner[0] = i
		column := 0
		least := make([]float64, n+1)
		used := make([]bool, n+1)
		for j := range least {
			least[j] = math.Inf(1)
		}
		for {
			used[column] = true
			row, delta, next := owner[column], math.Inf(1), 0
			for j := 1; j <= n; j++ {
				if used[j] {
					continue
				}
				if reduced := cost[row-1][j-1] - u[row] - v[j]; reduced < least[j] {
					least[j], way[j] = reduced, column
				}
				if least[j] < delta {
					delta, next = least[j], j
				}
			}
			for j := 0; j <= n; j++ {
				if used[j] {
					u[owner[j]] += delta
					v[j] -= delta
				} else {
					least[j] -= delta
				}
			}
			column = next
			if owner[column] == 0 {
				break
			}
		}
		for column != 0 {
			owner[column] = owner[way[column]]
			column = way[column]
		}
	}
	assigned := make([]int, n)
	for j := 1; j <= n; j++ {
		assigned[owner[j]-1] = j - 1
	}
	return assigned
}
