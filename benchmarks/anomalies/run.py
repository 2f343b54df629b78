"""Detect anomalies in two tables of scikit-learn's with four detectors, and write `results.json` and the page's table.

Each detector sees normal rows only and has six settings, of which the one is taken that best tells held-out normal rows
from the same rows with every column shuffled by itself. No anomaly and no test row takes part in that.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from table import RESULTS, write_page

from contractive import ContractiveAutoencoder

Score = Callable[[np.ndarray], np.ndarray]
TRAINING = {"batch_size": 32, "learning_rate": 0.003, "max_epochs": 200}


class Task(NamedTuple):
    """One table with one kind of row as the anomalies.

    Args:
        name: of the table.
        anomaly: the kind.
        normal: rows, of which `n_train` are trained on and `n_valid` choose the settings; the others are tested on.
        anomalies: rows, all of which are tested on.
    """

    name: str
    anomaly: str
    normal: np.ndarray
    anomalies: np.ndarray
    n_train: int
    n_valid: int


def tasks(n_classes: int) -> Iterator[Task]:
    """Tumours, of which the malignant ones are the anomalies, and digits, of which each is one in turn."""
    X, y = load_breast_cancer(return_X_y=True)
    X, y = np.asarray(X, np.float32), np.asarray(y)
    yield Task("breast cancer", "malignant", X[y == 1], X[y == 0], 214, 71)
    X, y = load_digits(return_X_y=True)
    X, y = np.asarray(X, np.float32) / 16, np.asarray(y)
    for digit in range(n_classes):
        yield Task("digits", str(digit), X[y != digit], X[y == digit], 960, 320)


def fit_pca(rows: np.ndarray, seed: int, **setting: Any) -> Score:
    """Principal components; a row is normal that they give back."""
    pca = PCA(**setting, random_state=seed).fit(rows)
    return lambda X: -np.sum((X - pca.inverse_transform(pca.transform(X))) ** 2, axis=1)


def fit_forest(rows: np.ndarray, seed: int, **setting: Any) -> Score:
    """A forest; a row is normal that takes many random cuts to be alone."""
    return IsolationForest(**setting, random_state=seed).fit(rows).score_samples


def fit_autoencoder(rows: np.ndarray, seed: int, **setting: Any) -> Score:
    """An auto-encoder; a row is normal that it gives back."""
    return ContractiveAutoencoder(**setting, **TRAINING, random_state=seed).fit(rows).score_samples


def grid(**values: tuple[Any, ...]) -> list[dict[str, Any]]:
    """All combinations."""
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


DETECTORS: dict[str, tuple[Callable[..., Score], list[dict[str, Any]]]] = {
    "PCA": (fit_pca, grid(n_components=(1, 2, 4, 8, 12, 16))),
    "isolation forest": (fit_forest, grid(max_samples=(64, 128, 214), max_features=(0.5, 1.0))),
    "auto-encoder": (fit_autoencoder, grid(contraction=(0.0,), n_components=(4, 8, 16, 32, 64, 128))),
    "contractive": (fit_autoencoder, grid(contraction=(0.01, 0.1, 1.0), n_components=(16, 64))),
}


def trial(task: Task, seed: int) -> dict[str, Any]:
    """The AUROC of each detector on one split, and the setting that was chosen for it."""
    rng = np.random.default_rng(seed)
    train, valid, test = np.split(rng.permutation(task.normal), [task.n_train, task.n_train + task.n_valid])
    anomalies = task.anomalies
    if task.name != "digits":  # pixels have one unit already
        scaler = StandardScaler().fit(train)
        parts = (train, valid, test, anomalies)
        train, valid, test, anomalies = (np.asarray(scaler.transform(part)) for part in parts)
    shuffled = rng.permuted(valid, axis=0)
    found: dict[str, Any] = {"table": task.name, "anomaly": task.anomaly, "seed": seed, "detectors": {}}
    for name, (fit, settings) in DETECTORS.items():
        scores = [fit(train, seed, **setting) for setting in settings]
        best = int(np.argmax([auroc(score, valid, shuffled) for score in scores]))
        found["detectors"][name] = {"setting": settings[best], "auroc": auroc(scores[best], test, anomalies)}
    return found


def auroc(score: Score, normal: np.ndarray, other: np.ndarray) -> float:
    """How often a normal row scores higher than another one: 0.5 by chance, 1 at best."""
    is_normal = np.arange(len(normal) + len(other)) < len(normal)
    return round(float(roc_auc_score(is_normal, score(np.concatenate([normal, other])))), 5)


def main() -> None:
    """Run all trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="splits of each table")
    parser.add_argument("--classes", type=int, default=10, help="digits that are the anomaly in turn")
    options = parser.parse_args()
    trials = []
    for task, seed in product(tasks(options.classes), range(options.seeds)):
        trials.append(trial(task, seed))
        print(json.dumps(trials[-1]), flush=True)
    about = {name: version(name) for name in ("contractive", "jax", "numpy", "scikit-learn")}
    about["python"] = platform.python_version()
    found = {"versions": about, "trials": trials}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_page()


if __name__ == "__main__":
    main()
