"""ONNX: the graph of a dense model, made node by node from its layers, and checked before it is written."""

import json
import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_atomically
from ..estimators import plain_parameters
from ..models import AutoEncoder, Classifier, Model, dense_layers
from ._parts import autoencoder_of, checked_part

__all__ = ["onnx_content", "to_onnx"]

# The oldest that has all operators in their present form: what a runtime of 2022 reads.
_OPSET, _IR_VERSION = 17, 8
_MOST_BYTES = (1 << 31) - (1 << 20)  # protobuf's own limit, less room for what is no weight


def to_onnx(estimator: Any, path: str | Path, *, part: str = "all") -> int:
    """Write a fitted estimator as an ONNX file, whole or not at all.

    The graph takes any number of rows, in the float dtype of the model and the units of the training data, and gives
    what `transform`, `reconstruct`, `score_samples` and `predict_proba` give. Its `metadata_props` say all that is
    known of the model; `uint8_scale` is what a byte is divided by before it goes in.

    Args:
        estimator: a fitted auto-encoder of dense layers, or a classifier on top of one.
        path: the file to make or replace.
        part: "all" for `code`, `reconstruction` and `score` of `x` (of a classifier, `code` and `probabilities`),
            "encoder" for `code` of `x`, "decoder" for `reconstruction` of `code`.

    Returns:
        Bytes written.

    Raises:
        NotFittedError: if `fit` was not called.
        TypeError: if the estimator is of another package, or holds an encoder or a nonlinearity of the user's own.
        ValueError: if there is no such part, or the model is too large for ONNX.
        ImportError: if the package onnx is missing.
        OSError: if the file cannot be written; what was there stays.

    Example:
        >>> import numpy as np, onnx, tempfile
        >>> from contractive import ContractiveAutoencoder
        >>> cae = ContractiveAutoencoder(2, max_epochs=1).fit(np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = to_onnx(cae, f"{folder}/model.onnx")
        ...     graph = onnx.load(f"{folder}/model.onnx").graph
        >>> [output.name for output in graph.output]
        ['code', 'reconstruction', 'score']
    """
    content = onnx_content(estimator, part)
    write_atomically(Path(path), lambda stream: stream.write(content))
    return len(content)


def onnx_content(estimator: Any, part: str = "all") -> bytes:
    """What `to_onnx` writes; arguments and errors are its own."""
    onnx = _package()
    model, uint8_scale = checked_part(estimator, part)
    autoencoder = autoencoder_of(model)
    graph = _Graph(onnx, model.dtype)
    given, made = _build(graph, model, _named_layers(autoencoder), autoencoder, part)
    if graph.n_bytes > _MOST_BYTES:
        raise ValueError(
            f"an ONNX file must be below 2 GiB; the weights take {graph.n_bytes / (1 << 30):.1f} GiB. "
            "Export its parts, or StableHLO."
        )
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            type(estimator).__name__,
            [graph.info(*given)],
            [graph.info(name, width) for name, width in made.items()],
            list(graph.weights.values()),
        ),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="contractive",
        producer_version=version("contractive"),
    )
    onnx.helper.set_model_props(proto, _facts(estimator, model, uint8_scale, part))
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


