"""What trackers wrote, read back by other means: event files by their format, MLflow's store by its own client."""

import io
import json
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optax
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

import contractive
from console import Outcome, assert_one_line, history
from contractive import ContractiveClassifier, StackedAutoencoder
from contractive.datasets import load_digits
from contractive.plots import tile_rows
from contractive.tracking import MLflowCallback, TensorBoardCallback, _mlflow
from contractive.tracking._events import filters
from launching import free_port
from toys import Convolution, X, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")
LABELS = load_digits()[0][1][: len(X)]
Call = Callable[..., Outcome]


def read_events(folder: Path, n_files: int = 1) -> dict[str, dict[int, Any]]:
    """What event files hold: tag -> epoch -> number, picture or histogram. Records are length, sum, bytes, sum."""
    found: dict[str, dict[int, Any]] = {}
    paths = sorted(folder.iterdir())
    assert len(paths) == n_files
    stream = io.BytesIO(b"".join(path.read_bytes() for path in paths))
    while head := stream.read(12):
        event: Any = vars(event_pb2)["Event"].FromString(stream.read(struct.unpack("<Q", head[:8])[0]))
        stream.read(4)
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            found.setdefault(value.tag, {})[event.step] = getattr(value, str(kind))
    return found


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A local store of runs, and no word of it to anybody."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return f"file://{tmp_path}/store"


def the_run(uri: str, experiment: str = "contractive") -> tuple[Any, Any]:
    """The client of a store, and the only run of an experiment."""
    client = mlflow.MlflowClient(uri)
    place = client.get_experiment_by_name(experiment)
    assert place is not None
    (run,) = client.search_runs([place.experiment_id])
    return client, run


def test_event_files_hold_each_epochs_numbers_filters_and_weights(tmp_path: Path):
    with TensorBoardCallback(tmp_path / "new" / "events") as callback:
        cae = small(callbacks=[callback], max_epochs=3).fit(X)
    found = read_events(tmp_path / "new" / "events")
    for name, curve in {
        "reconstruction_error": cae.loss_curve_,
        "jacobian_norm": cae.jacobian_norm_curve_,
        "rows_per_second": [record.rows_per_second for record in cae.history_],
    }.items():
        assert list(found[name]) == [1, 2, 3]
        np.testing.assert_allclose([*found[name].values()], curve, rtol=1e-6)
    assert "validation_error" not in found
    picture = np.asarray(Image.open(io.BytesIO(found["filters"][3].encoded_image_string)).convert("L"))
    assert np.array_equal(picture, tile_rows(cae.components_))
    histogram = found["weights/weight"][3]
    assert (histogram.num, histogram.min, histogram.max) == (7 * 64, cae.components_.min(), cae.components_.max())
    assert histogram.sum == pytest.approx(cae.components_.sum(), rel=1e-4)
    assert found["weights/hidden_bias"].keys() == {1, 2, 3}


def test_pictures_and_histograms_may_be_rarer_than_numbers(tmp_path: Path):
    with TensorBoardCallback(tmp_path / "events", weights_every=2, image_shape=(1, 64)) as callback:
        small(callbacks=[callback], max_epochs=3).fit(X)
    found = read_events(tmp_path / "events")
    assert [*found["filters"]] == [*found["weights/weight"]] == [2]
    assert [*found["jacobian_norm"]] == [1, 2, 3]
    with pytest.raises(ValueError, match="`weights_every` must be a whole number >= 1; got 0"):
        TensorBoardCallback(tmp_path, weights_every=0)


def test_a_classifiers_two_trainings_have_names_of_their_own(tmp_path: Path):
    with TensorBoardCallback(tmp_path / "events") as callback:
        classifier = ContractiveClassifier(small(), max_epochs=3, random_state=0, callbacks=[callback]).fit(X, LABELS)
    found = read_events(tmp_path / "events")
    curve = classifier.representation_.loss_curve_
    np.testing.assert_allclose([*found["pretraining/reconstruction_error"].values()], curve, rtol=1e-6)
    np.testing.assert_allclose([*found["log_loss"].values()], classifier.loss_curve_, rtol=1e-6)
    assert [*found["weights/output.weight"]] == [1, 2, 3]


@pytest.mark.slow
def test_an_encoder_of_ones_own_has_histograms_and_no_filters(tmp_path: Path):
    with TensorBoardCallback(tmp_path / "events") as callback:
        small(encoder=Convolution(), contraction=0.0, max_epochs=1, callbacks=[callback]).fit(X)
    found = read_events(tmp_path / "events")
    assert "filters" not in found
    assert any(tag.startswith("weights/leaf") for tag in found)


