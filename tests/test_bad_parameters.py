"""Everything wrong that one can pass to an estimator: one clear line that says what, the rule and the value."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
from contractive.penalties import Contraction
from toys import Convolution, X, small

pytestmark = pytest.mark.usefixtures("quickly_compiled", "unchecked")

NAN = float("nan")
MLP = eqx.nn.MLP(64, 3, 5, 2, key=jax.random.key(0))

# Parameters of every estimator: name, value, the words that must occur.
OF_TRAINING: list[tuple[str, Any, list[str]]] = [
    ("contraction", -0.1, [">= 0", "-0.1"]),
    ("contraction", NAN, [">= 0", "nan"]),
    ("contraction", "much", [">= 0", "'much'"]),
    ("penalty", "hutchison", ["'hutchinson'", "'auto'", "'spectral'", "'hutchison'"]),
    ("penalty", 0.1, ["'auto'", "Penalty", "0.1"]),
    ("penalty", Contraction, ["Penalty", "Contraction"]),
    ("penalty", MLP, ["Penalty", "MLP("]),
    ("n_probes", 0, ["whole number >= 1", "0"]),
    ("hessian_weight", -1, [">= 0", "-1"]),
    ("hessian_std", 0, ["> 0", "0"]),
    ("n_hessian_samples", 1.5, ["whole number >= 1", "1.5"]),
    ("weight_decay", -1, [">= 0", "-1"]),
    ("optimizer", "lbfgs", ["'adam', 'momentum', 'sgd'", "'lbfgs'"]),
    ("optimizer", 3, ["'adam'", "optax transformation", "3"]),
    ("optimizer", {"a": 1}, ["optax transformation", "{'a': 1}"]),
    ("learning_rate", 0, ["> 0", "0"]),
    ("learning_rate", -1e-3, ["> 0", "-0.001"]),
    ("learning_rate", "adaptive", ["> 0", "'adaptive'"]),
    ("batch_size", 0, ["whole number >= 1", "0"]),
    ("batch_size", 2.5, ["whole number >= 1", "2.5"]),
    ("batch_size", True, ["whole number >= 1", "True"]),
    ("batch_size", "most", ["'auto'", "'most'"]),
    ("batch_size", 201, ["at most the number of rows trained on, 200", "201"]),
    ("shuffle", "yes", ["True or False", "'yes'"]),
    ("validation_fraction", 0, ["> 0 and < 1", "0"]),
    ("validation_fraction", 1.0, ["> 0 and < 1", "1.0"]),
    ("early_stopping", "auto", ["True or False", "'auto'"]),
    ("n_iter_no_change", 0, ["whole number >= 1", "0"]),
    ("tol", -1e-4, [">= 0", "-0.0001"]),
    ("random_state", -1, ["0 to 4294967295", "-1"]),
    ("random_state", "seed", ["RandomState", "'seed'"]),
    ("warm_start", 1, ["True or False", "1"]),
    ("callbacks", print, ["list of functions of (estimator, event)", "print"]),
    ("callbacks", [print, "print"], ["list of functions of (estimator, event)", "'print'"]),
]

# Parameters of the estimators that train one model.
OF_MODELS: list[tuple[str, Any, list[str]]] = [
    ("n_components", 0, ["whole number >= 1", "0"]),
    ("n_components", 2.5, ["whole number >= 1", "2.5"]),
    ("n_components", None, ["whole number >= 1", "None"]),
    ("hidden_layer_sizes", 100, ["sequence of whole numbers >= 1", "100"]),
    ("hidden_layer_sizes", (100, 0), ["whole number >= 1", "0"]),
    ("hidden_layer_sizes", "100", ["sequence of whole numbers >= 1", "'100'"]),
    ("activation", "swish", ["'gelu', 'linear', 'relu', 'sigmoid', 'softplus', 'tanh'", "'swish'"]),
    ("activation", np.eye(2), ["'gelu'", "array([[1., 0.], [0., 1.]])"]),
    ("loss", "hinge", ["'cross_entropy', 'squared_error'", "'hinge'"]),
    ("tied_weights", "yes", ["True or False", "'yes'"]),
    ("engine", "cuda", ["'auto', 'jax', 'native'", "'cuda'"]),
    ("engine", "native", ["'jax' or 'auto' for this job", "plain SGD", "'native'"]),
    ("uint8_scale", 0, ["> 0", "0"]),
    ("max_epochs", 0, ["whole number >= 1", "0"]),
    ("max_epochs", 1e3, ["whole number >= 1", "1000.0"]),
    # A user's own functions.
    ("encoder", 3, ["Equinox module or a function", "3"]),
    ("encoder", np.eye(2), ["Equinox module or a function", "array([[1., 0.], [0., 1.]])"]),
    ("encoder", lambda x: x.reshape(8, 8), ["1-d array", "shape (64,)", "(8, 8)", "Flatten"]),
    ("encoder", jnp.sum, ["1-d array", "shape ()"]),
    ("encoder", lambda x: x[:0], ["1-d array", "(0,)"]),
    ("encoder", lambda x: (x, x), ["JAX array", "tuple"]),
    ("encoder", lambda x: None, ["JAX array", "NoneType"]),
    ("encoder", lambda x: 0.5, ["JAX array", "float"]),
    ("encoder", lambda x: x > 0, ["floats", "bool"]),
    ("encoder", lambda x: x[:3] / 0, ["`encoder` must return finite numbers", "row 0"]),
    ("encoder", lambda x: jnp.log(x[:9]), ["finite numbers", "NaN or infinity for row"]),
    ("encoder", lambda x, y: x, ["take one example", "(64,)", "TypeError"]),
    ("encoder", lambda x: np.sin(np.asarray(x)), ["in jax.numpy", "Tracer"]),
    ("encoder", eqx.nn.Linear(63, 3, key=jax.random.key(0)), ["one example x of shape (64,)"]),
    ("decoder", jnp.sin, ["`encoder` must be given where `decoder` is", "None"]),
]

# Some parameters together.
TOGETHER: list[tuple[dict[str, Any], list[str]]] = [
    ({"encoder": lambda x: x[:5], "decoder": jnp.sin}, ["`decoder` must give back the input's shape, (64,)", "(5,)"]),
    ({"encoder": lambda x: x[:5], "decoder": lambda h: None}, ["`decoder`", "JAX array", "NoneType"]),
    ({"encoder": lambda x: x[:5], "decoder": 3}, ["`decoder`", "Equinox module or a function", "3"]),
    ({"encoder": lambda x: x, "decoder": lambda h: h / 0}, ["`decoder` must return finite numbers", "row 0"]),
    ({"encoder": Convolution(), "penalty": "closed_form"}, ["`penalty`", "'auto' or 'exact'", "'closed_form'"]),
    ({"hidden_layer_sizes": (9,), "penalty": "closed_form"}, ["`penalty`", "'auto' or 'exact'", "'closed_form'"]),
    ({"early_stopping": True, "batch_size": 200}, ["`batch_size`", "trained on, 180", "200"]),
    (
        {"engine": "native", "optimizer": "sgd", "batch_size": 8, "contraction": 0.1, "tied_weights": False},
        ["`engine`"],
    ),
]

# Parameters of the corruption.
OF_CORRUPTION: list[tuple[str, Any, list[str]]] = [
    ("corruption", "dropout", ["'gaussian', 'masking', 'salt_and_pepper'", "'dropout'"]),
    ("corruption", None, ["'masking'", "None"]),
    ("corruption_level", 1.5, [">= 0 and <= 1", "1.5"]),
    ("corruption_std", -1, [">= 0", "-1"]),
]


def line_of(call: Any, *words: str) -> str:
    """The one line with which a call is refused, once it says the words."""
    with pytest.raises((TypeError, ValueError)) as info:
        call()
    line = str(info.value)
    assert "\n" not in line
    assert len(line) < 400
    for word in words:
        assert word in line, f"no {word!r} in {line!r}"
    return line


@pytest.mark.parametrize("kind", [ContractiveAutoencoder, DenoisingAutoencoder])
@pytest.mark.parametrize(("name", "value", "words"), [*OF_TRAINING, *OF_MODELS])
def test_fit_refuses_the_parameter(kind, name: str, value: Any, words: list[str]):
    estimator = small(kind, **{"loss": "squared_error", "max_epochs": 1, name: value})
    line_of(lambda: estimator.fit(X), f"`{name}`" if name != "decoder" else "`encoder`", *words)
    assert not hasattr(estimator, "model_")


@pytest.mark.parametrize(("parameters", "words"), TOGETHER)
def test_fit_refuses_the_parameters_together(parameters: dict[str, Any], words: list[str]):
    line_of(lambda: small(**parameters).fit(X), *words)


@pytest.mark.parametrize(("name", "value", "words"), OF_CORRUPTION)
def test_fit_refuses_the_corruption(name: str, value: Any, words: list[str]):
    line_of(lambda: small(DenoisingAutoencoder, **{name: value}).fit(X), f"`{name}`", *words)


def never(*_: Any) -> None:
    raise AssertionError("nothing should have been trained")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *OF_TRAINING,
        ("joint_epochs", -1, ["whole number >= 0", "-1"]),
        ("penalty", "closed_form", ["'auto' or 'exact'"]),
    ],
)
def test_a_stack_refuses_the_parameter_of_its_joint_training(name: str, value: Any, words: list[str]):
    stack = StackedAutoencoder([small(), small()], joint_epochs=1, callbacks=[never]).set_params(**{name: value})
    if (name, value) == ("batch_size", 201):  # of the rows trained on jointly, which the layers come before
        stack.set_params(callbacks=None)
    line_of(lambda: stack.fit(X), f"`{name}`", *words)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], ["`layers`", "at least one", "[]"]),
        (small(), ["`layers`", "list", "ContractiveAutoencoder("]),
        ("two", ["`layers`", "list", "'two'"]),
        ([small(), PCA()], ["`layers`", "auto-encoders of this package", "PCA()", "place 1"]),
        ([make_pipeline(PCA(), PCA(), PCA(), small())], ["`layers`", "Pipeline(steps=[('pca-1'", "place 0"]),
        ([ContractiveAutoencoder], ["`layers`", "ContractiveAutoencoder'>", "place 0"]),
        ([small(contraction=-1)], ["`layers[0]`: `contraction` must be >= 0", "-1"]),
        ([small(), small(n_components=0)], ["`layers[1]`: `n_components` must be a whole number >= 1", "0"]),
        ([small(), StackedAutoencoder([small(tol=-1)])], ["`layers[1]`: `layers[0]`: `tol` must be >= 0", "-1"]),
    ],
)
def test_a_stack_refuses_its_layers_before_it_trains_any(layers: Any, words: list[str]):
    line_of(lambda: StackedAutoencoder(layers, callbacks=[never]).fit(X), *words)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (
            [small(activation="linear"), small()],
            ["`layers[1]` does not fit", "`X` must lie in [0, 1]", "squared_error"],
        ),
        ([small(), small(encoder=Convolution())], ["`layers[1]` does not fit", "one example x of shape (7,)"]),
        ([small(), small(batch_size=201)], ["`layers[1]` does not fit", "`batch_size`", "200", "201"]),
        ([small(encoder=lambda x: x.reshape(8, 8)), small()], ["`encoder` must return a 1-d array"]),
    ],
)
def test_layers_that_do_not_fit_are_named(layers: Any, words: list[str]):
    line_of(lambda: StackedAutoencoder(layers).fit(X), *words)


ESTIMATORS: dict[str, Any] = {
    "contractive": small,
    "denoising": lambda **parameters: small(DenoisingAutoencoder, **parameters),
    "stacked": lambda **parameters: StackedAutoencoder([small()], **parameters),
}


@pytest.fixture(params=ESTIMATORS)
def make(request: pytest.FixtureRequest) -> Any:
    return ESTIMATORS[request.param]


WEIGHTS: list[tuple[Any, list[str]]] = [
    (np.ones(199), ["1-d", "(200,)", "(199,)"]),
    (np.ones((200, 1)), ["1-d", "(200,)", "(200, 1)"]),
    (3.0, ["1-d", "shape ()"]),
    ([[1], [2, 3]], ["1-d", "[[1], [2, 3]]"]),
    (np.array(["1"] * 200), ["numbers", "<U1"]),
    (np.where(np.arange(200) == 3, -0.5, 1), [">= 0", "-0.5 at row 3"]),
    (np.where(np.arange(200) == 3, NAN, 1), ["finite", "nan at row 3"]),
    (np.zeros(200), ["> 0", "200 zeros"]),
]


@pytest.mark.parametrize(("weights", "words"), WEIGHTS)
def test_fit_refuses_the_weights(make, weights: Any, words: list[str]):
    line_of(lambda: make().fit(X, sample_weight=weights), "`sample_weight`", *words)
    line_of(lambda: make().partial_fit(X, sample_weight=weights), "`sample_weight`", *words)


def test_fit_refuses_too_few_rows(make):
    line_of(lambda: make().fit(X[:1]), "`X` must have at least 2 rows", "1 sample")
    line_of(lambda: make(early_stopping=True).fit(X[:1]), "`X` must have at least 2 rows", "1 sample")
    assert make().partial_fit(X[:1]).transform(X[:1]).shape == (1, 7)


def test_early_stopping_needs_rows_to_hold_out(make):
    line_of(lambda: make(early_stopping=True).partial_fit(X), "`early_stopping` must be False for partial_fit", "True")
    weights = np.array([1.0, 0.0])
    # One of the two rows is held out, and with one of the two orders nothing is left.
    orders = [lambda w=w: small(early_stopping=True).fit(X[:2], sample_weight=w) for w in (weights, weights[::-1])]
    with pytest.raises(ValueError, match="`sample_weight` must have a value > 0 among the rows trained on; got zeros"):
        _ = [fit() for fit in orders]


def test_other_features_than_before_are_refused(make):
    estimator = make().fit(X)
    warm = make(warm_start=True).fit(X)
    calls = [estimator.partial_fit, warm.fit]
    calls += [estimator.transform, estimator.reconstruct, estimator.score, estimator.jacobian]
    for call in calls:
        line_of(lambda call=call: call(X[:, :63]), "X has 63 features", "expecting 64 features")
        line_of(lambda call=call: call(sparse.csr_array(X[:, :63])), "X has 63 features", "expecting 64 features")
    line_of(lambda: estimator.inverse_transform(X), "`H` must have 7 columns", "64")
    line_of(lambda: estimator.inverse_transform([[NAN] * 7]), "`H` must be finite", "row 0, column 0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_components": 6}, ["64, 7, 'sigmoid'", "64, 6, 'sigmoid'"]),
        ({"hidden_layer_sizes": (9,)}, ["64, 9"]),
        ({"activation": "tanh"}, ["'tanh'"]),
        ({"loss": "squared_error"}, ["squared_error", "cross_entropy"]),
        ({"tied_weights": False}, ["False"]),
        ({"encoder": Convolution()}, ["encoder of the user's own"]),
    ],
)
def test_training_goes_on_with_the_same_model_only(change: dict[str, Any], words: list[str]):
    estimator = small().fit(X).set_params(**change)
    line_of(lambda: estimator.partial_fit(X), "`warm_start` and `partial_fit` must go on", "Fit a new", *words)
    line_of(lambda: estimator.set_params(warm_start=True).fit(X), "must go on with the model", *words)


def test_parameters_of_layers_that_do_not_exist_are_named():
    stack = StackedAutoencoder([small()])
    line_of(lambda: stack.set_params(layers__1__tol=1), "`layers__1__tol`", "1 layers", "'1'")
    line_of(lambda: stack.set_params(layers__x__tol=1), "`layers__x__tol`", "'x'")
    with pytest.raises(ValueError, match="Invalid parameter 'unheard'"):
        stack.set_params(layers__0__unheard=1)
    with pytest.raises(ValueError, match="Invalid parameter 'unheard'"):
        stack.set_params(unheard=1)
