"""The classic first training script: logistic regression, one process.

Only its import line is not the SDK's: it says muster_azureml where the page says azureml.
"""

import argparse
import os
import pickle

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from muster_azureml.core import Run

parser = argparse.ArgumentParser()
parser.add_argument("--data-folder", type=str, dest="data_folder", help="data folder mounting point")
parser.add_argument("--regularization", type=float, dest="reg", default=0.01,
                    help="regularization rate")
args = parser.parse_args()
print("Data folder:", args.data_folder)

images = np.load(os.path.join(args.data_folder, "digits", "images.npy"))
labels = np.load(os.path.join(args.data_folder, "digits", "labels.npy"))
X_train, X_test, y_train, y_test = train_test_split(images, labels, test_size=0.2, random_state=7)

run = Run.get_context()

print("Train a logistic regression model with regularization rate of", args.reg)
model = LogisticRegression(C=1.0 / args.reg, max_iter=1000, random_state=42)
model.fit(X_train, y_train)

accuracy = float(np.average(model.predict(X_test) == y_test))
print("Accuracy is", accuracy)
run.log("regularization rate", args.reg)
run.log("accuracy", accuracy)

# What lies in ./outputs is in the run's record afterwards.
os.makedirs("outputs", exist_ok=True)
with open("outputs/sklearn_digits_model.pkl", "wb") as file:
    pickle.dump(model, file)
