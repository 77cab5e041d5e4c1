"""Trains a digits classifier on several ranks: each has its share of the images, and after every
step the ranks' weights are averaged.

The data is read from --data-folder; the model goes to --model-folder and to ./outputs.
"""

import argparse
import json
import os

import numpy as np
from mpi4py import MPI

CLASSES = 10
TEST_IMAGES = 297


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-folder", required=True)
    parser.add_argument("--model-folder", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--learning-rate", type=float, default=0.5)
    parser.add_argument("--regularization", type=float, default=1e-4)
    return parser.parse_args()


def load(folder):
    """(training images, labels), (test images, labels); a column of ones stands for the bias."""
    images = np.load(os.path.join(folder, "images.npy"))
    labels = np.load(os.path.join(folder, "labels.npy"))
    images = np.hstack([images, np.ones((len(images), 1))])
    order = np.random.default_rng(7).permutation(len(images))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return (images[train], labels[train]), (images[test], labels[test])


def step(weights, images, labels, arguments):
    """The weights after one step on one rank's images, and the loss before it."""
    scores = images @ weights
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(probabilities[rows, labels]).mean()
    probabilities[rows, labels] -= 1.0
    gradient = images.T @ probabilities / len(labels) + arguments.regularization * weights
    return weights - arguments.learning_rate * gradient, loss


def save(folder, weights, result):
    os.makedirs(folder, exist_ok=True)
    np.save(os.path.join(folder, "weights.npy"), weights)
    with open(os.path.join(folder, "result.json"), "w", encoding="utf-8") as file:
        json.dump(result, file)


def main():
    arguments = parse_arguments()
    comm = MPI.COMM_WORLD
    train, test = load(arguments.data_folder)
    own = [np.array_split(part, comm.size)[comm.rank] for part in train]
    weights = np.zeros((train[0].shape[1], CLASSES))
    for number in range(1, arguments.steps + 1):
        weights, loss = step(weights, *own, arguments)
        weights = comm.allreduce(weights) / comm.size
        loss = comm.allreduce(loss) / comm.size
        if comm.rank == 0 and number % 50 == 0:
            print(f"step {number}/{arguments.steps} loss={loss:.4f}", flush=True)
    if comm.rank == 0:
        accuracy = float((np.argmax(test[0] @ weights, axis=1) == test[1]).mean())
        result = {"accuracy": accuracy, "loss": loss, "world_size": comm.size,
                  "images": len(train[1]), "regularization": arguments.regularization}
        save("outputs", weights, result)
        save(arguments.model_folder, weights, result)
        print(f"accuracy={accuracy:.4f} on {comm.size} ranks", flush=True)


if __name__ == "__main__":
    main()
