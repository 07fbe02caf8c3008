"""Messages, arrays and errors of the protocol nnid.v1."""
import base64

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ._components import Fault
from ._descriptors import DESCRIPTORS

CHUNK = 1 << 20

_pool = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(DESCRIPTORS)).file:
    _pool.Add(_file)


def message(name):
    """The class of the message nnid.v1.NAME."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName("nnid.v1." + name))


TensorChunk = message("TensorChunk")


class Malformed(ValueError):
    """A request that breaks the protocol."""


def receive(chunks, check):
    """Puts an array together; check raises Malformed where the shape can't be right."""
    shape, parts, size = None, [], 0
    for chunk in chunks:
        if shape is None:
            shape = tuple(chunk.shape)
            if not shape or min(shape) < 0:
                raise Malformed("an array came with the shape %r" % (shape,))
            check(shape)
        elif chunk.shape:
            raise Malformed("a shape came in the middle of an array")
        parts.append(chunk.data)
        size += len(chunk.data)
        if size > 8 * int(np.prod(shape, dtype=object)):
            raise Malformed("an array of shape %r came with more data than that" % (shape,))
    if shape is None:
        raise Malformed("no array came")
    if size != 8 * int(np.prod(shape, dtype=object)):
        raise Malformed("an array of shape %r came with %d bytes" % (shape, size))
    return np.frombuffer(b"".join(parts), "<f8").astype(np.float64, copy=True).reshape(shape)


def send(array):
    """Takes an array apart."""
    data = np.ascontiguousarray(array, "<f8").tobytes()
    yield TensorChunk(shape=array.shape, data=data[:CHUNK])
    for start in range(CHUNK, len(data), CHUNK):
        yield TensorChunk(data=data[start:start + CHUNK])


_CODES = {1: grpc.StatusCode.INVALID_ARGUMENT, 3: grpc.StatusCode.FAILED_PRECONDITION, 5: grpc.StatusCode.UNIMPLEMENTED}


def _field(number, data):
    length, size = b"", len(data)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def fail(context, kind, text, panicked=False):
    """Ends a call with a fault in the details of its status: a google.rpc.Status, which is small enough to be written by hand."""
    text = text[:1500]  # it travels in headers, which have little room
    code = _CODES.get(kind, grpc.StatusCode.INTERNAL)
    detail = message("Fault")(kind=kind, text=text, panicked=panicked).SerializeToString()
    packed = _field(1, b"type.googleapis.com/nnid.v1.Fault") + _field(2, detail)
    status = bytes([1 << 3, code.value[0]]) + _field(2, text.encode()) + _field(3, packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status),))
    context.abort(code, text)


def fault_of(error):
    """The kind and text of an exception, and whether it is a defect of the plugin."""
    if isinstance(error, Malformed):
        return 2, "the request breaks the protocol: %s" % error, False
    if isinstance(error, Fault):
        return error.kind, str(error), False
    return 0, "%s: %s" % (type(error).__name__, error), True
