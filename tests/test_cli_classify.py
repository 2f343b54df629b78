"""`contractive classify`, `predict` and what the other commands say of a classifier's run."""

import inspect
import json
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import contractive
from console import FILES, Outcome, assert_one_line, call_in, history, listing, spawn
from contractive import (
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    ManifoldTangentClassifier,
    StackedAutoencoder,
    cli,
)
from contractive.cli._classify import classify
from contractive.cli._display import display_phases
from contractive.cli._labels import Measured
from contractive.cli._options import ClassifierName, DecayName, SmoothnessName
from contractive.datasets import DatasetInfo, load_digits
from contractive.estimators import ESTIMATORS, SMOOTHNESS_NAMES, TangentProgress, plain_parameters
from contractive.presets import CLASSIFIERS, MODELS
from contractive.runs import RunFolder
from contractive.supervised import FineTuningProgress, FineTuningRecord
from contractive.training import DECAYS, EpochRecord, Progress

Call = Callable[..., Outcome]
SHORT = ["--layers", "6", "--pretraining-epochs", 1]
ROWS = np.random.default_rng(0).uniform(size=(60, 6)).astype(np.float32)
COLORS = np.array(["red", "green", "blue"])[np.arange(60) % 3]
KEYS = [*FineTuningRecord._fields]
LABELS = np.arange(60) % 3
OBJECTS = np.array([1, "a", None] * 20, dtype=object)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A run folder that a real process made from the digits, and what it printed."""
    folder = tmp_path_factory.mktemp("classify")
    options = [*SHORT, "--epochs", 8, "--learning-rate", 0.03, "--seed", 3, "--loss", "cross_entropy"]
    return folder / "run", spawn("classify", "digits", "--out", "run", *options, folder=folder)


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of colours, an auto-encoder and a manifold tangent classifier that stands on it."""
    folder = tmp_path_factory.mktemp("colors")
    np.savez(folder / "t.npz", X=ROWS, y=COLORS, other=ROWS[:, :4])
    np.save(folder / "wide.npy", ROWS[:, :4])
    np.save(folder / "x.npy", ROWS)
    assert call_in(folder, "train", "x.npy", "--out", "cae", "--components", 4, "--epochs", 1).code == 0
    options = ["--model", "mtc", "--n-tangents", 2, "--representation", "cae", "--n-labels", 12, "--epochs", 2]
    outcome = call_in(folder, "classify", "t.npz", "--array", "X", "--out", "run", *options, "--seed", 5)
    assert (outcome.code, outcome.err) == (0, "")
    return folder


def test_classify_leaves_a_run_folder_and_nothing_else(digits_run: tuple[Path, Outcome]):
    run, outcome = digits_run
    assert (outcome.code, outcome.err) == (0, "")
    assert [path.name for path in run.parent.iterdir()] == ["run"]
    assert sorted(listing(run)) == FILES
    assert [list(record) for record in history(run)] == [KEYS] * 8


def test_both_phases_are_named_and_shown_a_line_an_epoch(digits_run: tuple[Path, Outcome]):
    run, outcome = digits_run
    first, *epochs, wrote, _, _ = outcome.out.splitlines()
    assert first.startswith("pre-training epoch 1/1  reconstruction error ")
    for line, record in zip(epochs, history(run), strict=True):
        assert line.startswith(f"fine-tuning epoch {record['epoch']}/8  log-loss {record['log_loss']:.4f}  ")
        assert f"error {100 * record['error_rate']:.2f} %" in line
        assert f"held out {100 * record['validation_error_rate']:.2f} %" in line
    assert all(name in wrote for name in FILES)


