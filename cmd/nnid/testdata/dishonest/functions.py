"""Functions of 4 inputs that are no networks of two hidden layers with one bounded activation."""
import numpy as np

random = np.random.default_rng(3)
layers = [(1.5 * random.standard_normal((m, n)) / np.sqrt(n), random.standard_normal(m) / 2) for n, m in [(4, 4), (4, 3), (3, 2), (2, 1)]]


def deep(x):
    """Three hidden layers."""
    for weight, bias in layers[:-1]:
        x = np.tanh(x @ weight.T + bias)
    return (x @ layers[-1][0].T + layers[-1][1])[:, 0]


def relu(x):
    for weight, bias in layers[:2]:
        x = np.maximum(0, x @ weight.T + bias)
    return x @ [1.0, -2.0, 3.0]


def skip(x):
    """A connection past both layers."""
    for weight, bias in layers[:2]:
        y = np.tanh((x if weight is layers[0][0] else y) @ weight.T + bias)
    return y @ [1.0, -2.0, 3.0] + 0.1 * x[:, 0]


def product(x):
    """Units multiplied, as attention does."""
    h = np.tanh(x @ layers[0][0].T + layers[0][1])
    return h[:, 0] * h[:, 1] + h[:, 2]


def bumps(x):
    """Radial basis functions."""
    return 0.3 + sum(c * np.exp(-((x - at) ** 2).sum(axis=1)) for c, at in zip([1.0, -2.0, 1.5], [[0, 0, 0, 0], [1, 0, -1, 0], [0, 1, 1, 1]]))


def squares(x):
    return (x ** 2).sum(axis=1) + x[:, 0]


def one(x):
    """One hidden layer."""
    return np.tanh(x @ layers[0][0].T + layers[0][1]) @ [1.0, -2.0, 3.0, 0.5]


def wrapped(x):
    """A function of what one hidden layer answers."""
    return np.exp(0.5 * one(x))


def linear(x):
    return x @ [1.0, -2.0, 3.0, 0.5] + 1


def forest():
    from sklearn.ensemble import RandomForestRegressor
    x = random.standard_normal((200, 4))
    return RandomForestRegressor(10, random_state=1).fit(x, np.tanh(x[:, 0]) + x[:, 1] ** 2)


class Lazily:
    """The forest, trained when it is first asked for."""
    def __getattr__(self, name):
        return getattr(self.__dict__.setdefault("model", forest()), name)


trees = Lazily()
