"""A trained model for other programs: ONNX, and StableHLO through `jax.export`."""

from ._onnx import onnx_content, to_onnx
from ._parts import PARTS
from ._stablehlo import stablehlo_content, to_stablehlo

__all__ = ["PARTS", "onnx_content", "stablehlo_content", "to_onnx", "to_stablehlo"]
