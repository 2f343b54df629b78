"""The run folder holds finished epochs only, whatever happens in between."""

import json
from pathlib import Path

import numpy as np
import pytest

from console import listing
from contractive.runs import Checkpoints, Every, RunFolder, checkpoint_paths, model_path

CONFIG = {"parameters": {"contraction": 0.1}}


def record(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "reconstruction_error": 1.5}


def save(path: Path) -> None:
    path.write_bytes(b"model")


def finished_run(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.write_config(CONFIG)
    folder.finish_epoch(record(1), save)
    return folder


def test_folder_appears_with_the_first_finished_epoch(tmp_path: Path):
    folder = RunFolder(tmp_path / "run")
    folder.write_config(CONFIG)
    assert not (tmp_path / "run").exists()
    assert not folder.is_published
    folder.finish_epoch(record(1), save)
    assert folder.is_published
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    assert sorted(listing(tmp_path / "run")) == ["config.json", "history.jsonl", "model.safetensors"]


def test_each_epoch_adds_a_line_and_replaces_the_model(tmp_path: Path):
    folder = finished_run(tmp_path / "run")
    folder.finish_epoch(record(2), lambda path: path.write_bytes(b"better"))
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record(1), record(2)]
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == b"better"
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == CONFIG


def test_missing_parents_are_made(tmp_path: Path):
    finished_run(tmp_path / "a" / "b" / "run")
    assert (tmp_path / "a" / "b" / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("out", ["run", "new/er/run"])
def test_discarded_run_leaves_nothing(tmp_path: Path, out: str):
    folder = RunFolder(tmp_path / out)
    folder.write_config(CONFIG)
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_discard_keeps_what_is_finished(tmp_path: Path):
    folder = finished_run(tmp_path / "run")
    before = listing(tmp_path)
    folder.discard()
    assert listing(tmp_path) == before


def test_failing_save_in_a_later_epoch_keeps_the_earlier_ones(tmp_path: Path):
    folder = finished_run(tmp_path / "run")
    before = listing(tmp_path)

    def fail(path: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folder.finish_epoch(record(2), fail)
    folder.discard()
    assert listing(tmp_path) == before


@pytest.mark.parametrize("kind", ["run", "folder", "file", "dangling link"])
def test_existing_path_is_refused_and_kept(tmp_path: Path, kind: str):
    path = tmp_path / "run"
    if kind == "run":
        finished_run(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / "nowhere")
    before = listing(tmp_path) if kind != "dangling link" else {}
    with pytest.raises(FileExistsError, match=r"run' exists; choose another --out or pass --overwrite"):
        RunFolder(path)
    if kind != "run":
        with pytest.raises(FileExistsError, match="run' is .* and is not replaced"):
            RunFolder(path, overwrite=True)
    assert path.is_symlink() or listing(tmp_path) == before


def test_overwriting_keeps_the_old_run_until_the_new_one_has_an_epoch(tmp_path: Path):
    finished_run(tmp_path / "run")
    (tmp_path / "run" / "filters.png").write_bytes(b"old")
    before = listing(tmp_path / "run")
    folder = RunFolder(tmp_path / "run", overwrite=True)
    folder.write_config({"new": True})
    assert listing(tmp_path / "run") == before
    folder.finish_epoch(record(1), save)
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == {"new": True}
    assert not (tmp_path / "run" / "filters.png").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_discarded_overwrite_keeps_the_old_run(tmp_path: Path):
    finished_run(tmp_path / "run")
    before = listing(tmp_path)
    RunFolder(tmp_path / "run", overwrite=True).discard()
    assert listing(tmp_path) == before


def test_two_runs_of_one_name_do_not_touch_each_other(tmp_path: Path):
    slow = RunFolder(tmp_path / "run")
    slow.write_config(CONFIG)
    finished_run(tmp_path / "run")
    before = listing(tmp_path / "run")
    with pytest.raises(OSError, match="not empty") as caught:
        slow.finish_epoch({"epoch": 1}, lambda path: path.write_bytes(b"model"))
    assert caught.value.filename == str(tmp_path / "run")
    slow.discard()
    assert listing(tmp_path / "run") == before
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_link_to_a_run_is_overwritten_or_refused_before_training(tmp_path: Path):
    finished_run(tmp_path / "first")
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "first")
    try:
        folder = RunFolder(link, overwrite=True)
    except FileExistsError:
        return
    folder.write_config(CONFIG)
    folder.finish_epoch(record(1), save)
    assert (link / "model.safetensors").exists()


def test_pictures_are_drawn(tmp_path: Path):
    folder = finished_run(tmp_path / "run")
    folder.write_pictures(np.eye(4), (2, 2), ([1.0, 0.5], [0.2, 0.1], []))
    for name in ("filters.png", "curves.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG\r\n")


def test_held_out_rows_are_drawn_too(tmp_path: Path):
    folder = finished_run(tmp_path / "run")
    pictures = []
    for held_out in ([], [1.2, 0.7]):
        folder.write_pictures(np.eye(4), (2, 2), ([1.0, 0.5], [0.2, 0.1], held_out))
        pictures.append((tmp_path / "run" / "curves.png").read_bytes())
    assert pictures[0] != pictures[1]


def test_model_may_be_written_again_without_a_line(tmp_path: Path):
    folder = finished_run(tmp_path / "run")
    folder.write_model(lambda path: path.write_bytes(b"best"))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == b"best"
    assert (tmp_path / "run" / "history.jsonl").read_text().count("\n") == 1


def test_model_of_a_run_without_an_epoch_stays_out_of_sight(tmp_path: Path):
    folder = RunFolder(tmp_path / "run")
    folder.write_model(save)
    assert not (tmp_path / "run").exists()
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_model_path_takes_a_run_or_a_file(tmp_path: Path):
    finished_run(tmp_path / "run")
    model = tmp_path / "run" / "model.safetensors"
    assert model_path(tmp_path / "run") == model_path(str(model)) == model


def test_model_path_says_what_is_missing(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"none' is neither a model file nor a folder with model\.safetensors"):
        model_path(tmp_path / "none")
    (tmp_path / "run").mkdir()
    with pytest.raises(FileNotFoundError, match=r"run' is a folder without model\.safetensors; name a run folder"):
        model_path(tmp_path / "run")


def test_model_path_of_checkpoints_alone_says_how_to_go_on(tmp_path: Path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "000001.safetensors").write_bytes(b"")
    assert checkpoint_paths(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"has checkpoints but no model\.safetensors yet; .*resume"):
        model_path(tmp_path / "run")


def test_what_a_killed_process_left_of_a_checkpoint_is_removed(tmp_path: Path):
    folder = finished_run(tmp_path / "run")
    folder.checkpoints.mkdir(exist_ok=True)
    left_over = folder.checkpoints / ".000002.safetensors.1234.tmp"
    left_over.write_bytes(b"half")
    Checkpoints(folder, every=Every.read("1epoch"), keep=3, complain=print).close()
    assert not left_over.exists()
