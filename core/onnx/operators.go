package onnx

import (
	"fmt"
	"math"
)

const anyNumber = 1 << 16

// labels says why outputs that name classes are of no use.
const labels = "A label says too little of a function to identify it: name an output of numbers, such as the scores before ArgMax " +
	"(for a classifier of scikit-learn: convert it with options={'zipmap': False} and name the output probabilities)"

// labelOperators have classes for outputs, or dictionaries of them.
var labelOperators = map[string]struct{}{
	"ArgMax": {}, "ArgMin": {}, "Hardmax": {}, "ai.onnx.ml.ArrayFeatureExtractor": {}, "ai.onnx.ml.LabelEncoder": {},
	"ai.onnx.ml.LinearClassifier": {}, "ai.onnx.ml.SVMClassifier": {}, "ai.onnx.ml.TreeEnsembleClassifier": {}, "ai.onnx.ml.ZipMap": {},
}

// operators are those evaluated, by name, with the domain in front where it is not ONNX's own.
var operators = map[string]operator{
	"Abs":        unary(math.Abs),
	"Acos":       unary(math.Acos),
	"Acosh":      unary(math.Acosh),
	"Asin":       unary(math.Asin),
	"Asinh":      unary(math.Asinh),
	"Atan":       unary(math.Atan),
	"Atanh":      unary(math.Atanh),
	"Ceil":       unary(math.Ceil),
	"Cos":        unary(math.Cos),
	"Cosh":       unary(math.Cosh),
	"Erf":        unary(math.Erf),
	"Exp":        unary(math.Exp),
	"Floor":      unary(math.Floor),
	"HardSwish":  unary(func(t float64) float64 { return t * clamp(t/6+0.5, 0, 1) }),
	"Log":        unary(math.Log),
	"Mish":       unary(func(t float64) float64 { return t * math.Tanh(softplus(t)) }),
	"Neg":        unary(func(t float64) float64 { return -t }),
	"Reciprocal": unary(func(t float64) float64 { return 1 / t }),
	"Relu":       unary(func(t float64) float64 { return maximum(t, 0) }),
	"Round":      unary(math.RoundToEven),
	"Sigmoid":    unary(sigmoid),
	"Sign":       unary(sign),
	"Sin":        unary(math.Sin),
	"Sinh":       unary(math.Sinh),
	"Softplus":   unary(softplus),
	"Softsign":   unary(func(t float64) float64 { return t / (1 + math.Abs(t)) }),
	"Sqrt":       unary(math.Sqrt),
	"Tan":        unary(math.Tan),
	"Tanh":       unary(math.Tanh),

	"Celu": shaped(func(c *call) func(float64) float64 {
		alpha := c.float("alpha", 1)
		return func(t float64) float64 { return maximum(t, 0) + math.Min(0, alpha*math.Expm1(t/alpha)) }
	}),
	"Elu": shaped(func(c *call) func(float64) float64 {
		alpha := c.float("alpha", 1)
		return func(t float64) float64 { return elu(t, alpha) }
	}),
	"Gelu": {evaluate: gelu, least: 1, most: 1},
	"HardSigmoid": shaped(func(c *call) func(float64) float64 {
		// The defaults are float32, as all attributes.
		alpha, beta := c.float("alpha", float64(float32(0.2))), c.float("beta", 0.5)
		return func(t float64) float64 { return clamp(alpha*t+beta, 0, 1) }
	}),
	"LeakyRelu": shaped(func(c *call) func(float64) float64 {
		alpha := c.float("alpha", float64(float32(0.01)))
		return func(t float64) float64 {
			if t < 0 {
				return alpha * t
			}
			return t
		}
	}),
	"Selu": shaped(func(c *call) func(float64) float64 {
		alpha, gamma := c.float("alpha", float64(float32(1.67326319217681884765625))), c.float("gamma", float64(float32(1.05070102214813232421875)))
		return func(t float64) float64 { return gamma * elu(t, alpha) }
	}),
	"Swish": shaped(func(c *call) func(float64) float64 {
		alpha := c.float("alpha", 1)
		return func(t float64) float64 { return t * sigmoid(alpha*t) }
	}),
	"ThresholdedRelu": shaped(func(c *call) func(float64) float64 {
		alpha := c.float("alpha", 1)
		return func(t float64) float64 {
			if t > alpha {
				return t
			}
			return 0
		}
	}),

	"Add":            arithmetic(func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b }),
	"Sub":            arithmetic(func(a, b float64) float64 { return a - b }, func(a, b int64) int64 { return a - b }),
	"Mul":            arithmetic(func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }),
	"Div":            arithmetic(func(a, b float64) float64 { return a / b }, quotient),
	"PRelu":          arithmetic(prelu, nil),
	"Pow":            {evaluate: power, least: 2, most: 2},
	"Max":            variadic(maximum, func(a, b int64) int64 { return max(a, b) }),
	"Min":            variadic(math.Min, func(a, b int64) int64 { return min(a, b) }),
	"Sum":            variadic(func(a, b float64) float64 { return a + b }, nil),
	"Mean":           {evaluate: mean, least: 1, most: anyNumber},
	"Clip":           {evaluate: clip, least: 1, most: 3},
	"Equal":          comparison(func(a, b float64) bool { return a == b }),
	"Greater":        comparison(func(a, b float64) bool { return a > b }),
	"GreaterOrEqual": comparison(func(a, b float64) bool { return a >= b }),
	"Less":           comparison(func(a, b float64) bool { return a < b }),
	"LessOrEqual":    comparison(func(a, b float64) bool { return a <= b }),
	"And":            comparison(func(a, b float64) bool { return a != 0 && b != 0 }),
	"Or":             comparison(func(a, b float64) bool { return a != 0 || b != 0 }),
	"Not":            {evaluate: not, least: 1, most: 1},
	"Where":          {evaluate: where, least: 3, most: 3},

	"Gemm":               {evaluate: gemm, least: 2, most: 3},
	"MatMul":             {evaluate: matmul, least: 2, most: 2},
	"BatchNormalization": {evaluate: batchNormalization, least: 5, most: 5},
	"ai.onnx.ml.Scaler":  {evaluate: scaler, least: 1, most: 1},

	"LogSoftmax":      {evaluate: softmax(true), least: 1, most: 1},
	"Softmax":         {evaluate: softmax(false), least: 1, most: 1},
	"ReduceL1":        reduction(0, func(sum, v float64) float64 { return sum + math.Abs(v) }, nil),
	"ReduceL2":        reduction(0, func(sum, v float64) float64 { return sum + v*v }, func(sum float64, _ int) float64 { return math.Sqrt(sum) }),
	"ReduceLogSum":    reduction(0, func(sum, v float64) float64 { return sum + v }, func(sum float64, _ int) float64 { return math.Log(sum) }),
	"ReduceLogSumExp": reduction(math.Inf(-1), logSumExp, nil),
	"ReduceMax":       reduction(math.Inf(-1), maximum, nil),
	"ReduceMean":      reduction(0, func(sum, v float64) float64 { return sum + v }, func(sum float64, n int) float64 { return sum / float64(n) }),
	"ReduceMin":       reduction(math.Inf(1), math.Min, nil),
	"ReduceProd":      reduction(1, func(product, v float64) float64 { return product * v }, nil),
	"ReduceSum":       reduction(0, func(sum, v float64) float64 { return sum + v }, nil),
	"ReduceSumSquare": reduction(0, func(sum, v float64) float64 { return sum + v*v }, nil),

	"Cast":            {evaluate: cast, least: 1, most: 1},
	"CastLike":        {evaluate: castLike, least: 2, most: 2},
	"Concat":          {evaluate: concat, least: 1, most: anyNumber},
	"Constant":        {evaluate: constant, least: 0, most: 0},
	"ConstantOfShape": {evaluate: constantOfShape, least: 1, most: 1},
	"Dropout":         {evaluate: dropout, least: 1, most: 3},
	"Expand":          {evaluate: expand, least: 2, most: 2},
	"Flatten":         {evaluate: flatten, least: 1, most: 1},
	"Gather":          {evaluate: gather, least: 2, most: 2},
	"Identity":        {evaluate: func(c *call) ([]*Tensor, error) { return c.in, nil }, least: 1, most: 1},
	"Reshape":         {evaluate: reshape, least: 1, most: 2},
	"Shape":           {evaluate: shapeOf, least: 1, most: 1},
	"Size":            {evaluate: size, least: 1, most: 1},
	"Slice":           {evaluate: slice, least: 1, most: 5},
	"Split":           {evaluate: split, least: 1, most: 2},
	"Squeeze":         {evaluate: squeeze, least: 1, most: 2},
	"Transpose":       {evaluate: transpose, least: 1, most: 1},
	"Unsqueeze":       {evaluate: unsqueeze, least: 1, most: 2},
}

