"""Rivals of `ntk_regression.py` that need an environment of their own; prints one JSON object.

    python benchmarks/_peers.py diffprivlib-logistic FASHION_NPZ EPSILON
    python benchmarks/_peers.py diffprivlib-linear WAGES_NPZ EPSILON
    python benchmarks/_peers.py opacus-linear|opacus-cnn FASHION_NPZ EPSILON TARGET_ACCURACY MOST_SECONDS

Environments: diffprivlib 0.6 needs scikit-learn < 1.6; opacus needs torch.
"""

import json
import sys
import time
import warnings

import numpy as np

DELTA = 1e-5
warnings.simplefilter("ignore")


def load(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def diffprivlib_logistic(path, epsilon):
    """Pure epsilon-DP under substitution of a row; the number of rows is taken as public."""
    from diffprivlib.models import LogisticRegression

    data = load(path)
    start = time.perf_counter()
    model = LogisticRegression(epsilon=epsilon, data_norm=1.0, max_iter=100).fit(data["X_train"], data["y_train"])
    seconds = time.perf_counter() - start
    return {"accuracy": 100 * model.score(data["X_test"], data["y_test"]), "seconds": seconds}


def diffprivlib_linear(path, epsilon):
    """Pure epsilon-DP; bounds of features and target are public."""
    from diffprivlib.models import LinearRegression

    data, scores = load(path), []
    for _ in range(3):
        bounds = (data["low"], data["high"])
        model = LinearRegression(epsilon=epsilon, bounds_X=bounds, bounds_y=tuple(data["target"]))
        model.fit(data["X_train"], data["y_train"])
        found = np.clip(model.predict(data["X_test"]), *data["target"])
        scores.append(1 - ((found - data["y_test"]) ** 2).mean() / data["y_test"].var())
    return {"r2": float(np.mean(scores))}


def opacus(kind, path, epsilon, target, most):
    """DP-SGD with Poisson batches and the PRV accountant, until the target, the end of its epochs, or some time.

    Batch, clip, momentum and epochs follow arXiv 2011.11660; the linear model's step size is the better of 8 and 64.
    """
    import torch
    from opacus import PrivacyEngine
    from torch import nn

    rate = 64.0 if kind == "opacus-linear" else 8.0
    torch.manual_seed(0)
    torch.set_num_threads(int(__import__("os").environ.get("OMP_NUM_THREADS", "1")))
    data = load(path)
    if kind == "opacus-linear":
        train, test = (torch.tensor(data[f"X_{part}"]) for part in ("train", "test"))
        train, test = train - train.mean(0), test - train.mean(0)  # not private: in the rival's favour
        model, epochs, batch, clip = nn.Linear(train.shape[1], 10), 40, 8192, 0.1
    else:  # the small convolutional network of arXiv 2007.14191
        train, test = (
            torch.tensor(data[f"pixels_{part}"]).float().reshape(-1, 1, 28, 28) / 255 for part in ("train", "test")
        )
        model = nn.Sequential(
            nn.Conv2d(1, 16, 8, 2, padding=2), nn.Tanh(), nn.MaxPool2d(2, 1), nn.Conv2d(16, 32, 4, 2), nn.Tanh(),
            nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(512, 32), nn.Tanh(), nn.Linear(32, 10),
        )  # fmt: skip
        epochs, batch, clip = 15, 4096, 0.1  # a shorter schedule: its epochs are slow
    y, yt = torch.tensor(data["y_train"]), torch.tensor(data["y_test"])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(train, y), batch_size=batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    engine = PrivacyEngine(accountant="prv")
    model, optimizer, loader = engine.make_private_with_epsilon(
        module=model, optimizer=optimizer, data_loader=loader, target_epsilon=epsilon, target_delta=DELTA,
        epochs=epochs, max_grad_norm=clip,
    )  # fmt: skip
    seconds, best, reached = 0.0, 0.0, None
    for epoch in range(epochs):
        start = time.perf_counter()
        for rows, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(rows), labels).backward()
            optimizer.step()
        seconds += time.perf_counter() - start
        with torch.no_grad():
            accuracy = 100 * (model(test).argmax(1) == yt).float().mean().item()
        best = max(best, accuracy)
        print(epoch, round(seconds, 1), round(accuracy, 2), file=sys.stderr, flush=True)
        if accuracy >= target:
            reached = seconds
        if reached or seconds > most:
            break
    return {"accuracy": best, "seconds": seconds, "reached_after": reached, "epochs": epoch + 1}


if __name__ == "__main__":
    kind, path, epsilon = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if kind.startswith("opacus"):
        result = opacus(kind, path, epsilon, float(sys.argv[4]), float(sys.argv[5]))
    else:
        result = {"diffprivlib-logistic": diffprivlib_logistic, "diffprivlib-linear": diffprivlib_linear}[kind](
            path, epsilon
        )
    print(json.dumps(result))
