"""Stacks: the layers trained by hand one after the other, to the bit; then together; and what may be a layer."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
from contractive.estimators import BaseAutoencoder
from contractive.objectives import Objective
from contractive.penalties import Contraction
from contractive.training import EpochRecord, resolve_optimizer, train
from toys import Convolution, X, assert_same_training, bits, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def layers() -> list[Any]:
    """A contractive and a denoising one, as little alike as may be."""
    return [
        small(random_state=1, max_epochs=3, contraction=0.2),
        small(DenoisingAutoencoder, n_components=4, activation="tanh", loss="squared_error", random_state=2),
    ]


def stacked(**parameters: Any) -> Any:
    return StackedAutoencoder(**({"layers": layers(), "random_state": 0} | parameters))


def by_hand(first: Any, second: Any, method: str = "fit", rows: np.ndarray = X, **options: Any) -> list[Any]:
    getattr(first, method)(rows, **options)
    getattr(second, method)(first.transform(rows), **options)
    return [first, second]


def assert_same_layers(stack: StackedAutoencoder, layers: list[Any]) -> None:
    assert bits(stack) == [array for layer in layers for array in bits(layer)]
    for own, expected in zip(stack.layers_, layers, strict=True):
        assert_same_training(own, expected)


def test_a_stack_is_its_layers_trained_one_after_the_other():
    stack, (first, second) = stacked().fit(X), by_hand(*layers())
    assert_same_layers(stack, [first, second])
    codes = second.transform(first.transform(X))
    np.testing.assert_allclose(stack.transform(X), codes, rtol=1e-6, atol=1e-7)
    decoded = first.inverse_transform(second.inverse_transform(codes))
    np.testing.assert_allclose(stack.inverse_transform(codes), decoded, rtol=1e-5)
    np.testing.assert_allclose(stack.reconstruct(X), decoded, rtol=1e-5)
    jacobians = second.jacobian(first.transform(X)) @ first.jacobian(X)
    np.testing.assert_allclose(stack.jacobian(X), jacobians, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stack.contraction_norm(X), np.linalg.norm(jacobians, axis=(1, 2)), rtol=1e-5)
    r = np.asarray(decoded, float)
    expected = np.sum(X * np.log(r) + (1 - X) * np.log(1 - r), axis=1)
    np.testing.assert_allclose(stack.score_samples(X), expected, rtol=1e-4)
    np.testing.assert_array_equal(stack.components_, first.components_)


def test_records_are_those_of_the_layers_counted_on():
    stack = stacked(joint_epochs=2).fit(X)
    assert [record.epoch for record in stack.history_] == [1, 2, 3, 4, 5, 6, 7]
    first, second = stack.layers_
    assert stack.loss_curve_[:5] == first.loss_curve_ + second.loss_curve_
    assert stack.n_epochs_ == 7


def test_layers_without_a_seed_get_one_from_the_stack():
    def fit(seed: int) -> Any:
        unseeded = [layer.set_params(random_state=None) for layer in layers()]
        return stacked(layers=unseeded, random_state=seed).fit(X)

    rng = np.random.RandomState(0)
    seeded = [layer.set_params(random_state=rng.randint(2**31 - 1)) for layer in layers()]
    assert_same_layers(fit(0), by_hand(*seeded))
    assert bits(fit(1)) != bits(fit(0))


def test_the_layers_given_stay_as_they_are():
    given = [layer.set_params(random_state=None, callbacks=(print,)) for layer in layers()]
    before = [layer.get_params() for layer in given]
    stack = stacked(layers=given).fit(X)
    assert [layer.get_params() for layer in given] == before
    assert not any(hasattr(layer, "model_") for layer in given)
    assert [layer.callbacks for layer in stack.layers_] == [(print,)] * 2


def test_joint_training_goes_on_from_the_layers_with_all_of_them():
    greedy = stacked().fit(X)
    joint = stacked(joint_epochs=3, contraction=0.3, learning_rate=0.01).fit(X)
    rng = np.random.RandomState(0)
    seed = [rng.randint(2**31 - 1) for _ in range(3)][-1]  # after those of the layers
    trained = train(
        jax.tree.map(jnp.asarray, greedy.model_),
        Objective((Contraction(0.3),)),
        X,
        resolve_optimizer("adam", 0.01),
        batch_size=128,
        max_epochs=3,
        seed=seed,
        epochs_done=greedy.n_epochs_,
    )
    assert bits(joint) == [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(trained.model)]
    assert not {*bits(joint)} & {*bits(greedy)}  # weights and biases of every layer have changed
    assert bits(joint) == [array for layer in joint.layers_ for array in bits(layer)]
    assert joint.score(X) > greedy.score(X)


def test_joint_training_contracts_the_whole_encoder():
    plain, contracted = (
        stacked(joint_epochs=30, learning_rate=0.01, contraction=weight).fit(X) for weight in (0.0, 10.0)
    )
    assert contracted.contraction_norm(X).mean() < 0.5 * plain.contraction_norm(X).mean()


def test_joint_training_stops_early_with_the_best_weights():
    def falls_then_rises(count: Any) -> Any:
        return jnp.where(count < 20, 0.01, -0.01)

    options = {"joint_epochs": 30, "learning_rate": falls_then_rises}
    stack = stacked(early_stopping=True, n_iter_no_change=3, validation_fraction=0.3, **options).fit(X)
    errors = stack.validation_loss_curve_
    best = int(np.argmin(errors))
    assert len(errors) == best + 4 < 30
    assert stack.best_epoch_ == 5 + 1 + best
    assert bits(stack) == [array for layer in stack.layers_ for array in bits(layer)]
    held_out = np.sort(-stack.score_samples(X))
    assert held_out[:60].mean() < errors[best] < held_out[-60:].mean()


def test_portions_are_portions_of_every_layer():
    stack, (first, second) = stacked(), layers()
    for _ in range(3):
        stack.partial_fit(X)
        by_hand(first, second, "partial_fit")
    assert_same_layers(stack, [first, second])
    assert stack.n_epochs_ == 6
    joint = stacked(joint_epochs=7).partial_fit(X)
    assert joint.n_epochs_ == 3  # one together


def test_warm_start_goes_on_layer_by_layer():
    stack = stacked(warm_start=True).fit(X).fit(X)
    warm = [layer.set_params(warm_start=True) for layer in layers()]
    assert_same_layers(stack, by_hand(*by_hand(*warm)))
    assert [record.epoch for record in stack.history_] == [*range(1, 11)]
    afresh = stacked().fit(X).fit(X)
    assert_same_layers(afresh, by_hand(*layers()))


def test_sample_weights_are_those_of_every_layer_and_of_all_together():
    weights = np.arange(200) % 3
    assert_same_layers(stacked().fit(X, sample_weight=weights), by_hand(*layers(), sample_weight=weights))
    full = {"layers": [small(random_state=3), small(random_state=4, n_components=3)], "joint_epochs": 2}
    weighted = stacked(**full).fit(X[:20], sample_weight=weights[:20])
    repeated = stacked(**full).fit(np.repeat(X[:20], weights[:20], axis=0))
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-4)


@pytest.mark.parametrize("number", [0, 1])
def test_early_stopping_of_a_layer_keeps_its_best_weights(number: int):
    given = layers()
    schedule = {"learning_rate": lambda count: jnp.where(count < 3, 0.01, -0.01), "max_epochs": 4}
    given[number].set_params(early_stopping=True, **schedule)
    stack = stacked(layers=given).fit(X)
    assert stack.layers_[number].best_epoch_ < 4
    assert_same_layers(stack, by_hand(*given))


@pytest.mark.parametrize(("layer", "n_layers", "n_epochs"), [(0, 1, 2), (1, 2, 4)])
def test_a_callback_ends_the_whole_training_and_it_may_go_on(layer: int, n_layers: int, n_epochs: int):
    events = []

    def stop(stack, event):
        if isinstance(event, EpochRecord):
            events.append((event.epoch, stack.n_epochs_, len(stack.layers_), stack.transform(X).shape[1]))
            return event.epoch == n_epochs
        return None

    stack = stacked(callbacks=[stop], joint_epochs=1).fit(X)
    assert len(stack.layers_) == n_layers
    assert events[-1] == (n_epochs, n_epochs, n_layers, [7, 4][layer])
    assert [epoch for epoch, *_ in events] == [*range(1, n_epochs + 1)]
    stack.set_params(callbacks=None, warm_start=True).fit(X)
    assert len(stack.layers_) == 2
    assert stack.transform(X).shape == (200, 4)
    assert stack.n_epochs_ == n_epochs + 3 + 2 + 1


def test_a_callback_ends_a_portion_where_it_stands():
    stack = stacked(callbacks=[lambda stack, event: True], joint_epochs=1).partial_fit(X)
    assert len(stack.layers_) == 1
    assert stack.n_epochs_ == 1


def test_layers_call_their_own_callbacks_with_themselves():
    called = []
    first, second = layers()
    second.set_params(callbacks=[lambda estimator, event: called.append((type(estimator), event.epoch))])
    stacked(layers=[first, second]).fit(X)
    assert {*called} == {(DenoisingAutoencoder, 1), (DenoisingAutoencoder, 2)}


LAYERS: dict[str, Any] = {
    "denoising": lambda: small(DenoisingAutoencoder, corruption="gaussian"),
    "deep": lambda: small(hidden_layer_sizes=(9,), activation="tanh"),
    "untied": lambda: small(tied_weights=False),
    "an encoder of the user's own": lambda: small(encoder=Convolution(), contraction=0.0),
    "own functions": lambda: small(
        encoder=lambda x: jnp.sin(x[:6]), decoder=eqx.nn.Linear(6, 64, key=jax.random.key(0))
    ),
    "a stack": lambda: stacked(joint_epochs=1),
    "a stack of one": lambda: stacked(layers=[small()]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_anything_of_the_family_may_be_a_layer(name: str):
    first, second = LAYERS[name]().set_params(random_state=1), small(loss="squared_error", n_components=3)
    stack = stacked(layers=[first, second], joint_epochs=1, learning_rate=1e-30, optimizer="sgd").fit(X)
    assert all(isinstance(layer, BaseAutoencoder) for layer in stack.layers_)
    codes = second.fit(first.fit(X).transform(X)).transform(first.transform(X))
    np.testing.assert_allclose(stack.transform(X), codes, rtol=1e-5, atol=1e-6)
    decoded = first.inverse_transform(second.inverse_transform(codes))
    np.testing.assert_allclose(stack.inverse_transform(codes), decoded, rtol=1e-4, atol=1e-6)
    jacobians = second.jacobian(first.transform(X)) @ first.jacobian(X)
    np.testing.assert_allclose(stack.jacobian(X), jacobians, rtol=1e-3, atol=1e-6)
    again = stacked(layers=[first, second], joint_epochs=3, learning_rate=0.01).fit(X)
    assert again.score(X) > stack.score(X)


@pytest.mark.parametrize("dtype", ["float64", "uint8"])
def test_the_first_layer_says_how_data_are_read(dtype: str):
    rows = X.astype(dtype) if dtype == "float64" else np.round(8 * X).astype(dtype)
    given = [layer.set_params(uint8_scale=8) for layer in layers()]
    stack = stacked(layers=given).fit(rows)
    meant = rows if dtype == "float64" else (rows / np.float32(8))
    assert_same_layers(stack, by_hand(*layers(), rows=meant))
    assert stack.transform(rows).dtype == meant.dtype
    with pytest.raises(ValueError, match=r"\[0, 1\] for the cross-entropy"):
        stack.score(rows + rows.dtype.type(2))


def test_new_layers_bring_new_rules():
    stack = stacked().fit(X)
    stack.set_params(layers=[small(loss="squared_error"), small(n_components=3)]).fit(X + 1)
    assert stack.transform(X).shape == (200, 3)


def test_parameters_of_layers_have_names():
    stack = stacked()
    assert stack.get_params()["layers__1__n_components"] == 4
    assert stack.get_params(deep=False).keys() == {name for name in stack.get_params() if "__" not in name}
    stack.set_params(layers__1__n_components=2, layers__0__contraction=0.5, joint_epochs=1)
    assert (stack.layers[1].n_components, stack.layers[0].contraction, stack.joint_epochs) == (2, 0.5, 1)
    old, new = small(), small()
    stack.set_params(layers=[old]).set_params(layers__0__contraction=8.0, layers=[new])
    assert (old.contraction, new.contraction) == (0.1, 8.0)
    nested = stacked(layers=[stack]).set_params(layers__0__layers__0__contraction=9.0)
    assert new.contraction == nested.get_params()["layers__0__layers__0__contraction"] == 9.0


def test_two_contractive_layers_are_the_default():
    stack = StackedAutoencoder().fit(X[:20])
    assert [type(layer) for layer in stack.layers_] == [ContractiveAutoencoder] * 2
    assert stack.transform(X).shape == (200, 100)
    assert stack.layers is None
