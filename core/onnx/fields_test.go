package onnx

// fieldNames are the names that onnx.proto has for the fields above, by message.
var fieldNames = map[string]map[string]int{
	"ModelProto": {
		"ir_version": modelIRVersion, "producer_name": modelProducer, "producer_version": modelProducerVersion, "graph": modelGraph,
		"opset_import": modelOpset, "functions": modelFunction,
	},
	"OperatorSetIdProto": {"domain": opsetDomain, "version": opsetVersion},
	"FunctionProto":      {"name": functionName, "domain": functionDomain},
	"GraphProto": {
		"node": graphNode, "name": graphName, "initializer": graphInitializer, "input": graphInput, "output": graphOutput,
		"sparse_initializer": graphSparse,
	},
	"SparseTensorProto": {"values": sparseValues},
	"NodeProto": {
		"input": nodeInput, "output": nodeOutput, "name": nodeName, "op_type": nodeOp, "attribute": nodeAttribute, "domain": nodeDomain,
	},
	"AttributeProto": {
		"name": attributeName, "f": attributeF, "i": attributeI, "s": attributeS, "t": attributeT, "floats": attributeFloats,
		"ints": attributeInts, "type": attributeType,
	},
	"ValueInfoProto":             {"name": valueName, "type": valueType},
	"TypeProto":                  {"tensor_type": typeTensor},
	"TypeProto.Tensor":           {"elem_type": tensorTypeElement, "shape": tensorTypeShape},
	"TensorShapeProto":           {"dim": shapeDimension},
	"TensorShapeProto.Dimension": {"dim_value": dimensionValue, "dim_param": dimensionName},
	"TensorProto": {
		"dims": tensorDims, "data_type": tensorElement, "float_data": tensorFloats, "int32_data": tensorInt32s, "int64_data": tensorInt64s,
		"name": tensorName, "raw_data": tensorRaw, "double_data": tensorDoubles, "uint64_data": tensorUint64s,
		"external_data": tensorExternal, "data_location": tensorLocation,
	},
	"StringStringEntryProto": {"key": entryKey, "value": entryValue},
}
