"""scikit-learn's `BernoulliRBM`, another way to features of the same size from the same minibatches.

Otherwise than in the tutorial: no auto-encoder and no penalty, but persistent contrastive divergence, whose samples
make a step random.
"""

from __future__ import annotations

import numpy as np
import sklearn
from protocol import N_HIDDEN, Contender, Totals, main
from sklearn.neural_network import BernoulliRBM


class SklearnRbm(Contender):
    """`partial_fit`, a call a minibatch."""

    def prepare(self) -> dict[str, str]:
        self.reset()
        return {"scikit-learn": sklearn.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        self._rbm = BernoulliRBM(
            n_components=N_HIDDEN, learning_rate=self.learning_rate, batch_size=self.batch_size, random_state=0
        )

    def run_span(self, start: int, stop: int) -> Totals:
        n = self.batch_size
        for index in range(start, stop):
            self._rbm.partial_fit(self.data[index * n : (index + 1) * n])
        return 0.0, 0.0

    def weight(self) -> np.ndarray:
        return self._rbm.components_.T


if __name__ == "__main__":
    main(SklearnRbm)
