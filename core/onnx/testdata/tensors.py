"""Writes tensors of every type of element into a folder, twice: NAME-raw.pb has the elements as bytes and NAME-fields.pb in the
fields that ONNX has for the type. Prints each name with the elements, as the onnx package reads them.

usage: tensors.py FOLDER"""
import os
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

elements = [0, 1, -3, 100, 0.5, -1.75, 2**-15, 3 * 2**-24]  # each is exact in float16, but for bfloat16 nothing is tiny
for name in "FLOAT DOUBLE FLOAT16 BFLOAT16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 BOOL".split():
    kind = onnx.TensorProto.DataType.Value(name)
    values = elements if "FLOAT" in name or name == "DOUBLE" else [0, 1] if name == "BOOL" else [0, 1, 100] if name[0] == "U" else [0, 1, -3, 100]
    array = np.array(values).astype(helper.tensor_dtype_to_np_dtype(kind))
    raw = numpy_helper.from_array(array, name)
    fields = helper.make_tensor(name, kind, array.shape, array.tolist())
    assert raw.HasField("raw_data") and not fields.HasField("raw_data")
    for tensor, ending in (raw, "raw"), (fields, "fields"):
        with open(os.path.join(sys.argv[1], "%s-%s.pb" % (name, ending)), "wb") as file:
            file.write(tensor.SerializeToString())
    print(name, *[repr(float(v)) for v in numpy_helper.to_array(fields)])
