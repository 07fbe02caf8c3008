package activations

import (
	"context"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/compile"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk/plugintest"
)

// variants are the built-in activations, and those with options once more with other values. Names are those of references.
func variants() []core.ActivationFactory {
	all := All()
	for _, v := range []struct{ name, option, value string }{
		{"softplus", "beta", "3"}, {"elu", "alpha", "1.5"}, {"leaky", "slope", "0.25"}, {"leaky", "slope", "0"},
	} {
		for _, factory := range All() {
			if factory.Name == v.name {
				base := factory.Open
				factory.Name += " " + v.option + "=" + v.value
				factory.Open = func(core.Options) (core.Activation, error) { return base(core.Options{v.option: v.value}) }
				all = append(all, factory)
			}
		}
	}
	return all
}

func TestConformance(t *testing.T) {
	for _, factory := range variants() {
		t.Run(factory.Name, func(t *testing.T) {
			if err := plugintest.CheckActivation(t.Context(), open(t, factory)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct{ name, option, value string }{
		{"softplus", "beta", "0"}, {"softplus", "beta", "NaN"}, {"softplus", "alpha", "1"}, {"elu", "alpha", "-1"}, {"leaky", "slope", "1"}, {"tanh", "beta", "1"},
	} {
		for _, factory := range All() {
			if factory.Name != c.name {
				continue
			}
			options, err := factory.Resolve(core.KindActivation, core.Options{c.option: c.value})
			if err == nil {
				_, err = factory.Open(options)
			}
			if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.option) {
				t.Errorf("%s with %s=%s: %v", c.name, c.option, c.value, err)
			}
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, factory := range All() {
		if err := core.CheckName(factory.Name); err != nil || factory.Summary == "" || seen[factory.Name] {
			t.Errorf("%q: name %v, summary %q, or named twice", factory.Name, err, factory.Summary)
		}
		seen[factory.Name] = true
	}
}

func open(t testing.TB, factory core.ActivationFactory) core.Activation {
	t.Helper()
	activation, err := factory.Open(nil) // the defaults
	if err != nil {
		t.Fatal(err)
	}
	return activation
}

// TestReference compares all derivatives with Taylor series computed from the definition in 2200 bits (660 digits, so
// that nothing that cancels matters), from 1e-300 to far into the tails.
func TestReference(t *testing.T) {
	const eps = 0x1p-53
	arguments := []float64{1e-300, 1e-20, 1e-9, 1e-5, 0.01, 0.3, 0.5, 0.6, 0.65847894846240835, 0.7, 1, 1.2, 1.5, 2, 3, 5, 8, 12, 17, 19, 22, 26, 30, 37}
	random := rand.New(rand.NewPCG(3, 3))
	for range 40 {
		arguments = append(arguments, math.Abs(random.NormFloat64())*2)
	}
	for _, factory := range variants() {
		reference, ok := references[factory.Name]
		if !ok {
			t.Errorf("%s has no reference", factory.Name)
			continue
		}
		t.Run(factory.Name, func(t *testing.T) {
			activation := open(t, factory)
			var worst [core.MaxDerivative + 1]float64
			for _, positive := range arguments {
				for _, x := range []float64{positive, -positive} {
					want := derivatives(reference(variable(x)))
					for order := range worst {
						got, err := activation.Derivative(t.Context(), order, []float64{x})
						if err != nil {
							t.Fatal(err)
						}
						miss, _ := new(big.Float).Sub(number(got[0]), want[order]).Float64()
						size, _ := want[order].Float64()
						slope, _ := want[order+1].Float64()
						// Where the derivative crosses zero, a change of the argument in its last place is the measure.
						unit := eps * (math.Abs(size) + math.Min(1, math.Abs(x))*math.Abs(slope))
						if math.Abs(miss) <= 0x1p-1074 {
							continue
						}
						if ulps := math.Abs(miss) / unit; !(ulps <= worst[order]) {
							worst[order] = ulps
							if !(ulps <= 12) {
								t.Errorf("derivative %d at %g is %g, off by %.1f half units in the last place", order, x, got[0], ulps)
							}
						}
					}
				}
			}
			t.Logf("largest errors, in half units in the last place: %.1f", worst)
		})
	}
}

// TestFar goes where references are simple: the asymptotes, to the largest numbers.
func TestFar(t *testing.T) {
	for _, factory := range variants() {
		if factory.Name == "sine" {
			continue
		}
		activation := open(t, factory)
		facts := activation.Facts()
		for _, x := range []float64{1e3, 1e8, 1e155, 1e200, math.MaxFloat64, math.Inf(1)} {
			for _, side := range []struct {
				t    float64
				tail core.Tail
			}{{x, facts.Right}, {-x, facts.Left}} {
				for order := range core.MaxDerivative + 1 {
					got, err := activation.Derivative(t.Context(), order, []float64{side.t})
					if err != nil {
						t.Fatal(err)
					}
					want := side.tail.Intercept
					switch {
					case order == 0 && side.tail.Slope != 0:
						want = side.tail.Slope * side.t
					case order == 1:
						want = side.tail.Slope
					case order > 1:
						want = 0
					}
					// Algebraic tails are 1/t off.
					if got[0] != want && !(math.Abs(got[0]-want) <= 1.1/x) {
						t.Errorf("%s: derivative %d at %g is %g, want %g", factory.Name, order, side.t, got[0], want)
					}
				}
			}
		}
	}
}

// rounding is how far a compiled value may be off: some ten roundings of the plugin's formula and of the table. An exponential of
// an argument that is itself rounded to 1e-16 magnifies that by the argument: 5 to 10 where gompertz and gelu-tanh still bend.
func rounding(name string) float64 {
	switch name {
	case "gompertz", "gelu-tanh":
		return 4e-15
	}
	return 2e-15
}

func TestCompiled(t *testing.T) {
	for _, factory := range variants() {
		f, err := compile.Compile(t.Context(), open(t, factory))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s\n%v", factory.Name, f.Report())
		if factory.Name != "sine" && !f.Report().Complete() {
			t.Errorf("%s does not compile everywhere:\n%v", factory.Name, f.Report())
		}
		for order, o := range f.Report().Orders {
			if !(o.Error <= rounding(factory.Name)) {
				t.Errorf("%s: error of derivative %d is %g", factory.Name, order, o.Error)
			}
		}
	}
}

// TestCompiledReference measures compiled activations against the same references, so that the errors of the plugin and
// of the table add up. The unit is the largest magnitude in 1/8 around, as in package compile.
func TestCompiledReference(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	var arguments []float64
	for range 60 {
		arguments = append(arguments, random.NormFloat64()*3)
	}
	for _, factory := range variants() {
		f, err := compile.Compile(t.Context(), open(t, factory))
		if err != nil {
			t.Fatal(err)
		}
		reference := references[factory.Name]
		var worst, largest [core.MaxDerivative + 1]float64
		around := make([][core.MaxDerivative + 1]float64, len(arguments))
		for i, x := range arguments {
			for _, y := range []float64{x, x - 0.125, x + 0.125} {
				want := derivatives(reference(variable(y)))
				for order := range worst {
					v, _ := want[order].Float64()
					around[i][order] = math.Max(around[i][order], math.Abs(v))
					largest[order] = math.Max(largest[order], math.Abs(v))
				}
			}
		}
		for i, x := range arguments {
			want := derivatives(reference(variable(x)))
			for order := range worst {
				got := []float64{x}
				f.Apply(order, got, got)
				miss, _ := new(big.Float).Sub(number(got[0]), want[order]).Float64()
				worst[order] = math.Max(worst[order], math.Abs(miss)/math.Max(around[i][order], largest[order]/1024))
			}
		}
		t.Logf("%-8s %.1e", factory.Name, worst)
		for order, miss := range worst {
			if !(miss <= rounding(factory.Name)) {
				t.Errorf("%s: derivative %d is off by %.1e", factory.Name, order, miss)
			}
		}
	}
}

// BenchmarkValue gives the time of a value, compiled and from the plugin's own Go code in this process.
func BenchmarkValue(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	x, y := make([]float64, 1000), make([]float64, 1000)
	for i := range x {
		x[i] = 2 * random.NormFloat64()
	}
	for _, factory := range All() {
		activation := open(b, factory)
		f, err := compile.Compile(b.Context(), activation)
		if err != nil {
			b.Fatal(err)
		}
		perValue := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(x)), "ns/value")
		}
		b.Run(factory.Name+"/compiled", func(b *testing.B) {
			for b.Loop() {
				f.Apply(0, y, x)
			}
			perValue(b)
		})
		b.Run(factory.Name+"/plain", func(b *testing.B) {
			ctx := context.Background()
			for b.Loop() {
				if _, err := activation.Derivative(ctx, 0, x); err != nil {
					b.Fatal(err)
				}
			}
			perValue(b)
		})
	}
}

// Truncated Taylor series, sum_k s[k] h^k, in arithmetic of 2200 bits.
const (
	precision = 2200
	terms     = core.MaxDerivative + 2
)

type series [terms]*big.Float

func number(v float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(v) }

func zero() *big.Float { return number(0) }

func constant(v float64) (s series) {
	for k := range s {
		s[k] = zero()
	}
	s[0] = number(v)
	return s
}

// variable is t + h.
func variable(t float64) series {
	s := constant(t)
	s[1] = number(1)
	return s
}

func derivatives(s series) series {
	factorial := 1.0
	for k := range s {
		if k > 0 {
			factorial *= float64(k)
		}
		s[k] = zero().Mul(s[k], number(factorial))
	}
	return s
}

func add(a, b series) (s series) {
	for k := range s {
		s[k] = zero().Add(a[k], b[k])
	}
	return s
}

func times(a, b series) (s series) {
	for k := range s {
		s[k] = zero()
		for i := 0; i <= k; i++ {
			s[k].Add(s[k], zero().Mul(a[i], b[k-i]))
		}
	}
	return s
}

func over(a, b series) (s series) {
	for k := range s {
		s[k] = zero().Set(a[k])
		for i := 0; i < k; i++ {
			s[k].Sub(s[k], zero().Mul(s[i], b[k-i]))
		}
		s[k].Quo(s[k], b[0])
	}
	return s
}

// integral has the given constant term and the derivative d.
func integral(value *big.Float, d series) (s series) {
	s[0] = value
	for k := 1; k < terms; k++ {
		s[k] = zero().Quo(d[k-1], number(float64(k)))
	}
	return s
}

func exponential(a series) (s series) {
	s[0] = bigExp(a[0])
	for k := 1; k < terms; k++ {
		s[k] = zero()
		for i := 1; i <= k; i++ {
			s[k].Add(s[k], zero().Mul(zero().Mul(number(float64(i)), a[i]), s[k-i]))
		}
		s[k].Quo(s[k], number(float64(k)))
	}
	return s
}

func negligible(term, sum *big.Float) bool {
	return term.Sign() == 0 || sum.Sign() != 0 && term.MantExp(nil) < sum.MantExp(nil)-precision
}

func bigExp(x *big.Float) *big.Float {
	const halvings = 40
	r := zero().SetMantExp(x, -halvings)
	sum, term := number(1), number(1)
	for n := 1.0; ; n++ {
		term.Mul(term, r).Quo(term, number(n))
		if negligible(term, sum) {
			break
		}
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLog1p is log(1+u) = 2 artanh(u/(2+u)) for 0 <= u <= 1.
func bigLog1p(u *big.Float) *big.Float {
	z := zero().Quo(u, zero().Add(u, number(2)))
	square, power, sum := zero().Mul(z, z), zero().Set(z), zero().Set(z)
	for n := 3.0; z.Sign() != 0; n += 2 {
		power.Mul(power, square)
		term := zero().Quo(power, number(n))
		if negligible(term, sum) {
			break
		}
		sum.Add(sum, term)
	}
	return sum.Mul(sum, number(2))
}

// bigAtan halves the angle, arctan x = 2 arctan(x / (1 + sqrt(1+x^2))), and sums the series.
func bigAtan(x *big.Float) *big.Float {
	const halvings = 12
	z := zero().Set(x)
	for range halvings {
		root := zero().Sqrt(zero().Add(number(1), zero().Mul(z, z)))
		z.Quo(z, root.Add(root, number(1)))
	}
	square, power, sum := zero().Mul(z, z), zero().Set(z), zero().Set(z)
	for n := 3.0; z.Sign() != 0; n += 2 {
		power.Neg(power.Mul(power, square))
		term := zero().Quo(power, number(n))
		if negligible(term, sum) {
			break
		}
		sum.Add(sum, term)
	}
	return sum.SetMantExp(sum, halvings)
}

var bigPi = zero().Mul(number(4), bigAtan(number(1)))

// bigErf sums erf(x) = 2/sqrt(pi) sum (-1)^n x^(2n+1) / (n! (2n+1)); 2200 bits leave enough after the cancellation for
// x to 27.
func bigErf(x *big.Float) *big.Float {
	square, power, sum := zero().Mul(x, x), zero().Set(x), zero().Set(x)
	for n := 1.0; x.Sign() != 0; n++ {
		power.Neg(power.Mul(power, square)).Quo(power, number(n))
		term := zero().Quo(power, number(2*n+1))
		if negligible(term, sum) {
			break
		}
		sum.Add(sum, term)
	}
	return sum.Mul(sum, zero().Quo(number(2), zero().Sqrt(bigPi)))
}

// erfSeries is erf of a series with constant first derivative.
func erfSeries(a series) series {
	d := exponential(times(constant(-1), times(a, a)))
	for k := range d {
		d[k].Mul(d[k], zero().Quo(number(2), zero().Sqrt(bigPi))).Mul(d[k], a[1])
	}
	return integral(bigErf(a[0]), d)
}

func logistic(t series) series {
	return over(constant(1), add(constant(1), exponential(times(constant(-1), t))))
}

func bigSin(x *big.Float) (sin, cos *big.Float) {
	sin, cos = zero(), number(1)
	term := number(1)
	for n := 1; n < 1000; n++ {
		term.Mul(term, x).Quo(term, number(float64(n)))
		signed := zero().Set(term)
		if n%4 >= 2 {
			signed.Neg(signed)
		}
		if n%2 == 1 {
			sin.Add(sin, signed)
		} else {
			cos.Add(cos, signed)
		}
	}
	return sin, cos
}

func bigElu(alpha float64, t series) series {
	if t[0].Sign() >= 0 {
		return t
	}
	return times(constant(alpha), add(constant(-1), exponential(t)))
}

// bigLeaky is the integral of slope + (1 - slope) logistic(t); its value is slope t + (1 - slope) log(1 + exp(t)).
func bigLeaky(slope float64, t series) series {
	size := zero().Abs(t[0])
	value := bigLog1p(bigExp(zero().Neg(size)))
	if t[0].Sign() > 0 {
		value.Add(value, size)
	}
	rest := zero().Sub(number(1), number(slope))
	value.Mul(value, rest).Add(value, zero().Mul(number(slope), t[0]))
	share := constant(1)
	share[0] = rest
	return integral(value, add(constant(slope), times(share, logistic(t))))
}

var references = map[string]func(series) series{
	"tanh": func(t series) series {
		plus, minus := exponential(t), exponential(times(constant(-1), t))
		return over(add(plus, times(constant(-1), minus)), add(plus, minus))
	},
	"sigmoid": logistic,
	"arctan": func(t series) series {
		return integral(bigAtan(t[0]), over(constant(1), add(constant(1), times(t, t))))
	},
	"erf": erfSeries,
	"softsign": func(t series) series {
		size := t
		if t[0].Sign() < 0 {
			size = times(constant(-1), t)
		}
		return over(t, add(constant(1), size))
	},
	"softplus": func(t series) series {
		size := zero().Abs(t[0])
		value := bigLog1p(bigExp(zero().Neg(size)))
		if t[0].Sign() > 0 {
			value.Add(value, size)
		}
		return integral(value, logistic(t))
	},
	"softplus beta=3": func(t series) series {
		u := times(constant(3), t)
		size := zero().Abs(u[0])
		value := bigLog1p(bigExp(zero().Neg(size)))
		if u[0].Sign() > 0 {
			value.Add(value, size)
		}
		return integral(value.Quo(value, number(3)), logistic(u))
	},
	"elu":              func(t series) series { return bigElu(1, t) },
	"elu alpha=1.5":    func(t series) series { return bigElu(1.5, t) },
	"leaky":            func(t series) series { return bigLeaky(0.1, t) },
	"leaky slope=0.25": func(t series) series { return bigLeaky(0.25, t) },
	"leaky slope=0":    func(t series) series { return bigLeaky(0, t) },
	"gompertz": func(t series) series {
		if v, _ := t[0].Float64(); v < -15 { // exp(-3e6): nothing, even to those that compute in 2200 bits
			return constant(0)
		}
		return exponential(times(constant(-1), exponential(times(constant(-1), t))))
	},
	"gelu-tanh": func(t series) series {
		w := add(t, times(constant(0.044715), times(t, times(t, t))))
		root := zero().Sqrt(zero().Quo(number(2), bigPi))
		for k := range w {
			w[k].Mul(w[k], root)
		}
		plus, minus := exponential(w), exponential(times(constant(-1), w))
		tanh := over(add(plus, times(constant(-1), minus)), add(plus, minus))
		return times(times(constant(0.5), t), add(constant(1), tanh))
	},
	"silu": func(t series) series { return times(t, logistic(t)) },
	"gelu": func(t series) series {
		a := t
		root := zero().Sqrt(number(2))
		for k := range a {
			a[k] = zero().Quo(a[k], root)
		}
		return times(times(constant(0.5), t), add(constant(1), erfSeries(a)))
	},
	"sine": func(t series) series {
		sin, cos := bigSin(t[0])
		s := series{sin, cos, zero().Neg(sin), zero().Neg(cos), sin}
		factorial := 1.0
		for k := 2; k < terms; k++ {
			factorial *= float64(k)
			s[k] = zero().Quo(s[k], number(factorial))
		}
		return s
	},
}
