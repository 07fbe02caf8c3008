package onnx

// The numbers of the fields in onnx.proto.
const (
	modelIRVersion       = 1
	modelProducer        = 2
	modelProducerVersion = 3
	modelGraph           = 7
	modelOpset           = 8
	modelFunction        = 25

	opsetDomain  = 1
	opsetVersion = 2

	functionName   = 1
	functionDomain = 10

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12
	graphSparse      = 15

	sparseValues = 1

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOp        = 4
	nodeAttribute = 5
	nodeDomain    = 7

	attributeName   = 1
	attributeF      = 2
	attributeI      = 3
	attributeS      = 4
	attributeT      = 5
	attributeFloats = 7
	attributeInts   = 8
	attributeType   = 20

	valueName = 1
	valueType = 2

	typeTensor        = 1
	tensorTypeElement = 1
	tensorTypeShape   = 2
	shapeDimension    = 1
	dimensionValue    = 1
	dimensionName     = 2

	tensorDims     = 1
	tensorElement  = 2
	tensorFloats   = 4
	tensorInt32s   = 5
	tensorInt64s   = 7
	tensorName     = 8
	tensorRaw      = 9
	tensorDoubles  = 10
	tensorUint64s  = 11
	tensorExternal = 13
	tensorLocation = 14

	locationExternal = 1

	entryKey   = 1
	entryValue = 2
)