@pytest.mark.parametrize(
    "names", [["autoencoder.leaf0", "output.weight"], ["0.leaf0", "1.weight"], ["output.weight"], []]
)
def test_what_is_not_next_to_the_input_is_no_filter(names: list[str]):
    assert filters({name: np.ones((3, 64)) for name in names}, None) is None


def test_a_folder_that_cannot_be_made_costs_a_line_and_no_training(tmp_path: Path):
    (tmp_path / "file").touch()
    callback = TensorBoardCallback(tmp_path / "file" / "events")
    with pytest.warns(UserWarning, match="is not written any more .*; training goes on") as told, callback:
        cae = small(callbacks=[callback]).fit(X)
    assert len(told) == 1
    assert cae.n_epochs_ == 2


def test_mlflow_gets_parameters_numbers_filters_and_a_model(store: str, tmp_path: Path):
    layers = [small(), small(n_components=4, loss="squared_error", activation="tanh")]
    with MLflowCallback(store, experiment="digits", run_name="mine") as callback:
        stack = StackedAutoencoder(layers, random_state=0, callbacks=[callback]).fit(X)
    client, run = the_run(store, "digits")
    assert (run.info.run_id, run.info.run_name, run.info.status) == (callback.run_id, "mine", "FINISHED")
    parameters = run.data.params
    assert (parameters["layers__1__activation"], parameters["layers__1__n_components"]) == ("tanh", "4")
    assert parameters["joint_epochs"] == "0"
    assert run.data.tags["contractive"] == contractive.__version__
    curve = client.get_metric_history(run.info.run_id, "reconstruction_error")
    assert [(entry.step, entry.value) for entry in curve] == [*zip(range(1, 5), stack.loss_curve_, strict=True)]
    there = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert np.array_equal(np.asarray(Image.open(there / "filters.png").convert("L")), tile_rows(stack.components_))
    assert sorted(path.name for path in (there / "model").iterdir()) == [
        "MLmodel",
        "model.safetensors",
        "requirements.txt",
    ]
    loaded = contractive.load(there / "model" / "model.safetensors")
    assert loaded.transform(X).tobytes() == stack.transform(X).tobytes()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_mlflow_loads_the_model_as_a_python_function(store: str, tmp_path: Path):
    with MLflowCallback(store) as callback:
        cae = small(callbacks=[callback]).fit(X)
    client, run = the_run(store)
    there = client.download_artifacts(run.info.run_id, "model", str(tmp_path))
    assert mlflow.pyfunc.load_model(there).predict(X).tobytes() == cae.transform(X).tobytes()
    scores = mlflow.pyfunc.load_model(there, model_config={"method": "score_samples"}).predict(X)
    assert scores.tobytes() == cae.score_samples(X).tobytes()
    with pytest.raises(ValueError, match="`method` must be one of"):
        mlflow.pyfunc.load_model(there, model_config={"method": "fit"})


def test_how_a_training_ended_and_a_model_that_cannot_be_saved(store: str):
    def stop(estimator: Any, event: Any) -> None:
        raise KeyboardInterrupt

    callback = MLflowCallback(store, log_model=False)
    with pytest.raises(KeyboardInterrupt), callback:
        small(callbacks=[callback, lambda _, event: stop(_, event) if hasattr(event, "seconds") else None]).fit(X)
    client, run = the_run(store)
    assert run.info.status == "KILLED"
    assert [entry.path for entry in client.list_artifacts(run.info.run_id)] == ["filters.png"]
    callback = MLflowCallback(store, experiment="unsaved")
    with pytest.warns(UserWarning, match="the model is not in the run at .*`optimizer`") as told, callback:
        small(optimizer=optax.sgd(0.1), callbacks=[callback]).fit(X)
    client, run = the_run(store, "unsaved")
    assert len(told) == 1
    assert run.info.status == "FINISHED"


def test_a_server_that_is_away_is_said_once_and_training_goes_on():
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.warns(UserWarning, match=rf"the run at '{uri}' is not written any more .*refused") as told:
        with MLflowCallback(uri) as callback:
            cae = small(callbacks=[callback], max_epochs=3).fit(X)
    assert len(told) == 1
    assert cae.n_epochs_ == 3
    assert callback.run_id is None


