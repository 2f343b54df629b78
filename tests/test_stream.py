"""Training on rows that are read window by window: the same bits as in memory, in an order that is known."""

import threading
import time
import weakref
from collections.abc import Callable
from threading import Barrier, Event
from typing import Any

import jax
import numpy as np
import pytest

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
from contractive.estimators._streams import EncodedRows, held_out_blocks
from contractive.sources import ReadAhead, RowReader, aligned_empty
from contractive.training import Trained, _feeds, resolve_optimizer, stream_order, train
from contractive.training._engines import JaxEngine
from contractive.training._step import on_device
from contractive.training._stream import window_rows
from test_training import CONTRACTIVE, RANDOM, bits, one_minibatch_a_chunk, start
from toys import ArrayRows, X, assert_same_training, small
from toys import bits as bits_of

N_ROWS, WIDTH, BATCH = 107, 6, 5
ROWS = np.random.RandomState(0).uniform(size=(N_ROWS, WIDTH)).astype(np.float32)
WINDOW = 20  # rows: what holds four minibatches


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contractive.training._stream._WINDOW_BYTES", 23 * WIDTH * 4)  # not whole minibatches
    monkeypatch.setattr("contractive.training._stream._BLOCK_BYTES", 3 * WIDTH * 4)


def fit(rows: Any, **options: Any) -> Trained:
    settings: dict[str, Any] = {"batch_size": BATCH, "max_epochs": 2, "seed": 3} | options
    objective = settings.pop("objective", CONTRACTIVE)
    return train(start(), objective, rows, resolve_optimizer("sgd", 0.1), **settings)


def row_order(rows: RowReader, epoch: int, *, shuffle: bool = True, seed: int = 3) -> np.ndarray:
    """Row numbers of an epoch in the order in which they are trained on."""
    return np.concatenate([numbers for numbers in minibatches(rows, epoch, shuffle=shuffle, seed=seed)])


def minibatches(
    rows: RowReader, epoch: int, *, shuffle: bool = True, seed: int = 3, slots: tuple[int, int] = (0, BATCH)
) -> list[np.ndarray]:
    """Row numbers of each minibatch of an epoch, or of what some slots of it hold."""
    found = []
    for window in stream_order(rows, BATCH, shuffle=shuffle, seed=seed, epoch=epoch, slots=slots):
        read = np.concatenate([np.arange(*pair) for pair in window.ranges])
        for number, places in enumerate(window.places):
            n_rows = min(BATCH, window.n_rows - number * BATCH)
            found.append(read[places[: max(0, n_rows - slots[0])]])
    return found


@pytest.mark.parametrize("bounds", [None, [0, 50, 51, 107], [0, 107]])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_is_trained_on_once_an_epoch(bounds: list[int] | None, shuffle: bool):
    rows = ArrayRows(ROWS, bounds)
    for epoch in (1, 2):
        order = row_order(rows, epoch, shuffle=shuffle)
        assert sorted(order) == list(range(N_ROWS))
        assert (list(order) == list(range(N_ROWS))) == (not shuffle)
    assert rows.reads == []


def test_order_is_a_function_of_seed_and_epoch():
    orders = {
        (seed, epoch): row_order(ArrayRows(ROWS), epoch, seed=seed).tolist() for seed in (0, 1) for epoch in (1, 2)
    }
    assert orders[0, 1] == row_order(ArrayRows(ROWS), 1, seed=0).tolist()
    assert len({str(order) for order in orders.values()}) == 4


def test_windows_hold_whole_minibatches_and_rows_of_random_blocks():
    windows = list(stream_order(ArrayRows(ROWS), BATCH, shuffle=True, seed=0, epoch=1))
    assert [window.n_rows for window in windows] == [WINDOW] * 5 + [7]
    ranges = np.concatenate([window.ranges for window in windows])
    whole = ranges[ranges[:, 1] - ranges[:, 0] == 3]
    assert (whole[:, 0] % 3 == 0).all()  # blocks of three neighbours, ...
    assert len(whole) > 25  # ... few of them cut by the end of a window
    places = windows[0].ranges[:, 0]
    assert places.max() - places.min() > N_ROWS / 2  # of places all over the file


