package probe

import (
	"strings"
	"testing"
)

// Of a run that failed it is said how noisy the answers are and what is known all the same, and nothing where they are not noisy.
func TestNoisy(t *testing.T) {
	answers := []float64{1, -1, 1, -1}
	for says, k := range map[string]Known{
		"":                        {Noise: 1e-12, Answers: answers, Units: 3},
		"no unit stands out":      {Noise: 1e-2, Answers: answers},
		"directions of 3 units":   {Noise: 1e-2, Answers: answers, Units: 3},
		"8 and 4 units came":      {Noise: 1e-2, Answers: answers, Units: 8, M0: 8, M1: 4},
		"closest, 3.0e-01 of f's": {Noise: 1e-2, Answers: answers, Units: 8, M0: 8, M1: 4, Error: 0.3},
	} {
		text := Noisy(k)
		if (text == "") != (says == "") || !strings.Contains(text, says) || says != "" && !strings.Contains(text, "noisy by 1.0e-02, and vary by 1.0e+00: it was not identifiable at this noise") {
			t.Errorf("%+v: %q; it should say %q", k, text, says)
		}
	}
	if text := Noisy(Known{Noise: 1}); text != "" {
		t.Errorf("without answers: %q", text)
	}
}
