"""Plugins for nnid in Python.

A plugin is an executable file named nnid-plugin-NAME that describes its components and ends with a call of serve:

    #!/usr/bin/env python3
    from nnid_sdk import Activation, Facts, Plugin, Tail, serve
    ...
    serve(Plugin("mine", "1.0.0", [Activation("sine", "sin t", Facts(), (f, f1, f2, f3))]))

Import nnid_sdk before anything that may print: from then on, standard output is standard error in a plugin process, for
the real one belongs to the handshake. Arrays are NumPy's, of float64.

Model is any function, scikit-learn estimator or PyTorch module as a function of an array, and ModelOracle an oracle made of one.

Raise UsageError for what the user can mend, OracleError for what a backend did wrong, Unsupported for what the component
can't do; their text is shown as it is. Any other exception counts as a defect of the plugin, and its traceback is logged.
"""
from ._stdout import IN_PLUGIN_PROCESS
from ._components import (
    Activation, Cancelled, Facts, Fault, Oracle, OracleError, OracleInfo, Option, Plugin, Problem, Solution, Solver, Tail,
    Unsupported, UsageError,
)
from ._callable import ModelOracle
from ._log import logger
from ._model import Model, ModelError
from ._serve import serve

__version__ = "0.1.0"
__all__ = [
    "Activation", "Cancelled", "Facts", "Fault", "IN_PLUGIN_PROCESS", "Model", "ModelError", "ModelOracle", "Option", "Oracle", "OracleError", "OracleInfo", "Plugin",
    "Problem", "Solution", "Solver", "Tail", "Unsupported", "UsageError", "logger", "serve",
]
