"""Data-parallel training with PyTorch: a small network on scikit-learn's handwritten digits.

Nothing in here knows of Muster.  It is a script as torchrun starts them: the ranks find each other
through RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, DistributedSampler deals the images out, and
DistributedDataParallel averages the gradients.  Every seed is fixed, so the final loss depends on
the world size alone, to the last bit, and not on who started the ranks.
"""

import argparse
import json
import os
import sys

try:
    import torch
    import torch.distributed as dist
    from sklearn.datasets import load_digits
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
except ImportError as error:
    sys.exit(f"train.py: {error}; this example needs the packages python3-torch and "
             "python3-sklearn for /usr/bin/python3: scripts/setup --for test installs them")

TEST_IMAGES = 297


def parse_arguments():
    parser = argparse.ArgumentParser(description="a network on the digits set, data-parallel")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64, help="images of one rank in a step")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    arguments = parser.parse_args()
    if arguments.epochs < 1 or arguments.batch_size < 1:
        parser.error("--epochs and --batch-size must be at least 1")
    return arguments


def load_sets():
    """The training set and the test set, the same on every rank."""
    digits = load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target, dtype=torch.int64)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(7))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return (TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test]))


def make_network():
    torch.manual_seed(11)
    return torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))


def total(value):
    """The sum of a number over all ranks."""
    summed = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(summed)
    return summed.item()


def mean_loss(model, dataset):
    """The loss over the whole set and the share that is right; every rank looks at its slice."""
    own = range(dist.get_rank(), len(dataset), dist.get_world_size())
    images, labels = dataset[list(own)]
    with torch.no_grad():
        scores = model(images)
        loss = torch.nn.functional.cross_entropy(scores, labels, reduction="sum").item()
        right = (scores.argmax(dim=1) == labels).sum().item()
    return total(loss) / len(dataset), total(right) / len(dataset)


def train(arguments, dataset):
    model = DistributedDataParallel(make_network())
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.learning_rate, momentum=0.9)
    sampler = DistributedSampler(dataset, shuffle=True, seed=13)
    loader = DataLoader(dataset, batch_size=arguments.batch_size, sampler=sampler)
    for epoch in range(arguments.epochs):
        sampler.set_epoch(epoch)
        for images, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        loss, _ = mean_loss(model.module, dataset)
        if dist.get_rank() == 0:
            print(f"epoch {epoch + 1}/{arguments.epochs} loss={loss:.6f}", flush=True)
    return model.module, loss


def main():
    arguments = parse_arguments()
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    dist.init_process_group("gloo")  # env://
    rank, world_size = dist.get_rank(), dist.get_world_size()
    train_set, test_set = load_sets()
    if rank == 0:
        print(f"{len(train_set)} images over {world_size} ranks", flush=True)
    network, loss = train(arguments, train_set)
    _, accuracy = mean_loss(network, test_set)
    if rank == 0:
        os.makedirs("outputs", exist_ok=True)
        torch.save(network.state_dict(), "outputs/model.pt")
        with open("outputs/metrics.json", "w", encoding="utf-8") as file:
            json.dump({"loss": loss, "accuracy": accuracy, "world_size": world_size,
                       "epochs": arguments.epochs, "torch": torch.__version__}, file)
            file.write("\n")
        print(f"accuracy={accuracy:.4f} on {TEST_IMAGES} images that were not trained on")
        print(f"final loss={loss!r}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
