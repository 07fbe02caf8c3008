"""A plugin in another language, for a test: it speaks the protocol by hand, and knows its messages from the descriptors
in the file that $NNID_TEST_DESCRIPTORS names, which the test writes."""
import json
import os
import struct
import sys
from concurrent import futures

if sys.argv[1:] == ["describe"]:
    print(json.dumps({
        "plugin": "foreign", "version": "0.1.0", "sdk": "none", "protocols": [1], "plain_text": True,
        "components": [{"kind": "activation", "name": "square", "summary": "t squared"}],
    }))
    sys.exit(0)

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

pool = descriptor_pool.DescriptorPool()
with open(os.environ["NNID_TEST_DESCRIPTORS"], "rb") as file:
    for described in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
        pool.Add(described)


def message(name):
    described = pool.FindMessageTypeByName("nnid.v1." + name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(described)
    return message_factory.MessageFactory(pool).GetPrototype(described)  # before protobuf 4.22


def derivative(requests, context):
    order, data = None, b""
    for request in requests:
        if order is None:
            order = request.order
        data += request.t.data
    t = struct.unpack("<%dd" % (len(data) // 8), data)
    if order == 3:
        raise ValueError("not today")
    if order == 2:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the order must be 0 or 1")
    values = [x * x for x in t] if order == 0 else [2 * x for x in t]
    packed = struct.pack("<%dd" % len(values), *values)
    step = 1 << 20
    for start in range(0, max(len(packed), 1), step):
        answer = message("DerivativeResponse")()
        if start == 0:
            answer.values.shape.append(len(values))
        answer.values.data = packed[start:start + step]
        yield answer


def describe(request, context):
    answer = message("DescribeResponse")(plugin="foreign", version="0.1.0", protocol=1)
    answer.components.add(kind="activation", name="square")
    return answer


def open_activation(request, context):
    answer = message("OpenActivationResponse")(instance=1)
    answer.facts.symmetry = 2
    return answer


def shutdown(request, context):
    server.stop(None)
    return b""


def handlers(service, methods):
    return grpc.method_handlers_generic_handler(service, methods)


def unary(function, request, response):
    return grpc.unary_unary_rpc_method_handler(function, message(request).FromString, lambda m: m.SerializeToString())


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((
    handlers("nnid.v1.Meta", {"Describe": unary(describe, "DescribeRequest", "DescribeResponse")}),
    handlers("nnid.v1.Activation", {
        "Open": unary(open_activation, "OpenRequest", "OpenActivationResponse"),
        "Derivative": grpc.stream_stream_rpc_method_handler(
            derivative, message("DerivativeRequest").FromString, lambda m: m.SerializeToString()),
    }),
    handlers("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(lambda r, c: b"\x08\x01")}),
    handlers("plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)}),
))
path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "socket")
server.add_insecure_port("unix:" + path)
server.start()
print("1|1|unix|%s|grpc|" % path, flush=True)
server.wait_for_termination()
