"""The plugin's process: handshake, services, end."""
import base64
import concurrent.futures
import datetime
import functools
import itertools
import json
import os
import queue
import sys
import threading
import time

import numpy as np

from . import _log
from ._components import Cancelled, Problem, UsageError
from ._stdout import COOKIE, IN_PLUGIN_PROCESS, shake_hands

# One waits in a call for as long as the call lasts, and the health check must not have to: far more than calls come at once.
WORKERS = 64
MAX_MESSAGE = 256 << 20  # bytes, as the host has it


def serve(plugin):
    """Serves the plugin until its host is done with it, and never returns."""
    try:
        plugin.check()
    except ValueError as error:
        sys.exit("This plugin can't be served, which is a defect of it: %s." % error)
    if IN_PLUGIN_PROCESS:
        _serve(plugin)
    if sys.argv[1:2] == ["describe"]:
        print(json.dumps(plugin.describe(), indent=2))
        sys.exit(0)
    sys.exit(
        "This is %s %s, a plugin for nnid: it is not run by hand. Put it into nnid's plugin folder, or name it with\n"
        "nnid's flag --plugin-path; \"nnid plugins list\" then shows what it offers. With the argument \"describe\" it prints that itself."
        % (plugin.name, plugin.version))


def _lifeline():
    """Ends the process soon after its host is gone, however that ended."""
    descriptor, parent = os.environ.pop("NNID_LIFELINE", ""), os.environ.pop("NNID_PARENT", "")

    def read():
        try:
            while os.read(int(descriptor), 64):
                pass
        except OSError:
            pass
        os._exit(3)

    def watch():
        while os.getppid() == int(parent):
            time.sleep(2)
        os._exit(3)

    for text, run in ((descriptor, read), (parent, watch)):
        if text.isdigit():
            threading.Thread(target=run, daemon=True).start()