// sigmoid does not overflow on either side.
func sigmoid(t float64) float64 {
	if t >= 0 {
		return 1 / (1 + math.Exp(-t))
	}
	e := math.Exp(t)
	return e / (1 + e)
}

// softplus does not overflow, and keeps its relative accuracy far to the left.
func softplus(t float64) float64 { return maximum(t, 0) + math.Log1p(math.Exp(-math.Abs(t))) }

func elu(t, alpha float64) float64 {
	if t < 0 {
		return alpha * math.Expm1(t)
	}
	return t
}

func prelu(t, slope float64) float64 {
	if t < 0 {
		return slope * t
	}
	return t
}

func sign(t float64) float64 {
	switch {
	case t > 0:
		return 1
	case t < 0:
		return -1
	}
	return t // 0 and NaN
}

// maximum hands NaN on.
func maximum(a, b float64) float64 { return math.Max(a, b) }

func clamp(t, low, high float64) float64 { return math.Min(maximum(t, low), high) }

// gelu is t Phi(t), through the complement, which keeps its relative accuracy to the left; or the approximation with tanh.
func gelu(c *call) ([]*Tensor, error) {
	approximate := "none"
	if a := c.attribute("approximate", AttributeText); a != nil {
		approximate = a.Text
	}
	switch approximate {
	case "none":
		return c.each(func(t float64) float64 { return t / 2 * math.Erfc(-t/math.Sqrt2) })
	case "tanh":
		return c.each(func(t float64) float64 { return t / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(t+0.044715*t*t*t))) })
	}
	return nil, fmt.Errorf("its attribute approximate is %q; there are none and tanh", approximate)
}

// logSumExp adds v to a sum kept as its logarithm.
func logSumExp(sum, v float64) float64 {
	top := maximum(sum, v)
	if math.IsInf(top, 0) || math.IsNaN(top) {
		return top
	}
	return top + math.Log1p(math.Exp(-math.Abs(sum-v)))
}

// quotient rounds towards 0. arithmetic has refused a divisor of 0.
func quotient(a, b int64) int64 { return a / b }
