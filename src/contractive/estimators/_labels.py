"""Labels: what a user calls the classes, which rows have none, and which labelled rows are held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._validation import shown

__all__ = ["UNKNOWN", "draw_evenly", "encode_labels", "is_missing", "is_unlabeled", "known_labels", "split_stratified"]

UNKNOWN = -1  # in the place of a class's number


def encode_labels(X: Any, y: Any, unlabeled: Any) -> tuple[np.ndarray, np.ndarray]:
    """The classes, sorted, and the number of each row's class, `UNKNOWN` where it has none.

    Args:
        X: the rows, for their number.
        y: the labels, of shape (n_samples,): numbers, strings or booleans.
        unlabeled: the value that stands for no label; None where every value is a class.

    Raises:
        TypeError: if y holds dates, or labels of several kinds, or `unlabeled` is several values.
        ValueError: if y is not 1-d, of another length than X, holds NaN or continuous values, or names fewer than two
            classes.
    """
    if np.ndim(unlabeled):
        raise TypeError(f"`unlabeled` must be one value; got {shown(unlabeled)}.")
    labels = column_or_1d(y, warn=True)
    check_consistent_length(X, labels)
    missing = is_unlabeled(labels, unlabeled)
    known = labels[~missing]
    if not len(known):
        raise ValueError(f"`y` must have labels; got {len(labels)} rows, all of them `unlabeled` ({shown(unlabeled)}).")
    if known.dtype.kind == "f" and not np.isfinite(known).all():
        # In scikit-learn's words, which its checks look for.
        raise ValueError(
            f"Input y contains {'NaN' if np.isnan(known).any() else 'infinity'}: `y` must hold classes. Give rows "
            "without a label a value of their own and name it by `unlabeled`."
        )
    if known.dtype.kind == "O" and any(map(is_missing, known)):
        row = int(np.flatnonzero(~missing)[[*map(is_missing, known)].index(True)])
        raise ValueError(
            f"`y` must hold classes; got a missing value at row {row}. Name such rows by `unlabeled`, float('nan') say."
        )
    if known.dtype.kind == "O" and not any(isinstance(label, str) for label in known):
        known = np.array(known.tolist())  # numbers or booleans that stood beside None
    if known.dtype.kind in "mM":
        raise TypeError(f"`y` must hold numbers, strings or booleans; got {known.dtype}.")
    try:
        classes, numbers = np.unique(known, return_inverse=True)
    except TypeError as error:
        raise TypeError(f"`y` must hold labels of one kind; got several ({error}).") from error
    check_classification_targets(known)
    if len(classes) < 2:
        raise ValueError(f"`y` must hold at least two classes; got one class, {_shown_label(classes[0])}.")
    encoded = np.full(len(labels), UNKNOWN)
    encoded[~missing] = numbers
    return classes, encoded


def known_labels(classes: np.ndarray, y: Any, n_rows: int, *, name: str) -> np.ndarray:
    """The numbers of labels whose classes are those of the training rows.

    Raises:
        TypeError: if the labels cannot be compared with the classes.
        ValueError: if there is another number of labels than of rows, or a class that was not trained on.
    """
    labels = column_or_1d(y)
    if len(labels) != n_rows:
        raise ValueError(f"`{name}` must have as many labels as rows, {n_rows}; got {len(labels)}.")
    try:
        places = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
    except TypeError as error:
        raise TypeError(f"`{name}` must hold labels of the kind that was trained on; got others ({error}).") from error
    wrong = classes[places] != labels
    if wrong.any():
        raise ValueError(
            f"`{name}` must hold classes of the training rows; got {_shown_label(labels[wrong][0])} "
            f"at row {int(wrong.argmax())}."
        )
    return places


def split_stratified(
    encoded: np.ndarray, classes: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows to train on, those without labels included, and of the labelled rows held out.

    Of every class the same share is held out, at least one row, and at least one stays.

    Raises:
        ValueError: if a class has one row only.
    """
    rng = np.random.default_rng([seed, 0])  # epochs count from 1
    held_out = []
    for number, own in enumerate(classes):
        members = rng.permutation(np.flatnonzero(encoded == number))
        if len(members) < 2:
            raise ValueError(
                "`early_stopping` must have at least 2 labelled rows of every class, one of them to hold out; got 1 of "
                f"class {_shown_label(own)}. Pass validation_data, or early_stopping=False."
            )
        held_out.append(members[: min(max(1, round(fraction * len(members))), len(members) - 1)])
    chosen = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(encoded)), chosen), chosen


def draw_evenly(labels: np.ndarray, n_drawn: int, seed: int) -> np.ndarray:
    """The places of some labels, the same number of each class as far as that goes, in the order of the draw.

    Args:
        labels: one kind of values, of shape (n_rows,).
        n_drawn: how many, from 0 to n_rows.
        seed: what is drawn depends on it alone.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    _, numbers = np.unique(labels[order], return_inverse=True)
    rounds = np.empty(len(order), int)  # how many of its class come before each
    for number in range(numbers.max(initial=-1) + 1):
        members = np.flatnonzero(numbers == number)
        rounds[members] = np.arange(len(members))
    return order[np.argsort(rounds, kind="stable")[:n_drawn]]


def is_unlabeled(labels: np.ndarray, unlabeled: Any) -> np.ndarray:
    """Which rows have no label: none of them where `unlabeled` is None, else those that hold it.

    NaN and pandas' missing value stand for each other and for None among the labels.
    """
    if unlabeled is None:
        return np.zeros(len(labels), bool)
    if is_missing(unlabeled):
        return np.array([*map(is_missing, labels.tolist())], bool)
    return np.array([not is_missing(label) and bool(label == unlabeled) for label in labels.tolist()], bool)


def is_missing(label: Any) -> bool:
    """Whether it is None, NaN or pandas' own missing value, none of which equals itself."""
    if label is None:
        return True
    same = label == label
    return not same if isinstance(same, bool | np.bool_) else True


def _shown_label(label: Any) -> str:
    return shown(label.item() if isinstance(label, np.generic) else label)
