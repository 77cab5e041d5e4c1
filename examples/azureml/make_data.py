"""Writes scikit-learn's handwritten digits to files: make_data.py DIRECTORY"""

import argparse
import os
import sys

try:
    import numpy as np
    from sklearn.datasets import load_digits
except ImportError as error:
    sys.exit(f"make_data.py: {error}; this example needs python3-numpy and python3-sklearn for "
             "/usr/bin/python3: scripts/setup --for demo installs them")


def main():
    parser = argparse.ArgumentParser(description="writes images.npy and labels.npy")
    parser.add_argument("directory")
    directory = parser.parse_args().directory
    os.makedirs(directory, exist_ok=True)
    images, labels = load_digits(return_X_y=True)
    np.save(os.path.join(directory, "images.npy"), images / 16.0)
    np.save(os.path.join(directory, "labels.npy"), labels)
    print(f"{len(images)} digits in {directory}")


if __name__ == "__main__":
    main()