def test_a_row_stands_anywhere_as_often():
    places = np.array([np.argsort(row_order(ArrayRows(ROWS), epoch)) for epoch in range(1, 301)])  # (epochs, rows)
    # Of a uniform place the mean is 53 with a standard error of 1.8, the standard deviation 30.9.
    assert np.abs(places.mean(axis=0) - 53).max() < 5 * 1.8
    assert np.abs(places.std(axis=0) - 30.9).max() < 5


def test_windows_can_begin_late():
    whole = list(stream_order(ArrayRows(ROWS), BATCH, shuffle=True, seed=0, epoch=1))
    late = list(stream_order(ArrayRows(ROWS), BATCH, shuffle=True, seed=0, epoch=1, first=3))
    assert [window.places.tolist() for window in late] == [window.places.tolist() for window in whole[3:]]
    assert [window.ranges.tolist() for window in late] == [window.ranges.tolist() for window in whole[3:]]


def test_minibatch_holds_rows_from_all_over_its_window():
    in_file_order = ArrayRows(np.arange(60.0).reshape(60, 1), [0, 60])
    windows = stream_order(in_file_order, BATCH, shuffle=True, seed=0, epoch=1)
    for window in windows:
        n_minibatches = len(window.places)
        assert (window.places // n_minibatches == np.arange(BATCH)).all()  # a row of each fifth of the window
        assert (np.diff(window.places[:, 0].astype(int)) != 1).any()


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("cuts", [[0, 2, 5], [0, 1, 2, 3, 4, 5], [0, 4, 5]])
def test_slots_of_several_processes_make_up_the_minibatches_of_one(shuffle: bool, cuts: list[int]):
    rows = ArrayRows(ROWS)
    whole = minibatches(rows, 1, shuffle=shuffle)
    parts = [minibatches(rows, 1, shuffle=shuffle, slots=(cuts[i], cuts[i + 1])) for i in range(len(cuts) - 1)]
    for number, expected in enumerate(whole):
        assert np.concatenate([part[number] for part in parts]).tolist() == expected.tolist()
    read = [
        [
            tuple(pair)
            for window in stream_order(rows, BATCH, shuffle=shuffle, seed=3, epoch=1, slots=slots)
            for pair in window.ranges
        ]
        for slots in zip(cuts[:-1], cuts[1:], strict=True)
    ]
    numbers = [number for own in read for pair in own for number in range(*pair)]
    assert sorted(numbers) == list(range(N_ROWS))  # nobody reads what another one trains on


def test_window_holds_a_minibatch_at_least_and_all_rows_at_most():
    assert window_rows(10**9, 10**6, 64) == 64
    assert window_rows(11, 24, 5) == 15
    assert window_rows(10**6, 24, 5) == WINDOW


@pytest.mark.parametrize("engine", ["jax", "native"])
def test_rows_in_their_own_order_leave_the_bits_of_rows_in_memory(engine: str):
    in_memory = fit(ROWS, shuffle=False, engine=engine)
    streamed = fit(ArrayRows(ROWS), shuffle=False, engine=engine)
    assert streamed.engine == engine
    assert bits(streamed.model) == bits(in_memory.model)
    assert [record[:3] for record in streamed.history] == [record[:3] for record in in_memory.history]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("objective", [CONTRACTIVE, pytest.param(RANDOM, marks=pytest.mark.slow)])
def test_shuffled_rows_leave_the_bits_of_rows_in_memory_in_that_order(objective: Any, weighted: bool):
    weights = np.random.RandomState(1).uniform(size=N_ROWS) if weighted else None
    order = row_order(ArrayRows(ROWS), 1)
    streamed = fit(ArrayRows(ROWS), objective=objective, max_epochs=1, engine="jax", sample_weight=weights)
    options = {"max_epochs": 1, "shuffle": False, "engine": "jax", "objective": objective}
    in_memory = fit(ROWS[order], sample_weight=None if weights is None else weights[order], **options)
    assert bits(streamed.model) == bits(in_memory.model)


@pytest.mark.parametrize("bad", [0, 50, N_ROWS - 1])
def test_rows_whose_cost_is_not_finite_are_named(bad: int):
    rows = np.where(np.arange(N_ROWS)[:, None] == bad, np.float32(np.nan), ROWS)
    (numbers,) = (numbers for numbers in minibatches(ArrayRows(rows), 1) if bad in numbers)
    with pytest.raises(FloatingPointError, match="not finite") as caught:
        fit(ArrayRows(rows), engine="jax")
    assert ", ".join(map(str, numbers)) in str(caught.value)


def test_bits_depend_neither_on_chunks_nor_on_reading_ahead(monkeypatch: pytest.MonkeyPatch):
    expected = bits(fit(ArrayRows(ROWS), objective=RANDOM).model)
    assert bits(fit(ArrayRows(ROWS), objective=RANDOM, read_ahead=4).model) == expected
    one_minibatch_a_chunk(monkeypatch)
    assert bits(fit(ArrayRows(ROWS), objective=RANDOM).model) == expected


def test_double_precision_reaches_the_windows():
    rows = ROWS.astype(np.float64)
    with jax.enable_x64(True):
        model = start(np.float64)
        streamed, in_memory = (
            train(
                model,
                CONTRACTIVE,
                data,
                resolve_optimizer("sgd", 0.1),
                batch_size=BATCH,
                max_epochs=1,
                shuffle=False,
                engine="jax",
                sample_weight=np.linspace(0.5, 1.5, N_ROWS),
            )
            for data in (ArrayRows(rows), rows)
        )
    assert bits(streamed.model) == bits(in_memory.model)


def assert_no_thread_is_left() -> None:
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("contractive-read")] == []