def test_last_lines_are_what_the_validation_and_the_test_rows_say(digits_run: tuple[Path, Outcome]):
    run, outcome = digits_run
    classifier = contractive.load(run / "model.safetensors")
    rates = [record["validation_error_rate"] for record in history(run)]
    _, valid, test = load_digits()
    for line, (rows, labels), words in zip(
        outcome.out.splitlines()[-2:],
        (valid, test),
        (
            f"validation .* \\(250 rows of digits, epoch {classifier.best_epoch_} of 8\\)",
            r"test .* \(250 rows of digits\)",
        ),
        strict=True,
    ):
        own = classifier.predict_proba(rows)[np.arange(250), labels]
        wrong = np.mean(classifier.predict(rows) != labels)
        assert f"error {100 * wrong:.2f} %, log-loss {-np.log(own).mean():.4f} " in line
        assert re.fullmatch(words, line)
    assert rates[classifier.best_epoch_ - 1] == min(rates) < 0.3


def test_test_rows_are_looked_at_once_when_all_is_written(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: None
):
    parts = [(ROWS + step, LABELS) for step in (0, 1, 2)]
    info = DatasetInfo("toy", "", None, lambda: parts, "regenerated")  # type: ignore[arg-type, return-value]
    monkeypatch.setattr("contractive.sources._labeled.DATASETS", {"toy": info})
    seen: list[Any] = []

    def measure(estimator: Any, rows: np.ndarray, labels: np.ndarray, *, name: str) -> Measured:
        seen.append((rows, sorted(listing(tmp_path / "new"))))
        return Measured(0.0112, 0.0381, 10_000)

    monkeypatch.setattr("contractive.cli._fine_tuning.measure", measure)
    outcome = call("classify", "toy", "--representation", "cae", "--out", "new", "--epochs", 1)
    assert len(seen) == 1
    assert np.array_equal(seen[0][0], ROWS + 2)
    assert seen[0][1] == FILES
    validation, test = outcome.out.splitlines()[-2:]
    assert test == "test error 1.12 %, log-loss 0.0381 (10,000 rows of toy (regenerated))"
    assert validation.endswith("(60 rows of toy (regenerated), epoch 1 of 1)")


def test_config_holds_data_parameters_and_versions(colors: Path):
    config = json.loads((colors / "run" / "config.json").read_text())
    assert config["model"] == "ManifoldTangentClassifier"
    data = {"name": "t.npz", "array": "X", "shape": [60, 6], "dtype": "float32", "labels": None, "n_labels": 12}
    assert (config["data"], config["representation"]) == (config["data"] | data, "cae")
    assert config["parameters"] | {"n_tangents": 2, "random_state": 5, "unlabeled": ""} == config["parameters"]
    assert config["parameters"]["representation"]["parameters"]["n_components"] == 4
    assert "jax" in config["versions"]


def test_representation_is_used_as_it_is_and_its_training_not_shown(call: Call, tmp_path: Path, inputs: None):
    options = ["--representation", "cae", "--epochs", 1, "--learning-rate", 1e-9]
    outcome = call("classify", "two.npz", "--out", "new", *options)
    # There are neither layers to train nor other rows to speak of.
    fine_tuning, wrote = outcome.out.splitlines()
    assert fine_tuning.startswith("fine-tuning epoch 1/1 ")
    assert wrote.startswith("wrote new")
    before, after = (contractive.load(tmp_path / name / "model.safetensors") for name in ("cae", "new"))
    assert np.allclose(after.classifier_.autoencoder.weight, before.components_, atol=1e-7)


def test_predict_writes_classes_as_the_labels_were_and_probabilities(colors: Path, tmp_path: Path):
    outcome = call_in(colors, "predict", "run", "x.npy", "--out", tmp_path / "y.npy")
    assert outcome == Outcome(
        0, f"wrote {tmp_path / 'y.npy'}: 60 rows of <U5 labels, of the classes blue, green, red\n", ""
    )
    assert call_in(colors, "predict", "run", "x.npy", "--proba", "--out", tmp_path / "p.npy").code == 0
    classifier = contractive.load(colors / "run" / "model.safetensors")
    assert np.array_equal(np.load(tmp_path / "y.npy"), classifier.predict(ROWS))
    assert np.array_equal(np.load(tmp_path / "p.npy"), classifier.predict_proba(ROWS))
    assert set(np.load(tmp_path / "y.npy")) <= set(COLORS)
    assert_one_line(call_in(colors, "predict", "run", "x.npy", "--out", tmp_path / "y.npy"), "exists", "--overwrite")


