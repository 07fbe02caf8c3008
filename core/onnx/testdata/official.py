"""Writes the official test cases of ONNX's operators, as far as they use none but those named, each into a folder of its own:
model.onnx, input_K.pb and output_K.pb. They come from the onnx package, which computes them with NumPy.

usage: official.py FOLDER OPERATOR..."""
import os
import sys
import types
import warnings

import numpy as np
import onnx
from onnx import numpy_helper

warnings.filterwarnings("ignore")
# Of the ten seconds that it takes to compute all cases, pooling has eight, and no dense network pools.
for name in "averagepool", "lppool", "maxpool":
    sys.modules["onnx.backend.test.case.node." + name] = types.ModuleType(name)
from onnx.backend.test.case.node import collect_testcases  # noqa: E402

folder, operators = sys.argv[1], set(sys.argv[2:])
# Types that are not read: quantised, complex, text; and training, which is no function.
types = {onnx.TensorProto.DataType.Value(name) for name in
         "FLOAT DOUBLE FLOAT16 BFLOAT16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 BOOL".split()}


def usable(case):
    graph = case.model.graph
    if case.model.functions or case.kind != "node" or not graph.output or "training" in case.name:
        return False
    if {(n.domain + "." if n.domain else "") + n.op_type for n in graph.node} - operators:
        return False
    return all(v.type.HasField("tensor_type") and v.type.tensor_type.elem_type in types for v in list(graph.input) + list(graph.output))


written = 0
for case in collect_testcases(None):
    if case.model is None or not usable(case):
        continue
    for inputs, outputs in case.data_sets:
        if len(inputs) != len(case.model.graph.input):
            continue
        path = os.path.join(folder, case.name)
        os.makedirs(path, exist_ok=True)
        onnx.save(case.model, os.path.join(path, "model.onnx"))
        for kind, arrays in (("input", inputs), ("output", outputs)):
            for k, array in enumerate(arrays):
                tensor = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array))
                with open(os.path.join(path, "%s_%d.pb" % (kind, k)), "wb") as file:
                    file.write(tensor.SerializeToString())
        written += 1
print(written)
