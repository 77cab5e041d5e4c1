"""One process: scikit-learn's logistic regression on its handwritten digits.

The classic Estimator example: a script that knows nothing of its launcher, takes --regularization,
and leaves its model in ./outputs.
"""

import argparse
import os
import pickle
import sys

try:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
except ImportError as error:
    sys.exit(f"train.py: {error}; this example needs the package python3-sklearn for "
             "/usr/bin/python3: scripts/setup --for demo installs it")


def main():
    parser = argparse.ArgumentParser(description="logistic regression on the digits set")
    parser.add_argument("--regularization", type=float, default=0.8,
                        help="strength; the model's C is its inverse")
    arguments = parser.parse_args()
    if arguments.regularization <= 0:
        parser.error("--regularization must be above 0")

    images, labels = load_digits(return_X_y=True)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images / 16.0, labels, test_size=0.2, random_state=7)
    model = LogisticRegression(C=1.0 / arguments.regularization, max_iter=1000)
    model.fit(train_images, train_labels)

    os.makedirs("outputs", exist_ok=True)
    with open("outputs/model.pkl", "wb") as file:
        pickle.dump(model, file)
    print(f"regularization={arguments.regularization} "
          f"accuracy={model.score(test_images, test_labels):.4f}")


if __name__ == "__main__":
    main()
