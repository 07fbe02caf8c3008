"""A model of any kind as a function of an array, and a program that answers nnid's oracle "python" with it.

This file stands alone, on NumPy: nnid carries a copy and runs it with whatever Python the model needs, where nothing else
of the SDK has to be installed.
"""
import hashlib
import importlib
import importlib.util
import json
import os
import sys


class ModelError(Exception):
    """The model can't be had or can't be used. The text is a sentence for the user."""


class Model:
    """What call names, as an oracle: inputs, outputs (0 where not known), dtype ("FP64" or "FP32"), identity, and query(x),
    which takes an array of shape (n, inputs) and returns one of shape (n, outputs), of float64.

    call is one of
      MODULE:NAME or FILE.py:NAME   a function of an array, a scikit-learn estimator, a PyTorch module, or any object with a
                                    method predict; NAME may have dots
      FILE.joblib, FILE.pkl         an estimator written by joblib or pickle
      FILE.pt, FILE.pth, FILE.pt2   a PyTorch module written by torch.jit.save, torch.save or torch.export.save
    method is the method of an object that answers, such as predict_proba; predict where it is empty and there is one, else
    the object itself is called.

    Loading runs the code that the file holds, with the user's rights: load what you trust.
    """

    def __init__(self, call, method="", inputs=0):
        value, source = _find(call)
        self.inputs, self.outputs, self.dtype = int(inputs), 0, "FP64"
        self.identity = "%s%s sha256=%s" % (call, "." + method if method else "", source)
        if _is_torch(value) and not method:
            self._wrap_torch(value)
        else:
            self._wrap(value, method, call)

    def _wrap(self, value, method, call):
        if not method and callable(getattr(value, "predict", None)):
            method = "predict"
        # Labels are no numbers: between them f is constant, and no network of this form.
        if method == "predict" and (hasattr(value, "predict_proba") or getattr(value, "_estimator_type", "") == "classifier"):
            raise ModelError("%s is a classifier, whose predict answers labels; choose numbers with the option method, such as "
                             "method=predict_proba or method=decision_function" % call)
        self._function = getattr(value, method, None) if method else value
        if not callable(self._function):
            raise ModelError("%s has no method %r to call" % (call, method) if method else "%s, of type %s, can't be called and has no method "
                             "predict; name one with the option method" % (call, type(value).__name__))
        self._set_inputs(getattr(value, "n_features_in_", 0), call)

    def _wrap_torch(self, module):
        import torch

        if isinstance(module, torch.nn.Module):
            module = module.cpu().eval()
            tensors = list(module.state_dict().items())
            floating = [t for _, t in tensors if t.is_floating_point()]
            # The weights are what it computes, wherever they came from.
            digest = hashlib.sha256()
            for name, t in tensors:
                digest.update(("%s %s %s\n" % (name, t.dtype, tuple(t.shape))).encode() + t.detach().contiguous().numpy().tobytes())
            self.identity += " weights=" + digest.hexdigest()[:16]
            first = next((m for m in module.modules() if isinstance(m, torch.nn.Linear)), None)
            self._set_inputs(first.in_features if first is not None else 0, "the module")
        else:
            floating = []
        dtype = floating[0].dtype if floating else torch.get_default_dtype()
        self.dtype = "FP64" if dtype == torch.float64 else "FP32"

        def function(x):
            with torch.no_grad():
                return module(torch.from_numpy(x).to(dtype)).detach().to(torch.float64).numpy()

        self._function = function

    def _set_inputs(self, known, call):
        if known and self.inputs and known != self.inputs:
            raise ModelError("%s has %d inputs, not %d: leave the option inputs out" % (call, known, self.inputs))
        self.inputs = self.inputs or int(known)

    def query(self, x):
        import numpy as np

        y = np.asarray(self._function(x))
        if y.dtype.kind not in "fiub":
            raise ModelError("the model answers %s, of type %s, where numbers are needed" % (_short(y.ravel()[:1]), y.dtype))
        y = np.asarray(y, np.float64)
        if y.ndim == 1:
            y = y.reshape(-1, 1)
        if y.ndim != 2 or len(y) != len(x) or y.shape[1] == 0:
            raise ModelError("the model answers an array of shape %s to one of shape %s; a row of numbers for each row is needed"
                             % (y.shape, x.shape))
        if self.outputs and y.shape[1] != self.outputs:
            raise ModelError("the model answers %d numbers a row, and %d before" % (y.shape[1], self.outputs))
        self.outputs = y.shape[1]
        return y