def test_inspect_prints_a_classifiers_facts(digits_run: tuple[Path, Outcome]):
    run, _ = digits_run
    outcome = call_in(run.parent, "inspect", "run", "digits")
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in outcome.out.splitlines())
    classifier = contractive.load(run / "model.safetensors")
    (rows, labels), _, _ = load_digits()
    best, last = classifier.history_[classifier.best_epoch_ - 1], classifier.history_[-1]
    expected = {
        "model": "ContractiveClassifier",
        "features": "64",
        "classes": "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "learning_rate": "0.03",
        "representation model": "StackedAutoencoder",
        "representation layer 1 n_components": "6",
        "epochs": "8",
        "last log-loss": f"{last.log_loss:.4f}",
        "last error": f"{100 * last.error_rate:.2f} %",
        "weights of epoch": str(classifier.best_epoch_),
        "validation error there": f"{100 * best.validation_error_rate:.2f} %",
        "validation log-loss there": f"{best.validation_log_loss:.4f}",
        "labelled rows of digits": "1297",
        "error there": f"{100 * np.mean(classifier.predict(rows) != labels):.2f} %",
        "log-loss there": f"{-classifier.predict_log_proba(rows)[np.arange(1297), labels].mean():.4f}",
    }
    assert (outcome.code, outcome.err) == (0, "")
    assert facts | expected == facts


def test_inspect_measures_the_rows_that_have_a_label(colors: Path, tmp_path: Path):
    np.save(tmp_path / "y.npy", np.where(np.arange(60) < 20, COLORS, ""))
    outcome = call_in(colors, "inspect", "run", "x.npy", "--labels", tmp_path / "y.npy")
    assert re.search(r"^labelled rows of x\.npy +20$", outcome.out, re.MULTILINE)
    classifier = contractive.load(colors / "run" / "model.safetensors")
    assert f"{100 * np.mean(classifier.predict(ROWS[:20]) != COLORS[:20]):.2f} %\n" in outcome.out
    assert call_in(colors, "inspect", "run").out.count("there") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["encode", "run", "x.npy", "--out", "c.npy"], ["`RUN`", "ManifoldTangentClassifier", "'run'", "predict"]),
        (["predict", "cae", "x.npy", "--out", "c.npy"], ["`RUN`", "ContractiveAutoencoder", "'cae'", "encode"]),
        (["predict", "run", "x.npy", "--out", "c.npz"], ["`--out`", ".npy", "'c.npz'"]),
        (["predict", "run", "wide.npy", "--out", "c.npy"], ["4 features", "6 features"]),
        (["inspect", "run", "x.npy"], ["--labels", "'x.npy'", "got none"]),
        (["inspect", "run", "--labels", "y.npy"], ["`--labels`", "DATA"]),
        (["inspect", "cae", "x.npy", "--labels", "y.npy"], ["`--labels`", "classifier", "ContractiveAutoencoder"]),
        (["inspect", "run", "x.npy", "--labels", "numbers.npy"], ["`x.npy`", "classes of the training rows", "got 7"]),
        (["inspect", "run", "x.npy", "--labels", "none.npy"], ["'x.npy'", "rows with a label", "60"]),
        (["train", "--config", "run/config.json", "--out", "new"], ["`model`", "ManifoldTangentClassifier"]),
    ],
)
def test_other_commands_end_in_a_line(colors: Path, arguments: list[object], words: list[str]):
    np.save(colors / "numbers.npy", np.full(60, 7))
    np.save(colors / "none.npy", np.full(60, ""))
    assert_one_line(call_in(colors, *arguments), *words)
    assert not {"c.npy", "c.npz", "new"} & set(listing(colors))


