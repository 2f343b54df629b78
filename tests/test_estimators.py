"""The scikit-learn face: numbers against the layers below, habits of scikit-learn, and what it refuses."""

import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import contractive
from contractive import ContractiveAutoencoder
from contractive.datasets import load_digits
from contractive.estimators import load
from contractive.presets import PRESETS
from contractive.training import EpochRecord, Progress

X = load_digits()[0][0][:200]


def small(**parameters) -> ContractiveAutoencoder:
    settings = {"n_components": 7, "loss": "cross_entropy", "max_epochs": 2, "random_state": 0} | parameters
    return ContractiveAutoencoder(**settings)


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def fitted(request):
    return small(tied_weights=request.param).fit(X)


def codes_by_hand(estimator: ContractiveAutoencoder, rows: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(rows @ estimator.components_.T + estimator.intercept_)))


def test_transform_is_the_code(fitted):
    np.testing.assert_allclose(fitted.transform(X), codes_by_hand(fitted, X), rtol=1e-5)


def test_inverse_transform_and_reconstruct_agree_with_numpy(fitted):
    codes = codes_by_hand(fitted, X)
    decoder = fitted.components_.T if fitted.decoder_components_ is None else fitted.decoder_components_
    expected = 1 / (1 + np.exp(-(codes @ decoder.T + fitted.visible_intercept_)))
    np.testing.assert_allclose(fitted.inverse_transform(codes), expected, rtol=1e-4)
    np.testing.assert_allclose(fitted.reconstruct(X), expected, rtol=1e-4)


def test_score_samples_is_minus_the_cross_entropy_in_nats(fitted):
    r = fitted.reconstruct(X).astype(np.float64)
    expected = np.sum(X * np.log(r) + (1 - X) * np.log(1 - r), axis=1)
    np.testing.assert_allclose(fitted.score_samples(X), expected, rtol=1e-4)
    assert fitted.score(X) == pytest.approx(expected.mean(), rel=1e-4)


def test_score_samples_is_minus_the_squared_error():
    estimator = small(loss="squared_error").fit(X)
    expected = -np.sum((X - estimator.reconstruct(X)) ** 2, axis=1)
    np.testing.assert_allclose(estimator.score_samples(X), expected, rtol=1e-4)


def test_odd_rows_score_lower():
    estimator = small(n_components=32, max_epochs=30, optimizer="adam", learning_rate=0.01, loss="squared_error").fit(X)
    noise = np.random.RandomState(0).uniform(size=X.shape)
    assert estimator.score_samples(X).mean() > estimator.score_samples(noise).mean()


