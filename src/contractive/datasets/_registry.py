"""What the package knows of each data set, by the name that the command line takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from ._cifar import load_cifar_bw
from ._convex import load_convex
from ._covertype import load_covertype
from ._digits import load_digits
from ._fashion import load_fashion_mnist
from ._mnist import load_mnist
from ._rectangles import load_rectangles
from ._splits import Splits
from ._variations import VARIATIONS, load_mnist_variation

__all__ = ["DATASETS", "DatasetInfo"]


@dataclass(frozen=True)
class DatasetInfo:
    """One data set: how it is called, what it holds, how it is loaded.

    Args:
        name: the name that `contractive train` takes.
        summary: one line for a person.
        image_shape: height and width of one picture in pixels; None for a table.
        load: () -> three (rows, labels) pairs, the rows as they are stored.
        origin: "bundled" with an installed package, "regenerated" from a seed, or "fetched" over HTTPS.
    """

    name: str
    summary: str
    image_shape: tuple[int, int] | None
    load: Callable[[], Splits]
    origin: str = "bundled"

    @property
    def title(self) -> str:
        """What stands beside a number: the name, and that the rows are not the published ones where they are not.

        Example:
            >>> DATASETS["mnist"].title, DATASETS["mnist_rot"].title
            ('mnist', 'mnist_rot (regenerated)')
        """
        return f"{self.name} (regenerated)" if self.origin == "regenerated" else self.name


def _regenerated(name: str, words: str, sizes: str, load: Callable[[], Splits]) -> DatasetInfo:
    extra = "; needs contractive[data]" if "photographs" in words else ""
    summary = f"{words} (regenerated), 28 x 28 grey: {sizes}{extra}"
    return DatasetInfo(name, summary, (28, 28), load, "regenerated")


DATASETS = MappingProxyType(
    {
        info.name: info
        for info in (
            DatasetInfo("mnist", "70,000 handwritten digits, 28 x 28 grey: 50,000/10,000/10,000", (28, 28), load_mnist),
            DatasetInfo("digits", "1,797 handwritten digits, 8 x 8 grey: 1,297/250/250", (8, 8), load_digits),
            *(
                _regenerated(
                    name, f"62,000 MNIST digits {words}", "10,000/2,000/50,000", partial(load_mnist_variation, name)
                )
                for name, words in VARIATIONS.items()
            ),
            _regenerated("rect", "51,200 rectangles, wide or tall", "1,000/200/50,000", load_rectangles),
            _regenerated(
                "rect_img",
                "62,000 rectangles of photographs, wide or tall",
                "10,000/2,000/50,000",
                partial(load_rectangles, images=True),
            ),
            _regenerated("convex", "58,000 white regions, convex or not", "6,500/1,500/50,000", load_convex),
            DatasetInfo(
                "fashion_mnist",
                "70,000 clothes, 28 x 28 grey: 50,000/10,000/10,000; from Debian's package or fetched (31 MB)",
                (28, 28),
                load_fashion_mnist,
                "fetched",
            ),
            DatasetInfo(
                "cifar_bw",
                "60,000 photographs of CIFAR-10, 32 x 32 grey: 40,000/10,000/10,000; fetched (170 MB)",
                (32, 32),
                load_cifar_bw,
                "fetched",
            ),
            DatasetInfo(
                "covertype",
                "581,012 cells of forest, a table of 54 columns: 11,340/3,780/565,892; fetched (11 MB)",
                None,
                load_covertype,
                "fetched",
            ),
        )
    }
)
"""Every data set by name."""
