"""Several processes that share the rows of one pass: the file of one, or none at all."""

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from console import Outcome, assert_one_line, call_in, listing
from contractive.distributed import Team, join_team
from contractive.sources import PartedFile, open_writer
from launching import ends, free_port, start_all, wait_for

N_ROWS = 90
ROWS = np.random.default_rng(0).normal(size=(N_ROWS, 3)).astype("f4")
# What lets no process come to its end before it is killed.
ENDLESS = "import time, contractive.sources._npy as npy; npy.NpyRows.read = lambda *rest: time.sleep(60); "
STARTS = [0, 16, 32, 40, 56, 72, 88, N_ROWS]


def in_threads(size: int, work: Callable[[Team], Any], ended: Callable[[str], object] = str) -> list[Any]:
    """What each of a team's members came to, an exception too: here they are threads of one process."""
    port = free_port()

    def member(index: int) -> Any:
        try:
            with join_team(f"127.0.0.1:{port}", size, index, ended=ended, timeout=10) as team:
                return work(team)
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return [*pool.map(member, range(size))]


@pytest.fixture
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_EVERY", 0.05), ("_GRACE", 0.1)):
        monkeypatch.setattr(f"contractive.distributed._watch.{name}", seconds)


def write_share(team: Team, path: Path, rows: np.ndarray, job: Any = None) -> None:
    starts = team.share(STARTS)
    width = (*rows.shape, 0)[1]
    file = PartedFile(path, len(rows), width, rows.dtype, ["a", "b", "c"])
    with team.open_writer(path, file, starts[0], starts[-1], job or {}) as writer:
        for first, last in zip(starts, starts[1:], strict=False):
            writer.write(rows[first:last])


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("ending", ["npy", "parquet"])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:, 0]])
def test_team_makes_the_file_of_one(
    tmp_path: Path, size: int, ending: str, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("contractive.sources._parts._JOINED_BYTES", 100)
    one, all_ = (tmp_path / f"{name}.{ending}" for name in ("one", "all"))
    with open_writer(one, N_ROWS, (*rows.shape, 0)[1], rows.dtype, ["a", "b", "c"]) as writer:
        writer.write(rows)
    all_.write_text("older")
    assert in_threads(size, lambda team: write_share(team, all_, rows)) == [None] * size
    assert all_.read_bytes() == one.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {one.name, all_.name}


def test_shares_are_all_blocks_in_their_order():
    shares = in_threads(3, lambda team: team.share(STARTS))
    assert shares == [[0, 16, 32], [32, 40, 56], [56, 72, 88, 90]]


def test_more_processes_than_blocks_are_refused():
    for error in in_threads(3, lambda team: team.share([0, 16, 20])):
        assert str(error).startswith("`n_processes` must be at most 2, the number of blocks")
        assert str(error).endswith("got 3. Start fewer processes.")


def test_all_hear_what_each_says():
    said = in_threads(3, lambda team: (team.gather([team.index, "x" * 70_000]), team.gather(float("inf"))))
    assert said == [([[index, "x" * 70_000] for index in range(3)], [float("inf")] * 3)] * 3


def test_task_of_slurm_takes_its_own_accelerator(monkeypatch: pytest.MonkeyPatch):
    variables = {"JOB_ID": "4097", "STEP_NODELIST": "node003", "NTASKS": "1", "PROCID": "0", "LOCALID": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    taken: dict[str, str] = {}
    monkeypatch.setattr("jax.config.update", taken.__setitem__)
    with join_team(f"127.0.0.1:{free_port()}", None, None, ended=str) as team:
        assert (team.index, team.size, team.writes) == (0, 1, True)
    assert taken == {"jax_cuda_visible_devices": "1", "jax_rocm_visible_devices": "1"}


@pytest.mark.usefixtures("quick_watch")
@pytest.mark.parametrize("victim", [0, 1])
def test_error_in_one_ends_all_and_leaves_nothing(tmp_path: Path, victim: int):
    path, said = tmp_path / "x.npy", list[str]()
    path.write_text("older")

    def fail(team: Team) -> None:
        file = PartedFile(path, N_ROWS, 3, ROWS.dtype)
        starts = team.share(STARTS)
        with team.open_writer(path, file, starts[0], starts[-1], {}) as writer:
            if team.index == victim:
                raise ValueError("a bad row")
            writer.write(ROWS[starts[0] : starts[-1]])

    found = in_threads(2, fail, ended=said.append)
    assert isinstance(found[victim], ValueError)
    assert isinstance(found[1 - victim], ConnectionError)
    assert said == [f"process {victim} of 2 ended"]
    assert listing(tmp_path) == {"x.npy": b"older"}


@pytest.mark.usefixtures("quick_watch")
def test_other_jobs_are_refused(tmp_path: Path):
    path = tmp_path / "x.npy"
    found = in_threads(3, lambda team: write_share(team, path, ROWS, {"the model": "ab"[team.index == 2]}))
    assert {*map(str, found)} == {"the model must be the same in all processes; got a in process 0 and b in process 2."}
    assert listing(tmp_path) == {}


@pytest.mark.usefixtures("quick_watch")
def test_folder_that_is_not_shared_is_named(tmp_path: Path):
    for number in range(2):
        (tmp_path / str(number)).mkdir()
    found = in_threads(2, lambda team: write_share(team, tmp_path / str(team.index) / "x.npy", ROWS))
    for error in found:
        assert "must lie on a disk that all processes share; process 1 does not find" in str(error)
    assert [*listing(tmp_path)] == ["0", "1"]


@pytest.mark.parametrize("command", ["encode", "score"])
def test_place_alone_is_refused(refused: Any, tmp_path: Path, command: str):
    np.save(tmp_path / "x.npy", ROWS)
    refused([command, "run", "x.npy", "--out", "h.npy", "--processes", 2], ["`--processes`", "--distributed", "got 2"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 400 rows, some of them bad in `bad.npy`, and a run."""
    folder = tmp_path_factory.mktemp("team")
    rows = np.random.default_rng(0).uniform(size=(400, 9)).astype("f4")
    np.save(folder / "x.npy", rows)
    rows[[5, 398], 4] = np.nan
    np.save(folder / "bad.npy", rows)
    np.save(folder / "late.npy", np.where(np.arange(400)[:, None] == 5, 0, rows))
    assert call_in(folder, "train", "x.npy", "--out", "run", "--components", 7, "--epochs", 1).code == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "command"),
    [
        (2, ["encode", "run", "x.npy", "--out", "h.npy"]),
        (4, ["encode", "run", "bad.npy", "--bad-rows", "skip", "--out", "h.parquet"]),
        (2, ["score", "run", "bad.npy", "--bad-rows", "skip", "--out", "h.npy"]),
    ],
)
def test_processes_write_what_one_does(trained: Path, size: int, command: list[str]):
    outcomes = {}
    for n in (1, size):
        outcomes[n] = ends(start_all(n, *command, "--overwrite", folder=trained))
        (trained / command[-1]).rename(trained / f"by{n}")
    assert outcomes[1][0].code == 0
    assert outcomes[size] == [*outcomes[1], *[Outcome(0, "", "")] * (size - 1)]
    assert (trained / f"by{size}").read_bytes() == (trained / "by1").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_killed_process_ends_the_others_and_leaves_nothing(trained: Path, victim: int):
    (trained / "old.npy").write_text("older")
    before = listing(trained)
    processes = start_all(3, "encode", "run", "x.npy", "--out", "old.npy", "--overwrite", folder=trained, setup=ENDLESS)
    wait_for(lambda: [*trained.glob(".old.npy.*.tmp")])
    processes[victim].send_signal(signal.SIGKILL)
    outcomes = ends(processes)
    for index in {0, 1, 2} - {victim}:
        words = [f"process {victim} of 3 ended", "old.npy was not made", "Start all of them again"]
        assert_one_line(outcomes[index], *words, code=1)
    assert listing(trained) == before


@pytest.mark.slow
def test_bad_row_in_the_last_block_ends_all(trained: Path):
    before = listing(trained)
    first, second = ends(start_all(2, "encode", "run", "late.npy", "--out", "h.npy", folder=trained))
    assert_one_line(second, "`late.npy` must be finite; got NaN at row 398, column 4")
    assert_one_line(first, "process 1 of 2 ended", "h.npy was not made", code=1)
    assert listing(trained) == before


@pytest.mark.slow
def test_too_many_processes_are_refused_by_each(trained: Path):
    np.save(trained / "short.npy", np.zeros((20, 9), "f4"))
    before = listing(trained)
    for outcome in ends(start_all(3, "score", "run", "short.npy", "--out", "h.npy", folder=trained)):
        assert_one_line(outcome, "`n_processes` must be at most 2", "got 3")
    assert listing(trained) == before
