"""ICML 2012, sampling: the Parzen log-likelihood of MNIST's test rows under samples of a stack of CAEs."""

from .icml2011_table1 import CAE
from .rows import Number, Row, Table
from .sampling import sample

WALK = {"n_chains": 100, "burn_in": 100, "n_steps": 1000, "thinning": 10, "std": 1.0}  # 10,000 samples
STDS = [k / 100 for k in range(8, 41, 2)]


def _row(depth: int, published: float | None) -> Row:
    settings = {"layers": [CAE] * depth, "walk": WALK, "parzen_stds": STDS}
    numbers = (Number("Parzen log-likelihood, nats", "test.log_likelihood", published, ".1f"),)
    return Row(f"cae{depth}", f"CAE-{depth}", "mnist", sample, settings, numbers)


TABLE = Table(
    "icml2012-sampling",
    "Rifai et al., A Generative Process for Sampling Contractive Auto-Encoders, ICML 2012",
    (_row(1, None), _row(2, 121.0)),
    "10,000 samples of 100 walks that begin at training rows; pixels are k/255; the width of the Parzen windows is the "
    "one with the highest log-likelihood of the validation rows. Higher is better here: a gap above 0 beats the paper, "
    "whose 121 is ± 1.6.",
)
