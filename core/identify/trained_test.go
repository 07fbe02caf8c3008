package identify

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/nnid/nnid/core/network"
)

// TestTrained: networks of testdata/README.md, each of which one way to find networks of its kind was wrong about, and their activation is not given.
func TestTrained(t *testing.T) {
	for _, c := range []struct {
		name  string
		seeds uint64
		most  float64 // queries for each parameter
	}{
		{"wine-sigmoid-10-3", 2, 10},
		{"regression-sigmoid-16-4", 1, 11},
		{"regression-tanh-20-5", 1, 11},
		{"swissroll-sigmoid-20-5", 1, 10},
	} {
		n, err := network.ReadFile(filepath.Join("testdata", c.name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for seed := range c.seeds {
			t.Run(fmt.Sprintf("%s, seed %d", c.name, seed), func(t *testing.T) {
				p := problem(t, n)
				p.Candidates = candidates(t, "tanh", "sigmoid")
				result, err := Run(t.Context(), p, Settings{Seed: seed})
				if err != nil {
					t.Fatal(err)
				}
				if !result.Identified {
					t.Fatalf("not identified: %s", result.Reason)
				}
				if off := distance(t, n, result.Network); off > 1e-8 {
					t.Errorf("off by %.1e", off)
				}
				if cost := float64(result.Queries) / float64(n.Parameters()); cost > c.most {
					t.Errorf("%.1f queries for each parameter, more than %.0f", cost, c.most)
				}
			})
		}
	}
}