def n_read(rows: ArrayRows) -> int:
    return sum(stop - start for start, stop in rows.reads)


def wait_until_read(rows: ArrayRows, count: int) -> None:
    deadline = time.monotonic() + 30
    while n_read(rows) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_cannot_be_read_ends_training_and_the_thread():
    rows = ArrayRows(ROWS)
    rows.unreadable = 100
    with pytest.raises(OSError, match="Input/output"):
        fit(rows, shuffle=False)
    assert_no_thread_is_left()


@pytest.mark.parametrize("max_epochs", [1, 3])
def test_next_epoch_is_read_ahead_and_nothing_beyond_the_last(max_epochs: int):
    rows, left = ArrayRows(ROWS), max_epochs

    def on_epoch(trained: Trained) -> None:
        nonlocal left
        left -= 1
        wait_until_read(rows, (max_epochs - left) * N_ROWS + (2 * WINDOW if left else 0))

    fit(rows, max_epochs=max_epochs, read_ahead=2, on_epoch=on_epoch)
    assert n_read(rows) == max_epochs * N_ROWS
    assert_no_thread_is_left()


def test_what_cannot_be_read_of_the_next_epoch_lets_this_one_end():
    class Failing(ArrayRows):
        def read(self, start: int, stop: int) -> np.ndarray:
            self.unreadable = start if n_read(self) >= N_ROWS else -1
            return super().read(start, stop)

    rows, epochs = Failing(ROWS), []

    def on_chunk(progress: Any) -> None:
        if progress.rows == N_ROWS:
            wait_until_read(rows, N_ROWS + 1)

    with pytest.raises(OSError, match="Input/output"):
        fit(rows, on_chunk=on_chunk, on_epoch=lambda trained: epochs.append(trained.history[-1].epoch))
    assert epochs == [1]
    assert_no_thread_is_left()


def end(event: Any) -> bool:
    return True


def interrupt(event: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["on_chunk", "on_epoch"])
@pytest.mark.parametrize("how", [end, interrupt])
def test_training_that_is_ended_leaves_no_thread(how: Callable[[Any], Any], when: str):
    rows = ArrayRows(ROWS)
    try:
        fit(rows, max_epochs=10**6, read_ahead=2, **{when: how})
    except KeyboardInterrupt:
        assert how is interrupt
    assert_no_thread_is_left()
    assert n_read(rows) <= N_ROWS + 2 * WINDOW


