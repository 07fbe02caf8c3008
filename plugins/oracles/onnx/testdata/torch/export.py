"""Made the models in this folder: networks of 6 inputs and 5 + 3 neurons with random weights, written by both of PyTorch's
exporters, and values.json, what PyTorch computes for them in float64. PyTorch is too large to be installed for every test.

    python -m venv torch && torch/bin/pip install torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2
    torch/bin/python export.py
"""
import json
import os
import warnings

import onnx
import torch
from torch import nn

warnings.filterwarnings("ignore")
os.chdir(os.path.dirname(os.path.abspath(__file__)))


class Function(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, t):
        return self.f(t)


class Squeezed(nn.Module):
    """Answers a vector, one number a row."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x).squeeze(-1)


activations = {
    "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "gelu": nn.GELU(), "silu": nn.SiLU(), "softplus": nn.Softplus(),
    "softsign": nn.Softsign(), "arctan": Function(torch.atan), "erf": Function(torch.erf), "sine": Function(torch.sin),
}


def network(activation, d=6, m0=5, m1=3, bias=True):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(d, m0, bias), activation, nn.Linear(m0, m1, bias), activation, nn.Linear(m1, 1, bias))
    with torch.no_grad():
        for layer in net[::2]:
            layer.weight *= 2  # away from where the activation is linear
    return net


values = {}


def strip(path):
    """Removes what says where the export ran: the lines of source and the folders behind each node."""
    model = onnx.load(path, load_external_data=False)
    for part in [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input, *model.graph.output]:
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


def write(name, net, exporter, dtype, shape=("rows", 6)):
    net = net.to(dtype).eval()
    x = torch.randn(8, shape[-1], dtype=torch.float64)
    rows = [2 if n == "rows" else n for n in shape]
    example = torch.zeros(rows, dtype=dtype)
    if exporter == "script":
        torch.onnx.export(net, (example,), name + ".onnx", dynamo=False, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "rows"}, "y": {0: "rows"}} if "rows" in shape else None)
    else:
        torch.onnx.export(net, (example,), name + ".onnx", dynamo=True, input_names=["x"], output_names=["y"],
                          dynamic_shapes=({0: torch.export.Dim("rows")},) if "rows" in shape else None)
        if os.path.exists(name + ".onnx.data") and not os.path.getsize(name + ".onnx.data"):
            os.remove(name + ".onnx.data")  # small weights are in the model itself
        strip(name + ".onnx")
    with torch.no_grad():
        y = torch.stack([net.double()(row.reshape([1] * (len(shape) - 1) + [-1])).reshape(()) for row in x])
    values[name] = {"x": x.tolist(), "y": y.tolist()}


for name, activation in activations.items():
    for exporter in ("dynamo", "script"):
        write("%s-%s" % (name, exporter), Squeezed(network(activation)), exporter, torch.float64)
write("tanh-dynamo-single", network(nn.Tanh()), "dynamo", torch.float32)
write("gelu-script-single", network(nn.GELU()), "script", torch.float32)
write("tanh-no-bias", network(nn.Tanh(), bias=False), "dynamo", torch.float64)
write("tanh-one-row", network(nn.Tanh()), "dynamo", torch.float64, (1, 6))
write("tanh-four-rows", Squeezed(network(nn.Tanh())), "script", torch.float64, (4, 6))
write("tanh-vector", Squeezed(network(nn.Tanh())), "dynamo", torch.float64, (6,))
write("sigmoid-external", network(nn.Sigmoid(), 20, 14, 4), "dynamo", torch.float64, ("rows", 20))
normalised = network(nn.Tanh())
normalised.insert(0, nn.BatchNorm1d(6))
normalised.insert(3, nn.Dropout(0.5))
normalised[0].running_mean[:] = torch.arange(6) / 3
normalised[0].running_var[:] = 1 + torch.arange(6) / 2
write("tanh-normalised", normalised, "script", torch.float64)
with open("values.json", "w") as file:
    json.dump(values, file)
    file.write("\n")
