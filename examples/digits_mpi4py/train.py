"""Data-parallel training over MPI: softmax regression on scikit-learn's handwritten digits.

Every rank owns one slice of the images.  In each step it sums the gradient over its slice, one
Allreduce adds the slices up, and every rank makes the same update.  The sum over all images does
not depend on how they are divided, so any number of ranks ends at the weights of one rank, up to
the rounding of floating-point sums: loss and weights agree to 1e-9.
"""

import argparse
import json
import os
import sys

try:
    import numpy as np
    from mpi4py import MPI
    from sklearn.datasets import load_digits
except ImportError as error:
    sys.exit(f"train.py: {error}; this example needs the packages python3-numpy, python3-mpi4py "
             "and python3-sklearn for /usr/bin/python3: scripts/setup --for demo installs them")

CLASSES = 10
TEST_IMAGES = 297


def parse_arguments():
    parser = argparse.ArgumentParser(description="softmax regression on the digits set over MPI")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=0.5)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--regularization", type=float, default=1e-4)
    parser.add_argument("--report-every", type=int, default=50, help="steps between two lines")
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.report_every < 1:
        parser.error("--steps and --report-every must be at least 1")
    return arguments


def load_slices(rank, world_size):
    """This rank's training and test images, and the number of training images of all ranks."""
    digits = load_digits()
    images = digits.data / 16.0
    order = np.random.default_rng(7).permutation(len(images))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    images = images - images[train].mean(axis=0)
    images = np.hstack([images, np.ones((len(images), 1))])  # for the bias
    own_train = np.array_split(train, world_size)[rank]
    own_test = np.array_split(test, world_size)[rank]
    return ((images[own_train], digits.target[own_train]),
            (images[own_test], digits.target[own_test]), len(train))


def loss_and_gradient(weights, images, labels):
    """Both summed, not averaged, over the given images."""
    scores = images @ weights
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(probabilities[rows, labels]).sum()
    probabilities[rows, labels] -= 1.0
    return loss, images.T @ probabilities


def total(comm, loss, gradient):
    """Sums a rank's loss and gradient over all ranks in one Allreduce."""
    packed = np.append(gradient.ravel(), loss)
    comm.Allreduce(MPI.IN_PLACE, packed, op=MPI.SUM)
    return packed[-1], packed[:-1].reshape(gradient.shape)


def train(comm, arguments, own, image_count):
    weights = np.zeros((own[0].shape[1], CLASSES))
    velocity = np.zeros_like(weights)
    for step in range(1, arguments.steps + 1):
        loss_sum, gradient_sum = total(comm, *loss_and_gradient(weights, *own))
        loss = loss_sum / image_count + 0.5 * arguments.regularization * (weights**2).sum()
        gradient = gradient_sum / image_count + arguments.regularization * weights
        velocity = arguments.momentum * velocity - arguments.learning_rate * gradient
        weights = weights + velocity
        if comm.rank == 0 and (step % arguments.report_every == 0 or step == arguments.steps):
            print(f"step {step}/{arguments.steps} loss={loss:.6f}", flush=True)
    return weights, loss


def accuracy(comm, weights, own):
    right = int((np.argmax(own[0] @ weights, axis=1) == own[1]).sum())
    return comm.allreduce(right) / comm.allreduce(len(own[1]))


def main():
    arguments = parse_arguments()
    comm = MPI.COMM_WORLD
    own_train, own_test, image_count = load_slices(comm.rank, comm.size)
    if comm.rank == 0:
        print(f"{image_count} images over {comm.size} ranks", flush=True)
    weights, loss = train(comm, arguments, own_train, image_count)
    share_right = accuracy(comm, weights, own_test)
    if comm.rank != 0:
        return
    os.makedirs("outputs", exist_ok=True)
    np.save("outputs/weights.npy", weights)
    with open("outputs/result.json", "w", encoding="utf-8") as file:
        json.dump({"accuracy": share_right, "loss": loss, "world_size": comm.size,
                   "steps": arguments.steps}, file)
        file.write("\n")
    print(f"accuracy={share_right:.4f} on {TEST_IMAGES} images that were not trained on")


if __name__ == "__main__":
    main()
