"""Makes the folder of an MLServer that serves a network file as a scikit-learn MLPRegressor: model.py NETWORK.json FOLDER PORT GRPC_PORT."""
import json
import os
import sys
import warnings

import joblib
import numpy as np
from sklearn.neural_network import MLPRegressor

network, folder, port, grpc_port = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with open(network) as file:
    layers = json.load(file)["layers"]
model = MLPRegressor(hidden_layer_sizes=[len(layer["bias"]) for layer in layers[:-1]], activation=layers[0]["activation"], solver="lbfgs", max_iter=1)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that one iteration does not converge
    # Fitting makes all that a fitted model has; the weights are then replaced.
    model.fit(np.zeros((2, len(layers[0]["weight"][0]))), np.arange(2.0))
model.coefs_ = [np.array(layer["weight"]).T for layer in layers]
model.intercepts_ = [np.array(layer["bias"]) for layer in layers]
joblib.dump(model, os.path.join(folder, "model.joblib"))

for name, content in {
    "model-settings.json": {
        "name": "diabetes", "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": "v1"},
    },
    "settings.json": {
        # Port 0 for what is not asked: the system chooses.
        "host": "127.0.0.1", "http_port": port, "grpc_port": grpc_port, "metrics_endpoint": None, "parallel_workers": 0,
    },
}.items():
    with open(os.path.join(folder, name), "w") as file:
        json.dump(content, file)
