"""The classic tutorial's graph on Theano 1.0.5, with true division in the penalty.

The tutorial divides the penalty by the batch size with `//`, whose gradient is zero: it
trains a plain auto-encoder, and Theano skips the penalty's backward pass. Here it is `/`, so
that the graph does the whole job; `theano_as_published.py` has the other.
"""

from __future__ import annotations

import inspect
import operator
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from protocol import (
    N_FEATURES,
    N_HIDDEN,
    Contender,
    Totals,
    initial_weight,
    main,
)


def _getargspec(function: Any) -> Any:
    """`inspect.getargspec`, which Theano calls and Python 3.11 removed."""
    return inspect.getfullargspec(function)[:4]


inspect.getargspec = _getargspec  # type: ignore[attr-defined]
os.environ["THEANO_FLAGS"] = ",".join(
    [
        "device=cpu",
        "floatX=float32",
        "blas.ldflags=-lopenblas",
        f"base_compiledir={Path(sys.prefix) / 'theano-compiledir'}",
    ]
)

import theano  # noqa: E402
import theano.tensor as T  # noqa: E402


class TheanoTutorial(Contender):
    """Shared data, `givens` by index, `T.grad`, `updates`: one call a minibatch."""

    _divide: Callable[[Any, Any], Any] = staticmethod(operator.truediv)

    def prepare(self) -> dict[str, str]:
        _require_native_code()
        self._data = theano.shared(self.data, borrow=True)
        self._weight = theano.shared(initial_weight(), name="W", borrow=True)
        self._hidden_bias = theano.shared(np.zeros(N_HIDDEN, np.float32), name="b")
        self._visible_bias = theano.shared(np.zeros(N_FEATURES, np.float32), name="b'")
        self._train = self._compile()
        _require_blas(self._train)
        return {"theano": theano.__version__, "numpy": np.__version__, "c++": theano.config.cxx}

    def _compile(self) -> Any:
        x, index, n = T.matrix("x"), T.lscalar("index"), self.batch_size
        h = T.nnet.sigmoid(T.dot(x, self._weight) + self._hidden_bias)
        z = T.nnet.sigmoid(T.dot(h, self._weight.T) + self._visible_bias)
        jacobian = T.reshape(h * (1 - h), (n, 1, N_HIDDEN)) * T.reshape(self._weight, (1, N_FEATURES, N_HIDDEN))
        reconstruction_error = T.mean(-T.sum(x * T.log(z) + (1 - x) * T.log(1 - z), axis=1))
        jacobian_frobenius_sq = self._divide(T.sum(jacobian**2), n)
        # The constant keeps its type: a Python float times float32 stays float32 in Theano.
        cost = reconstruction_error + np.float32(self.contraction) * jacobian_frobenius_sq
        parameters = [self._weight, self._hidden_bias, self._visible_bias]
        gradients = T.grad(cost, parameters)
        rate = np.float32(self.learning_rate)
        return theano.function(
            [index],
            [reconstruction_error, jacobian_frobenius_sq],
            updates=[(p, p - rate * g) for p, g in zip(parameters, gradients, strict=True)],
            givens={x: self._data[index * n : (index + 1) * n]},
        )

    def reset(self) -> None:
        self._weight.set_value(initial_weight())
        self._hidden_bias.set_value(np.zeros(N_HIDDEN, np.float32))
        self._visible_bias.set_value(np.zeros(N_FEATURES, np.float32))

    def run_span(self, start: int, stop: int) -> Totals:
        results = [self._train(index) for index in range(start, stop)]
        reconstruction_error, jacobian_frobenius_sq = np.sum(results, axis=0, dtype=np.float64)
        return float(reconstruction_error), float(jacobian_frobenius_sq)

    def weight(self) -> np.ndarray:
        return self._weight.get_value()


def _require_native_code() -> None:
    """Without a compiler Theano warns and goes on in Python: no opponent at all."""
    if not theano.config.cxx:
        raise RuntimeError("Theano found no C++ compiler: apt-get install g++")
    if "openblas" not in theano.config.blas.ldflags:
        raise RuntimeError(f"Theano must link OpenBLAS; got {theano.config.blas.ldflags!r}.")


def _require_blas(function: Any) -> None:
    """Every matrix product of the graph must have become a BLAS call in C."""
    names = [type(node.op).__name__ for node in function.maker.fgraph.toposort()]
    if "Dot" in names or sum(name in ("Dot22", "Gemm", "Dot22Scalar") for name in names) < 5:
        raise RuntimeError(f"Theano's graph must use BLAS for its products; got {names}.")


if __name__ == "__main__":
    main(TheanoTutorial)
