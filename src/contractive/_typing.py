"""Array aliases: the axis words of the package, spelled once."""

from typing import TypeAlias

from jaxtyping import Array, Float, Int, Key, UInt8, UInt32

Scalar: TypeAlias = Float[Array, ""]
Visible: TypeAlias = Float[Array, " features"]
Hidden: TypeAlias = Float[Array, " hidden"]
LayerUnits: TypeAlias = Float[Array, " _"]  # of one layer among several, each with as many as it likes
Rows: TypeAlias = Float[Array, "batch features"]
RowWeights: TypeAlias = Float[Array, " batch"]
JacobianMatrix: TypeAlias = Float[Array, "hidden features"]
RandomKey: TypeAlias = Key[Array, ""]
RandomKeys: TypeAlias = Key[Array, " batch"]
ClassScores: TypeAlias = Float[Array, " classes"]
Tangents: TypeAlias = Float[Array, "tangents features"]
StoredRows: TypeAlias = Float[Array, "rows features"] | UInt8[Array, "rows features"]

__all__ = [
    "Array",
    "ClassScores",
    "Float",
    "Hidden",
    "Int",
    "JacobianMatrix",
    "LayerUnits",
    "RandomKey",
    "RandomKeys",
    "RowWeights",
    "Rows",
    "Scalar",
    "StoredRows",
    "Tangents",
    "UInt8",
    "UInt32",
    "Visible",
]