def _certificate():
    """A key and a self-signed certificate that live as long as the process: the key in PEM, the certificate in PEM and DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    return (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(serialization.Encoding.PEM), certificate.public_bytes(serialization.Encoding.DER))


def _serve(plugin):
    import grpc

    _lifeline()
    _log.start()
    stop = threading.Event()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(WORKERS), options=[
        ("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000), ("grpc.keepalive_permit_without_calls", 1),
    ])
    server.add_generic_rpc_handlers(_handlers(plugin, stop))
    folder, client = os.environ.get("PLUGIN_UNIX_SOCKET_DIR", ""), os.environ.get("PLUGIN_CLIENT_CERT", "")
    # What the plugin may start is not a plugin, and has no business with these.
    for variable in (COOKIE, "PLUGIN_CLIENT_CERT", "PLUGIN_UNIX_SOCKET_DIR"):
        os.environ.pop(variable, None)
    fields = ["1", "1", "unix", os.path.join(folder, "plugin-%d" % os.getpid())]
    address = "unix:" + fields[3]
    if not folder:
        address = "127.0.0.1:0"
    if client:
        key, pem, der = _certificate()
        credentials = grpc.ssl_server_credentials([(key, pem)], root_certificates=client.encode(), require_client_auth=True)
        port = server.add_secure_port(address, credentials)
        certificate = base64.b64encode(der).decode().rstrip("=")
    else:
        port, certificate = server.add_insecure_port(address), ""
    if not folder:
        fields[2:] = ["tcp", "127.0.0.1:%d" % port]
    server.start()
    shake_hands("|".join(fields + ["grpc", certificate]))
    stop.wait()
    server.stop(0.5).wait()
    sys.stderr.flush()
    os._exit(0)  # whatever the plugin's own threads are doing


class _Instances:
    def __init__(self):
        self._lock, self._numbers, self._values = threading.Lock(), itertools.count(1), {}

    def add(self, value):
        with self._lock:
            number = next(self._numbers)
            self._values[number] = value
            return number

    def get(self, number):
        with self._lock:
            if number in self._values:
                return self._values[number]
        raise UsageError("the instance %d is not open" % number)

    def remove(self, number):
        with self._lock:
            value = self._values.pop(number, None)
        close = getattr(value, "close", None)
        if close:
            close()


def _handlers(plugin, stop):
    import grpc
    from . import _wire

    instances = _Instances()
    message = _wire.message

    def guarded(context, run):
        """Runs code of the plugin; what it raises becomes the call's fault."""
        try:
            return run()
        except Cancelled:
            context.abort(grpc.StatusCode.CANCELLED, "the call is over")
        except Exception as error:
            kind, text, panicked = _wire.fault_of(error)
            if panicked:
                _log.logger.error("exception in a call", exc_info=True)
            _wire.fail(context, kind, text, panicked)

    def stream(method):
        """A call both sides of which stream: method takes the requests and yields the answers."""
        @functools.wraps(method)
        def handle(requests, context):
            answers = method(requests, context)
            while True:
                answer = guarded(context, lambda: next(answers, None))
                if answer is None:
                    return
                yield answer
        return handle

    def peek(requests):
        first = next(requests, None)
        if first is None:
            raise _wire.Malformed("no request came")
        return first, itertools.chain([first], requests)

    def open_with(kind, answer):
        def handle(request, context):
            def run():
                value = plugin.find(kind, request.name).open(dict(request.options))
                reply = answer()
                if kind == "activation":
                    reply.facts.CopyFrom(facts(value[0]))
                reply.instance = instances.add(value)
                return reply
            return guarded(context, run)
        return handle

    def facts(f):
        reply = message("Facts")(symmetry={"none": 0, "point": 1, "even": 2}[f.symmetry])
        for end, tail in ((reply.left, f.left), (reply.right, f.right)):
            end.SetInParent()
            if tail is not None:
                end.asymptotic, end.slope, end.intercept, end.rate = True, tail.slope, tail.intercept, tail.rate
        return reply

    def close(request, context):
        guarded(context, lambda: instances.remove(request.instance))
        return message("CloseResponse")()

    def describe(request, context):
        described = plugin.describe()
        reply = message("DescribeResponse")(plugin=plugin.name, version=plugin.version, sdk_version=described["sdk"], protocol=1)
        for c in described["components"]:
            reply.components.add(kind=c["kind"], name=c["name"], summary=c["summary"], reference=c.get("reference", ""))
            for option in c.get("options", ()):
                reply.components[-1].options.add(**option)
        return reply

    def derivative(requests, context):
        first, requests = peek(requests)
        _, functions = instances.get(first.instance)
        t = _wire.receive((r.t for r in requests), _wire_shape(1))
        if not 0 <= first.order <= 3:
            raise _unsupported(first.order)
        if context.is_active():
            with np.errstate(all="ignore"):  # at infinity and NaN, where limits are asked for
                values = np.asarray(functions[first.order](t), np.float64)
            if values.shape != t.shape:
                raise ValueError("the derivative of order %d answers an array of shape %r for one of shape %r" % (first.order, values.shape, t.shape))
            for chunk in _wire.send(values):
                yield message("DerivativeResponse")(values=chunk)

    def info(request, context):
        def run():
            i = instances.get(request.instance).info
            return message("InfoResponse")(inputs=i.inputs, outputs=i.outputs, dtype=i.dtype, max_batch=i.max_batch, model=i.model)
        return guarded(context, run)

    def query(requests, context):
        first, requests = peek(requests)
        oracle = instances.get(first.instance)
        x = _wire.receive((r.x for r in requests), _wire_shape(2))
        known = oracle.info
        if x.shape[0] == 0:
            y = np.empty((0, known.outputs))
        else:
            if known.inputs and x.shape[1] != known.inputs:
                raise UsageError("the model has %d inputs; a query has %d" % (known.inputs, x.shape[1]))
            if known.max_batch and len(x) > known.max_batch:
                raise UsageError("the model takes %d rows at once; a query has %d" % (known.max_batch, len(x)))
            y = np.asarray(oracle.query(x), np.float64)
            y = y.reshape(-1, 1) if y.ndim == 1 else y
            if y.ndim != 2 or len(y) != len(x) or known.outputs and y.shape[1] != known.outputs:
                raise ValueError("a query of %d rows is answered by an array of shape %r" % (len(x), y.shape))
        for chunk in _wire.send(y):
            yield message("QueryResponse")(y=chunk)

    def solve(requests, context):
        first, requests = peek(requests)
        function, options = instances.get(first.instance)

        def check(shape):
            if not 1 <= first.dim <= 1 << 20 or len(shape) != 2 or shape[0] != first.dim ** 2 or not 1 <= shape[1] <= first.dim * (first.dim + 1) // 2:
                raise _wire.Malformed("the basis is of shape %r for matrices of order %d" % (shape, first.dim))

        problem = Problem(first.dim, _wire.receive((r.basis for r in requests), check), first.count, first.seed)
        problem.check()
        events, done = queue.Queue(), object()

        def progress(found=0, wanted=0, starts=0):
            if not context.is_active():
                raise Cancelled
            events.put(message("SolveResponse")(progress=message("SolveProgress")(found=found, wanted=wanted, starts=starts)))

        def run():
            try:
                events.put((done, function(problem, progress, **options), None))
            except BaseException as error:  # for whoever waits; raised again there
                events.put((done, None, error))

        # Answers are sent from one thread, while the solver works in another.
        threading.Thread(target=run, daemon=True).start()
        while True:
            event = events.get()
            if not isinstance(event, tuple):
                yield event
                continue
            _, solution, error = event
            if error is not None:
                raise error
            break
        vectors = solution.vectors
        found = 0 if vectors is None else vectors.shape[1]
        objective = solution.objective
        if objective is None and found:
            outer = np.einsum("ik,jk->ijk", vectors, vectors).reshape(problem.dim ** 2, found)
            objective = np.minimum(((problem.basis.T @ outer) ** 2).sum(axis=0), 1)
        data = np.asarray(objective, "<f8").tobytes() if found else b""
        yield message("SolveResponse")(summary=message("SolveSummary")(found=found, objective=data, statistics=dict(solution.statistics)))
        if found:
            for chunk in _wire.send(vectors):
                yield message("SolveResponse")(vectors=chunk)

    def unary(function, request):
        return grpc.unary_unary_rpc_method_handler(function, message(request).FromString, _bytes)

    def streams(function, request):
        return grpc.stream_stream_rpc_method_handler(stream(function), message(request).FromString, _bytes)

    def shutdown(request, context):
        threading.Timer(0.05, stop.set).start()  # after the answer
        return b""

    services = {
        "nnid.v1.Meta": {"Describe": unary(describe, "DescribeRequest")},
        "nnid.v1.Activation": {
            "Open": unary(open_with("activation", message("OpenActivationResponse")), "OpenRequest"),
            "Derivative": streams(derivative, "DerivativeRequest"), "Close": unary(close, "CloseRequest"),
        },
        "nnid.v1.Solver": {
            "Open": unary(open_with("solver", message("OpenSolverResponse")), "OpenRequest"),
            "Solve": streams(solve, "SolveRequest"), "Close": unary(close, "CloseRequest"),
        },
        "nnid.v1.Oracle": {
            "Open": unary(open_with("oracle", message("OpenOracleResponse")), "OpenRequest"),
            "Info": unary(info, "InfoRequest"), "Query": streams(query, "QueryRequest"), "Close": unary(close, "CloseRequest"),
        },
        # Messages of one number and of none: no generated code is needed for them.
        "grpc.health.v1.Health": {"Check": grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")},
        "plugin.GRPCController": {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)},
    }
    return tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())


def _bytes(message):
    return message.SerializeToString()


def _unsupported(order):
    from ._components import Unsupported
    return Unsupported("an activation has derivatives of order 0 to 3, not %d" % order)


def _wire_shape(dimensions):
    def check(shape):
        from ._wire import Malformed
        if len(shape) != dimensions:
            raise Malformed("an array of %d dimensions came where %d are expected" % (len(shape), dimensions))
    return check