class _Graph:
    """Nodes and weights, as they are added."""

    def __init__(self, onnx: Any, dtype: np.dtype):
        self._onnx, self.dtype = onnx, np.dtype(dtype)
        self.float_type = onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}
        self.n_bytes = 0

    def weight(self, name: str, array: Any) -> str:
        """The name of an array that the graph holds, once however often it is asked for."""
        if name not in self.weights:
            array = np.ascontiguousarray(array)
            self.n_bytes += array.nbytes
            self.weights[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def number(self, value: float) -> str:
        """The name of a number of the graph's dtype."""
        return self.weight(f"number {value:g}", np.asarray(value, self.dtype))

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node; the name of what it makes."""
        output = f"{operator} {len(self.nodes)}" if output is None else output
        self.nodes.append(self._onnx.helper.make_node(operator, [*inputs], [output], **attributes))
        return output

    def cast(self, value: str, dtype: type | np.dtype) -> str:
        """A value in another dtype."""
        if self.dtype == np.float32:
            return value
        return self.add("Cast", value, to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def info(self, name: str, width: int | None) -> Any:
        """What goes in or comes out: rows of a width, or a number a row."""
        shape = ["batch"] if width is None else ["batch", width]
        return self._onnx.helper.make_tensor_value_info(name, self.float_type, shape)


def _softplus(graph: _Graph, a: str) -> str:
    # max(a, 0) + log(1 + exp(-|a|)), as ONNX Runtime has no Softplus in float64.
    decayed = graph.add("Exp", graph.add("Neg", graph.add("Abs", a)))
    return graph.add("Add", graph.add("Relu", a), graph.add("Log", graph.add("Add", decayed, graph.number(1))))


def _gelu(graph: _Graph, a: str) -> str:
    # a Phi(a) = a / 2 (1 + erf(a / sqrt 2)); the error function in float32, as ONNX Runtime has it in no other.
    narrow = graph.cast(graph.add("Mul", a, graph.number(math.sqrt(0.5))), np.float32)
    erf = graph.cast(graph.add("Erf", narrow), graph.dtype)
    half = graph.add("Mul", a, graph.number(0.5))
    return graph.add("Mul", half, graph.add("Add", erf, graph.number(1)))


_NONLINEARITIES: dict[str, Callable[[_Graph, str], str]] = {
    "sigmoid": lambda graph, a: graph.add("Sigmoid", a),
    "tanh": lambda graph, a: graph.add("Tanh", a),
    "relu": lambda graph, a: graph.add("Relu", a),
    "softplus": _softplus,
    "gelu": _gelu,
    "linear": lambda graph, a: a,
}


def _squared_error(graph: _Graph, x: str, z: str) -> str:
    difference = graph.add("Sub", x, z)
    return graph.add("Mul", difference, difference)


def _cross_entropy(graph: _Graph, x: str, z: str) -> str:
    return graph.add("Sub", _softplus(graph, z), graph.add("Mul", x, z))


_ERRORS: dict[str, Callable[[_Graph, str, str], str]] = {  # of each feature
    "squared_error": _squared_error,
    "cross_entropy": _cross_entropy,
}


def _build(
    graph: _Graph, model: Model | Classifier, layers: list[AutoEncoder], autoencoder: Model, part: str
) -> tuple[tuple[str, int], dict[str, int | None]]:
    """Add what a part computes; the name and width of what goes in, and of what comes out."""
    n_features, n_hidden = autoencoder.n_features, autoencoder.n_hidden
    if part == "decoder":
        z = _decode_linear(graph, layers, "code")
        _output(graph, _NONLINEARITIES[layers[0].output_nonlinearity.name](graph, z), "reconstruction")
        return ("code", n_hidden), {"reconstruction": n_features}
    h = _output(graph, _encode(graph, layers, "x"), "code")
    made: dict[str, int | None] = {"code": n_hidden}
    if part == "encoder":
        return ("x", n_features), made
    if isinstance(model, Classifier):
        scores = _affine(graph, h, graph.weight("output.weight", model.weight), "output.bias", model.bias)
        graph.add("Softmax", scores, axis=1, output="probabilities")
        return ("x", n_features), {**made, "probabilities": model.n_classes}
    z = _decode_linear(graph, layers, h)
    _output(graph, _NONLINEARITIES[layers[0].output_nonlinearity.name](graph, z), "reconstruction")
    errors = _ERRORS[autoencoder.reconstruction_loss.name](graph, "x", z)
    axis = graph.weight("features", np.array([1], np.int64))
    graph.add("Neg", graph.add("ReduceSum", errors, axis, keepdims=0), output="score")
    return ("x", n_features), {**made, "reconstruction": n_features, "score": None}


def _output(graph: _Graph, value: str, name: str) -> str:
    """A value under a name of its own; a name that is no output of a node otherwise, as for the linear."""
    return graph.add("Identity", value, output=name)


def _affine(graph: _Graph, x: str, weight: str, name: str, bias: Any, *, transposed: bool = False) -> str:
    return graph.add("Gemm", x, weight, graph.weight(name, bias), transB=int(not transposed))


def _encode(graph: _Graph, layers: list[AutoEncoder], x: str) -> str:
    for number, layer in enumerate(layers):
        weight = graph.weight(f"{number}.weight", layer.weight)
        a = _affine(graph, x, weight, f"{number}.hidden_bias", layer.hidden_bias)
        x = _NONLINEARITIES[layer.nonlinearity.name](graph, a)
    return x


def _decode_linear(graph: _Graph, layers: list[AutoEncoder], h: str) -> str:
    """The decoder before its output nonlinearity; a tied layer takes the encoder's weight, which is there once."""
    z = h
    for number, layer in reversed([*enumerate(layers)]):
        own = layer.decoder_weight
        weight = (
            graph.weight(f"{number}.weight", layer.weight)
            if own is None
            else graph.weight(f"{number}.decoder_weight", own)
        )
        z = _affine(graph, h, weight, f"{number}.visible_bias", layer.visible_bias, transposed=own is None)
        h = _NONLINEARITIES[layer.output_nonlinearity.name](graph, z) if number else h
    return z


def _named_layers(model: Model) -> list[AutoEncoder]:
    """The layers of a model all of whose parts ONNX has a name for.

    Raises:
        TypeError: if one is the user's own.
    """
    remedy = "Export StableHLO, which takes any."
    try:
        layers = dense_layers(model)
    except TypeError as error:
        raise TypeError(f"`encoder` must be None for ONNX, which knows dense layers; got your own. {remedy}") from error
    for choice in (choice for layer in layers for choice in (layer.activation, layer.output)):
        if callable(choice):
            name = getattr(choice, "__name__", type(choice).__name__)
            raise TypeError(f"`activation` must be a name for ONNX; got the function {name!r}. {remedy}")
    return layers


def _facts(estimator: Any, model: Model | Classifier, uint8_scale: float, part: str) -> dict[str, str]:
    """What the file says of itself, beside the graph; values other than texts as JSON."""
    autoencoder = autoencoder_of(model)
    facts = {
        "contractive": version("contractive"),
        "versions": json.dumps({name: version(name) for name in ("jax", "numpy", "onnx")}),
        "model": type(estimator).__name__,
        "part": part,
        "dtype": str(model.dtype),
        "n_features": str(autoencoder.n_features),
        "n_components": str(autoencoder.n_hidden),
        "layers": json.dumps([layer.n_hidden for layer in dense_layers(autoencoder)]),
        "feature_names": json.dumps([*map(str, vars(estimator).get("feature_names_in_", ()))]),
        "loss": autoencoder.reconstruction_loss.name,
        "uint8_scale": f"{uint8_scale:g}",
        "input": f"rows of floats; divide uint8 values by {uint8_scale:g} first",
    }
    if isinstance(model, Classifier):
        facts["classes"] = json.dumps(estimator.classes_.tolist())
    try:
        facts["parameters"] = json.dumps(plain_parameters(estimator))
    except TypeError:  # an object that JSON has no word for, an optax transformation say, of no matter here
        return facts
    return facts


def _package() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError("ONNX files need the package onnx: pip install 'contractive[onnx]'", name="onnx") from error
    return onnx