def test_jacobian_and_its_norm_equal_automatic_differentiation(fitted):
    def encode(x):
        return jax.nn.sigmoid(fitted.components_ @ x + fitted.intercept_)

    expected = np.asarray(jax.vmap(jax.jacfwd(encode))(jnp.asarray(X)))
    np.testing.assert_allclose(fitted.jacobian(X), expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(fitted.contraction_norm(X), np.linalg.norm(expected, axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 17, 200])
def test_rows_do_not_depend_on_their_company(fitted, n_rows):
    np.testing.assert_allclose(fitted.transform(X[:n_rows]), fitted.transform(X)[:n_rows], rtol=1e-6)


def test_many_rows_go_through_in_blocks(fitted, monkeypatch):
    whole = fitted.jacobian(X)
    monkeypatch.setattr("contractive.batched._BLOCK_ENTRIES", 5 * whole[0].size)
    np.testing.assert_allclose(fitted.jacobian(X), whole, rtol=1e-6)


def test_first_weight_is_drawn_first_from_the_random_state():
    estimator = small(random_state=123, optimizer="sgd", learning_rate=1e-30).fit(X)
    radius = 4 * np.sqrt(6 / (64 + 7))
    expected = np.random.RandomState(123).uniform(-radius, radius, (64, 7)).T
    np.testing.assert_allclose(estimator.components_, expected, rtol=1e-6)


def test_contraction_shrinks_the_jacobian():
    plain, contracted = (small(contraction=c, max_epochs=20, learning_rate=0.01).fit(X) for c in (0.0, 1.0))
    assert contracted.contraction_norm(X).mean() < 0.7 * plain.contraction_norm(X).mean()


def test_weight_decay_shrinks_the_weight():
    plain, decayed = (
        small(contraction=0, weight_decay=w, max_epochs=20, learning_rate=0.01).fit(X) for w in (0.0, 0.1)
    )
    assert np.linalg.norm(decayed.components_) < 0.7 * np.linalg.norm(plain.components_)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "softplus", "gelu", "linear"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_every_activation_learns_with_every_optimizer(activation, optimizer):
    estimator = small(
        activation=activation,
        optimizer=optimizer,
        learning_rate=1e-3,
        loss="squared_error",
        max_epochs=15,
        contraction=0.01,
    ).fit(X)
    assert estimator.loss_curve_[-1] < 0.97 * estimator.loss_curve_[0]


def test_an_optax_transformation_brings_its_own_learning_rate():
    of_optax, by_name = small(optimizer=optax.sgd(0.01), learning_rate=9.0), small(optimizer="sgd", learning_rate=0.01)
    np.testing.assert_array_equal(of_optax.fit(X).components_, by_name.fit(X).components_)


def test_same_seed_same_bits_and_other_seed_others():
    first, again, other = (small(random_state=seed).fit(X) for seed in (1, 1, 2))
    assert first.components_.tobytes() == again.components_.tobytes()
    assert first.components_.tobytes() != other.components_.tobytes()


def test_a_slice_of_a_larger_array_is_the_array_it_looks_like():
    wide = np.random.RandomState(0).uniform(size=(400, 128)).astype(np.float32)
    wide[::2, ::2] = X
    np.testing.assert_array_equal(small().fit(wide[::2, ::2]).components_, small().fit(X).components_)


@pytest.mark.parametrize("convert", [np.asfortranarray, lambda x: x.astype(np.float64), lambda x: x.tolist()])
def test_layout_and_type_of_the_data_do_not_matter(convert):
    np.testing.assert_allclose(small().fit(convert(X)).components_, small().fit(X).components_, rtol=1e-5)


def test_bytes_are_pixels_over_256_and_booleans_are_zero_and_one():
    pixels = (X * 255).astype(np.uint8)
    as_bytes, as_floats = small().fit(pixels), small().fit(pixels.astype(np.float32) / 256)
    np.testing.assert_array_equal(as_bytes.components_, as_floats.components_)
    np.testing.assert_array_equal(as_bytes.transform(pixels), as_floats.transform(pixels.astype(np.float32) / 256))
    bits = X > 0.5
    np.testing.assert_array_equal(small().fit(bits).components_, small().fit(bits.astype(np.float32)).components_)


def test_bytes_that_are_only_zero_and_one_are_doubted():
    bits = (X > 0.5).astype(np.uint8)
    with pytest.warns(UserWarning, match="read as 0 and 1/256; pass uint8_scale=1"):
        small().fit(bits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_value = small(uint8_scale=1).fit(bits)
    np.testing.assert_array_equal(by_value.components_, small().fit(bits.astype(np.float32)).components_)


def test_history_and_callbacks():
    events = []
    estimator = small(max_epochs=3, callbacks=[lambda estimator, event: events.append((event, estimator.n_epochs_))])
    estimator.fit(X)
    records = [event for event, _ in events if isinstance(event, EpochRecord)]
    assert records == estimator.history_
    assert [epochs for event, epochs in events if isinstance(event, EpochRecord)] == [1, 2, 3]
    assert any(isinstance(event, Progress) for event, _ in events)
    assert estimator.n_epochs_ == len(estimator.loss_curve_) == len(estimator.jacobian_norm_curve_) == 3


def test_a_callback_may_stop_the_training():
    estimator = small(max_epochs=9, callbacks=[lambda estimator, event: isinstance(event, EpochRecord)]).fit(X)
    assert estimator.n_epochs_ == 1


def test_verbose_prints_a_line_an_epoch(capsys):
    small(verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "reconstruction_error=" in lines[0]


def test_scikit_learn_habits():
    estimator = small(n_components=5)
    again = clone(estimator)
    assert isinstance(again, ContractiveAutoencoder)
    assert again.get_params() == estimator.get_params()
    codes = make_pipeline(MinMaxScaler(), estimator).fit_transform(X)
    assert codes.shape == (200, 5)
    assert list(estimator.fit(X).get_feature_names_out()) == [f"contractiveautoencoder{i}" for i in range(5)]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(X), estimator.transform(X))


@pytest.mark.parametrize(
    "method", ["transform", "reconstruct", "score_samples", "score", "jacobian", "contraction_norm"]
)
def test_unfitted_estimators_say_so(method):
    with pytest.raises(NotFittedError):
        getattr(small(), method)(X)
    with pytest.raises(NotFittedError):
        small().inverse_transform(X)
    with pytest.raises(NotFittedError):
        small().save("nowhere")


def test_save_and_load_give_the_same_estimator(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    same = contractive.load(tmp_path / "model.safetensors")
    assert same.get_params() == fitted.get_params()
    assert same.history_ == fitted.history_
    np.testing.assert_array_equal(same.reconstruct(X), fitted.reconstruct(X))


def test_numpy_numbers_as_parameters_are_saved(tmp_path):
    estimator = small(contraction=np.float32(0.5), n_components=np.int64(3), random_state=np.random.RandomState(0)).fit(
        X
    )
    estimator.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").contraction == 0.5


def test_an_optax_transformation_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="`optimizer` must be a name or a number in a model file"):
        small(optimizer=optax.sgd(0.1)).fit(X).save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_presets_are_parameters():
    for preset in PRESETS.values():
        assert set(preset) <= set(ContractiveAutoencoder().get_params())


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"contraction": -0.1}, ValueError, "`contraction` must be >= 0; got -0.1."),
        ({"contraction": float("nan")}, ValueError, "`contraction` must be >= 0; got nan."),
        ({"contraction": "much"}, TypeError, "`contraction` must be >= 0; got 'much'."),
        ({"weight_decay": -1}, ValueError, "`weight_decay` must be >= 0; got -1."),
        ({"n_components": 0}, ValueError, "`n_components` must be a whole number >= 1; got 0."),
        ({"n_components": 2.5}, TypeError, "`n_components` must be a whole number >= 1; got 2.5."),
        ({"batch_size": 0}, ValueError, "`batch_size` must be a whole number >= 1; got 0."),
        ({"batch_size": 2.5}, TypeError, "`batch_size` must be a whole number >= 1; got 2.5."),
        ({"batch_size": 201}, ValueError, "`batch_size` must be at most the number of rows, 200; got 201."),
        ({"batch_size": "most"}, ValueError, "`batch_size` must be one of 'auto'; got 'most'."),
        ({"max_epochs": 0}, ValueError, "`max_epochs` must be a whole number >= 1; got 0."),
        ({"learning_rate": 0}, ValueError, "`learning_rate` must be > 0; got 0."),
        ({"uint8_scale": 0}, ValueError, "`uint8_scale` must be > 0; got 0."),
        ({"tied_weights": "yes"}, TypeError, "`tied_weights` must be True or False; got 'yes'."),
        ({"activation": "swish"}, ValueError, "`activation` must be one of 'gelu', 'linear', .*; got 'swish'."),
        ({"loss": "hinge"}, ValueError, "`loss` must be one of 'cross_entropy', 'squared_error'; got 'hinge'."),
        ({"optimizer": "lbfgs"}, ValueError, "`optimizer` must be one of 'adam', 'momentum', 'sgd'; got 'lbfgs'."),
        ({"optimizer": 3}, TypeError, "`optimizer` must be a name or an optax transformation; got 3."),
        ({"penalty": "hutchinson"}, ValueError, "`penalty` must be one of 'auto', 'closed_form'; got 'hutchinson'."),
        ({"hidden_layer_sizes": (100,)}, ValueError, r"`hidden_layer_sizes` must be \(\), one layer .* got \(100,\)."),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused_in_one_line(parameters, error, message):
    estimator = small(**parameters)
    with pytest.raises(error, match=message) as caught:
        estimator.fit(X)
    assert "\n" not in str(caught.value)
    assert not hasattr(estimator, "components_")
