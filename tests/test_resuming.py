"""A training that was stopped anywhere and goes on leaves the bits of one that was never stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
from contractive.estimators import Snapshot, load_checkpoint, snapshot
from contractive.serialization import write_checkpoint
from contractive.training import EpochRecord, Progress
from test_training import one_minibatch_a_chunk
from toys import ArrayRows, X, assert_same_training, small

PIXELS = (X[:90] * 255).astype(np.uint8)
JOBS: dict[str, Callable[[], Any]] = {
    "adam": lambda: small(batch_size=16, max_epochs=3),
    "kernel": lambda: small(batch_size=16, optimizer="sgd", engine="native"),
    "random": lambda: small(batch_size=32, penalty="hutchinson", hessian_weight=0.1, optimizer="momentum"),
    "denoising": lambda: small(DenoisingAutoencoder, batch_size=32, corruption="salt_and_pepper"),
    "early stopping": lambda: small(batch_size=32, early_stopping=True, max_epochs=6, n_iter_no_change=1, tol=0.4),
    "deep": lambda: small(batch_size=32, hidden_layer_sizes=(9,)),
    "double": lambda: small(batch_size=32),
    "stack": lambda: StackedAutoencoder(
        [small(batch_size=32), small(n_components=4, batch_size=45, early_stopping=True)],
        joint_epochs=2,
        batch_size=45,
        random_state=0,
    ),
    "drawn seeds": lambda: StackedAutoencoder(
        [ContractiveAutoencoder(5, max_epochs=2, batch_size=45), ContractiveAutoencoder(3, max_epochs=2)],
        random_state=np.random.RandomState(4),
    ),
}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch, quickly_compiled: Any) -> None:
    one_minibatch_a_chunk(monkeypatch)


def snapshots(job: Any, data: Any, folder: Path, **fit: Any) -> tuple[Any, list[Path]]:
    """A whole training, and a checkpoint of each of its events, written when all is over, as another thread might."""
    taken: list[Snapshot] = []

    def keep(estimator: Any, event: Progress | EpochRecord) -> None:
        taken.append(snapshot(estimator))

    whole = job.set_params(callbacks=[keep]).fit(data, **fit)
    paths = [folder / f"{number}.safetensors" for number in range(len(taken))]
    for path, one in zip(paths, taken, strict=True):
        write_checkpoint(path, *one)
    return whole, paths


@pytest.mark.parametrize("name", JOBS)
def test_bits_are_those_of_a_training_that_was_never_stopped(name: str, tmp_path: Path):
    data = X[:90] if name == "double" else PIXELS
    whole, paths = snapshots(JOBS[name](), data, tmp_path)
    assert len(paths) > 5
    for path in paths[:: 1 if len(paths) < 10 else 2]:
        again = load_checkpoint(path)
        events: list[Any] = []
        again.set_params(callbacks=[lambda estimator, event, seen=events: seen.append(event)]).fit(data)
        assert_same_training(again, whole)
        assert len(events) == len(paths) - 1 - paths.index(path)
        assert vars(again).keys() - {"callbacks"} == vars(whole).keys() - {"callbacks"}


@pytest.mark.parametrize("ahead", [1, 3])
def test_rows_that_are_read_go_on_in_the_middle_of_a_window(ahead: int, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr("contractive.training._stream._WINDOW_BYTES", 43 * 64)  # five of twelve minibatches
    monkeypatch.setattr("contractive.training._stream._BLOCK_BYTES", 4 * 64)
    rows = ArrayRows(PIXELS)
    whole, paths = snapshots(small(batch_size=8, penalty="hutchinson"), rows, tmp_path)
    for path in [*paths[::4], paths[11]]:  # the last of these is of an epoch whose minibatches are all done
        rows.read_ahead = ahead
        assert_same_training(load_checkpoint(path).fit(rows), whole)


def test_sample_weights_are_given_again(tmp_path: Path):
    weights = np.linspace(0, 2, len(PIXELS))
    whole, paths = snapshots(small(batch_size=32), PIXELS, tmp_path, sample_weight=weights)
    assert_same_training(load_checkpoint(paths[2]).fit(PIXELS, sample_weight=weights), whole)


def test_warm_start_counts_its_own_epochs(tmp_path: Path):
    model = small(batch_size=45, warm_start=True).fit(PIXELS)
    whole, paths = snapshots(model, PIXELS, tmp_path)
    again = load_checkpoint(paths[1]).fit(PIXELS)
    assert_same_training(again, whole)
    assert again.n_epochs_ == 4


def test_more_epochs_can_be_asked_for(tmp_path: Path):
    _, paths = snapshots(small(batch_size=45), PIXELS, tmp_path)
    longer = load_checkpoint(paths[-1]).set_params(max_epochs=5).fit(PIXELS)
    assert_same_training(longer, small(batch_size=45, max_epochs=5).fit(PIXELS))


def test_other_rows_or_another_optimizer_are_refused(tmp_path: Path):
    _, paths = snapshots(small(batch_size=45), PIXELS, tmp_path)
    with pytest.raises(ValueError, match="`X` must have the 90 rows that training began with; got 80"):
        load_checkpoint(paths[1]).fit(PIXELS[:80])
    with pytest.raises(ValueError, match="`optimizer` must be the one that training began with; got another"):
        load_checkpoint(paths[1]).set_params(optimizer="sgd").fit(PIXELS)


def test_snapshot_is_for_callbacks():
    for model in (small(), small().fit(PIXELS)):
        with pytest.raises(RuntimeError, match="while `fit` calls the estimator's callbacks"):
            snapshot(model)


def test_partial_fit_does_not_go_on_with_a_training(tmp_path: Path):
    _, paths = snapshots(small(batch_size=45), PIXELS, tmp_path)
    model = load_checkpoint(paths[1])
    before = model.n_epochs_
    assert model.partial_fit(PIXELS).n_epochs_ == before + 1