def test_no_more_windows_are_held_than_one_and_those_ahead(monkeypatch: pytest.MonkeyPatch):
    load, loaded = JaxEngine.load, list[weakref.ref[Any]]()

    def remembered(self: JaxEngine, rows: np.ndarray, weights: np.ndarray | None) -> Any:
        found = load(self, rows, weights)
        loaded.append(weakref.ref(found[0]))
        return found

    def held() -> int:
        return sum(reference() is not None for reference in loaded)

    monkeypatch.setattr(JaxEngine, "load", remembered)
    one_minibatch_a_chunk(monkeypatch)
    seen: dict[str, set[int]] = {"chunk": set(), "epoch": set()}
    fit(
        ArrayRows(ROWS),
        max_epochs=3,
        engine="jax",
        on_chunk=lambda progress: seen["chunk"].add(held()),
        on_epoch=lambda trained: seen["epoch"].add(held()),
    )
    assert max(seen["chunk"]) == 2
    assert max(seen["epoch"]) <= 1  # that of the next epoch


def test_large_blocks_are_copied_piece_by_piece(monkeypatch: pytest.MonkeyPatch):
    reads: list[tuple[int, int]] = []

    class Grouped(ArrayRows):
        def read(self, start: int, stop: int) -> np.ndarray:
            reads.append((start, stop))
            return super().read(start, stop)

        def block_bounds(self, n_rows: int) -> np.ndarray:
            return np.array([0, N_ROWS // 2, N_ROWS])

    whole = fit(Grouped(ROWS))
    assert max(stop - start for start, stop in reads) > 3
    reads.clear()
    monkeypatch.setattr(_feeds, "_PIECE_BYTES", 3 * Grouped(ROWS).row_bytes + 1)
    pieces = fit(Grouped(ROWS))
    assert max(stop - start for start, stop in reads) == 3
    assert bits(pieces.model) == bits(whole.model)


@pytest.mark.parametrize("read_ahead", [1, 3])
def test_windows_go_through_the_same_memory(monkeypatch: pytest.MonkeyPatch, read_ahead: int):
    load, places = JaxEngine.load, list[int]()

    def remembered(self: JaxEngine, rows: np.ndarray, weights: np.ndarray | None) -> Any:
        places.append(rows.ctypes.data)
        return load(self, rows, weights)

    monkeypatch.setattr(JaxEngine, "load", remembered)
    streamed = fit(ArrayRows(ROWS), max_epochs=5, engine="jax", read_ahead=read_ahead)
    assert len(places) == 5 * -(-N_ROWS // WINDOW) > read_ahead + 1
    assert len(set(places)) <= read_ahead + 1
    assert bits(streamed.model) == bits(fit(ArrayRows(ROWS), max_epochs=5, engine="jax", read_ahead=9).model)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("of_weights", [False, True])
def test_rows_that_are_aligned_are_not_copied(dtype: type, of_weights: bool):
    if jax.default_backend() != "cpu":
        pytest.skip("other devices have memory of their own")
    own = np.dtype(np.float64 if dtype is np.float64 else np.float32)
    rows, weights = aligned_empty((64, 8), np.dtype(dtype)), aligned_empty((64,), own)
    rows[:], weights[:] = 3, 1
    loaded = on_device(rows, weights, own)[of_weights]
    assert loaded.unsafe_buffer_pointer() == (weights if of_weights else rows).ctypes.data
    assert loaded.dtype == (own if of_weights else dtype)


def test_no_more_is_read_ahead_than_is_asked_for():
    asked: list[int] = []
    ahead = ReadAhead(lambda item: asked.append(item) or item, iter(range(10)), 2)
    try:
        assert [ahead.next() for _ in range(3)] == [0, 1, 2]
        ahead._waiting[-1].result()
        assert asked == [0, 1, 2, 3, 4]
    finally:
        ahead.close()


def digits_reader() -> ArrayRows:
    return ArrayRows((X * 255).astype(np.uint8))


@pytest.mark.usefixtures("quickly_compiled")
def test_results_of_several_threads_come_in_the_order_of_the_items():
    both, said = Barrier(2), Event()

    def work(item: int) -> int:
        if item < 2:
            both.wait(10)  # which is passed by two at a time only
        if item == 0:
            said.wait(10)
        else:
            said.set()
        return item

    ahead = ReadAhead(work, iter(range(6)), 3, threads=2)
    assert [ahead.next() for _ in range(6)] == [*range(6)]
    ahead.close()


def test_estimators_fit_and_transform_readers_as_arrays():
    rows = digits_reader()
    streamed, in_memory = (small(shuffle=False).fit(data) for data in (rows, rows.array))
    assert_same_training(streamed, in_memory)
    for name in ("transform", "reconstruct", "score_samples", "contraction_norm"):
        assert np.array_equal(getattr(streamed, name)(rows), getattr(in_memory, name)(rows.array))


@pytest.mark.usefixtures("quickly_compiled")
def test_layers_of_a_stack_train_on_codes_made_as_rows_are_read():
    rows = digits_reader()
    layers = [small(shuffle=False, max_epochs=1), small(shuffle=False, n_components=3, max_epochs=1)]
    streamed, in_memory = (
        StackedAutoencoder(layers, joint_epochs=1, shuffle=False, random_state=0).fit(data)
        for data in (rows, rows.array)
    )
    assert_same_training(streamed, in_memory)


@pytest.mark.usefixtures("quickly_compiled")
def test_codes_are_called_as_the_rows_they_are_of():
    rows = EncodedRows(small(n_components=3).fit(X), ArrayRows(X))
    assert rows.place(7) == ArrayRows(X).place(7) == "row 7"


@pytest.mark.parametrize("weighted", [False, True])
def test_held_out_blocks_are_not_trained_on(weighted: bool):
    rows = digits_reader()
    weights = np.arange(1.0, len(rows) + 1) if weighted else None
    seen: set[int] = set()
    model = small(early_stopping=True, validation_fraction=0.2, max_epochs=1)
    model.fit(rows, sample_weight=weights)
    kept, held_out = held_out_blocks(rows, 0.2, model._seed)
    for ranges in (kept, held_out):
        numbers = {number for pair in ranges for number in range(*pair)}
        assert not numbers & seen
        seen |= numbers
    assert seen == set(range(len(rows)))
    chosen = np.concatenate([np.arange(*pair) for pair in held_out])
    assert 0.1 * len(rows) < len(chosen) < 0.3 * len(rows)
    errors = -model.score_samples(rows.array[chosen])
    expected = np.average(errors.astype(float), weights=None if weights is None else weights[chosen])
    assert model.history_[0].validation_error == pytest.approx(expected, rel=1e-6)


@pytest.mark.usefixtures("quickly_compiled")
def test_denoisers_know_the_extremes_of_rows_that_are_read():
    rows = digits_reader()
    rows.array[-1, -1] = 255
    streamed, in_memory = (
        small(DenoisingAutoencoder, corruption="salt_and_pepper", shuffle=False).fit(data)
        for data in (rows, rows.array)
    )
    assert bits_of(streamed) == bits_of(in_memory)
    held_out = small(DenoisingAutoencoder, early_stopping=True).fit(rows)
    assert 0 < held_out.history_[-1].validation_error < 64


@pytest.mark.parametrize(("value", "words"), [(np.nan, "finite; got NaN"), (2.0, r"\[0, 1\] .*got 2")])
def test_bad_value_in_the_last_row_names_its_place(value: float, words: str):
    rows = ArrayRows(ROWS.copy())
    rows.array[-1, 2] = value
    model = ContractiveAutoencoder(3, loss="cross_entropy", max_epochs=1)
    with pytest.raises(ValueError, match=rf"`rows` must (be|lie in) {words} at row 106, column 2"):
        model.fit(rows)
    assert "model_" not in vars(model)
