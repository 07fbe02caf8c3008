"""Functions for the oracle "python" that answer well, or not."""
import numpy as np


def good(x):
    print("this must not spoil the answers")
    x -= 0  # a model may write to what it is given
    return np.tanh(x[:, 0] - 2 * x[:, 1]) + 0.5 * np.sin(x[:, 2])


def two(x):
    return np.stack([good(x), x[:, 0]], axis=1)


def scalar(x):
    return 1.0


def labels(x):
    return np.array(["yes"] * len(x))


def raises(x):
    raise RuntimeError("out of\nmemory")


def exits(x):
    import os
    import sys
    sys.stderr.write("goodbye\n")
    os._exit(4)


class Holder:
    class Inner:
        @staticmethod
        def answer(x):
            return good(x)


number = 7
