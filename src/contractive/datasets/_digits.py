"""The small digits that scikit-learn carries: for examples, tests and first tries."""

import numpy as np

__all__ = ["load_digits"]

_LARGEST_PIXEL = 16


def load_digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels, in its order.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))` of 1,297, 250 and 250 rows:
        x of shape (n, 64), float32 in [0, 1] (pixels k/16); y of shape (n,), int64, the digit.

    Example:
        >>> (x_train, y_train), _, _ = load_digits()
        >>> x_train.shape, float(x_train.max()), int(y_train[0])
        ((1297, 64), 1.0, 0)

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.
    """
    from sklearn.datasets import load_digits as load

    data, target = load(return_X_y=True)
    x = (np.asarray(data) / _LARGEST_PIXEL).astype(np.float32)
    y = np.asarray(target, np.int64)
    return (x[:1297], y[:1297]), (x[1297:1547], y[1297:1547]), (x[1547:], y[1547:])
