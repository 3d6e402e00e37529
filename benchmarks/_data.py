"""Otto, MNIST and other files out of the folder that the environment variable STACKKIT_DATA names."""

import gzip
import os
from pathlib import Path

import numpy as np

from stackkit import datasets


def load_otto():
    """Return (X, y), 61,878 x 93 counts and classes 0 to 8, or None where the file is absent."""
    try:
        data, target = datasets.load_otto(return_X_y=True)
    except FileNotFoundError as error:
        print(f"skipped: {error}")
        return None
    return data.to_numpy(np.float32), np.unique(target, return_inverse=True)[1]


def load_mnist():
    """Return (X, y), 70,000 x 784 pixels in [0, 1] and digits, or None where a file of mnist/ is absent."""
    names = [f"mnist/{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    paths = [find(name) for name in names]
    if None in paths:
        return None
    train_images, train_labels, test_images, test_labels = [_read_idx(path) for path in paths]
    pixels = np.concatenate([train_images, test_images]).reshape(-1, 28 * 28)
    return pixels.astype(np.float32) / 255, np.concatenate([train_labels, test_labels]).astype(int)


def find(name):
    """Return the path of a file in that folder, or None with a line printed where it is absent."""
    root = os.environ.get("STACKKIT_DATA")
    path = Path(root or ".", name).expanduser()
    if root and path.is_file():
        return path
    print(f"skipped: {name} is not in the folder that STACKKIT_DATA names ({root or 'not set'})")
    return None


def _read_idx(path):
    """Read an IDX file: two zero bytes, a type, the number of axes; their lengths; the bytes."""
    raw = gzip.decompress(path.read_bytes())
    n_axes = raw[3]
    shape = np.frombuffer(raw, ">i4", count=n_axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_axes).reshape(shape)