@pytest.fixture
def inputs(tmp_path: Path, colors: Path) -> None:
    """All kinds of labels in the test's own folder, an auto-encoder `cae` and a classifier `run` of six features."""
    named = {"y": LABELS, "short": LABELS[1:], "column": LABELS[:, None], "objects": OBJECTS, "x": ROWS}
    named |= {"bytes": LABELS.astype("S1"), "ones": np.ones(60, int), "flags": LABELS > 0, "real": ROWS[:, 0]}
    for name, array in named.items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
    np.savez(tmp_path / "t.npz", X=ROWS, name=ROWS[:, 0])
    np.savez(tmp_path / "two.npz", X=ROWS, y=LABELS)
    np.savez(tmp_path / "only.npz", y=LABELS)
    for name in ("cae", "run"):
        shutil.copytree(colors / name, tmp_path / name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        # Labels.
        (["x.npy"], ["--labels", "'x.npy'", "got none"]),
        (["x.npy", "--labels", "y"], ["--labels", ".npy file", "got 'y'"]),
        (["x.npy", "--labels", "gone.npy"], ["--labels", "'gone.npy'"]),
        (["x.npy", "--labels", "short.npy"], ["--labels", "(60,)", "(59,)", "'short.npy'"]),
        (["x.npy", "--labels", "column.npy"], ["--labels", "1-d", "(60, 1)"]),
        (["x.npy", "--labels", "objects.npy"], ["'objects.npy'", "plain numbers or strings", "object arrays"]),
        (["x.npy", "--labels", "bytes.npy"], ["--labels", "strings", "|S1", "'bytes.npy'"]),
        (["x.npy", "--labels", "ones.npy"], ["`y`", "two classes", "one class, 1"]),
        (["x.npy", "--labels", "ones.npy", "--unlabeled", "1"], ["`y`", "must have labels", "60 rows"]),
        (["x.npy", "--labels", "y.npy", "--unlabeled", "none"], ["`--unlabeled`", "a number", "'none'"]),
        (["x.npy", "--labels", "flags.npy", "--unlabeled", "0"], ["`--unlabeled`", "True or False", "'0'"]),
        (["x.npy", "--labels", "real.npy"], ["continuous"]),
        (["t.npz"], ["'t.npz'", "'X', 'name'", "'y'", "--labels"]),
        (["t.npz", "--labels", "name"], ["continuous"]),
        (["two.npz", "--array", "Z"], ["'two.npz'", "X", "'Z'", "--array"]),
        (["two.npz", "--labels", "z"], ["'two.npz'", "'X', 'y'", "'z'", "--labels"]),
        (["only.npz"], ["'only.npz'", "no array", "--array"]),
        (["digits", "--labels", "y.npy"], ["--labels", "'digits'", "labels of its own"]),
        (["digits", "--array", "X"], ["--array", "'digits'", "got 'X'"]),
        (["gone"], ["'gone'", "neither a data set nor a file"]),
        (["digits", "--unlabeled", f"1{'0' * 23}"], ["`--unlabeled`", "64 bits", "'1000"]),
        (["digits", "--fine-tuning-penalty", "spectral"], ["`--fine-tuning-contraction`", "`--fine-tuning-penalty`"]),
        (["digits", "--model", "mtc", "--tangent-cache", "two.npz"], ["`--tangent-cache`", "folder", "'two.npz'"]),
        # Few labels.
        (["digits", "--n-labels", "5"], ["`--n-labels`", "at least the number of classes, 10; got 5."]),
        (["digits", "--n-labels", "1298"], ["`--n-labels`", "at most the number of labelled rows, 1297; got 1298."]),
        # Representations.
        (["digits", "--representation", "cae"], ["`representation`", "64 features", "got 6"]),
        (["digits", "--representation", "gone"], ["'gone'", "model.safetensors"]),
        (["digits", "--representation", "run"], ["`--representation`", "auto-encoder", "ManifoldTangentC", "'run'"]),
        (["digits", "--representation", "cae", "--layers", "3"], ["`--layers`", "without --representation", "'cae'"]),
        (["digits", "--representation", "cae", "--contraction", "1"], ["`--contraction`", "without --representation"]),
        (["digits", "--layers", "3,"], ["`--layers`", "whole number", "commas", "''"]),
        (["digits", "--layers", "0"], ["`--layers`", ">= 1", "got 0"]),
        (["digits", "--layer-model", "stacked"], ["--layer-model", "'stacked'", "cae+h"]),
        (["digits", "--layer-model", "ae", "--contraction", "1"], ["`contraction`", "0 for --layer-model ae", "1.0"]),
        (["digits", "--contraction", "-1"], ["`--contraction` must be >= 0", "-1.0"]),
        (["digits", "--pretraining-epochs", "0"], ["`--pretraining-epochs`", ">= 1", "got 0"]),
        # Fine-tuning.
        (["digits", "--model", "tangents"], ["--model", "'tangents'", "mtc"]),
        (["digits", "--n-tangents", "3"], ["`--n-tangents`", "--model mtc", "--model classifier"]),
        (["digits", "--model", "mtc", "--layers", "9,6", "--n-tangents", "7"], ["`--n-tangents`", "<= 6", "got 7"]),
        (["digits", "--model", "mtc", "--n-tangents", "all"], ["`--n-tangents`", "whole number", "'auto'", "'all'"]),
        (["two.npz", "--representation", "cae", "--model", "mtc", "--n-tangents", "5"], ["`--n-tangents`", "<= 4"]),
        (["digits", "--fine-tuning-contraction", "-1"], ["`--fine-tuning-contraction`", ">= 0", "-1.0"]),
        (["digits", "--fine-tuning-probes", "0"], ["`--fine-tuning-probes`", ">= 1", "0"]),
        (["digits", "--dropout", "1"], ["`--dropout`", "below 1"]),
        (["digits", "--max-norm", "0"], ["`--max-norm`", "> 0", "0.0"]),
        (["digits", "--smoothness", "random"], ["--smoothness", "'random'", "spectral"]),
        (["digits", "--batch-size", "few"], ["`--batch-size`", "whole number", "'few'"]),
        (["digits", "--epochs", "0"], ["`--epochs`", ">= 1", "0"]),
        (["digits", "--image-shape", "3x3"], ["--image-shape", "64 features", "'3x3'"]),
        (["digits", "--seed", "-1"], ["`--seed`", "-1"]),
    ],
)
def test_classify_refuses(refused: Callable[..., None], inputs: None, options: list[object], words: list[str]):
    refused(["classify", *options, "--out", "runs/new"], words)


