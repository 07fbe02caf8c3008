package bench

import (
	"math"

	"github.com/nnid/nnid/core/identify"
)

// costs are the metrics of runs of the recipe exact in suites with columns: what they took, and how well the network is known. Processor time and
// memory are those of the whole process, and are left out where other runs go on in it.
type costs struct {
	alone bool
	cpu   float64
}

func startCosts(alone bool) costs {
	c := costs{alone: alone}
	if alone {
		forgetPeak()
		c.cpu, _ = cpuSeconds()
	}
	return c
}

// metrics by name: "error" and "bar" of the parameters, "radius" that Newton and Kantorovich's theorem gives (where it gives one), "queries_per_parameter",
// "seconds", "cpu_seconds", "peak_mib".
func (c costs) metrics(r *Record, result *identify.Result) map[string]float64 {
	m := map[string]float64{"parameters": float64(r.Parameters), "identified": 0, "queries_per_parameter": r.PerParameter(), "seconds": r.Seconds}
	if r.Outcome == Identified {
		m["identified"] = 1
	}
	for name, v := range map[string]float64{"error": r.MaxError, "bar": r.ErrorBar} {
		if !math.IsNaN(v) {
			m[name] = v
		}
	}
	if result != nil && result.Certificate != nil && result.Certificate.Radius != nil && result.Certificate.Radius.Given {
		m["radius"] = result.Certificate.Radius.Within
	}
	c.process(m)
	return m
}

// process adds "cpu_seconds" and "peak_mib", those of runs of the recipe paper too.
func (c costs) process(m map[string]float64) {
	if !c.alone {
		return
	}
	if now, ok := cpuSeconds(); ok {
		m["cpu_seconds"] = now - c.cpu
	}
	if peak, ok := peakMiB(); ok {
		m["peak_mib"] = peak
	}
}
