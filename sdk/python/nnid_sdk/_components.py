"""What the author of a plugin describes: activations, solvers, oracles, and their words."""
import dataclasses
import re
import typing

import numpy as np


class Fault(Exception):
    """An error by what the user can do about it. The text is a sentence for the user: what is wrong, and the remedy."""
    kind = 0


class UsageError(Fault):
    """What the user asked for is wrong."""
    kind = 1


class OracleError(Fault):
    """The backend of an oracle went wrong."""
    kind = 3


class Unsupported(Fault):
    """The component can't do this."""
    kind = 5


class Cancelled(Exception):
    """The call is over before it is done: nobody waits for the answer. Raised by a solver's progress; let it pass."""


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a component. Values are strings."""
    name: str
    usage: str = ""
    default: str = ""
    required: bool = False
    secret: bool = False  # never logged nor written to a file


@dataclasses.dataclass(frozen=True)
class Tail:
    """g(t) = slope t + intercept + o(1) towards one end. rate is k when the distance to that decays like exp(-k |t|), 0 when
    more slowly, infinity when faster than all those."""
    intercept: float = 0.0
    slope: float = 0.0
    rate: float = 0.0


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of an activation as a whole; a tail of None has no asymptote."""
    left: typing.Optional[Tail] = None
    right: typing.Optional[Tail] = None
    symmetry: str = "none"  # or "point": g(-t) = 2 g(0) - g(t); or "even"


@dataclasses.dataclass(frozen=True)
class Activation:
    """A scalar function and its first three derivatives: four functions of an array, each returning an array of its shape.
    They are accurate to a few units in the last place, have the limit's value at infinity and NaN at NaN. With options,
    make takes their values by name and returns the pair (facts, functions) instead."""
    name: str
    summary: str
    facts: Facts = Facts()
    functions: typing.Sequence[typing.Callable] = ()
    options: typing.Sequence[Option] = ()
    reference: str = ""
    make: typing.Optional[typing.Callable] = None
    kind = "activation"

    def open(self, options):
        facts, functions = self.make(**options) if self.make else (self.facts, self.functions)
        if len(functions) != 4:
            raise TypeError("activation %r must have 4 functions, g and three derivatives, not %d" % (self.name, len(functions)))
        return facts, functions


@dataclasses.dataclass(frozen=True)
class Problem:
    """A subspace of symmetric matrices of order dim: every column of basis, of shape (dim*dim, m), is one, row by row, and the
    columns are orthonormal. count rank-one matrices are wanted, 0 for as many as there are. It has been checked."""
    dim: int
    basis: np.ndarray
    count: int
    seed: int

    def check(self):
        d, tolerance = self.dim, 1e-6  # as core.Problem.Check has it
        if not np.isfinite(self.basis).all():
            raise UsageError("the basis has an entry that is not finite")
        if self.count > self.basis.shape[1]:
            raise UsageError("%d rank-one matrices are wanted of a subspace of dimension %d" % (self.count, self.basis.shape[1]))
        matrices = self.basis.reshape(d, d, -1)
        if abs(matrices - matrices.transpose(1, 0, 2)).max() > tolerance:
            raise UsageError("the basis has a matrix that is not symmetric")
        if abs(self.basis.T @ self.basis - np.eye(self.basis.shape[1])).max() > tolerance:
            raise UsageError("the basis is not orthonormal")


@dataclasses.dataclass(frozen=True)
class Solution:
    """What a solver found: unit columns w, each with the entry of largest magnitude positive. The objective, |P_W(w w^T)|^2 for
    each, is computed where it is not given."""
    vectors: typing.Optional[np.ndarray] = None
    objective: typing.Optional[np.ndarray] = None
    statistics: typing.Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Solver:
    """solve(problem, progress, **options) returns a Solution, the same for the same problem. progress(found, wanted, starts) is to
    be called several times a second: it is the sign of life, and raises Cancelled when nobody waits any more."""
    name: str
    summary: str
    solve: typing.Callable
    options: typing.Sequence[Option] = ()
    reference: str = ""
    kind = "solver"

    def open(self, options):
        return self.solve, options


@dataclasses.dataclass(frozen=True)
class OracleInfo:
    """What an oracle declares of its backend; 0 and "" stand for not known, or no limit. model identifies what is asked, without
    secrets: answers of different models are never mixed."""
    model: str
    inputs: int = 0
    outputs: int = 0
    dtype: str = "FP64"  # or "FP32"
    max_batch: int = 0


@dataclasses.dataclass(frozen=True)
class Oracle:
    """open(**options) returns an object with a field info, an OracleInfo, and a method query(x), which answers an array of shape
    (n, inputs) by one of shape (n, outputs), or (n,) for one output. Calls may come at the same time."""
    name: str
    summary: str
    open_with: typing.Callable
    options: typing.Sequence[Option] = ()
    reference: str = ""
    kind = "oracle"

    def open(self, options):
        return self.open_with(**options)


@dataclasses.dataclass(frozen=True)
class Plugin:
    """All that one binary offers."""
    name: str
    version: str
    components: typing.Sequence[typing.Union[Activation, Solver, Oracle]]

    def check(self):
        seen = set()
        for what, name in [("plugin", self.name)] + [(c.kind, c.name) for c in self.components]:
            if not re.fullmatch("[a-z0-9][a-z0-9-]{0,63}", name):
                raise ValueError("the name %r of a %s may hold lower case letters, digits and (not first) hyphens only" % (name, what))
            if (what, name) in seen:
                raise ValueError("there are two components %s %r" % (what, name))
            seen.add((what, name))

    def find(self, kind, name):
        for c in self.components:
            if (c.kind, c.name) == (kind, name):
                return c
        raise UsageError("plugin %r has no %s %r" % (self.name, kind, name))

    def describe(self):
        def option(o):
            return {key: value for key, value in dataclasses.asdict(o).items() if value or key == "name"}

        components = []
        for c in self.components:
            described = {"kind": c.kind, "name": c.name, "summary": c.summary}
            if c.reference:
                described["reference"] = c.reference
            if c.options:
                described["options"] = [option(o) for o in c.options]
            components.append(described)
        return {"plugin": self.name, "version": self.version, "sdk": "python 0.1.0", "protocols": [1], "components": components}