def test_a_folder_that_mlflow_refuses_is_refused_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(ValueError, match=r"`uri` must name a server.*MLFLOW_ALLOW_FILE_STORE=true"):
        small(callbacks=[MLflowCallback(f"file://{tmp_path}/store")]).fit(X)


@pytest.mark.parametrize(("package", "option"), [("tensorboardX", "--tensorboard"), ("mlflow", "--mlflow")])
def test_a_missing_package_names_the_extra(package: str, option: str, refused: Any, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    command = ["train", "digits", "--out", "run", option, "there"]
    refused(command, [package, "pip install 'contractive[tracking]'"])


def test_train_tells_both(call: Call, store: str, tmp_path: Path):
    options = ["--epochs", 2, "--components", 3, "--out", "run", "--tensorboard", "events", "--mlflow", store]
    outcome = call("train", "digits", *options)
    assert (outcome.code, outcome.err) == (0, "")
    errors = [record["reconstruction_error"] for record in history(tmp_path / "run")]
    found = read_events(tmp_path / "events")
    np.testing.assert_allclose([*found["reconstruction_error"].values()], errors, rtol=1e-6)
    _, run = the_run(store)
    assert run.info.run_name == "run"
    assert run.data.metrics["reconstruction_error"] == errors[-1]
    assert "tensorboard" not in json.loads((tmp_path / "run" / "config.json").read_text())["parameters"]


def test_trainings_of_the_same_second_have_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.time", lambda: 1.8e9)
    cae = small(warm_start=True)
    for _ in range(2):
        with TensorBoardCallback(tmp_path / "events") as callback:
            cae.set_params(callbacks=[callback]).fit(X)
    assert sorted(read_events(tmp_path / "events", n_files=2)["reconstruction_error"]) == [1, 2, 3, 4]


def test_resume_tells_both_of_the_epochs_that_it_adds(call: Call, store: str, tmp_path: Path):
    np.save(tmp_path / "x.npy", X)
    job = ["--components", 3, "--epochs", 2, "--checkpoint-every", "1epoch"]
    assert call("train", "x.npy", "--out", "run", *job, "--tensorboard", "events").code == 0
    outcome = call("resume", "run", "--epochs", 4, "--tensorboard", "events", "--mlflow", store)
    assert (outcome.code, outcome.err) == (0, "")
    errors = {record["epoch"]: record["reconstruction_error"] for record in history(tmp_path / "run")}
    found = read_events(tmp_path / "events", n_files=2)["reconstruction_error"]
    assert [*found] == [1, 2, 3, 4]
    np.testing.assert_allclose([*found.values()], [*errors.values()], rtol=1e-6)
    client, run = the_run(store)
    told = {entry.step: entry.value for entry in client.get_metric_history(run.info.run_id, "reconstruction_error")}
    assert told == {epoch: errors[epoch] for epoch in (3, 4)}


def test_classify_tells_both_of_both_trainings(call: Call, store: str, tmp_path: Path):
    options = ["--epochs", 2, "--layers", "4", "--pretraining-epochs", 3, "--n-labels", 50, "--out", "run"]
    outcome = call("classify", "digits", *options, "--tensorboard", "events", "--mlflow", store)
    assert (outcome.code, outcome.err) == (0, "")
    found = read_events(tmp_path / "events")
    assert [*found["pretraining/reconstruction_error"]] == [1, 2, 3]
    rates = [record["error_rate"] for record in history(tmp_path / "run")]
    np.testing.assert_allclose([*found["error_rate"].values()], rates, rtol=1e-6)
    _, run = the_run(store)
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.metrics["error_rate"] == rates[-1]


@pytest.mark.filterwarnings("default")
def test_train_says_once_that_a_server_is_away(call: Call, tmp_path: Path):
    uri = f"http://127.0.0.1:{free_port()}"
    outcome = call("train", "digits", "--epochs", 2, "--components", 3, "--out", "run", "--mlflow", uri)
    assert_one_line(outcome, uri, "training goes on", code=0)
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_a_server_that_answers_is_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _mlflow._check_there(f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_a_store_that_mlflow_does_not_know_is_said_once_and_training_goes_on():
    with pytest.warns(UserWarning, match="the run at 'nowhere://x' is not written any more") as told:
        with MLflowCallback("nowhere://x") as callback:
            cae = small(callbacks=[callback]).fit(X)
    assert len(told) == 1
    assert cae.n_epochs_ == 2
