"""Labels on the command line: which value stands for none, which few are kept, and how well they are met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Measured", "keep_few_labels", "measure", "read_unlabeled"]

_INT64 = 1 << 63


class Measured(NamedTuple):
    """How well a classifier does.

    Args:
        error_rate: share of the rows that are classified wrongly, in [0, 1].
        log_loss: mean cross-entropy in nats.
        n_rows: how many rows these are means over.
    """

    error_rate: float
    log_loss: float
    n_rows: int

    def __str__(self) -> str:
        return f"error {100 * self.error_rate:.2f} %, log-loss {self.log_loss:.4f}"


def read_unlabeled(text: str | None, labels: np.ndarray) -> Any:
    """What was typed for "no label", of the type of the labels.

    Raises:
        ValueError: if it is no number and the labels are, no number that they could be, or if they are booleans.
    """
    if text is None or labels.dtype.kind == "U":
        return text
    if labels.dtype.kind == "b":
        raise ValueError(f"`--unlabeled` must not be given for labels that are True or False; got {text!r}.")
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if isinstance(number, int) and not -_INT64 <= number < _INT64:
            raise ValueError(f"`--unlabeled` must be a number of at most 64 bits; got {text!r}.")
        return number
    raise ValueError(f"`--unlabeled` must be a number, as the labels are; got {text!r}.")


def keep_few_labels(labels: np.ndarray, unlabeled: Any, n_labels: int, seed: int) -> tuple[np.ndarray, Any]:
    """Labels of which all but some are taken away, the same number of each class as far as that goes.

    Args:
        labels: of shape (n_rows,).
        unlabeled: what stands for no label, or None where every row has one.
        n_labels: how many labels stay, from the number of classes to that of labelled rows.
        seed: what is drawn depends on it alone.

    Returns:
        The labels, and what stands for no label among them. Booleans become 0 and 1.

    Raises:
        ValueError: if `n_labels` is out of its range, or a label has no place among signed numbers.
    """
    import numpy as np

    from ..estimators import draw_evenly, is_unlabeled

    known = np.flatnonzero(~is_unlabeled(labels, unlabeled))
    classes = np.unique(labels[known])
    if n_labels < len(classes):
        raise ValueError(f"`--n-labels` must be at least the number of classes, {len(classes)}; got {n_labels}.")
    if n_labels > len(known):
        raise ValueError(f"`--n-labels` must be at most the number of labelled rows, {len(known)}; got {n_labels}.")
    kept = np.zeros(len(labels), bool)
    kept[known[draw_evenly(labels[known], n_labels, seed)]] = True
    if unlabeled is None:
        unlabeled = _unused_value(classes)
    if labels.dtype.kind == "u" and labels.max() >= _INT64:
        raise ValueError(f"the labels must be below 2^63 for `--n-labels`; got {labels.max()}.")
    wide = labels.astype(np.int64) if labels.dtype.kind in "bui" else labels  # so that -1 has a place
    return np.where(kept, wide, unlabeled), unlabeled


def measure(estimator: Any, rows: Any, labels: np.ndarray, *, name: str) -> Measured:
    """How well a fitted classifier does on the rows that have a label.

    Args:
        estimator: the classifier.
        rows: of shape (n_rows, n_features).
        labels: one a row.
        name: what the messages call the data.

    Raises:
        TypeError: if the rows do not hold numbers.
        ValueError: if no row has a label, a class is not one of the classifier's, or the rows do not fit it.
    """
    import numpy as np

    from ..estimators import is_unlabeled, known_labels

    known = ~is_unlabeled(labels, estimator.unlabeled)
    if not known.any():
        raise ValueError(f"{name!r} must have rows with a label; got {len(labels)} without.")
    if not known.all():
        rows, labels = rows[known], labels[known]
    numbers = known_labels(estimator.classes_, labels, len(rows), name=name)
    scores = estimator.predict_log_proba(rows)
    wrong = scores.argmax(axis=1) != numbers
    return Measured(float(wrong.mean()), float(-scores[np.arange(len(scores)), numbers].mean()), len(scores))


def _unused_value(classes: np.ndarray) -> Any:
    """-1, or a text, or what comes after it, that is no class."""
    taken = set(classes.tolist())
    if classes.dtype.kind == "U":
        text = ""
        while text in taken:
            text += "-"
        return text
    number = -1
    while number in taken:
        number -= 1
    return number