def _is_torch(value):
    torch = sys.modules.get("torch")  # what is made by PyTorch has imported it
    return torch is not None and isinstance(value, torch.nn.Module)


def _find(call):
    """Returns what call names, and the checksum of the file that it is from."""
    place, colon, name = call.rpartition(":")
    if colon and os.sep not in name and name:
        if place.endswith(".py"):
            module = _run_file(place)
        else:
            sys.path.insert(0, os.getcwd())
            try:
                module = importlib.import_module(place)
            except ModuleNotFoundError as error:
                if error.name and (place == error.name or place.startswith(error.name + ".")):
                    raise ModelError("there is no module %r here or in this Python's path (%s); name a file as FILE.py:NAME, or choose "
                                     "the Python that has it with the option python" % (place, sys.executable)) from None
                raise
        value = module
        for part in name.split("."):
            if not hasattr(value, part):
                raise ModelError("%s has no %r" % (place, name))
            value = getattr(value, part)
        return value, _checksum(getattr(module, "__file__", "") or "")
    if not os.path.isfile(call):
        raise ModelError("%r is no file, and not of the form MODULE:NAME or FILE.py:NAME" % call)
    ending = os.path.splitext(call)[1].lower()
    sys.path.insert(0, os.getcwd())  # for the classes of what is unpickled
    if ending == ".joblib":
        import joblib
        return joblib.load(call), _checksum(call)
    if ending in (".pkl", ".pickle"):
        import pickle
        with open(call, "rb") as file:
            return pickle.load(file), _checksum(call)
    if ending == ".pt2":
        import torch
        return torch.export.load(call).module(), _checksum(call)
    if ending in (".pt", ".pth"):
        import torch
        try:
            value = torch.jit.load(call, map_location="cpu")
        except RuntimeError:  # not TorchScript
            value = torch.load(call, map_location="cpu", **({"weights_only": False} if _takes_weights_only(torch) else {}))
        if isinstance(value, dict):
            raise ModelError("%s holds weights only, and no module that computes with them; name a module as FILE.py:NAME whose code "
                             "loads them" % call)
        return value, _checksum(call)
    raise ModelError("the file %s is of no kind known; there are FILE.py:NAME, .joblib, .pkl, .pt, .pth and .pt2" % call)


def _takes_weights_only(torch):
    import inspect
    return "weights_only" in inspect.signature(torch.load).parameters


def _run_file(path):
    if not os.path.isfile(path):
        raise ModelError("there is no file %r" % path)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


def _checksum(path):
    if not os.path.isfile(path):
        return "unknown"
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def _short(value):
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _refuse(out, text):
    data = text.encode("utf-8", "replace")[:65536]
    out.write((2 ** 64 - 1).to_bytes(8, "little") + len(data).to_bytes(8, "little") + data)
    out.flush()


def main(arguments):
    """Answers the binary format of nnid's oracle "exec", after a greeting: docs/backends.md has both."""
    # Standard output belongs to the answers: what the model prints goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    source = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)

    def greet(**words):
        out.write(json.dumps(words).encode() + b"\n")
        out.flush()

    call, method, inputs = arguments
    try:
        import numpy as np
        model = Model(call, method, int(inputs))
    except ModelError as error:
        return greet(error=str(error))
    except ModuleNotFoundError as error:
        return greet(error="%s cannot be loaded: %s; choose the Python that has it with the option python (this one is %s)"
                     % (call, error, sys.executable))
    except Exception as error:
        import traceback
        traceback.print_exc()
        return greet(error="%s cannot be loaded: %s: %s" % (call, type(error).__name__, _short(error)))
    greet(inputs=model.inputs, outputs=model.outputs, dtype=model.dtype, model=model.identity)
    while True:
        head = source.read(16)
        if len(head) < 16:
            return
        rows, columns = int.from_bytes(head[:8], "little"), int.from_bytes(head[8:], "little")
        data = source.read(8 * rows * columns)
        if len(data) < 8 * rows * columns:
            return
        x = np.frombuffer(bytearray(data), "<f8").reshape(rows, columns)  # one that the model may write to
        try:
            y = model.query(x)
        except ModelError as error:
            _refuse(out, str(error))
            continue
        except Exception as error:
            import traceback
            traceback.print_exc()
            _refuse(out, "the model raised %s: %s" % (type(error).__name__, _short(error)))
            continue
        out.write(len(y).to_bytes(8, "little") + y.shape[1].to_bytes(8, "little") + np.ascontiguousarray(y, "<f8").tobytes())
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
