// Package onnx reads, writes and evaluates ONNX models (https://onnx.ai), as far as dense networks need: no convolutions, no
// control flow, no sequences, no labels. Evaluation is in float64, whatever the model's own types, and never rounds to the narrower
// ones: ONNX Runtime, which does, has no float64 kernels for Erf, Softplus, Atan and several others.
//
// A file is untrusted: [Read] and [Program.Run] bound the memory and the work that a file can cause, and answer what they don't
// understand with an error that names the node and the operator.
//
// The encoding is that of Protocol Buffers, of which the package has the few lines that it needs: it lives in core, which knows
// no transport, and a reader of its own can refuse a file before it fills the memory. Field numbers are those of onnx.proto
// (Apache-2.0, https://github.com/onnx/onnx); TestFieldNumbers compares them with the onnx package's.
package onnx
