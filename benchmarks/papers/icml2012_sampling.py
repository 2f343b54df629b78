"""ICML 2012, sampling: the Parzen log-likelihood of MNIST's test rows under samples of a stack of CAEs."""

from .icml2011_table1 import CAE
from .rows import Number, Row, Table
from .sampling import draw_training_rows, sample

# As few samples of a walk as can be: those of one walk are alike, and windows around them leave the rest uncovered.
WALK = {"n_chains": 10_000, "burn_in": 99, "n_steps": 1, "thinning": 1, "std": 0.3}
STDS = [k / 100 for k in range(8, 41, 2)]


def _row(depth: int, published: float | None) -> Row:
    settings = {"layers": [CAE] * depth, "walk": WALK, "parzen_stds": STDS}
    return Row(f"cae{depth}", f"CAE-{depth}", "mnist", sample, settings, _log_likelihood(published))


def _log_likelihood(published: float | None) -> tuple[Number, ...]:
    return (Number("Parzen log-likelihood, nats", "test.log_likelihood", published, ".1f"),)


TRAINING_ROWS = Row(
    "training-rows",
    "10,000 training rows, no model",
    "mnist",
    draw_training_rows,
    {"n_samples": 10_000, "parzen_stds": STDS},
    _log_likelihood(None),
)


TABLE = Table(
    "icml2012-sampling",
    "Rifai et al., A Generative Process for Sampling Contractive Auto-Encoders, ICML 2012",
    (_row(1, None), _row(2, 121.0), TRAINING_ROWS),
    "10,000 samples: the hundredth steps of as many walks that begin at training rows, without their labels; pixels "
    "are k/255; the width of the Parzen windows is the one with the highest log-likelihood of the validation rows. "
    "Higher is better here: a gap above 0 beats the paper, whose 121 is ± 1.6. The number rewards what stays near "
    "training rows: see how high these are themselves. So the length of the walks is set by hand, and not chosen by "
    "the search, whose lines show that shorter walks score higher.",
)
