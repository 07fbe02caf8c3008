"""Writes the tables of this folder: python3 export.py, with scikit-learn 1.9 or later.

Every table comes with scikit-learn itself; nothing is downloaded. Values are written as they are (the trainer
standardises them), the target last. Columns that never change are left out, and of digits every third row is kept.
"""

import csv
import pathlib

import numpy
from sklearn import datasets

here = pathlib.Path(__file__).parent
tables = {
    "iris": datasets.load_iris(),
    "diabetes": datasets.load_diabetes(scaled=False),
    "wine": datasets.load_wine(),
    "breastcancer": datasets.load_breast_cancer(),
    "digits": datasets.load_digits(),
}
for name, table in tables.items():
    x, y = table.data, table.target
    if name == "digits":
        x, y = x[::3], y[::3]
    keep = numpy.ptp(x, axis=0) > 0
    with open(here / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [str(n).replace(" ", "_") for n in table.feature_names]
        writer.writerow([n for n, k in zip(names, keep) if k] + ["target"])
        for row, target in zip(x[:, keep], y):
            writer.writerow([f"{v:.7g}" for v in row] + [f"{target:.7g}"])
