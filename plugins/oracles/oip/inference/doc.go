// Package inference is the Go code of the Open Inference Protocol over gRPC, generated from open_inference_grpc.proto. That file
// is the KServe authors' (kserve/open-inference-protocol, specification/protocol, Apache-2.0, as of May 2025), unchanged but for
// spaces at the end of lines.
package inference

//go:generate go -C ../../../../sdk/proto/gen run . ../../../plugins/oracles/oip/inference
