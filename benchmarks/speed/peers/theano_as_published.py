"""The tutorial's graph on Theano 1.0.5 as published: `//` in the penalty, so no gradient of it.

The harder opponent of the two, for it does less: the Jacobian is computed for the printed
number alone. Its weights are those of contraction 0.
"""

from __future__ import annotations

import operator

from protocol import main
from theano_tutorial import TheanoTutorial


class TheanoAsPublished(TheanoTutorial):
    """Rounds each minibatch's mean ||J||_F^2 down to a whole number."""

    _divide = staticmethod(operator.floordiv)


if __name__ == "__main__":
    main(TheanoAsPublished)
