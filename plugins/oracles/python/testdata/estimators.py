"""Writes estimators of scikit-learn into the folder given: estimators.py FOLDER."""
import os
import pickle
import sys

import joblib
import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression

x = np.random.default_rng(1).standard_normal((50, 3))
regressor = LinearRegression().fit(x, x @ [1, 2, 3] + 4)
classifier = LogisticRegression().fit(x, x[:, 0] > 0)
joblib.dump(regressor, os.path.join(sys.argv[1], "regressor.joblib"))
joblib.dump(classifier, os.path.join(sys.argv[1], "classifier.joblib"))
with open(os.path.join(sys.argv[1], "regressor.pkl"), "wb") as file:
    pickle.dump(regressor, file)