def test_interrupt_before_fine_tuning_leaves_nothing(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch, inputs: None
):
    def fit(classifier: Any, X: np.ndarray, y: np.ndarray, *, validation_data: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        classifier.callbacks[0](classifier, Progress(1, 20, 1.0, 1.0))

    monkeypatch.setattr("contractive.estimators.BaseClassifier.fit", fit)
    words = ["interrupted before the first epoch of fine-tuning ended; nothing was written."]
    refused(["classify", "two.npz", "--out", "runs/new"], words, code=130)


def test_interrupt_keeps_the_finished_epochs(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inputs: None):
    finish = RunFolder.finish_epoch

    def finish_epoch(folder: RunFolder, record: dict[str, Any], save: Any) -> None:
        finish(folder, record, save)
        if record["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "finish_epoch", finish_epoch)
    outcome = call("classify", "two.npz", "--representation", "cae", "--epochs", 5, "--out", "new")
    assert_one_line(outcome, "interrupted; new holds the 2 finished epochs.", code=130)
    assert sorted(listing(tmp_path / "new")) == ["config.json", "history.jsonl", "model.safetensors"]
    assert contractive.load(tmp_path / "new" / "model.safetensors").n_epochs_ == len(history(tmp_path / "new")) == 2


def test_early_stopping_ends_early_and_an_older_run_is_replaced_where_asked_for(
    refused: Callable[..., None], call: Call, tmp_path: Path, inputs: None
):
    options = ["--epochs", 9, "--early-stopping", "--n-iter-no-change", 2, "--tol", 1]
    arguments = ["classify", "two.npz", "--representation", "cae", *options, "--out", "run"]
    refused(arguments, ["'run' exists", "--overwrite"])
    outcome = call(*arguments, "--overwrite")
    classifier = contractive.load(tmp_path / "run" / "model.safetensors")
    # The first epoch is better than none; the next two are not better by 100 %.
    assert len(history(tmp_path / "run")) == 3
    # A file has no validation rows: some of its own are held out.
    assert outcome.out.endswith(f" (held-out rows of two.npz, epoch {classifier.best_epoch_} of 3)\n")
    assert sorted(listing(tmp_path / "run")) == FILES


def test_rows_without_a_label_stay_for_the_representation(call: Call, monkeypatch: pytest.MonkeyPatch, inputs: None):
    seen: list[Any] = []

    def fit(classifier: Any, X: np.ndarray, y: np.ndarray, *, validation_data: Any) -> None:
        seen.append((len(X), np.count_nonzero(y != classifier.unlabeled), classifier.unlabeled, validation_data))
        raise FloatingPointError

    monkeypatch.setattr("contractive.estimators.BaseClassifier.fit", fit)
    call("classify", "two.npz", "--n-labels", 9, "--out", "new")
    call("classify", "two.npz", "--unlabeled", 2, "--out", "new")
    assert seen == [(60, 9, -1, None), (60, 40, 2, None)]
    call("classify", "digits", "--out", "new")
    (rows, labels) = seen[-1][-1]
    assert np.array_equal(rows, load_digits()[1][0])
    assert np.array_equal(labels, load_digits()[1][1])


OPTIONS = {
    "--dropout": ("dropout", 0.1),
    "--input-dropout": ("input_dropout", 0.2),
    "--max-norm": ("max_norm", 3.0),
    "--fine-tuning-contraction": ("contraction", 0.3),
    "--fine-tuning-penalty": ("penalty", "hutchinson"),
    "--fine-tuning-probes": ("n_probes", 2),
    "--weight-decay": ("weight_decay", 0.01),
    "--smoothness": ("smoothness", "spectral"),
    "--smoothness-weight": ("smoothness_weight", 2.0),
    "--smoothness-radius": ("smoothness_radius", 0.5),
    "--smoothness-warmup": ("smoothness_warmup", 3),
    "--n-power-iterations": ("n_power_iterations", 2),
    "--n-tangents": ("n_tangents", 4),
    "--tangent-weight": ("tangent_weight", 0.7),
    "--tangent-radius": ("tangent_radius", 1.5),
    "--n-tangent-probes": ("n_tangent_probes", 3),
    "--tangent-cache": ("tangent_cache", "kept"),
    "--unlabeled": ("unlabeled", 0),
    "--optimizer": ("optimizer", "sgd"),
    "--learning-rate": ("learning_rate", 0.05),
    "--learning-rate-decay": ("learning_rate_decay", "cosine"),
    "--batch-size": ("batch_size", 20),
    "--epochs": ("max_epochs", 7),
    "--no-shuffle": ("shuffle", False),
    "--early-stopping": ("early_stopping", True),
    "--validation-fraction": ("validation_fraction", 0.3),
    "--n-iter-no-change": ("n_iter_no_change", 2),
    "--tol": ("tol", 0.02),
    "--seed": ("random_state", 9),
}


def configuration(call: Call, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> dict[str, Any]:
    """What `classify` with these arguments writes into `config.json`; nothing is trained."""
    seen: dict[str, Any] = {}

    def write_config(folder: RunFolder, config: dict[str, Any]) -> None:
        seen.update(json.loads(json.dumps(config)))
        raise FloatingPointError("stopped")

    monkeypatch.setattr(RunFolder, "write_config", write_config)
    assert call("classify", "--out", "unseen", *arguments) == Outcome(2, "", "contractive: stopped\n")
    return seen


def test_every_parameter_is_an_option_with_the_estimators_default(
    call: Call, monkeypatch: pytest.MonkeyPatch, inputs: None
):
    own = inspect.signature(ManifoldTangentClassifier).parameters
    assert {name for name, _ in OPTIONS.values()} == set(own) - {"representation", "verbose", "callbacks"}
    options = inspect.signature(classify).parameters
    for name in {name for name, _ in OPTIONS.values()} - {"random_state"}:
        assert getattr(options[name].default, "value", options[name].default) == own[name].default, name
    typed = [word for option, (_, value) in OPTIONS.items() for word in (option, value) if not isinstance(word, bool)]
    config = configuration(call, monkeypatch, "two.npz", "--model", "mtc", *typed)
    assert config["parameters"] | dict(OPTIONS.values()) == config["parameters"]


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ([], ContractiveAutoencoder(500)),
        (["--model", "mtc", "--pretraining-epochs", 3], ContractiveAutoencoder(500, hessian_weight=0.1, max_epochs=3)),
        (["--model", "mtc", "--layer-model", "cae"], ContractiveAutoencoder(500)),
        (["--layer-model", "dae", "--loss", "cross_entropy"], DenoisingAutoencoder(500, loss="cross_entropy")),
        (
            ["--layer-model", "rcae", "--contraction", 0.5],
            ContractiveAutoencoder(500, contraction=0.5, penalty="reconstruction"),
        ),
    ],
)
def test_layers_are_made_as_asked_for(
    call: Call, monkeypatch: pytest.MonkeyPatch, inputs: None, options: list[object], layers: Any
):
    config = configuration(call, monkeypatch, "two.npz", *options, "--seed", 4)
    stack = StackedAutoencoder([layers, layers], random_state=4)
    found = config["parameters"]["representation"]
    plain = {"class": "StackedAutoencoder", "parameters": plain_parameters(stack)}
    for layer in found["parameters"]["layers"]:
        layer["parameters"]["random_state"] = None  # the stack's decides
    assert found == json.loads(json.dumps(plain))


def test_names_are_those_that_the_library_knows():
    assert [name.value for name in ClassifierName] == [*CLASSIFIERS]
    assert [name.value for name in SmoothnessName] == [*SMOOTHNESS_NAMES]
    assert [name.value for name in DecayName] == [*DECAYS]
    assert all(name in ESTIMATORS and layer in MODELS for name, layer in CLASSIFIERS.values())


def test_bars_of_both_phases_follow_each_other_on_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in {"COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    with display_phases((1000, 50), (1000, 50)) as show:
        for event in (Progress(1, 20, 1234.5678, 99.1234), EpochRecord(1000, 1234.5678, 99.1234, 1.0, 50.0, None)):
            show(event)
        show(TangentProgress(999_999, 1_000_000))
        for event in (FineTuningProgress(1000, 20, 2.3, 0.5), FineTuningRecord(1000, 2.3, 0.125, 1.0, 50.0)):
            show(event)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    lines = [line.strip() for line in re.split(r"[\r\n]+", shown) if line.strip()]
    assert max(map(len, lines)) <= 80
    last = [line for line in lines if "1000/1000" in line]
    assert re.match(r"pre-training 1000/1000 ━+ error 1234\.5678  \|J\| 99\.1234 00:00 left$", last[0])
    assert any(re.match(r"fine-tuning 1/1000 ━+ tangents 999,999/1,000,000 .* left$", line) for line in lines)
    assert re.match(r"fine-tuning 1000/1000 ━+ log-loss 2\.3000  error 12\.50 % 00:00 left$", last[-1])


def test_help_shows_every_option_whole_on_80_columns(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for command in ("classify", "predict", "inspect", "encode", "sample"):
        shown = call(command, "--help").out
        assert "…" not in shown
        assert max(map(len, shown.splitlines())) <= 80
        for option in commands[command].params:
            for name in (*option.opts, *option.secondary_opts):
                assert re.search(rf"{name}\b", shown, re.IGNORECASE), name
