"""Oracles of plugins out of models and functions."""
from ._components import OracleError, OracleInfo, UsageError
from ._model import Model, ModelError


class ModelOracle:
    """What Oracle.open_with returns for a Model: open_with=ModelOracle makes an oracle with the options call, method and inputs."""

    def __init__(self, call, method="", inputs="0"):
        if not str(inputs).isdigit():
            raise UsageError("the option inputs=%r must be a whole number" % inputs)
        try:
            self._model = Model(call, method, int(inputs))
        except ModelError as error:
            raise UsageError(str(error)) from None
        m = self._model
        self.info = OracleInfo(m.identity, inputs=m.inputs, outputs=m.outputs, dtype=m.dtype)

    def query(self, x):
        try:
            return self._model.query(x)
        except ModelError as error:
            raise OracleError(str(error)) from None
