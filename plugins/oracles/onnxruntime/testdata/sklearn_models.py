"""Writes networks that scikit-learn trained, as ONNX files by skl2onnx, and what scikit-learn itself answers: values.json.

usage: sklearn_models.py FOLDER"""
import json
import os
import sys
import warnings

import numpy as np
import onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")
os.chdir(sys.argv[1])
x, y = load_diabetes(return_X_y=True)
x = StandardScaler().fit_transform(x)
y = (y - y.mean()) / y.std()
values = {}


def write(name, model, x, answers, kind, output="", rows=None, **options):
    d = x.shape[1]
    converted = to_onnx(model, initial_types=[("x", kind([rows, d]))], **options)
    onnx.save(converted, name + ".onnx")
    points = x[:20]
    values[name] = {"x": points.tolist(), "y": np.asarray(answers(points), float).reshape(len(points), -1).tolist(), "output": output,
                    "single": kind is FloatTensorType}


for activation in "tanh", "logistic":
    model = MLPRegressor(hidden_layer_sizes=(6, 3), activation=activation, solver="lbfgs", max_iter=60, random_state=1).fit(x, y)
    write(activation, model, x, model.predict, DoubleTensorType)
    write(activation + "-single", model, x, model.predict, FloatTensorType)
    write(activation + "-one-row", model, x, model.predict, DoubleTensorType, rows=1)
two = MLPRegressor(hidden_layer_sizes=(6, 3), activation="tanh", solver="lbfgs", max_iter=60, random_state=1).fit(x, np.stack([y, y ** 2], 1))
write("two-outputs", two, x, two.predict, DoubleTensorType)
pipeline = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(6, 3), activation="tanh", solver="lbfgs", max_iter=60, random_state=1)).fit(3 * x + 1, y)
write("pipeline", pipeline, 3 * x + 1, pipeline.predict, DoubleTensorType)
write("pipeline-single", pipeline, 3 * x + 1, pipeline.predict, FloatTensorType)
x, y = load_breast_cancer(return_X_y=True)
x = StandardScaler().fit_transform(x)
classifier = MLPClassifier(hidden_layer_sizes=(5, 3), activation="tanh", solver="lbfgs", max_iter=30, random_state=1).fit(x, y)
write("classifier", classifier, x, classifier.predict_proba, DoubleTensorType, "probabilities", options={"zipmap": False})
write("classifier-labels", classifier, x, classifier.predict, DoubleTensorType, "label", options={"zipmap": False})
write("classifier-zipmap", classifier, x, classifier.predict_proba, FloatTensorType, "output_probability")
with open("values.json", "w") as file:
    json.dump(values, file)
