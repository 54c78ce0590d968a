"""Public features of Fashion-MNIST for `ntk_regression.py`, made by OpenCV in an environment of its own.

    pip install numpy "opencv-python-headless<5"
    python benchmarks/_fashion.py FOLDER_OF_THE_FOUR_GZ_FILES fashion.npz

Every image by itself: histograms of 12 signed gradient directions in 7 x 7 cells (OpenCV's `HOGDescriptor`, cells of
4 pixels, blocks of 2 x 2 cells), the up to four normalisations of a cell averaged, square roots; and the mean intensity
of the cells, half as long. 637 numbers.
"""

import gzip
import sys
from pathlib import Path

import cv2
import numpy as np

CELLS, BINS = 7, 12


def read(path, offset):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=offset)


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def features(images):
    side, block, step, cell = (28, 28), (8, 8), (4, 4), (4, 4)
    hog = cv2.HOGDescriptor(side, block, step, cell, BINS, 1, -1, 0, 0.2, True, 64, True)
    places = np.add.outer(np.arange(CELLS - 1), np.arange(2))
    x, y = places[:, None, :, None], places[None, :, None, :]
    times = np.zeros((CELLS, CELLS, 1))
    np.add.at(times, (x, y), 1.0)
    rows = np.empty((len(images), CELLS * CELLS * BINS))
    for row, image in zip(rows, images):
        cells = np.zeros((CELLS, CELLS, BINS))
        np.add.at(cells, (x, y), hog.compute(np.ascontiguousarray(image)).reshape(CELLS - 1, CELLS - 1, 2, 2, BINS))
        row[:] = np.sqrt(cells / times).ravel()
    intensity = images.reshape(-1, CELLS, 4, CELLS, 4).mean(axis=(2, 4)).reshape(len(images), -1)
    return unit(np.concatenate([unit(rows), 0.5 * unit(intensity)], axis=1))


if __name__ == "__main__":
    folder, parts = Path(sys.argv[1]), {}
    for name, prefix in (("train", "train"), ("test", "t10k")):
        images = read(folder / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        parts[f"X_{name}"] = features(images).astype(np.float32)
        parts[f"y_{name}"] = read(folder / f"{prefix}-labels-idx1-ubyte.gz", 8).astype(np.int64)
        parts[f"pixels_{name}"] = images.reshape(len(images), -1)
    np.savez(sys.argv[2], **parts)
