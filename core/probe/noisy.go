package probe

import "fmt"

// Known is what a run has found though it could not identify the network.
type Known struct {
	Units   int     // of the first layer; 0: none
	M0, M1  int     // sizes of the network that came closest; 0: there is none
	Error   float64 // of that network at fresh points, over the standard deviation of f; 0: not measured
	Noise   float64 // standard deviation of an answer's error, as estimated
	Answers []float64
}

// clean is the noise, relative to what the answers vary by, at which networks are found as if there were none.
const clean = 1e-9

// Noisy says of a run that has failed how noisy the answers are, and what is known all the same; "" where noise is not what it failed for.
func Noisy(k Known) string {
	if len(k.Answers) == 0 || !(k.Noise > clean*deviation(k.Answers)) {
		return ""
	}
	text := fmt.Sprintf("the answers are noisy by %.1e, and vary by %.1e: it was not identifiable at this noise; ", k.Noise, deviation(k.Answers))
	switch {
	case k.M0 > 0 && k.Error > 0:
		text += fmt.Sprintf("of what was found, a network of %d and %d units came closest, %.1e of f's standard deviation off", k.M0, k.M1, k.Error)
	case k.M0 > 0:
		text += fmt.Sprintf("of what was found, a network of %d and %d units came closest", k.M0, k.M1)
	case k.Units > 0:
		text += fmt.Sprintf("this much is known: directions of %d units of the first layer", k.Units)
	default:
		text += "no unit stands out from the noise"
	}
	return text + "; another --seed asks elsewhere, and averages of several answers are less noisy"
}
